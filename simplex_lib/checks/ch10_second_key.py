"""Exercise 10.4: the kernel for dq, dk2 and dv2, in two launches without atomics.

Axes: b batch, h head, i query, j first key, k second key, s sequence length, d head_dim.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch10_first_key_runs import (
    AS_DRAWN,
    FAR,
    HIGH_IF_HIDDEN,
    SCALE,
    InTorch,
    comparable,
    given_tensors,
    gradients,
    laid_out,
    output_orders,
    pair_inputs,
    raise_hidden,
    require_known,
    require_small,
    require_tile,
    width_of,
    with_strides,
)
from simplex_lib.checks.ch10_second_key_kernels import (
    right_by_second_keys,
    right_tile_by_tile,
)
from simplex_lib.checks.ch10_second_key_wrong import WRONG
from simplex_lib.checks.exercise import Draw, Exercise, Right
from simplex_lib.checks.kernel_runs import Again, run_kernel, tiles

Three = tuple[Tensor, Tensor, Tensor]  # dq, dk2, dv2

SIZES = (
    dict(b=1, h=2, s=5, d=6, w1=3, w2=16, logits=AS_DRAWN),
    dict(b=2, h=3, s=3, d=5, w1=2, w2=16, logits=FAR),
    dict(b=1, h=1, s=19, d=12, w1=50, w2=16, logits=AS_DRAWN),
    dict(b=1, h=1, s=35, d=20, w1=4, w2=16, logits=AS_DRAWN),
    dict(b=1, h=1, s=34, d=7, w1=2, w2=32, logits=AS_DRAWN),
    dict(b=1, h=1, s=28, d=4, w1=6, w2=16, logits=HIGH_IF_HIDDEN),
    dict(b=1, h=2, s=18, d=9, w1=4, w2=16, logits=AS_DRAWN),
)
# a failing case is made smaller in its texts, heads and tokens alone
SMALLEST = dict(s=2, d=99, w1=99, w2=99, logits=999)


def second_key_inputs(
    draw: Draw, *, b: int, h: int, s: int, d: int, w1: int, w2: int, logits: int
) -> dict[str, Any]:
    require_known(SIZES, b=b, h=h, s=s, d=d, w1=w1, w2=w2, logits=logits)
    require_tile(w2=w2)
    require_small(w1=w1, w2=w2)
    tensors = pair_inputs(draw, b=b, h=h, s=s, d=d, logits=logits)
    if logits == HIGH_IF_HIDDEN:
        tensors = raise_hidden(tensors, w1, w2)
    return tensors | dict(w1=w1, w2=w2, scale=SCALE, logits=logits)


def truth_second_key(*, w1: int, w2: int, scale: float, logits: int, **x: Tensor) -> Three:
    found = gradients(x, w1, w2, scale)
    return found["dq"], found["dk2"], found["dv2"]


def ask_second_key(answer: Any, arguments: Mapping[str, Any]) -> Any:
    """A slip in PyTorch needs no launch."""
    return answer(arguments) if isinstance(answer, InTorch) else _launch(answer, arguments)


def _launch(kernel: Any, arguments: Mapping[str, Any]) -> Any:
    """STAGE 0, then STAGE 1 on what it left."""
    b, h, s, d = shape = tuple(arguments["q"].shape)
    w2 = arguments["w2"]
    n_tiles = -(-s // w2)
    given = given_tensors(arguments)
    found = dict(dq=torch.full(shape, math.nan), dk2=torch.zeros(shape), dv2=torch.zeros(shape))
    for stage in (0, 1):
        programs = (n_tiles + 1 - stage) // 2
        if programs == 0:
            continue
        lies = zip(found.items(), output_orders(d), strict=True)
        passed = with_strides(given | {name: Again(laid_out(x, o)) for (name, x), o in lies})
        passed |= dict(s=s, d=d, w1=arguments["w1"], scale=arguments["scale"])
        passed |= dict(W2=w2, D=width_of(d), STAGE=stage)
        tile, *others = tiles(shape, (2, w2), (1, 1), (0, 1))
        mine = torch.where(tile % 2 == stage, tile // 2, -1)
        owners = dict(dq=(mine, *others))
        found = run_kernel(kernel, (programs, h, b), passed, owners=owners, ieee=True)
    return comparable(arguments, found["dq"], found["dk2"], found["dv2"])


SECOND_KEY = Exercise(
    id="10.4",
    title="A kernel for dq, dk2 and dv2 without atomics",
    minutes=45,
    inputs=second_key_inputs,
    sizes=SIZES,
    smallest=SMALLEST,
    truth=truth_second_key,
    outputs=("dq: b h i d", "dk2: b h k d", "dv2: b h k d"),
    wrong=WRONG,
    right=(
        Right("tile by tile, all j, base 2", right_tile_by_tile),
        Right("one second key at a time", right_by_second_keys),
    ),
    hints=(
        "Which second keys does a tile of W2 queries see, and which other tiles of queries see "
        "the same ones? Draw three tiles. Then the body is that of 10.3 with the roles exchanged: "
        "hold one first key j, merge it into q, and let k2 and v2 stay.",
        "Load q, dout, lse, delta of W2 queries and k2, v2 of the 2 · W2 rows from first_i − W2 "
        "on, once. P and dS are (2 · W2, W2), keys down and queries across. dq takes the same dS "
        "transposed, times k2, times scale · k1. Rows k < 0 are not loaded, not seen, not stored.",
        "first_i = (2 · program_id(0) + STAGE) · W2; for j in max(first_i − w1 + 1, 0) … "
        "min(first_i + W2, s) − 1: m = scale · q ∘ k1_j; n = dout ∘ v1_j; P = exp(k2 mᵀ − lse), 0 "
        "where hidden; dS = P ∘ (v2 nᵀ − delta); dv2 += P n; dk2 += dS m; dq += scale · (dSᵀ k2) "
        "∘ k1_j. Store dq; if STAGE is 1 load dk2 and dv2 and add; store them.",
    ),
    why="A tile of queries as long as the window reaches into one tile before its own and no "
    "further, so every other tile can run at the same time with plain stores. Two launches in a "
    "fixed order take the place of atomics, and every run gives the same bits.",
    another_way="hold single second keys instead: dk2_k is the sum over queries of scale · q ∘ "
    "(dS k1), and W2 rows of first keys come in tiles. Or add in both stages: what is added to in "
    "STAGE 0 is 0.",
    variants=("float16",),
    tolerance=5e-5,
    ask=ask_second_key,
    kind="kernel",
    same_dtype=False,
)
