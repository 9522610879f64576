"""Exercise 9.1: out = a * x + y, one block of numbers a program.

Every wrong kernel is a right one with one slip of those who write their first kernel.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.exercise import Draw, Exercise, Right, Wrong
from simplex_lib.checks.jit import tl, triton
from simplex_lib.checks.kernel_runs import Output, run_kernel, tiles


def inputs_vector(draw: Draw, n: int, block: int) -> dict[str, Any]:
    """Numbers that float32 holds exactly."""
    if block & (block - 1):
        raise ValueError(f"block must be a power of two; got {block}.")
    x, y = (draw.normal(n).float().double() for _ in range(2))
    a = float(draw.uniform(-2, 2, 1).float())
    return dict(x=x, y=y, a=a, block=block)


def truth_vector(x: Tensor, y: Tensor, a: float, block: int) -> Tensor:
    return torch.tensor([a * p + q for p, q in zip(x.tolist(), y.tolist(), strict=True)])


def ask_vector(answer: Any, arguments: Mapping[str, Any]) -> Tensor:
    x, y, a, block = (arguments[name] for name in ("x", "y", "a", "block"))
    n = x.shape[0]
    passed = dict(x=x, y=y, out=Output((n,)), n=n, a=a, BLOCK=block)
    owners = dict(out=tiles((n,), (0, block)))
    return run_kernel(answer, (math.ceil(n / block),), passed, once=True, owners=owners)["out"]


# other right kernels ------------------------------------------------------------------------------


@triton.jit
def right_moved_pointers(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    lane = tl.arange(0, BLOCK)
    left = n - start
    x = tl.load(x_ptr + start + lane, mask=lane < left, other=0.0)
    y = tl.load(y_ptr + start + lane, mask=lane < left, other=0.0)
    tl.store(out_ptr + start + lane, tl.fma(x, tl.full((BLOCK,), a, tl.float32), y), lane < left)


@triton.jit
def right_last_again(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.minimum(tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), n - 1)
    tl.store(out_ptr + at, a * tl.load(x_ptr + at) + tl.load(y_ptr + at))


@triton.jit
def right_stride_of_grid(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    step = tl.num_programs(0) * BLOCK
    for start in range(tl.program_id(0) * BLOCK, n, step):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + at, mask=at < n)
        tl.store(out_ptr + at, a * x + tl.load(y_ptr + at, mask=at < n), mask=at < n)


# wrong ones ---------------------------------------------------------------------------------------


@triton.jit
def load_unmasked(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + at, a * tl.load(x_ptr + at) + tl.load(y_ptr + at), mask=at < n)


@triton.jit
def second_load_unmasked(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(out_ptr + at, a * x + tl.load(y_ptr + at), mask=at < n)


@triton.jit
def store_unmasked(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    y = tl.load(y_ptr + at, mask=at < n)
    tl.store(out_ptr + at, a * x + y)


@triton.jit
def one_too_many(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at <= n)
    y = tl.load(y_ptr + at, mask=at <= n)
    tl.store(out_ptr + at, a * x + y, mask=at <= n)


@triton.jit
def one_too_few(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = at < n - 1
    x = tl.load(x_ptr + at, mask=ok)
    tl.store(out_ptr + at, a * x + tl.load(y_ptr + at, mask=ok), mask=ok)


@triton.jit
def first_block_only(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(out_ptr + at, a * x + tl.load(y_ptr + at, mask=at < n), mask=at < n)


@triton.jit
def without_block(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(out_ptr + at, a * x + tl.load(y_ptr + at, mask=at < n), mask=at < n)


@triton.jit
def one_lane_each(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0)
    tl.store(out_ptr + at, a * tl.load(x_ptr + at) + tl.load(y_ptr + at))


@triton.jit
def first_of_block(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    start = tl.program_id(0) * BLOCK
    at = start + tl.arange(0, BLOCK)
    x, y = tl.load(x_ptr + start), tl.load(y_ptr + start)
    tl.store(out_ptr + at, a * x + y, mask=at < n)


@triton.jit
def in_bytes(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at * 4, mask=at < n)
    y = tl.load(y_ptr + at * 4, mask=at < n)
    tl.store(out_ptr + at * 4, a * x + y, mask=at < n)


@triton.jit
def mask_by_lane(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    lane = tl.arange(0, BLOCK)
    at = tl.program_id(0) * BLOCK + lane
    x = tl.load(x_ptr + at, mask=lane < n)
    tl.store(out_ptr + at, a * x + tl.load(y_ptr + at, mask=lane < n), mask=lane < n)


@triton.jit
def whole_blocks(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = at < n // BLOCK * BLOCK
    x = tl.load(x_ptr + at, mask=ok)
    tl.store(out_ptr + at, a * x + tl.load(y_ptr + at, mask=ok), mask=ok)


@triton.jit
def all_blocks(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    for start in range(0, n, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + at, mask=at < n)
        tl.store(out_ptr + at, a * x + tl.load(y_ptr + at, mask=at < n), mask=at < n)


@triton.jit
def program_0_alone(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    if tl.program_id(0) == 0:
        for start in range(0, n, BLOCK):
            at = start + tl.arange(0, BLOCK)
            x = tl.load(x_ptr + at, mask=at < n)
            tl.store(out_ptr + at, a * x + tl.load(y_ptr + at, mask=at < n), mask=at < n)


@triton.jit
def from_the_end(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = (tl.num_programs(0) - 1 - tl.program_id(0)) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(out_ptr + at, a * x + tl.load(y_ptr + at, mask=at < n), mask=at < n)


@triton.jit
def dealt_out(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) + tl.arange(0, BLOCK) * tl.num_programs(0)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(out_ptr + at, a * x + tl.load(y_ptr + at, mask=at < n), mask=at < n)


@triton.jit
def into_x(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(x_ptr + at, a * x + tl.load(y_ptr + at, mask=at < n), mask=at < n)


@triton.jit
def y_from_x(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(out_ptr + at, a * x + x, mask=at < n)


@triton.jit
def factor_of_y(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(out_ptr + at, x + a * tl.load(y_ptr + at, mask=at < n), mask=at < n)


@triton.jit
def factor_of_both(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(out_ptr + at, a * (x + tl.load(y_ptr + at, mask=at < n)), mask=at < n)


@triton.jit
def without_factor(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    tl.store(out_ptr + at, x + tl.load(y_ptr + at, mask=at < n), mask=at < n)


@triton.jit
def without_y(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + at, a * tl.load(x_ptr + at, mask=at < n), mask=at < n)


VECTOR = Exercise(
    id="9.1",
    title="A masked vector kernel",
    minutes=8,
    kind="kernel",
    inputs=inputs_vector,
    sizes=(
        dict(n=3, block=8),
        dict(n=1, block=4),
        dict(n=8, block=8),
        dict(n=5, block=4),
        dict(n=32, block=16),
        dict(n=75, block=16),
        dict(n=127, block=64),
    ),
    truth=truth_vector,
    outputs=("out: element",),
    ask=ask_vector,
    variants=("float16",),
    tolerance=2e-5,
    same_dtype=False,
    wrong=(
        Wrong(
            "load unmasked",
            load_unmasked,
            "tl.arange gives BLOCK lanes whatever n is, and the lanes from n on have no number to "
            "load. Your load lets them through; a mask on the store comes too late, and an `if` "
            "decides for a program as a whole, not lane by lane.",
        ),
        Wrong(
            "second load unmasked",
            second_load_unmasked,
            "x is loaded within its bounds and y is not. A mask belongs to one load alone: each "
            "load wants it, and the store too.",
        ),
        Wrong(
            "store unmasked",
            store_unmasked,
            "Your loads stay within x and y and your store does not stay within out: it lets the "
            "lanes from n on through. A mask holds for one load or one store alone.",
        ),
        Wrong(
            "one too many",
            one_too_many,
            "One lane too many: n numbers have the offsets 0 to n - 1, so offset n is the first "
            "that does not exist.",
        ),
        Wrong(
            "one too few",
            one_too_few,
            "The very last number is left out: n numbers have the offsets 0 to n - 1, and n - 1 "
            "exists.",
        ),
        Wrong(
            "first block only",
            first_block_only,
            "Nothing behind the first BLOCK numbers is written. All programs run the same lines, "
            "and only tl.program_id(0) can tell one which block is its own: program p begins at "
            "p * BLOCK.",
        ),
        Wrong(
            "blocks overlap",
            without_block,
            "Your kernel writes only as far as it would if program p began at offset p. Blocks "
            "that lie side by side begin BLOCK numbers apart.",
        ),
        Wrong(
            "one number a program",
            one_lane_each,
            "As many numbers are written as there are programs, one for each. A program owns BLOCK "
            "numbers: a block of offsets from tl.arange makes a block of pointers.",
        ),
        Wrong(
            "first of its block",
            first_of_block,
            "All numbers of a block are alike: those of its first element. A pointer without a "
            "block of offsets names one number, and tl.load then gives that one number.",
        ),
        Wrong(
            "pointers in bytes",
            in_bytes,
            "Your offsets run four times too far. Pointers in Triton count numbers, not bytes: "
            "x_ptr + 1 is the next number.",
        ),
        Wrong(
            "mask of the lane",
            mask_by_lane,
            "With one block your answer stays inside, with more it does not, as with a mask that "
            "compares the place inside the block with n. What must be below n is the offset in "
            "the whole vector.",
        ),
        Wrong(
            "whole blocks only",
            whole_blocks,
            "The last block is left out where n ends inside it. It is to be done as far as it "
            "exists: lane by lane, not all or nothing.",
        ),
        Wrong(
            "every program does all",
            all_blocks,
            "The numbers are right, and each program computes the whole vector. The grid is the "
            "loop: a program does its own block and leaves the rest to the others.",
        ),
        Wrong(
            "program 0 does all",
            program_0_alone,
            "Every number is stored, and program 0 stores them all while the others stand idle. "
            "On a GPU they would have worked at the same time.",
        ),
        Wrong(
            "blocks from the end",
            from_the_end,
            "Every number is stored once, and the blocks are dealt out from the end: program 0 "
            "has the last one.",
        ),
        Wrong(
            "dealt out in turn",
            dealt_out,
            "Every number is stored once, and the numbers are dealt out in turn, as cards are: "
            "neighbours have different programs. A block of neighbours is what one program "
            "owns, and memory is read fastest where neighbours are read together.",
        ),
        Wrong(
            "result into x",
            into_x,
            "The result goes where out_ptr points; whoever launched the kernel still needs x.",
        ),
        Wrong("x twice", y_from_x, "Your numbers are a * x + x: y does not come into them."),
        Wrong("factor of y", factor_of_y, "Your numbers are x + a * y. The factor belongs to x."),
        Wrong(
            "factor of both",
            factor_of_both,
            "Your numbers are a * (x + y): y is multiplied as well.",
        ),
        Wrong("no factor", without_factor, "Your numbers are x + y: the factor a is missing."),
        Wrong("no y", without_y, "Your numbers are a * x: nothing was added."),
    ),
    right=(
        Right("lanes left", right_moved_pointers),
        Right("the last one again", right_last_again),
        Right("in strides of the grid", right_stride_of_grid),
    ),
    hints=(
        "All programs run the same lines at the same time. What differs between them is one "
        "number, tl.program_id(0). Which offsets does program 0 own, and which program 1?",
        "tl.arange(0, BLOCK) is a block of BLOCK whole numbers; plus the beginning of your block "
        "they are offsets, plus x_ptr they are pointers. Compare the offsets with n: that is the "
        "mask, for both loads and for the store.",
        "offsets = program id * BLOCK + arange from 0 to BLOCK; ok = offsets below n; load x and "
        "y at pointer plus offsets, mask ok; store a times x plus y at out plus offsets, mask ok.",
    ),
    why="A masked lane touches no memory, so the last block may reach beyond the end. Without the "
    "mask the numbers often come out right all the same, and some other tensor is damaged.",
    another_way="pull the offsets back with tl.minimum(offsets, n - 1) and use no mask: the lanes "
    "too many repeat the last number and all store the same. A reduction would count it again, so "
    "for sums and maxima a mask is the way.",
)
