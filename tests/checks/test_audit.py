"""The promise of the checks: every known mistake is rejected and named by its own sentence."""

import pytest

from simplex_lib.checks import check, exercises, get
from simplex_lib.checks.audit_checks import audit_one, confusion

EXERCISES = exercises()


@pytest.mark.parametrize("exercise_id", EXERCISES)
def test_every_mistake_is_rejected_and_named(exercise_id):
    reports = confusion(get(exercise_id))
    table = "\n".join(f"{name:30} -> {report.cause}" for name, report in reports.items())
    assert all(not report.passed for report in reports.values()), table
    assert all(name == report.cause for name, report in reports.items()), table
    says = [report.says for report in reports.values()]
    assert len(set(says)) == len(says), "two mistakes share a sentence"


@pytest.mark.parametrize("exercise_id", EXERCISES)
def test_stub_solution_and_alternatives(exercise_id):
    row = audit_one(get(exercise_id))
    assert row["stub_fails"] and row["solution_passes"]
    assert row["alternatives"] == row["alternatives_pass"] >= 1
    assert row["wrong"] == row["rejected"] == row["named"] >= 4


@pytest.mark.parametrize("exercise_id", EXERCISES)
def test_exercise_is_complete(exercise_id):
    exercise = get(exercise_id)
    assert len(exercise.hints) == 3 and all(exercise.hints)
    assert exercise.why and exercise.another_way and exercise.minutes > 0
    assert len({w.name for w in exercise.wrong}) == len(exercise.wrong)


def test_there_are_at_least_thirteen_exercises():
    assert len(EXERCISES) >= 13


@pytest.mark.errors
def test_unknown_exercise_lists_the_known():
    with pytest.raises(ValueError, match=r"exercise must be one of 0\.1.*got '9\.9'"):
        check("9.9", len)
