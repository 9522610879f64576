"""The picture of a `ProgramsPayload` for a page without a live view: few colours, few bytes."""

import io
import math
from typing import Any

from matplotlib.patches import Rectangle

from simplex_lib.widgets.kit import maths_free, still_figure
from simplex_lib.widgets.programs_cells import Area, Grid, ProgramsPayload, shape_text
from simplex_lib.widgets.programs_view import (
    LOOKS,
    cell_size,
    framed,
    lanes_title,
    legend,
    look_of,
    sign_of,
)

INCH = 80  # pixels of the live view in one
TITLE, GAP, NARROW, PART_GAP = 28, 14, 46, 4  # pixels
AROUND = 4  # lines of source before and after the one shown
COLOURS = 32  # of the palette: half the bytes
HATCHES = {"stripes": "////", "bars": "---", "dots": "..", "hatched": "\\\\\\"}


def still(p: ProgramsPayload) -> bytes:
    """Tensors above, then the legend, then the lanes beside the lines round the one shown."""
    cell = cell_size(p)
    columns = [[(g, g.columns * cell, _high(g, cell)) for g in column] for column in p.grids]
    widths = [max(NARROW, *(wide for _, wide, _ in column)) for column in columns]
    heights = [sum(high + TITLE for *_, high in column) for column in columns]
    lines = _source(p)
    above, below = max(heights), max(15 * len(lines), 176) + 14
    width = 660
    drawn = still_figure(width / INCH, (above + below + 42) / INCH)
    drawn.set_layout_engine("none")
    axes = drawn.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(above + below + 42, 0))
    axes.axis("off")
    left = 6.0
    for column, wide, tall in zip(columns, widths, heights, strict=True):
        top = above - tall
        for g, _, high in column:
            shape = shape_text(g.shape) if wide > NARROW else ""
            _text(axes, left, top + 20, g.name, weight="bold")
            _text(axes, left + 3 + 6.6 * len(g.name), top + 20, shape)
            if g.note:
                _text(axes, left, top + 6, g.note, size=6.5)
            _draw(axes, g, left, top + TITLE, cell)
            top += TITLE + high
        left += wide + GAP
    _legend(axes, p, above + 20)
    _lanes(axes, p, above + 50)
    for n, (mark, number, text, now) in enumerate(lines):
        look: dict[str, Any] = dict(family="monospace", weight="bold" if now else "normal")
        _text(axes, 168, above + 56 + 15 * n, f"{mark:>3} {number:>3}  {text}", size=6.6, **look)
    return _small(drawn)


def _high(g: Grid, cell: int) -> float:
    return g.rows * cell + PART_GAP * (g.rows // g.part - 1)


def _draw(axes: Any, g: Grid, left: float, top: float, cell: float) -> None:
    def box(a: Area, **look: Any) -> None:
        y = top + a.row * cell + PART_GAP * (a.row // g.part)
        axes.add_patch(
            Rectangle((left + a.column * cell, y), a.width * cell, a.height * cell, **look)
        )

    whole, rest = divmod(math.prod(g.shape), g.columns)
    empty = [Area("", r, 0, 1, g.columns) for r in range(whole)]
    for a in [*empty, *([Area("", whole, 0, 1, rest)] if rest else [])]:
        box(a, fc="#eceef1", lw=0)
    for a in g.areas:
        look = LOOKS[False][look_of(a)]
        box(a, fc=look.fill, ec=look.line or "none", hatch=HATCHES.get(look.pattern), lw=0)
    for n in range(1, g.columns):
        axes.plot([left + n * cell] * 2, [top, top + _high(g, int(cell))], color="white", lw=0.4)
    for n in range(1, g.rows):
        y = top + n * cell + PART_GAP * (n // g.part)
        axes.plot([left, left + g.columns * cell], [y, y], color="white", lw=0.4)
    for a in g.areas:
        if framed(a):
            box(a, fill=False, ec="#222222", lw=0.9)
    for a in g.crosses:
        for r in range(a.row, a.row + a.height):
            y = top + (r + 0.5) * cell + PART_GAP * (r // g.part)
            xs = [left + (c + 0.5) * cell for c in range(a.column, a.column + a.width)]
            axes.plot(xs, [y] * len(xs), "x", color="#222222", ms=0.45 * cell, mew=0.8)
    for a in g.areas:
        if sign := sign_of(a, g, int(cell)):
            y = top + (a.row + a.height / 2) * cell + PART_GAP * (a.row // g.part)
            x = left + (a.column + a.width / 2) * cell
            axes.text(x, y, sign, ha="center", va="center", fontsize=8, weight="bold",
                      bbox=dict(boxstyle="round,pad=0.1", fc="white", ec="none"))  # fmt: skip
    if g.chosen:
        box(Area("", *g.chosen, 1, 1), fill=False, ec="#222222", lw=2)


def _legend(axes: Any, p: ProgramsPayload, y: float) -> None:
    x = 6.0
    for name, crossed, words in legend(p):
        if x + 20 + 4.8 * len(words) > 650:
            x, y = 6.0, y + 16
        look = LOOKS[False][name] if name else None
        axes.add_patch(
            Rectangle((x, y - 6), 14, 12, fc=look.fill if look else "none",
                      ec=(look.line or "#bbbbbb") if look else "#bbbbbb", lw=0.5,
                      hatch=HATCHES.get(look.pattern) if look else None)
        )  # fmt: skip
        if crossed:
            axes.plot([x + 7], [y], "x", color="#222222", ms=6, mew=1)
        _text(axes, x + 19, y, words)
        x += 32 + 4.8 * len(words)


def _lanes(axes: Any, p: ProgramsPayload, top: float) -> None:
    if p.show == "all programs" or p.lanes_of is None:
        return
    cell = min(16, 146 // p.lanes.columns, 150 // p.lanes.rows)
    name = {"load": "load", "store": "store", "atomic": "add to"}[p.lanes_of.kind]
    _text(axes, 6, top + 6, lanes_title(p), weight="bold")
    _text(axes, 12 + 6.6 * len(lanes_title(p)), top + 6, f"{name} {p.lanes.name}")
    _draw(axes, p.lanes, 6, top + 16, max(cell, 1))
    _text(axes, 6, top + 28 + p.lanes.rows * cell, p.lanes.note)


def _source(p: ProgramsPayload) -> list[tuple[str, int, str, bool]]:
    """Mark, number and text of lines round the one shown, or from the first that reach memory on.

    A store that another program makes too is always among them.
    """
    source, count = p.recording.source, 2 * AROUND + 3
    opens = p.first_line
    middle = p.line or (opens + AROUND - 1 if opens == min(p.marks, default=1) else opens)
    first = max(min(middle - AROUND, len(source) - count + 1), 1)
    found = []
    for n in range(first, min(first + count, len(source) + 1)):
        mark = {"B": "LS"}.get(p.marks.get(n, ""), p.marks.get(n, ""))
        text = source[n - 1]
        text = text if len(text) <= 92 else f"{text[:91]}…"
        found.append(("▶" * (n == p.line) + mark, n, text, n == p.line))
    return found


def _text(axes: Any, x: float, y: float, words: str, size: float = 8, **look: Any) -> None:
    axes.text(x, y, maths_free(words), fontsize=size, va="center", **look)


def _small(drawn: Any) -> bytes:
    from PIL import Image

    drawn.canvas.draw()
    size = drawn.canvas.get_width_height()
    picture = Image.frombuffer("RGBA", size, drawn.canvas.buffer_rgba()).convert("RGB")
    file = io.BytesIO()
    few = picture.quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(file, format="png", optimize=True)
    return file.getvalue()
