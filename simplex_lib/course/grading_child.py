"""The child of `simplex check`: runs the cells of a job and writes down what happens.

Every line is flushed before anything that could end the process, so the parent always knows how
far it came. Started as `python -m simplex_lib.course.grading_child JOB`.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any


def main(job_path: str) -> None:
    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    limit_memory(job["memory"])
    events = Events(job["events"])
    wanted = set(job["wanted"])

    from simplex_lib import checks  # imports torch, before the first cell's time begins
    from simplex_lib.course import check_cell
    from simplex_lib.course.hints import lookup

    def collect(exercise: str, answer: Any) -> None:
        found = lookup(exercise).id
        if found not in wanted:
            return
        events.write(checking=found)
        report = checks.check(found, answer)
        events.write(
            report=dict(
                exercise=found, passed=report.passed, cause=report.cause, message=report.message
            )
        )

    check_cell.collect = collect
    shell = make_shell()
    for cell in job["cells"]:
        events.write(cell=cell["index"])
        result = shell.run_cell(cell["source"], store_history=False, silent=True)
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            events.write(at=cell["index"], error=describe(error))
    events.write(finished=True)
    os._exit(0)  # whatever threads or exit handlers a cell left behind


def make_shell() -> Any:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    shell = InteractiveShell.instance(config=config)
    shell.user_ns["__name__"] = "__main__"
    return shell


def describe(error: BaseException) -> str:
    """One sentence about a cell that did not run to its end."""
    if isinstance(error, SyntaxError):
        line = (error.text or "").strip()
        return (
            f"The cell has a {type(error).__name__} in line {error.lineno} ({line}): {error.msg}."
        )
    if isinstance(error, SystemExit):
        return "The cell called exit, so the rest of it did not run."
    if isinstance(error, NotImplementedError) and not error.args:
        return "The cell stops at a `raise NotImplementedError` that is not yet replaced."
    text = " ".join(str(error).split())[:300]
    return f"The cell raised {type(error).__name__}{f': {text}' if text else ''}"


def limit_memory(limit: int | None) -> None:
    """Allocations beyond the limit fail instead of filling the machine, where the system can."""
    if limit is None:
        return
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on Windows; or a lower limit
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


class Events:
    """One JSON object a line, out of Python's hands as soon as it is written."""

    def __init__(self, path: str):
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND)

    def write(self, **event: Any) -> None:
        os.write(self.file, json.dumps(event).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1])
