"""One training run on Match3: settings, the loop, its measurements, and what continuing needs.

Read from the top: `Settings` says what is trained, `Run` trains it. Random sequences are drawn anew
at every step, there is no training set. The error is measured on sequences that are the same for
all runs and drawn apart from them.

Axes: b batch, s sequence length.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from simplex_lib.data.recording import machine
from simplex_lib.errors import require_choice, require_count, require_int
from simplex_lib.tasks import match3_labels, match3_random
from simplex_lib.training.match3_model import SIZES, Kind, Match3Model, count_parameters
from simplex_lib.training.schedule import warm_up_cosine

HELD_OUT_SEED = 999


@dataclass(frozen=True)
class Settings:
    """What both kinds share. n: tokens of a sequence. every: steps between two measurements."""

    n: int = 6
    modulus: int = 23
    steps: int = 800
    every: int = 50
    batch: int = 256
    tested: int = 2000  # sequences that the error is measured on
    lr: float = 3e-3
    warm_up: int = 100
    floor: float = 0.05  # of the learning rate, at the end of the cosine
    clip: float = 1.0  # the largest norm of a gradient

    def __post_init__(self) -> None:
        whole = {name: x for name, x in asdict(self).items() if name not in ("lr", "floor", "clip")}
        require_count(**whole)


class Point(NamedTuple):
    """One measurement. loss: of the last batch before it, None at step 0."""

    step: int
    error_percent: float
    loss: float | None


class Run:
    """One model in training.

    >>> run = Run("trilinear", seed=0, settings=Settings(n=3, modulus=5, steps=4, every=2))
    >>> [point.step for point in run.train()]
    [0, 2, 4]
    >>> [point.step for point in run.curve]
    [0, 2, 4]
    """

    def __init__(self, kind: Kind, *, seed: int, settings: Settings | None = None) -> None:
        require_choice("kind", kind, tuple(SIZES))
        require_int(seed=seed)
        self.kind, self.seed, self.settings = kind, seed, settings or Settings()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = Match3Model(kind, self.settings.modulus)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=self.settings.lr, betas=(0.9, 0.98), weight_decay=0
        )
        self.generator = torch.Generator().manual_seed(seed + 1)  # of the training sequences
        self.held_out = held_out(self.settings)
        self.step, self.cpu_seconds = 0, 0.0
        self.curve: list[Point] = []

    def train(self) -> Iterator[Point]:
        """Train to the end; yield each measurement when it is made, the first one before."""
        if not self.curve:
            yield self.measure(None)
        while self.step < self.settings.steps:
            yield self.advance()

    def advance(self) -> Point:
        """Train to the next measurement and make it."""
        start = time.process_time()
        loss = torch.zeros(())
        for _ in range(min(self.settings.every, self.settings.steps - self.step)):
            loss = self.one_step()
        self.cpu_seconds += time.process_time() - start
        return self.measure(round(loss.item(), 4))

    def one_step(self) -> Tensor:
        use = self.settings
        self.step += 1
        factor = warm_up_cosine(self.step, steps=use.steps, warm_up=use.warm_up, floor=use.floor)
        for group in self.optimizer.param_groups:
            group["lr"] = use.lr * factor
        x = match3_random(use.batch, use.n, use.modulus, self.generator)
        labels = match3_labels(x, use.modulus)
        loss = binary_cross_entropy_with_logits(self.model(x), labels.float())
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), use.clip)
        self.optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def measure(self, loss: float | None) -> Point:
        x, labels = self.held_out
        wrong = (self.model(x) > 0) != labels
        self.curve.append(Point(self.step, round(100 * wrong.float().mean().item(), 3), loss))
        return self.curve[-1]

    def state(self) -> dict[str, Any]:
        """All that continuing needs."""
        return {
            "made by": self.made_by(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "step": self.step,
            "cpu_seconds": self.cpu_seconds,
            "curve": [tuple(point) for point in self.curve],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state of a run of the same kind, seed and settings."""
        if state["made by"] != self.made_by():
            raise ValueError(f"state must be of {self.made_by()}; got one of {state['made by']}.")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.step, self.cpu_seconds = state["step"], state["cpu_seconds"]
        self.curve = [Point(*point) for point in state["curve"]]

    def made_by(self) -> dict[str, Any]:
        return {"kind": self.kind, "seed": self.seed, **asdict(self.settings)}

    def result(self) -> dict[str, Any]:
        """What is recorded of a run; cpu_seconds are those of the training steps."""
        return {
            "kind": self.kind,
            "seed": self.seed,
            "parameters": count_parameters(self.model),
            "final_error_percent": self.curve[-1].error_percent,
            "cpu_seconds": round(self.cpu_seconds, 1),
            "machine": machine(),
            "date": date.today().isoformat(),
            "curve": {name: [p[at] for p in self.curve] for at, name in enumerate(Point._fields)},
        }


def held_out(settings: Settings) -> tuple[Int[Tensor, "b s"], Bool[Tensor, "b s"]]:
    """What the error is measured on, sequences and labels: one draw for every kind and seed."""
    generator = torch.Generator().manual_seed(HELD_OUT_SEED)
    x = match3_random(settings.tested, settings.n, settings.modulus, generator)
    return x, match3_labels(x, settings.modulus)


def majority_error_percent(settings: Settings) -> float:
    """The error of always giving the label that is more frequent there."""
    yes = held_out(settings)[1].float().mean().item()
    return round(100 * min(yes, 1 - yes), 3)
