"""The mistakes of exercise 10.3, and what a learner reads of each."""

from __future__ import annotations

from functools import partial

from simplex_lib.checks.ch10_first_key_kernels import slipped_first_key
from simplex_lib.checks.ch10_first_key_slips import FirstKeySlip
from simplex_lib.checks.exercise import Wrong


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
        "mask multiplied",
        "It is right while hidden logits are moderate. exp is taken before the mask: a hidden "
        "logit far above lse gives inf, and inf · 0 is NaN. Put the mask into tl.where.",
    ),
    _slip(
        "mask multiplied, all keys and queries",
        "It is right while hidden logits are moderate. exp is taken before the mask, for all k "
        "and i: a hidden logit far above lse gives inf, and inf · 0 is NaN. Put the mask into "
        "tl.where.",
        "mask multiplied",
        everywhere=True,
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
        "sums begun anew",
        "Only the last step of your loops is left in dk1 and dv1. They begin at 0 once, before "
        "the loops, and each step adds to them: +=.",
    ),
    _slip(
        "sums begun anew, all keys and queries",
        "Only the last step of your loops, over all k and i, is left in dk1 and dv1. They begin "
        "at 0 once, before the loops, and each step adds to them: +=.",
        "sums begun anew",
        everywhere=True,
    ),
    _slip(
        "dk1 overwritten",
        "dv1 is right. Of dk1 only the last step of your loops is left: each step has to add to "
        "it, += in place of =.",
    ),
    _slip(
        "dv1 overwritten",
        "dk1 is right. Of dv1 only the last step of your loops is left: each step has to add to "
        "it, += in place of =.",
    ),
    _slip(
        "last tile of queries left out",
        "For every k your loop over queries ends one tile early: its last tile of queries never "
        "comes, and where there is one alone, none.",
    ),
    _slip(
        "last second key left out",
        "Your loop over k ends one too early: the last query that sees your tile also sees k at "
        "its own place.",
    ),
    _slip(
        "queries one by one",
        "Your loop over queries moves on by 1 and takes QUERIES of them each time, so that most "
        "count several times. It needs the step QUERIES.",
    ),
    _slip(
        "queries by half a tile",
        "Your tiles of queries overlap by half, and the queries there count twice. The loop needs "
        "the step QUERIES.",
    ),
    _slip(
        "P of the tile",
        "Your P is divided by its sum over the tile. A query sees keys outside the tile too: lse "
        "holds the sum over all of them, and exp(S − lse) is P already.",
    ),
    _slip(
        "delta of the tile",
        "dv1 is right. Your delta is the sum of P · dP over the tile. It is a sum over all pairs "
        "that a query sees, and the kernel is given it.",
    ),
    _kernel(
        "lse and delta exchanged",
        "lse and delta are exchanged: P = exp(S − lse) and dS = P · (dP − delta).",
    ),
    _kernel(
        "lse in bfloat16",
        "Your lse is rounded to bfloat16, which has 8 bits. An error of 1/32 in lse is one of 3 % "
        "in P: it stays float32.",
    ),
    _kernel(
        "lse in float16",
        "Your lse is rounded to float16, which has 11 bits. An error in lse is the same share of "
        "P: it stays float32.",
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
        "k2 with the strides of q",
        "Inside a head, k2 is taken to lie in memory as q does. No two tensors need have the "
        "same strides: each comes with its own.",
    ),
    _kernel(
        "dout with the strides of q",
        "Inside a head, dout is taken to lie in memory as q does. No two tensors need have the "
        "same strides: each comes with its own.",
    ),
    _kernel(
        "v1 with the strides of k1",
        "Inside a head, v1 is taken to lie in memory as k1 does. No two tensors need have the "
        "same strides: each comes with its own.",
    ),
    _kernel(
        "v2 with the strides of k2",
        "Inside a head, v2 is taken to lie in memory as k2 does. No two tensors need have the "
        "same strides: each comes with its own.",
    ),
    _kernel(
        "dv1 with the strides of dk1",
        "Inside a head, dv1 is taken to lie in memory as dk1 does. No two tensors need have the "
        "same strides: each comes with its own.",
    ),
    _kernel(
        "contiguous strides",
        "Inside a head your rows are taken to be d apart and your columns 1. Each tensor comes "
        "with strides of its own.",
    ),
    _kernel(
        "program 0 does everything",
        "Program (0, 0, 0) goes over all tiles, heads and texts, and the others do nothing. They "
        "could work at the same time: each does the tile that its ids name.",
    ),
    _kernel(
        "first program of a head does everything",
        "The first program of each head goes over all its tiles, and the others do nothing. They "
        "could work at the same time: each does the tile that its ids name.",
    ),
    _kernel(
        "tiles from the end",
        "Your programs take the tiles in reverse order: program 0 the last one.",
    ),
    _kernel(
        "atomics",
        "Nothing has to be added up between programs: each row of dk1 and dv1 has one program, "
        "which can sum in its own registers and store once.",
    ),
)
