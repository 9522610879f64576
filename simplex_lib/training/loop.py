"""One training run that can be stopped after any step and continued, exactly.

Read from the top: `Training` is a model in training, `whole_steps` keeps an interrupt out of the
middle of a step. What is trained is given as functions; `blocks_run.py` shows how.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from simplex_lib.errors import require_count


class Point(NamedTuple):
    """One measurement. loss: mean over the steps since the one before it, None at step 0."""

    step: int
    error_percent: float
    loss: float | None


class Training:
    """A model, its optimiser, its data and its curve, moved on step by step.

    Args:
        model: what is trained.
        optimizer: of its parameters. Every group keeps its full learning rate in "base".
        loss: draws a batch with the generator given here and returns the loss of the model on it.
        error: the model's error on held-out data, from 0 to 1.
        rate: the factor on the learning rates at a step, counted from 1.
        generator: of the training data.
        steps: length of the run; every: steps between two measurements.
        clip: the largest norm of a gradient.
        stop_below_percent: the run is over at a measurement of this error or less.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        loss: Callable[[nn.Module, torch.Generator], Tensor],
        error: Callable[[nn.Module], float],
        rate: Callable[[int], float],
        generator: torch.Generator,
        steps: int,
        every: int,
        clip: float = 1.0,
        stop_below_percent: float = -1.0,
    ) -> None:
        require_count(steps=steps, every=every)
        self.model, self.optimizer, self.generator = model, optimizer, generator
        self.loss, self.error, self.rate = loss, error, rate
        self.steps, self.every, self.clip = steps, every, clip
        self.stop_below_percent = stop_below_percent
        self.step, self.cpu_seconds = 0, 0.0
        self.curve: list[Point] = []
        self._losses: list[Tensor] = []  # since the last measurement

    @property
    def finished(self) -> bool:
        if not self.curve or self.curve[-1].step != self.step:
            return False
        return self.step >= self.steps or self.curve[-1].error_percent <= self.stop_below_percent

    def run(self) -> Iterator[Point]:
        """Train to the end; yield each measurement when it is made, the first one at step 0.

        Between two measurements nothing is yielded; `advance` gives every step back.
        """
        while not self.finished:
            point = self.advance()
            if point is not None:
                yield point

    def advance(self) -> Point | None:
        """One step, or the measurement that is due; a measurement is returned, a step is None."""
        if self.finished:
            return None
        measured = bool(self.curve) and self.curve[-1].step == self.step
        if not measured and (self.step % self.every == 0 or self.step == self.steps):
            return self._measure()
        self._one_step()
        return None

    def _one_step(self) -> None:
        start = time.process_time()
        with whole_steps():
            for group in self.optimizer.param_groups:
                group["lr"] = group["base"] * self.rate(self.step + 1)
            self.model.train()
            loss = self.loss(self.model, self.generator)
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
            self.optimizer.step()
            self._losses.append(loss.detach())  # a GPU is not waited for
            self.step += 1
            self.cpu_seconds += time.process_time() - start

    @torch.no_grad()
    def _measure(self) -> Point:
        with whole_steps():
            self.model.eval()
            error = round(100 * self.error(self.model), 3)
            loss = round(torch.stack(self._losses).mean().item(), 4) if self._losses else None
            self.curve.append(Point(self.step, error, loss))
            self._losses.clear()
            return self.curve[-1]

    def state(self) -> dict[str, Any]:
        """All that continuing needs."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "step": self.step,
            "cpu_seconds": self.cpu_seconds,
            "curve": [tuple(point) for point in self.curve],
            "losses": list(self._losses),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state` of the same kind of run."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"].cpu())
        self.step, self.cpu_seconds = state["step"], state["cpu_seconds"]
        self.curve = [Point(*point) for point in state["curve"]]
        self._losses = list(state["losses"])


@contextmanager
def whole_steps() -> Iterator[None]:
    """Hold an interrupt (Ctrl-C, a notebook's stop button) back until the block is done.

    Outside the main thread no interrupt arrives, and nothing is done.

    >>> done = False
    >>> try:
    ...     with whole_steps():
    ...         signal.raise_signal(signal.SIGINT)
    ...         done = True
    ... except KeyboardInterrupt:
    ...     print("stopped after the block:", done)
    stopped after the block: True
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught = []
    before = signal.signal(signal.SIGINT, lambda *_: caught.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if caught:
            raise KeyboardInterrupt
