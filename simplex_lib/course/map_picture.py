"""The picture of the map: cards and roads, as SVG for a lab and as PNG for a page without one.

`shapes` places everything once; `as_svg` paints with the page's own colours, which follow a light
or a dark theme, `as_png` with fixed ones on white.
"""

from __future__ import annotations

import html
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simplex_lib.course import page

if TYPE_CHECKING:
    from simplex_lib.course.map import Stop

# column and row of each chapter
PLACES = {
    "00": (0, 1), "01": (1, 1), "02": (2, 1), "03": (3, 1), "04": (3, 2), "05": (3, 0),
    "06": (4, 0), "07": (4, 1), "08": (5, 1), "09": (2, 3), "10": (3, 3), "11": (4, 3),
    "12": (5, 3),
}  # fmt: skip
NOT_DRAWN = {("05", "12")}  # a road behind three cards says nothing; the table has it
WIDTH, HEIGHT, GAP_X, GAP_Y, EDGE = 140, 92, 30, 28, 4
COLUMNS, ROWS = (1 + max(place[axis] for place in PLACES.values()) for axis in (0, 1))
SIZE = (
    COLUMNS * (WIDTH + GAP_X) - GAP_X + 2 * EDGE,
    ROWS * (HEIGHT + GAP_Y) - GAP_Y + 2 * EDGE,
)
# what a colour is for: in the page's theme, and on white
COLORS = {
    "ink": (page.INK, "#212121"),
    "faint": (page.FAINT, "#666666"),
    "line": (page.LINE, "#9e9e9e"),
    "brand": (page.BRAND, "#1976d2"),
    "good": (page.GOOD, "#2e7d32"),
    "card": ("var(--jp-layout-color1, Canvas)", "#ffffff"),
}


@dataclass(frozen=True)
class Box:
    x: float
    y: float
    width: float
    height: float
    radius: float
    edge: str
    fill: str
    line: float = 2
    dashed: bool = False


@dataclass(frozen=True)
class Words:
    x: float
    y: float
    text: str
    size: float
    color: str
    bold: bool = False
    right: bool = False  # x is where they end


@dataclass(frozen=True)
class Road:
    """From (x, y) over a bend within `gap` to the height of y1, then straight to x1."""

    x: float
    y: float
    x1: float
    y1: float
    gap: float
    dashed: bool


Shape = Box | Words | Road


def shapes(stops: Sequence[Stop]) -> Iterator[Shape]:
    """Roads first, so that cards cover their ends."""
    by_number = {stop.chapter.number: stop for stop in stops}
    for stop in stops:
        for before in stop.chapter.needs:
            if (before, stop.chapter.number) not in NOT_DRAWN:
                yield _road(by_number[before], stop)
    for stop in stops:
        yield from _card(stop)


def corner(stop: Stop) -> tuple[int, int]:
    column, row = PLACES[stop.chapter.number]
    return EDGE + column * (WIDTH + GAP_X), EDGE + row * (HEIGHT + GAP_Y)


def _road(a: Stop, b: Stop) -> Road:
    (ax, ay), (bx, by) = corner(a), corner(b)
    if ax == bx:  # straight down
        return Road(ax + WIDTH / 2, ay + HEIGHT, bx + WIDTH / 2, by, 0, not b.here)
    return Road(ax + WIDTH, ay + HEIGHT / 2, bx, by + HEIGHT / 2, GAP_X, not b.here)


def _card(stop: Stop) -> Iterator[Shape]:
    x, y = corner(stop)
    complete = stop.total > 0 and stop.done == stop.total
    edge = "good" if complete else "brand" if stop.done else "line"
    edge = edge if stop.here else "line"
    yield Box(x, y, WIDTH, HEIGHT, 8, edge, "card", dashed=not stop.here)
    yield Words(x + 12, y + 20, stop.chapter.number, 12, "faint")
    state = f"✓ {stop.state}" if complete and stop.here else stop.state
    yield Words(x + WIDTH - 12, y + 20, state, 11, "faint", right=True)
    for n, line in enumerate(_lines(stop.chapter.title)):
        ink = "ink" if stop.here else "faint"
        yield Words(x + 12, y + 40 + 15 * n, line, 13, ink, bold=True)
    if stop.here:
        yield from _bar(x + 12, y + HEIGHT - 14, WIDTH - 24, stop)


