"""Draws a `WindowsPayload`: the pairs of a query, its keys, its caches, and the tiles of all."""

from typing import Any, NamedTuple

from simplex_lib.widgets.kit import COLOURS, WIDTH, figure, fit_slider, quiet_axes
from simplex_lib.widgets.windows_counts import LONGEST, TALLEST, TILINGS, WindowsPayload
from simplex_lib.widgets.windows_maps import (
    Frame,
    kept_map,
    margin,
    pair_map,
    seen_map,
    ticks,
    tile_frames,
    tile_maps,
    window_frame,
)

REST = {False: ("#ccd2da", "#8b929d"), True: ("#444b56", "#757d89")}  # past; computed for nothing
TINT = {False: ("#a9c8ec", "#f2c29f"), True: ("#26507f", "#7f4824")}  # under numbers in ink
SLOT = 17  # pixels that a number in a slot needs


class Panel(NamedTuple):
    """Left and upper edge, width and height, in pixels."""

    x: int
    y: int
    width: int
    height: int


PAIRS, SEEN, KEPT = Panel(44, 22, 226, 226), Panel(376, 22, 256, 46), Panel(376, 164, 256, 54)
TILES = (Panel(44, 338, 250, 250), Panel(382, 338, 250, 250))
HEIGHT = 632
HOVER = ("pair (%{y}, %{x})", "key %{x}", "place %{x}", "query %{y}, first key %{x}",
         "query %{y}, second key %{x}")  # fmt: skip


def controls(p: WindowsPayload) -> dict[str, Any]:
    import ipywidgets

    look = dict(style=dict(description_width="56px"), layout=dict(width="208px"))

    def slider(value: int, name: str, high: int, low: int = 1) -> Any:
        return ipywidgets.IntSlider(value, min=low, max=high, description=name, **look)

    tilings = list(zip(("queries", "query heads"), TILINGS, strict=True))
    query, tile = slider(p.query, "query i", LONGEST, 0), slider(p.tile, "tile rows", TALLEST)
    fit_slider(query, p.s)
    tile.disabled = p.tiling == "heads"
    return dict(
        seq_len=slider(p.s, "length s", LONGEST),
        query=query,
        w1=slider(p.w1, "w1", LONGEST),
        w2=slider(p.w2, "w2", LONGEST),
        tiling=ipywidgets.Dropdown(value=p.tiling, options=tilings, description="tiles of", **look),
        tile=tile,
    )


def picture() -> Any:
    """Five maps and what stays of their axes; `draw` fills in the rest."""
    fig = figure(HEIGHT)
    fig.update_layout(margin=dict(l=0, r=0, t=0, b=0))
    names = [("second key k", "first key j"), ("key", ""), ("place: position mod w", ""),
             ("first key j", "query i"), ("second key k", "query i")]  # fmt: skip
    for n, (panel, (x, y)) in enumerate(zip((PAIRS, SEEN, KEPT, *TILES), names, strict=True)):
        a = str(n + 1) if n else ""
        across = [panel.x / WIDTH, (panel.x + panel.width) / WIDTH]
        up = [1 - (panel.y + panel.height) / HEIGHT, 1 - panel.y / HEIGHT]
        fig.update_layout({
            f"xaxis{a}": dict(domain=across, anchor=f"y{a}", title_text=x, showgrid=False),
            f"yaxis{a}": dict(domain=up, anchor=f"x{a}", title_text=y, showgrid=False),
        })  # fmt: skip
        fig.add_heatmap(
            xaxis=f"x{a}", yaxis=f"y{a}", showscale=False, xgap=1, ygap=1, zmin=0,
            zmax=2 if n in (1, 2) else 1, hovertemplate=f"{HOVER[n]}<extra></extra>",
        )  # fmt: skip
        fig.add_annotation(
            x=panel.x / WIDTH, y=1 - panel.y / HEIGHT, xref="paper", yref="paper", text="",
            xanchor="left", yanchor="bottom", showarrow=False,
        )  # fmt: skip
    rows = dict(tickvals=[0, 1], range=[1.5, -0.5])
    fig.layout.yaxis2.update(ticktext=["first key j", "second key k"], **rows)
    fig.layout.yaxis3.update(ticktext=["first cache", "second cache"], **rows)
    fig.add_scatter(name="positions", mode="text", xaxis="x3", yaxis="y3", hoverinfo="skip")
    fig.add_annotation(
        x=TILES[0].x / WIDTH, y=1 - TILES[0].y / HEIGHT, yshift=19, xref="paper", yref="paper",
        text="", xanchor="left", yanchor="bottom", showarrow=False,
    )  # fmt: skip
    fig.add_annotation(xref="x", yref="y", text="before the start", showarrow=False, font_size=11)
    quiet_axes(fig)
    return fig


