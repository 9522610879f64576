"""Exercise 10.3: the kernel for dk1 and dv1, whose programs own tiles of first keys.

Axes: b batch, h head, i query, j first key, k second key, s sequence length, d head_dim.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor

from simplex_lib.checks.ch10_first_key_kernels import (
    right_by_queries,
    right_everywhere,
    slipped_first_key,
)
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
from simplex_lib.checks.ch10_first_key_slips import FirstKeySlip
from simplex_lib.checks.exercise import Draw, Exercise, Right, Wrong
from simplex_lib.checks.kernel_runs import Output, run_kernel


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
    far: int,
) -> dict[str, Any]:
    require_tile(keys=keys, queries=queries)
    require_small(w1=w1, w2=w2)
    tensors = pair_inputs(draw, b=b, h=h, s=s, d=d, far=far)
    return tensors | dict(w1=w1, w2=w2, scale=SCALE, keys=keys, queries=queries, far=far)


def truth_first_key(
    *, w1: int, w2: int, scale: float, keys: int, queries: int, far: int, **x: Tensor
) -> tuple[Tensor, Tensor]:
    found = gradients(x, w1, w2, scale)
    return found["dk1"], found["dv1"]


def ask_first_key(answer: Any, arguments: Mapping[str, Any]) -> Any:
    """A slip in PyTorch needs no launch."""
    return answer(arguments) if isinstance(answer, InTorch) else _launch(answer, arguments)


def _launch(kernel: Any, arguments: Mapping[str, Any]) -> Any:
    b, h, s, d = shape = tuple(arguments["q"].shape)
    keys, queries = arguments["keys"], arguments["queries"]
    passed = with_strides(given_tensors(arguments) | dict(dk1=Output(shape), dv1=Output(shape)))
    passed |= dict(s=s, d=d) | {name: arguments[name] for name in ("w1", "w2", "scale")}
    passed |= dict(KEYS=keys, QUERIES=queries, D=width_of(d))
    found = run_kernel(kernel, (-(-s // keys), h, b), passed)
    return comparable(arguments, found["dk1"], found["dv1"])


def _slip(name: str, says: str, slip: str = "", *, everywhere: bool = False) -> Wrong:
    """everywhere: the loops go over all k and i, and only masks decide."""
    return Wrong(name, FirstKeySlip(slip or name, everywhere), says)


def _kernel(name: str, says: str) -> Wrong:
    """A slip that touches memory, or how tiles lie in a program."""
    return Wrong(name, partial(slipped_first_key, SLIP=name), says)


WRONG = (
    _slip(
        "scale forgotten in dk1",
        "dv1 is right. dk1 lacks the factor scale: it comes into S once, so its derivative with "
        "respect to k1 has it once.",
    ),
    _slip(
        "scale twice in dk1",
        "dv1 is right. dk1 has the factor scale twice: the merged query holds it already.",
    ),
    _slip(
        "scale forgotten in the logits",
        "The logits of your probabilities lack the factor scale, and lse was made with it.",
    ),
    _slip(
        "scale forgotten everywhere",
        "The factor scale is missing twice: in the logits of your probabilities, and in dk1.",
    ),
    _slip(
        "scale of its own",
        "Your scale is 1/√d. The kernel is given one, and lse was made with that.",
    ),
    _slip(
        "scale in dv1",
        "dk1 is right. dv1 is multiplied by scale, and no logit lies between v1 and the output.",
    ),
    _slip(
        "delta forgotten",
        "dv1 is right. Your dS is P · dP; the softmax makes P · (dP − delta) of it.",
    ),
    _slip(
        "delta added",
        "dv1 is right. In your dS delta is added to dP; it is subtracted.",
    ),
    _slip(
        "delta subtracted after the product",
        "dv1 is right. Your dS is P · dP − delta. P multiplies both: P · (dP − delta), so that "
        "hidden pairs have dS = 0.",
    ),
    _slip(
        "P left out of dS",
        "dv1 is right. Your dS is dP − delta for every visible pair; the factor P is missing.",
    ),
    _slip(
        "dP in place of dS",
        "dv1 is right. Into dk1 goes dP, the gradient of the probabilities. The logits' own is "
        "dS = P · (dP − delta).",
    ),
    _kernel(
        "P in place of dS",
        "dv1 is right. Into dk1 go the probabilities P; it takes dS = P · (dP − delta).",
    ),
    _slip(
        "dS in place of P",
        "dk1 is right. Into dv1 goes dS; the values are weighted by the probabilities P.",
    ),
    _kernel(
        "P not transposed",
        "dk1 is right. In dv1 your P stands the wrong way round: in its product rows have to be "
        "keys j, and queries i are summed over.",
    ),
    _kernel(
        "dS not transposed",
        "dv1 is right. In dk1 your dS stands the wrong way round: in its product rows have to be "
        "keys j, and queries i are summed over.",
    ),
    _kernel(
        "P and dS not transposed",
        "P and dS both stand the wrong way round in your last two products: rows have to be keys "
        "j, and queries i are summed over.",
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
        "Inside your tile, queries see first keys that come after them. That the loop over i "
        "begins at the tile does not hide these: the mask needs j ≤ i.",
        "future first keys",
    ),
    _slip(
        "future second keys",
        "Your queries see second keys that come after them: k ≤ i is missing.",
        everywhere=True,
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
        "window w2 + 1",
        "The second window holds one key too many: i − w2 < k, without equality, so that w2 = 1 "
        "leaves the query's own position alone.",
        everywhere=True,
    ),
    _slip(
        "window w2 + 1 in the mask",
        "Your mask lets k = i − w2 through. The window is i − w2 < k, without equality.",
        "window w2 + 1",
    ),
    _slip(
        "both windows + 1",
        "Both windows hold one key too many: i − w1 < j and i − w2 < k, without equality.",
        everywhere=True,
    ),
    _slip(
        "both windows + 1 in the mask",
        "Your mask lets j = i − w1 and k = i − w2 through. Both windows are without equality.",
        "both windows + 1",
    ),
    _slip(
        "window w1 - 1",
        "The first window is one key short: j = i − w1 + 1 is the first that a query sees.",
    ),
    _slip(
        "window w2 - 1",
        "The second window is one key short: k = i − w2 + 1 is the first that a query sees.",
    ),
    _slip(
        "windows exchanged",
        "The windows are exchanged: w1 belongs to the first key j, w2 to the second key k.",
        everywhere=True,
    ),
    _slip(
        "first window missing",
        "Your queries see first keys from before their window: i − w1 < j is nowhere asked.",
        everywhere=True,
    ),
    _slip(
        "first window left to the loop",
        "Some of your queries see first keys from before their window. The end of the loop over i "
        "suits the last j of the tile; for the others the mask needs i − w1 < j.",
        "first window missing",
    ),
    _slip(
        "second window missing",
        "Your queries see second keys from before their window: i − w2 < k is nowhere asked.",
        everywhere=True,
    ),
    _slip(
        "second window left to the loop",
        "Some of your queries do not see k any more. The loop over i comes in whole tiles, and the "
        "last one reaches beyond k + w2 − 1: the mask needs i − w2 < k.",
        "second window missing",
    ),
    _slip(
        "windows missing",
        "Both windows are missing: your queries see every pair of the past.",
        everywhere=True,
    ),
    _slip(
        "only k up to j",
        "Your second keys end at the first key, k ≤ j. A query sees both keys in windows of their "
        "own, and k may come after j.",
    ),
    _slip(
        "second keys before the tile left out",
        "Your second keys begin with the tile. A query of the tile also sees k before it, from "
        "i − w2 + 1 on.",
    ),
    _slip(
        "second keys after the tile left out",
        "Your second keys end with the tile. Queries after it still see its first keys, and "
        "second keys of their own time.",
    ),
    _slip(
        "queries after the tile left out",
        "Your loop over queries ends with the tile. Queries after it see its keys too, as long as "
        "i − w1 < j.",
    ),
    _slip(
        "k2 forgotten in the logits",
        "The logits of your probabilities lack the second key: S is the sum of q · k1 · k2.",
    ),
    _slip(
        "k2 forgotten in dk1",
        "dv1 is right. dk1 lacks the second key: it adds up dS · q · k2, not dS · q.",
    ),
    _slip(
        "v2 forgotten in dP",
        "dv1 is right. Your dP lacks the second value: it is the sum of dout · v1 · v2.",
    ),
    _slip(
        "v2 forgotten in dv1",
        "dk1 is right. dv1 lacks the second value: it adds up P · dout · v2, not P · dout.",
    ),
    _slip(
        "v2 forgotten",
        "The second value is missing from dP and from dv1: dout has to be merged with v2 before "
        "both.",
    ),
    _slip(
        "first key read twice",
        "In the place of k2[k] you read k1[k].",
    ),
    _slip(
        "first value read twice",
        "In the place of v2[k] you read v1[k].",
    ),
    _slip(
        "accumulators begun anew for each k",
        "Only the last k of your loop is left in dk1 and dv1: the sums begin again at 0 for each.",
    ),
    _slip(
        "last query counted again",
        "In the last tile of queries, positions past the end are pulled back to the last query, "
        "which then counts many times. Rows with i ≥ s have to count for nothing.",
    ),
    _kernel(
        "half-precision accumulators",
        "Your sums dk1 and dv1 are rounded to half precision in every step. Factors may be half; "
        "sums need float32.",
    ),
    _slip(
        "dk1 and dv1 exchanged",
        "dk1 and dv1 are exchanged when they are stored.",
    ),
    _kernel(
        "heads moved as texts",
        "Programs of axis 1 belong to heads, those of axis 2 to texts; with one text the axis of "
        "heads moves your pointers by whole texts.",
    ),
    _kernel(
        "atomics",
        "Nothing has to be added up between programs: each row of dk1 and dv1 has one program, "
        "which can sum in its own registers and store once.",
    ),
)

FIRST_KEY = Exercise(
    id="10.3",
    title="A kernel for dk1 and dv1",
    minutes=40,
    inputs=first_key_inputs,
    sizes=(
        dict(b=1, h=2, s=5, d=6, w1=3, w2=2, keys=16, queries=16, far=0),
        dict(b=2, h=3, s=4, d=5, w1=2, w2=9, keys=16, queries=16, far=120),
        dict(b=1, h=1, s=19, d=12, w1=50, w2=3, keys=16, queries=16, far=0),
        dict(b=1, h=1, s=33, d=20, w1=5, w2=20, keys=32, queries=16, far=0),
        dict(b=1, h=1, s=34, d=7, w1=2, w2=3, keys=16, queries=32, far=0),
        dict(b=1, h=2, s=18, d=9, w1=4, w2=5, keys=16, queries=16, far=0),
    ),
    smallest=dict(keys=16, queries=16, far=0),
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
