"""Draws a `HeadsPayload`: a map a head, and the chosen row as bars."""

import math
from dataclasses import dataclass
from typing import Any

from simplex_lib.widgets.heads_maps import COOLEST, HOTTEST, LONGEST, HeadsPayload
from simplex_lib.widgets.heads_pixels import data_uri
from simplex_lib.widgets.kit import (
    COLOURS,
    WIDTH,
    figure,
    fit_slider,
    heat_scale,
    label,
    maths_free,
    png,
    quiet_axes,
    still_figure,
)

ACROSS = 4  # maps in a row
LEFT, GAP, BAR_ROOM = 46, 12, 64  # pixels: axis titles, between maps, the colour bar
TITLE, UNDER = 20, 42  # above each map; below the last one
BARS, BARS_UNDER = 96, 44


def controls(p: HeadsPayload, choices: dict[str, Any]) -> dict[str, Any]:
    import ipywidgets

    def slider(kind: Any, value: Any, name: str, width: int, **options: Any) -> Any:
        style = dict(description_width="initial")
        layout = dict(width=f"{width}px")
        return kind(value, description=name, layout=layout, style=style, **options)

    h, s = p.maps.shape[:2]
    head = slider(ipywidgets.IntSlider, choices["head"], "head", 182, max=LONGEST)
    query = slider(ipywidgets.IntSlider, choices["query"], "query", 194, max=LONGEST)
    fit_slider(head, h)
    fit_slider(query, s)
    return dict(
        temperature=slider(
            ipywidgets.FloatLogSlider, choices["temperature"], "temperature T", 256, base=10,
            min=math.log10(COOLEST), max=math.log10(HOTTEST), step=0.05, readout_format=".2f",
        ),
        head=head,
        query=query,
    )  # fmt: skip


