"""What `run_kernel` sees: every way to touch the wrong memory, in words and before it happens."""

import math
import subprocess
import sys
import textwrap

import pytest
import torch

from simplex_lib.checks.exercise import Rejected
from simplex_lib.checks.jit import tl, triton
from simplex_lib.checks.kernel_runs import Again, Output, Stride, Strides, run_kernel

X = torch.arange(10, dtype=torch.float64)


def double(x, out):
    return dict(x=x, out=out, n=10, BLOCK=8)


@triton.jit
def right_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + at, 2 * tl.load(x_ptr + at, mask=at < n), mask=at < n)


@triton.jit
def unmasked_load(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + at, 2 * tl.load(x_ptr + at), mask=at < n)


@triton.jit
def unmasked_store(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + at, 2 * tl.load(x_ptr + at, mask=at < n))


@triton.jit
def short(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + at, 2 * tl.load(x_ptr + at, mask=at < n), mask=at < n - 1)


@triton.jit
def overlapping(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(out_ptr + at, tl.load(x_ptr + at) + tl.program_id(0))


@triton.jit
def handing_on(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    if tl.program_id(0) == 0:
        tl.store(out_ptr, 1.0)
    else:
        tl.store(out_ptr + 1, tl.load(out_ptr))


@triton.jit
def adding(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    tl.atomic_add(out_ptr + tl.arange(0, BLOCK), 1.0)


@triton.jit
def into_input(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    tl.store(x_ptr + tl.arange(0, BLOCK), 1.0)


@triton.jit
def too_soon(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(out_ptr + at, tl.load(out_ptr + at) + 1)


@triton.jit
def far_away(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(out_ptr + at, tl.load(x_ptr + at + 1_000_000_000))


@triton.jit
def five(x_ptr, out_ptr, n, m, BLOCK: tl.constexpr):
    tl.store(out_ptr, 1.0)


@triton.jit
def raising(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    tl.store(out_ptr, nothing)


def plain(x, out, n, block):
    return out


def test_a_right_kernel_gives_its_outputs():
    out = run_kernel(right_kernel, (2,), double(X, Output((10,))))["out"]
    assert out.is_contiguous() and torch.equal(out, 2 * X.float())
    half = run_kernel(right_kernel, (2,), double(X.half(), Output((10,), torch.float16)))["out"]
    assert half.dtype == torch.float16 and torch.equal(half, 2 * X.half())


@pytest.mark.parametrize(
    ("kernel", "cause", "says"),
    [
        (unmasked_load, "reads outside x", "Program 1 reads outside `x`: 6 of the 8 elements"),
        (unmasked_store, "writes outside out", "Program 1 writes outside `out`: 6 of the 8"),
        (short, "unwritten out", "1 of the 10 elements of `out` are never stored; the first is at"),
        (
            overlapping,
            "race in out",
            "Programs 0 and 1 both store element (0) of `out`",
        ),
        (handing_on, "race in out", "the first stores it, the second loads it"),
        (adding, "atomics", "every number has one program that owns it"),
        (into_input, "writes input x", "stores into `x`, which is an input"),
        (too_soon, "reads unwritten out", "loads from `out` what nobody has stored yet"),
        (far_away, "reads outside", "Program 0 reads outside"),
        (five, "arguments", "takes 5 arguments, and 4 are passed: x, out, n, BLOCK."),
        (plain, "not a kernel", "@triton.jit above it makes a kernel"),
    ],
)
def test_what_would_go_wrong_on_a_gpu_is_told(kernel, cause, says):
    with pytest.raises(Rejected) as caught:
        run_kernel(kernel, (2,), double(X, Output((10,))))
    assert caught.value.cause.startswith(cause) and says in str(caught.value)


@triton.jit
def sum_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(out_ptr, tl.sum(tl.load(x_ptr + at, mask=at < n)))


def test_what_a_mask_hides_is_not_zero_by_luck():
    arguments = dict(x=X, out=Output((1,)), n=10)
    assert run_kernel(sum_kernel, (1,), arguments | dict(BLOCK=16))["out"].isnan().all()
    arguments = dict(x=X[:8], out=Output((1,)), n=8)
    assert run_kernel(sum_kernel, (1,), arguments | dict(BLOCK=8))["out"].item() == 28


@triton.jit
def nothing_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(x_ptr + at, 1.0, mask=at < 0)
    tl.store(out_ptr + at, tl.load(x_ptr + at, mask=at < n), mask=at < n)


def test_an_access_that_asks_for_nothing_touches_nothing():
    out = run_kernel(nothing_kernel, (1,), double(X[:8], Output((8,))) | dict(n=8))["out"]
    assert torch.equal(out, X[:8].float())


def test_the_line_is_quoted():
    with pytest.raises(Rejected) as caught:
        run_kernel(unmasked_load, (2,), double(X, Output((10,))))
    assert "2 * tl.load(x_ptr + at), mask=at < n)" in caught.value.where


def test_what_the_kernel_raised_is_told_with_its_line():
    with pytest.raises(Rejected, match=r"raised NameError: name 'nothing' is not") as caught:
        run_kernel(raising, (1,), double(X, Output((10,))))
    assert caught.value.cause == "raised"
    assert caught.value.where == "It is this line: `tl.store(out_ptr, nothing)`"


@triton.jit
def rows_kernel(x_ptr, out_ptr, x_strides, x_column, total_ptr, columns, BLOCK: tl.constexpr):
    row, at = tl.program_id(0), tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * x_strides[0] + at * x_column, mask=at < columns, other=0.0)
    tl.store(out_ptr + row, tl.sum(x) + tl.load(total_ptr + row))
    tl.store(total_ptr + row, tl.sum(x))


def rows(x, total):
    strides = dict(x_strides=Strides("x"), x_column=Stride("x", 1))
    return dict(x=x, out=Output((3,)), **strides, total=total, columns=5, BLOCK=8)


def test_strides_are_those_of_the_copy_and_a_second_launch_adds_to_the_first():
    x = torch.randn(5, 3, dtype=torch.float64).T
    first = run_kernel(rows_kernel, (3,), rows(x, Output((3,), fill=0.0)))
    assert torch.allclose(first["out"], x.sum(1).float())
    second = run_kernel(rows_kernel, (3,), rows(x, Again(first["total"])))
    assert torch.allclose(second["out"], 2 * x.sum(1).float())


def test_the_inputs_of_the_caller_stay_and_nan_stands_round_each():
    x = X.float()
    with pytest.raises(Rejected):
        run_kernel(into_input, (1,), double(x, Output((10,))))
    assert torch.equal(x, X.float()) and math.isnan(Output((1,)).fill)


def test_without_triton_all_checks_load_and_a_kernel_is_refused_in_words():
    program = """
        import sys
        sys.modules["triton"] = None
        from simplex_lib.checks import check, exercises
        kernels = [e for e in exercises().values() if e.kind == "kernel"]
        assert kernels
        for exercise in kernels:
            report = check(exercise.id, exercise.right[0].answer)
            assert report.cause == "triton" and "cannot run kernels" in report.says, report
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
