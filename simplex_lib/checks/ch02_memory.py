"""Counts the numbers that an answer holds in memory, so that a check can forbid the cube."""

from __future__ import annotations

import weakref
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from simplex_lib.checks.exercise import Rejected


class MemoryMeter(TorchDispatchMode):
    """Sees the result of every torch operation made inside it. Views of old memory count nothing.

    Attributes:
        largest: shape of the largest tensor made, largest_numbers: the memory behind it.
        held: numbers held now; most_held: at most at one time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.largest: tuple[int, ...] = ()
        self.largest_numbers = self.held = self.most_held = 0
        self._seen: dict[int, int] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else the first use imports torch._dynamo, which takes seconds

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        inputs = {_address(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        result = func(*args, **(kwargs or {}))
        for x in tree_leaves(result):
            if isinstance(x, Tensor) and _address(x) not in inputs:
                self._note(x)
        return result

    def _note(self, x: Tensor) -> None:
        storage = x.untyped_storage()
        address, numbers = _address(x), storage.nbytes() // x.element_size()
        if numbers > self.largest_numbers:
            self.largest, self.largest_numbers = tuple(x.shape), numbers
        if address in self._seen:
            return
        self._seen[address] = numbers
        self.held += numbers
        self.most_held = max(self.held, self.most_held)
        weakref.finalize(storage, self._forget, address)

    def _forget(self, address: int) -> None:
        self.held -= self._seen.pop(address, 0)


def _address(x: Tensor) -> int:
    return x.untyped_storage().data_ptr() if x.numel() else 0


def refuse_cube(meter: MemoryMeter, *, b: int, h: int, s: int) -> None:
    """Rejected where one tensor, or all of them together, held as much as the cube.

    A mask (s, s, s) is a cube as well. Tensors of s² numbers a head are what the exercise wants,
    and a few of them live at one time.
    """
    if meter.largest_numbers >= s**3:
        raise Rejected(
            "cube",
            f"A tensor of shape {meter.largest} is made while your answer runs: "
            f"{meter.largest_numbers:,} numbers for s = {s}, where s³ = {s**3:,}. If you never "
            "wrote this shape, an einsum may have made it inside. The cube, or a mask as large, is "
            f"what this exercise does without. A map of all queries over one kind of key has "
            f"{s * s} numbers a head.",
        )
    if meter.most_held >= b * h * s**3:
        raise Rejected(
            "cube in pieces",
            f"No tensor of yours is as large as the cube, and still your answer held "
            f"{meter.most_held:,} numbers at one time, in all its tensors together; the cube has "
            f"{b * h * s**3:,}. What of them do you still need at the end of a step?",
        )
