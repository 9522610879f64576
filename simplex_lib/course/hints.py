"""Hints of an exercise, one more at each call, and the index of symptoms."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any

from simplex_lib.course import page, progress
from simplex_lib.course.chapters import exercise_id

# the index of symptoms, as each door opens it
IN_NOTEBOOK = '`from simplex_lib.course import symptoms`, then for example `symptoms("NaN")`'
IN_TERMINAL = "`simplex symptom NaN`, for example"


@dataclass(frozen=True)
class Hints:
    """The hints of an exercise that have been asked for."""

    exercise: str
    texts: tuple[str, ...]
    total: int

    def __str__(self) -> str:
        return self._plain(IN_NOTEBOOK)

    def in_terminal(self) -> str:
        return self._plain(IN_TERMINAL)

    def _plain(self, look_up: str) -> str:
        lines = [f"Hint {n} of {self.total}: {text}" for n, text in enumerate(self.texts, 1)]
        return "\n".join([*lines, *self._after_all(look_up)])

    def _repr_html_(self) -> str:
        body = "".join(
            f"<div style='margin-bottom:4px'><b>Hint {n} of {self.total}.</b> "
            f"{page.to_html(text, inline='```' not in text)}</div>"
            for n, text in enumerate(self.texts, 1)
        )
        after = (page.to_html(text, inline=True) for text in self._after_all(IN_NOTEBOOK))
        return page.panel(body + "".join(f"<div>{text}</div>" for text in after))

    def _after_all(self, look_up: str) -> list[str]:
        if len(self.texts) < self.total:
            return []
        return [
            f"These are all. Still stuck? Look up what you see: {look_up}. Or compare with the "
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


@dataclass(frozen=True)
class Symptoms:
    """Entries of the symptom index that fit what was looked for."""

    looked_for: str
    found: tuple[Any, ...]

    def __str__(self) -> str:
        blocks = [self._head()] if self._head() else []
        for entry in self.found:
            causes = "\n".join(f"  - {cause}" for cause in entry.causes)
            blocks.append(f"{entry.seen}\n{causes}\n  Try: {entry.attempt}")
        return "\n\n".join(blocks)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        entries = "".join(
            f"<details{' open' if self.looked_for and not n else ''} style='margin:4px 0'>"
            f"<summary style='cursor:pointer'><b>{html.escape(entry.seen)}</b></summary>"
            "<ul style='margin:4px 0 4px 20px'>"
            + "".join(f"<li>{html.escape(cause)}</li>" for cause in entry.causes)
            + "</ul><div style='margin:0 0 8px 20px'>"
            + f"<b>Try:</b> {html.escape(entry.attempt)}</div></details>"
            for n, entry in enumerate(self.found)
        )
        return page.panel(
            (f"<div>{html.escape(self._head())}</div>" if self._head() else "") + entries
        )

    def _head(self) -> str:
        if not self.looked_for:
            return "What do you see?"
        if not self.found:
            return (
                f"Nothing is known about {self.looked_for!r}. One word is the best search; "
                "without a word you get the whole index."
            )
        return ""


def symptoms(text: str | None = None) -> Symptoms:
    """The symptom index: all of it, or the entries with these words, best first."""
    from simplex_lib.checks.symptoms import SYMPTOMS

    wanted = (text or "").strip()
    if not wanted:
        return Symptoms("", SYMPTOMS)
    words = [word for word in _words(wanted) if word not in _COMMON] or _words(wanted)
    scores = [sum(_score(entry, word) for word in words) for entry in SYMPTOMS]
    ranked = sorted(zip(scores, SYMPTOMS, strict=True), key=lambda pair: -pair[0])
    close = [entry for score, entry in ranked if score and score * 2 >= ranked[0][0]]
    return Symptoms(wanted, tuple(close[:3]))


_COMMON = frozenset("a an and are at for get i in is it me my of on or the to with".split())


def _words(text: str) -> list[str]:
    return re.findall(r"[\w.-]*\w", text.lower())


def _score(entry: Any, word: str) -> int:
    """Where a word stands says how much it tells: in what is seen, in the words, in the causes."""

    def has(text: str) -> bool:
        return any(w.startswith(word) or (len(w) > 3 and word.startswith(w)) for w in _words(text))

    places = ((4, entry.seen), (3, " ".join(entry.words)), (1, " ".join(entry.causes)))
    return sum(weight for weight, text in places if has(text))
