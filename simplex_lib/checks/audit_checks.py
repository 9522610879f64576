"""The checks, checked: stubs fail, solutions and other algorithms pass, every mistake is named.

Stubs and solutions are taken from the notebooks that learners open, `exercises/` and `solutions/`.
"""

from __future__ import annotations

import ast
import contextlib
import io
import linecache
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from simplex_lib.checks import exercises, get
from simplex_lib.checks.engine import examine
from simplex_lib.checks.exercise import Exercise
from simplex_lib.checks.report import Report

ROOT = Path(__file__).resolve().parents[2]


def audit_all(ids: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """A row for each exercise, in their order; asked in as many processes as there are cores."""
    known = list(exercises() if ids is None else ids)
    # later exercises take longer: they begin first
    workers = min(len(known), os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(_audit_in_process, reversed(known)))[::-1]


def _audit_in_process(exercise_id: str) -> dict[str, Any]:
    torch.set_num_threads(1)
    return audit_one(get(exercise_id))


def audit_one(exercise: Exercise) -> dict[str, Any]:
    """One row: how many wrong answers are rejected, and how many by their own sentence."""
    reports = confusion(exercise)
    stub = examine(exercise, answer_in(exercise, "exercises"))
    solution = examine(exercise, answer_in(exercise, "solutions"))
    passing = [examine(exercise, r.answer, trust_chapters=True).passed for r in exercise.right]
    return dict(
        exercise=exercise.id,
        wrong=len(exercise.wrong),
        rejected=sum(not r.passed for r in reports.values()),
        named=sum(name == r.cause for name, r in reports.items()),
        stub_fails=stub.cause == "stub",
        solution_passes=solution.passed,
        alternatives=len(exercise.right),
        alternatives_pass=sum(passing),
    )


@cache
def confusion(exercise: Exercise) -> dict[str, Report]:
    """What the check says of each named wrong answer."""
    return {w.name: examine(exercise, w.answer, trust_chapters=True) for w in exercise.wrong}


def answer_in(exercise: Exercise, folder: str) -> Any:
    """The answer as it stands in a notebook: its code cells up to the exercise's check, run."""
    space, name = _run_notebook(folder, exercise.chapter)
    if exercise.id not in name:
        raise LookupError(f"no check of exercise {exercise.id} in {folder}/{exercise.chapter}_*")
    return eval(name[exercise.id], space)


@cache
def _run_notebook(folder: str, chapter: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The names that a notebook defines, and the name that it gives each check."""
    import nbformat

    found = sorted((ROOT / folder).glob(f"{chapter}_*.ipynb"))
    if not found:
        raise LookupError(f"{folder}/{chapter}_*.ipynb is missing; run make notebooks.")
    space: dict[str, Any] = {"__name__": "notebook"}
    checks: dict[str, str] = {}
    for number, cell in enumerate(nbformat.read(found[0], as_version=4).cells):
        if cell.cell_type != "code":
            continue
        role = cell.metadata.get("simplex", {})
        if role.get("role") == "check":
            checks[role["exercise"]] = _checked_name(cell.source)
            continue
        file = f"<{folder}/{found[0].name} cell {number}>"
        linecache.cache[file] = (len(cell.source), None, cell.source.splitlines(True), file)
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(cell.source, file, "exec"), space)
    return space, checks


def _checked_name(source: str) -> str:
    """pair_probs, from a cell that says check("2.2", pair_probs)."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "check":
            return ast.unparse(node.args[1])
    raise ValueError(f"a check cell must call check(id, name); got {source!r}.")