@dataclass(frozen=True)
class Places:
    """Where the maps lie, in pixels from the upper left corner."""

    corners: list[tuple[int, int]]  # of each map, the left and the upper edge
    side: int  # of each map
    bottom: int  # of the lowest map
    down: int  # rows of maps

    @classmethod
    def of(cls, h: int) -> "Places":
        across = min(h, ACROSS)
        down = math.ceil(h / across)
        side = min(150, (WIDTH - LEFT - BAR_ROOM - (across - 1) * GAP) // across)
        step = side + TITLE + GAP
        corners = [(LEFT + n % across * (side + GAP), TITLE + n // across * step) for n in range(h)]
        return cls(corners, side, TITLE + (down - 1) * step + side, down)


def picture(p: HeadsPayload) -> Any:
    """All maps in one pair of axes that counts pixels, and the row as bars in another."""
    h, s = p.maps.shape[:2]
    places = Places.of(h)
    low = places.bottom + UNDER + TITLE  # upper edge of the bars
    height = low + BARS + BARS_UNDER
    cell, edge = places.side / s, LEFT + (min(h, ACROSS) - 1) * (places.side + GAP) + places.side
    fig = figure(height)
    fig.update_layout(margin=dict(l=0, r=0, t=0, b=0), hoverdistance=-1)

    ticks, words = _ticks(s), [label(token) for token in p.tokens]
    bottom = [(x, y) for x, y in places.corners if y + places.side == places.bottom]
    first = [y for x, y in places.corners if x == LEFT]
    fig.update_layout(
        xaxis=dict(domain=[(LEFT - 2) / WIDTH, (edge + 2) / WIDTH], range=[LEFT - 2, edge + 2],
                   showgrid=False, title_text="key",
                   tickvals=[x + (t + 0.5) * cell for x, _ in bottom for t in ticks],
                   ticktext=[str(t) for _ in bottom for t in ticks]),
        yaxis=dict(domain=[1 - (places.bottom + 2) / height, 1], range=[places.bottom + 2, 0],
                   showgrid=False, title_text="query",
                   tickvals=[y + (t + 0.5) * cell for y in first for t in ticks],
                   ticktext=[str(t) for _ in first for t in ticks]),
        xaxis2=dict(domain=[LEFT / WIDTH, 1 - 8 / WIDTH], anchor="y2", range=[-0.6, s - 0.4],
                    showgrid=False, title_text="key", tickvals=list(range(s)) if s <= 24 else ticks,
                    ticktext=words if s <= 24 else [words[t] for t in ticks]),
        yaxis2=dict(domain=[BARS_UNDER / height, (BARS_UNDER + BARS) / height], anchor="x2",
                    range=[0, 1.05], tickvals=[0, 0.5, 1], showgrid=True, title_text="weight"),
    )  # fmt: skip
    # one point a row of a map: the nearest one is the row under the pointer
    rows = [(x, y, n, i) for n, (x, y) in enumerate(places.corners) for i in range(s)]
    fig.add_scatter(
        name="rows", x=[x + places.side / 2 for x, *_ in rows], mode="markers", opacity=0,
        y=[y + (i + 0.5) * cell for _, y, _, i in rows], customdata=[r[2:] for r in rows],
        hovertemplate="head %{customdata[0]}, query %{customdata[1]}<extra></extra>",
        marker=dict(color=[0.0] * len(rows), cmin=0, cmax=1, showscale=True, colorbar=dict(
            thickness=12, len=places.bottom - TITLE - 14, lenmode="pixels", outlinewidth=0,
            x=1 - (BAR_ROOM - 16) / WIDTH, xanchor="left", y=1 - (TITLE + 14) / height,
            yanchor="top", xpad=0, ypad=0, ticklen=3,
            tickvals=_bar_ticks(places.down),
        )),
    )  # fmt: skip
    fig.add_bar(name="row", x=list(range(s)), xaxis="x2", yaxis="y2", width=0.7,
                hovertemplate="key %{x}: %{y:.3f}<extra></extra>")  # fmt: skip
    for x, y in places.corners:
        fig.add_layout_image(x=x, y=y, sizex=places.side, sizey=places.side, xref="x", yref="y",
                             sizing="stretch", layer="below")  # fmt: skip
        fig.add_annotation(x=x + places.side / 2, y=y, xref="x", yref="y", xanchor="center",
                           yanchor="bottom", showarrow=False, text="")  # fmt: skip
    on_paper = dict(xref="paper", yref="paper", xanchor="left", yanchor="bottom", showarrow=False)
    fig.add_annotation(x=LEFT / WIDTH, y=(BARS_UNDER + BARS) / height, text="", **on_paper)
    fig.add_annotation(text="weight", x=1 - (BAR_ROOM - 16) / WIDTH, y=1 - TITLE / height,
                       yshift=-8, **on_paper)  # fmt: skip
    quiet_axes(fig)
    return fig


def draw(fig: Any, p: HeadsPayload, dark: bool) -> None:
    colour, h = COLOURS[dark], len(p.maps)
    places, maps = Places.of(h), p.maps.numpy()
    rows, bars = fig.data
    with fig.batch_update():
        for n in range(h):
            fig.layout.images[n].source = data_uri(maps[n], dark=dark)
            title = f"head {n}: {p.entropy[n]:.2f} nats"
            fig.layout.annotations[n].text = f"<b>▸ {title}</b>" if n == p.head else title
        marked = f"{p.head} {p.query} {dark}"  # most changes leave the marks where they are
        if not fig.layout.shapes or fig.layout.shapes[0].name != marked:
            marks = [_row_mark(n, p, places, colour) for n in range(h)]
            fig.layout.shapes = [mark | dict(name=marked) for mark in marks]
        fig.layout.annotations[h].text = f"<b>head {p.head}, query {_query_name(p)}</b>"
        rows.marker.colorscale = heat_scale(dark)
        bars.y = p.weights
        bars.marker.color = colour["key"]


def still(p: HeadsPayload) -> bytes:
    from matplotlib.colors import LinearSegmentedColormap

    h, s = p.maps.shape[:2]
    across = min(h, ACROSS)
    down = math.ceil(h / across)
    scale = [(at, colour) for at, colour in heat_scale(False)]
    colours = LinearSegmentedColormap.from_list("weights", scale, N=512)
    drawn = still_figure(8.2, 1.95 * down + 1.7)
    upper, lower = drawn.subfigures(2, 1, height_ratios=[1.95 * down, 1.7])
    grid = upper.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    image = None
    for n, axes in enumerate(grid.flat):
        if n >= h:
            axes.set_visible(False)
            continue
        image = axes.imshow(p.maps[n].numpy(), cmap=colours, vmin=0, vmax=1)
        bold = dict(fontweight="bold") if n == p.head else {}
        axes.set_title(f"head {n}: {p.entropy[n]:.2f} nats", fontsize=9, **bold)
        axes.set(xticks=_ticks(s), yticks=_ticks(s))
        axes.axhspan(p.query - 0.5, p.query + 0.5, fill=False, ec=COLOURS[False]["query"], lw=1.4)
        axes.label_outer()
        axes.tick_params(labelsize=8)
    upper.supxlabel("key", fontsize=9)
    upper.supylabel("query", fontsize=9)
    upper.colorbar(image, ax=grid, label="weight", shrink=0.9, ticks=_bar_ticks(down))
    axes = lower.subplots()
    axes.bar(range(s), p.weights, 0.7, color=COLOURS[False]["key"])
    axes.set(ylim=(0, 1.05), xlim=(-0.6, s - 0.4), ylabel="weight", xlabel="key")
    shown = list(range(s)) if s <= 24 else _ticks(s)
    axes.set_xticks(shown, [maths_free(p.tokens[n]) for n in shown], fontsize=8)
    if any(len(token) > 3 for token in p.tokens):
        axes.tick_params(axis="x", rotation=40)
    query = maths_free(f"head {p.head}, query {p.query}")
    axes.set_title(query, fontsize=9, fontweight="bold", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return png(drawn)


def _bar_ticks(down: int) -> list[float]:
    """Of the colour bar: 0.05 only where it is long enough to part that from 0."""
    return [0, *([0.05] if down > 1 else []), 0.2, 0.5, 1]


def _ticks(s: int) -> list[int]:
    step = next(n for n in (1, 2, 4, 5, 8, 10, 16) if s / n <= 8)
    return list(range(0, s, step))


def _row_mark(n: int, p: HeadsPayload, places: Places, colour: dict[str, str]) -> dict[str, Any]:
    """A frame round the chosen query in one map; thicker in the chosen head."""
    x, y = places.corners[n]
    cell = places.side / len(p.tokens)
    line = dict(color=colour["query"], width=3 if n == p.head else 1.5)
    return dict(type="rect", xref="x", yref="y", line=line, x0=x, x1=x + places.side,
                y0=y + p.query * cell, y1=y + (p.query + 1) * cell)  # fmt: skip


def _query_name(p: HeadsPayload) -> str:
    word = p.tokens[p.query]
    return str(p.query) if word == str(p.query) else f"{p.query} ‘{label(word)}’"
