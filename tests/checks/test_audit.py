"""The promise of the checks: every known mistake is rejected and named by its own sentence."""

import re

import pytest

from simplex_lib.checks import check, exercises, get
from simplex_lib.checks.audit_checks import audit_all, audit_one, confusion

EXERCISES = exercises()
# a sentence names the mistake and never gives the answer
CODE = re.compile(r"torch\.|masked_fill|repeat_interleave|->|\.T\b|keepdim|\w\(-?\d|dim=")
WORDS = re.compile(r"program_id\(\d\)|exp\(0|torch\.autograd\.Function|as keepdim leaves it")


@pytest.mark.parametrize("exercise_id", EXERCISES)
def test_every_mistake_is_named_and_every_right_answer_passes(exercise_id):
    row, reports = audit_one(get(exercise_id)), confusion(get(exercise_id))
    table = "\n".join(f"{name:30} -> {report.cause}" for name, report in reports.items())
    print(table)  # the confusion matrix: mistake, and the sentence it was given
    assert row["wrong"] == row["rejected"] == row["named"] >= 4, table
    assert all(not CODE.search(WORDS.sub("", r.says)) for r in reports.values()), table
    named: dict[str, str] = {}  # two forms of one mistake, "mask" and "mask, no NaN", may share
    for name, report in reports.items():
        mistake = name.split(",")[0]
        assert named.setdefault(report.says, mistake) == mistake, "two mistakes share a sentence"
    assert all("known mistake" not in report.says for report in reports.values()), table
    assert row["stub_fails"] and row["solution_passes"]
    assert row["alternatives"] == row["alternatives_pass"] >= 1


def test_the_audit_of_several_exercises_runs_in_processes():
    rows = audit_all(["0.1", "1.1"])
    assert [row["exercise"] for row in rows] == ["0.1", "1.1"]
    assert rows[0] == audit_one(get("0.1"))


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
