"""The checks: `check("2.1", answer)` says whether an answer is right and, if not, why.

`exercises()` lists all exercises by id, `audit()` proves the checks against wrong answers.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache
from typing import Any

from simplex_lib.checks.engine import SECONDS, examine
from simplex_lib.checks.exercise import Case, Difference, Draw, Exercise, Rejected, Right, Wrong
from simplex_lib.checks.report import Report

__all__ = [
    "Case",
    "Difference",
    "Draw",
    "Exercise",
    "Rejected",
    "Report",
    "Right",
    "Wrong",
    "audit",
    "check",
    "exercises",
]


@cache
def exercises() -> dict[str, Exercise]:
    """Every exercise of the course by id, in the order of the chapters."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name.startswith("chapter"))
    found: dict[str, Exercise] = {}
    for name in names:
        for exercise in importlib.import_module(f"{__name__}.{name}").EXERCISES:
            if exercise.id in found:
                raise ValueError(f"two exercises have the id {exercise.id!r}")
            found[exercise.id] = exercise
    return found


def get(exercise_id: str) -> Exercise:
    known = exercises()
    if exercise_id not in known:
        raise ValueError(f"exercise must be one of {', '.join(known)}; got {exercise_id!r}.")
    return known[exercise_id]


def check(exercise_id: str, answer: Any, *, seconds: float = SECONDS) -> Report:
    """Check an answer: a function, a module's class, a kernel, a number or a test.

    Args:
        exercise_id: as in the exercise's heading, "2.1".
        answer: what the learner wrote. It is called with copies, on many small inputs.
        seconds: time limit for one call.

    Raises:
        ValueError: there is no such exercise. Nothing that the answer does raises here.
    """
    return examine(get(exercise_id), answer, seconds=seconds)


def audit(ids: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """Prove the checks of these exercises, or of all: see `simplex_lib.checks.audit_checks`."""
    from simplex_lib.checks.audit_checks import audit_all

    return audit_all(ids)
