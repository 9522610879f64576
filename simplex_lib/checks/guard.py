"""Calls what a learner wrote and comes back whatever it does.

Contained here: exceptions, exit, printing without end, loops that run Python code, changed inputs,
a call to the library's own answer. Not contained in a notebook, where the answer runs in the
kernel's own process: `os._exit`, a crash inside compiled code, a loop inside one compiled call,
and memory that the machine can just give. `simplex check` runs answers in a process of its own,
with limits, and contains those too.
"""

from __future__ import annotations

import _thread
import contextlib
import inspect
import io
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.exercise import Rejected

PACKAGE = Path(__file__).resolve().parents[1]
GUARDED = tuple(str(PACKAGE / name) for name in ("attention", "kernels", "models", "tasks"))
CHAPTERS = str(PACKAGE / "checks" / "ch")  # chapter02.py, ch02_logits.py
PRINTED = 2_000  # characters of the answer's own output that are kept


class OutOfTime(BaseException):
    """Not an Exception, so that an answer's own `except Exception` lets it through."""


@dataclass
class Outcome:
    """value, or the problem (a cause of the Report) with a sentence that says what happened."""

    value: Any = None
    problem: str | None = None
    says: str = ""
    printed: str = ""
    n_printed: int = 0
    rejected: bool = False  # by the exercise's own `ask`, whose sentence is in says
    where: str = ""  # the line of the answer that a rejection speaks of


@dataclass
class Watch:
    """Sees every Python call of an answer and notes what it may not call."""

    uses: tuple[str, ...]
    forbids: tuple[str, ...]
    exempt: tuple[str, ...]
    caught: list[str] = field(default_factory=list)
    inside: Any = None  # the frame of an allowed library function: what it calls is its business

    def __call__(self, frame: Any, event: str, argument: Any) -> None:
        if event == "call" and self.inside is None:
            path, name = frame.f_code.co_filename, frame.f_code.co_name
            if path.startswith(self.exempt):
                return
            if path.startswith((*GUARDED, CHAPTERS)):
                names = {name, getattr(frame.f_code, "co_qualname", name).split(".")[0]}
                if names & set(self.uses):
                    self.inside = frame
                elif path.startswith(CHAPTERS) and not name.startswith(("truth", "right")):
                    return  # how the exercise asks, not what it answers
                elif frame.f_code.co_flags & inspect.CO_OPTIMIZED and not name.startswith("<"):
                    # a module or the body of a class runs while it is imported: no call of it
                    self.caught.append(name)
            elif name in self.forbids and path.startswith(str(Path(torch.__file__).parent)):
                self.caught.append(f"torch's {name}")
        elif event == "return" and frame is self.inside:
            self.inside = None
        elif event == "c_call" and self.inside is None:
            name = getattr(argument, "__name__", "")
            if name in self.forbids:
                self.caught.append(f"torch's {name}")


