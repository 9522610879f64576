"""Exercise 10.3: the kernel for dk1 and dv1, whose programs own tiles of first keys.

Axes: b batch, h head, i query, j first key, k second key, s sequence length, d head_dim.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from simplex_lib.checks.ch10_first_key_kernels import (
    right_by_queries,
    right_everywhere,
)
from simplex_lib.checks.ch10_first_key_runs import (
    AS_DRAWN,
    FAR,
    HIGH_IF_HIDDEN,
    SCALE,
    InTorch,
    comparable,
    given_tensors,
    gradients,
    output_orders,
    pair_inputs,
    raise_hidden,
    require_known,
    require_small,
    require_tile,
    width_of,
    with_strides,
)
from simplex_lib.checks.ch10_first_key_wrong import WRONG
from simplex_lib.checks.exercise import Draw, Exercise, Right
from simplex_lib.checks.kernel_runs import Output, run_kernel, tiles

SIZES = (
    dict(b=1, h=2, s=5, d=6, w1=3, w2=2, keys=16, queries=16, logits=AS_DRAWN),
    dict(b=2, h=3, s=4, d=5, w1=2, w2=9, keys=16, queries=16, logits=FAR),
    dict(b=1, h=1, s=19, d=12, w1=50, w2=3, keys=16, queries=16, logits=AS_DRAWN),
    dict(b=1, h=1, s=33, d=20, w1=5, w2=20, keys=32, queries=16, logits=AS_DRAWN),
    dict(b=1, h=1, s=34, d=7, w1=2, w2=3, keys=16, queries=32, logits=AS_DRAWN),
    dict(b=1, h=1, s=18, d=3, w1=4, w2=5, keys=16, queries=16, logits=HIGH_IF_HIDDEN),
    dict(b=1, h=2, s=18, d=9, w1=4, w2=5, keys=16, queries=16, logits=AS_DRAWN),
)
# a failing case is made smaller in its texts, heads and tokens alone
SMALLEST = dict(s=2, d=99, w1=99, w2=99, keys=99, queries=99, logits=999)


def first_key_inputs(
    draw: Draw,
    *,
    b: int,
    h: int,
    s: int,
    d: int,
    w1: int,
    w2: int,
    keys: int,
    queries: int,
    logits: int,
) -> dict[str, Any]:
    sizes = dict(b=b, h=h, s=s, d=d, w1=w1, w2=w2, keys=keys, queries=queries, logits=logits)
    require_known(SIZES, **sizes)
    require_tile(keys=keys, queries=queries)
    require_small(w1=w1, w2=w2)
    tensors = pair_inputs(draw, b=b, h=h, s=s, d=d, logits=logits)
    if logits == HIGH_IF_HIDDEN:
        tensors = raise_hidden(tensors, w1, w2)
    return tensors | dict(w1=w1, w2=w2, scale=SCALE, keys=keys, queries=queries, logits=logits)


def truth_first_key(
    *, w1: int, w2: int, scale: float, keys: int, queries: int, logits: int, **x: Tensor
) -> tuple[Tensor, Tensor]:
    found = gradients(x, w1, w2, scale)
    return found["dk1"], found["dv1"]


def ask_first_key(answer: Any, arguments: Mapping[str, Any]) -> Any:
    """A slip in PyTorch needs no launch."""
    return answer(arguments) if isinstance(answer, InTorch) else _launch(answer, arguments)


def _launch(kernel: Any, arguments: Mapping[str, Any]) -> Any:
    b, h, s, d = shape = tuple(arguments["q"].shape)
    keys, queries = arguments["keys"], arguments["queries"]
    orders = zip(("dk1", "dv1"), output_orders(d), strict=False)
    outputs = {name: Output(shape, order=order) for name, order in orders}
    passed = with_strides(given_tensors(arguments) | outputs)
    passed |= dict(s=s, d=d) | {name: arguments[name] for name in ("w1", "w2", "scale")}
    passed |= dict(KEYS=keys, QUERIES=queries, D=width_of(d))
    owner = tiles(shape, (2, keys), (1, 1), (0, 1))
    owners = dict(dk1=owner, dv1=owner)
    found = run_kernel(kernel, (-(-s // keys), h, b), passed, owners=owners, ieee=True)
    return comparable(arguments, found["dk1"], found["dv1"])


FIRST_KEY = Exercise(
    id="10.3",
    title="A kernel for dk1 and dv1",
    minutes=40,
    inputs=first_key_inputs,
    sizes=SIZES,
    smallest=SMALLEST,
    truth=truth_first_key,
    outputs=("dk1: b h j d", "dv1: b h j d"),
    wrong=WRONG,
    right=(
        Right("tiles of queries outside, all k inside", right_everywhere),
        Right("one query at a time", right_by_queries),
    ),
    hints=(
        "Hold one second key k fixed. Then scale · q ∘ k2_k is an ordinary query and dout ∘ v2_k "
        "an ordinary gradient: what is left is the backward pass of dot-product attention from "
        "chapter 01. Your program keeps k1, v1, dk1 and dv1 of its tile all the time.",
        "Write P and dS with keys down and queries across, (KEYS, QUERIES): then dv1 and dk1 are "
        "plain products, and lse and delta lie along the columns. Which queries see some j of the "
        "tile? The first is first_j; the last sees the tile's last key: i − w1 < first_j + KEYS "
        "− 1.",
        "for k in max(first_j − w2 + 1, 0) … i_end − 1, with i_end = min(first_j + KEYS − 1 + w1, "
        "s): for tiles of i from max(first_j, k) on, below min(i_end, k + w2): m = scale · q ∘ "
        "k2_k; n = dout ∘ v2_k; P = exp(k1 mᵀ − lse), 0 where hidden; dS = P ∘ (v1 nᵀ − delta); "
        "dv1 += P n; dk1 += dS m. Store both once, after the loops.",
    ),
    why="Each row of dk1 and dv1 belongs to one program, which adds up in a fixed order: no "
    "atomics, the same bits in every run. The price is that P and dP are computed again here and "
    "once more in the kernel for the second key.",
    another_way="hold the query fixed instead of k: with q_i merged into k1 and dout_i into v1, "
    "dv1 += dout_i ∘ (P v2) and dk1 += scale · q_i ∘ (dS k2). The paper's Listing 2 holds k.",
    variants=("float16",),
    tolerance=5e-5,
    ask=ask_first_key,
    kind="kernel",
    same_dtype=False,
)