def _bar(x: float, y: float, width: float, stop: Stop) -> Iterator[Box]:
    """One piece an exercise, the done ones filled."""
    gap = 3
    piece = (width - gap * (stop.total - 1)) / max(1, stop.total)
    for n in range(stop.total):
        done = n < stop.done
        edge, fill = ("good", "good") if done else ("line", "card")
        yield Box(x + n * (piece + gap), y, piece, 6, 2, edge, fill, line=1)


def _lines(title: str, most: int = 15) -> list[str]:
    """The lines of a card; the longest title of the course takes three."""
    lines = [""]
    for word in title.split():
        if len(f"{lines[-1]} {word}") > most and lines[-1]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def as_svg(stops: Sequence[Stop], sentence: str) -> str:
    width, height = SIZE
    body = "".join(map(_svg, shapes(stops)))
    return (
        f"<svg viewBox='0 0 {width} {height}' role='img' aria-label='{html.escape(sentence)}' "
        f"style='width:100%;max-width:{width}px;height:auto;font-family:inherit'>{body}</svg>"
    )


def _svg(shape: Shape) -> str:
    if isinstance(shape, Words):
        weight = " font-weight='600'" if shape.bold else ""
        anchor = " text-anchor='end'" if shape.right else ""
        return (
            f"<text x='{shape.x:g}' y='{shape.y:g}' font-size='{shape.size:g}'{weight}{anchor} "
            f"style='fill:{COLORS[shape.color][0]}'>{html.escape(shape.text)}</text>"
        )
    dashed = " stroke-dasharray='4 4'" if shape.dashed else ""
    if isinstance(shape, Box):
        return (
            f"<rect x='{shape.x:.1f}' y='{shape.y:g}' width='{shape.width:.1f}' "
            f"height='{shape.height:g}' rx='{shape.radius:g}' "
            f"stroke-width='{shape.line:g}'{dashed} "
            f"style='fill:{COLORS[shape.fill][0]};stroke:{COLORS[shape.edge][0]}'/>"
        )
    bend, end = shape.x + shape.gap / 2, shape.x + shape.gap
    curve = f"C{bend:g} {shape.y:g} {bend:g} {shape.y1:g} {end:g} {shape.y1:g} H{shape.x1:g}"
    return (
        f"<path d='M{shape.x:g} {shape.y:g} {curve}' fill='none' stroke-width='2'{dashed} "
        f"style='stroke:{COLORS['line'][0]}'/>"
    )


def as_png(stops: Sequence[Stop]) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch, PathPatch
    from matplotlib.path import Path

    width, height = SIZE
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    for order, shape in enumerate(shapes(stops)):
        if isinstance(shape, Words):
            axes.text(
                shape.x, shape.y, shape.text, fontsize=0.72 * shape.size * 0.9, zorder=order,
                color=COLORS[shape.color][1], weight="bold" if shape.bold else "normal",
                ha="right" if shape.right else "left",
            )  # fmt: skip
            continue
        style = (0, (3, 3)) if shape.dashed else "solid"
        if isinstance(shape, Box):
            axes.add_patch(
                FancyBboxPatch(
                    (shape.x, shape.y), shape.width, shape.height, zorder=order,
                    boxstyle=f"round,pad=0,rounding_size={shape.radius}", linestyle=style,
                    linewidth=0.72 * shape.line, edgecolor=COLORS[shape.edge][1],
                    facecolor=COLORS[shape.fill][1],
                )
            )  # fmt: skip
            continue
        bend, end = shape.x + shape.gap / 2, shape.x + shape.gap
        points = [
            (shape.x, shape.y), (bend, shape.y), (bend, shape.y1), (end, shape.y1),
            (shape.x1, shape.y1),
        ]  # fmt: skip
        codes = [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4, Path.LINETO]
        axes.add_patch(
            PathPatch(
                Path(points, codes), facecolor="none", linewidth=1.4, linestyle=style,
                edgecolor=COLORS["line"][1], zorder=order,
            )
        )  # fmt: skip
    written = io.BytesIO()
    FigureCanvasAgg(figure).print_png(written)
    return written.getvalue()
