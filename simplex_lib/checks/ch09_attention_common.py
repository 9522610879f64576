"""What exercises 9.4 and 9.5 share: how inputs are drawn and how a kernel is launched.

Axes: b batch, h head, i query, j and k key, s sequence length, d head_dim.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from simplex_lib.checks.ch10_first_key_runs import unwatched
from simplex_lib.checks.exercise import Draw, Rejected
from simplex_lib.checks.guard import CHAPTERS
from simplex_lib.checks.kernel_runs import Output, Strides, run_kernel

SCALE = 0.75  # 1 / sqrt(d) for no d, so a kernel that makes its own is found out
BLOCKS = (16, 32)
VERY_FAR = 2**31  # below every finite number that stands in for -inf, but the paper's -1e38
SHIFTS = (0, 128, VERY_FAR)
LARGEST = dict(b=3, h=3, s=64, d=32, w1=99, w2=99)
# rows, keys and far are no sizes that a failing case could be made smaller in
SMALLEST = dict(rows=16, keys=16, far=VERY_FAR)


def require_sizes(**sizes: int) -> None:
    """Only sizes that a kernel of this chapter is asked with; the engine tries others."""
    for name, size in sizes.items():
        allowed = BLOCKS if name in ("rows", "keys") else SHIFTS if name == "far" else None
        if size not in allowed if allowed else not 1 <= size <= LARGEST[name]:
            raise ValueError(f"{name} = {size} is not asked.")


def draw_like_memory(draw: Draw, shape: tuple[int, ...], order: str) -> Tensor:
    """Numbers that float32 holds, (b, h, s, d); their axes lie in memory in this order."""
    axes = ["bhsd".index(axis) for axis in order]
    x = draw.normal(*shape).float().double()
    return x.permute(axes).contiguous().permute([axes.index(axis) for axis in range(4)])


def shift_logits(q: Tensor, keys: tuple[Tensor, ...], far: int) -> None:
    """Shift all logits of query i by far: down where i is even, up where it is odd.

    Where far is large beyond measure, the logits of a query are all alike: float32 has no digits
    left for their differences.
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

    A known mistake is a Slip, or a kernel with a few switches: a partial that holds them.
    """
    if isinstance(answer, Slip):
        return answer(*arguments.values())
    switches: dict[str, Any] = {}
    if isinstance(answer, partial):
        answer, switches = answer.func, answer.keywords
    code = getattr(getattr(answer, "fn", None), "__code__", None)
    if not getattr(code, "co_filename", "").startswith(CHAPTERS):
        with unwatched(answer):
            return _launch(answer, switches, arguments)
    # our own kernels are asked for again and again, to tell mistakes and errors apart
    data = (
        x.contiguous().numpy().tobytes() if isinstance(x, Tensor) else x for x in _all(arguments)
    )
    key = (answer.fn.__name__, *switches.values(), *data)
    if key not in _known:
        try:
            with unwatched(answer):
                _known[key] = _launch(answer, switches, arguments)
        except Rejected as error:
            _known[key] = error
    found = _known[key]
    if isinstance(found, Rejected):
        raise Rejected(found.cause, str(found), found.where)
    return found[0].clone(), found[1].clone()


_known: dict[tuple[Any, ...], tuple[Tensor, Tensor] | Rejected] = {}


def _all(arguments: Mapping[str, Any]) -> list[Any]:
    """What a case is made of; the same bytes in another dtype are another case."""
    return [*arguments.values(), arguments["q"].dtype, tuple(arguments["q"].shape)]


def _launch(
    kernel: Any, switches: Mapping[str, Any], arguments: Mapping[str, Any]
) -> tuple[Tensor, Tensor]:
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
    with np.errstate(all="ignore"):  # rows past s may give 0 / 0; they are never stored
        found = run_kernel(kernel, (-(-s // rows), h, b), passed | dict(switches))
    return found["out"], found["lse"]
