"""The panels of an editor for a page without a live view: few colours, few numbers, few bytes."""

import io
from collections.abc import Sequence
from typing import Any

from simplex_lib.widgets.kernel_editor_board import Panel, cell_text, shade
from simplex_lib.widgets.kit import maths_free, still_figure

COLOURS = 64  # of the palette; letters without grey edges take half the bytes
CELL = 0.195  # inches
READ = "#b04a00"


def still(panels: Sequence[Panel], across: int = 2) -> bytes:
    """`across` panels a row."""
    rows = [panels[n : n + across] for n in range(0, len(panels), across)]
    if panels[0].edit:  # a matrix stands alone
        rest = panels[1:]
        rows = [panels[:1], *(rest[n : n + across] for n in range(0, len(rest), across))]
    width = max(sum(_size(p)[0] for p in row) for row in rows)
    height = sum(max(_size(p)[1] for p in row) for row in rows)
    drawn = still_figure(width, height)
    drawn.set_dpi(96)
    drawn.set_layout_engine("none")
    top = height
    for row in rows:
        left = 0.0
        for panel in row:
            wide, high = _size(panel)
            axes = drawn.add_axes(
                (left / width, (top - high) / height, wide / width, high / height)
            )
            axes.set(xlim=(0, wide / CELL), ylim=(high / CELL, 0))
            axes.axis("off")
            _draw(axes, panel)
            left += wide
        top -= max(_size(p)[1] for p in row)
    return _small(drawn)


def _room(panel: Panel) -> tuple[float, float]:
    """Cells that the labels take on the left and above."""
    return 0.33 * max(map(len, panel.down)) + 0.5, 0.33 * max(map(len, panel.across)) + 1.8


def _size(panel: Panel) -> tuple[float, float]:
    left, above = _room(panel)
    columns = len(panel.across) + (1.6 if panel.sums else 0)
    title = 0.36 * len(panel.title)
    return CELL * (max(left + columns, title) + 0.8), CELL * (above + len(panel.down) + 0.6)


def _draw(axes: Any, panel: Panel) -> None:
    from matplotlib.patches import Rectangle

    left, above = _room(panel)
    text = dict(fontsize=7, ha="center", va="center")
    off, cut = set(panel.marks.get("off", [])), set(panel.marks.get("cut", []))
    # numbers only in rows that are read: each costs bytes in every chapter
    told = {panel.at[0], *(r for r, _ in panel.marks.get("read", []))}
    axes.text(0.2, 0.7, maths_free(panel.title), fontsize=8.5, fontweight="bold", va="center")
    for r, word in enumerate(panel.down):
        axes.text(
            left - 0.2, above + r + 0.5, maths_free(word), fontsize=7, ha="right", va="center"
        )
    for c, word in enumerate(panel.across):
        axes.text(left + c + 0.5, above - 0.2, maths_free(word), fontsize=7, rotation=90,
                  ha="center", va="bottom")  # fmt: skip
    for r, row in enumerate(panel.numbers):
        for c, x in enumerate(row):
            if (r, c) in off:
                continue
            paper, ink = shade(x, panel, False)
            at = (left + c, above + r)
            axes.add_patch(Rectangle(at, 1, 1, fc=paper, ec="#ffffff", lw=0.6, aa=False))
            if panel.edit or (r in told and cell_text(x) != "0"):
                axes.text(
                    at[0] + 0.5, at[1] + 0.52, cell_text(x).replace("−", "-"), color=ink, **text
                )
            if (r, c) in cut:
                axes.plot(at[0] + 0.88, at[1] + 0.14, "s", color=READ, ms=1.6, mew=0, aa=False)
    for r, total in enumerate(["sum", *panel.sums] if panel.sums else []):
        axes.text(left + len(panel.across) + 1.2, above + r - 0.5, total, **text)
    for mark, colour, wide in (
        ("near", "#e0b491", 0.5),
        ("read", READ, 1.4),
        ("now", "#1c1f24", 1.4),
    ):
        for r, c in panel.marks.get(mark, []):
            at = (left + c + 0.05, above + r + 0.05)
            axes.add_patch(Rectangle(at, 0.9, 0.9, fill=False, ec=colour, lw=wide, aa=False))


def _small(drawn: Any) -> bytes:
    from PIL import Image

    for axes in drawn.axes:
        for text in axes.texts:
            text.set_antialiased(False)
    drawn.canvas.draw()
    size = drawn.canvas.get_width_height()
    picture = Image.frombuffer("RGBA", size, drawn.canvas.buffer_rgba()).convert("RGB")
    file = io.BytesIO()
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(file, format="png", optimize=True)
    return file.getvalue()
