"""What this machine can run, and what to do about what it cannot.

`doctor` finds, one finding a subject; `doctor_report` shows. Nothing here imports triton or starts
a kernel, so it stays quick.
"""

from __future__ import annotations

import html
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from simplex_lib.course import page
from simplex_lib.course.chapters import CHAPTERS
from simplex_lib.course.workspace import ROOT, notebooks, work_folder
from simplex_lib.versions import version_warnings

GIB = 2**30
State = Literal["good", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """todo: what to do about it; empty where there is nothing to do."""

    subject: str
    state: State
    found: str
    todo: str = ""


def doctor() -> list[Finding]:
    """Every finding, the machine first, then the tools, then what follows for the chapters."""
    return [
        _python(),
        _torch(),
        _gpu(),
        _triton(),
        _memory(),
        _cores(),
        *_packages(),
        _work(),
        _disk(),
        *_versions(),
        _chapters(),
    ]


def doctor_report() -> Report:
    """The findings, for a notebook or a terminal."""
    return Report(tuple(doctor()))


def _python() -> Finding:
    found = f"{platform.python_version()} on {platform.system()} ({platform.machine()})"
    return Finding("Python", "good", found)


def _torch() -> Finding:
    import torch

    kind = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built for CPUs"
    return Finding("PyTorch", "good", f"{torch.__version__}, {kind}")


def _gpu() -> Finding:
    import torch

    if torch.cuda.is_available():
        names = {torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())}
        return Finding("GPU", "good", f"{torch.cuda.device_count()}, {', '.join(sorted(names))}")
    if torch.version.cuda:
        return Finding(
            "GPU",
            "note",
            "none that this PyTorch can use",
            "If the machine has one, look at nvidia-smi: the driver may be too old for CUDA "
            f"{torch.version.cuda}. The course needs none.",
        )
    return Finding("GPU", "good", "none used; the course needs none")


def _triton() -> Finding:
    from simplex_lib.triton_mode import triton_mode

    mode = triton_mode()
    if mode == "gpu":
        return Finding("Triton", "good", f"{_version('triton')}, kernels are compiled for the GPU")
    if mode == "interpreter":
        return Finding(
            "Triton", "good", f"{_version('triton')}, kernels run in its interpreter, on the CPU"
        )
    if _version("triton"):
        return Finding(
            "Triton",
            "note",
            "installed, but TRITON_INTERPRET forbids the interpreter and there is no GPU",
            "Unset TRITON_INTERPRET and restart Python.",
        )
    todo = "Install it: pip install triton." if sys.platform == "linux" else ""
    todo = todo or "There is no Triton for this system: read 09 to 12 with their recorded outputs."
    return Finding("Triton", "note", "not installed", todo)


def _memory() -> Finding:
    total = memory_bytes()
    if total is None:
        return Finding("Memory", "note", "this system does not say", "4 GiB are enough.")
    found = f"{total / GIB:.1f} GiB"
    if total < 3.5 * GIB:
        return Finding("Memory", "note", found, "Run one notebook at a time, and close browsers.")
    return Finding("Memory", "good", found)


def _cores() -> Finding:
    n = cores()
    found = f"{n} that this process may use"
    if n < 2:
        return Finding("Cores", "note", found, "Everything runs, training takes longer.")
    return Finding("Cores", "good", found)


def _packages() -> list[Finding]:
    findings = []
    for name, role in (
        ("jupyterlab", "the lab"),
        ("ipywidgets", "the buttons of checks and questions"),
        ("anywidget", "the explorer"),
        ("plotly", "the pictures one can turn"),
    ):
        found = _version(name)
        findings.append(
            Finding(name, "good", found)
            if found
            else Finding(name, "problem", f"missing: {role}", f"Install it: pip install {name}.")
        )
    return findings


def _work() -> Finding:
    try:
        folder = work_folder()
        where = _existing(folder)
        with tempfile.TemporaryFile(dir=where):
            pass
    except OSError as error:
        return Finding(
            "Work folder", "problem", str(error), "Set SIMPLEX_WORK to a folder of yours."
        )
    if page.building():  # a page for everybody names no folder of this machine
        return Finding("Work folder", "good", "can be written to")
    if not folder.exists():
        return Finding("Work folder", "good", f"{folder}, made by the first `simplex lab`")
    return Finding("Work folder", "good", f"{folder}, can be written to")


