"""Draws a `LoopPayload`: the tile of this step, what is done, and m, l and out over the steps."""

from collections.abc import Callable
from typing import Any, NamedTuple

from simplex_lib.widgets import loop_steps_looks as looks
from simplex_lib.widgets.kit import COLOURS, WIDTH, figure, fit_slider, quiet_axes
from simplex_lib.widgets.loop_steps_payload import LoopPayload
from simplex_lib.widgets.loop_steps_recording import INPUTS, KERNELS, TILE, S


class Panel(NamedTuple):
    """Left and upper edge, width and height, in pixels."""

    x: int
    y: int
    width: int
    height: int


PANELS = (
    Panel(62, 44, 240, 176),  # tile
    Panel(398, 44, 234, 209),  # map
    Panel(40, 330, 176, 130),  # m
    Panel(258, 330, 166, 130),  # l
    Panel(466, 330, 166, 130),  # out
)
HEIGHT = 500
EXAMPLES = ("largest logits last", "largest logits first", "largest anywhere")
KEYS = ("dot product: keys", "trilinear: pairs of keys")


def controls(p: LoopPayload) -> dict[str, Any]:
    import ipywidgets

    style = dict(description_width="initial")
    slim = dict(width="204px", margin="2px 2px 2px 12px")
    step = ipywidgets.IntSlider(
        p.step, min=0, max=99, description="steps done", style=style, layout=slim
    )
    fit_slider(step, len(p.steps))
    step.value = p.step
    return dict(
        kernel=ipywidgets.Dropdown(
            value=p.kernel, options=list(zip(KEYS, KERNELS, strict=True)), description="kernel",
            style=style, layout=dict(width="232px"),
        ),
        inputs=ipywidgets.Dropdown(
            value=p.inputs, options=list(zip(EXAMPLES, INPUTS, strict=True)), description="inputs",
            style=style, layout=dict(width="204px", margin="2px 2px 2px 12px"),
        ),
        query=ipywidgets.IntSlider(
            p.query, min=0, max=S - 1, description="query", style=style, layout=slim
        ),
        step=step,
        without_rescale=ipywidgets.Checkbox(
            p.without_rescale, description="also without rescale", indent=False, style=style,
            layout=dict(width="170px", margin="2px 2px 2px 16px"),
        ),
    )  # fmt: skip


def buttons(go: Callable[[int], None]) -> tuple[Any, Any]:
    import ipywidgets

    back = ipywidgets.Button(description="back", icon="arrow-left", layout=dict(width="76px"))
    forward = ipywidgets.Button(description="next", icon="arrow-right", layout=dict(width="76px"))
    back.on_click(lambda _: go(-1))
    forward.on_click(lambda _: go(1))
    return back, forward


