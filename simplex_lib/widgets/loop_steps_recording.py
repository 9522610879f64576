"""What `step_loop` plays: local variables of the library's forward kernels, step by step.

    python -m simplex_lib.widgets.loop_steps_recording simplex_lib/data/loop_steps.json

runs both kernels in Triton's interpreter and writes what `load_run` reads. So the widget shows the
same numbers on machines without triton; a test records them again.

Tiles hold 4 rows and 4 keys, which only the interpreter takes: on a GPU tl.dot needs 16.
"""

import argparse
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from simplex_lib import data
from simplex_lib.data.recording import facts, write_json

Kernel = Literal["dot product", "trilinear"]
Inputs = Literal["late", "early", "mixed"]
KERNELS: tuple[Kernel, ...] = ("dot product", "trilinear")
INPUTS: tuple[Inputs, ...] = ("late", "early", "mixed")
MODULE = "simplex_lib.widgets.loop_steps_recording"

S, D = 11, 3  # positions; width of keys and values
TILE = 4  # rows and keys of a tile
W1, W2 = 8, 3
SEED = 46
STEEP = 6.0  # what the first coordinate of queries makes of a slope in the keys
TENSORS: dict[str, tuple[str, ...]] = {
    "dot product": ("q", "k", "v"),
    "trilinear": ("q", "k1", "k2", "v1", "v2"),
}
NAMES = ("j0", "logits", "m", "rescale", "l", "acc")
END = "m = m_new"  # the last statement of the loop


class Iteration(NamedTuple):
    """One turn of the loop in one program, as its variables stood at the end; −∞ is None.

    k: None in the dot-product kernel, which has one loop. Rows of all lists: those of the tile.
    """

    program: int
    j0: int
    k: int | None
    logits: list[list[float | None]]
    m: list[float | None]
    rescale: list[float]
    l: list[float]  # noqa: E741
    acc: list[list[float]]


class Run(NamedTuple):
    """One launch. tensors: (s, d) each, by name; out (s, d) and lse (s,) as the kernel stored."""

    kernel: Kernel
    inputs: Inputs
    tensors: dict[str, list[list[float]]]
    iterations: list[Iteration]
    out: list[list[float]]
    lse: list[float]


@cache
def load_run(kernel: Kernel, inputs: Inputs) -> Run:
    """The launch as it ships."""
    found = next(
        run
        for run in data.load("loop_steps")["launches"]
        if (run["kernel"], run["inputs"]) == (kernel, inputs)
    )
    return Run(**found | dict(iterations=[Iteration(**x) for x in found["iterations"]]))


def example(kernel: Kernel, inputs: Inputs) -> dict[str, Tensor]:
    """Tensors (1, 1, s, d) of two decimals.

    The first coordinate of keys rises from key to key ("late"), falls ("early"), or is like the
    others ("mixed"): so the largest logits come at the end of the loop, at its start, anywhere.
    The first coordinate of (first) values falls from 2 to -2: out[0] tells where attention lies.
    """
    generator = torch.Generator().manual_seed(SEED)
    made = {name: torch.randn(1, 1, S, D, generator=generator).double() for name in TENSORS[kernel]}
    slope = torch.linspace(0.2, 1, S) if inputs == "late" else torch.linspace(1, 0.2, S)
    if inputs != "mixed":
        made["q"][..., 0] = STEEP + 0.6 * made["q"][..., 0]
        for name in made:
            if name.startswith("k"):
                made[name] *= 0.25
                made[name][..., 0] = slope
    made["v" if kernel == "dot product" else "v1"][..., 0] = torch.linspace(2, -2, S)
    if kernel == "trilinear":
        made["v2"][..., 0] = 1
    return {name: x.mul(100).round().div(100).float() for name, x in made.items()}


def record(kernel: Kernel, inputs: Inputs) -> Run:
    """Launch the kernel in the interpreter and note its variables at the end of every turn."""
    from simplex_lib.kernels import dot_product, trilinear_forward
    from simplex_lib.kernels.tiles import Blocks
    from simplex_lib.triton_locals import noting

    tensors = example(kernel, inputs)
    home = dot_product if kernel == "dot product" else trilinear_forward
    names = NAMES if kernel == "dot product" else (*NAMES, "k")
    options: dict[str, Any] = dict(scale=D**-0.5, blocks=Blocks(TILE, TILE, TILE, TILE))
    with noting(home.forward_kernel, after=END, names=names) as notes:
        if kernel == "dot product":
            out, lse = dot_product.dot_product_forward(**tensors, causal=True, **options)
        else:
            out, lse = trilinear_forward.trilinear_forward(
                **tensors, w1=W1, w2=W2, causal=True, **options
            )
    iterations = [
        Iteration(
            program=note.program[0],
            j0=note.values["j0"],
            k=note.values.get("k"),
            logits=_plain(note.values["logits"]),
            m=_plain(note.values["m"]),
            rescale=_plain(note.values["rescale"]),
            l=_plain(note.values["l"]),
            acc=_plain(note.values["acc"][:, :D]),  # the rest of the tile is padding
        )
        for note in notes
    ]
    given = {name: _plain(x[0, 0].numpy()) for name, x in tensors.items()}
    return Run(
        kernel, inputs, given, iterations, _plain(out[0, 0].numpy()), _plain(lse[0, 0].numpy())
    )


def _plain(x: Any) -> Any:
    """A float32 array as lists: the shortest decimals that mean the same, None for −∞."""
    if x.ndim:
        return [_plain(part) for part in x]
    text = str(x)
    return None if text == "-inf" else float(text)


def runs() -> Iterator[Run]:
    for kernel in KERNELS:
        for inputs in INPUTS:
            yield record(kernel, inputs)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args(arguments).out
    import numpy
    import triton

    made = facts(command=f"python -m {MODULE} {out}", seed=SEED)
    made["versions"] |= dict(triton=triton.__version__, numpy=numpy.__version__)
    launches = [
        run._asdict() | dict(iterations=[x._asdict() for x in run.iterations]) for run in runs()
    ]
    shape = dict(s=S, d=D, tile=TILE, w1=W1, w2=W2)
    write_json(out, made | shape | dict(launches=launches))


if __name__ == "__main__":
    main()
