"""What one decoded token costs as the text grows, on a CPU: a table, no assertions.

    python benchmarks/decoding.py
    python benchmarks/decoding.py --json simplex_lib/data/decoding_benchmark.json

Times are medians of CPU time with one thread, of calls that take turns in one process. A step takes
one token into two rolling caches that have seen s tokens, and attends from it. Beside it stands the
full pass with the same windows over s tokens, which is what a step costs without caches.
"""

import sys
from functools import partial
from typing import Any

import torch
from _measure import Call, arguments, cpu_ms, exponent, random_inputs

from simplex_lib.attention import (
    PairCache,
    determinant_attention_windowed,
    determinant_decode,
    trilinear_attention_windowed,
    trilinear_decode,
)
from simplex_lib.data.recording import facts, write_json

SEED = 0
FORMS = {
    "trilinear": (trilinear_decode, trilinear_attention_windowed),
    "determinant": (determinant_decode, determinant_attention_windowed),
}
FULL = dict(h=2, d=24, w1=64, w2=16, repeats=9, s=[64, 256, 1024, 4096, 16_384])
QUICK = dict(h=1, d=6, w1=4, w2=2, repeats=1, s=[8, 16])


def filled(s: int, use: dict[str, Any]) -> tuple[PairCache, list[torch.Tensor]]:
    """A cache that has seen s tokens, and those tokens."""
    inputs = random_inputs(s, h=use["h"], d=use["d"], seed=SEED)
    cache = PairCache.empty(b=1, g=use["h"], d=use["d"], w1=use["w1"], w2=use["w2"])
    cache.add(*inputs[1:])
    return cache, inputs


def cache_bytes(cache: PairCache) -> int:
    return sum(x.nbytes for part in (cache.first, cache.second) for x in (part.k, part.v))


def measure(form: str, use: dict[str, Any]) -> dict[str, Any]:
    decode, full = FORMS[form]
    steps: dict[str, Call] = {}
    passes: dict[str, Call] = {}
    kept = []
    for s in use["s"]:
        cache, inputs = filled(s, use)
        kept.append(cache_bytes(cache))
        newest = random_inputs(1, h=use["h"], d=use["d"], seed=SEED + 1)
        steps[str(s)] = partial(decode, cache, *newest)
        passes[str(s)] = partial(full, *inputs, w1=use["w1"], w2=use["w2"])
    with torch.no_grad():
        step_ms = list(cpu_ms(steps, repeats=use["repeats"]).values())
        full_ms = list(cpu_ms(passes, repeats=use["repeats"]).values())
    return {
        "form": form,
        "s": use["s"],
        "step_cpu_ms": [round(t, 3) for t in step_ms],
        "full_pass_cpu_ms": [round(t, 2) for t in full_ms],
        "cache_bytes": kept,
        "step_exponent": round(exponent(use["s"], step_ms), 3),
        "full_pass_exponent": round(exponent(use["s"], full_ms), 3),
    }


def show(row: dict[str, Any]) -> None:
    columns = zip(
        *(row[name] for name in ("s", "step_cpu_ms", "full_pass_cpu_ms", "cache_bytes")),
        strict=True,
    )
    for s, step, full, kept in columns:
        print(
            f"| {row['form']} | {s:,} | {step:.2f} | {full:,.1f} | {full / step:,.0f} | {kept:,} |"
        )
    exponents = f"{row['step_exponent']:.2f} | {row['full_pass_exponent']:.2f}"
    print(f"| {row['form']} | exponent of s | {exponents} | | |", flush=True)


def main() -> None:
    chosen = arguments("What one decoded token costs as the text grows")
    use = QUICK if chosen.quick else FULL
    torch.set_num_threads(1)
    known = facts(command=" ".join(["python benchmarks/decoding.py", *sys.argv[1:]]), seed=SEED)
    print(f"{known['machine']}; torch {torch.__version__}, one thread; {known['date']}")
    print(f"b = 1, h = {use['h']}, d = {use['d']}, w1 = {use['w1']}, w2 = {use['w2']}, float32\n")
    print("| form | tokens before | one step, ms | full pass, ms | ratio | bytes of the caches |")
    print("|:--|" + "--:|" * 5)
    rows = []
    for form in FORMS:
        rows.append(measure(form, use))
        show(rows[-1])
    if chosen.json:
        sizes = {"b": 1, **{name: use[name] for name in ("h", "d", "w1", "w2", "repeats")}}
        write_json(chosen.json, {**known, "threads": 1, "dtype": "float32", **sizes, "forms": rows})


if __name__ == "__main__":
    main()
