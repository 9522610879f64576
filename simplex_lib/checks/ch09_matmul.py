"""Exercise 9.3: one tile of a matrix product a program, in steps along the inner axis."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch09_matmul_slips import WRONG
from simplex_lib.checks.exercise import Draw, Exercise, Rejected, Right
from simplex_lib.checks.jit import tl, triton
from simplex_lib.checks.kernel_runs import Again, Output, Stride, require_float32, run_kernel, tiles

SIZES = {1, 2, 3, 5, 7, 12, 16, 17, 20, 32, 33, 35, 40}


def inputs_matmul(
    draw: Draw, m: int, n: int, k: int, rows: int, columns: int, inner: int
) -> dict[str, Any]:
    """Sums that grow along the first half of k and vanish along the second: rounding shows."""
    if any(block < 16 or block & (block - 1) for block in (rows, columns, inner)):
        raise ValueError("rows, columns and inner must be powers of two, at least 16.")
    if not {m, n, k} <= SIZES:
        raise ValueError(f"m, n and k are asked as {sorted(SIZES)} alone; a launch takes its time.")
    a = 2 + 0.2 * draw.normal(m, k)
    b = 4 + 0.2 * draw.normal(k, n)
    b[k // 2 :] *= -1
    sizes = dict(rows=rows, columns=columns, inner=inner)
    return dict(a=a.float().double(), b=b.float().double(), **sizes)


def truth_matmul(a: Tensor, b: Tensor, rows: int, columns: int, inner: int) -> Tensor:
    c = torch.zeros(a.shape[0], b.shape[1], dtype=torch.float64)
    for row in range(a.shape[0]):
        for column in range(b.shape[1]):
            c[row, column] = (a[row] * b[:, column]).sum()
    return c


def ask_matmul(answer: Any, arguments: Mapping[str, Any]) -> Tensor:
    """Where A and B are transposed in memory, C is too in a second launch."""
    a, b = arguments["a"], arguments["b"]
    shape = (a.shape[0], b.shape[1])
    found = _launch(answer, arguments, Output(shape))
    if not a.is_contiguous():
        inputs = dict(arguments, a=a.contiguous(), b=b.contiguous())
        again = _launch(answer, inputs, Again(torch.full(shape[::-1], math.nan).T))
        if ((found.nan_to_num(7) - again.nan_to_num(7)).abs() > 1e-3).any():
            raise Rejected(
                "layout of c",
                "Where C is transposed in memory (c_row is 1, c_column is not) your C is another "
                "one than where its rows lie in one piece.",
            )
    if a.dtype == torch.float16:
        exact = _launch(answer, dict(arguments, a=a.float(), b=b.float()), Output(shape))
        require_float32("c", found, exact)
    return found


def _launch(answer: Any, arguments: Mapping[str, Any], c: Output | Again) -> Tensor:
    a, b, rows, columns, inner = arguments.values()
    (m, k), n = a.shape, b.shape[1]
    both = (("row", 0), ("column", 1))
    strides = {f"{name}_{axis}": Stride(name, i) for name in "abc" for axis, i in both}
    sizes = dict(ROWS=rows, COLUMNS=columns, INNER=inner)
    passed = dict(a=a, b=b, c=c, m=m, n=n, k=k, **strides, **sizes)
    grid = (math.ceil(m / rows), math.ceil(n / columns))
    owners = dict(c=tiles((m, n), (0, rows), (1, columns)))
    return run_kernel(answer, grid, passed, once=True, owners=owners, ieee=True)["c"]


# other right kernels ------------------------------------------------------------------------------


@triton.jit
def right_moving_pointers(
    a_ptr,
    b_ptr,
    c_ptr,
    m,
    n,
    k,
    a_row,
    a_column,
    b_row,
    b_column,
    c_row,
    c_column,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    INNER: tl.constexpr,
):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inner = tl.arange(0, INNER)
    a_at = a_ptr + row[:, None] * a_row + inner[None, :] * a_column
    b_at = b_ptr + inner[:, None] * b_row + column[None, :] * b_column
    acc = tl.zeros((ROWS, COLUMNS), tl.float32)
    for step in range(tl.cdiv(k, INNER)):
        left = k - step * INNER
        a = tl.load(a_at, mask=(row < m)[:, None] & (inner < left)[None, :], other=0.0)
        b = tl.load(b_at, mask=(inner < left)[:, None] & (column < n)[None, :], other=0.0)
        acc = tl.dot(a, b, acc, input_precision="ieee")
        a_at += INNER * a_column
        b_at += INNER * b_row
    c_at = c_ptr + row[:, None] * c_row + column[None, :] * c_column
    tl.store(c_at, acc, mask=(row < m)[:, None] & (column < n)[None, :])


@triton.jit
def right_by_sums(
    a_ptr,
    b_ptr,
    c_ptr,
    m,
    n,
    k,
    a_row,
    a_column,
    b_row,
    b_column,
    c_row,
    c_column,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    INNER: tl.constexpr,
):
    """Without tl.dot, from the last block of k to the first; rows too many repeat the last."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    acc = tl.zeros((ROWS, COLUMNS), tl.float32)
    for step in range(tl.cdiv(k, INNER)):
        inner = (tl.cdiv(k, INNER) - 1 - step) * INNER + tl.arange(0, INNER)
        along, down = inner[None, :], inner[:, None]
        a = tl.load(a_ptr + tl.minimum(row, m - 1) * a_row + along * a_column, along < k, 0.0)
        b = tl.load(b_ptr + down * b_row + tl.minimum(column, n - 1) * b_column, down < k, 0.0)
        acc += tl.sum(a.to(tl.float32)[:, :, None] * b.to(tl.float32)[None, :, :], 1)
    tl.store(c_ptr + row * c_row + column * c_column, acc, mask=(row < m) & (column < n))


