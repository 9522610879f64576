"""What the mistakes of chapter 01 share: masks, a softmax by hand, and how they speak."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from simplex_lib.checks.exercise import Difference, Wrong

INF = float("inf")


@dataclass(frozen=True, eq=False)
class Seen(Wrong):
    """A mistake whose sentence is led in by what is seen in the failing case, if one is left.

    says stands by itself: an answer that only has a wrong shape leaves no difference.
    """

    seen: Callable[[Difference], str] | None = None

    def sentence(self, difference: Difference | None) -> str:
        said = super().sentence(difference)
        if difference is None or self.seen is None:
            return said
        return f"{self.seen(difference)} {said}"


def past(s: int) -> Tensor:
    return torch.ones(s, s, dtype=torch.bool).tril()


def one_ahead(s: int) -> Tensor:
    return torch.ones(s, s, dtype=torch.bool).tril(1)


def by_hand(logits: Tensor, dim: int = -1) -> Tensor:
    """A stable softmax without torch's."""
    e = (logits - logits.amax(dim, keepdim=True)).exp()
    return e / e.sum(dim, keepdim=True)


def scores(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.transpose(-1, -2)
