"""Exercise 9.2: the softmax of one row a program.

`sloppy_kernel` is a right kernel and all the wrong ones: SLIP says which line is another one.
"""

import dis
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.exercise import Draw, Exercise, Rejected, Right, Wrong
from simplex_lib.checks.jit import tl, triton
from simplex_lib.checks.kernel_runs import Again, Output, Stride, require_float32, run_kernel, tiles

INF = float("inf")
NEAR = 2e-3


def inputs_softmax(draw: Draw, rows: int, columns: int, block: int) -> dict[str, Any]:
    """Rows of five kinds, in turn; float32 holds all numbers exactly."""
    if block & (block - 1) or block < columns:
        raise ValueError(f"block must be a power of two, at least {columns}; got {block}.")
    x = 2 * draw.normal(rows, columns)
    x[1::5] -= 10_000
    x[2::5] = 10_000 + 3_000 * x[2::5]
    kept = int(draw.integers(0, columns, 1))  # never a whole row
    hidden = draw.uniform(0, 1, rows, columns) < 0.4
    hidden[:, kept] = False
    x[3::5] = x[3::5].masked_fill(hidden[3::5], -INF)
    x[4::5] = -INF
    x[4::5, kept] = -1e30
    return dict(x=x.float().double(), block=block)


def truth_softmax(x: Tensor, block: int) -> Tensor:
    rows = []
    for row in x.tolist():
        e = [math.exp(number - max(row)) for number in row]
        rows.append([number / sum(e) for number in e])
    return torch.tensor(rows, dtype=torch.float64)


def ask_softmax(answer: Any, arguments: Mapping[str, Any]) -> Tensor:
    """Where x is transposed, out is too in a second launch."""
    code = getattr(getattr(answer, "fn", None), "__code__", None)
    if code and any(
        "ATTR" in i.opname and i.argval == "softmax" for i in dis.get_instructions(code)
    ):
        raise Rejected("tl.softmax", "Your kernel calls tl.softmax.")
    x, block = arguments["x"], arguments["block"]
    found = _launch(answer, x, block, Output(tuple(x.shape)))
    if not x.is_contiguous():
        turned = Again(torch.full(x.T.shape, math.nan).T)
        again = _launch(answer, x.contiguous(), block, turned)
        if not torch.equal(found.nan_to_num(7), again.nan_to_num(7)):
            raise Rejected(
                "layout of out",
                "Where out is transposed in memory (out_row is 1, out_column is not) your out is "
                "another one than where its rows lie in one piece.",
            )
    _require_zeros(found, x)
    if x.dtype == torch.float16:
        exact = _launch(answer, x.float(), block, Output(tuple(x.shape)))
        require_float32("out", found, exact)
    return _forgive(found, x)


def _require_zeros(found: Tensor, x: Tensor) -> None:
    weight = found[x == -INF]
    if ((weight != 0) & (weight.abs() < 1e-3)).any():  # more is seen in the numbers
        raise Rejected(
            "weight of -inf",
            "Where x is -inf your out is a small number and not 0. A probability of 0 is 0 "
            "exactly: exp(-inf) is.",
        )


def _forgive(found: Tensor, x: Tensor) -> Tensor:
    """float32 near 10,000 has steps of 1/1024, and who takes logarithms meets them."""
    exact = x.double().softmax(1).float()
    far = x.masked_fill(x == -INF, 0).abs().amax(1, keepdim=True) > 1000
    return torch.where(far & ((found - exact).abs() <= NEAR), exact, found)


def _launch(answer: Any, x: Tensor, block: int, out: Output | Again) -> Tensor:
    both = (("row", 0), ("column", 1))
    strides = {f"{name}_{a}": Stride(name, axis) for name in ("x", "out") for a, axis in both}
    passed = dict(x=x, out=out, columns=x.shape[1], **strides, BLOCK=block)
    rows = tiles(tuple(x.shape), (0, 1))
    owners = dict(out=rows, x=rows)
    return run_kernel(answer, (x.shape[0],), passed, once=True, owners=owners)["out"]


# other right kernels ------------------------------------------------------------------------------


