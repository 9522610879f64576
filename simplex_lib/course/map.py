"""The map of the course with the learner's progress on it, and the same as a table.

`map_payload` makes every number and word; `draw` turns it into a picture and does no arithmetic on
the course. The picture uses the page's own colours, so it follows a light or a dark theme.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simplex_lib.course import page, progress
from simplex_lib.course.chapters import CHAPTERS, Chapter
from simplex_lib.course.workspace import ROOT, notebooks

# column and row of each chapter
PLACES = {
    "00": (0, 1), "01": (1, 1), "02": (2, 1), "03": (3, 1), "04": (3, 2), "05": (3, 0),
    "06": (4, 0), "07": (4, 1), "08": (5, 1), "09": (2, 3), "10": (3, 3), "11": (4, 3),
    "12": (5, 3),
}  # fmt: skip
NOT_DRAWN = {("05", "12")}  # a road behind three cards says nothing; the table has it
WIDTH, HEIGHT, GAP_X, GAP_Y, EDGE = 140, 92, 30, 28, 4


@dataclass(frozen=True)
class Stop:
    """One chapter: exercises done of total. here: its notebook is in this release."""

    chapter: Chapter
    here: bool
    done: int = 0
    total: int = 0
    file: str = ""

    @property
    def state(self) -> str:
        if not self.here:
            return "to come"
        if not self.total:
            return "to read"
        return f"{self.done} of {self.total} done"


def course_map() -> CourseMap:
    """The thirteen chapters, what they rest on, and how far the learner is."""
    return CourseMap(map_payload())


def map_payload(
    known: progress.Progress | None = None, files: dict[str, Path] | None = None
) -> tuple[Stop, ...]:
    """Every chapter with its state.

    Args:
        known: the learner's progress; None reads it.
        files: notebooks of the chapters in this release; None looks for them.
    """
    from simplex_lib.checks import exercises

    if known is None:
        known = progress.Progress() if page.building() else _progress()
    files = notebooks("chapters", ROOT) if files is None else files
    ids: dict[str, list[str]] = {}
    for exercise in exercises().values():
        ids.setdefault(exercise.chapter, []).append(exercise.id)
    stops = []
    for chapter in CHAPTERS:
        of = ids.get(chapter.number, [])
        here = chapter.number in files
        file = files[chapter.number].name if here else ""
        stops.append(Stop(chapter, here, sum(map(known.passed, of)), len(of), file))
    return tuple(stops)


def _progress() -> progress.Progress:
    try:
        return progress.read()
    except OSError:
        return progress.Progress()


class CourseMap:
    """Shows the picture and the table; `sentence` says in words what is seen."""

    def __init__(self, stops: tuple[Stop, ...]):
        self.stops = stops

    @property
    def sentence(self) -> str:
        here = [stop for stop in self.stops if stop.here]
        done, total = sum(s.done for s in here), sum(s.total for s in here)
        yours = f"You have done {done} of {total} exercises." if done else f"{total} exercises."
        return f"{len(self.stops)} chapters, {len(here)} of them in this release. {yours}"

    def __str__(self) -> str:
        rows = (f"{s.chapter.number}  {s.chapter.title:<36}{s.state}" for s in self.stops)
        return "\n".join([*rows, self.sentence])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return (
            f"<div style='max-width:70em;color:{page.INK}'>{draw(self.stops, self.sentence)}"
            f"<details><summary style='cursor:pointer'>{self.sentence} "
            f"The same as a table</summary>{table(self.stops)}</details></div>"
        )


def table(stops: tuple[Stop, ...]) -> str:
    left = "style='text-align:left;padding:3px 14px 3px 0'"
    rows = "".join(
        f"<tr><td {left}>{s.chapter.number}</td><td {left}>{_link(s)}</td>"
        f"<td {left}>{', '.join(s.chapter.needs) or 'nothing'}</td><td {left}>{s.state}</td></tr>"
        for s in stops
    )
    head = "".join(
        f"<th scope='col' {left}>{x}</th>"
        for x in ("chapter", "title", "rests on", "your exercises")
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _link(stop: Stop) -> str:
    title = html.escape(stop.chapter.title)
    return f"<a href='{stop.file}'>{title}</a>" if stop.here else title


def draw(stops: tuple[Stop, ...], sentence: str) -> str:
    """The picture as SVG."""
    columns = 1 + max(column for column, _ in PLACES.values())
    rows = 1 + max(row for _, row in PLACES.values())
    width = columns * WIDTH + (columns - 1) * GAP_X + 2 * EDGE
    height = rows * HEIGHT + (rows - 1) * GAP_Y + 2 * EDGE
    by_number = {stop.chapter.number: stop for stop in stops}
    roads = "".join(
        _road(by_number[before], stop)
        for stop in stops
        for before in stop.chapter.needs
        if (before, stop.chapter.number) not in NOT_DRAWN
    )
    cards = "".join(map(_card, stops))
    return (
        f"<svg viewBox='0 0 {width} {height}' role='img' aria-label='{html.escape(sentence)}' "
        f"style='width:100%;max-width:{width}px;height:auto;font-family:inherit'>{roads}{cards}</svg>"
    )


def _corner(stop: Stop) -> tuple[int, int]:
    column, row = PLACES[stop.chapter.number]
    return EDGE + column * (WIDTH + GAP_X), EDGE + row * (HEIGHT + GAP_Y)


def _road(a: Stop, b: Stop) -> str:
    """From the right edge of a to the left edge of b, bending in the gap after a; or down."""
    (ax, ay), (bx, by) = _corner(a), _corner(b)
    look = f"fill='none' stroke-width='2' style='stroke:{page.LINE}'"
    if not b.here:
        look += " stroke-dasharray='4 4'"
    if ax == bx:
        x = ax + WIDTH // 2
        return f"<path d='M{x} {ay + HEIGHT} V{by}' {look}/>"
    x0, y0, x1, y1 = ax + WIDTH, ay + HEIGHT // 2, bx, by + HEIGHT // 2
    bend = x0 + GAP_X // 2
    return f"<path d='M{x0} {y0} C{bend} {y0} {bend} {y1} {x0 + GAP_X} {y1} H{x1}' {look}/>"


def _card(stop: Stop) -> str:
    x, y = _corner(stop)
    complete = stop.here and stop.total and stop.done == stop.total
    started = stop.here and stop.done
    edge = page.GOOD if complete else page.BRAND if started else page.LINE
    ink = page.INK if stop.here else page.FAINT
    dashed = "" if stop.here else " stroke-dasharray='4 4'"
    card = (
        f"<rect x='{x}' y='{y}' width='{WIDTH}' height='{HEIGHT}' rx='8' stroke-width='2'{dashed} "
        f"style='fill:var(--jp-layout-color1, Canvas);stroke:{edge}'/>"
        f"<text x='{x + 12}' y='{y + 20}' font-size='12' style='fill:{page.FAINT}'>"
        f"{stop.chapter.number}</text>"
    )
    for n, line in enumerate(_lines(stop.chapter.title)):
        card += (
            f"<text x='{x + 12}' y='{y + 40 + 15 * n}' font-size='13' font-weight='600' "
            f"style='fill:{ink}'>{html.escape(line)}</text>"
        )
    mark = "✓ " if complete else ""
    card += (
        f"<text x='{x + WIDTH - 12}' y='{y + 20}' font-size='11' text-anchor='end' "
        f"style='fill:{page.FAINT}'>{mark}{stop.state}</text>"
    )
    if stop.here and stop.total:
        card += _bar(x + 12, y + HEIGHT - 14, WIDTH - 24, stop)
    title = f"{stop.chapter.number} {stop.chapter.title}: {stop.state}"
    return f"<g><title>{html.escape(title)}</title>{card}</g>"


def _bar(x: int, y: int, width: int, stop: Stop) -> str:
    """One piece an exercise, the done ones filled."""
    gap = 3
    piece = (width - gap * (stop.total - 1)) / stop.total
    return "".join(
        f"<rect x='{x + n * (piece + gap):.1f}' y='{y}' width='{piece:.1f}' height='6' rx='2' "
        + (
            f"style='fill:{page.GOOD}'/>"
            if n < stop.done
            else f"style='fill:none;stroke:{page.LINE};stroke-width:1'/>"
        )
        for n in range(stop.total)
    )


def _lines(title: str, most: int = 15) -> list[str]:
    """The lines of a card; the longest title of the course takes three."""
    lines = [""]
    for word in title.split():
        if len(f"{lines[-1]} {word}") > most and lines[-1]:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def as_rows(payload: tuple[Stop, ...]) -> list[dict[str, Any]]:
    """For the terminal."""
    return [
        dict(
            number=s.chapter.number,
            title=s.chapter.title,
            state=s.state,
            done=s.done,
            total=s.total,
        )
        for s in payload
    ]