def picture() -> Any:
    """Five panels and what stays of them; `draw` fills in the rest."""
    fig = figure(HEIGHT)
    fig.update_layout(margin=dict(l=0, r=0, t=0, b=0), barmode="group", bargap=0.3)
    names = [("", ""), ("", ""), ("step", ""), ("step", ""), ("coordinate", "")]
    for n, (panel, (x, y)) in enumerate(zip(PANELS, names, strict=True)):
        a = str(n + 1) if n else ""
        across = [panel.x / WIDTH, (panel.x + panel.width) / WIDTH]
        up = [1 - (panel.y + panel.height) / HEIGHT, 1 - panel.y / HEIGHT]
        grid = dict(showgrid=n > 1)
        fig.update_layout({
            f"xaxis{a}": dict(domain=across, anchor=f"y{a}", title_text=x, showgrid=False),
            f"yaxis{a}": dict(domain=up, anchor=f"x{a}", title_text=y, nticks=5, **grid),
        })  # fmt: skip
        fig.add_annotation(
            x=panel.x / WIDTH, y=1 - panel.y / HEIGHT, xref="paper", yref="paper", text="",
            xanchor="left", yanchor="bottom", align="left", yshift=4 if n else 22, showarrow=False,
        )  # fmt: skip
    note = dict(xref="paper", yref="paper", xanchor="left", yanchor="top", showarrow=False)
    under = PANELS[0].y + PANELS[0].height
    fig.add_annotation(x=62 / WIDTH, y=1 - (under + 8) / HEIGHT, text=looks.LEGEND, **note)
    fig.layout.xaxis.update(side="top", range=[-0.5, TILE - 0.5], tickvals=list(range(TILE)))
    fig.layout.yaxis.update(range=[TILE - 0.5, -0.5], tickvals=list(range(TILE)))
    fig.layout.xaxis2.update(range=[-0.5, S - 0.5], tickvals=list(range(S)))
    cells = dict(showscale=False, xgap=1, ygap=1)
    fig.add_heatmap(name="tile", **cells, hoverinfo="skip")
    fig.add_heatmap(name="masked", **cells, hoverinfo="skip")
    fig.add_scatter(name="logits", mode="text", hoverinfo="skip")
    second = dict(xaxis="x2", yaxis="y2")
    fig.add_heatmap(name="map", zmin=0, zmax=len(looks.FATES) - 1, **cells, **second,
                    hovertemplate="%{customdata}<extra></extra>")  # fmt: skip
    fig.add_scatter(name="signs", mode="text", hoverinfo="skip", **second)
    third, fourth, fifth = (dict(xaxis=f"x{n}", yaxis=f"y{n}") for n in (3, 4, 5))
    fig.add_scatter(name="largest", mode="markers", **third,
                    hovertemplate="step %{x}: largest logit %{y:.3f}<extra></extra>")  # fmt: skip
    fig.add_scatter(name="m", mode="lines", line=dict(width=3, shape="hv"), hoverinfo="skip",
                    **third)  # fmt: skip
    fig.add_scatter(name="l", mode="lines+markers", line_width=3, **fourth,
                    hovertemplate="after step %{x}: l = %{y:.3f}<extra></extra>")  # fmt: skip
    fig.add_scatter(name="plain l", mode="lines+markers", line=dict(width=2, dash="dash"), **fourth,
                    marker=dict(symbol="x", size=7),
                    hovertemplate="no rescale: %{y:.3f}<extra></extra>")  # fmt: skip
    fig.add_bar(name="out", **fifth, hovertemplate="acc / l: %{y:.3f}<extra></extra>")
    fig.add_bar(name="plain out", **fifth, marker_pattern_shape="/",
                hovertemplate="no rescale: %{y:.3f}<extra></extra>")  # fmt: skip
    fig.add_scatter(name="final", mode="markers", **fifth,
                    marker=dict(symbol="line-ew", size=34, line_width=3),
                    hovertemplate="final: %{y:.3f}<extra></extra>")  # fmt: skip
    quiet_axes(fig)
    return fig


def draw(fig: Any, p: LoopPayload, dark: bool) -> None:
    colour = COLOURS[dark]
    with fig.batch_update():
        _draw_tile(fig, p, dark)
        _draw_map(fig, p, dark)
        _draw_sums(fig, p, colour)
        _draw_out(fig, p, colour)
        fig.layout.shapes = _marks(p, colour)
        told = zip(fig.layout.annotations, looks.titles(p), _legends(p, colour), strict=False)
        for note, title, legend in told:
            note.text = f"<b>{title}</b>" + (f"<br>{legend}" if legend else "")


def _legends(p: LoopPayload, colour: dict[str, str]) -> list[str]:
    """A second line for the titles of the lower panels."""

    def sign(text: str, name: str) -> str:
        return f'<span style="color:{colour[name]}">{text}</span>'

    wrong = f"{sign('▨', 'faint')} no rescale " if p.without_rescale else ""
    return [
        "",
        "",
        f"{sign('━', 'query')} m {sign('●', 'key')} largest logit {sign('○', 'key')} to come",
        f"{sign('━', 'query')} l" + (f" {sign('╌✕', 'faint')} no rescale" if wrong else ""),
        f"{sign('■', 'out')} now {wrong}━ final",
    ]


def _trace(fig: Any, name: str) -> Any:
    return next(fig.select_traces(dict(name=name)))


def _draw_tile(fig: Any, p: LoopPayload, dark: bool) -> None:
    tile, masked, text = (_trace(fig, name) for name in ("tile", "masked", "logits"))
    low, high = looks.logit_range(p)
    tile.z, tile.zmin, tile.zmax = p.now.tile, low, high
    tile.colorscale = [[0, looks.COLD[dark]], [1, looks.WARM[dark]]]
    masked.z = [[1 if x is None else None for x in row] for row in p.now.tile]
    grey = looks.FILLS[dark][looks.FATES.index("skipped" if p.step else "wait")]
    masked.colorscale = [[0, grey], [1, grey]]
    spots = [(c, r) for r in range(TILE) for c in range(TILE)]
    text.x, text.y = [c for c, _ in spots], [r for _, r in spots]
    text.text = [word for row in looks.tile_text(p) for word in row]
    fig.layout.xaxis.ticktext, fig.layout.yaxis.ticktext = looks.key_names(p), looks.row_names(p)


