"""The trace of a kernel: what each program touched, by name and element, whatever the strides."""

import pytest
import torch

from simplex_lib.checks.jit import tl, triton
from simplex_lib.kernels.tiles import Blocks
from simplex_lib.kernels.trilinear_forward import trilinear_forward
from simplex_lib.triton_mode import triton_mode
from simplex_lib.triton_trace import OutsideAccess, tracing

pytestmark = pytest.mark.skipif(triton_mode() == "gpu", reason="kernels are compiled here")


@triton.jit
def transpose_kernel(x_ptr, out_ptr, rows, x_row, x_column, COLUMNS: tl.constexpr):
    row, column = tl.program_id(0), tl.arange(0, COLUMNS)
    x = tl.load(x_ptr + row * x_row + column * x_column, mask=column < 3)
    tl.store(out_ptr + column * rows + row, x, mask=column < 3)


def test_elements_are_counted_in_the_order_of_the_tensor_not_of_memory():
    x, out = torch.randn(3, 2).T, torch.zeros(3, 2)
    with tracing(matrix=x) as trace:
        transpose_kernel[(2,)](x, out, 2, x.stride(0), x.stride(1), COLUMNS=4)
    assert torch.equal(out, x.T)
    load, store = (a for a in trace.accesses if a.program == (1, 0, 0))
    assert (load.kind, load.tensor, load.elements.tolist()) == ("load", "matrix", [3, 4, 5, -1])
    assert (store.kind, store.tensor, store.elements.tolist()) == ("store", "out", [1, 3, 5, -1])
    assert torch.equal(torch.from_numpy(store.values[:3]), x[1])
    assert (load.kernel, load.launch, store.line - load.line) == ("transpose_kernel", 0, 1)


def test_an_access_outside_is_stopped_and_the_interpreter_is_as_before():
    x, out = torch.randn(2, 3), torch.zeros(3, 2)
    with pytest.raises(OutsideAccess) as caught, tracing():
        transpose_kernel[(3,)](x, out, 2, 3, 1, COLUMNS=4)
    assert (caught.value.program, caught.value.tensor, caught.value.n_outside) == (
        (2, 0, 0),
        "x",
        3,
    )
    assert str(caught.value).startswith("program 2 reads outside x in line ")
    transpose_kernel[(2,)](x, out, 2, 3, 1, COLUMNS=4)
    assert torch.equal(out, x.T)


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ((3,), "program 2 "),
        ((3, 1), "program (2, 0) "),
        ((3, 1, 1), "program (2, 0, 0) "),
        (lambda _: (3,), "program 2 "),
    ],
)
def test_a_program_is_named_by_as_many_numbers_as_the_grid_has_axes(grid, words):
    with pytest.raises(OutsideAccess) as caught, tracing():
        transpose_kernel[grid](torch.randn(2, 3), torch.zeros(3, 2), 2, 3, 1, COLUMNS=4)
    assert str(caught.value).startswith(words) and caught.value.program == (2, 0, 0)


def test_it_sees_the_kernels_of_the_library_and_changes_no_bit():
    q, k1, k2, v1, v2 = torch.randn(5, 1, 2, 20, 16, generator=torch.Generator().manual_seed(0))
    options = dict(w1=5, w2=3, causal=True, scale=0.25, blocks=Blocks(16, 16, 32, 32))
    with tracing(q=q, first=k1) as trace:
        traced = trilinear_forward(q, k1, k2, v1, v2, **options)
    plain = trilinear_forward(q, k1, k2, v1, v2, **options)
    assert all(map(torch.equal, traced, plain))
    stored = [a for a in trace.accesses if a.kind == "store" and a.tensor == "out"]
    written = torch.cat([torch.from_numpy(a.elements[a.elements >= 0]) for a in stored])
    assert written.sort().values.tolist() == list(range(20 * 16 * 2))  # each once
    assert {a.tensor for a in trace.accesses} == {"q", "first", "k2", "v1", "v2", "out", "lse"}
    assert {a.program for a in stored} == {(n, g, 0) for n in range(2) for g in range(2)}
