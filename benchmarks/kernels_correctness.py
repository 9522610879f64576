"""How far the kernels are from float64, and what memory they need: tables, no assertions.

    python benchmarks/kernels_correctness.py
    python benchmarks/kernels_correctness.py --json simplex_lib/data/kernels_correctness.json

On a GPU the kernels are compiled. Without one they run in Triton's interpreter on tiny inputs, and
memory is not measured. Three errors stand side by side, each the largest over out, or over the
gradients, of |found - float64| / |float64| with the norms of whole tensors: of the kernel; of
PyTorch's reference on inputs of the same dtype, which computes in float32 inside; and of the plain
formulas with every product and sum in that dtype.
"""

import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import torch
from _measure import arguments, mib
from torch import Tensor

from simplex_lib.attention import (
    as_trilinear,
    determinant_attention_windowed_with_lse,
    determinant_attention_with_lse,
    dot_product_attention_with_lse,
    pair_window,
    trilinear_attention_windowed_with_lse,
    trilinear_attention_with_lse,
)
from simplex_lib.data.recording import facts, write_json

SEED = 0
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
DENSE = dict(b=1, h=4, g=2, s=128, d=64)
PAPER = dict(b=1, h=8, g=1, s=1024, d=128, w1=512, w2=32)
FULL = {
    "dot product": [dict(b=2, h=8, g=2, s=1000, d=128), dict(b=1, h=4, g=4, s=333, d=80)],
    "trilinear": [DENSE, DENSE | dict(s=101, d=96, causal=False, w1=9, w2=40), PAPER],
    "determinant": [DENSE, PAPER | dict(d=96)],
}
TINY = {
    "dot product": [dict(b=1, h=2, g=1, s=9, d=16)],
    "trilinear": [dict(b=1, h=2, g=1, s=5, d=16)],
    "determinant": [dict(b=1, h=2, g=1, s=5, d=18, w1=3, w2=2)],
}
KERNELS = {
    "dot product": dot_product_attention_with_lse,
    "trilinear": trilinear_attention_with_lse,
    "determinant": determinant_attention_with_lse,
}
REFERENCES = {
    "dot product": dot_product_attention_with_lse,
    "trilinear": trilinear_attention_windowed_with_lse,  # the same numbers without the cube
    "determinant": determinant_attention_windowed_with_lse,
}
NAMES = ("out", "lse", "dq", "dk1", "dk2", "dv1", "dv2")
Attend = Callable[..., tuple[Tensor, Tensor]]


