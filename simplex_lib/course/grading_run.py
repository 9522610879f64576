"""One child process of `simplex check`: starts it, follows it, and ends it with all it started."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

SECONDS = 120.0  # for one notebook
START_SECONDS = 90.0  # until the child has imported torch, on a busy machine
State = Literal["passed", "not yet", "not written", "not reached"]


@dataclass(frozen=True)
class Cell:
    """index: its place among all cells of the notebook, from 0."""

    index: int
    source: str
    exercise: str


@dataclass(frozen=True)
class Outcome:
    """cause as in a Report, or "process" (it ended), "time", "cell" (an error), "missing"."""

    exercise: str
    state: State
    cause: str | None
    message: str


@dataclass(frozen=True)
class Limits:
    memory: int | None
    seconds: float = SECONDS

    @property
    def cell_seconds(self) -> float:
        return self.seconds / 4


@dataclass
class Run:
    """What one child left. at, checking: the cell and the exercise it was busy with at its end."""

    decided: dict[str, Outcome] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)
    at: int | None = None
    checking: str = ""
    finished: bool = False
    accident: str | None = None
    cause: str = "process"
    seconds: float = 0.0  # since the first cell began

    def hear(self, event: dict[str, Any]) -> None:
        if "cell" in event:
            self.at, self.checking = event["cell"], ""
        elif "checking" in event:
            self.checking = event["checking"]
        elif "error" in event:
            self.errors[event["at"]] = event["error"]
        elif "report" in event:
            r = event["report"]
            state: State = "passed" if r["passed"] else "not yet"
            state = "not written" if r["cause"] == "stub" else state
            self.decided[r["exercise"]] = Outcome(r["exercise"], state, r["cause"], r["message"])
            self.checking = ""
        elif "finished" in event:
            self.finished = True


def run_cells(
    cells: list[Cell], wanted: list[str], notebook: Path, limits: Limits, seconds: float
) -> Run:
    """One child, from start to end; nothing of it is alive afterwards."""
    with tempfile.TemporaryDirectory(prefix="simplex-") as name:
        job, events = Path(name, "job.json"), Path(name, "events")
        events.touch()
        content = dict(
            cells=[dict(index=c.index, source=c.source) for c in cells],
            wanted=wanted,
            memory=limits.memory,
            events=str(events),
        )
        job.write_text(json.dumps(content), encoding="utf-8")
        own = dict(MPLBACKEND="Agg", IPYTHONDIR=str(Path(name, "ipython")), SIMPLEX_STRICT="0")
        process = subprocess.Popen(
            [sys.executable, "-m", "simplex_lib.course.grading_child", str(job)],
            cwd=notebook.parent,
            env=os.environ | own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout is not None
        tail = Tail(process.stdout)
        run = Run()
        try:
            _watch(process, events, run, limits.cell_seconds, seconds)
        finally:
            _end(process)
            tail.close()
        if run.accident is None and not run.finished:
            run.accident = _how_it_ended(process.returncode, tail.text)
        return run


def _watch(
    process: subprocess.Popen[bytes], events: Path, run: Run, cell_seconds: float, seconds: float
) -> None:
    """Follow the child's lines until it ends or a limit is reached."""
    since, at, started = time.monotonic(), None, None
    with events.open("rb") as file:
        rest = b""
        while True:
            over = process.poll() is not None  # asked first, so that the last lines are read
            *lines, rest = (rest + file.read()).split(b"\n")
            for line in lines:
                run.hear(json.loads(line))
            if over or run.finished:
                return
            now = time.monotonic()
            if run.at != at:
                since, at, started = now, run.at, started or now
            run.seconds = now - (started or now)
            limit = START_SECONDS if at is None else cell_seconds
            if now - since > limit or run.seconds > seconds:
                run.cause = "time"
                run.accident = (
                    f"It was stopped after {now - since:.0f} seconds. Either a loop never ends, or "
                    "one call does far more work than the exercise asks for."
                )
                return
            time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    """The child and every process it started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _how_it_ended(code: int, printed: str) -> str:
    if code == -signal.SIGSEGV:
        return "It crashed inside compiled code (a segmentation fault)."
    if code == -getattr(signal, "SIGKILL", 9):
        return "The system stopped it, most likely because memory ran out."
    if code < 0:
        return f"It was ended by signal {-code} ({_signal_name(-code)})."
    if "MemoryError" in printed[-500:]:
        return "It ran out of the memory that it may use."
    return (
        f"It ended the whole process with exit status {code} (os._exit does that). In a notebook "
        "this would have killed the kernel."
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


class Tail:
    """Reads a pipe to its end, so that nobody waits for it, and keeps the last of it."""

    def __init__(self, pipe: IO[bytes], keep: int = 4000):
        self.pipe, self.keep, self.kept = pipe, keep, b""
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        with contextlib.suppress(ValueError, OSError):
            while block := os.read(self.pipe.fileno(), 65536):
                self.kept = (self.kept + block)[-self.keep :]

    def close(self) -> None:
        self.thread.join(2)  # a process that escaped may hold the other end
        if not self.thread.is_alive():
            self.pipe.close()

    @property
    def text(self) -> str:
        return self.kept.decode(errors="replace")
