"""Draws a `PlanPayload`: the plane of both windows with what the budgets allow."""

from math import floor, log10
from typing import Any

from simplex_lib.widgets.kit import COLOURS, WIDTH, figure, quiet_axes
from simplex_lib.widgets.planner_costs import (
    CACHE,
    FLOPS,
    LONGEST,
    WIDEST,
    PlanPayload,
    allowed_region,
    budgets,
    choices,
    same_product,
    same_sum,
    share_name,
    short,
)

LEFT, TOP, PLANE_WIDTH, PLANE_HEIGHT = 50, 48, 580, 400
HEIGHT = TOP + PLANE_HEIGHT + 44
LOW = 0.7  # the plane reaches a little below and beyond its dots
RIGHT, UP = (w * 1.43 for w in WIDEST)
LENGTHS = sorted([*(2**n for n in range(10, LONGEST.bit_length())), 49_152])
STOPS: dict[str, Any] = {  # per choice: the name of its slider, the values on it, a word for each
    "seq_len": ("length s", LENGTHS, short),
    "budget": ("FLOP budget", budgets(*FLOPS), share_name),
    "cache": ("cache budget", budgets(*CACHE), share_name),
    "w1": ("w1", choices(WIDEST[0]), short),
    "w2": ("w2", choices(WIDEST[1]), short),
}
VEIL = {False: "rgba(4,116,58,0.16)", True: "rgba(88,201,138,0.2)"}


def controls(chosen: dict[str, Any]) -> dict[str, Any]:
    import ipywidgets

    look = dict(style=dict(description_width="92px"), layout=dict(width="310px"))
    return {
        name: ipywidgets.SelectionSlider(
            options=_options(name, value), value=value, description=STOPS[name][0], **look
        )
        for name, value in chosen.items()
    }


def fit(sliders: dict[str, Any], chosen: dict[str, Any]) -> None:
    """Give sliders a stop at what code chose."""
    for name, slider in sliders.items():
        if chosen[name] not in [value for _, value in slider.options]:
            slider.options = _options(name, chosen[name])
        slider.value = chosen[name]


def _options(name: str, value: float) -> list[tuple[str, float]]:
    _, known, word = STOPS[name]
    return [(word(n), n) for n in sorted({*known, value})]


def picture(p: PlanPayload) -> Any:
    fig = figure(HEIGHT)
    fig.update_layout(margin=dict(l=0, r=0, t=0, b=0))

    def axis(name: str, widest: int, end: float) -> dict[str, Any]:
        stops = choices(widest)
        return dict(type="log", range=[log10(LOW), log10(end)], tickvals=stops, showgrid=False,
                    ticktext=[short(n) for n in stops], title_text=name)  # fmt: skip

    fig.update_layout(
        xaxis=axis("first window w1", WIDEST[0], RIGHT)
        | dict(domain=[LEFT / WIDTH, (LEFT + PLANE_WIDTH) / WIDTH]),
        yaxis=axis("second window w2", WIDEST[1], UP)
        | dict(domain=[1 - (TOP + PLANE_HEIGHT) / HEIGHT, 1 - TOP / HEIGHT]),
    )
    quiet = dict(mode="lines", hoverinfo="skip")
    fig.add_scatter(name="allowed", fill="toself", line_width=0, **quiet)
    fig.add_scatter(name="FLOP budget", line=dict(width=3), **quiet)
    fig.add_scatter(name="cache budget", line=dict(width=3, dash="dash"), **quiet)
    fig.add_scatter(name="same FLOPs", line=dict(width=2, dash="dot"), **quiet)
    dots = [(w1, w2) for w2 in choices(WIDEST[1]) for w1 in choices(WIDEST[0])]
    fig.add_scatter(
        name="dots", x=[x for x, _ in dots], y=[y for _, y in dots], mode="markers",
        hovertemplate="%{x} × %{y}<extra></extra>",
    )  # fmt: skip
    fig.add_scatter(
        name="paper", x=[x.w1 for x in p.paper], y=[x.w2 for x in p.paper], mode="markers+text",
        marker=dict(symbol="diamond", size=13), textposition="top right", textfont_size=11,
        text=[f"{x.latency_ms:g}" for x in p.paper],
        hovertemplate="%{x} × %{y}: %{text} ms<extra></extra>",
    )  # fmt: skip
    fig.add_scatter(
        name="chosen", mode="markers", hoverinfo="skip",
        marker=dict(symbol="circle-open", size=19, line_width=4),
    )  # fmt: skip
    for up in (20, 2):
        fig.add_annotation(
            x=LEFT / WIDTH, y=1 - TOP / HEIGHT, yshift=up, xref="paper", yref="paper", text="",
            xanchor="left", yanchor="bottom", showarrow=False,
        )  # fmt: skip
    quiet_axes(fig)
    return fig


def draw(fig: Any, p: PlanPayload, dark: bool) -> None:
    colour = COLOURS[dark]
    allowed, flops, cache, same, dots, paper, chosen = fig.data
    lines = (
        (allowed, allowed_region(p, LOW, RIGHT, UP)),
        (flops, same_product(p.most_pairs, LOW, RIGHT)),
        (cache, same_sum(p.most_keys, LOW, RIGHT)),
        (same, same_product(p.chosen.w1 * p.chosen.w2, LOW, RIGHT)),
    )
    fits = [y <= UP and x <= p.widest(y) for x, y in zip(dots.x, dots.y, strict=True)]
    with fig.batch_update():
        for trace, points in lines:
            trace.x, trace.y = ([point[n] for point in points] for n in (0, 1))
        allowed.fillcolor = VEIL[dark]
        flops.line.color, cache.line.color = colour["out"], colour["key"]
        same.line.color = colour["query"]
        look = dots.marker  # part by part: plotly refuses the whole beside a part
        look.size = [8 if fit else 6 for fit in fits]
        look.symbol = ["circle" if fit else "x-thin" for fit in fits]
        look.color, look.line.color = colour["out"], colour["faint"]
        look.line.width = [0 if fit else 1 for fit in fits]
        paper.marker.color = colour["ink"]
        chosen.x, chosen.y = [p.chosen.w1], [p.chosen.w2]
        chosen.marker.color = colour["query"]
        for note, text in zip(fig.layout.annotations, _legend(p, colour), strict=True):
            note.text = text


def _legend(p: PlanPayload, colour: dict[str, str]) -> tuple[str, str]:
    def sign(text: str, name: str) -> str:
        return f'<span style="color:{colour[name]}">{text}</span>'

    return (
        f"{sign('●', 'out')} fits &nbsp; {sign('━━', 'out')} FLOP budget: w1 · w2 = "
        f"{floor(p.most_pairs):,} &nbsp; {sign('━ ━', 'key')} cache budget: w1 + w2 = "
        f"{floor(p.most_keys):,}",
        f"{sign('◯', 'query')} chosen &nbsp; {sign('┅┅', 'query')} as many FLOPs as the chosen"
        " &nbsp; ◆ the paper's Table 1, latency in ms",
    )
