"""Begin one exercise anew: a backup of the notebook first, then only that exercise's stub cells."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from simplex_lib.course.chapters import exercise_id
from simplex_lib.course.workspace import (
    ROOT,
    WorkspaceError,
    notebooks,
    work_folder,
    write_atomically,
)


@dataclass(frozen=True)
class Reset:
    """cells: how many were put back."""

    notebook: Path
    backup: Path
    cells: int


def reset(exercise: str, root: Path = ROOT, folder: Path | None = None) -> Reset:
    """Put an exercise's stubs back into the learner's notebook; everything else stays.

    Raises:
        TypeError, ValueError: there is no such exercise in this release.
        WorkspaceError: the learner's notebook is missing or is no notebook.
    """
    wanted, folder = exercise_id(exercise), folder or work_folder()
    number = f"{int(wanted.split('.')[0]):02d}"
    pristine = notebooks("exercises", root).get(number)
    if pristine is None:
        there = ", ".join(notebooks("exercises", root)) or "none"
        raise ValueError(
            f"there is no exercise {wanted}: chapters with exercises here are {there}."
        )
    stubs = [cell for cell in read_notebook(pristine)["cells"] if _is(cell, wanted, "stub")]
    if not stubs:
        known = dict.fromkeys(belongs_to(c) for c in read_notebook(pristine)["cells"])
        raise ValueError(
            f"there is no exercise {wanted}; chapter {number} has {', '.join(filter(None, known))}."
        )
    target = folder / "exercises" / pristine.name
    if not target.exists():
        raise WorkspaceError(
            f"There is nothing to reset: {target} does not exist. Run `simplex lab`."
        )
    content = target.read_bytes()
    notebook = read_notebook(target)
    backup = _back_up(target, content, folder)
    notebook["cells"] = _with_stubs(notebook["cells"], wanted, stubs)
    text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    write_atomically(target, text.encode())
    return Reset(target, backup, len(stubs))


def read_notebook(path: Path) -> dict[str, Any]:
    """The notebook as it stands in its file.

    Raises:
        WorkspaceError: it is missing or no notebook; the message says what to do.
    """
    try:
        found = json.loads(path.read_bytes())
        if not all(isinstance(cell["source"], str | list) for cell in found["cells"]):
            raise TypeError("a cell has no source")
    except FileNotFoundError:
        raise WorkspaceError(f"{path} does not exist. Run `simplex lab` once.") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WorkspaceError(
            f"{path} cannot be read as a notebook ({type(error).__name__}: {error}). It is left as "
            "it is. Rename it, and `simplex lab` puts a fresh copy in its place."
        ) from error
    return found


def belongs_to(cell: dict[str, Any]) -> str:
    """The exercise that a cell was made for; "" for any other cell."""
    about = cell.get("metadata", {}).get("simplex")
    return str(about.get("exercise", "")) if isinstance(about, dict) else ""


def _is(cell: dict[str, Any], exercise: str, role: str) -> bool:
    about = cell.get("metadata", {}).get("simplex")
    return belongs_to(cell) == exercise and about.get("role") == role


def _with_stubs(
    cells: list[dict[str, Any]], exercise: str, stubs: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Each stub where its cell stands. Cells that were split off go, cells that are lost return."""
    left, result, last = [copy.deepcopy(stub) for stub in stubs], [], None
    for cell in cells:
        if not _is(cell, exercise, "stub"):
            result.append(cell)
        elif left:
            result.append(left.pop(0))
            last = len(result)
    if left:
        at = _place(result, exercise, last)
        result[at:at] = left
    return result


def _place(cells: list[dict[str, Any]], exercise: str, after: int | None) -> int:
    """Where lost stubs return: after the last one found, else before the check, else at the end."""
    if after is not None:
        return after
    for n, cell in enumerate(cells):
        if _is(cell, exercise, "check"):
            return n
    for n, cell in reversed(list(enumerate(cells))):
        if _is(cell, exercise, "statement"):
            return n + 1
    return len(cells)


def _back_up(notebook: Path, content: bytes, folder: Path) -> Path:
    backups = folder / "backups"
    backups.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
    path = backups / f"{notebook.stem}_{stamp}.ipynb"
    with path.open("xb") as file:
        file.write(content)
    return path
