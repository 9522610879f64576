"""Mirrors simplex_lib/course/grading.py: whatever an answer does, the terminal says what it was."""

import json
import time

import pytest

from simplex_lib.course import grading
from simplex_lib.course.grading import GIB, Limits, grade
from simplex_lib.course.grading_run import Tail

SETUP = "import os, sys, time\nimport torch\nfrom simplex_lib.course import check"


def code(source, exercise=None, role="stub"):
    about = {"simplex": {"exercise": exercise, "role": role}} if exercise else {}
    return {"cell_type": "code", "metadata": about, "source": source.splitlines(keepends=True)}


def notebook(path, answers, *more):
    """Set-up, then a stub cell and a check cell for each exercise; `answer` is 2.1's answer_21."""
    cells = [{"cell_type": "markdown", "metadata": {}, "source": "# Title"}, code(SETUP)]
    for exercise, source in answers.items():
        name = f"answer_{exercise.replace('.', '')}"
        cells.append(code(source.replace("answer", name), exercise))
        cells.append(code(f'check("{exercise}", {name})', exercise, "check"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"metadata": {}, "cells": [*cells, *more], "nbformat": 4}))
    return path


def outcomes(graded):
    return {outcome.exercise: outcome for outcome in graded.outcomes}


def test_every_bad_answer_is_named_and_hides_no_other(tmp_path):
    """One notebook: None, raises, exit, a megabyte, a syntax error, os._exit; then a right one."""
    path = notebook(
        tmp_path / "02_t.ipynb",
        {
            "2.1": "def answer(*x):\n    return None",
            "2.2": "def answer(*x):\n    raise KeyError('lost')",
            "2.3": "def answer(*x):\n    sys.exit(0)",
            "2.4": "print('y' * 1_000_000)\ndef answer(*x):\n    print('z' * 1_000_000)",
            "2.5": "def answer(*x)\n    return x",
            "2.6": "def answer(*x):\n    os._exit(3)",
            "1.1": "def answer(*x):\n    raise NotImplementedError",
        },
    )
    names = ["1.1", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6"]
    graded = grade(path, names, Limits(8 * GIB, 100))
    found = outcomes(graded)
    assert list(found) == names and not graded.passed and not graded.notes
    assert found["1.1"].state == "not written"  # it stands after the accident
    assert all(found[name].state == "not yet" for name in names[1:])
    assert "None" in found["2.1"].message
    assert "KeyError" in found["2.2"].message
    assert found["2.3"].cause == "exit"
    assert len(found["2.4"].message) < 5000
    assert "SyntaxError in line 1" in found["2.5"].message
    assert found["2.6"].cause == "process" and "exit status 3" in found["2.6"].message


@pytest.mark.slow
def test_endless_loops_and_huge_allocations_are_stopped(tmp_path):
    """A loop in a cell, a loop in C, 100 GB in an answer and in a cell, a crash: all survived."""
    path = notebook(
        tmp_path / "02_t.ipynb",
        {
            "2.1": "def answer(*x):\n    return torch.ones(25_000_000_000)",
            "2.2": "while True:\n    pass",
            "2.3": "def answer(*x):\n    return sum(range(10**13))",
            "2.4": "import ctypes\ndef answer(*x):\n    ctypes.string_at(0)",
            "2.5": "big = bytearray(100_000_000_000)",
            "2.6": "def answer(*x):\n    raise NotImplementedError",
        },
    )
    names = [f"2.{n}" for n in range(1, 7)]
    start = time.monotonic()
    graded = grade(path, names, Limits(4 * GIB, 12))
    found = outcomes(graded)
    assert time.monotonic() - start < 100
    assert found["2.1"].cause == "memory"
    assert found["2.2"].cause == "time" and "stopped after 3 seconds" in found["2.2"].message
    assert found["2.3"].cause == "time"
    assert "segmentation fault" in found["2.4"].message
    assert "MemoryError" in found["2.5"].message
    assert found["2.6"].state == "not written"


def test_what_comes_after_too_many_accidents_is_not_reached(tmp_path, monkeypatch):
    monkeypatch.setattr(grading, "MOST_STARTS", 2)
    path = notebook(tmp_path / "02_t.ipynb", {f"2.{n}": "os._exit(1)" for n in (1, 2, 3)})
    graded = grade(path, ["2.1", "2.2", "2.3"], Limits(8 * GIB, 100))
    states = [(outcome.state, outcome.cause) for outcome in graded.outcomes]
    assert states == [("not yet", "process")] * 2 + [("not reached", None)]
    assert not graded.passed


def test_a_missing_check_an_early_exit_and_an_own_cell_are_told_apart(tmp_path):
    path = notebook(tmp_path / "02_t.ipynb", {"2.1": "1 / 0"}, code("%time sys.exit()"))
    graded = grade(path, ["2.1", "2.2"], Limits(8 * GIB, 100))
    found = outcomes(graded)
    assert found["2.1"].message == "The cell raised ZeroDivisionError: division by zero"
    assert found["2.2"].cause == "missing" and 'check("2.2", ...)' in found["2.2"].message


def test_what_is_printed_is_read_to_its_end_but_not_kept(tmp_path):
    with (tmp_path / "out").open("w+b") as file:
        file.write(b"a" * 1_000_000 + b"the end")
        file.seek(0)
        tail = Tail(file)
        tail.close()
        assert len(tail.text) == 4000 and tail.text.endswith("the end")
