"""Small kernels for `step_programs`, and the launches whose traces ship with it.

    python -m simplex_lib.widgets.programs_kernels

runs all of them in Triton's interpreter and writes simplex_lib/data/program_traces.json. The
larger kernels are those of `simplex_lib.kernels`. Needs triton: only this command, the tests and
a learner's own kernel do; the widget reads what was recorded.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from simplex_lib.triton_mode import prepare_triton

prepare_triton()  # before triton is imported

import triton  # noqa: E402
import triton.language as tl  # noqa: E402

from simplex_lib.data.recording import facts, write_json  # noqa: E402
from simplex_lib.kernels import dot_product, trilinear_backward, trilinear_forward  # noqa: E402
from simplex_lib.kernels.tiles import Blocks  # noqa: E402
from simplex_lib.triton_trace import tracing  # noqa: E402
from simplex_lib.widgets.programs_recording import FILE, Recording, pack, record  # noqa: E402

COMMAND = "python -m simplex_lib.widgets.programs_kernels"
SEED = 0
BLOCKS = Blocks(rows=16, keys=16, d=16, dv=16)  # the least that tl.dot takes on a GPU


@triton.jit
def add_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    """out = x + y; program p owns BLOCK elements."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    y = tl.load(y_ptr + at, mask=at < n)
    tl.store(out_ptr + at, x + y, mask=at < n)


@triton.jit
def softmax_kernel(x_ptr, out_ptr, columns, x_row, x_column, out_row, BLOCK: tl.constexpr):
    """out[p] = softmax(x[p]); program p owns row p."""
    row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    x_at = row * x_row + column * x_column
    x = tl.load(x_ptr + x_at, mask=column < columns, other=float("-inf"))
    e = tl.exp(x - tl.max(x, 0))
    share = e / tl.sum(e, 0)
    tl.store(out_ptr + row * out_row + column, share, mask=column < columns)


