"""Draws a `Match3Payload`: the map of pairs, both heads as bars, and the wrong tokens against c."""

import math
from collections.abc import Callable
from typing import Any

from simplex_lib.widgets import match3_panels as panels
from simplex_lib.widgets.explorer.colours import PALETTE
from simplex_lib.widgets.frame import page
from simplex_lib.widgets.kit import COLOURS, fit_slider
from simplex_lib.widgets.match3_heads import DTYPES, LEAST_C, MOST_C, STEPS
from simplex_lib.widgets.match3_pairs import LARGEST, Match3Payload, compact_c

ACROSS = 312  # room for the cells of the map, in pixels


def controls(p: Match3Payload, choices: dict[str, Any]) -> dict[str, Any]:
    import ipywidgets

    def made(kind: Any, value: Any, name: str, width: int, **options: Any) -> Any:
        style = dict(description_width="initial")
        layout = dict(width=f"{width}px", margin="2px 2px 2px 10px")
        return kind(value=value, description=name, layout=layout, style=style, **options)

    number = ipywidgets.IntText
    slide = ipywidgets.FloatLogSlider
    found = dict(
        numbers=made(ipywidgets.Text, choices["numbers"], "numbers", 310, continuous_update=False),
        modulus=made(number, choices["modulus"], "modulus M", 146),
        dtype=made(ipywidgets.Dropdown, choices["dtype"], "in", 122, options=list(DTYPES)),
        token=made(ipywidgets.IntSlider, choices["token"], "token", 220, max=LARGEST),
        c=made(
            slide, choices["c"], "factor c", 380, base=10, min=math.log10(LEAST_C),
            max=math.log10(MOST_C), step=1 / STEPS, readout=False,
        ),
    )  # fmt: skip
    found["c"].style.description_width = "146px"
    adapt(found, p)
    return found


def adapt(controls: dict[str, Any], p: Match3Payload) -> None:
    fit_slider(controls["token"], len(p.numbers))
    controls["c"].description = f"factor c = {compact_c(p.c)}"


def buttons(acts: dict[str, tuple[str, Callable[[], None]]]) -> list[Any]:
    """A button for each name: what its tooltip says and what it does."""
    import ipywidgets

    made = []
    for name, (tip, act) in acts.items():
        layout = dict(width="auto", margin="2px 2px 2px 10px")
        button = ipywidgets.Button(description=name, tooltip=tip, layout=layout)
        button.on_click(lambda _, act=act: act())
        made.append(button)
    return made


def rows(controls: dict[str, Any], buttons: list[Any]) -> list[list[Any]]:
    """Rows that break on a narrow page."""
    import ipywidgets

    wide = dict(width="100%", flex_flow="row wrap")
    found = (("numbers", "modulus", "dtype"), ("token", "c"))
    first, last = ([controls[name] for name in names] for names in found)
    return [[ipywidgets.HBox(row, layout=wide)] for row in (first, buttons, last)]


def picture() -> Any:
    return page("")


def board(p: Match3Payload, dark: bool) -> str:
    side = "".join(panels.bars(p, layout, dark) for layout in p.layouts) + panels.curve(p, dark)
    return (
        '<div class="sx-board" style="align-items: flex-start; gap: 8px 14px">'
        f'<div>{_map(p, dark)}</div><div style="width: {panels.WIDE}px">{side}</div></div>'
    )


def _map(p: Match3Payload, dark: bool) -> str:
    """All pairs of the chosen token: a colour for the cosine, the sum modulo M, ✓ where it is 0."""
    i, n = p.token, len(p.numbers)
    side = min(25, ACROSS // n - 4)  # beside the panels, 4 for a cell's border and space
    letters = max(len(str(x)) for row in [p.numbers, *p.sums] for x in row)
    size = f"font-size: {min(12, 1.6 * side / letters):.1f}px"
    small = f"min-width: {side}px; {size}"

    def head(j: int, scope: str) -> str:
        return f'<th scope="{scope}" style="padding: 0; {size}">{p.numbers[j]}</th>'

    lines = []
    for j in range(n):
        cells = []
        for k in range(n):
            back, ink = shade(p.scores[j][k], dark)
            fires = p.sums[j][k] == 0
            look = f"background: {back}; color: {ink}; padding: 0; {small}"
            look += f"; outline-color: {COLOURS[dark]['query']}; font-weight: 700" if fires else ""
            cells.append(f'<td style="{look}">{"✓" if fires else p.sums[j][k]}</td>')
        lines.append(f"<tr>{head(j, 'row')}{''.join(cells)}</tr>")
    top = "".join(head(k, "col") for k in range(n))
    steps = "".join(_swatch(score, dark) for score in (-1, -0.5, 0, 0.5, 1))
    return (
        f'<div style="line-height: 1.35"><b>{p.numbers[i]} + x<sub>j</sub> + x<sub>k</sub> modulo '
        f"{p.modulus}</b>, ✓ where it is 0</div>"
        f'<table class="sx-grid"><thead><tr><th class="sx-corner">j ↓ k →</th>{top}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
        f'<div class="sx-slice" style="white-space: nowrap">score / c = cos(2π sum / M): '
        f"{steps}</div>"
    )


def shade(score: float, dark: bool) -> tuple[str, str]:
    """The colour of a cosine and an ink that can be read on it."""
    colours = PALETTE["dark" if dark else "light"]["sequential"]
    at = (1 + min(max(score, -1.0), 1.0)) / 2 * (len(colours) - 1)
    n = min(int(at), len(colours) - 2)
    pair = [[int(colour[m : m + 2], 16) for m in (1, 3, 5)] for colour in colours[n : n + 2]]
    mixed = [round(a + (b - a) * (at - n)) for a, b in zip(*pair, strict=True)]
    ink = "#000000" if _light(mixed) > 0.179 else "#ffffff"  # as far from one as from the other
    return "#" + "".join(f"{x:02x}" for x in mixed), ink


def _light(rgb: list[int]) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [x / 255 for x in rgb]
    r, g, b = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def _swatch(score: float, dark: bool) -> str:
    back, ink = shade(score, dark)
    text = f"{score:g}".replace("-", "−")
    return f'<span style="background: {back}; color: {ink}; padding: 0 5px">{text}</span>'
