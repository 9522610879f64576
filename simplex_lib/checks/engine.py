"""`check`: asks an answer every case of its exercise and says, in one true sentence, what is wrong.

Read from the top. A failing answer is named by search: each known mistake is run on the same
cases, and the one that gives the learner's very numbers is the cause. If none does, `diagnose`
looks for something general that is true of the numbers. Then the failing case is made as small as
it gets.
"""

from __future__ import annotations

import itertools
import time
from typing import Any

from simplex_lib.checks.compare import (
    as_outputs,
    expected_of,
    find_mismatch,
    to_float64,
)
from simplex_lib.checks.diagnose import diagnose
from simplex_lib.checks.exercise import Case, Difference, Exercise, Wrong
from simplex_lib.checks.guard import call_guarded
from simplex_lib.checks.naming import SECONDS, Trial, agrees, same_mistake
from simplex_lib.checks.probe import size_that_matters, variants_that_fail
from simplex_lib.checks.report import Report

SHRINK_SECONDS = 3.0


def examine(
    exercise: Exercise, answer: Any, *, seconds: float = SECONDS, trust_chapters: bool = False
) -> Report:
    """Check one answer. trust_chapters: it stands in a chapter's own file of checks."""
    start = time.monotonic()
    if exercise.kind != "number" and not callable(answer):
        said = f"the check wants a {exercise.kind} and got {type(answer).__name__}"
        return _report(exercise, "type", f"Nothing to call: {said}.", start)

    def ask(case: Case) -> Trial:
        expected = expected_of(exercise, case)  # before the answer can touch anything
        outcome = call_guarded(
            exercise.ask,
            answer,
            case.arguments,
            seconds=seconds,
            uses=exercise.uses,
            forbids=exercise.forbids,
            trust_chapters=trust_chapters,
        )
        found = None
        if outcome.problem is None:
            found = find_mismatch(exercise, case, outcome.value, expected)
        return Trial(case, outcome, expected, found)

    trials: list[Trial] = []
    for case in exercise.cases():
        trials.append(ask(case))
        if trials[-1].outcome.problem in ("stub", "timeout", "exit", "library", "memory"):
            break
    failed = [t for t in trials if t.failed]
    if not failed:
        printed = _printed(trials)
        return Report(
            exercise.id,
            exercise.title,
            True,
            None,
            "Passed.",
            exercise.why,
            (f"Another way: {exercise.another_way}", *printed),
            seconds=time.monotonic() - start,
            printed=trials[-1].outcome.printed,
        )
    first = _most_telling(failed)
    if first.outcome.problem in ("stub", "timeout", "exit", "library", "memory", "mutated"):
        return _report(exercise, first.outcome.problem, first.outcome.says, start, first)
    if first.outcome.rejected:
        ran = exercise.kind == "kernel" and first.outcome.problem != "triton"
        wrong = same_mistake(exercise, trials) if ran else None
        trial = _shrink(exercise, first, ask, wrong)
        says, cause = trial.outcome.says, first.outcome.problem or ""
        if wrong:
            says, cause = f"{wrong.sentence(None)} {says}", wrong.name
        return _report(exercise, cause, says, start, trial)
    if first.mismatch and first.mismatch.cause not in ("value", "nan"):
        alike = [t for t in failed if t.mismatch and t.mismatch.cause == first.mismatch.cause]
        plain = [t for t in alike if t.case.variant == "float64"] or alike
        first = plain[-1]  # a shape says most where all sizes differ
    wrong = same_mistake(exercise, trials)
    if wrong:
        trial = _shrink(exercise, first, ask, wrong)
        difference = _difference(trial)
        return _report(exercise, wrong.name, wrong.sentence(difference), start, trial, named=True)
    trial = _shrink(exercise, first, ask, None)
    if trial.outcome.problem:
        return _report(exercise, trial.outcome.problem, trial.outcome.says, start, trial)
    mismatch = trial.mismatch
    assert mismatch is not None
    passing = [t.case for t in trials if not t.failed]
    failing = [t.case for t in failed]
    found = variants_that_fail(passing, failing)
    if found is None and mismatch.cause in ("value", "nan"):
        plain = [t for t in failed if t.case.variant == trial.case.variant] or [trial]
        differences = [d for d in map(_difference, reversed(plain)) if d is not None]
        found = diagnose(exercise, differences, passing)
    if found is None or found[0] == "part":  # where the errors lie says little of why
        size = size_that_matters(
            exercise, [trial.case, *failing], lambda case: not ask(case).failed
        )
        found = (found[0], f"{found[1]} {size[1]}") if found and size else found or size
    if mismatch.cause not in ("value", "nan"):
        says = f"{mismatch.says} {found[1] if found else ''}".strip()
        return _report(exercise, mismatch.cause, says, start, trial)
    if mismatch.cause == "nan":
        says = f"{mismatch.says} {found[1] if found else ''}".strip()
        return _report(exercise, "nan", says, start, trial)
    if found is None:
        says = "These numbers match no mistake that is known here."
        return _report(exercise, "other", says, start, trial, named=False)
    return _report(exercise, found[0], found[1], start, trial)


