"""Draws a `PlanePayload`: keys and query, weights as bars, values and output."""

from typing import Any

from simplex_lib.widgets.kit import (
    COLOURS,
    WIDTH,
    figure,
    fit_step,
    label,
    maths_free,
    png,
    quiet_axes,
    still_figure,
)
from simplex_lib.widgets.plane_points import LONGEST, SPAN, PlanePayload

HEIGHT = 300
PLANE_PX, BARS_PX = 220, 56
REACH = 6.4  # the left plane must hold the longest query
TITLES = ("query and keys", "weights", "values and output")


def controls(choices: dict[str, Any]) -> dict[str, Any]:
    import ipywidgets

    wide = dict(layout=dict(width="315px"), style=dict(description_width="54px"))
    angle = ipywidgets.FloatSlider(
        choices["angle"], min=0, max=360, description="angle °", readout_format=".0f",
        **wide,
    )  # fmt: skip
    length = ipywidgets.FloatSlider(
        choices["length"], min=0, max=LONGEST, description="length", **wide
    )
    steps(dict(angle=angle, length=length), choices)
    return dict(angle=angle, length=length)


def steps(sliders: dict[str, Any], choices: dict[str, Any]) -> None:
    fit_step(sliders["angle"], choices["angle"], 5)
    fit_step(sliders["length"], choices["length"], 0.25)


def picture(p: PlanePayload) -> Any:
    """The figure with everything that stays; `draw` fills in what moves."""
    fig = figure(HEIGHT)
    left, middle, right = 46, 46 + PLANE_PX + 30, WIDTH - 4 - PLANE_PX
    widths = zip((left, middle, right), (PLANE_PX, BARS_PX, PLANE_PX), strict=True)
    spans = [(start, start + width) for start, width in widths]
    domains = [[a / WIDTH, b / WIDTH] for a, b in spans]
    fig.update_layout(margin=dict(l=0, r=0, t=HEIGHT - 40 - PLANE_PX, b=40))
    square = dict(range=[-REACH, REACH], tickvals=[-6, -3, 0, 3, 6], showgrid=True, gridwidth=1)
    small = dict(range=[-SPAN, SPAN], tickvals=[-2, 0, 2], showgrid=True, gridwidth=1)
    names = [label(name) for name in p.labels]
    fig.update_layout(
        xaxis=dict(domain=domains[0], title_text="coordinate 1", **square),
        yaxis=dict(title_text="coordinate 2", **square),
        xaxis2=dict(domain=domains[1], anchor="y2", range=[0, 1.0], tickvals=[0, 0.5, 1],
                    title_text="weight", showgrid=True),
        yaxis2=dict(anchor="x2", range=[len(names) - 0.5, -0.5], tickvals=list(range(len(names))),
                    ticktext=names),
        xaxis3=dict(domain=domains[2], anchor="y3", title_text="coordinate 1", **small),
        yaxis3=dict(anchor="x3", title_text="coordinate 2", **small),
    )  # fmt: skip
    quiet_axes(fig)
    for text, (a, b) in zip(TITLES, domains, strict=True):
        fig.add_annotation(
            text=text, x=(a + b) / 2, y=1, xref="paper", yref="paper", yshift=4,
            xanchor="center", yanchor="bottom", showarrow=False,
        )  # fmt: skip
    rays_x = [c for x, _ in p.keys for c in (0, x, None)]
    rays_y = [c for _, y in p.keys for c in (0, y, None)]
    keys_x, keys_y = zip(*p.keys, strict=True)
    hull_x, hull_y = zip(*p.hull, strict=True)
    values_x, values_y = zip(*p.values, strict=True)
    quiet = dict(hoverinfo="skip")
    fig.add_scatter(name="rays", x=rays_x, y=rays_y, mode="lines", line_width=2, **quiet)
    fig.add_scatter(
        name="keys", x=keys_x, y=keys_y, mode="markers+text", text=names, marker_size=9,
        textposition=[_away(x, y) for x, y in p.keys],
        hovertemplate="key %{text}: (%{x:.2f}, %{y:.2f})<extra></extra>",
    )  # fmt: skip
    fig.add_scatter(
        name="query", mode="lines+markers", line_width=4, **quiet,
        marker=dict(symbol=["circle", "arrow"], size=[5, 20], angleref="previous", opacity=1),
    )  # fmt: skip
    fig.add_bar(
        name="weights", xaxis="x2", yaxis="y2", orientation="h", width=0.62,
        textposition="outside", cliponaxis=False, textangle=0, **quiet,
    )  # fmt: skip
    third = dict(xaxis="x3", yaxis="y3")
    fig.add_scatter(
        name="hull", x=hull_x, y=hull_y, mode="lines", fill="toself", line_width=1, **third, **quiet
    )
    fig.add_scatter(name="path", mode="lines", line=dict(width=2, dash="dot"), **third, **quiet)
    fig.add_scatter(
        name="values", x=values_x, y=values_y, mode="markers+text", text=names,
        textposition=[_away(x, y) for x, y in p.values], **third,
        hovertemplate="value of %{text}: (%{x:.2f}, %{y:.2f})<extra></extra>",
    )  # fmt: skip
    fig.add_scatter(
        name="out", mode="markers", marker=dict(symbol="star-diamond", size=17), **third,
        hovertemplate="output: (%{x:.2f}, %{y:.2f})<extra></extra>",
    )  # fmt: skip
    return fig


