"""How exercise 10.1 is asked: as usual, and no number may lose digits on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from simplex_lib.checks.exercise import Rejected, call_with_arguments

DIGITS = {torch.float32: 7, torch.float16: 3, torch.bfloat16: 3}


class _Conversions(TorchDispatchMode):
    """Notes the first tensor that is converted to fewer digits than the inputs have."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.found: torch.dtype | None = None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._to_copy.default and self._loses(args[0], result):
            self.found = self.found or result.dtype
        return result

    def _loses(self, before: Tensor, after: Tensor) -> bool:
        if not before.is_floating_point() or not after.is_floating_point():
            return False
        return torch.finfo(after.dtype).eps > torch.finfo(self.dtype).eps


def ask_gradients(answer: Any, arguments: Mapping[str, Any]) -> Any:
    dtype = arguments["q"].dtype
    with _Conversions(dtype) as conversions:
        found = call_with_arguments(answer, arguments)
    same = isinstance(found, (tuple, list)) and all(
        isinstance(x, Tensor) and x.dtype == dtype for x in found
    )
    if same and conversions.found:
        names = [str(x).removeprefix("torch.") for x in (dtype, conversions.found)]
        raise Rejected(
            "rounded on the way",
            f"On the way {names[0]} numbers become {names[1]}, which keeps about "
            f"{DIGITS[conversions.found]} digits, and what is made of them is not better. Keep "
            "the dtype of the inputs.",
        )
    return found
