"""Draws a `TrainingPayload`: a progress bar for each model, all curves, and the buttons."""

import html
import math
from collections.abc import Callable
from typing import Any

from simplex_lib.widgets.kit import COLOURS, WIDTH
from simplex_lib.widgets.live_training_curves import (
    Line,
    Snapshot,
    TrainingPayload,
    percent,
    span,
)

LEFT, RIGHT, TOP, UNDER, HEIGHT = 42, 150, 8, 36, 260
# of each model: the name of its colour, the dashes of its curve, the mark of its points
LOOKS = (("key", "", "●"), ("query", "7 4", "■"), ("out", "2 3", "▲"), ("ink", "9 3 2 3", "◆"))
WORDS = {"a random block": "any block", "a block with a question letter": "by one letter"}
TOGGLE = {
    "ready": ("Start", "play"),
    "training": ("Stop", "stop"),
    "stopping": ("Stopping", "stop"),
    "stopped": ("Resume", "play"),
    "failed": ("Resume", "play"),
    "finished": ("Finished", "check"),
}


def slider(p: TrainingPayload, every: int) -> Any:
    import ipywidgets

    return ipywidgets.IntSlider(
        value=p.read, min=0, max=p.steps, step=every, description="read at step",
        style=dict(description_width="initial"), layout=dict(width="296px", margin="2px 0 2px 9px"),
    )  # fmt: skip


def buttons(toggle: Callable[[], None], again: Callable[[], None]) -> list[Any]:
    import ipywidgets

    made = []
    for text, act, width in (("Start", toggle, 110), ("Start again, new seed", again, 190)):
        layout = dict(width=f"{width}px", margin="2px 2px 2px 10px")
        button = ipywidgets.Button(description=text, layout=layout)
        button.on_click(lambda _, act=act: act())
        made.append(button)
    made[1].icon = "refresh"
    made[1].tooltip = "All models from another start; the curves of now stay as thin lines"
    return made


def relabel(button: Any, p: TrainingPayload) -> None:
    """Start, Stop, Resume: one button, so that the keyboard stays where it is."""
    button.description, button.icon = TOGGLE[p.status]
    left = any(not run.finished and not run.error for run in p.runs)
    button.disabled = not left
    button.button_style = "primary" if p.status in ("ready", "stopped") else ""


def board(p: TrainingPayload, dark: bool) -> str:
    return (
        '<div class="sx-board" style="display: block; min-height: 0">'
        f"{''.join(_bar(run, look, p, dark) for look, run in enumerate(p.runs))}"
        f"{_plot(p, dark)}{_reading(p)}</div>"
    )


def _bar(run: Snapshot, look: int, p: TrainingPayload, dark: bool) -> str:
    """Name, bar, step, last error and seconds of one model."""
    ink, share = _ink(look, dark), run.step / run.steps
    longest = max(len(run.name) for run in p.runs)
    name = html.escape(run.name)
    if run.error:
        state = "⚠ error"
    elif run.finished:
        state = "✓ done"
    else:
        state = ""
    error = "" if run.last is None else f"{percent(run.last.error_percent)} wrong"
    cells = (
        (f"step {run.step} of {run.steps}", 104),
        (error, 86),
        (f"{run.seconds:.1f} s" if run.curve else "", 50),
        (state, 54),  # kept from the start, so that nothing moves when a run is done
    )
    words = "".join(
        f'<span style="min-width: {width}px; white-space: nowrap">{text}</span>'
        for text, width in cells
    )
    return (
        '<div style="display: flex; flex-wrap: wrap; gap: 0 8px; align-items: center; '
        'font-variant-numeric: tabular-nums; line-height: 1.6">'
        f'<svg width="34" height="14" aria-hidden="true">{_stroke(look, ink, 2.4, "0,7 34,7")}'
        f"{_mark(look, 17, 7, ink)}</svg>"
        f'<span style="min-width: {0.58 * longest + 0.5:.1f}em; white-space: nowrap"><b>{name}</b>'
        "</span>"
        f'<span role="progressbar" aria-label="{name}" aria-valuemin="0" '
        f'aria-valuemax="{run.steps}" aria-valuenow="{run.step}" style="display: block; '
        "width: 64px; height: 9px; border: 1px solid var(--sx-line); border-radius: 5px; "
        f'overflow: hidden"><span style="display: block; height: 100%; width: {100 * share:.1f}%; '
        f'background: {ink}"></span></span>{words}</div>'
    )