def draw(fig: Any, p: WindowsPayload, dark: bool) -> None:
    *maps, numbers = fig.data
    colour, (past, wasted) = COLOURS[dark], REST[dark]
    first, second, pairs = colour["key"], colour["query"], colour["out"]
    tint = TINT[dark]
    scales = [(past, pairs), (past, first, second), (past, *tint), (wasted, first),
              (wasted, second)]  # fmt: skip
    arrays = [pair_map(p), seen_map(p), kept_map(p), *tile_maps(p)]
    with fig.batch_update():
        for trace, z, scale in zip(maps, arrays, scales, strict=True):
            # NaN is no JSON
            trace.z = [[None if x != x else int(x) for x in row] for row in z.tolist()]
            trace.colorscale = [[n / (len(scale) - 1), c] for n, c in enumerate(scale)]
        _fit_axes(fig, p, arrays)
        places = [(n, row, x) for row, slots in enumerate(p.slots) for n, x in enumerate(slots)]
        if KEPT.width / max(p.w1, p.w2) < SLOT:
            places = []  # too narrow; the table below says how many there are
        numbers.x = [n for n, _, _ in places]
        numbers.y = [row for _, row, _ in places]
        numbers.text = ["" if x is None else str(x) for *_, x in places]
        fig.layout.shapes = _marks(p, colour, past)
        for note, text in zip(fig.layout.annotations, _titles(p, pairs, wasted), strict=False):
            note.text = text
        middle = (p.s - margin(p.s) - 1) / 2
        fig.layout.annotations[-1].update(x=middle, y=-margin(p.s) / 2 - 0.5)


def _fit_axes(fig: Any, p: WindowsPayload, arrays: list[Any]) -> None:
    before, layout = -margin(p.s) - 0.5, fig.layout
    end, all_ticks = p.s - 0.5, ticks(p.s)
    layout.xaxis.update(range=[before, end], tickvals=all_ticks)
    layout.yaxis.update(range=[end, before], tickvals=all_ticks)
    layout.xaxis2.update(range=[before, end], tickvals=all_ticks)
    places = arrays[2].shape[1]
    layout.xaxis3.update(range=[-0.5, places - 0.5], tickvals=ticks(places))
    for a, array in zip("45", arrays[3:], strict=True):
        rows, keys = array.shape
        layout[f"xaxis{a}"].update(range=[-0.5, keys - 0.5], tickvals=all_ticks)
        layout[f"yaxis{a}"].update(range=[rows - 0.5, -0.5], tickvals=all_ticks)


def _marks(p: WindowsPayload, colour: dict[str, str], past: str) -> list[dict[str, Any]]:
    """Before the start, the whole windows, the newest place, the tile and row of the query."""
    before, end, i = -margin(p.s) - 0.5, p.s - 0.5, p.query

    def frame(a: str, at: Frame, **line: Any) -> dict[str, Any]:
        look = dict(color=colour["ink"], width=2) | line
        return dict(type="rect", xref=f"x{a}", yref=f"y{a}", line=look,
                    x0=at.left, x1=at.right, y0=at.top, y1=at.bottom)  # fmt: skip

    none = dict(fillcolor=past, opacity=0.35, layer="below")
    whole = window_frame(p)
    marks = [
        frame("", Frame(before, before, -0.5, end), width=0) | none,
        frame("", Frame(-0.5, before, end, -0.5), width=0) | none,
        frame("2", Frame(before, -0.5, -0.5, 1.5), width=0) | none,
        frame("", whole, dash="dash"),
        frame("2", Frame(whole.top, -0.5, i + 0.5, 0.5), dash="dash"),
        frame("2", Frame(whole.left, 0.5, i + 0.5, 1.5), dash="dash"),
    ]
    for row, w in enumerate((p.w1, p.w2)):
        marks.append(frame("3", Frame(i % w - 0.5, row - 0.5, i % w + 0.5, row + 0.5)))
    for a, tile, computed in zip("45", tile_frames(p), p.computed, strict=True):
        marks.append(frame(a, tile))
        across = Frame(-0.5, i - 0.5, max(p.s, *(x.stop for x in computed)) - 0.5, i + 0.5)
        marks.append(frame(a, across, width=1, dash="dot"))
    return marks


def _titles(p: WindowsPayload, pairs: str, wasted: str) -> list[str]:
    """Of the five maps, then what the lower ones show."""
    a, b = len(p.first), len(p.second)
    share, other = (p.useful[t] for t in TILINGS)
    return [
        f"<b>pairs of query {p.query}: {a} × {b} = {a * b:,}</b>",
        f"<b>keys that query {p.query} sees</b>",
        f"<b>positions kept after token {p.query}</b>",
        "<b>first keys in tiles</b>",
        "<b>second keys in tiles</b>",
        f"useful: {share:.1%} in tiles of queries, {other:.1%} in tiles of query heads; "
        f'<span style="color:{wasted}">■</span> computed for nothing',
    ]
