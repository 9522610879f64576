"""The checks of 9.1 to 9.3: more is caught than what is listed, and no sentence is false.

`python tests/checks/test_chapter09.py` prints what a learner reads for every wrong answer.
"""

import math
import sys
from functools import partial

import pytest
import torch

from simplex_lib.checks import check, exercises
from simplex_lib.checks.audit_checks import confusion
from simplex_lib.checks.ch09_matmul import truth_matmul
from simplex_lib.checks.ch09_softmax import truth_softmax
from simplex_lib.checks.ch09_vector import truth_vector
from simplex_lib.checks.engine import examine
from simplex_lib.checks.jit import tl, triton
from simplex_lib.course import symptoms

IDS = ("9.1", "9.2", "9.3")


@pytest.mark.parametrize("exercise", IDS)
def test_an_exercise_helps_without_telling(exercise):
    found = exercises()[exercise]
    assert all(found.hints) and len(set(found.hints)) == 3
    assert found.why and found.another_way and found.chapter == "09" and found.kind == "kernel"
    assert len(found.wrong) >= 6 and len(found.right) >= 2


@pytest.mark.parametrize("exercise", IDS)
def test_every_wrong_answer_is_named_by_a_sentence_of_its_own(exercise):
    reports = confusion(exercises()[exercise])
    assert {name: report.cause for name, report in reports.items()} == {n: n for n in reports}
    sentences = [wrong.says for wrong in exercises()[exercise].wrong]
    assert len(set(sentences)) == len(sentences)
    assert not any(report.passed or "raised" in report.says for report in reports.values())


@pytest.mark.parametrize("exercise", IDS)
def test_other_right_kernels_pass(exercise):
    for right in exercises()[exercise].right:
        report = examine(exercises()[exercise], right.answer, trust_chapters=True)
        assert report.passed, (right.name, report.message)
        assert check(exercise, right.answer).cause == "library"


# what the truths stand for -----------------------------------------------------------------------


def test_the_examples_of_the_page_come_out():
    x = torch.arange(5.0, dtype=torch.float64)
    assert truth_vector(x, torch.full_like(x, 10), 2.0, 4).tolist() == [10, 12, 14, 16, 18]
    low = torch.tensor([[0.0, 1, 2], [-10_000, -10_000, -torch.inf]])
    rows = truth_softmax(low, 4)
    torch.testing.assert_close(rows, torch.softmax(low.double(), 1))
    assert [round(p, 3) for p in rows[0].tolist()] == [0.09, 0.245, 0.665]
    a, b = torch.tensor([[1.0, 2], [3, 4], [5, 6]]), torch.tensor([[1.0, 0, 2], [0, 1, 3]])
    assert truth_matmul(a, b, 2, 2, 2).tolist() == [[1, 2, 8], [3, 4, 18], [5, 6, 28]]


def test_rows_of_the_softmax_hold_what_tails_are_taken_for():
    rows = torch.cat([case.arguments["x"].amax(1) for case in exercises()["9.2"].cases()])
    assert (rows < -1e29).any() and (rows > 9_000).any()
    assert ((rows < -9_000) & (rows > -11_000)).any() and not torch.isinf(rows).any()


# answers of the page ------------------------------------------------------------------------------


