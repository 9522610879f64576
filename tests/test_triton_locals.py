"""Mirrors simplex_lib/triton_locals.py: what is noted, what is left alone, bad input."""

import inspect
import sys

import numpy as np
import pytest
import torch

from simplex_lib import triton_locals
from simplex_lib.triton_locals import noting
from simplex_lib.triton_mode import triton_mode

if triton_mode() != "interpreter":
    pytest.skip("kernels are not interpreted here", allow_module_level=True)

import triton
import triton.language as tl
from triton.runtime.interpreter import InterpreterError


@triton.jit
def doubled(x):
    return x + x


@triton.jit
def sums_kernel(x_ptr, out_ptr, n, first: tl.constexpr = 0, BLOCK: tl.constexpr = 4):
    """Each program: the running sums of blocks of its row, doubled."""
    row = tl.program_id(0)
    total = tl.zeros((BLOCK,), tl.float32)
    for start in tl.range(first, n, BLOCK):
        column = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * n + column, mask=column < n, other=0.0)
        largest = tl.max(x, 0)  # noqa: F841  # noted
        if start >= 0:
            total = total + doubled(x)
    total = total * 1.0
    tl.store(out_ptr + row * BLOCK + tl.arange(0, BLOCK), total)


SUM = "total = total + doubled(x)"


def launch(rows=2, n=10):
    x = torch.randn(rows, n, generator=torch.Generator().manual_seed(0))
    out = torch.full((rows, 4), float("nan"))
    sums_kernel[(rows,)](x, out, n)
    return x, out


def test_variables_are_noted_each_time_the_statement_has_run():
    names = ("start", "total", "largest", "row")
    with noting(sums_kernel, after=SUM, names=names) as notes:
        x, out = launch()
    assert [(note.program, note.values["start"]) for note in notes] == [
        ((row, 0, 0), start) for row in range(2) for start in (0, 4, 8)
    ]
    padded = torch.nn.functional.pad(x, (0, 2)).view(2, 3, 4).numpy()
    for note in notes:
        row, block = note.program[0], note.values["start"] // 4
        np.testing.assert_allclose(note.values["total"], 2 * padded[row, : block + 1].sum(0), 1e-6)
        assert note.values["row"] == row and isinstance(note.values["row"], int)
        assert note.values["largest"] == padded[row, block].max()
    assert notes[2].values["total"].tolist() == out[0].tolist()


def test_notes_are_copies_and_results_are_those_of_the_kernel():
    _, plain = launch()
    with noting(sums_kernel, after="x = tl.load(x_ptr + row * n + column, mask=column < n, "
                "other=0.0)", names=("x",)) as notes:  # fmt: skip
        x, out = launch()
    assert out.equal(plain)
    x.zero_()
    assert all(note.values["x"].any() for note in notes)


def test_a_statement_outside_the_loop_runs_once_a_program():
    with noting(sums_kernel, after="total = total * 1.0", names=("total",)) as notes:
        _, out = launch(rows=3)
    assert [note.values["total"].tolist() for note in notes] == out.tolist()


def test_the_kernel_is_given_back_also_after_an_error():
    usual = sums_kernel.rewrite()
    with noting(sums_kernel, after=SUM, names=("total",)) as notes:
        assert sums_kernel.rewrite() is not usual
    assert sums_kernel.rewrite() is usual
    with pytest.raises(KeyError), noting(sums_kernel, after=SUM, names=("total",)):
        raise KeyError
    assert sums_kernel.rewrite() is usual
    launch()
    assert notes == []


def test_a_name_that_does_not_exist_is_an_error_that_names_it():
    message = "names must be variables of sums_kernel that exist after .*; got 'nothing'"
    names = ("total", "nothing")
    with (
        pytest.raises(InterpreterError, match=message),
        noting(sums_kernel, after=SUM, names=names),
    ):
        launch()


def test_a_debugger_keeps_its_trace_function_and_sees_the_lines_of_the_file():
    lines = []

    def trace(frame, event, _):
        if frame.f_code.co_name == "sums_kernel" and event == "line":
            lines.append(frame.f_lineno)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with noting(sums_kernel, after=SUM, names=("total",)) as notes:
            launch(rows=1)
        kept = sys.gettrace()
    finally:
        sys.settrace(before)
    source, first = inspect.getsourcelines(sums_kernel.fn)
    told = [source[line - first].strip() for line in lines]
    assert kept is trace and len(notes) == 3
    assert told.count(SUM) == 3 and sum("largest" in line for line in told) == 3


@pytest.mark.errors
@pytest.mark.parametrize(
    ("after", "message"),
    [
        ("total = 3", "stands once in sums_kernel; got 'total = 3', which stands there 0 times"),
        ("x = y\ny = x", "which stands there 0 times"),
    ],
)
def test_errors_name_the_statement(after, message):
    with pytest.raises(ValueError, match=message), noting(sums_kernel, after=after, names=()):
        pass


@pytest.mark.errors
def test_only_interpreted_kernels(monkeypatch):
    wanted = "kernel must be a function with @triton.jit; got func"
    with pytest.raises(TypeError, match=wanted), noting(launch, after=SUM, names=()):
        pass
    monkeypatch.setattr(triton_locals, "prepare_triton", lambda: "gpu")
    monkeypatch.setattr(triton_locals, "imported_mode", lambda: "gpu")
    wanted = "noting must run in Triton's interpreter; here kernels are compiled"
    with pytest.raises(RuntimeError, match=wanted), noting(sums_kernel, after=SUM, names=()):
        pass
