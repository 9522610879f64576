"""Draws an `OnlinePayload`: the row of logits with the current block, and what is kept of it."""

from collections.abc import Callable
from typing import Any

from simplex_lib.widgets.kit import (
    COLOURS,
    WIDTH,
    figure,
    fit_step,
    png,
    quiet_axes,
    signed,
    still_figure,
)
from simplex_lib.widgets.online_steps import FARTHEST, OnlinePayload

LEFT, RIGHT = 58, 12
LOGITS, KEPT = 120, 96  # heights of the two panels
TITLE, UNDER, BETWEEN = 40, 40, 40
HEIGHT = TITLE + LOGITS + BETWEEN + KEPT + UNDER
CLEAR = "#00000000"
TITLES = ("logits of the query; the line is m", "exp(logit − m) of the keys read; their sum is l")


def controls(p: OnlinePayload) -> dict[str, Any]:
    import ipywidgets

    style = dict(description_width="initial")
    step = ipywidgets.IntSlider(
        p.step, min=0, max=len(p.steps) - 1, description="blocks read", style=style,
        layout=dict(width="226px", margin="2px 2px 2px 12px"),
    )  # fmt: skip
    offset = ipywidgets.FloatSlider(
        p.offset, min=-FARTHEST, max=FARTHEST, description="offset", style=style,
        layout=dict(width="222px", margin="2px 2px 2px 12px"), readout_format=".0f",
    )  # fmt: skip
    fit_step(offset, p.offset, 10)
    return dict(step=step, offset=offset)


def buttons(go: Callable[[int], None]) -> tuple[Any, Any]:
    import ipywidgets

    back = ipywidgets.Button(description="back", icon="arrow-left", layout=dict(width="76px"))
    forward = ipywidgets.Button(description="next", icon="arrow-right", layout=dict(width="76px"))
    back.on_click(lambda _: go(-1))
    forward.on_click(lambda _: go(1))
    return back, forward


def picture(p: OnlinePayload) -> Any:
    n = len(p.logits)
    height = HEIGHT
    fig = figure(height)
    fig.update_layout(margin=dict(l=0, r=0, t=0, b=0), barmode="overlay")
    across = dict(domain=[LEFT / WIDTH, 1 - RIGHT / WIDTH], range=[-0.6, n - 0.4], showgrid=False)
    ticks = dict(tickvals=list(range(n)))
    upper = [(UNDER + KEPT + BETWEEN) / height, 1 - TITLE / height]
    lower = [UNDER / height, (UNDER + KEPT) / height]
    fig.update_layout(
        xaxis=dict(**across, **ticks, showticklabels=False, anchor="y"),
        yaxis=dict(domain=upper, anchor="x", title_text="logit", showgrid=True, nticks=5),
        xaxis2=dict(**across, **ticks, anchor="y2", title_text="key"),
        yaxis2=dict(domain=lower, anchor="x2", title_text="exp(logit − m)", showgrid=True,
                    range=[0, 1.08], tickvals=[0, 0.5, 1]),
    )  # fmt: skip
    quiet = dict(hoverinfo="skip")
    second = dict(xaxis="x2", yaxis="y2")
    keys = list(range(n))
    fig.add_bar(name="logits", x=keys, width=0.7,
                hovertemplate="key %{x}: logit %{customdata:.3f}<extra></extra>")  # fmt: skip
    fig.add_scatter(name="old m", mode="lines", line=dict(width=2, dash="dash"), **quiet)
    fig.add_scatter(name="m", mode="lines", line_width=3, **quiet)
    fig.add_bar(name="kept", x=keys, width=0.7, **second,
                hovertemplate="key %{x}: %{y:.4f}<extra></extra>")  # fmt: skip
    for text, at in zip(TITLES, (upper, lower), strict=True):
        fig.add_annotation(
            text=text, x=LEFT / WIDTH, y=at[1], xref="paper", yref="paper", xanchor="left",
            yanchor="bottom", yshift=18 if at is upper else 4, showarrow=False,
        )  # fmt: skip
    for number, step in enumerate(p.steps[1:], start=1):
        fig.add_annotation(
            text=f"block {number}", x=(step.keys[0] + step.keys[-1]) / 2, y=upper[1], xref="x",
            yref="paper", xanchor="center", yanchor="bottom", yshift=1, showarrow=False,
        )  # fmt: skip
    quiet_axes(fig)
    return fig


