"""Draws a `Match3Payload`: the map of pairs, both heads as bars, and the wrong tokens against c."""

import math
from collections.abc import Callable
from typing import Any

from simplex_lib.widgets.explorer.colours import PALETTE
from simplex_lib.widgets.frame import page
from simplex_lib.widgets.kit import COLOURS, fit_slider
from simplex_lib.widgets.match3_pairs import (
    DTYPES,
    LARGEST,
    LEAST_C,
    MOST_C,
    STEPS,
    Layout,
    Match3Payload,
    compact_c,
    yes_no,
)

ACROSS = 312  # room for the cells of the map, in pixels
WIDE, LEFT, RIGHT = 268, 26, 4  # of each panel beside it
BARS, BARS_TOP, BARS_UNDER = 56, 16, 29
CURVE, CURVE_TOP, CURVE_UNDER = 44, 14, 16


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
    side = "".join(_bars(p, layout, dark) for layout in p.layouts) + _curve(p, dark)
    return (
        '<div class="sx-board" style="align-items: flex-start; gap: 8px 14px">'
        f'<div>{_map(p, dark)}</div><div style="width: {WIDE}px">{side}</div></div>'
    )


def _map(p: Match3Payload, dark: bool) -> str:
    """All pairs of the chosen token: a colour for the cosine, the sum modulo M, ✓ where it is 0."""
    i, n = p.token, len(p.numbers)
    side = min(25, ACROSS // n - 4)  # beside the panels, 4 for a cell's border and space
    letters = max(len(str(x)) for row in p.sums for x in row)
    small = f"min-width: {side}px; font-size: {min(12, 1.6 * side / letters):.1f}px"

    def head(j: int, scope: str) -> str:
        return f'<th scope="{scope}" style="padding: 0 2px">{p.numbers[j]}</th>'

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


def _bars(p: Match3Payload, layout: Layout, dark: bool) -> str:
    """The share of each token against the threshold; wrong ones hollow, with a cross."""
    colour, n = COLOURS[dark], len(p.numbers)
    slot = (WIDE - LEFT - RIGHT) / n
    base = BARS_TOP + BARS

    def y(share: float) -> float:
        return base - BARS * share

    parts = [
        _line(LEFT, WIDE - RIGHT, base, base, colour["faint"], 1),
        *(_text(LEFT - 4, y(v), f"{v:g}", "end") for v in (0, 1)),
    ]
    for i, share in enumerate(layout.shares):
        x, middle = LEFT + i * slot, LEFT + (i + 0.5) * slot
        wrong, chosen = i in layout.wrong, i == p.token
        ink = colour["query" if wrong else "key"]
        width = min(0.62 * slot, 26)
        share = share if math.isfinite(share) else 0.0
        fill = "none" if wrong else ink
        mark = "✗" if wrong else "✓"
        top = min(y(share), base - 1)
        parts += [
            f'<rect x="{middle - width / 2:.1f}" y="{top:.1f}" width="{width:.1f}" '
            f'height="{base - top:.1f}" fill="{fill}" stroke="{ink}" stroke-width="1.5"/>',
            _text(middle, top - 6, mark, "middle", 'font-weight="700"'),
            _text(middle, base + 8, str(p.numbers[i]), "middle",
                  'font-weight="700"' if chosen else ""),
            _text(middle, base + 19, yes_no(p.answers[i]), "middle"),
        ]  # fmt: skip
        says = f"token {i}, {p.numbers[i]}: share {layout.shares[i]:.3f}, says "
        says += f"{yes_no(layout.says[i])}, {'wrong' if wrong else 'right'}"
        frame = f'stroke="{colour["ink"]}" stroke-width="1.5"' if chosen else 'stroke="none"'
        parts.append(
            f'<rect data-cell="token:{i}" x="{x + 0.5:.1f}" y="1" width="{slot - 1:.1f}" '
            f'height="{base + BARS_UNDER - 2:.1f}" rx="3" fill="transparent" {frame} '
            f'style="cursor: pointer"><title>{says}</title></rect>'
        )
    limit = y(layout.threshold)
    dash = 'stroke-dasharray="5 3"'
    parts.append(_line(LEFT, WIDE - RIGHT, limit, limit, colour["query"], 1.6, dash))
    parts.append(_text(LEFT - 4, limit, f"{layout.threshold:g}", "end", 'font-weight="700"'))
    right = n - len(layout.wrong)
    title = f"<b>{layout.name}</b>, share: {right} of {n} right"
    return _panel(title, base + BARS_UNDER, parts)


def _curve(p: Match3Payload, dark: bool) -> str:
    """Wrong tokens of both heads at every c, the c that is enough, and the c of now."""
    colour, n = COLOURS[dark], len(p.numbers)
    base = CURVE_TOP + CURVE
    low, high = math.log10(p.sweep[0]), math.log10(p.sweep[-1])

    def x(c: float) -> float:
        part = (math.log10(c) - low) / (high - low)
        return LEFT + (WIDE - LEFT - RIGHT) * min(max(part, 0.0), 1.0)

    def y(count: float) -> float:
        return base - CURVE * count / n

    parts = [
        _line(LEFT, WIDE - RIGHT, base, base, colour["faint"], 1),
        *(_text(LEFT - 4, y(v), str(v), "end") for v in (0, n)),
        _text(LEFT, base + 10, compact_c(p.sweep[0]), "start"),
        _text(WIDE - RIGHT, base + 10, compact_c(p.sweep[-1]), "end"),
    ]
    looks = ((colour["key"], ""), (colour["out"], 'stroke-dasharray="6 3"'))
    for layout, (ink, dash) in zip(p.layouts, looks, strict=True):
        points = " ".join(
            f"{x(c):.1f},{y(count):.1f}" for c, count in zip(p.sweep, layout.sweep, strict=True)
        )
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{ink}" stroke-width="2" {dash}/>'
        )
    for layout, (ink, _) in zip(p.layouts, looks, strict=True):
        at = x(layout.enough)
        parts.append(_line(at, at, CURVE_TOP - 2, base, ink, 1.3, 'stroke-dasharray="2 3"'))
    enough = " and ".join(compact_c(layout.enough) for layout in p.layouts)
    now, beyond = x(p.c), (p.c > p.sweep[-1]) - (p.c < p.sweep[0])
    parts += [
        _text(x(p.layouts[-1].enough), 6, f"▾ enough: {enough}", "middle"),
        _line(now, now, CURVE_TOP, base, colour["query"], 2.4),
        f'<circle cx="{now:.1f}" cy="{base}" r="4.5" fill="{colour["query"]}"/>',
        _text(
            now - 7 * beyond,
            base - CURVE / 2,
            ("◂ now", "", "now ▸")[beyond + 1],
            "end" if beyond > 0 else "start",
        ),
    ]
    step = (WIDE - LEFT - RIGHT) / (len(p.sweep) - 1)
    parts += [
        f'<rect data-cell="c:{m}" x="{x(c) - step / 2:.1f}" y="0" width="{step:.1f}" '
        f'height="{base + CURVE_UNDER}" fill="transparent" style="cursor: pointer"/>'
        for m, c in enumerate(p.sweep)
    ]
    title = (
        "<b>wrong tokens against c</b>"
        f'<div class="sx-slice">solid {p.layouts[0].name}, dashed {p.layouts[1].name}</div>'
    )
    return _panel(title, base + CURVE_UNDER, parts)


def _panel(title: str, height: float, parts: list[str]) -> str:
    return (
        f'<div style="line-height: 1.3; font-size: 0.93em">{title}</div>'
        f'<svg width="{WIDE}" height="{height:.0f}" aria-hidden="true" '
        f'style="display: block; overflow: visible; margin-bottom: 4px">{"".join(parts)}</svg>'
    )


def _line(
    x1: float, x2: float, y1: float, y2: float, ink: str, width: float, dash: str = ""
) -> str:
    at = f'x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"'
    return f'<line {at} stroke="{ink}" stroke-width="{width}" {dash}/>'


def _text(x: float, y: float, text: str, anchor: str, look: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" dominant-baseline="central" '
        f'style="fill: var(--sx-ink); font-size: 10px" {look}>{text}</text>'
    )
