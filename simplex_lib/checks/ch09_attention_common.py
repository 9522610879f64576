"""What exercises 9.4 and 9.5 share: how inputs are drawn and how a kernel is launched.

Axes: b batch, h head, i query, j and k key, s sequence length, d head_dim.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.exercise import Draw, Rejected
from simplex_lib.checks.kernel_runs import Output, Strides, run_kernel

SCALE = 0.75  # 1 / sqrt(d) for no d, so a kernel that makes its own is found out
BLOCKS = (16, 32)
VERY_FAR = 2**31  # below every finite number that stands in for -inf, but the paper's -1e38
SHIFTS = (0, 128, VERY_FAR)
LARGEST = dict(b=3, h=3, s=64, d=32, w1=18, w2=18)
FLOAT16 = (
    "A function like tl.exp or tl.log got a block of float16 and takes float32. Logits, m, l and "
    "acc are float32, whatever the inputs are."
)
TWO_DTYPES = (
    "tl.dot takes two blocks of one dtype, and here float16 meets float32: what is loaded has the "
    "dtype of the inputs, and what tl.exp, tl.dot and .to(tl.float32) give is float32. "
    "x.to(y.dtype) makes two blocks alike."
)
LONGEST = 99  # a window longer than every s
# rows, keys and far are no sizes that a failing case could be made smaller in
SMALLEST = dict(rows=16, keys=16, far=VERY_FAR)


def require_sizes(**sizes: int) -> None:
    """Only sizes that a kernel of this chapter is asked with; the engine tries others."""
    for name, size in sizes.items():
        if name in ("rows", "keys"):
            asked = size in BLOCKS
        elif name == "far":
            asked = size in SHIFTS
        else:
            asked = 1 <= size <= LARGEST[name] or (name in ("w1", "w2") and size == LONGEST)
        if not asked:
            raise ValueError(f"{name} = {size} is not asked.")
    if "w1" in sizes and sizes["b"] * sizes["h"] * sizes["s"] > 40:
        raise ValueError("That many programs take too long.")


def draw_like_memory(draw: Draw, shape: tuple[int, ...], order: str) -> Tensor:
    """Numbers that float32 holds, (b, h, s, d); their axes lie in memory in this order."""
    axes = ["bhsd".index(axis) for axis in order]
    x = draw.normal(*shape).float().double()
    return x.permute(axes).contiguous().permute([axes.index(axis) for axis in range(4)])


def shift_logits(q: Tensor, keys: tuple[Tensor, ...], far: int) -> None:
    """Shift all logits of query i by far: down where i is even, up where it is odd.

    Where far is large beyond measure, the logits of a query are all alike: float32 has no digits
    left for their differences. Nor has it any for ln 2 beside such an lse, so a case that is to
    pass who merges parts by their lse lets a query see all it sees in one step.
    """
    if far == 0:
        return
    for key in keys:
        key[..., 0] = 1
        if far == VERY_FAR:
            key[..., 1:] = 0
    q[..., ::2, 0] = -far / SCALE
    q[..., 1::2, 0] = far / SCALE


@dataclass(frozen=True, eq=False)
class Slip:
    """A known mistake, in PyTorch: the numbers of the wrong kernel, without the interpreter."""

    numbers: Callable[..., tuple[Tensor, Tensor]]

    def __call__(self, *arguments: Any) -> tuple[Tensor, Tensor]:
        return self.numbers(*arguments)


def round_to(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype).float()


def ask_kernel(answer: Any, arguments: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Launch a kernel on q, keys and values, with one program for each tile of queries of a head.

    A known mistake is a Slip, or a partial: a kernel with a few switches.
    """
    if isinstance(answer, Slip):
        return answer(*arguments.values())
    arguments = dict(arguments)
    rows, keys = arguments.pop("rows"), arguments.pop("keys")
    b, h, s, d = arguments["q"].shape
    tensors = {name: x for name, x in arguments.items() if isinstance(x, Tensor)}
    dtype = torch.float16 if arguments["q"].dtype == torch.float16 else torch.float32
    tensors |= dict(out=Output((b, h, s, d), dtype), lse=Output((b, h, s)))
    passed: dict[str, Any] = {}
    for name, x in tensors.items():
        passed |= {name: x, f"{name}_strides": Strides(name)}
    passed |= dict(s=s, d=d)
    passed |= {name: x for name, x in arguments.items() if not isinstance(x, Tensor)}
    passed |= dict(ROWS=rows, KEYS=keys, D=max(16, 1 << (d - 1).bit_length()))
    grid = (-(-s // rows), h, b)
    try:
        found = run_kernel(answer, grid, passed)
    except Rejected as error:
        if error.cause == "float16 kept":
            raise Rejected(error.cause, FLOAT16, error.where) from None
        if re.search("same dtype. Got fp(32 and fp16|16 and fp32)", str(error)):
            raise Rejected("two dtypes", TWO_DTYPES, error.where) from None
        raise
    return found["out"], found["lse"]
