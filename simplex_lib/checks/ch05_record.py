"""Attentions that remember how a learner's test of exercise 5.2 called them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from simplex_lib.checks.ch05_leaks import Trial
from simplex_lib.checks.exercise import Rejected

MANY = 40  # calls


@dataclass
class Seen:
    """A call of an attention."""

    inputs: tuple[Tensor, Tensor, Tensor]
    out: Tensor
    gradients: str  # of which of q, k, v

    @property
    def s(self) -> int:
        return self.out.shape[2]


@dataclass
class Pair:
    """Two calls. first: the first position where they differ; moved: |difference| before it."""

    first: int
    changed: frozenset[str]
    moved: Tensor  # (b, h, first, d)

    @property
    def largest(self) -> float:
        return float(self.moved.max()) if self.moved.numel() else 0.0


@dataclass
class Recorder:
    """An attention that remembers what it was given and what it gave."""

    trial: Trial
    calls: list[Seen] = field(default_factory=list)

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if not all(isinstance(x, Tensor) and x.ndim == 4 for x in (q, k, v)):
            raise Rejected("inputs", "attention takes three tensors (b, h, s, d): q, k and v.")
        if not q.shape == k.shape == v.shape:
            shapes = ", ".join(str(tuple(x.shape)) for x in (q, k, v))
            raise Rejected("inputs", f"q, k and v should have one shape; yours have {shapes}.")
        if not q.dtype == k.dtype == v.dtype or not q.is_floating_point():
            raise Rejected("inputs", "q, k and v should be of one floating dtype.")
        if 0 in q.shape:
            raise Rejected("inputs", f"q, k and v have an empty axis: {tuple(q.shape)}.")
        out = self.trial.attention(q, k, v)
        copies = (q.detach().clone(), k.detach().clone(), v.detach().clone())
        wanted = "".join(n for n, x in zip("qkv", (q, k, v), strict=True) if x.requires_grad)
        self.calls.append(Seen(copies, out.detach().clone(), wanted))
        return out

    @cached_property
    def pairs(self) -> list[Pair]:
        """Calls that differ, two by two; a shorter call counts as one with its tail changed.

        Of many calls only neighbours, and each with the first. Asked when the test is over.
        """
        pairs = itertools.combinations(self.calls, 2)
        if len(self.calls) > MANY:
            pairs = [*itertools.pairwise(self.calls), *((self.calls[0], x) for x in self.calls[2:])]
        return [pair for a, b in pairs if (pair := _compare(a, b)) is not None]


def _compare(a: Seen, b: Seen) -> Pair | None:
    if a.out.shape[:2] != b.out.shape[:2] or a.out.shape[3] != b.out.shape[3]:
        return None
    s = min(a.s, b.s)
    differ = [
        (x[:, :, :s].double() != y[:, :, :s].double()).any(-1).any(0).any(0)
        for x, y in zip(a.inputs, b.inputs, strict=True)
    ]
    anywhere = torch.stack(differ).any(0)
    if not anywhere.any() and a.s == b.s:
        return None
    first = int(anywhere.nonzero()[0]) if anywhere.any() else s
    names = (
        "qkv" if a.s != b.s else "".join(n for n, x in zip("qkv", differ, strict=True) if x.any())
    )
    moved = (a.out[:, :, :first].double() - b.out[:, :, :first].double()).abs()
    return Pair(first, frozenset(names), moved)
