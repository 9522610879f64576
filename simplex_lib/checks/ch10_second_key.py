"""Exercise 10.4: the kernel for dq, dk2 and dv2, in two launches without atomics.

Axes: b batch, h head, i query, j first key, k second key, s sequence length, d head_dim.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch10_first_key_runs import (
    SCALE,
    InTorch,
    comparable,
    given_tensors,
    gradients,
    pair_inputs,
    require_small,
    require_tile,
    width_of,
    with_strides,
)
from simplex_lib.checks.ch10_second_key_kernels import (
    right_by_second_keys,
    right_tile_by_tile,
    slipped_second_key,
)
from simplex_lib.checks.ch10_second_key_slips import SecondKeySlip
from simplex_lib.checks.exercise import Draw, Exercise, Right, Wrong
from simplex_lib.checks.kernel_runs import Again, run_kernel

Three = tuple[Tensor, Tensor, Tensor]  # dq, dk2, dv2


def second_key_inputs(
    draw: Draw, *, b: int, h: int, s: int, d: int, w1: int, w2: int, far: int
) -> dict[str, Any]:
    require_tile(w2=w2)
    require_small(w1=w1, w2=w2)
    tensors = pair_inputs(draw, b=b, h=h, s=s, d=d, far=far)
    return tensors | dict(w1=w1, w2=w2, scale=SCALE, far=far)


def truth_second_key(*, w1: int, w2: int, scale: float, far: int, **x: Tensor) -> Three:
    found = gradients(x, w1, w2, scale)
    return found["dq"], found["dk2"], found["dv2"]


def ask_second_key(answer: Any, arguments: Mapping[str, Any]) -> Any:
    """A slip in PyTorch needs no launch."""
    return answer(arguments) if isinstance(answer, InTorch) else _launch(answer, arguments)


def _launch(kernel: Any, arguments: Mapping[str, Any]) -> Any:
    """STAGE 0, then STAGE 1 on what it left."""
    b, h, s, d = shape = tuple(arguments["q"].shape)
    w2 = arguments["w2"]
    tiles = -(-s // w2)
    given = given_tensors(arguments)
    found = dict(dq=torch.full(shape, math.nan), dk2=torch.zeros(shape), dv2=torch.zeros(shape))
    for stage in (0, 1):
        programs = (tiles + 1 - stage) // 2
        if programs == 0:
            continue
        passed = with_strides(given | {name: Again(x) for name, x in found.items()})
        passed |= dict(s=s, d=d, w1=arguments["w1"], scale=arguments["scale"])
        passed |= dict(W2=w2, D=width_of(d), STAGE=stage)
        found = run_kernel(kernel, (programs, h, b), passed)
    return comparable(arguments, found["dq"], found["dk2"], found["dv2"])


def _slip(name: str, says: str, slip: str = "", *, everywhere: bool = False) -> Wrong:
    """everywhere: the loop goes over all j, and only masks decide."""
    return Wrong(name, SecondKeySlip(slip or name, everywhere), says)


def _kernel(name: str, says: str) -> Wrong:
    """A slip that touches memory, or how tiles lie in a program."""
    return Wrong(name, partial(slipped_second_key, SLIP=name), says)


WRONG = (
    _slip(
        "scale forgotten in dk2",
        "dq and dv2 are right. dk2 lacks the factor scale: it comes into S once, so its "
        "derivative with respect to k2 has it once.",
    ),
    _slip(
        "scale forgotten in dq",
        "dk2 and dv2 are right. dq lacks the factor scale: it comes into S once, so its "
        "derivative with respect to q has it once.",
    ),
    _slip(
        "scale forgotten in dq and dk2",
        "dv2 is right. dq and dk2 both lack the factor scale, which their logits have.",
    ),
    _slip(
        "scale twice in dk2",
        "dq and dv2 are right. dk2 has the factor scale twice: the merged query holds it already.",
    ),
    _slip(
        "scale twice in dq",
        "dk2 and dv2 are right. dq has the factor scale twice.",
    ),
    _slip(
        "scale forgotten in the logits",
        "The logits of your probabilities lack the factor scale, and lse was made with it.",
    ),
    _slip(
        "scale forgotten everywhere",
        "The factor scale is missing three times: in the logits of your probabilities, in dq and "
        "in dk2.",
    ),
    _slip(
        "scale of its own",
        "Your scale is 1/√d. The kernel is given one, and lse was made with that.",
    ),
    _slip(
        "scale in dv2",
        "dq and dk2 are right. dv2 is multiplied by scale, and no logit lies between v2 and the "
        "output.",
    ),
    _slip(
        "delta forgotten",
        "dv2 is right. Your dS is P · dP; the softmax makes P · (dP − delta) of it.",
    ),
    _slip(
        "delta added",
        "dv2 is right. In your dS delta is added to dP; it is subtracted.",
    ),
    _slip(
        "delta subtracted after the product",
        "dv2 is right. Your dS is P · dP − delta. P multiplies both: P · (dP − delta), so that "
        "hidden pairs have dS = 0.",
    ),
    _slip(
        "dP in place of dS",
        "dv2 is right. Into dq and dk2 goes dP, the gradient of the probabilities. The logits' "
        "own is dS = P · (dP − delta).",
    ),
    _kernel(
        "P in place of dS in dk2",
        "dq and dv2 are right. Into dk2 go the probabilities P; it takes dS = P · (dP − delta).",
    ),
    _slip(
        "dS in place of P",
        "dq and dk2 are right. Into dv2 goes dS; the values are weighted by the probabilities P.",
    ),
    _slip(
        "lse taken as base 2",
        "Your probabilities are 2^(S log2(e) − lse). lse is natural, so under a 2 it needs the "
        "factor log2(e) as S does.",
    ),
    _slip(
        "logits taken as base 2",
        "Your probabilities are 2^(S − lse log2(e)). S is natural, so under a 2 it needs the "
        "factor log2(e) as lse does.",
    ),
    _slip(
        "exp2 of natural numbers",
        "Your probabilities are 2^(S − lse). Both are natural: take exp, or multiply the "
        "difference by log2(e).",
    ),
    _slip(
        "lse forgotten",
        "Your P is exp(S), without lse: weights that do not sum to 1, and inf for large logits.",
    ),
    _slip(
        "quotient of exponentials",
        "It is right for small logits. You divide exp(S) by exp(lse), and for logits around 100 "
        "one is inf or both are 0. exp(S − lse) is the same number without the trouble.",
    ),
    _slip(
        "future first keys",
        "Your queries see first keys that come after them: j ≤ i is missing.",
        everywhere=True,
    ),
    _slip(
        "future first keys in the tile",
        "Inside your tile, queries see first keys that come after them. The loop over j ends with "
        "the tile's last query; for the others the mask needs j ≤ i.",
        "future first keys",
    ),
    _kernel(
        "future second keys",
        "Your queries see second keys of their own tile that come after them: k ≤ i is missing.",
    ),
    _slip(
        "future second keys of the text",
        "Your queries see second keys of their own tile that come after them, as far as the text "
        "goes: k ≤ i is missing.",
        "future second keys",
    ),
    _slip(
        "window w1 + 1",
        "The first window holds one key too many: i − w1 < j, without equality, so that w1 = 1 "
        "leaves the query's own position alone.",
        everywhere=True,
    ),
    _slip(
        "window w1 + 1 in the mask",
        "Your mask lets j = i − w1 through. The window is i − w1 < j, without equality.",
        "window w1 + 1",
    ),
    _slip(
        "window w1 - 1",
        "The first window is one key short: j = i − w1 + 1 is the first that a query sees.",
    ),
    _slip(
        "window w2 + 1",
        "The second window holds one key too many: i − W2 < k, without equality. The row "
        "k = first query − W2 is loaded and never seen.",
    ),
    _slip(
        "window w2 - 1",
        "The second window is one key short: k = i − W2 + 1 is the first that a query sees.",
    ),
    _slip(
        "first window missing",
        "Your queries see first keys from before their window: i − w1 < j is nowhere asked.",
        everywhere=True,
    ),
    _slip(
        "first window left to the loop",
        "Some of your queries see first keys from before their window. The loop over j begins "
        "where the tile's first query needs it; for the others the mask needs i − w1 < j.",
        "first window missing",
    ),
    _slip(
        "second window missing",
        "Your queries see all 2 · W2 rows of second keys that are not in their future. That they "
        "are loaded does not mean that each query sees them: the mask needs i − W2 < k.",
    ),
    _kernel(
        "rows before the text seen",
        "It is right for ordinary logits. Rows k < 0 are not hidden: with k2 = 0 there, P is "
        "e^(−lse), which is inf where lse is far below 0, and inf · 0 is NaN.",
    ),
    _slip(
        "only k up to j",
        "Your second keys end at the first key, k ≤ j. A query sees both keys in windows of their "
        "own, and k may come after j.",
    ),
    _slip(
        "only k from j on",
        "Your second keys begin at the first key, as line 8 of Algorithm 2 has it in print. That "
        "is a slip: a query sees both keys in windows of their own, and k may come before j.",
    ),
    _slip(
        "previous tile left out",
        "Your queries see second keys of their own tile alone. Their window reaches into the tile "
        "before.",
    ),
    _slip(
        "own tile left out",
        "Your queries see second keys of the tile before and none of their own.",
    ),
    _slip(
        "first keys before the tile left out",
        "Your first keys begin with the tile. Its queries also see j before it, from i − w1 + 1 "
        "on.",
    ),
    _slip(
        "k1 forgotten in the logits",
        "The logits of your probabilities lack the first key: S is the sum of q · k1 · k2.",
    ),
    _slip(
        "k1 forgotten in dk2",
        "dq and dv2 are right. dk2 lacks the first key: it adds up dS · q · k1, not dS · q.",
    ),
    _slip(
        "k1 forgotten in dq",
        "dk2 and dv2 are right. dq lacks the first key: it adds up dS · k1 · k2, not dS · k2.",
    ),
    _slip(
        "k2 forgotten in dq",
        "dk2 and dv2 are right. dq lacks the second key: it adds up dS · k1 · k2, not dS · k1.",
    ),
    _slip(
        "v1 forgotten in dP",
        "dv2 is right. Your dP lacks the first value: it is the sum of dout · v1 · v2.",
    ),
    _slip(
        "v1 forgotten in dv2",
        "dq and dk2 are right. dv2 lacks the first value: it adds up P · dout · v1, not P · dout.",
    ),
    _slip(
        "v1 forgotten",
        "The first value is missing from dP and from dv2: dout has to be merged with v1 before "
        "both.",
    ),
    _slip(
        "second key read twice",
        "In the place of k1[j] you read k2[j].",
    ),
    _slip(
        "second value read twice",
        "In the place of v1[j] you read v2[j].",
    ),
    _slip(
        "accumulators begun anew for each j",
        "Only the last j of your loop is left in your sums: they begin again at 0 for each.",
    ),
    _slip(
        "last query counted again",
        "In the last tile, positions past the end are pulled back to the last query, which then "
        "counts many times. Rows with i ≥ s have to count for nothing.",
    ),
    _kernel(
        "half-precision accumulators",
        "Your sums dq, dk2 and dv2 are rounded to half precision in every step. Factors may be "
        "half; sums need float32.",
    ),
    _slip(
        "dk2 and dv2 exchanged",
        "dq is right. dk2 and dv2 are exchanged when they are stored.",
    ),
    _kernel(
        "heads moved as texts",
        "Programs of axis 1 belong to heads, those of axis 2 to texts; with one text the axis of "
        "heads moves your pointers by whole texts.",
    ),
    _kernel(
        "STAGE ignored",
        "Your tile is the number of the program, in both launches. Programs of one launch then own "
        "neighbouring tiles, which share a tile of second keys; and the last tiles have none.",
    ),
    _kernel(
        "halves in place of even and odd",
        "Your launches take the first and the second half of the tiles. Then neighbours run in "
        "one launch, and they share a tile of second keys: take every other tile.",
    ),
    _kernel(
        "even tiles in both stages",
        "Both launches of yours work on the even tiles: STAGE does not enter the number of the "
        "tile.",
    ),
    _kernel(
        "odd tiles first",
        "Your STAGE 0 works on the odd tiles and STAGE 1 on the even ones. With an odd number of "
        "tiles there are more even ones, and the grid of STAGE 0 is made for them.",
    ),
    _slip(
        "odd tiles overwrite",
        "Your STAGE 1 stores dk2 and dv2 over what STAGE 0 left there. Even and odd tiles share "
        "their rows: load, add, store.",
    ),
    _slip(
        "odd tiles overwrite dk2",
        "dq and dv2 are right. Your STAGE 1 stores dk2 over what STAGE 0 left there; only dv2 is "
        "added.",
    ),
    _slip(
        "odd tiles overwrite dv2",
        "dq and dk2 are right. Your STAGE 1 stores dv2 over what STAGE 0 left there; only dk2 is "
        "added.",
    ),
    _slip(
        "own tile alone stored",
        "dq is right. Your programs store dk2 and dv2 for second keys of their own tile alone. "
        "What their queries owe to the tile before is lost.",
    ),
    _slip(
        "own tile alone stored by odd tiles",
        "dq is right. In STAGE 1 you store dk2 and dv2 for second keys of the own tile alone. What "
        "odd tiles owe to the tile before is lost.",
    ),
    _slip(
        "previous tile alone stored",
        "dq is right. Your programs store dk2 and dv2 for second keys of the tile before them "
        "alone. What their queries owe to their own tile is lost.",
    ),
    _slip(
        "previous tile alone stored by odd tiles",
        "dq is right. In STAGE 1 you store dk2 and dv2 for the tile before alone, so the odd "
        "tiles' own second keys lack what their queries owe them.",
    ),
    _slip(
        "dq added to what is there",
        "dk2 and dv2 are right. dq is added to what lies in its memory. Every query has one "
        "program, in one of the two launches: it stores.",
    ),
    _slip(
        "dq of even tiles only",
        "dk2 and dv2 are right. dq of the odd tiles is never stored: each launch stores the dq of "
        "its own queries.",
    ),
    _kernel(
        "atomics",
        "Within a launch no two programs share a row of dk2 or dv2, and the second launch finds "
        "what the first one left: plain loads and stores do.",
    ),
)

SECOND_KEY = Exercise(
    id="10.4",
    title="A kernel for dq, dk2 and dv2 without atomics",
    minutes=45,
    inputs=second_key_inputs,
    sizes=(
        dict(b=1, h=2, s=5, d=6, w1=3, w2=16, far=0),
        dict(b=2, h=3, s=3, d=4, w1=2, w2=16, far=120),
        dict(b=1, h=1, s=19, d=12, w1=50, w2=16, far=0),
        dict(b=1, h=1, s=35, d=20, w1=4, w2=16, far=0),
        dict(b=1, h=1, s=34, d=7, w1=2, w2=32, far=0),
        dict(b=1, h=2, s=18, d=9, w1=4, w2=16, far=0),
    ),
    smallest=dict(w2=16, far=0),
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
