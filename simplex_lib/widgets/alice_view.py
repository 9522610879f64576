"""Draws an `AlicePayload`: sentences with the kernel's sums and three bars, and one key's taps."""

import html
from typing import Any

from simplex_lib.tasks.alice import MOST_TOKENS
from simplex_lib.widgets.alice_shares import (
    HEADS,
    LEAST_BETA,
    MOST_BETA,
    MOST_REACH,
    AlicePayload,
    share,
)
from simplex_lib.widgets.kit import COLOURS, fit_slider, fit_step
from simplex_lib.widgets.match3_view import shade

BAR = 54  # of full length, in pixels
GRID = (
    f"display: grid; grid-template-columns: 28px minmax(120px, 262px) repeat(3, {BAR + 64}px); "
    "align-items: center;"
)
INKS = ("out", "key", "query")  # of ?, the first and the second word
LINES = ("dotted", "solid", "dashed")


def controls(p: AlicePayload, choices: dict[str, Any]) -> dict[str, Any]:
    import ipywidgets

    def made(kind: Any, name: str, label: str, width: int, **options: Any) -> Any:
        style = dict(description_width="64px")
        layout = dict(width=f"{width}px", margin="2px 2px 2px 0")
        return kind(value=choices[name], description=label, layout=layout, style=style, **options)

    found = dict(
        text=made(ipywidgets.Textarea, "text", "text", 628, rows=3),
        question=made(ipywidgets.Text, "question", "question", 250),
        beta=made(ipywidgets.FloatSlider, "beta", "beta", 300, min=LEAST_BETA, max=MOST_BETA,
                  step=0.5, readout_format=".1f"),
        reach=made(ipywidgets.IntSlider, "reach", "reach", 250, min=1, max=MOST_REACH),
        key=made(ipywidgets.IntSlider, "key", "key", 372, max=MOST_TOKENS),
    )  # fmt: skip
    adapt(found, p)
    return found


def adapt(controls: dict[str, Any], p: AlicePayload) -> None:
    slider, size = controls["key"], len(p.story.words)
    slider.max = max(slider.max, size - 1)
    slider.value = p.key  # before its range gets shorter, which would choose another
    fit_slider(slider, size)
    fit_step(controls["beta"], p.beta, 0.5)


def board(p: AlicePayload, dark: bool) -> str:
    rows = "".join(_row(p, n, dark) for n in range(len(p.rows)))
    return (
        '<div class="sx-board" style="display: block; min-height: 0">'
        f"{_head(p, dark)}{rows}{_taps(p, dark)}</div>"
    )


def _head(p: AlicePayload, dark: bool) -> str:
    names = "".join(f'<span style="font-weight: 600">{name}</span>' for name in HEADS)
    first, second = map(html.escape, p.story.asked)
    found = f"{_seeker(0, '?', dark)}, {_seeker(1, first, dark)}, {_seeker(2, second, dark)}"
    return (
        f'<div style="{GRID} font-size: 0.93em; line-height: 1.35; align-items: end">'
        f'<span style="grid-column: 1 / 3">found by {found};<br>under a word, the kernel\'s sum'
        f"</span>{names}</div>"
    )


def _row(p: AlicePayload, n: int, dark: bool) -> str:
    """One sentence: its tokens with their sums, and what each head gives it."""
    tokens = "".join(_token(p, j, dark) for j in p.rows[n])
    right = n in p.story.right
    bars = "".join(_bar(p.shares[name][n], right, dark) for name in HEADS)
    weight = "font-weight: 700;" if right else ""
    return (
        f'<div style="{GRID} padding: 2px 0; border-top: 1px solid var(--sx-thin); {weight}">'
        f"<span>{'✓ ' if right else ''}{n + 1}</span>"
        f'<span style="display: flex; flex-wrap: wrap; gap: 2px">{tokens}</span>{bars}</div>'
    )


def _token(p: AlicePayload, j: int, dark: bool) -> str:
    word, chosen = p.story.words[j], j == p.key
    seeks = next((row for row in range(3) if p.raw[row][j]), None)
    under = ""
    if seeks is not None:
        under = _under(seeks, dark)
    back, ink = shade(p.sums[j] / 2 - 1, dark)
    frame = f"outline: 2px solid {COLOURS[dark]['ink']}; " if chosen else ""
    title = f"key {j}, {html.escape(word)}: sum {p.sums[j]}"
    return (
        f'<span data-cell="key:{j}" title="{title}" style="display: inline-block; cursor: pointer; '
        f'text-align: center; line-height: 1.25; font-size: 0.93em; {frame}">'
        f'<span style="display: block; padding: 0 4px; {under}">'
        f"{html.escape(word)}</span>"
        f'<span style="display: block; background: {back}; color: {ink}; margin-top: 2px">'
        f"{p.sums[j]}</span></span>"
    )


def _bar(x: float, right: bool, dark: bool) -> str:
    ink = COLOURS[dark]["out" if right else "key"]
    return (
        f'<span style="display: flex; align-items: center; gap: 4px; '
        'font-size: 0.93em; font-variant-numeric: tabular-nums">'
        f'<span style="display: block; width: {BAR}px; height: 11px; '
        f'border-bottom: 1px solid var(--sx-line)"><span style="display: block; height: 100%; '
        f'width: {100 * x:.1f}%; background: {ink}"></span></span>{share(x)}</span>'
    )


def _taps(p: AlicePayload, dark: bool) -> str:
    """The key's taps: what each question token finds at the keys it reads, times the tap."""
    words = ["" if n is None else html.escape(p.story.words[n]) for n in p.read]
    heads = "".join(
        f'<th scope="col" style="padding: 0 5px">{word}<br>j{_back(p.reach - at)}</th>'
        for at, word in enumerate(words)
    )
    asked = ("?", *p.story.asked)
    lines = []
    for row in range(3):
        cells = "".join(_tap(p, row, at, n, dark) for at, n in enumerate(p.read))
        found = _seeker(row, html.escape(asked[row]), dark)
        lines.append(
            f'<tr><th scope="row" style="text-align: right">{found}</th>{cells}'
            f'<th style="padding-left: 8px">= {p.parts[row]}</th></tr>'
        )
    total = " + ".join(str(x) for x in p.parts)
    return (
        '<div style="border-top: 1px solid var(--sx-thin); margin-top: 4px; padding-top: 4px; '
        'overflow-x: auto">'
        f'<div style="font-size: 0.93em; line-height: 1.35">At key j = {p.key}, '
        f"<b>{html.escape(p.story.words[p.key])}</b>: raw logit × tap, where the tap is not 0. "
        f"Sum {total} = <b>{p.sums[p.key]}</b>, logit {p.sums[p.key]} × beta.</div>"
        f'<table class="sx-grid"><thead><tr><th></th>{heads}<th></th></tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _under(row: int, dark: bool) -> str:
    """A line under what a row of the question finds."""
    ink = COLOURS[dark][INKS[row]]
    return f"text-decoration: underline {LINES[row]} {ink} 2px; text-underline-offset: 3px; "


def _seeker(row: int, word: str, dark: bool) -> str:
    return f'<span style="{_under(row, dark)}">{word}</span>'


def _tap(p: AlicePayload, row: int, at: int, n: int | None, dark: bool) -> str:
    tap = p.taps[row][at]
    if not tap:
        return '<td style="border-style: dotted"></td>'
    raw = 0 if n is None else p.raw[row][n]
    lit = ' class="sx-lit"' if raw else ""
    return f'<td{lit} style="padding: 0 6px">{raw} × {tap}</td>'


def _back(steps: int) -> str:
    return f" − {steps}" if steps else ""
