"""A work folder of its own for every test, and a small set of exercises that needs no torch."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from simplex_lib import checks


@dataclass
class FakeReport:
    exercise: str
    passed: bool
    cause: str | None
    message: str
    got: Any = None
    expected: Any = None
    case: Any = None
    first_wrong: Any = None
    title: str = ""

    def __str__(self):
        return f"Exercise {self.exercise}\n{self.message}"

    def _repr_html_(self):
        return f"<div>{self.message}</div>"


@dataclass(frozen=True)
class FakeExercise:
    id: str
    title: str
    chapter: str
    minutes: int = 5
    hints: tuple[str, ...] = field(default=("the idea", "where to look", "pseudocode"))


EXERCISES = {
    f"{chapter}.{n}": FakeExercise(f"{chapter}.{n}", f"title {chapter}.{n}", f"{chapter:02d}")
    for chapter, count in ((1, 2), (2, 3))
    for n in range(1, count + 1)
}


def fake_check(exercise, answer, **_):
    """The answer says itself how it fares."""
    cause = answer() if callable(answer) else answer
    message = "Passed." if cause is None else f"Not yet. {cause}"
    return FakeReport(exercise, cause is None, cause, message)


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    folder = tmp_path / "work"
    monkeypatch.setenv("SIMPLEX_WORK", str(folder))
    for name in ("SIMPLEX_BUILD", "SIMPLEX_STRICT"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(checks, "exercises", lambda: EXERCISES)
    monkeypatch.setattr(checks, "check", fake_check)
    return EXERCISES