def draw(fig: Any, p: PlanePayload, dark: bool) -> None:
    colour = COLOURS[dark]
    rays, keys, query, bars, hull, path, values, out = fig.data
    with fig.batch_update():
        rays.line.color = keys.marker.color = colour["key"]
        query.x, query.y = zip((0.0, 0.0), p.query, strict=True)
        query.line.color = query.marker.color = colour["query"]
        query.marker.size = [5, 20 if p.length else 0]
        bars.x, bars.y = p.weights, list(range(len(p.labels)))
        bars.text = [f"{w:.2f}" for w in p.weights]
        bars.marker.color = colour["key"]
        bars.marker.line = dict(
            color=colour["ink"], width=[2 if n == p.winner else 0 for n in range(len(p.labels))]
        )
        hull.line.color, hull.fillcolor = colour["faint"], _veil(dark)
        path.x, path.y = zip(*p.path, strict=True)
        path.line.color = colour["out"]
        values.marker.color = colour["key"]
        values.marker.size = [7 + 17 * w**0.5 for w in p.weights]
        out.x, out.y = [p.out[0]], [p.out[1]]
        out.marker.color = colour["out"]
        out.marker.line = dict(color=colour["ink"], width=1.5)


def still(p: PlanePayload) -> bytes:
    colour = COLOURS[False]
    drawn = still_figure(8.2, 3.3)
    look, weights, mix = drawn.subplots(1, 3, width_ratios=[3, 1.3, 3])
    for axes, title, half in ((look, TITLES[0], REACH), (mix, TITLES[2], SPAN)):
        axes.set(xlim=(-half, half), ylim=(-half, half), aspect="equal", title=title)
        axes.set(xlabel="coordinate 1", ylabel="coordinate 2")
        axes.grid(color="#dddddd", linewidth=0.7)
        axes.set_axisbelow(True)
    look.plot(0, 0, "o", color=colour["query"], ms=4)
    for name, key, value, weight in zip(p.labels, p.keys, p.values, p.weights, strict=True):
        look.plot(*zip((0, 0), key, strict=True), color=colour["key"], lw=1.6)
        look.plot(*key, "o", color=colour["key"], ms=5)
        _letter(look, name, key, 9)
        mix.plot(*value, "o", color=colour["key"], ms=4 + 12 * weight**0.5)
        _letter(mix, name, value, 8 + 8 * weight**0.5)
    if p.length:
        style = dict(arrowstyle="-|>", color=colour["query"], lw=3, mutation_scale=16)
        look.annotate("", p.query, (0, 0), arrowprops=dict(**style, shrinkA=0, shrinkB=0))
    rows = range(len(p.labels))
    edges = [colour["ink"] if n == p.winner else "none" for n in rows]
    weights.barh(rows, p.weights, 0.62, color=colour["key"], edgecolor=edges, linewidth=1.6)
    for n, weight in enumerate(p.weights):
        weights.text(weight + 0.03, n, f"{weight:.2f}", va="center", fontsize=9)
    weights.set(
        yticks=list(rows),
        yticklabels=[maths_free(x) for x in p.labels],
        xlim=(0, 1.3),
        xticks=[0, 0.5, 1],
    )
    weights.set(xlabel="weight", title=TITLES[1])
    weights.invert_yaxis()
    weights.spines[["top", "right"]].set_visible(False)
    mix.fill(*zip(*p.hull, strict=True), facecolor="#6f768218", edgecolor=colour["faint"], lw=1)
    mix.plot(*zip(*p.path, strict=True), ":", color=colour["out"], lw=1.8)
    mix.plot(*p.out, "D", color=colour["out"], mec=colour["ink"], ms=9, zorder=5)
    return png(drawn)


def _letter(axes: Any, name: str, at: tuple[float, float], distance: float) -> None:
    """A name beside a point, on the side away from the middle."""
    x, y = at
    size = max((x * x + y * y) ** 0.5, 1e-9)
    axes.annotate(
        maths_free(name), at, (x / size * distance, y / size * distance),
        textcoords="offset points", ha="center", va="center", fontsize=10, fontweight="bold",
    )  # fmt: skip


def _away(x: float, y: float) -> str:
    """The side of a point that faces away from the middle."""
    if abs(x) > 2 * abs(y):
        return "middle right" if x > 0 else "middle left"
    return "top center" if y > 0 else "bottom center"


def _veil(dark: bool) -> str:
    return "rgba(160,168,180,0.16)" if dark else "rgba(111,118,130,0.12)"
