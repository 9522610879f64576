"""What exercises 9.4 and 9.5 share: how inputs are drawn and how a kernel is launched.

Axes: b batch, h head, i query, j and k key, s sequence length, d head_dim.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch09_attention_reads import (
    in_our_words,
    reject_second_pass,
    source_of,
    turned_round,
)
from simplex_lib.checks.exercise import Draw, Rejected
from simplex_lib.checks.kernel_runs import Output, Strides, run_kernel, tiles

SCALE = 0.75  # 1 / sqrt(d) for no d, so a kernel that makes its own is found out
BLOCKS = (16, 32)
VERY_FAR = 2**31  # below every finite number that stands in for -inf, but the paper's -1e38
SHIFTS = (0, 128, VERY_FAR)
HEAVY = 512.0  # values so large that a float16 sum of them has no digits left for the others
LARGEST = dict(b=3, h=3, s=64, d=32, w1=18, w2=18)
TURNED_ROUND = (
    "All of out is NaN. Your rescaling is turned round: it takes exp(new maximum - old maximum). "
    "The new one is the larger, so that is 1 or more, and in the first step, where the old one is "
    "lower than every logit, it is infinite, and times 0 it is NaN. l and acc shrink when the "
    "maximum grows."
)
LONGEST = 99  # a window longer than every s
# rows, keys and logits are no sizes that a failing case could be made smaller in
SMALLEST = dict(rows=16, keys=16, logits=VERY_FAR)
# how tensors lie in memory, axes from the outermost in; in the second way no d is innermost
ORDERS = (
    dict(q="bshd", k="hbds", v="sbhd", out="bhsd", lse="bhs"),
    dict(q="bhds", k="sdbh", v="hbds", out="shdb", lse="shb"),
)
PAIR_ORDERS = (
    dict(q="bshd", k1="hbds", k2="sbhd", v1="bhds", v2="shbd", out="bhsd", lse="bhs"),
    dict(q="bhds", k1="sdbh", k2="hbds", v1="dbsh", v2="sbdh", out="shdb", lse="shb"),
)


class Shift(int):
    """By how much the logits of a query are shifted, in words."""

    def __str__(self) -> str:
        if self == 0:
            return "as drawn"
        return f"{'2 billion' if self == VERY_FAR else int(self)} away from 0"


AS_DRAWN, FAR_OFF, VERY_FAR_OFF = map(Shift, SHIFTS)


def require_sizes(**sizes: int) -> None:
    """Only sizes that a kernel of this chapter is asked with; the engine tries others."""
    for name, size in sizes.items():
        if name in ("rows", "keys"):
            asked = size in BLOCKS
        elif name == "logits":
            asked = size in SHIFTS
        else:
            asked = 1 <= size <= LARGEST[name] or (name in ("w1", "w2") and size == LONGEST)
        if not asked:
            raise ValueError(f"{name} = {size} is not asked.")
    if "w1" in sizes and sizes["b"] * sizes["h"] * sizes["s"] > 40:
        raise ValueError("That many programs take too long.")


def orders_of(orders: tuple[dict[str, str], dict[str, str]], d: int) -> dict[str, str]:
    """Odd head dims get the second way, in which no last stride is 1."""
    return orders[d % 2]


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


def make_coarse(x: Tensor, step: float) -> None:
    """To multiples of step, so that float32 adds them without error, in whatever order."""
    x.copy_((x / step).round() * step)


@dataclass(frozen=True, eq=False)
class Slip:
    """A known mistake, in PyTorch: the numbers of the wrong kernel, without the interpreter."""

    numbers: Callable[..., tuple[Tensor, Tensor]]

    def __call__(self, *arguments: Any) -> tuple[Tensor, Tensor]:
        return self.numbers(*arguments)


def grow(total: Tensor, term: Tensor, shrink: Tensor, when: str) -> Tensor:
    """total + term; total gets the new unit before, or after, or never."""
    if when == "after":
        return (total + term) * shrink
    return (total * shrink if when == "before" else total) + term


# when l and acc get their new unit
RESCALE = dict(
    both=("before", "before"),
    sum=("before", "never"),
    acc=("never", "before"),
    none=("never", "never"),
    late=("after", "after"),
    acc_late=("before", "after"),
)


def lse_of(m: Tensor, l: Tensor, kind: str) -> Tensor:  # noqa: E741
    """What is stored as lse: natural, or one of the ways to get it wrong."""
    ln, log2_e = l.log(), 1 / math.log(2)
    return {
        "natural": m + ln,
        "base 2": (m + ln) * log2_e,
        "mixed": m * log2_e + ln,
        "mixed the other way": m + l.log2(),
        "no maximum": ln,
        "maximum": m,
        "sum": l,
        "no logarithm": m + l,
        "minus": m - ln,
    }[kind]


def round_to(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(dtype).float()


def ask_attention(answer: Any, arguments: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    return _ask(answer, arguments, ORDERS, ("k",))


def ask_trilinear(answer: Any, arguments: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    return _ask(answer, arguments, PAIR_ORDERS, ("k1", "k2"))


def _ask(
    answer: Any,
    arguments: Mapping[str, Any],
    orders: tuple[dict[str, str], dict[str, str]],
    keys_read: tuple[str, ...],
) -> tuple[Tensor, Tensor]:
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
    lies = orders_of(orders, d)
    out_order, lse_order = ([*map("bhsd".index, lies[name])] for name in ("out", "lse"))
    tensors |= dict(
        out=Output((b, h, s, d), dtype, order=tuple(out_order)),
        lse=Output((b, h, s), order=tuple(lse_order)),
    )
    passed: dict[str, Any] = {}
    for name, x in tensors.items():
        passed |= {name: x, f"{name}_strides": Strides(name)}
    passed |= dict(s=s, d=d)
    passed |= {name: x for name, x in arguments.items() if not isinstance(x, Tensor)}
    passed |= dict(ROWS=rows, KEYS=keys, D=max(16, 1 << (d - 1).bit_length()))
    grid, axes = (-(-s // rows), h, b), ((2, rows), (1, 1), (0, 1))
    owners = dict(out=tiles((b, h, s, d), *axes), lse=tiles((b, h, s), *axes))
    look = partial(reject_second_pass, keys_read)
    try:
        found = run_kernel(answer, grid, passed, owners=owners, look=look)
    except Rejected as error:
        raise in_our_words(answer, error) from None
    out, lse = found["out"], found["lse"]
    if torch.isnan(out).all() and (line := turned_round(source_of(answer))):
        raise Rejected("rescaling turned round", TURNED_ROUND, f"It is this line: `{line}`")
    return out, lse
