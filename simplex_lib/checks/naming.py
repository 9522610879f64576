"""Finds the named mistake whose numbers are the learner's own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.compare import Mismatch, as_outputs, differs, to_float64, tolerance
from simplex_lib.checks.exercise import Case, Exercise, Wrong
from simplex_lib.checks.guard import Outcome, call_guarded

SECONDS = 10.0  # for one call of an answer


@dataclass(frozen=True, eq=False)
class Trial:
    """One case, asked."""

    case: Case
    outcome: Outcome
    expected: tuple[Any, ...]
    mismatch: Mismatch | None

    @property
    def failed(self) -> bool:
        return self.outcome.problem is not None or self.mismatch is not None


def same_mistake(exercise: Exercise, trials: list[Trial]) -> Wrong | None:
    """The named mistake whose numbers are the learner's in every case that was asked.

    If there is none: in every plain float64 case. Then another mistake shows in the others, and
    will be named once this one is mended.
    """
    if all(_nothing_finite(trial) for trial in trials):
        return None  # many mistakes give nothing but NaN: that alone proves none of them
    agree = cache(partial(agrees, exercise))
    telling = sorted(trials, key=lambda trial: not trial.failed)  # one of these soon says no
    for asked in (telling, [t for t in telling if t.case.variant == "float64"]):
        if not any(trial.failed for trial in asked):
            continue
        for wrong in exercise.wrong:
            if all(agree(wrong, trial) for trial in asked):
                return wrong
    return None


def agrees(exercise: Exercise, wrong: Wrong, trial: Trial) -> bool:
    """Whether a mistake gives the same numbers in this case, or fails in the same way."""
    other = call_guarded(
        exercise.ask,
        wrong.answer,
        trial.case.arguments,
        seconds=SECONDS,
        uses=exercise.uses,
        trust_chapters=True,
    )
    if other.problem or trial.outcome.problem:
        if other.problem == "raised" and trial.outcome.problem == "raised":
            return _exception(other) == _exception(trial.outcome)
        alike = not other.rejected or other.says == trial.outcome.says
        return other.problem == trial.outcome.problem and alike
    mine, theirs = as_outputs(trial.outcome.value), as_outputs(other.value)
    if len(mine) != len(theirs):
        return False
    for output, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        a, b = to_float64(a), to_float64(b)
        if isinstance(a, str) or isinstance(b, str) or a is None or b is None:
            if type(a) is not type(b) or a != b:
                return False
            continue
        if not isinstance(a, Tensor) or not isinstance(b, Tensor) or a.shape != b.shape:
            return False
        if _dtype(trial.outcome.value) != _dtype(other.value):
            return False
        want = to_float64(trial.expected[min(output, len(trial.expected) - 1)])
        limit = tolerance(exercise, trial.case, min(output, len(trial.expected) - 1), want)
        if differs(a, b, limit).any():
            return False
    return True


def _dtype(value: Any) -> torch.dtype | None:
    return value.dtype if isinstance(value, Tensor) else None


def _nothing_finite(trial: Trial) -> bool:
    """Every number of the answer is NaN or infinite."""
    if trial.outcome.problem:
        return False
    found = [to_float64(x) for x in as_outputs(trial.outcome.value)]
    return all(isinstance(x, Tensor) and not torch.isfinite(x).any() for x in found)


def _exception(outcome: Outcome) -> str:
    return outcome.says.split("raised ")[-1].split(" ")[0].rstrip(":")
