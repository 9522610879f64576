"""The learner's folder: copies of the course's notebooks that nothing overwrites.

`prepare` copies what is missing. JupyterLab saves by itself, so the notebooks of the course stay
where they are, and what a person opens is a copy in the work folder.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("chapters", "exercises", "solutions")
LEDGER = Path("claims", "README.md")  # chapters link to it


class WorkspaceError(OSError):
    """The work folder cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Prepared:
    """copied: made just now. older: kept, but made from an earlier version of the course.

    unreadable: kept, but no notebook any more.
    """

    folder: Path
    copied: tuple[Path, ...] = ()
    older: tuple[Path, ...] = ()
    unreadable: tuple[Path, ...] = ()


def work_folder() -> Path:
    """$SIMPLEX_WORK, or `work` in the folder that the course was cloned to.

    Raises:
        WorkspaceError: neither is there, since simplex_lib was installed without the course.
    """
    if chosen := os.environ.get("SIMPLEX_WORK"):
        return Path(chosen).expanduser().absolute()
    if not (ROOT / "pyproject.toml").exists():
        raise WorkspaceError(
            "There is no work folder: simplex_lib was installed without the course round it. "
            "Clone the course and install it with `pip install -e .`, or set SIMPLEX_WORK to a "
            "folder of yours."
        )
    return ROOT / "work"


def notebooks(kind: str, folder: Path | None = None) -> dict[str, Path]:
    """Notebooks of one kind by chapter number ("02"), in the work folder or in another one."""
    found = sorted(((folder or work_folder()) / kind).glob("[0-9][0-9]_*.ipynb"))
    return {path.name[:2]: path for path in found}


def prepare(root: Path = ROOT, folder: Path | None = None) -> Prepared:
    """Copy every notebook that the work folder lacks, and the ledger; never touch what it has.

    Raises:
        WorkspaceError: the folder cannot be written to.
    """
    folder = folder or work_folder()
    copied, older, unreadable = [], [], []
    try:
        if (root / LEDGER).exists():
            (folder / LEDGER).parent.mkdir(parents=True, exist_ok=True)
            _copy_new(root / LEDGER, folder / LEDGER)
        for kind in KINDS:
            (folder / kind).mkdir(parents=True, exist_ok=True)
            for source in notebooks(kind, root).values():
                target = folder / kind / source.name
                if _copy_new(source, target):
                    copied.append(target)
                    continue
                try:
                    if content_hash(target) != content_hash(source):
                        older.append(target)
                except ValueError:
                    unreadable.append(target)
    except OSError as error:
        raise WorkspaceError(
            f"The work folder {folder} cannot be written to ({error.strerror or error}). "
            "Set SIMPLEX_WORK to a folder of yours."
        ) from error
    return Prepared(folder, tuple(copied), tuple(older), tuple(unreadable))


def content_hash(path: Path) -> str | None:
    """The version of the course that a notebook was made from; None if it does not say.

    Raises:
        ValueError: it is no notebook.
    """
    try:
        found = json.loads(path.read_bytes())["metadata"].get("simplex", {})
        return found.get("content_hash")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is not a notebook: {error!r}") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Readers see the old file or the new one, never half of one; so does a crash."""
    part = _write_beside(path, content)
    try:
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _copy_new(source: Path, target: Path) -> bool:
    """Copy as a whole or not at all; False if the target is there, whoever made it."""
    if target.exists() or target.is_symlink():
        return False
    part = _write_beside(target, source.read_bytes())
    try:
        os.link(part, target)  # refuses an existing name, in one step
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        try:
            with target.open("xb") as file:
                file.write(part.read_bytes())
        except FileExistsError:
            return False
    finally:
        part.unlink(missing_ok=True)
    return True


def _write_beside(path: Path, content: bytes) -> Path:
    """A complete, flushed file in the same folder."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return part


def describe(prepared: Prepared) -> Sequence[str]:
    """What a person should hear, one sentence a line; nothing if nothing happened."""
    lines = []
    if n := len(prepared.copied):
        lines.append(f"Copied {n} notebook{'s' * (n > 1)} to {prepared.folder}.")
    if prepared.older:
        lines.append(
            "The course has a newer version of these notebooks; yours are kept as they are:"
        )
        lines += [f"    {path.relative_to(prepared.folder)}" for path in prepared.older]
        lines.append("    To get the new one, rename yours and start the lab again.")
    for path in prepared.unreadable:
        lines.append(
            f"{path.relative_to(prepared.folder)} cannot be read as a notebook. It is kept; "
            "rename it and start the lab again to get a fresh copy."
        )
    return lines
