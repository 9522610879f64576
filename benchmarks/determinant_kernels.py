"""Determinants by a merged query in the forward kernel, or as trilinear vectors twice as long.

    python benchmarks/determinant_kernels.py
    python benchmarks/determinant_kernels.py --json simplex_lib/data/determinant_kernels.json

Both are exact and both are fused. The long way (`as_trilinear`) needs nothing in the kernel, and
its dot products are 2 d wide; the merged query is d wide. The backward pass goes the long way in
both. Times are medians of triton's do_bench on a GPU; the interpreter's would say nothing.
"""

import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import simplex_lib  # noqa: F401  # before triton: it chooses how kernels run

# isort: split
import torch
from _measure import arguments
from torch import Tensor

from simplex_lib.attention import (
    as_trilinear,
    determinant_attention_with_lse,
    trilinear_attention_with_lse,
)
from simplex_lib.data.recording import facts, write_json

SEED = 0
CASES = [
    dict(b=1, h=64, g=1, s=2048, d=96, w1=256, w2=32),
    dict(b=1, h=64, g=1, s=2048, d=48, w1=256, w2=32),
    dict(b=4, h=8, g=8, s=1024, d=96, w1=128, w2=16),
]


def merged(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor, **options: Any) -> Tensor:
    return determinant_attention_with_lse(q, k1, k2, v1, v2, impl="triton", **options)[0]


def long(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor, **options: Any) -> Tensor:
    vectors = as_trilinear(q, k1, k2)
    options |= dict(scale=q.shape[-1] ** -0.5)
    return trilinear_attention_with_lse(*vectors, v1, v2, impl="triton", **options)[0]


def measure(sizes: dict[str, int]) -> dict[str, Any]:
    from triton.testing import do_bench

    generator = torch.Generator().manual_seed(SEED)
    b, h, g, s, d = (sizes[name] for name in "bhgsd")
    inputs = [
        torch.randn(b, n, s, d, generator=generator).bfloat16().cuda() for n in (h, g, g, g, g)
    ]
    options = dict(w1=sizes["w1"], w2=sizes["w2"])
    found: dict[str, Any] = dict(sizes, dtype="bfloat16")
    for way in (merged, long, merged, long):  # twice in turn: the second round is kept
        forward: Callable[[], Any] = lambda way=way: way(*inputs, **options)  # noqa: E731
        ms = do_bench(forward, warmup=100, rep=400, return_mode="median")
        found[f"{way.__name__}_ms"] = ms
    return found


def main() -> None:
    chosen = arguments("Determinants: a merged query or long vectors")
    if not torch.cuda.is_available():
        print("No GPU: nothing is timed. In the interpreter a time says nothing of the kernel.")
        return
    known = facts(
        command=" ".join(["python benchmarks/determinant_kernels.py", *sys.argv[1:]]), seed=SEED
    )
    known["versions"]["triton"] = version("triton")
    known["gpu"] = torch.cuda.get_device_name()
    print(f"{known['gpu']}; torch {torch.__version__}, triton {version('triton')}\n")
    print("| h | g | s | d | w1 | w2 | merged ms | long ms | long / merged |")
    print("|" + "--:|" * 9)
    rows = []
    for sizes in CASES[:1] if chosen.quick else CASES:
        rows.append(measure(sizes))
        ours, theirs = rows[-1]["merged_ms"], rows[-1]["long_ms"]
        cells = [str(sizes[name]) for name in ("h", "g", "s", "d", "w1", "w2")]
        cells += [f"{ours:.2f}", f"{theirs:.2f}", f"{theirs / ours:.2f}"]
        print(f"| {' | '.join(cells)} |", flush=True)
    if chosen.json:
        write_json(chosen.json, {**known, "runs": rows})


if __name__ == "__main__":
    main()