def _most_telling(failed: list[Trial]) -> Trial:
    """The first failure, but what was not a matter of numbers before all others."""
    for trial in failed:
        if trial.outcome.problem in ("stub", "timeout", "exit", "library", "memory"):
            return trial
    return next((t for t in failed if t.outcome.rejected), failed[0])


def _shrink(exercise: Exercise, trial: Trial, ask: Any, wrong: Wrong | None) -> Trial:
    """The same failure on the smallest sizes: one size at a time, until none gives way."""
    if trial.mismatch and trial.mismatch.cause not in ("value", "nan"):
        return trial
    end = time.monotonic() + SHRINK_SECONDS
    progress = True
    while progress:
        progress = False
        for name, size in trial.case.sizes.items():
            for smaller in range(exercise.smallest.get(name, 1), size):
                if time.monotonic() > end:
                    return trial
                try:
                    case = exercise.case(
                        trial.case.sizes | {name: smaller}, trial.case.variant, trial.case.seed
                    )
                except (ValueError, RuntimeError):
                    continue  # these sizes do not go together
                tried = ask(case)
                if _same_failure(tried, trial) and (not wrong or agrees(exercise, wrong, tried)):
                    trial, progress = tried, True
                    break
    return trial


def _same_failure(a: Trial, b: Trial) -> bool:
    cause = [t.outcome.problem or (t.mismatch.cause if t.mismatch else None) for t in (a, b)]
    return cause[0] is not None and cause[0] == cause[1]


def _difference(trial: Trial) -> Difference | None:
    found = trial.mismatch
    if found is None or found.cause not in ("value", "nan") or found.index is None:
        return None
    got = to_float64(as_outputs(trial.outcome.value)[found.output])
    return Difference(
        trial.case, found.output, found.index, got, to_float64(trial.expected[found.output])
    )


def _report(
    exercise: Exercise,
    cause: str,
    says: str,
    start: float,
    trial: Trial | None = None,
    *,
    named: bool = True,
) -> Report:
    details: list[str] = []
    difference = _difference(trial) if trial else None
    if difference is not None:
        details.append(_where(exercise, difference))
    if trial is not None and trial.outcome.where:
        details.append(trial.outcome.where)
    if trial is not None and trial.mismatch and trial.mismatch.says not in says:
        details.append(trial.mismatch.says)
    if trial is not None and cause not in ("stub", "library") and exercise.kind != "test":
        small = trial.mismatch is None or trial.mismatch.cause in ("value", "nan")
        details.append(f"{'Smallest failing case' if small else 'Case'}: {trial.case}.")
    if trial is not None:
        details += _printed([trial])
    return Report(
        exercise=exercise.id,
        title=exercise.title,
        passed=False,
        cause=cause,
        headline="Not written yet." if cause == "stub" else "Not yet.",
        says=says,
        details=tuple(details),
        output=exercise.outputs[difference.output] if difference else "",
        first_wrong=difference.index if difference else None,
        got=difference.got if difference else None,
        expected=difference.expected if difference else None,
        case=trial.case if trial else None,
        seconds=time.monotonic() - start,
        printed=trial.outcome.printed if trial else "",
        named=named,
    )


def _where(exercise: Exercise, difference: Difference) -> str:
    axes = exercise.output_axes(difference.output)
    if len(axes) != len(difference.index):
        axes = [str(n) for n in range(len(difference.index))]
    at = ", ".join(f"{axis} {x}" for axis, x in zip(axes, difference.index, strict=True))
    name = exercise.output_name(difference.output)
    if isinstance(difference.expected, str):
        return f"{name}: expected {difference.expected}, got {difference.got}."
    place = f" at {at}" if at else ""
    here, want = difference.got_here, difference.expected_here
    digits = 4
    while digits < 12 and f"{here:.{digits}g}" == f"{want:.{digits}g}" and here != want:
        digits += 2
    return f"First difference in {name}{place}: expected {want:.{digits}g}, got {here:.{digits}g}."


def _printed(trials: list[Trial]) -> list[str]:
    most = max((t.outcome.n_printed for t in trials), default=0)
    if not most:
        return []
    beginning = next(t.outcome.printed for t in trials if t.outcome.n_printed == most)
    short = "".join(itertools.islice(beginning, 200)).replace("\n", " / ")
    return [f"It printed {most:,} characters while it was checked, beginning: {short}"]