def _disk() -> Finding:
    try:
        free = shutil.disk_usage(_existing(work_folder())).free
    except OSError as error:
        return Finding("Disk", "note", str(error))
    found = f"{free / GIB:.1f} GiB free"
    if free < GIB:
        return Finding("Disk", "problem", found, "Free 1 GiB, or your answers may not be saved.")
    return Finding("Disk", "good", found)


def _versions() -> list[Finding]:
    """One note for each package outside what was tested; the note says what to do."""
    notes = [Finding("Versions", "note", note) for note in version_warnings()]
    return notes or [Finding("Versions", "good", "those that the course was tested with")]


def _chapters() -> Finding:
    from simplex_lib.triton_mode import triton_mode

    there = notebooks("chapters", ROOT)
    written = [c for c in CHAPTERS if c.number in there]
    runs = [c.number for c in written if not c.triton or triton_mode() != "absent"]
    read = [c.number for c in written if c.number not in runs]
    to_come = [c.number for c in CHAPTERS if c not in written]
    found = f"{_span(runs)} can run here" if runs else "none can run here"
    if to_come:
        found += f"; {_span(to_come)} {'are' if len(to_come) > 1 else 'is'} to come"
    if read:
        todo = f"{_span(read)}: they run kernels. Read them with their recorded outputs."
        return Finding("Chapters", "note", found, todo)
    return Finding("Chapters", "good", found)


def _span(numbers: Sequence[str]) -> str:
    """00 to 02, 05: neighbours as one span."""
    spans: list[list[str]] = []
    for number in numbers:
        if spans and int(number) == int(spans[-1][-1]) + 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    return ", ".join(f"{s[0]} to {s[-1]}" if len(s) > 1 else s[0] for s in spans)


def memory_bytes() -> int | None:
    """Memory of the machine, or of the container if that has less; None if nobody says."""
    found = []
    with suppress(AttributeError, ValueError, OSError):  # no sysconf on Windows
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # "max" is no number
            found.append(int(Path(path).read_text(encoding="ascii")))
    return min(found, default=None)


def cores() -> int:
    with suppress(AttributeError):  # only Linux knows which cores a process may use
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


@dataclass(frozen=True)
class Report:
    """What `doctor_report` shows: a word, what was found, what to do."""

    findings: Sequence[Finding]

    @property
    def summary(self) -> str:
        problems = sum(f.state == "problem" for f in self.findings)
        notes = sum(f.state == "note" for f in self.findings)
        if problems:
            return f"{problems} problem{'s' * (problems > 1)} to mend."
        return f"Everything is in order{f', with {notes} to note' if notes else ''}."

    def __str__(self) -> str:
        lines = [f"{f.state:<8} {f.subject:<12} {f.found}" for f in self.findings]
        lines = [
            f"{line}\n{'':<22}{f.todo}" if f.todo else line
            for line, f in zip(lines, self.findings, strict=True)
        ]
        return "\n".join([*self._recorded(), *lines, self.summary])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        columns = 4 if any(finding.todo for finding in self.findings) else 3
        rows = "".join(_row(finding, columns) for finding in self.findings)
        recorded = "".join(f"<div><i>{line}</i></div>" for line in self._recorded())
        return (
            f"<div style='color:{page.INK}'>{recorded}<table>"
            f"<thead><tr>{_head(columns)}</tr></thead><tbody>{rows}</tbody></table>"
            f"<div style='margin-top:6px'><b>{self.summary}</b></div>"
            "</div>"
        )

    def _recorded(self) -> list[str]:
        if not page.building():
            return []
        return ["Recorded on another machine; run this cell to see yours."]


_LEFT = "text-align:left;padding:3px 14px 3px 0;vertical-align:top"
_MARKS = {"good": ("✓", page.GOOD), "note": ("!", page.NOT_YET), "problem": ("✗", page.NOT_YET)}


def _head(columns: int) -> str:
    names = ("", "subject", "found", "what to do")[:columns]
    return "".join(f"<th scope='col' style='{_LEFT}'>{name}</th>" for name in names)


def _row(finding: Finding, columns: int) -> str:
    mark, color = _MARKS[finding.state]
    state = f"<span style='color:{color};font-weight:600'>{mark}</span> {finding.state}"
    texts = (finding.subject, finding.found, finding.todo)[: columns - 1]
    cells = "".join(f"<td style='{_LEFT};max-width:28em'>{html.escape(x)}</td>" for x in texts)
    return f"<tr><td style='{_LEFT};white-space:nowrap'>{state}</td>{cells}</tr>"