@triton.jit
def scale_add_kernel(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    ok = at < n
    x = tl.load(x_ptr + at, mask=ok)
    y = tl.load(y_ptr + at, mask=ok)
    tl.store(out_ptr + at, a * x + y, mask=ok)


@triton.jit
def softmax_kernel(
    x_ptr, out_ptr, columns, x_row, x_column, out_row, out_column, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    ok = column < columns
    x = tl.load(x_ptr + row * x_row + column * x_column, mask=ok, other=float("-inf"))
    x = x.to(tl.float32)
    e = tl.exp(x - tl.max(x, 0))
    tl.store(out_ptr + row * out_row + column * out_column, e / tl.sum(e, 0), mask=ok)


@triton.jit
def matmul_kernel(
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
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    acc = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, k, INNER):
        a_inner = start + tl.arange(0, INNER)[None, :]
        b_inner = start + tl.arange(0, INNER)[:, None]
        a_ok, b_ok = (row < m) & (a_inner < k), (b_inner < k) & (column < n)
        a = tl.load(a_ptr + row * a_row + a_inner * a_column, mask=a_ok, other=0.0)
        b = tl.load(b_ptr + b_inner * b_row + column * b_column, mask=b_ok, other=0.0)
        acc += tl.dot(a, b, input_precision="ieee")
    tl.store(c_ptr + row * c_row + column * c_column, acc, mask=(row < m) & (column < n))


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [("9.1", scale_add_kernel), ("9.2", softmax_kernel), ("9.3", matmul_kernel)],
)
def test_the_solutions_pass_within_three_seconds(exercise, answer):
    report = check(exercise, answer)
    assert report.passed, report.message
    assert report.seconds < 3


# answers that are on no list ----------------------------------------------------------------------


@triton.jit
def odd_vector(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr, SLIP: tl.constexpr):
    p, lane = tl.program_id(0), tl.arange(0, BLOCK)
    if SLIP == "axis 1":
        p = tl.program_id(1)
    at = p * BLOCK + lane
    if SLIP == "one later":
        at = p * BLOCK + 1 + lane
    elif SLIP == "number of programs":
        at = p * tl.num_programs(0) + lane
    elif SLIP == "times n":
        at = p * n + lane
    ok = at < n
    if SLIP == "mask of BLOCK":
        ok = lane < BLOCK
    elif SLIP == "mask of -1":
        ok = (at < n) & (at > 0)
    x, y = tl.load(x_ptr + at, mask=ok, other=0.0), tl.load(y_ptr + at, mask=ok, other=0.0)
    out = a * x + y
    if SLIP == "minus":
        out = a * x - y
    elif SLIP == "whole numbers":
        out = out.to(tl.int32)
    elif SLIP == "float16":
        out = out.to(tl.float16)
    elif SLIP == "squared":
        out = a * x * x + y
    elif SLIP == "sum of the block":
        out = a * x + tl.sum(y, 0)
    elif SLIP == "reversed":
        x = tl.load(x_ptr + n - 1 - at, mask=ok)
        out = a * x + tl.load(y_ptr + n - 1 - at, mask=ok)
    if SLIP == "atomics":
        tl.atomic_add(out_ptr + at, out, mask=ok)
    elif SLIP == "adds to out":
        tl.store(out_ptr + at, tl.load(out_ptr + at, mask=ok) + out, mask=ok)
    elif SLIP == "next block too":
        tl.store(out_ptr + at, out, mask=ok)
        at += BLOCK
        x, y = tl.load(x_ptr + at, mask=at < n), tl.load(y_ptr + at, mask=at < n)
        tl.store(out_ptr + at, a * x + y, mask=at < n)
    elif SLIP != "no store":
        tl.store(out_ptr + at, out, mask=ok)


@triton.jit
def odd_softmax(
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
    if SLIP == "axis 1":
        row = tl.program_id(1)
    elif SLIP == "next row":
        row += 1
    ok = column < columns
    if SLIP == "one too many":
        ok = column <= columns
    elif SLIP == "one too few":
        ok = column < columns - 1
    at = x_ptr + row * x_row + column * x_column
    if SLIP == "other inf":
        x = tl.load(at, mask=ok, other=float("inf"))
    elif SLIP == "other -100":
        x = tl.load(at, mask=ok, other=-100.0)
    elif SLIP == "other -1e20":
        x = tl.load(at, mask=ok, other=-1e20)
    elif SLIP == "other 1":
        x = tl.load(at, mask=ok, other=1.0)
    else:
        x = tl.load(at, mask=ok, other=float("-inf"))
    x = x.to(tl.float32)
    if SLIP == "twice":
        x = 2 * x
    elif SLIP == "sigmoid":
        x = tl.sigmoid(x)
    m = tl.max(x, 0)
    if SLIP == "largest size":
        m = tl.max(tl.where(ok, tl.abs(x), 0.0), 0)
    elif SLIP == "clamped":
        x, m = tl.minimum(x, 80.0), 0.0
    e = tl.exp(x - m)
    total = tl.sum(e, 0)
    if SLIP == "plus a hundredth":
        total += 0.01
    elif SLIP == "plus one":
        total += 1
    elif SLIP == "causal":
        total = tl.cumsum(e, 0)
    elif SLIP == "divided by BLOCK":
        total = BLOCK
    elif SLIP == "root":
        total = tl.sqrt(tl.sum(e * e, 0))
    out = e / total
    if SLIP == "zeros left out":
        ok = ok & (out > 0)
    elif SLIP == "one hot":
        out = tl.where(x == m, 1.0, 0.0)
    elif SLIP == "all rows":
        for n in range(tl.num_programs(0)):
            x = tl.load(x_ptr + n * x_row + column * x_column, mask=ok, other=float("-inf"))
            e = tl.exp(x.to(tl.float32) - tl.max(x.to(tl.float32), 0))
            other = out_ptr + n * out_row + column * out_column
            tl.store(other, e / tl.sum(e, 0), mask=ok)
    tl.store(out_ptr + row * out_row + column * out_column, out, mask=ok)


@triton.jit
def odd_matmul(
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
    SLIP: tl.constexpr,
):
    p, r = tl.program_id(0), tl.program_id(1)
    if SLIP == "rows only":
        r = p
    row = p * ROWS + tl.arange(0, ROWS)[:, None]
    column = r * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    acc = tl.zeros((ROWS, COLUMNS), tl.float32)
    if SLIP == "from one":
        acc += 1
    first, last, step = 0, k, INNER
    if SLIP == "steps of 1":
        step = 1
    elif SLIP == "without the first block":
        first = INNER
    elif SLIP == "one block too few":
        last = k - INNER
    elif SLIP == "k minus 1":
        last = k - 1
    elif SLIP == "steps of half a block":
        step = INNER // 2
    for start in range(first, last, step):
        inner = start + tl.arange(0, INNER)
        a_inner, b_inner = inner[None, :], inner[:, None]
        a_ok, b_ok = (row < m) & (a_inner < k), (b_inner < k) & (column < n)
        if SLIP == "k - 1 in the mask":
            a_ok, b_ok = (row < m) & (a_inner < k - 1), (b_inner < k - 1) & (column < n)
        elif SLIP == "k + 1 in the mask":
            a_ok = (row < m) & (a_inner <= k)
        elif SLIP == "one row fewer":
            a_ok = (row < m - 1) & (a_inner < k)
        a = tl.load(a_ptr + row * a_row + a_inner * a_column, mask=a_ok, other=0.0)
        b = tl.load(b_ptr + b_inner * b_row + column * b_column, mask=b_ok, other=0.0)
        if SLIP == "sizes":
            a = tl.abs(a)
            b = tl.abs(b)
        elif SLIP == "the other order":
            acc += tl.dot(tl.trans(b), tl.trans(a), input_precision="ieee")
        elif SLIP == "elementwise":
            acc += a * b
        elif SLIP == "B transposed in the block":
            acc += tl.dot(a, tl.trans(b), input_precision="ieee")
        acc += tl.dot(a, b, input_precision="ieee")
        if SLIP == "maximum":
            acc = tl.maximum(acc, 0.0)
        elif SLIP == "mean of blocks":
            acc *= 0.5
        elif SLIP == "float16 in between":
            acc = acc.to(tl.float16).to(tl.float32)
    if SLIP == "twice":
        acc *= 2
    elif SLIP == "sign":
        acc = -acc
    elif SLIP == "divided by k":
        acc = acc / k
    ok = (row < m) & (column < n)
    c_at = c_ptr + row * c_row + column * c_column
    if SLIP == "atomics":
        tl.atomic_add(c_at, acc, mask=ok)
    elif SLIP == "adds to C":
        tl.store(c_at, tl.load(c_at, mask=ok) + acc, mask=ok)
    else:
        tl.store(c_at, acc, mask=ok)


@triton.jit
def size_not_constant(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.arange(0, n)
    tl.store(out_ptr + at, a * tl.load(x_ptr + at) + tl.load(y_ptr + at))


@triton.jit
def size_of_three(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK - 1)
    x, y = tl.load(x_ptr + at, mask=at < n), tl.load(y_ptr + at, mask=at < n)
    tl.store(out_ptr + at, a * x + y, mask=at < n)


@triton.jit
def one_pointer(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x, y = tl.load(x_ptr + at, mask=at < n), tl.load(y_ptr + at, mask=at < n)
    tl.store(out_ptr, a * x + y, mask=at < n)


@triton.jit
def one_pointer_loaded(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + at, a * tl.load(x_ptr, mask=at < n), mask=at < n)


@triton.jit
def indexed(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    out_ptr[at] = a * x_ptr[at] + y_ptr[at]


@triton.jit
def without_load(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + at, a * (x_ptr + at) + (y_ptr + at), mask=at < n)


@triton.jit
def if_in_place_of_mask(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    if at < n:
        tl.store(out_ptr + at, a * tl.load(x_ptr + at) + tl.load(y_ptr + at))


@triton.jit
def shape_without_tuple(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    acc = tl.zeros(BLOCK, tl.float32)
    tl.store(out_ptr + at, acc + a, mask=at < n)


@triton.jit
def of_torch(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = torch.mul(tl.load(x_ptr + at, mask=at < n), a)
    tl.store(out_ptr + at, x, mask=at < n)


@triton.jit
def of_itself(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    tl.store(out_ptr + at, a, mask=at < n)  # pyright: ignore


@triton.jit
def talking(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    print("7 lanes")
    out = a * tl.load(x_ptr + at, mask=at < n) + tl.load(y_ptr + at, mask=at < n)
    tl.store(out_ptr + at, out, mask=at < n)


@triton.jit
def rows_beyond(x_ptr, out_ptr, columns, x_row, x_column, out_row, out_column, BLOCK: tl.constexpr):
    row, column = tl.program_id(0), tl.minimum(tl.arange(0, BLOCK), columns - 1)
    x = tl.load(x_ptr + row * x_row + column * x_column).to(tl.float32)
    e = tl.exp(x - tl.max(x, 0))
    total = tl.sum(tl.where(tl.arange(0, BLOCK) < columns, e, 0.0), 0)
    tl.store(out_ptr + row * out_row + column * out_column, e / total)


@triton.jit
def stub(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    raise NotImplementedError


@triton.jit
def other_arguments(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    pass


def plain(x, y, out, n, a, BLOCK):
    return a * x + y


@triton.jit
def half_exponential(
    x_ptr, out_ptr, columns, x_row, x_column, out_row, out_column, BLOCK: tl.constexpr
):
    row, column = tl.program_id(0), tl.arange(0, BLOCK)
    ok = column < columns
    x = tl.load(x_ptr + row * x_row + column * x_column, mask=ok, other=float("-inf"))
    e = tl.exp(x)
    tl.store(out_ptr + row * out_row + column * out_column, e / tl.sum(e, 0), mask=ok)


@triton.jit
def near_softmax(
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
    """Wrong by little."""
    row, column = tl.program_id(0), tl.arange(0, BLOCK)
    ok = column < columns
    x = tl.load(x_ptr + row * x_row + column * x_column, mask=ok, other=float("-inf"))
    if SLIP == "neighbour":
        at = x_ptr + tl.maximum(row - 1, 0) * x_row + column * x_column
        x += 0 * tl.load(at, mask=ok & (column < 0), other=0.0)
        x = tl.where(ok, x + 0 * tl.minimum(tl.load(at, mask=ok, other=0.0), 0).to(tl.int32), x)
    x = x.to(tl.float32)
    m = tl.max(x, 0)
    e = tl.exp(x - m)
    if SLIP == "short log2 e":
        e = tl.exp2((x - m) * 1.44)
    elif SLIP == "minus 80":
        e = tl.exp(x - 80.0)
    p = e / tl.sum(e, 0)
    if SLIP == "a thousandth more":
        p *= 1.001
    elif SLIP == "weight for all":
        p += 1e-4
    elif SLIP == "small weight for all":
        p += 1e-6
    elif SLIP == "float16":
        p = p.to(tl.float16)
    elif SLIP == "dtype of x":
        p = p.to(x_ptr.dtype.element_ty)
    tl.store(out_ptr + row * out_row + column * out_column, p, mask=ok)


@triton.jit
def of_math(x_ptr, out_ptr, columns, x_row, x_column, out_row, out_column, BLOCK: tl.constexpr):
    row, column = tl.program_id(0), tl.arange(0, BLOCK)
    ok = column < columns
    x = tl.load(x_ptr + row * x_row + column * x_column, mask=ok, other=float("-inf"))
    e = math.exp(x - tl.max(x, 0))
    tl.store(out_ptr + row * out_row + column * out_column, e / tl.sum(e, 0), mask=ok)


@triton.jit
def near_matmul(
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
    SLIP: tl.constexpr,
):
    """Right numbers, which a GPU would not give."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    acc = tl.zeros((ROWS, COLUMNS), tl.float32)
    if SLIP == "acc in float16":
        acc = tl.zeros((ROWS, COLUMNS), tl.float16)
    elif SLIP == "acc in the dtype of A":
        acc = tl.zeros((ROWS, COLUMNS), a_ptr.dtype.element_ty)
    elif SLIP == "acc from a number":
        acc = 0.0
    for start in range(0, k, INNER):
        inner = start + tl.arange(0, INNER)
        along, down = inner[None, :], inner[:, None]
        a_ok, b_ok = (row < m) & (along < k), (down < k) & (column < n)
        if SLIP == "and":
            a_ok = (row < m) and (along < k)
        a = tl.load(a_ptr + row * a_row + along * a_column, mask=a_ok, other=0.0)
        b = tl.load(b_ptr + down * b_row + column * b_column, mask=b_ok, other=0.0)
        if SLIP == "no precision":
            acc += tl.dot(a, b)
        elif SLIP == "tf32":
            acc += tl.dot(a, b, input_precision="tf32")
        else:
            acc += tl.dot(a, b, input_precision="ieee")
    tl.store(c_ptr + row * c_row + column * c_column, acc, mask=(row < m) & (column < n))


@triton.jit
def matmul_arange(
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
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    acc = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, k, INNER):
        inner = tl.arange(start, start + INNER)
        along, down = inner[None, :], inner[:, None]
        a_ok, b_ok = (row < m) & (along < k), (down < k) & (column < n)
        a = tl.load(a_ptr + row * a_row + along * a_column, mask=a_ok, other=0.0)
        b = tl.load(b_ptr + down * b_row + column * b_column, mask=b_ok, other=0.0)
        acc += tl.dot(a, b, input_precision="ieee")
    tl.store(c_ptr + row * c_row + column * c_column, acc, mask=(row < m) & (column < n))


@triton.jit
def with_to(x_ptr, y_ptr, out_ptr, n, a, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x, y = tl.load(x_ptr + at, mask=at < n), tl.load(y_ptr + at, mask=at < n)
    tl.store(out_ptr + at, a.to(tl.float32) * x + y, mask=at < n)


@triton.jit
def wrong_axis(x_ptr, out_ptr, columns, x_row, x_column, out_row, out_column, BLOCK: tl.constexpr):
    row, column = tl.program_id(0), tl.arange(0, BLOCK)
    ok = column < columns
    x = tl.load(x_ptr + row * x_row + column * x_column, mask=ok, other=float("-inf"))
    e = tl.exp(x - tl.max(x, axis=1))
    tl.store(out_ptr + row * out_row + column * out_column, e / tl.sum(e, 0), mask=ok)


GENERAL = {"other", "part", "axis", "factor", "precision", "sums", "nan", "offset", "flipped"}
VECTORS = {
    "axis 1": {"first block only"},
    "one later": {"unwritten out"},
    "number of programs": {"stored twice", "unwritten out"},
    "times n": {"first block only"},
    "mask of BLOCK": {"load unmasked"},
    "mask of -1": {"unwritten out"},
    "atomics": {"atomics"},
    "adds to out": {"reads unwritten out"},
    "next block too": {"stored twice"},
    "no store": {"unwritten out"},
    "float16": {"precision"},
    **dict.fromkeys(("minus", "whole numbers", "squared", "sum of the block", "reversed"), GENERAL),
}
ROWS = {
    "axis 1": {"row 0 for all"},
    "next row": {"reads outside x"},
    "one too many": {"reads outside x"},
    "one too few": {"unwritten out"},
    "other inf": {"no other"},
    "other -1e20": {"finite tail, far down"},
    "zeros left out": {"unwritten out"},
    "all rows": {"stored twice"},
    **dict.fromkeys(("other -100", "other 1", "twice", "sigmoid", "largest size"), GENERAL),
    **dict.fromkeys(("clamped", "plus a hundredth", "plus one", "causal", "root"), GENERAL),
    **dict.fromkeys(("divided by BLOCK", "one hot"), GENERAL),
}
TILES = {
    "rows only": {"unwritten c"},
    "k + 1 in the mask": {"reads outside a"},
    "the other order": {"shapes"},
    "elementwise": {"shapes"},
    "float16 in between": {"sum in float16"},
    "atomics": {"atomics"},
    "adds to C": {"reads unwritten c"},
    "steps of 1": {"steps of one"},
    "without the first block": {"first block of k missing"},
    "one block too few": {"one block of k too few"},
    "k minus 1": {"last number of k missing"},
    **dict.fromkeys(("from one", "steps of half a block", "k - 1 in the mask"), GENERAL),
    "B transposed in the block": {"shapes of tl.dot"},
    **dict.fromkeys(("one row fewer", "sizes"), GENERAL),
    **dict.fromkeys(("maximum", "mean of blocks", "twice", "sign", "divided by k"), GENERAL),
}
WRITTEN = (
    ("9.1", size_not_constant, {"arange"}),
    ("9.1", size_of_three, {"arange"}),
    ("9.1", one_pointer, {"one pointer"}),
    ("9.1", one_pointer_loaded, {"one pointer"}),
    ("9.1", indexed, {"square brackets"}),
    ("9.1", without_load, {"address in place of number"}),
    ("9.1", if_in_place_of_mask, {"truth of a block"}),
    ("9.1", shape_without_tuple, {"shape without tuple"}),
    ("9.1", of_torch, {"function of torch"}),
    ("9.1", of_itself, {"raised"}),
    ("9.1", stub, {"stub"}),
    ("9.1", other_arguments, {"arguments"}),
    ("9.1", plain, {"not a kernel"}),
    ("9.1", 3, {"type"}),
    ("9.2", half_exponential, {"no maximum"}),
    ("9.2", wrong_axis, {"no such axis"}),
    ("9.2", scale_add_kernel, {"arguments"}),
)
NEAR_ROWS = {
    "short log2 e": GENERAL,
    "minus 80": {"no maximum"},
    "a thousandth more": GENERAL,
    "weight for all": {"weight of -inf"},
    "small weight for all": {"weight of -inf"},
    "float16": GENERAL,
    "dtype of x": {"rounded to float16"},
    "neighbour": {"loads another's x"},
}
NEAR_TILES = {
    "acc in float16": {"changes in a loop"},
    "acc in the dtype of A": {"changes in a loop"},
    "acc from a number": {"changes in a loop"},
    "and": {"truth of a block"},
    "no precision": {"not ieee"},
    "tf32": {"not ieee"},
}
UNLISTED = (
    *(("9.2", partial(near_softmax, SLIP=slip), causes) for slip, causes in NEAR_ROWS.items()),
    *(("9.3", partial(near_matmul, SLIP=slip), causes) for slip, causes in NEAR_TILES.items()),
    ("9.2", of_math, {"function of math"}),
    ("9.3", matmul_arange, {"arange"}),
    *(("9.1", partial(odd_vector, SLIP=slip), causes) for slip, causes in VECTORS.items()),
    *(("9.2", partial(odd_softmax, SLIP=slip), causes) for slip, causes in ROWS.items()),
    *(("9.3", partial(odd_matmul, SLIP=slip), causes) for slip, causes in TILES.items()),
    *WRITTEN,
)


@pytest.mark.parametrize(("exercise", "answer", "causes"), UNLISTED)
def test_unlisted_wrong_answers_are_rejected_and_not_misnamed(exercise, answer, causes):
    report = check(exercise, answer)
    assert not report.passed and report.cause in causes, report.message


# what a check of one exercise alone must do -------------------------------------------------------


def test_triton_errors_name_the_line_of_the_kernel():
    assert "`x, y = tl.load" not in check("9.1", indexed).message
    assert "out_ptr[at] = a * x_ptr[at] + y_ptr[at]" in check("9.1", indexed).message
    assert "e = tl.exp(x - tl.max(x, axis=1))" in check("9.2", wrong_axis).message


def test_the_guard_is_back_after_a_kernel():
    before = sys.getprofile()
    check("9.1", stub)
    check("9.1", scale_add_kernel)
    assert sys.getprofile() is before


def test_what_a_kernel_prints_is_told():
    report = check("9.1", talking)
    assert report.passed and "7 lanes" in report.printed


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        ("0 active drivers", "0 active drivers"),
        ("arange power of 2", "arange's range must be a power of 2"),
        ("NaN in the tail", "the tail"),
        ("numbers change from run to run", "from run to run"),
        ("kernel strides transpose", "a slice or a transpose"),
        ("program_id", "Only the first block"),
    ],
)
def test_symptoms_of_kernels_are_found(seen, found):
    assert found in symptoms(seen).found[0].seen


def test_a_float_argument_may_be_converted():
    assert check("9.1", with_to).passed


def test_the_last_numbers_may_be_computed_again_and_again():
    assert check("9.2", rows_beyond).passed


if __name__ == "__main__":
    for name in IDS:
        for wrong, report in confusion(exercises()[name]).items():
            print(name, wrong, report.cause, report.says, sep=" | ")
    for name, answer, causes in UNLISTED:
        report = check(name, answer)
        flag = "" if not report.passed and report.cause in causes else " <<<<"
        print(name, answer, report.cause, report.says, report.details, flag)
