"""The map of the course with the learner's progress on it, and the same as a table.

`map_payload` makes every number and word; map_picture.py draws them.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simplex_lib.course import map_picture as picture
from simplex_lib.course import page, progress
from simplex_lib.course.chapters import CHAPTERS, Chapter
from simplex_lib.course.workspace import ROOT, notebooks
from simplex_lib.widgets.shown import Shown


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


class CourseMap(Shown):
    """Shows the picture and the table; `sentence` says in words what is seen."""

    def __init__(self, stops: tuple[Stop, ...]):
        self.stops = stops

    @property
    def sentence(self) -> str:  # type: ignore[override]
        here = [stop for stop in self.stops if stop.here]
        done, total = sum(s.done for s in here), sum(s.total for s in here)
        yours = f"You have done {done} of {total} exercises." if done else f"{total} exercises."
        return f"{len(self.stops)} chapters, {len(here)} of them in this release. {yours}"

    def still(self) -> bytes:
        return picture.as_png(self.stops)

    def table(self) -> str:
        return table(self.stops)

    def __str__(self) -> str:
        rows = (f"{s.chapter.number}  {s.chapter.title:<36}{s.state}" for s in self.stops)
        return "\n".join([*rows, self.sentence])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        drawn = picture.as_svg(self.stops, self.sentence)
        return (
            f"<div style='max-width:70em;color:{page.INK}'>{drawn}"
            f"<details><summary style='cursor:pointer'>{self.sentence} "
            f"The same as a table</summary>{self.table()}</details></div>"
        )

    def _ipython_display_(self, **_: Any) -> None:
        if page.building():
            super()._ipython_display_()
        else:
            page.show(str(self), self._repr_html_())


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
