"""What a compiled kernel leaves behind: its loads and stores cannot be seen, its traces can."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from simplex_lib.checks.exercise import Rejected


def remember(tensors: Mapping[str, Tensor], inputs: Iterable[str]) -> dict[str, Tensor]:
    """Copies of the inputs, to be compared after the launch."""
    return {name: tensors[name].clone() for name in inputs}


def look_at_bands(tensors: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> None:
    """Reject a launch that wrote round a tensor, or into an input.

    Args:
        tensors: all that were passed, each in the middle of memory that held NaN alone (the lowest
            number, where the dtype is one of whole numbers).
        before: copies of the inputs as they were.
    """
    for name, x in tensors.items():
        overwritten = int(_is_number(_outside(x)).sum())
        if overwritten:
            numbers = "number is" if overwritten == 1 else "numbers are"
            raise Rejected(
                f"writes outside {name}",
                f"Your kernel writes outside `{name}`: {overwritten} {numbers} stored in the "
                "memory that lies round it.",
            )
    for name, old in before.items():
        changed = ~((tensors[name] == old) | (~_is_number(tensors[name]) & ~_is_number(old)))
        if changed.any():
            raise Rejected(
                f"writes input {name}",
                f"Your kernel stores into `{name}`, which is an input.",
            )


def _outside(x: Tensor) -> Tensor:
    """All of x's memory that is none of its elements."""
    memory = torch.empty(0, dtype=x.dtype, device=x.device).set_(x.untyped_storage())
    own = torch.zeros(memory.numel(), dtype=torch.bool, device=x.device)
    own.as_strided(x.shape, x.stride(), x.storage_offset()).fill_(True)
    return memory[~own]


def _is_number(x: Tensor) -> Tensor:
    """False where nobody stored anything into a band."""
    return ~torch.isnan(x) if x.is_floating_point() else x != torch.iinfo(x.dtype).min
