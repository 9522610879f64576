"""Draws a `HeadsPayload`: a map a head, and the chosen row as bars."""

import math
from typing import Any

from simplex_lib.widgets.heads_maps import COOLEST, HOTTEST, LONGEST, HeadsPayload
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


def picture(p: HeadsPayload) -> Any:
    h, s = p.maps.shape[:2]
    across = min(h, ACROSS)
    down = math.ceil(h / across)
    side = min(150, (WIDTH - LEFT - BAR_ROOM - (across - 1) * GAP) // across)
    maps_high = down * (side + TITLE) + (down - 1) * GAP
    height = maps_high + UNDER + TITLE + BARS + BARS_UNDER
    fig = figure(height)
    fig.update_layout(margin=dict(l=0, r=0, t=0, b=0), bargap=0.25)

    ticks = _ticks(s)
    for n in range(h):
        row, column = divmod(n, across)
        x0 = LEFT + column * (side + GAP)
        top = row * (side + TITLE + GAP) + TITLE
        a = str(n + 1) if n else ""
        last = n + across >= h  # no map below
        fig.update_layout({
            f"xaxis{a}": dict(
                domain=[x0 / WIDTH, (x0 + side) / WIDTH], anchor=f"y{a}", range=[-0.5, s - 0.5],
                showgrid=False, tickvals=ticks, showticklabels=last,
                title_text="key" if last else "",
            ),
            f"yaxis{a}": dict(
                domain=[1 - (top + side) / height, 1 - top / height], anchor=f"x{a}",
                range=[s - 0.5, -0.5], showgrid=False, tickvals=ticks, showticklabels=column == 0,
                title_text="query" if column == 0 else "",
            ),
        })  # fmt: skip
        fig.add_heatmap(
            name=str(n), xaxis=f"x{a}", yaxis=f"y{a}", coloraxis="coloraxis", hoverongaps=False,
            hovertemplate=f"head {n}, query %{{y}}, key %{{x}}: %{{z:.3f}}<extra></extra>",
        )  # fmt: skip
        fig.add_annotation(
            x=(x0 + side / 2) / WIDTH, y=1 - top / height, xref="paper", yref="paper",
            xanchor="center", yanchor="bottom", showarrow=False, text="",
        )  # fmt: skip
    x, y = f"xaxis{h + 1}", f"yaxis{h + 1}"
    words = [label(token) for token in p.tokens]
    fig.update_layout({
        x: dict(domain=[LEFT / WIDTH, 1 - 8 / WIDTH], anchor=f"y{h + 1}", range=[-0.6, s - 0.4],
                showgrid=False, tickvals=list(range(s)) if s <= 24 else ticks, title_text="key",
                ticktext=words if s <= 24 else [words[t] for t in ticks]),
        y: dict(domain=[BARS_UNDER / height, (BARS_UNDER + BARS) / height], anchor=f"x{h + 1}",
                range=[0, 1.05], tickvals=[0, 0.5, 1], showgrid=True, title_text="weight"),
        "coloraxis": dict(cmin=0, cmax=1, colorbar=dict(
            thickness=12, len=maps_high - TITLE - 14, lenmode="pixels", y=1 - (TITLE + 14) / height,
            yanchor="top", x=1 - (BAR_ROOM - 16) / WIDTH, xanchor="left", outlinewidth=0, xpad=0,
            ypad=0, tickvals=[0, 0.05, 0.2, 0.5, 1], ticklen=3,
            title=dict(text="weight", font_size=12),
        )),
    })  # fmt: skip
    fig.add_bar(name="row", x=list(range(s)), xaxis=f"x{h + 1}", yaxis=f"y{h + 1}", width=0.7,
                hovertemplate="key %{x}: %{y:.3f}<extra></extra>")  # fmt: skip
    fig.add_annotation(
        x=LEFT / WIDTH, y=(BARS_UNDER + BARS) / height, xref="paper", yref="paper", text="",
        xanchor="left", yanchor="bottom", showarrow=False,
    )  # fmt: skip
    quiet_axes(fig)
    return fig


def draw(fig: Any, p: HeadsPayload, dark: bool) -> None:
    colour, h = COLOURS[dark], len(p.maps)
    s = p.maps.shape[-1]
    # None where a key is hidden: NaN is not JSON, and four digits are enough for a colour
    maps = [[[_cell(x) for x in row] for row in m] for m in p.maps.tolist()]
    with fig.batch_update():
        for n in range(h):
            fig.data[n].z = maps[n]
            title = f"head {n}: {p.entropy[n]:.2f} nats"
            fig.layout.annotations[n].text = f"<b>▸ {title}</b>" if n == p.head else title
        fig.layout.coloraxis.colorscale = heat_scale(dark)
        fig.layout.shapes = [_row_mark(n, p, s, colour) for n in range(h)]
        fig.data[h].y = p.weights
        fig.data[h].marker.color = colour["key"]
        fig.layout.annotations[h].text = f"<b>head {p.head}, query {_query_name(p)}</b>"


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
    upper.colorbar(image, ax=grid, label="weight", shrink=0.9, ticks=[0, 0.05, 0.2, 0.5, 1])
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


def _ticks(s: int) -> list[int]:
    step = next(n for n in (1, 2, 4, 5, 8, 10, 16) if s / n <= 8)
    return list(range(0, s, step))


def _row_mark(n: int, p: HeadsPayload, s: int, colour: dict[str, str]) -> dict[str, Any]:
    """A frame round the chosen query in one map; thicker in the chosen head."""
    a = str(n + 1) if n else ""
    line = dict(color=colour["query"], width=3 if n == p.head else 1.5)
    return dict(type="rect", xref=f"x{a}", yref=f"y{a}", x0=-0.5, x1=s - 0.5, y0=p.query - 0.5,
                y1=p.query + 0.5, line=line)  # fmt: skip


def _cell(x: float) -> float | None:
    return None if x != x else round(x, 4)


def _query_name(p: HeadsPayload) -> str:
    word = p.tokens[p.query]
    return str(p.query) if word == str(p.query) else f"{p.query} ‘{label(word)}’"
