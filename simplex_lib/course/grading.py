"""`simplex check`: runs a learner's notebook in a process of its own, with limits.

Read from the top: `grade` runs the cells of one notebook in a child (grading_child.py) and gives
one outcome an exercise. The child writes what happens, line by line, to a file; whatever ends it
(os._exit, a crash, a limit), the lines stay, and the last one says where it was. The cell at fault
is then left out, and a new child goes on.

Limits: memory (RLIMIT_DATA, which Linux enforces; macOS does so in part, Windows has none), seconds
of one cell, seconds of the whole notebook. What a cell prints is read and dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simplex_lib.course.doctor import GIB, memory_bytes
from simplex_lib.course.grading_run import Cell, Limits, Outcome, run_cells
from simplex_lib.course.reset import belongs_to, read_notebook

MOST_STARTS = 6


@dataclass
class Grade:
    """Outcomes in the order of the exercises; notes: what happened in cells of no exercise."""

    outcomes: list[Outcome] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return all(outcome.state == "passed" for outcome in self.outcomes)


def usual_memory() -> int:
    """8 GiB, or three quarters of what the machine has if that is less."""
    total = memory_bytes()
    return 8 * GIB if total is None else min(8 * GIB, total * 3 // 4)


def grade(notebook: Path, wanted: list[str], limits: Limits | None = None) -> Grade:
    """Run a notebook's cells and report on the wanted exercises, whatever the cells do.

    Raises:
        WorkspaceError: the notebook is missing or cannot be read.
    """
    limits = limits or Limits(usual_memory())
    cells = _code_cells(read_notebook(notebook))
    seconds = limits.seconds  # left for cells; the start of a child costs none of it
    result = Grade()
    decided: dict[str, Outcome] = {}
    errors: dict[int, str] = {}
    skipped: set[int] = set()
    complete = False
    for _ in range(MOST_STARTS):
        left = [name for name in wanted if name not in decided]
        if not left or complete or seconds <= 0:
            break
        run = run_cells(
            [c for c in cells if c.index not in skipped], left, notebook, limits, seconds
        )
        seconds -= run.seconds
        decided |= run.decided
        errors |= run.errors
        complete = run.accident is None
        if run.accident is None:
            continue
        cell = next((c for c in cells if c.index == run.at), None)
        if cell is None:  # it never came to the first cell
            result.notes.append(run.accident)
            break
        skipped.add(cell.index)
        exercise = run.checking or cell.exercise
        if exercise in left:
            decided[exercise] = Outcome(exercise, "not yet", run.cause, run.accident)
        else:
            result.notes.append(f"Cell {cell.index + 1}: {run.accident}")
    for cell in cells:
        if cell.index in errors and not cell.exercise:
            result.notes.append(f"Cell {cell.index + 1}: {errors[cell.index]}")
    for name in wanted:
        found = decided.get(name) or _undecided(name, cells, errors, complete)
        result.outcomes.append(found)
    return result


def _code_cells(notebook: dict[str, Any]) -> list[Cell]:
    """Code cells; one that a learner added belongs to the exercise before it."""
    cells, exercise = [], ""
    for index, cell in enumerate(notebook["cells"]):
        exercise = belongs_to(cell) or exercise
        source = cell["source"]
        text = source if isinstance(source, str) else "".join(source)
        if cell.get("cell_type") == "code" and text.strip():
            cells.append(Cell(index, text, exercise))
    return cells


def _undecided(name: str, cells: list[Cell], errors: dict[int, str], complete: bool) -> Outcome:
    """No check of it was heard of: because of an error, because it is gone, or for want of time."""
    own = [errors[c.index] for c in cells if c.exercise == name and c.index in errors]
    if own:
        return Outcome(name, "not yet", "cell", own[0])
    if not complete:
        text = "Not reached: the cells before it used up the time or the new starts of a notebook."
        return Outcome(name, "not reached", None, text)
    text = f'No check of it was run: the notebook has no cell with check("{name}", ...).'
    return Outcome(name, "not yet", "missing", text)
