"""Draws a `MechanismPayload`: the error curve, the kernels beside their start, and one row."""

import html
from typing import Any

from simplex_lib.widgets.explorer.colours import PALETTE
from simplex_lib.widgets.kit import COLOURS, WIDTH, fit_slider, signed
from simplex_lib.widgets.match3_view import _light
from simplex_lib.widgets.mechanism_runs import MODELS, MechanismPayload

LEFT, HEIGHT, TOP, UNDER = 42, 132, 8, 20
OF_WHICH = (
    "Where a head looks needs its weights. They are kept for “last letter” and “first letter”, "
    "seed 0, last measurement."
)
NAMES = 104  # room for the names of the rows under a text, in pixels


def controls(p: MechanismPayload, choices: dict[str, Any]) -> dict[str, Any]:
    import ipywidgets

    def made(kind: Any, name: str, label: str, width: int, **options: Any) -> Any:
        style = dict(description_width="initial")
        layout = dict(width=f"{width}px", margin="2px 8px 2px 0")
        return kind(value=choices[name], description=label, layout=layout, style=style, **options)

    slide = ipywidgets.IntSlider
    found = dict(
        model=made(ipywidgets.Dropdown, "model", "trained for", 262, options=list(MODELS)),
        seed=made(slide, "seed", "seed", 130, max=99),
        frame=made(slide, "frame", "measurement", 225, max=99),
        text=made(ipywidgets.Text, "text", "text", 520),
        head=made(slide, "head", "head", 150, max=1),
        key=made(slide, "key", "key", 300, max=999),
    )
    adapt(found, p)
    return found


def adapt(controls: dict[str, Any], p: MechanismPayload) -> None:
    sizes = dict(seed=1 + len(p.others), frame=len(p.steps), key=len(p.row.text))
    for name, size in sizes.items():
        slider, value = controls[name], getattr(p, name)
        slider.max = max(slider.max, size - 1)
        slider.value = value  # before its range gets shorter, which would choose another
        fit_slider(slider, size)


def board(p: MechanismPayload, dark: bool) -> str:
    return (
        '<div class="sx-board" style="display: block; min-height: 0">'
        f"{_curve(p, dark)}{_kernels(p, dark)}{_row(p, dark)}</div>"
    )


def _curve(p: MechanismPayload, dark: bool) -> str:
    """Error against steps: the chosen seed thick, the others thin, the measurement marked."""
    colour, base, right = COLOURS[dark], HEIGHT - UNDER, WIDTH - 8
    last = max([p.steps[-1], *(line[-1][0] for line in p.others)])

    def x(step: float) -> float:
        return LEFT + (right - LEFT) * step / last

    def y(error: float) -> float:
        return base - (base - TOP) * error / 100

    def line(points: list[tuple[int, float]], look: str) -> str:
        text = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
        return f'<polyline points="{text}" fill="none" stroke="{colour["key"]}" {look}/>'

    parts = []
    for error in (0, 50, 100):
        thin = f'stroke="var(--sx-thin)" x1="{LEFT}" x2="{right}"'
        parts.append(f'<line {thin} y1="{y(error):.1f}" y2="{y(error):.1f}"/>')
        parts.append(_text(LEFT - 6, y(error), str(error), "end"))
    every = 50 if last <= 400 else 100
    parts += [_text(x(n), base + 11, str(n), "middle") for n in range(0, last + 1, every)]
    parts += [line(points, 'stroke-width="1" stroke-opacity="0.5"') for points in p.others]
    mine = list(zip(p.steps, p.errors, strict=True))
    parts.append(line(mine, 'stroke-width="2.4"'))
    for n, (step, error) in enumerate(mine):
        on = n == p.frame
        if on:
            up = f'x1="{x(step):.1f}" x2="{x(step):.1f}" y1="{TOP}" y2="{base}"'
            parts.append(f'<line {up} stroke="{colour["query"]}" stroke-width="1.6"/>')
        ink = colour["query" if on else "key"]
        parts.append(
            f'<circle cx="{x(step):.1f}" cy="{y(error):.1f}" r="{5 if on else 3.2}" fill="{ink}"/>'
        )
        wide = (right - LEFT) * p.steps[1] / last
        parts.append(
            f'<rect data-cell="frame:{n}" x="{x(step) - wide / 2:.1f}" y="0" width="{wide:.1f}" '
            f'height="{HEIGHT}" fill="transparent" style="cursor: pointer">'
            f"<title>step {step}: {error:.1f} % wrong</title></rect>"
        )
    title = f"<b>error, %, against step</b>; thick: seed {p.seed}, thin: other seeds"
    return _titled(title, _svg(HEIGHT, parts))