def _draw_map(fig: Any, p: LoopPayload, dark: bool) -> None:
    map_, signs = _trace(fig, "map"), _trace(fig, "signs")
    rows = len(p.map)
    map_.z = [[looks.FATES.index(fate) for fate in row] for row in p.map]
    last, fills = len(looks.FATES) - 1, looks.FILLS[dark]
    map_.colorscale = [[n / last, fill] for n, fill in enumerate(fills)]
    first = [str(j) for j in range(S)] if p.pairs_of_keys else looks.row_names(p)
    words = dict(off="not computed", wait="to come", skipped="computed, not used", done="done",
                 now="this step")  # fmt: skip
    where = "pair ({}, {})" if p.pairs_of_keys else "{}, key {}"
    map_.customdata = [
        [f"{where.format(first[r], c)}: {words[fate]}" for c, fate in enumerate(row)]
        for r, row in enumerate(p.map)
    ]
    told = [(c, r, fate) for r, row in enumerate(p.map) for c, fate in enumerate(row)]
    signs.x, signs.y = [c for c, _, _ in told], [r for _, r, _ in told]
    signs.text = [looks.SIGNS[fate] for *_, fate in told]
    fig.layout.yaxis2.update(
        range=[rows - 0.5, -0.5], tickvals=list(range(rows)), ticktext=first,
        title_text="first key j" if p.pairs_of_keys else "",
    )  # fmt: skip
    fig.layout.xaxis2.title.text = "second key k" if p.pairs_of_keys else "key j"


def _draw_sums(fig: Any, p: LoopPayload, colour: dict[str, str]) -> None:
    largest, m, total, plain = (_trace(fig, name) for name in ("largest", "m", "l", "plain l"))
    seen, logits = looks.largest_logits(p)
    largest.x, largest.y = seen, logits
    largest.marker.symbol = ["circle" if n <= p.step else "circle-open" for n in seen]
    largest.marker.color, largest.marker.size = colour["key"], 7
    m.x, m.y = looks.level(p)
    m.line.color = colour["query"]
    steps, sums, wrong = looks.sums(p)
    total.x, total.y = steps, sums
    plain.x, plain.y = (steps, wrong) if p.without_rescale else ([], [])
    total.line.color = total.marker.color = colour["query"]
    plain.line.color = plain.marker.color = colour["faint"]
    total.marker.size = 4
    across = dict(range=[-0.4, len(p.steps) - 0.6], tickvals=looks.step_ticks(p))
    fig.layout.xaxis3.update(across)
    fig.layout.xaxis4.update(across)
    fig.layout.yaxis3.range, fig.layout.yaxis4.range = looks.level_range(p), looks.sum_range(p)


def _draw_out(fig: Any, p: LoopPayload, colour: dict[str, str]) -> None:
    out, plain, final = (_trace(fig, name) for name in ("out", "plain out", "final"))
    columns = list(range(len(p.out)))
    out.x, out.y = (columns, p.now.out) if p.now.out else ([], [])
    plain.x, plain.y = (columns, p.now.plain_out) if p.without_rescale and p.now.out else ([], [])
    final.x, final.y = columns, p.out
    out.marker.color, plain.marker.color = colour["out"], colour["faint"]
    final.marker.line.color = colour["ink"]
    fig.layout.xaxis5.update(range=[-0.6, len(columns) - 0.4], tickvals=columns)
    fig.layout.yaxis5.range = looks.out_range(p)


def _marks(p: LoopPayload, colour: dict[str, str]) -> list[dict[str, Any]]:
    """The row of the query, in the tile and in the map; the tile in the map; the step below."""
    row = p.query % TILE
    frame = dict(type="rect", line=dict(color=colour["ink"], width=2))
    at = dict(xref="x", yref="y", x0=-0.5, x1=TILE - 0.5, y0=row - 0.5, y1=row + 0.5)
    marks: list[dict[str, Any]] = [frame | at]
    second = dict(xref="x2", yref="y2")
    if not p.pairs_of_keys:
        marks.append(frame | second | dict(x0=-0.5, x1=S - 0.5, y0=row - 0.5, y1=row + 0.5))
    if p.step:
        first, stop = p.now.keys[0] - 0.5, min(p.now.keys[-1] + 0.5, S - 0.5)
        now = dict(type="rect", line=dict(color=colour["query"], width=3), **second)
        if p.now.k is None:
            marks.append(now | dict(x0=first, x1=stop, y0=-0.5, y1=TILE - 0.5))
        else:
            marks.append(now | dict(x0=p.now.k - 0.5, x1=p.now.k + 0.5, y0=first, y1=stop))
    line = dict(type="line", line=dict(color=colour["faint"], width=1, dash="dot"))
    for n in (3, 4):
        within = dict(xref=f"x{n}", yref=f"y{n} domain", x0=p.step, x1=p.step, y0=0, y1=1)
        marks.append(line | within)
    return marks
