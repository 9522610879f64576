"""The panels beside the map of a `Match3Payload`, as SVG: both heads as bars, wrong tokens."""

import math

from simplex_lib.widgets.kit import COLOURS
from simplex_lib.widgets.match3_pairs import Layout, Match3Payload, compact_c, yes_no

WIDE, LEFT, RIGHT = 268, 26, 4  # of each panel, in pixels
BARS, BARS_TOP, BARS_UNDER = 56, 16, 29
CURVE, CURVE_TOP, CURVE_UNDER = 44, 14, 16


def bars(p: Match3Payload, layout: Layout, dark: bool) -> str:
    """The share of each token against the threshold; wrong ones hollow, with a cross."""
    colour, n = COLOURS[dark], len(p.numbers)
    slot = (WIDE - LEFT - RIGHT) / n
    base = BARS_TOP + BARS
    size = min(10, 1.7 * slot / max(len(str(x)) for x in p.numbers))

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
                  'font-weight="700"' if chosen else "", size),
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


def curve(p: Match3Payload, dark: bool) -> str:
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


def _text(x: float, y: float, text: str, anchor: str, look: str = "", size: float = 10) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" dominant-baseline="central" '
        f'style="fill: var(--sx-ink); font-size: {size:.3g}px" {look}>{text}</text>'
    )