def _plot(p: TrainingPayload, dark: bool) -> str:
    """Errors against steps: recorded seeds thin, runs of now thick, floors of guessing dotted."""
    colour, base, right = COLOURS[dark], HEIGHT - UNDER, WIDTH - RIGHT

    def x(step: float) -> float:
        return LEFT + (right - LEFT) * step / p.steps

    def y(error: float) -> float:
        return base - (base - TOP) * error / 100

    parts = []
    for error in (0, 25, 50, 75, 100):
        thin = f'stroke="var(--sx-thin)" stroke-width="1" x1="{LEFT}" x2="{right}"'
        parts.append(f'<line {thin} y1="{y(error):.1f}" y2="{y(error):.1f}"/>')
        parts.append(_text(LEFT - 6, y(error), str(error), "end"))
    for step in ticks(p.steps):
        parts.append(_text(x(step), base + 12, str(step), "middle"))
    parts.append(_text((LEFT + right) / 2, base + 28, "step", "middle"))

    for line in (*p.recorded, *p.earlier):
        ink = _ink(line.look, dark)
        parts.append(_curve(line, ink, 1.1, x, y, 'stroke-opacity="0.5"'))
    wished = sorted((y(error), name, error) for name, error in p.floors.items())
    for at, name, error in wished:
        dots = f'stroke="{colour["faint"]}" stroke-width="1.6" stroke-dasharray="1.5 3"'
        parts.append(
            f'<line x1="{LEFT}" x2="{right + 6}" y1="{at:.1f}" y2="{at:.1f}" {dots}>'
            f"<title>guessing {html.escape(name)}: {percent(error)} wrong</title></line>"
        )
    for at, (_, name, error) in zip(apart([x[0] for x in wished], 13), wished, strict=True):
        label = f"{error:.1f} guess {WORDS.get(name, name)}"
        parts.append(_text(right + 10, at, label, "start"))
    for line in p.live:
        ink = _ink(line.look, dark)
        parts.append(_curve(line, ink, 2.6, x, y))
        parts += [_mark(line.look, x(step), y(error), ink) for step, error in line.points]
    now = f'stroke="{colour["ink"]}" stroke-width="1.2"'
    at = x(p.read)
    parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{base + 4}" {now}/>')
    return (
        '<div style="margin-top: 6px; font-size: 0.93em">error on held-out texts, %; '
        f"{_legend(p)}</div>"
        f'<svg width="{WIDTH}" height="{HEIGHT}" aria-hidden="true" style="display: block; '
        f'overflow: visible">{"".join(parts)}</svg>'
    )


def _legend(p: TrainingPayload) -> str:
    found = ["thick: this run" if any(line.points for line in p.live) else ""]
    if p.recorded and p.earlier:
        found.append("thin: recorded and earlier seeds")
    elif p.recorded or p.earlier:
        found.append(f"thin: {'recorded' if p.recorded else 'earlier'} seeds")
    return "; ".join(x for x in [*found, "dotted: guessing"] if x)


def _reading(p: TrainingPayload) -> str:
    """What the vertical line reads, in words."""
    parts = []
    pairs = zip(p.readings, p.ended, strict=True)
    for look, ((name, here, recorded), (end, old_end)) in enumerate(pairs):
        old = f"recorded {span(min(recorded), max(recorded), percent)}" if recorded else ""
        if old and old_end:
            old += f", {old_end}"
        if here is not None:
            text = percent(here) + (f" ({end})" if end else "") + (f" ({old})" if old else "")
        elif p.live[look].points or not old:
            text = "not measured" + (f" ({old})" if old else "")
        else:
            text = old
        parts.append(f"{html.escape(name)}: {text}")
    room = f"min-height: {1.4 * len(p.runs):.1f}em"
    return f'<div style="{room}; line-height: 1.4">At step {p.read}: {"; ".join(parts)}</div>'


def _curve(
    line: Line,
    ink: str,
    width: float,
    x: Callable[[float], float],
    y: Callable[[float], float],
    more: str = "",
) -> str:
    points = " ".join(f"{x(step):.1f},{y(error):.1f}" for step, error in line.points)
    return _stroke(line.look, ink, width, points, more)


def _stroke(look: int, ink: str, width: float, points: str, more: str = "") -> str:
    dash = LOOKS[look][1]
    dashes = f'stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<polyline points="{points}" fill="none" stroke="{ink}" stroke-width="{width}" '
        f"{dashes} {more}/>"
    )


def _mark(look: int, x: float, y: float, ink: str) -> str:
    """A circle, square, triangle or diamond."""
    if look == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.4" fill="{ink}"/>'
    corners = {
        1: [(-3, -3), (3, -3), (3, 3), (-3, 3)],
        2: [(0, -4.4), (4.2, 3.2), (-4.2, 3.2)],
        3: [(0, -4.6), (4.6, 0), (0, 4.6), (-4.6, 0)],
    }[look]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{points}" fill="{ink}"/>'


def _ink(look: int, dark: bool) -> str:
    return COLOURS[dark][LOOKS[look][0]]


def ticks(steps: int) -> list[int]:
    """At most seven round steps, 0 among them."""
    unit = 10 ** math.floor(math.log10(steps))
    sizes = (unit * part // 10 for part in (1, 2, 5, 10, 20, 50))
    size = next((x for x in sizes if x and steps / x <= 6), steps)
    return list(range(0, steps + 1, size))


def apart(wished: list[float], room: float) -> list[float]:
    """Places in rising order with room between them, near those wished for."""
    found: list[float] = []
    for at in wished:
        found.append(max(at, found[-1] + room) if found else at)
    over = (found[-1] - wished[-1]) / 2 if found else 0.0
    return [at - over for at in found]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" dominant-baseline="central" '
        f'style="fill: var(--sx-ink); font-size: 11.5px">{html.escape(text)}</text>'
    )
