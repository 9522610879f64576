"""The loop of a forward kernel for one query: what it keeps after each step, in numbers and words.

`loop_payload` is called with the learner's choices. m, l, acc and rescale are the kernel's own
variables; what they would be without the rescale is added up here.

Axes: i query, j first key, k second key, s sequence length. m and logits are in base 2, as in the
kernel: a logit times log2(e).
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch

from simplex_lib.attention import dot_product_attention_with_lse, trilinear_attention_with_lse
from simplex_lib.errors import require_choice, require_flag
from simplex_lib.widgets import loop_steps_words
from simplex_lib.widgets.kit import require_index
from simplex_lib.widgets.loop_steps_recording import (
    INPUTS,
    KERNELS,
    TILE,
    W1,
    W2,
    Inputs,
    Iteration,
    Kernel,
    Run,
    S,
    load_run,
)

LN_2 = math.log(2)
Fate = Literal["off", "now", "done", "wait", "skipped"]


@dataclass(frozen=True)
class Step:
    """What the row has after one turn of the loop, and what the turn brought.

    keys, k: the tile's first keys, and its second key, None in the dot-product kernel.
    tile: (rows, keys) logits in base 2, None where masked.
    largest: of this row, None where all of it is masked. added: sum of p, what came to l.
    plain_l, plain_acc: the same sums with no rescale.
    """

    keys: range
    k: int | None
    tile: list[list[float | None]]
    largest: float | None
    m: float
    rescale: float
    added: float
    l: float  # noqa: E741
    acc: list[float]
    plain_l: float
    plain_acc: list[float]

    @property
    def out(self) -> list[float] | None:
        """acc / l so far; None before the first pair, when both are 0."""
        return [x / self.l for x in self.acc] if self.l else None

    @property
    def plain_out(self) -> list[float] | None:
        return [x / self.plain_l for x in self.plain_acc] if self.plain_l else None

    @property
    def lse(self) -> float:
        """As the kernel ends: back from base 2 to the natural logarithm."""
        return (self.m + math.log2(self.l)) * LN_2 if self.l else -math.inf

    @property
    def plain_lse(self) -> float:
        return (self.m + math.log2(self.plain_l)) * LN_2 if self.plain_l else -math.inf


@dataclass(frozen=True)
class LoopPayload:
    """One row through the loop; steps[0] is before it.

    out, lse: what the kernel stored for this query. true_out, true_lse: by the definition.
    map: fates of (j, k) for the query, or of (row of the tile, j) where there is no k.
    """

    kernel: Kernel
    inputs: Inputs
    query: int
    step: int
    without_rescale: bool
    steps: list[Step]
    out: list[float]
    lse: float
    true_out: list[float]
    true_lse: float
    map: list[list[Fate]]
    pairs: int  # that the query sees
    read: int  # of these, up to this step

    @property
    def pairs_of_keys(self) -> bool:
        return self.kernel == "trilinear"

    @property
    def program(self) -> int:
        return self.query // TILE

    @property
    def queries(self) -> list[int | None]:
        """One for each row of the tile, None for a row too many."""
        first = self.program * TILE
        return [i if i < S else None for i in range(first, first + TILE)]

    @property
    def now(self) -> Step:
        return self.steps[self.step]

    @property
    def done(self) -> bool:
        return self.step == len(self.steps) - 1

    @property
    def error(self) -> float:
        """Between what the kernel stored and the definition."""
        found, true = [*self.out, self.lse], [*self.true_out, self.true_lse]
        return max(abs(a - b) for a, b in zip(found, true, strict=True))

    @property
    def sentence(self) -> str:
        return loop_steps_words.sentence(self)


def loop_payload(
    kernel: Kernel = "dot product",
    inputs: Inputs = "late",
    *,
    query: int = 9,
    step: int = 0,
    without_rescale: bool = False,
) -> LoopPayload:
    """All numbers for these choices; ValueError names the one that cannot be drawn."""
    require_choice("kernel", kernel, KERNELS)
    require_choice("inputs", inputs, INPUTS)
    require_index(S, "one of the queries", query=query)
    require_flag(without_rescale=without_rescale)
    run = load_run(kernel, inputs)
    steps = row_steps(kernel, inputs, query)
    require_index(len(steps), f"the steps of program {query // TILE}", step=step)
    true_out, true_lse = _definition(kernel, inputs)
    seen = [sum(x is not None for x in one.tile[query % TILE]) for one in steps[1:]]
    return LoopPayload(
        kernel=kernel,
        inputs=inputs,
        query=query,
        step=step,
        without_rescale=without_rescale,
        steps=steps,
        out=run.out[query],
        lse=run.lse[query],
        true_out=true_out[query],
        true_lse=true_lse[query],
        map=_pair_map(steps, step, query)
        if kernel == "trilinear"
        else _key_map(steps, step, query // TILE * TILE),
        pairs=sum(seen),
        read=sum(seen[:step]),
    )


@cache
def row_steps(kernel: Kernel, inputs: Inputs, query: int) -> list[Step]:
    """The row of one query in the loop of its program, from the empty state on."""
    run, row = load_run(kernel, inputs), query % TILE
    width = len(run.out[query])
    nothing: list[list[float | None]] = [[None] * TILE for _ in range(TILE)]
    empty, zeros = range(0), [0.0] * width
    steps = [Step(empty, None, nothing, None, -math.inf, 0.0, 0.0, 0.0, zeros, 0.0, zeros)]
    for turn in run.iterations:
        if turn.program != query // TILE:
            continue
        m = _number(turn.m[row])
        p = [0.0 if x is None else 2 ** (x - m) for x in turn.logits[row]]
        values = _values(run, turn)
        brought = [sum(a * v[c] for a, v in zip(p, values, strict=True) if v) for c in range(width)]
        seen = [x for x in turn.logits[row] if x is not None]
        steps.append(
            Step(
                keys=range(turn.j0, turn.j0 + TILE),
                k=turn.k,
                tile=turn.logits,
                largest=max(seen, default=None),
                m=m,
                rescale=turn.rescale[row],
                added=sum(p),
                l=turn.l[row],
                acc=turn.acc[row],
                plain_l=steps[-1].plain_l + sum(p),
                plain_acc=[a + b for a, b in zip(steps[-1].plain_acc, brought, strict=True)],
            )
        )
    return steps


def _values(run: Run, turn: Iteration) -> list[list[float]]:
    """What each key of the tile adds: v[j], or v1[j] * v2[k]; [] beyond the sequence."""
    keys = [j if j < S else None for j in range(turn.j0, turn.j0 + TILE)]
    if turn.k is None:
        return [[] if j is None else run.tensors["v"][j] for j in keys]
    second = run.tensors["v2"][turn.k]
    first = [[] if j is None else run.tensors["v1"][j] for j in keys]
    return [[a * b for a, b in zip(v, second, strict=True)] if v else [] for v in first]


@cache
def _definition(kernel: Kernel, inputs: Inputs) -> tuple[list[list[float]], list[float]]:
    """Out and lse of all queries in float64, with all logits at once."""
    tensors: dict[str, Any] = {
        name: torch.tensor(x, dtype=torch.float64)[None, None]
        for name, x in load_run(kernel, inputs).tensors.items()
    }
    if kernel == "dot product":
        out, lse = dot_product_attention_with_lse(**tensors)
    else:
        out, lse = trilinear_attention_with_lse(**tensors, w1=W1, w2=W2)
    return out[0, 0].tolist(), lse[0, 0].tolist()


def _key_map(steps: list[Step], step: int, first: int) -> list[list[Fate]]:
    """(rows of the tile, keys); what is computed for a row behind the end is never stored."""
    found: list[list[Fate]] = [["off"] * S for _ in range(TILE)]
    for n, one in enumerate(steps[1:], start=1):
        for r, logits in enumerate(one.tile):
            for j, logit in zip(one.keys, logits, strict=True):
                if j < S:
                    found[r][j] = _fate(n, step, first + r < S and logit is not None)
    return found


def _pair_map(steps: list[Step], step: int, query: int) -> list[list[Fate]]:
    """(first keys, second keys) of one query."""
    found: list[list[Fate]] = [["off"] * S for _ in range(S)]
    for n, one in enumerate(steps[1:], start=1):
        assert one.k is not None
        for j, logit in zip(one.keys, one.tile[query % TILE], strict=True):
            if j < S:
                found[j][one.k] = _fate(n, step, logit is not None)
    return found


def _fate(n: int, step: int, seen: bool) -> Fate:
    """skipped: computed and not used, since masked or of no query."""
    if not seen:
        return "skipped" if n <= step else "off"
    return "now" if n == step else "done" if n < step else "wait"


def _number(x: float | None) -> float:
    return -math.inf if x is None else x