MATMUL = Exercise(
    id="9.3",
    title="One tile of a matrix product",
    minutes=20,
    kind="kernel",
    inputs=inputs_matmul,
    sizes=(
        dict(m=1, n=1, k=1, rows=16, columns=16, inner=16),
        dict(m=3, n=5, k=2, rows=16, columns=16, inner=16),
        dict(m=7, n=12, k=40, rows=16, columns=16, inner=32),
        dict(m=16, n=40, k=32, rows=16, columns=32, inner=32),
        dict(m=35, n=20, k=33, rows=32, columns=16, inner=16),
        dict(m=20, n=12, k=40, rows=32, columns=16, inner=32),
    ),
    truth=truth_matmul,
    outputs=("c: row column",),
    ask=ask_matmul,
    variants=("float16", "strided"),
    tolerance=1e-4,
    same_dtype=False,
    smallest=dict(rows=16, columns=16, inner=16),
    wrong=WRONG,
    right=(
        Right("pointers that move", right_moving_pointers),
        Right("sums in place of dots", right_by_sums),
    ),
    hints=(
        "Cut C into tiles and give one to each program. For its tile it needs ROWS whole rows of A "
        "and COLUMNS whole columns of B, too long for one block: so it takes INNER of them at a "
        "time and adds up.",
        "A block of two axes comes from two of one: arange[:, None] is a column, arange[None, :] a "
        "row, and their sum has both axes. A's tile is rows by inner, B's is inner by columns. "
        "Each load has two ends: m and k, or k and n; lanes beyond an end must add 0.",
        "row, column = offsets of this tile, by the two program ids; acc = zeros, float32; for "
        "start from 0 below k in steps of INNER: inner = start + arange; load A at (row, inner) "
        "and B at (inner, column), other = 0; acc += dot; after the loop store acc at (row, "
        "column), masked by m and n.",
    ),
    why="Each number loaded is used for a whole row or column of the tile: the larger the tile, "
    "the less is read for the same products. Attention is two such products with a softmax in "
    "between.",
    another_way="let the blocks of pointers themselves move on, by INNER * a_column and INNER * "
    "b_row, and compare arange with what is left of k. It saves the multiplications inside the "
    "loop.",
)