class Printed(io.TextIOBase):
    """Keeps the beginning, counts the rest."""

    def __init__(self) -> None:
        self.kept, self.count = "", 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.kept += text[: max(0, PRINTED - len(self.kept))]
        self.count += len(text)
        return len(text)


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Interrupt Python code after so many seconds; again every half second if it was swallowed."""
    if threading.current_thread() is not threading.main_thread():
        yield  # a signal would reach another thread; the terminal door has a limit of its own
        return
    if hasattr(signal, "setitimer"):

        def ring(*_: object) -> None:
            raise OutOfTime

        before = signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        return
    started = time.monotonic()  # systems without interval timers
    timer = threading.Timer(seconds, _thread.interrupt_main)
    timer.start()
    try:
        yield
    except KeyboardInterrupt:
        if time.monotonic() - started < seconds:
            raise  # the learner's own stop button
        raise OutOfTime from None
    finally:
        timer.cancel()


def call_guarded(
    ask: Callable[[Any, Mapping[str, Any]], Any],
    answer: Any,
    arguments: Mapping[str, Any],
    *,
    seconds: float,
    uses: tuple[str, ...] = (),
    forbids: tuple[str, ...] = (),
    trust_chapters: bool = False,
) -> Outcome:
    """Ask an answer with copies of the arguments.

    trust_chapters: the answer stands in a chapter's own file of checks (an audit).
    """
    given = {k: _copy(x) for k, x in arguments.items()}
    printed = Printed()
    watch = Watch(uses, forbids, (CHAPTERS,) if trust_chapters else ("\0",))
    outcome = Outcome()
    before = sys.getprofile()
    try:
        with (
            time_limit(seconds),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
        ):
            sys.setprofile(watch)
            try:
                outcome.value = ask(answer, given)
            finally:
                sys.setprofile(before)
    except OutOfTime:
        outcome.problem = "timeout"
        outcome.says = (
            f"Your answer was stopped after {seconds:g} seconds on a small input. "
            "A loop in it probably never ends."
        )
    except SystemExit:
        outcome.problem = "exit"
        outcome.says = (
            "Your answer called exit. Return a value instead, so that the check can go on."
        )
    except NotImplementedError as error:
        if error.args:  # PyTorch raises these too, with a message
            _note_exception(outcome, error)
        else:
            outcome.problem, outcome.says = "stub", _say_stub(answer, error)
    except Rejected as error:
        outcome.problem, outcome.says, outcome.rejected = error.cause, str(error), True
        outcome.where = error.where
    except MemoryError as error:
        _note_memory(outcome, error)
    except Exception as error:
        text = str(error)
        if "allocate memory" in text or "out of memory" in text.lower():
            _note_memory(outcome, error)
        else:
            _note_exception(outcome, error)
    outcome.printed, outcome.n_printed = printed.kept, printed.count
    if watch.caught:
        outcome.problem = "library"
        outcome.says = (
            f"Your answer calls {watch.caught[0]}, which is the answer already written. "
            "The numbers may be right, but the check wants your own."
        )
    elif outcome.problem is None:
        changed = [k for k, x in arguments.items() if not _same(x, given[k])]
        if changed:
            outcome.problem = "mutated"
            outcome.says = (
                f"Your answer changes its input {changed[0]} in place, so whoever called it finds "
                "other numbers afterwards. Methods that end in _ and assignments to slices do that."
            )
    return outcome


def _say_stub(answer: Any, error: NotImplementedError) -> str:
    """Whose function is still empty: the answer's own, or one that it calls."""
    code = traceback.extract_tb(error.__traceback__)[-1]
    own = {getattr(answer, "__name__", ""), "__init__", "forward"}
    if code.name in own or code.name.startswith("<"):
        return "Fill in the cell above, then run it and this one."
    return f"Your answer calls `{code.name}`, and that one is still empty."


def _note_exception(outcome: Outcome, error: Exception) -> None:
    frames = traceback.extract_tb(error.__traceback__)
    here = str(PACKAGE)
    own = [f for f in frames if not f.filename.startswith((here, str(Path(torch.__file__).parent)))]
    where = f" in line {own[-1].lineno} ({(own[-1].line or '').strip()})" if own else ""
    outcome.problem = "raised"
    outcome.says = f"Your answer raised {type(error).__name__}{where}: {str(error)[:600]}"


def _note_memory(outcome: Outcome, error: BaseException) -> None:
    outcome.problem = "memory"
    outcome.says = (
        "Your answer asked for more memory than there is, on a small input. Look for a shape that "
        f"multiplies axes it should not. ({type(error).__name__}: {str(error)[:200]})"
    )


def _copy(x: Any) -> Any:
    if not isinstance(x, Tensor):
        return x
    # keeps the strides, so that a non-contiguous input stays one
    return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=x.device).copy_(x)


def _same(x: Any, y: Any) -> bool:
    if not isinstance(x, Tensor):
        return True
    return x.shape == y.shape and bool(((x == y) | ((x != x) & (y != y))).all())