@triton.jit
def right_where(x_ptr, out_ptr, columns, x_row, x_column, out_row, out_column, BLOCK: tl.constexpr):
    column = tl.arange(0, BLOCK)
    x_ptr += tl.program_id(0) * x_row
    out_ptr += tl.program_id(0) * out_row
    x = tl.load(x_ptr + column * x_column, mask=column < columns).to(tl.float32)
    m = tl.max(tl.where(column < columns, x, float("-inf")), 0)
    e = tl.where(column < columns, tl.exp(x - m), 0.0)
    tl.store(out_ptr + column * out_column, e / tl.sum(e, 0), mask=column < columns)


@triton.jit
def right_base_two(
    x_ptr, out_ptr, columns, x_row, x_column, out_row, out_column, BLOCK: tl.constexpr
):
    column = tl.arange(0, BLOCK)[None, :]
    row = tl.program_id(0)
    at = x_ptr + row * x_row + column * x_column
    x = tl.load(at, mask=column < columns, other=float("-inf")).to(tl.float32) * 1.4426950408889634
    m = tl.max(x, 1)
    lse = m + tl.log2(tl.sum(tl.exp2(x - m[:, None]), 1))
    out = tl.exp2(x - lse[:, None])
    tl.store(out_ptr + row * out_row + column * out_column, out, mask=column < columns)


@triton.jit
def right_library(
    x_ptr, out_ptr, columns, x_row, x_column, out_row, out_column, BLOCK: tl.constexpr
):
    """Right, and not what was asked for."""
    row, column = tl.program_id(0), tl.arange(0, BLOCK)
    ok = column < columns
    x = tl.load(x_ptr + row * x_row + column * x_column, mask=ok, other=float("-inf"))
    out = tl.softmax(x.to(tl.float32), 0)
    tl.store(out_ptr + row * out_row + column * out_column, out, mask=ok)


# wrong ones ---------------------------------------------------------------------------------------


@triton.jit
def program_0_alone(
    x_ptr, out_ptr, columns, x_row, x_column, out_row, out_column, BLOCK: tl.constexpr
):
    column = tl.arange(0, BLOCK)
    ok = column < columns
    if tl.program_id(0) == 0:
        for row in range(tl.num_programs(0)):
            at = x_ptr + row * x_row + column * x_column
            x = tl.load(at, mask=ok, other=float("-inf")).to(tl.float32)
            e = tl.exp(x - tl.max(x, 0))
            tl.store(out_ptr + row * out_row + column * out_column, e / tl.sum(e, 0), mask=ok)


@triton.jit
def sloppy_kernel(
    x_ptr,
    out_ptr,
    columns,
    x_row,
    x_column,
    out_row,
    out_column,
    BLOCK: tl.constexpr,
    SLIP: tl.constexpr,
):
    row, column = tl.program_id(0), tl.arange(0, BLOCK)
    if SLIP == "row 0 for all":
        row = row * 0
    elif SLIP == "rows from the end":
        row = tl.num_programs(0) - 1 - row
    ok = column < columns
    x_at = row * x_row + column * x_column
    if SLIP == "contiguous memory":
        x_at = row * columns + column
    elif SLIP == "rows as long as BLOCK":
        x_at = row * BLOCK + column
    elif SLIP == "no column stride":
        x_at = row * x_row + column
    elif SLIP == "strides exchanged":
        x_at = row * x_column + column * x_row
    elif SLIP == "no row":
        x_at = column * x_column
    out_at = row * out_row + column * out_column
    if SLIP == "strides of x for out":
        out_at = row * x_row + column * x_column
    elif SLIP == "no column stride in out":
        out_at = row * out_row + column
    elif SLIP == "written to row 0":
        out_at = column * out_column

    if SLIP == "load unmasked":
        x = tl.load(x_ptr + x_at)
    elif SLIP == "no other":
        x = tl.load(x_ptr + x_at, mask=ok)
    elif SLIP == "0 in the tail":
        x = tl.load(x_ptr + x_at, mask=ok, other=0.0)
    elif SLIP == "finite tail":
        x = tl.load(x_ptr + x_at, mask=ok, other=-1e4)
    elif SLIP == "finite tail, far down":
        x = tl.load(x_ptr + x_at, mask=ok, other=-1e9)
    else:
        x = tl.load(x_ptr + x_at, mask=ok, other=float("-inf"))
    x = x.to(tl.float32)

    m = tl.max(x, 0)
    if SLIP == "0 in the maximum":
        m = tl.max(tl.where(ok, x, 0.0), 0)
    elif SLIP == "no maximum":
        m = m * 0
    elif SLIP == "minimum":
        m = tl.min(tl.where(ok, x, float("inf")), 0)
    elif SLIP == "mean":
        m = tl.sum(tl.where(ok, x, 0.0), 0) / columns
    e = tl.exp2(x - m) if SLIP == "base 2" else tl.exp(x - m)
    if SLIP == "-inf in the sum":
        e = tl.where(ok, e, float("-inf"))
    elif SLIP == "1 in the sum":
        e = tl.where(ok, e, 1.0)
    total = tl.sum(e, 0)
    out = e / total
    if SLIP == "not divided":
        out = e
    elif SLIP == "divided by columns":
        out = e / columns
    elif SLIP == "logarithm":
        out = x - m - tl.log(total)
    elif SLIP == "divided by the sum of x":
        out = tl.exp(x - m) / tl.sum(tl.where(ok, x - m, 0.0), 0)

    if SLIP == "store unmasked":
        tl.store(out_ptr + out_at, out)
    else:
        tl.store(out_ptr + out_at, out, mask=ok)


