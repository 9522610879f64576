"""Hints of an exercise, one more at each call, and the index of symptoms."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

from simplex_lib.course import page, progress
from simplex_lib.course.chapters import exercise_id


@dataclass(frozen=True)
class Hints:
    """The hints of an exercise that have been asked for."""

    exercise: str
    texts: tuple[str, ...]
    total: int

    def __str__(self) -> str:
        lines = [f"Hint {n} of {self.total}: {text}" for n, text in enumerate(self.texts, 1)]
        return "\n".join([*lines, *self._after_all()])

    def _repr_html_(self) -> str:
        body = "".join(
            f"<div style='margin-bottom:4px'><b>Hint {n} of {self.total}.</b> "
            f"{page.to_html(text, inline='```' not in text)}</div>"
            for n, text in enumerate(self.texts, 1)
        )
        return page.panel(body + "".join(f"<div>{html.escape(x)}</div>" for x in self._after_all()))

    def _after_all(self) -> list[str]:
        if len(self.texts) < self.total:
            return []
        return [
            "These are all. Still stuck? Look for what you see in symptoms(), or compare with the "
            "notebook of the same name in solutions/."
        ]


def hint(exercise: str) -> Hints:
    """One more hint of an exercise: the idea, where to look, pseudocode.

    Raises:
        TypeError, ValueError: there is no such exercise.
    """
    found = lookup(exercise)
    if page.building():
        return Hints(found.id, tuple(found.hints[:1]), len(found.hints))
    try:
        seen = progress.record_hint(found.id, most=len(found.hints))
    except OSError:  # it cannot be kept how many were seen, so all are given
        seen = len(found.hints)
    return Hints(found.id, tuple(found.hints[:seen]), len(found.hints))


def lookup(exercise: str) -> Any:
    """The exercise of that id.

    Raises:
        TypeError, ValueError: there is none; the message lists those of its chapter.
    """
    from simplex_lib.checks import exercises

    wanted, known = exercise_id(exercise), exercises()
    if wanted not in known:
        chapter = wanted.partition(".")[0]
        near = [name for name in known if name.partition(".")[0] == chapter] or list(known)
        raise ValueError(f"there is no exercise {wanted}; there are {', '.join(near)}.")
    return known[wanted]
