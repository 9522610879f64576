"""The learner's progress: one file that notebooks and terminals share.

Read from the top: `read` gives what is known, the `record_...` functions change one thing each.
A change reads, modifies and writes under one lock, so that two processes lose nothing; the file is
replaced as a whole, so that a crash leaves the old one. A file that cannot be understood is moved
aside, never destroyed.

    {"version": 1,
     "exercises": {"2.1": {"passed_at": "2026-11-22T10:15:00+00:00", "attempts": 3,
                           "last_cause": "library", "hints_seen": 1}},
     "questions": {"02.3": {"first": "4", "last": "16", "right": true}}}
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from simplex_lib.course.workspace import work_folder, write_atomically

VERSION = 1
LOCK_SECONDS = 10.0
Result = TypeVar("Result")


@dataclass
class ExerciseRecord:
    """passed_at: when it first passed. last_cause: why the last check did not; None if it did."""

    passed_at: str | None = None
    attempts: int = 0
    last_cause: str | None = None
    hints_seen: int = 0


@dataclass
class QuestionRecord:
    """first, last: texts of the options chosen. right: the right one has been chosen."""

    first: str
    last: str
    right: bool = False


@dataclass
class Progress:
    exercises: dict[str, ExerciseRecord] = field(default_factory=dict)
    questions: dict[str, QuestionRecord] = field(default_factory=dict)

    def passed(self, exercise: str) -> bool:
        record = self.exercises.get(exercise)
        return record is not None and record.passed_at is not None

    def hints_seen(self, exercise: str) -> int:
        record = self.exercises.get(exercise)
        return record.hints_seen if record else 0

    def as_json(self) -> bytes:
        text = json.dumps({"version": VERSION} | asdict(self), indent=1, ensure_ascii=False)
        return (text + "\n").encode()


class NotUnderstood(ValueError):
    """The file is no progress of this version; the message says why."""


def progress_path() -> Path:
    return work_folder() / "progress.json"


def read(path: Path | None = None) -> Progress:
    """What is known. Without a file: nothing yet."""
    path = path or progress_path()
    try:
        return _parse(path)
    except FileNotFoundError:
        return Progress()
    except NotUnderstood:
        return _change(path, lambda progress: progress, save=False)


def record_check(
    exercise: str, *, passed: bool, cause: str | None, path: Path | None = None
) -> Progress:
    """One check of an exercise. A stub is no attempt; a pass stays a pass."""

    def change(progress: Progress) -> Progress:
        record = progress.exercises.setdefault(exercise, ExerciseRecord())
        record.attempts += cause != "stub"
        record.last_cause = None if passed else cause
        if passed and record.passed_at is None:
            record.passed_at = datetime.now(UTC).isoformat(timespec="seconds")
        return progress

    return _change(path or progress_path(), change)


def record_hint(exercise: str, *, most: int = 3, path: Path | None = None) -> int:
    """One more hint of an exercise; how many have now been seen."""

    def change(progress: Progress) -> int:
        record = progress.exercises.setdefault(exercise, ExerciseRecord())
        record.hints_seen = min(most, record.hints_seen + 1)
        return record.hints_seen

    return _change(path or progress_path(), change)


def record_choice(
    question: str, option: str, *, right: bool, path: Path | None = None
) -> QuestionRecord:
    """One choice. Once the right option was chosen, looking at others changes nothing."""

    def change(progress: Progress) -> QuestionRecord:
        record = progress.questions.setdefault(question, QuestionRecord(option, option, right))
        if not record.right:
            record.last, record.right = option, right
        return record

    return _change(path or progress_path(), change)


def _change(path: Path, change: Callable[[Progress], Result], *, save: bool = True) -> Result:
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock"), timeout=LOCK_SECONDS):
        try:
            progress = _parse(path)
        except FileNotFoundError:
            progress = Progress()
        except NotUnderstood as problem:
            kept = _move_aside(path)
            print(
                f"Your progress file {problem}. It is kept as {kept.name}, and a new one is begun."
            )
            progress = Progress()
        result = change(progress)
        if save:
            write_atomically(path, progress.as_json())
        return result


def _parse(path: Path) -> Progress:
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise NotUnderstood("could not be read (it is not JSON, or was cut short)") from error
    if not isinstance(found, dict) or type(found.get("version")) is not int:
        raise NotUnderstood("does not say its version")
    if found["version"] != VERSION:
        raise NotUnderstood(
            f"has version {found['version']}, and this course writes version {VERSION}"
        )
    return Progress(
        _records(found, "exercises", ExerciseRecord, _EXERCISE_TYPES),
        _records(found, "questions", QuestionRecord, _QUESTION_TYPES),
    )


_TEXT_OR_NONE = (str, type(None))
_EXERCISE_TYPES = dict(
    passed_at=_TEXT_OR_NONE, attempts=(int,), last_cause=_TEXT_OR_NONE, hints_seen=(int,)
)
_QUESTION_TYPES = dict(first=(str,), last=(str,), right=(bool,))


def _records(
    found: dict[str, Any], part: str, kind: type, types: dict[str, tuple[type, ...]]
) -> dict[str, Any]:
    entries = found.get(part)
    if not isinstance(entries, dict):
        raise NotUnderstood(f"has no {part}")
    for name, entry in entries.items():
        if not isinstance(entry, dict) or entry.keys() != types.keys():
            raise NotUnderstood(f"has an entry {name} that this course did not write")
        for key, allowed in types.items():
            # bool counts as int for isinstance, and no count may be negative
            if type(entry[key]) not in allowed or (allowed == (int,) and entry[key] < 0):
                raise NotUnderstood(f"says {key} = {entry[key]!r} for {name}")
    return {name: kind(**entry) for name, entry in entries.items()}


def _move_aside(path: Path) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    kept = path.with_name(f"{path.name}.broken-{stamp}")
    path.replace(kept)
    return kept