def _slip(name: str, says: str) -> Wrong:
    return Wrong(name, partial(sloppy_kernel, SLIP=name), says)


WRONG = (
    _slip(
        "load unmasked",
        "The load lets lanes from `columns` on through: BLOCK is a power of two, and the row has "
        "fewer numbers.",
    ),
    _slip(
        "store unmasked",
        "The load stays within the row and the store does not: it lets lanes from `columns` on "
        "through. A mask holds for one load or one store alone.",
    ),
    _slip(
        "no other",
        "Where a block has lanes beyond the end of its row, everything is NaN: what these lanes "
        "hold got into the maximum or into the sum. A load with a mask and no `other` leaves in "
        "them whatever was there. The interpreter makes that 0, a GPU promises nothing, and this "
        "check puts NaN.",
    ),
    _slip(
        "0 in the tail",
        "The lanes beyond the end hold 0, and 0 is an ordinary logit: it takes part in the "
        "maximum and its exponential in the sum. Which number can never win a maximum, and has "
        "the exponential 0?",
    ),
    _slip(
        "finite tail",
        "The lanes beyond the end hold a finite number, and -10,000, say, is an ordinary logit: "
        "rows that lie as low share their weight with lanes that do not exist.",
    ),
    _slip(
        "finite tail, far down",
        "The lanes beyond the end hold a finite number, and -1e9, say, is an ordinary logit: rows "
        "that lie lower give their whole weight to lanes that do not exist. Nothing lies below "
        "-inf.",
    ),
    _slip(
        "0 in the maximum",
        "The sum counts the right lanes and the maximum does not: lanes beyond the end take part "
        "in it as 0. Softmax does not care which number is subtracted, until a whole row lies so "
        "low that all its exponentials become 0, and 0 / 0 is NaN.",
    ),
    _slip(
        "-inf in the sum",
        "The lanes beyond the end hold -inf when the exponentials are summed, so the sum is -inf. "
        "A maximum wants -inf there, a sum wants 0: each reduction has its own neutral number.",
    ),
    _slip(
        "1 in the sum",
        "Each lane beyond the end adds 1 to the sum: exp(0) is 1. In a sum such a lane has to be "
        "0.",
    ),
    _slip(
        "no maximum",
        "Moderate rows come out right. But float32 has no exponential of more than 88 and takes "
        "that of less than -104 for 0: inf / inf and 0 / 0 are NaN. What is subtracted before the "
        "exponential, if anything is, is not the largest number of the row.",
    ),
    _slip(
        "minimum",
        "The smallest number of the row is subtracted, which makes the largest even larger. What "
        "may not overflow is the exponential of the largest.",
    ),
    _slip(
        "mean",
        "The mean of the row is subtracted. Where one number lies far above it, the exponential "
        "overflows all the same; the largest number must become 0.",
    ),
    _slip(
        "not divided",
        "These are the exponentials, right and not yet divided by their sum.",
    ),
    _slip(
        "divided by columns",
        "The exponentials are divided by how many they are, and not by their sum.",
    ),
    _slip(
        "divided by the sum of x",
        "The exponentials are divided by the sum of what stands in the exponent, and not by their "
        "own sum.",
    ),
    _slip("base 2", "Your base is 2 and not e: exp2(x) is exp(x) only if x is times log2(e)."),
    _slip("logarithm", "You store the logarithm of the softmax: its exponential was asked for."),
    _slip(
        "contiguous memory",
        "Your kernel reads what it would if row r began `columns` numbers after row r - 1 and the "
        "numbers of a row were neighbours. Here there are gaps between rows, and that is what "
        "x_row and x_column are for.",
    ),
    _slip(
        "rows as long as BLOCK",
        "Your kernel reads what it would if each row began BLOCK numbers after the one before. "
        "How far apart rows lie in memory, x_row says; BLOCK is only how many lanes a program has.",
    ),
    _slip(
        "no column stride",
        "Right where the numbers of a row are neighbours, wrong where x is transposed: from one "
        "column of x to the next it is x_column numbers.",
    ),
    _slip(
        "no column stride in out",
        "x is read rightly. Where out is transposed it is not filled rightly: from one column of "
        "out to the next it is out_column numbers.",
    ),
    _slip(
        "strides exchanged",
        "The two strides of x have changed places: x_row is the way from one row to the next, "
        "x_column the way from one column to the next.",
    ),
    _slip(
        "strides of x for out",
        "Your kernel stores where it would if out lay in memory just as x does. Each tensor has "
        "strides of its own.",
    ),
    _slip(
        "row 0 for all",
        "Only the first row of out is filled. All programs run the same lines; program r finds "
        "its own row by tl.program_id(0).",
    ),
    _slip("no row", "Every row of your out is the softmax of row 0 of x."),
    _slip(
        "written to row 0",
        "Each program stores into the first row of out. The row that it owns is chosen when it "
        "stores too.",
    ),
    Wrong(
        "program 0 does all",
        program_0_alone,
        "Every row is stored, and program 0 stores them all while the others stand idle. The grid "
        "is the loop over rows.",
    ),
    _slip(
        "rows from the end",
        "The rows are dealt out from the end: program 0 has the last one. Program r owns row r.",
    ),
    Wrong(
        "tl.softmax",
        right_library,
        "The numbers may be right, and the exercise is to write what stands inside of it: a "
        "maximum, exponentials, a sum.",
    ),
)

