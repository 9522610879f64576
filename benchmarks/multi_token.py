"""The key-query convolution on a CPU, in two forms, and the toy training step: tables, no asserts.

    python benchmarks/multi_token.py
    python benchmarks/multi_token.py --json simplex_lib/data/multi_token_benchmark.json

Times are medians of CPU time with one thread, of calls that take turns in one process. conv2d is
torch's depthwise convolution; banded writes each kernel row as a product with a banded matrix.
"""

import sys
from dataclasses import replace
from typing import Any

import torch
from _measure import Call, arguments, bytes_of, cpu_ms, mib

from simplex_lib.attention import constant_kernel, key_query_convolution
from simplex_lib.data.recording import facts, write_json
from simplex_lib.training.blocks_run import DOT_PRODUCT, MULTI_TOKEN, block_training

SEED = 0
FULL = dict(b=8, h=2, s=[51, 128, 256, 512], taps=[(2, 9), (6, 11)], repeats=9, steps=40)
QUICK = dict(b=1, h=2, s=[8], taps=[(2, 3)], repeats=1, steps=1)


def convolutions(use: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for c_q, c_k in use["taps"]:
        for s in use["s"]:
            generator = torch.Generator().manual_seed(SEED)
            maps = torch.randn(use["b"], use["h"], s, s, generator=generator, requires_grad=True)
            kernel = constant_kernel(use["h"], c_q=c_q, c_k=c_k).requires_grad_()
            calls: dict[str, dict[str, Call]] = {"forward": {}, "forward and backward": {}}
            for impl in ("conv2d", "banded"):

                def forward(impl: Any = impl, maps: Any = maps, kernel: Any = kernel) -> None:
                    with torch.no_grad():
                        key_query_convolution(maps, kernel, impl=impl)

                def both(impl: Any = impl, maps: Any = maps, kernel: Any = kernel) -> None:
                    new = key_query_convolution(maps, kernel, impl=impl)
                    torch.autograd.grad(new.square().sum(), (maps, kernel))

                calls["forward"][impl] = forward
                calls["forward and backward"][impl] = both
            for name, sides in calls.items():
                ms = cpu_ms(sides, repeats=use["repeats"])
                memory = {impl: bytes_of(call) for impl, call in sides.items()}
                row = {"c_q": c_q, "c_k": c_k, "s": s, "pass": name}
                row |= {impl: {"cpu_ms": round(ms[impl], 3), **memory[impl]} for impl in sides}
                row["conv2d_over_banded"] = round(ms["conv2d"] / ms["banded"], 2)
                rows.append(row)
                cells = [f"{c_q} x {c_k}", s, name, *(f"{ms[impl]:.2f}" for impl in sides)]
                cells += [f"{row['conv2d_over_banded']:.2f}"]
                cells += [mib(memory[impl]["peak_bytes"]) for impl in sides]
                print(f"| {' | '.join(map(str, cells))} |", flush=True)
    return rows


def training_steps(use: dict[str, Any]) -> list[dict[str, Any]]:
    """One step of the toy task for each kind, and the same multi-token step with conv2d."""
    runs = {
        "dot product, 1 layer": block_training(replace(DOT_PRODUCT, layers=1)),
        "dot product, 2 layers": block_training(DOT_PRODUCT),
        "multi-token, 1 layer, banded": block_training(MULTI_TOKEN),
        "multi-token, 1 layer, conv2d": block_training(MULTI_TOKEN),
    }
    for block in runs["multi-token, 1 layer, conv2d"].model.blocks:
        block.attention.impl = "conv2d"
    for run in runs.values():
        run.every = 10**9  # no measurement among the steps
        run.advance()  # but the one at the start
    calls: dict[str, Call] = {name: run.advance for name, run in runs.items()}
    ms = cpu_ms(calls, repeats=use["steps"])
    plain = ms["dot product, 1 layer"]
    rows = [
        {"model": name, "cpu_ms": round(ms[name], 2), "over_plain": round(ms[name] / plain, 2)}
        for name in runs
    ]
    for row in rows:
        print(f"| {row['model']} | {row['cpu_ms']:.1f} | {row['over_plain']:.2f} |")
    return rows


def main() -> None:
    chosen = arguments("Key-query convolution and the toy training step")
    use = QUICK if chosen.quick else FULL
    torch.set_num_threads(1)
    known = facts(command=" ".join(["python benchmarks/multi_token.py", *sys.argv[1:]]), seed=SEED)
    print(f"{known['machine']}; torch {torch.__version__}, one thread; {known['date']}")
    print(f"b = {use['b']}, h = {use['h']}, float32\n")
    print("| taps | s | pass | conv2d, ms | banded, ms | ratio | peak conv2d, MiB | banded |")
    print("|:--|--:|:--|" + "--:|" * 5)
    convolved = convolutions(use)
    print("\n| training step | ms | over plain |\n|:--|--:|--:|")
    steps = training_steps(use)
    if chosen.json:
        sizes = {name: use[name] for name in ("b", "h", "repeats")}
        measured = {"convolution": convolved, "training_step": steps}
        write_json(chosen.json, {**known, "threads": 1, "dtype": "float32", **sizes, **measured})


if __name__ == "__main__":
    main()