def draw(fig: Any, p: OnlinePayload, dark: bool) -> None:
    colour = COLOURS[dark]
    logits, old_line, line, kept = fig.data
    now = p.steps[p.step]
    low, high = _range(p)
    fills, edges = _bar_looks(p, colour)
    with fig.batch_update():
        logits.base, logits.y = low, [x - low for x in p.logits]
        logits.customdata = p.logits
        logits.marker.color, kept.marker.color = fills, fills
        logits.marker.line = kept.marker.line = dict(color=edges, width=1.5)
        kept.y = p.kept
        line.x, line.y = _level(p, p.step)
        line.line.color = colour["query"]
        old_line.x, old_line.y = _level(p, p.step - 1)
        old_line.line.color = colour["faint"]
        fig.layout.yaxis.range = [low, high]
        fig.layout.shapes = _marks(p, dark)
        for number in range(1, len(p.steps)):
            text = f"block {number}"
            text = f"<b>▾ {text}</b>" if number == p.step else text
            fig.layout.annotations[1 + number].text = text if len(p.steps) < 12 else ""
        title = TITLES[0] + (f" = {signed(now.m)}" if p.step else "")
        fig.layout.annotations[0].text = title
        title = TITLES[1] + (f" = {signed(now.l, 3)}" if p.step else "")
        fig.layout.annotations[1].text = title


def still(p: OnlinePayload) -> bytes:
    colour = COLOURS[False]
    drawn = still_figure(8.2, 3.9)
    upper, lower = drawn.subplots(2, 1, sharex=True, height_ratios=[LOGITS, KEPT])
    low, high = _range(p)
    fills, edges = _bar_looks(p, colour)
    keys, now = range(len(p.logits)), p.steps[p.step]
    looks = dict(color=fills, edgecolor=edges, linewidth=1.2)
    upper.bar(keys, [x - low for x in p.logits], 0.7, bottom=low, **looks)
    lower.bar(keys, [x or 0.0 for x in p.kept], 0.7, color=fills)
    for step, style in ((p.step - 1, dict(ls="--", color=colour["faint"], lw=1.5)),
                        (p.step, dict(color=colour["query"], lw=2.4))):  # fmt: skip
        if points := _level(p, step)[0]:
            upper.plot(points, _level(p, step)[1], **style)
    for axes in (upper, lower):
        for step in p.steps[2:]:
            axes.axvline(step.keys[0] - 0.5, color=colour["faint"], lw=1, ls=":")
        if p.step:
            axes.axvspan(now.keys[0] - 0.5, now.keys[-1] + 0.5, color="#6f768222", lw=0)
        axes.spines[["top", "right"]].set_visible(False)
    title = f" = {signed(now.m)}" if p.step else ""
    upper.set(ylim=(low, high), ylabel="logit", title=f"{TITLES[0]}{title}")
    title = f" = {signed(now.l, 3)}" if p.step else ""
    lower.set(ylim=(0, 1.08), ylabel="exp(logit − m)", title=f"{TITLES[1]}{title}")
    lower.set(xlabel="key", xticks=list(keys), xlim=(-0.6, len(keys) - 0.4))
    for axes in (upper, lower):
        axes.title.set_fontsize(10)
    return png(drawn)


def _range(p: OnlinePayload) -> tuple[float, float]:
    """Room below the smallest logit, so that it has a bar too, and above the largest."""
    low, high = min(p.logits), max(p.logits)
    room = max(high - low, 1.0)
    return low - 0.2 * room, high + 0.1 * room


def _level(p: OnlinePayload, step: int) -> tuple[list[float], list[float]]:
    """The line of m after a step, over the keys read by then; none before the first."""
    if step < 1:
        return [], []
    return [-0.5, p.steps[step].keys.stop - 0.5], [p.steps[step].m] * 2


def _bar_looks(p: OnlinePayload, colour: dict[str, str]) -> tuple[list[str], list[str]]:
    """Read bars are full, those of the current block in another colour, unread ones empty."""
    now = p.steps[p.step].keys
    edges = [colour["query" if j in now else "key"] for j in range(len(p.logits))]
    return [edge if j < now.stop else CLEAR for j, edge in enumerate(edges)], edges


def _marks(p: OnlinePayload, dark: bool) -> list[dict[str, Any]]:
    """In both panels: dotted lines between blocks and a band behind the current one."""
    line = dict(color=COLOURS[dark]["faint"], width=1, dash="dot")
    veil = "rgba(160,168,180,0.22)" if dark else "rgba(111,118,130,0.15)"
    band = dict(type="rect", fillcolor=veil, line_width=0, layer="below")
    marks = []
    for a in ("", "2"):
        within = dict(xref=f"x{a}", yref=f"y{a} domain", y0=0, y1=1)
        edges = [step.keys[0] - 0.5 for step in p.steps[2:]]
        marks += [dict(type="line", x0=x, x1=x, line=line, **within) for x in edges]
        if p.step:
            keys = p.steps[p.step].keys
            marks.append(dict(x0=keys[0] - 0.5, x1=keys[-1] + 0.5, **band, **within))
    return marks