SOFTMAX_ROW = Exercise(
    id="9.2",
    title="Softmax of a row",
    minutes=12,
    kind="kernel",
    inputs=inputs_softmax,
    sizes=(
        dict(rows=1, columns=1, block=1),
        dict(rows=2, columns=3, block=4),
        dict(rows=3, columns=4, block=4),
        dict(rows=5, columns=5, block=8),
        dict(rows=3, columns=12, block=32),
    ),
    truth=truth_softmax,
    outputs=("out: row column",),
    ask=ask_softmax,
    variants=("float16", "strided"),
    tolerance=2e-5,
    same_dtype=False,
    wrong=WRONG,
    right=(
        Right("where instead of other", right_where),
        Right("base 2 and lse, in two axes", right_base_two),
    ),
    hints=(
        "A program owns one row, and a row fits into one block. Which numbers must the lanes "
        "beyond the end of the row hold, so that neither the maximum nor the sum notices them?",
        "-inf loses every maximum, and its exponential is 0: `other` of the load. Offsets are row "
        "times x_row plus column times x_column. Then tl.max(x, 0) and tl.sum(e, 0) turn the "
        "block into one number.",
        "row = program id; column = arange; ok = column below columns; load x at row * x_row + "
        "column * x_column with other = -inf, as float32; subtract the largest; exponentials; "
        "divide by their sum; store at row * out_row + column * out_column with mask ok.",
    ),
    why="Only a number that lies below every logit does no harm in the tail: -inf, or the paper's "
    "-1e38; -1e4 or 0 do in rows that lie low, and attention has such rows. For a row that is -inf "
    "as a whole there is no answer: -inf - (-inf) is NaN, and 9.5 has to take care of it.",
    another_way="lse = maximum + log of the sum, then exp(x - lse): one number a row says how to "
    "repeat the whole softmax. Attention kernels store it for the backward pass.",
)
