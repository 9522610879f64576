"""Windowed attention over pairs against the naive cube, on a CPU: tables, no assertions.

    python benchmarks/windowed.py
    python benchmarks/windowed.py --json simplex_lib/data/windowed_benchmark.json

Times are medians of CPU time with one thread, of calls that take turns in one process. Both sides
have the same windows and give the same numbers: the naive one makes the (s, s, s) cube and hides
what is outside, the windowed one computes the pairs inside.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from _measure import Call, arguments, bytes_of, cpu_ms, exponent, mib, random_inputs
from torch import Tensor

from simplex_lib.attention import (
    determinant_attention,
    determinant_attention_windowed,
    trilinear_attention,
    trilinear_attention_windowed,
)
from simplex_lib.data.recording import facts, write_json

SEED = 0
FORMS = {
    "trilinear": (trilinear_attention, trilinear_attention_windowed),
    "determinant": (determinant_attention, determinant_attention_windowed),
}
FULL = dict(
    h=2, d=24, w1=32, w2=8, repeats=9, against=[128, 256], growth=[1024, 2048, 4096, 8192, 16_384]
)
QUICK = dict(h=1, d=6, w1=4, w2=2, repeats=1, against=[8, 16], growth=[16, 32])


def passes(attend: Callable[..., Tensor], s: int, use: dict[str, Any]) -> dict[str, Call]:
    """The forward pass without gradients, and forward and backward together."""
    inputs = random_inputs(s, h=use["h"], d=use["d"], seed=SEED, grad=True)
    attend = partial(attend, w1=use["w1"], w2=use["w2"])

    def forward() -> None:
        with torch.no_grad():
            attend(*inputs)

    def both() -> None:
        torch.autograd.grad(attend(*inputs).sum(), inputs)

    return {"forward": forward, "forward and backward": both}


def against_the_cube(use: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for form, (naive, windowed) in FORMS.items():
        for s in use["against"]:
            sides = {"naive": passes(naive, s, use), "windowed": passes(windowed, s, use)}
            for name in sides["naive"]:
                calls = {side: sides[side][name] for side in sides}
                ms = cpu_ms(calls, repeats=use["repeats"])
                memory = {side: bytes_of(call) for side, call in calls.items()}
                rows.append(
                    {
                        "form": form,
                        "pass": name,
                        "s": s,
                        **{side: {"cpu_ms": round(ms[side], 2), **memory[side]} for side in calls},
                        "time_ratio": round(ms["naive"] / ms["windowed"], 1),
                        "peak_ratio": round(
                            memory["naive"]["peak_bytes"] / memory["windowed"]["peak_bytes"], 1
                        ),
                    }
                )
                print(line(rows[-1]), flush=True)
    return rows


def line(row: dict[str, Any]) -> str:
    naive, windowed = row["naive"], row["windowed"]
    cells = [row["form"], row["pass"], row["s"]]
    cells += [f"{side['cpu_ms']:,.1f}" for side in (naive, windowed)]
    cells += [f"{row['time_ratio']:.1f}"]
    cells += [mib(side["largest_tensor_bytes"]) for side in (naive, windowed)]
    cells += [mib(side["peak_bytes"]) for side in (naive, windowed)]
    cells += [f"{row['peak_ratio']:.1f}"]
    return f"| {' | '.join(map(str, cells))} |"


def growth(use: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for form, (_, windowed) in FORMS.items():
        calls = {s: passes(windowed, s, use) for s in use["growth"]}
        for name in ("forward", "forward and backward"):
            ms = cpu_ms({str(s): calls[s][name] for s in calls}, repeats=use["repeats"])
            memory = [bytes_of(calls[s][name]) for s in calls]
            times = list(ms.values())
            rows.append(
                {
                    "form": form,
                    "pass": name,
                    "s": list(calls),
                    "cpu_ms": [round(t, 2) for t in times],
                    "largest_tensor_bytes": [m["largest_tensor_bytes"] for m in memory],
                    "peak_bytes": [m["peak_bytes"] for m in memory],
                    "time_exponent": round(exponent(list(calls), times), 3),
                }
            )
            cells = [form, name, *(f"{t:,.1f}" for t in times), f"{rows[-1]['time_exponent']:.2f}"]
            print(f"| {' | '.join(cells)} |", flush=True)
    return rows


def main() -> None:
    chosen = arguments("Windowed attention against the naive cube")
    use = QUICK if chosen.quick else FULL
    torch.set_num_threads(1)
    command = " ".join(["python benchmarks/windowed.py", *sys.argv[1:]])
    known = facts(command=command, seed=SEED)
    print(f"{known['machine']}; torch {torch.__version__}, one thread; {known['date']}")
    print(f"b = 1, h = {use['h']}, d = {use['d']}, w1 = {use['w1']}, w2 = {use['w2']}, float32\n")
    print(
        "| form | pass | s | naive, ms | windowed, ms | ratio | largest tensor naive, MiB |", end=""
    )
    print(" windowed | peak naive, MiB | windowed | ratio |")
    print("|:--|:--|" + "--:|" * 9)
    against = against_the_cube(use)
    print("\n| form | pass |", *(f"s = {s}, ms |" for s in use["growth"]), "exponent of s |")
    print("|:--|:--|" + "--:|" * (len(use["growth"]) + 1))
    grown = growth(use)
    if chosen.json:
        sizes = {"b": 1, **{name: use[name] for name in ("h", "d", "w1", "w2", "repeats")}}
        measured = {"against_the_cube": against, "growth": grown}
        write_json(chosen.json, {**known, "threads": 1, "dtype": "float32", **sizes, **measured})


if __name__ == "__main__":
    main()