def plain(form: str, *inputs: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    """The formulas as they stand, in the dtype of the inputs; no cube wider than the logits."""
    q, *others = inputs
    scale = 1 / math.sqrt(q.shape[-1])
    others = [x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in others]
    if form == "dot product":
        k, v = others
        logits = q @ k.mT * scale
        hidden = torch.ones(logits.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        logits = logits.masked_fill(hidden, -torch.inf)
        return logits.softmax(-1) @ v, logits.float().logsumexp(-1)
    k1, k2, v1, v2 = others
    if form == "determinant":
        q, k1, k2 = as_trilinear(q, k1, k2)
    logits = torch.einsum("bhikd,bhjd->bhijk", q[:, :, :, None] * k2[:, :, None] * scale, k1)
    visible = pair_window(q.shape[2], options.get("w1"), options.get("w2"),
                          causal=options.get("causal", True), device=q.device)  # fmt: skip
    flat = logits.masked_fill(~visible, -torch.inf).flatten(-2)
    probs = flat.softmax(-1).view_as(logits)
    out = torch.einsum("bhijk,bhjkd->bhid", probs, v1[:, :, :, None] * v2[:, :, None])
    return out, flat.float().logsumexp(-1)


def results(attend: Attend, inputs: Sequence[Tensor], gradients: Sequence[Tensor]) -> list[Tensor]:
    inputs = [x.detach().requires_grad_() for x in inputs]
    out, lse = attend(*inputs)
    dout, dlse = gradients[0].to(out.dtype), gradients[1].to(lse.dtype)
    return [x.detach() for x in (out, lse, *torch.autograd.grad((out, lse), inputs, (dout, dlse)))]


def make_inputs(form: str, sizes: dict[str, Any], device: torch.device) -> tuple[list, list]:
    b, h, g, s, d = (sizes[name] for name in "bhgsd")
    generator = torch.Generator().manual_seed(SEED)
    count = 2 if form == "dot product" else 4
    inputs = [torch.randn(b, n, s, d, generator=generator) for n in (h, *[g] * count)]
    gradients = [torch.randn(b, h, s, d, generator=generator)]
    gradients += [torch.randn(b, h, s, generator=generator)]
    return [x.to(device) for x in inputs], [x.to(device) for x in gradients]


def errors(form: str, sizes: dict[str, Any], dtype: torch.dtype, device: torch.device) -> dict:
    inputs, gradients = make_inputs(form, sizes, device)
    inputs, gradients = [x.to(dtype) for x in inputs], [gradients[0].to(dtype), gradients[1]]
    options = {name: sizes[name] for name in ("w1", "w2", "causal") if name in sizes}
    reference = partial(REFERENCES[form], **options)
    exact = results(reference, [x.double() for x in inputs], gradients)
    sides = {
        "kernel": partial(KERNELS[form], impl="triton", **options),
        "reference": reference,
    }
    if sizes["s"] <= 256 or form == "dot product":  # the plain formulas make the whole cube
        sides["plain"] = partial(plain, form, **options)
    names = NAMES if len(inputs) == 5 else ("out", "lse", "dq", "dk", "dv")
    found: dict[str, Any] = {"form": form, **sizes, "dtype": str(dtype).removeprefix("torch.")}
    for side, attend in sides.items():
        pairs = zip(results(attend, inputs, gradients), exact, strict=True)
        each = {n: relative(x, y) for n, (x, y) in zip(names, pairs, strict=True)}
        found[side] = {
            "forward": each["out"],
            "backward": max(each[name] for name in names[2:]),
            "each": each,
        }
    first, second = (results(sides["kernel"], inputs, gradients) for _ in range(2))
    found["same_bits_twice"] = all(torch.equal(x, y) for x, y in zip(first, second, strict=True))
    return found


def relative(x: Tensor, exact: Tensor) -> float:
    return float(f"{((x.double() - exact).norm() / exact.norm()).item():.3g}")


def memory(device: torch.device, *, s: int = 1024, d: int = 64) -> dict[str, Any]:
    """Most bytes held on the GPU beyond the inputs, forward and backward, one head in bfloat16."""
    found: dict[str, Any] = {"b": 1, "h": 1, "s": s, "d": d, "dtype": "bfloat16"}
    inputs, gradients = make_inputs("trilinear", dict(b=1, h=1, g=1, s=s, d=d), device)
    inputs, gradients = [x.bfloat16() for x in inputs], [gradients[0].bfloat16(), gradients[1]]
    for side, impl in (("naive", "reference"), ("kernel", "triton")):
        attend = partial(trilinear_attention_with_lse, impl=impl)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        try:
            results(attend, inputs, gradients)
        except torch.cuda.OutOfMemoryError:
            found[side] = None  # more than this GPU has
        else:
            found[side] = torch.cuda.max_memory_allocated() - before
    return found


def line(row: dict[str, Any]) -> str:
    sizes = [str(row.get(name, "-")) for name in ("h", "g", "s", "d", "w1", "w2")]
    cells = [row["form"], row["dtype"], *sizes]
    for pass_ in ("forward", "backward"):
        cells += [f"{row[x][pass_]:.1e}" if x in row else "-" for x in
                  ("kernel", "reference", "plain")]  # fmt: skip
    return f"| {' | '.join([*cells, 'yes' if row['same_bits_twice'] else 'NO'])} |"


def main() -> None:
    chosen = arguments("Kernels against float64")
    gpu = torch.cuda.is_available()
    device = torch.device("cuda" if gpu else "cpu")
    command = " ".join(["python benchmarks/kernels_correctness.py", *sys.argv[1:]])
    known = facts(command=command, seed=SEED)
    known["versions"]["triton"] = version("triton")
    known["gpu"] = torch.cuda.get_device_name() if gpu else None
    print(f"{known['machine']}; {known['gpu'] or 'no GPU: kernels interpreted, tiny inputs'}")
    print(f"torch {torch.__version__}, triton {version('triton')}; {known['date']}\n")
    print("| form | dtype | h | g | s | d | w1 | w2 | out: kernel | reference | plain |", end="")
    print(" gradients: kernel | reference | plain | same bits twice |")
    print("|:--|:--|" + "--:|" * 12 + ":--|")
    rows = []
    for form, cases in (FULL if gpu and not chosen.quick else TINY).items():
        for sizes in cases:
            for dtype in DTYPES:
                rows.append(errors(form, sizes, dtype, device))
                print(line(rows[-1]), flush=True)
    largest = {
        str(dtype).removeprefix("torch."): {
            f"{side}_{pass_}": max(
                row[side][pass_]
                for row in rows
                if side in row and row["dtype"] == str(dtype).removeprefix("torch.")
            )
            for side in ("kernel", "reference", "plain")
            for pass_ in ("forward", "backward")
        }
        for dtype in DTYPES
    }
    print("\nLargest of these:")
    for name, found in largest.items():
        print(f"{name}: " + ", ".join(f"{key} {value:.1e}" for key, value in found.items()))
    held = memory(device) if gpu else None
    if held:
        sides = {
            side: mib(held[side]) if held[side] else "too much" for side in ("naive", "kernel")
        }
        print(
            f"\nPeak memory, s = {held['s']}, forward and backward, one head of {held['d']}, ",
            end="",
        )
        print(f"bfloat16: naive {sides['naive']} MiB, kernel {sides['kernel']} MiB")
    if chosen.json:
        write_json(chosen.json, {**known, "errors": rows, "largest": largest, "memory": held})


if __name__ == "__main__":
    main()
