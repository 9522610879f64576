"""What all kernels share: rows and windows in a kernel; block sizes and checks around it.

A program of a kernel owns a tile of rows. The query heads that share one key head read the same
keys, so they stand in one tile: row r is query i = r // groups in head r % groups of its group.
With 64 heads a group, a tile of 64 rows is one position; with one head a group, 64 positions.

In Triton's interpreter arithmetic on bfloat16 is silently wrong. There a kernel gets float32 as
DOT, the dtype in which tiles are multiplied, and loads are converted before anything else.
"""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from simplex_lib.errors import plain
from simplex_lib.kernels import MODE

KERNEL_DTYPES = (torch.float16, torch.bfloat16, torch.float32)
LOG2_E = tl.constexpr(1.4426950408889634)  # exp(x) = exp2(x * LOG2_E), and exp2 is one instruction
LN_2 = tl.constexpr(0.6931471805599453)


@triton.jit
def load_tile(ptr, offsets, ok, width, stride, COLUMNS: tl.constexpr):
    """(rows, COLUMNS) numbers, 0 where a row is not ok and from column `width` on."""
    column = tl.arange(0, COLUMNS)
    mask = ok[:, None] & (column < width)[None, :]
    return tl.load(ptr + offsets[:, None] + column[None, :] * stride, mask=mask, other=0.0)


@triton.jit
def load_vector(ptr, width, stride, COLUMNS: tl.constexpr):
    """One row, in float32, 0 from column `width` on."""
    column = tl.arange(0, COLUMNS)
    return tl.load(ptr + column * stride, mask=column < width, other=0.0).to(tl.float32)


@triton.jit
def store_tile(ptr, offsets, ok, width, stride, x, COLUMNS: tl.constexpr):
    column = tl.arange(0, COLUMNS)
    mask = ok[:, None] & (column < width)[None, :]
    tl.store(ptr + offsets[:, None] + column[None, :] * stride, x.to(ptr.dtype.element_ty), mask)


@triton.jit
def sees(i, key, window):
    """True where query i sees the key; window is (w, ahead): i - w < key <= i + ahead."""
    return (key > i - window[0]) & (key <= i + window[1])


class Blocks(NamedTuple):
    """Sizes of tiles, powers of two: rows, keys, columns of keys and of values; warps a program."""

    rows: int
    keys: int
    d: int
    dv: int
    warps: int = 4

    def options(self) -> dict[str, int]:
        sizes = dict(ROWS=self.rows, KEYS=self.keys, D=self.d, DV=self.dv)
        return sizes | dict(num_warps=self.warps, num_stages=2)


def choose_blocks(rows: int, keys: int, d: int, dv: int, dtype: torch.dtype) -> Blocks:
    """Tiles that fit into shared memory, and no larger than the problem.

    Args:
        rows, keys: how many rows and keys there are.
        d, dv: width of keys and values.
        dtype: of the inputs.
    """
    d, dv = power_of_two(d), power_of_two(dv)
    # largest tiles that hardly spill registers on Hopper; products of float32 need more of them
    width, half = max(d, dv), dtype != torch.float32
    limit = 64 if half and width <= 128 else 32 if width <= (256 if half else 64) else 16
    warps = 4 if half and width <= 64 else 8
    if MODE == "interpreter":
        limit = 128  # every operation of a program costs the same there, whatever its size
    rows, keys = min(limit, power_of_two(rows)), min(limit, power_of_two(keys))
    return Blocks(rows=rows, keys=keys, d=d, dv=dv, warps=warps)


def power_of_two(n: int) -> int:
    """The next power of two, and at least 16, the least that tl.dot takes."""
    return max(16, 1 << (n - 1).bit_length())


def launch(
    kernel: Any,
    grid: tuple[int, int, int],
    tensors: Sequence[Tensor],
    others: Sequence[Any],
    blocks: Blocks,
    **options: Any,
) -> None:
    """Run a kernel whose arguments are tensors, each followed by its strides, and then others."""
    arguments = [argument for x in tensors for argument in (x, x.stride())]
    options |= blocks.options() | dict(DOT=dot_dtype(tensors[0].dtype))
    with torch.cuda.device_of(tensors[0]):
        kernel[grid](*arguments, *others, **options)


def dot_dtype(dtype: torch.dtype) -> tl.dtype:
    """The dtype of the factors of tl.dot; sums are always float32."""
    if dtype == torch.float32 or (dtype == torch.bfloat16 and MODE == "interpreter"):
        return tl.float32
    return tl.float16 if dtype == torch.float16 else tl.bfloat16


def stored_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype a kernel writes: stores of bfloat16 are cut off, not rounded, if interpreted."""
    return torch.float32 if dtype == torch.bfloat16 and MODE == "interpreter" else dtype


def window_of(w: int | None, s: int, *, causal: bool) -> tuple[int, int]:
    """(w, ahead) as `sees` takes it: no longer than s, looking ahead only if not causal."""
    w = s if w is None else min(w, s)
    return w, 0 if causal else w - 1


def check_kernel_inputs(**tensors: Tensor) -> None:
    """Dtypes and devices for which there are kernels; `check_inputs` has seen the rest."""
    for name, x in tensors.items():
        if x.dtype not in KERNEL_DTYPES:
            raise TypeError(
                f"{name} must be float16, bfloat16 or float32 where impl is 'triton'; "
                f"got {plain(x.dtype)}."
            )
        if x.device.type == "cpu" and MODE == "gpu":
            raise ValueError(
                f"{name} must be on a GPU where impl is 'triton' and kernels are compiled; got "
                "cpu. For the interpreter, set TRITON_INTERPRET=1 before Python starts."
            )


_announced = False


def announce_interpreter() -> None:
    """Say once in a process that kernels are interpreted: right numbers, no speed."""
    global _announced
    if MODE != "interpreter" or _announced:
        return
    _announced = True
    warnings.warn(
        "Triton kernels run in Triton's interpreter here, on the CPU: the numbers are those of "
        "the kernel, the time is not.",
        stacklevel=2,
    )