@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, m, n, k, ROWS: tl.constexpr, COLUMNS: tl.constexpr, INNER: tl.constexpr
):
    """c = a @ b; program (p, r) owns tile (p, r) of c."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    acc = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, k, INNER):
        inner = start + tl.arange(0, INNER)
        a_ok = (row < m)[:, None] & (inner < k)[None, :]
        b_ok = (inner < k)[:, None] & (column < n)[None, :]
        a = tl.load(a_ptr + row[:, None] * k + inner[None, :], mask=a_ok, other=0.0)
        b = tl.load(b_ptr + inner[:, None] * n + column[None, :], mask=b_ok, other=0.0)
        acc += tl.dot(a, b, input_precision="ieee")
    c_ok = (row < m)[:, None] & (column < n)[None, :]
    tl.store(c_ptr + row[:, None] * n + column[None, :], acc, mask=c_ok)


@triton.jit
def add_to_keys_kernel(
    merged_ptr, ds_ptr, dk2_ptr, s, first, step, W: tl.constexpr, D: tl.constexpr
):
    """dk2[k] += sum_i ds[i, k] * merged[i]; a program owns a tile of W queries i.

    The window is W keys long: query i sees i - W < k <= i, and ds keeps those W only.
    """
    tile = first + tl.program_id(0) * step
    i = tile * W + tl.arange(0, W)
    column = tl.arange(0, D)
    i_ok = i < s
    merged_at = i[:, None] * D + column[None, :]
    merged = tl.load(merged_ptr + merged_at, mask=i_ok[:, None], other=0.0)
    for k_tile in range(tl.maximum(tile - 1, 0), tile + 1):  # the tile before, and its own
        k = k_tile * W + tl.arange(0, W)
        place = k[None, :] - i[:, None] + W - 1
        sees = (place >= 0) & (place < W) & i_ok[:, None]
        ds = tl.load(ds_ptr + i[:, None] * W + place, mask=sees, other=0.0)
        k_ok = (k < s)[:, None]
        dk2_at = k[:, None] * D + column[None, :]
        dk2 = tl.load(dk2_ptr + dk2_at, mask=k_ok, other=0.0)
        dk2 += tl.sum(ds[:, :, None] * merged[:, None, :], 0)  # (W, W, D) summed over i
        tl.store(dk2_ptr + dk2_at, dk2, mask=k_ok)


def vector() -> Recording:
    n, block = 42, 16
    x, y = _random(2, n)
    arguments = dict(x=x, y=y, out=torch.zeros(n), n=n, BLOCK=block)
    return record(add_kernel, (math.ceil(n / block),), arguments, layout=[["x", "y", "out"]])


def softmax() -> Recording:
    rows, columns = 6, 13
    memory = _random(columns, rows)
    x = memory.T  # (rows, columns): row p of x is column p of the memory
    out = torch.zeros(rows, columns)
    arguments = dict(x=x, out=out, columns=columns, x_row=x.stride(0), x_column=x.stride(1))
    arguments |= dict(out_row=out.stride(0), BLOCK=16)
    notes = {"x.T": "as x lies in memory"}
    layout = [["x.T"], ["out"]]
    return record(softmax_kernel, (rows,), arguments, layout=layout, seen_as={"x": ("x.T", memory)},
                  notes=notes)  # fmt: skip


def matmul() -> Recording:
    m, n, k, block = 36, 40, 20, 16
    a, b = _random(m, k), _random(k, n)
    arguments: dict[str, Any] = dict(a=a, b=b, c=torch.zeros(m, n), m=m, n=n, k=k)
    arguments |= dict(ROWS=block, COLUMNS=block, INNER=block)
    grid = math.ceil(m / block), math.ceil(n / block)
    return record(matmul_kernel, grid, arguments, layout=[["a"], ["b", "c"]])


def attention() -> Recording:
    s, d = 40, 12
    q, k, v = _random(3, 1, 1, s, d)
    with tracing() as trace:
        dot_product.dot_product_forward(q, k, v, causal=True, scale=d**-0.5, blocks=BLOCKS)
    shapes = dict(q=(s, d), k=(s, d), v=(s, d), out=(s, d), lse=(s,))
    return Recording.of(trace, dot_product.forward_kernel, shapes, [(3, 1, 1)],
                        layout=[[name] for name in shapes])  # fmt: skip


def trilinear() -> Recording:
    x = _trilinear_inputs()
    with tracing() as trace:
        trilinear_forward.trilinear_forward(**x, **WINDOWS, blocks=BLOCKS)
    shapes = _shapes(q="q", k1="k", k2="k", v1="k", v2="k", out="q", lse="row")
    return Recording.of(trace, trilinear_forward.forward_kernel, shapes, [(3, 1, 1)],
                        layout=[["q"], ["k1", "k2"], ["v1", "v2"], ["out"], ["lse"]])  # fmt: skip


def dq() -> Recording:
    shapes = _shapes(q="q", dout="q", lse="row", delta="row", k1="k", k2="k", v1="k", v2="k",
                     dq="q")  # fmt: skip
    layout = [["q"], ["dout"], ["lse"], ["delta"], ["k1", "k2"], ["v1", "v2"], ["dq"]]
    return _backward(trilinear_backward.dq_kernel, 0, shapes, (3, 1, 1), layout)


def dkv() -> Recording:
    shapes = _shapes(q="q", dout="q", lse="row", delta="row", k1="k", k2="k", v1="k", v2="k",
                     dk1="k", dv1="k")  # fmt: skip
    layout = [["q"], ["dout"], ["lse"], ["delta"], ["k1", "k2"], ["v1", "v2"], ["dk1", "dv1"]]
    return _backward(trilinear_backward.dkv_kernel, 1, shapes, (2, 1, 1), layout)


def race() -> Recording:
    return _add_to_keys([(0, 1)], 4)


def even_odd() -> Recording:
    return _add_to_keys([(0, 2), (1, 2)], 2)


LAUNCHES: dict[str, Callable[[], Recording]] = {
    "vector": vector,
    "softmax": softmax,
    "matmul": matmul,
    "attention": attention,
    "trilinear": trilinear,
    "dq": dq,
    "dkv": dkv,
    "race": race,
    "even odd": even_odd,
}
WINDOWS: dict[str, Any] = dict(w1=8, w2=3, causal=True, scale=12**-0.5)


def _random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(SEED))


def _trilinear_inputs() -> dict[str, Tensor]:
    """Two query heads on one key head, so that a tile of 16 rows is 8 queries of both."""
    keys = _random(4, 1, 1, 20, 12)
    return dict(q=_random(1, 2, 20, 12)) | dict(zip(("k1", "k2", "v1", "v2"), keys, strict=True))


def _shapes(**kinds: str) -> dict[str, tuple[int, ...]]:
    known = dict(q=(2, 20, 12), k=(20, 12), row=(2, 20))
    return {name: known[kind] for name, kind in kinds.items()}


def _backward(
    kernel: Any,
    launch: int,
    shapes: dict[str, tuple[int, ...]],
    grid: tuple[int, int, int],
    layout: list[list[str]],
) -> Recording:
    """One launch of the backward pass: 0 dq, 1 dk1 and dv1."""
    x = _trilinear_inputs()
    out, lse = trilinear_forward.trilinear_forward(**x, **WINDOWS, blocks=BLOCKS)
    with tracing() as trace:
        trilinear_backward.trilinear_backward(
            torch.ones_like(out), None, **x, out=out, lse=lse, **WINDOWS, blocks=BLOCKS
        )
    return Recording.of(trace, kernel, shapes, [grid], layout=layout, launch=launch)


def _add_to_keys(stages: list[tuple[int, int]], programs: int) -> Recording:
    """One launch for each (first tile, step)."""
    s, width, d = 28, 8, 8
    merged, ds = _random(s, d), _random(s, width)
    dk2, kernel = torch.zeros(s, d), cast(Any, add_to_keys_kernel)
    with tracing() as trace:
        for first, step in stages:
            kernel[(programs,)](merged, ds, dk2, s, first, step, width, d)
    shapes = dict(merged=(s, d), ds=(s, width), dk2=(s, d))
    grids = [(programs, 1, 1)] * len(stages)
    tiles = [f"tile {first + p * step}" for first, step in stages for p in range(programs)]
    owns = tiles if len(stages) > 1 else []  # in one launch program n has tile n
    return Recording.of(trace, add_to_keys_kernel, shapes, grids,
                        layout=[[name] for name in shapes],
                        notes={"ds": "the last column is k = i"}, owns=owns)  # fmt: skip


def main() -> None:
    presets = {name: pack(launch()) for name, launch in LAUNCHES.items()}
    made = facts(command=COMMAND, seed=SEED)
    made["versions"]["triton"] = triton.__version__
    write_json(Path(FILE), made | dict(presets=presets))


if __name__ == "__main__":
    main()
