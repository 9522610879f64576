"""Several training runs in one background thread, a step of each in turn.

Read from the top: `BlockRun` is one model in training, `Runner` moves several of them on. One
thread trains in a process at a time: starting a second stops the first, which loses nothing.
"""

import atexit
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from simplex_lib.errors import kind
from simplex_lib.training.blocks_run import Settings, block_training
from simplex_lib.training.loop import Training

TELL_SECONDS = 0.25  # at least, between two calls of tell
MOST_THREADS = 2  # of torch: steps are small, and the learner goes on working
STOP_SECONDS = 10.0  # at most, for the step that is under way


@dataclass
class BlockRun:
    """A model in training on the block task.

    Attributes:
        name: as a picture shows it.
        settings, seed: what is trained.
        attention: makes one layer of one's own; None: the layer of the settings.
        training: model, optimiser, curve and all that continuing needs.
        seconds: spent on its steps and measurements, by the clock.
        error: what the model raised; such a run is over.
    """

    name: str
    settings: Settings
    seed: int
    attention: Callable[[], nn.Module] | None
    training: Training
    seconds: float = 0.0
    error: BaseException | None = None

    @classmethod
    def new(
        cls,
        name: str,
        settings: Settings,
        seed: int,
        attention: Callable[[], nn.Module] | None = None,
    ) -> "BlockRun":
        return cls(
            name,
            settings,
            seed,
            attention,
            block_training(settings, seed=seed, attention=attention),
        )

    def again(self, seed: int) -> "BlockRun":
        """The same from another start, with other texts."""
        return BlockRun.new(self.name, self.settings, seed, self.attention)

    @property
    def over(self) -> bool:
        return self.error is not None or self.training.finished

    def advance(self) -> None:
        """A step, or the measurement that is due; what the model raises is kept."""
        start = time.perf_counter()
        try:
            point = self.training.advance()
            if point is not None and point.loss is not None and not math.isfinite(point.loss):
                raise FloatingPointError(
                    f"its loss is {point.loss} at step {point.step}: a logit is NaN or infinite"
                )
        except BaseException as error:  # even a call of exit(): the thread must outlive it
            self.error = error
        self.seconds += time.perf_counter() - start

    def where(self) -> str:
        """The line that raised, as in "line 7 of layers.py"; "" if there is none."""
        trace = self.error.__traceback__ if self.error is not None else None
        found = ""
        while trace is not None:
            file = trace.tb_frame.f_code.co_filename
            if trace.tb_frame.f_globals.get("__name__") == "__main__":  # the notebook's own code
                found = f"line {trace.tb_lineno} of {trace.tb_frame.f_code.co_name}"
            elif not found and trace.tb_next is None:
                found = f"line {trace.tb_lineno} of {file.rsplit('/', 1)[-1]}"
            trace = trace.tb_next
        return found


class Runner:
    """Trains its runs until all are over, one raises, or `stop` is called.

    Args:
        runs: trained in turns: the one with the fewest steps is next.
        tell: called by the thread when something has changed, at most four times a second, and
            once at its end.
    """

    def __init__(self, runs: Sequence[BlockRun], tell: Callable[[], None] = lambda: None) -> None:
        self.runs, self.tell = list(runs), tell
        self.running = self.stopping = False
        self._halt = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def over(self) -> bool:
        return all(run.over for run in self.runs)

    def start(self) -> None:
        """Go on in a thread; whoever trains now is stopped before."""
        with _Current.lock:
            if self.running or self.over:
                return
            if _Current.runner is not None:
                _Current.runner.stop()
            _Current.runner = self
            self._halt.clear()
            self.running, self.stopping = True, False
            self._thread = threading.Thread(target=self._train, name="train_blocks", daemon=True)
            self._thread.start()

    def stop(self, *, wait: bool = True) -> None:
        """End the thread after the step under way; with wait, return when it has ended."""
        self._halt.set()
        self.stopping = self.running
        thread = self._thread
        if wait and thread is not None and thread is not threading.current_thread():
            thread.join(STOP_SECONDS)

    def _train(self) -> None:
        told, threads = -math.inf, torch.get_num_threads()
        torch.set_num_threads(min(threads, MOST_THREADS))
        try:
            while not self._halt.is_set() and not self.over:
                waiting = [run for run in self.runs if not run.over]
                run = min(waiting, key=lambda run: run.training.step)
                run.advance()
                if run.error is not None:
                    break
                if time.monotonic() - told >= TELL_SECONDS:
                    told = time.monotonic()
                    self.tell()
        finally:
            torch.set_num_threads(threads)
            self.running = self.stopping = False
            self.tell()


class _Current:
    """The one runner of this process that may have a thread."""

    lock = threading.Lock()
    runner: Runner | None = None


def let_go(runs: Sequence[BlockRun]) -> None:
    """Stop whoever trains one of these runs."""
    runner = _Current.runner
    if runner is not None and any(run is mine for run in runs for mine in runner.runs):
        runner.stop()


def _stop_at_exit() -> None:
    if _Current.runner is not None:
        _Current.runner.stop()


atexit.register(_stop_at_exit)


def require_maker(attention: Any) -> None:
    """A function (or class) that makes a layer when called without arguments."""
    if isinstance(attention, nn.Module) or not callable(attention):
        raise TypeError(
            "attention must be a function or a class that makes one layer when it is called "
            f"without arguments, such as lambda: MyLayer(64, 2); got {kind(attention)}."
        )