def _kernels(p: MechanismPayload, dark: bool) -> str:
    """Both heads: at the start, and at the measurement."""
    size = max(abs(tap) for head in (*p.start, *p.now) for row in head for tap in row)
    step = p.steps[p.frame]
    parts = []
    for name, heads in (("start", p.start), (f"step {step}", p.now)):
        for n, kernel in enumerate(heads):
            caption = f"▸ <b>head {n}</b>, {name}" if n == p.head else f"head {n}, {name}"
            parts.append(_kernel(kernel, size, caption, dark))
    wide = (
        "display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 2px 8px"
    )
    pairs = [parts[n + len(p.now) * m] for n in range(len(p.now)) for m in (0, 1)]
    title = "<b>kernels</b>: columns are keys from before j to behind it, rows are queries"
    return _titled(title, f'<div style="{wide}">{"".join(pairs)}</div>')


def _kernel(kernel: list[list[float]], size: float, caption: str, dark: bool) -> str:
    middle, last = len(kernel[0]) // 2, len(kernel) - 1
    heads = "".join(
        f'<th scope="col" style="padding: 0">{_offset(n - middle)}</th>'
        for n in range(len(kernel[0]))
    )
    rows = []
    for n, row in enumerate(kernel):
        cells = "".join(_tap(tap, size, dark) for tap in row)
        name = "i" if n == last else f"i − {last - n}"
        rows.append(f'<tr><th scope="row" style="white-space: nowrap">{name}</th>{cells}</tr>')
    return (
        '<table class="sx-grid" style="border-spacing: 1px; margin: 0">'
        f'<caption style="text-align: left; font-size: 0.88em; white-space: nowrap">{caption}'
        f"</caption><thead><tr><th></th>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _offset(n: int) -> str:
    return "j" if not n else f"{'+' if n > 0 else '−'}{abs(n)}"


def _tap(tap: float, size: float, dark: bool) -> str:
    back, ink = diverging(tap / size, dark)
    look = f"background: {back}; color: {ink}; min-width: 23px; padding: 0; font-size: 0.8em"
    return f'<td style="{look}">{signed(tap, 1)}</td>'


def _row(p: MechanismPayload, dark: bool) -> str:
    """A text with the borders of its blocks; under each token what the last query makes of it."""
    if not p.kept:  # in the room of the row, so that nothing below it moves
        words = f'<div style="min-height: 178px; line-height: 1.4">{OF_WHICH}</div>'
        return _titled("<b>the last query</b>", words)
    row, colour = p.row, COLOURS[dark]
    step = (WIDTH - NAMES - 6) / len(row.text)
    edge, tall = 20, 18
    strips = [(f"raw logit, i − {n}" if n else "raw logit, i", row.raw[-1 - n])
              for n in reversed(range(len(row.raw)))]  # fmt: skip
    strips.append(("convolved", row.logits))
    parts, top = [], edge
    x0 = NAMES

    def x(n: float) -> float:
        return x0 + n * step

    for name, values in strips:
        parts.append(_text(x0 - 6, top + tall / 2, name, "end"))
        size = max(abs(v) for v in values) or 1.0
        for n, v in enumerate(values):
            back, _ = diverging(v / size, dark)
            parts.append(
                f'<rect x="{x(n):.2f}" y="{top}" width="{step + 0.2:.2f}" height="{tall - 1}" '
                f'fill="{back}"/>'
            )
        top += tall
    base = top + 46
    parts.append(_text(x0 - 6, base - 20, "attention", "end"))
    for n, v in enumerate(row.probs):
        high = max(42 * v, 0.6)
        parts.append(
            f'<rect x="{x(n) + 0.5:.2f}" y="{base - high:.1f}" width="{step - 1:.2f}" '
            f'height="{high:.1f}" fill="{colour["out"]}"/>'
        )
    parts.append(
        f'<line x1="{x0}" x2="{x(len(row.text)):.1f}" y1="{base}" y2="{base}" '
        f'stroke="{colour["faint"]}"/>'
    )
    for n, letter in enumerate(row.text):
        bold = "font-weight: 700; " if n in row.block else ""
        parts.append(_text(x(n + 0.5), 10, letter, "middle", bold, min(13, 1.5 * step)))
        if letter in ".":
            parts.append(
                f'<line x1="{x(n + 1):.1f}" x2="{x(n + 1):.1f}" y1="2" y2="{base}" '
                f'stroke="{colour["faint"]}" stroke-width="0.8"/>'
            )
    frame = f'fill="none" stroke="{colour["query"]}" stroke-width="1.8"'
    parts.append(
        f'<rect x="{x(row.block[0]):.1f}" y="1" width="{step * len(row.block):.1f}" '
        f'height="{base:.1f}" {frame}/>'
    )
    parts.append(
        f'<path d="M {x(p.key + 0.5):.1f} {base + 3} l 4.5 8 h -9 z" fill="{colour["ink"]}"/>'
    )
    for n, letter in enumerate(row.text):
        words = f"key {n}, {html.escape(letter)}: convolved {signed(row.logits[n])}, "
        words += f"attention {row.probs[n]:.3f}"
        parts.append(
            f'<rect data-cell="key:{n}" x="{x(n):.2f}" y="0" width="{step:.2f}" '
            f'height="{base + 12}" fill="transparent" style="cursor: pointer">'
            f"<title>{words}</title></rect>"
        )
    raw = ", ".join(
        f"{signed(values[p.key])} (i − {n})" if n else f"{signed(values[p.key])} (i)"
        for n, values in zip(range(len(row.raw) - 1, -1, -1), row.raw, strict=True)
    )
    read = (
        f"key {p.key}, <b>{html.escape(row.text[p.key])}</b>: raw {raw}; convolved "
        f"{signed(row.logits[p.key])}; attention {row.probs[p.key]:.3f}"
    )
    title = f"<b>the last query, head {p.head}</b>, of this model"
    return _titled(title, f'{_svg(base + 14, parts)}<div style="line-height: 1.4">{read}</div>')


def diverging(part: float, dark: bool) -> tuple[str, str]:
    """The colour of a number from -1 to 1 and an ink that can be read on it."""
    colours = PALETTE["dark" if dark else "light"]["diverging"]
    at = (1 + min(max(part, -1.0), 1.0)) / 2 * (len(colours) - 1)
    n = min(int(at), len(colours) - 2)
    pair = [[int(colour[m : m + 2], 16) for m in (1, 3, 5)] for colour in colours[n : n + 2]]
    mixed = [round(a + (b - a) * (at - n)) for a, b in zip(*pair, strict=True)]
    return "#" + "".join(f"{x:02x}" for x in mixed), "#000000" if _light(
        mixed
    ) > 0.179 else "#ffffff"


def _titled(title: str, inside: str) -> str:
    return (
        f'<div style="line-height: 1.35; font-size: 0.93em; margin-top: 6px">{title}</div>{inside}'
    )


def _svg(height: float, parts: list[str]) -> str:
    return (
        f'<svg width="{WIDTH}" height="{height:.0f}" aria-hidden="true" '
        f'style="display: block; overflow: visible">{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str, look: str = "", size: float = 11.5) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" dominant-baseline="central" '
        f'style="fill: var(--sx-ink); font-size: {size:.3g}px; {look}">{html.escape(text)}</text>'
    )
