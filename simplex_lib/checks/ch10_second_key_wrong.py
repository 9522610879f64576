"""The mistakes of exercise 10.4, and what a learner reads of each."""

from __future__ import annotations

from functools import partial

from simplex_lib.checks.ch10_second_key_kernels import slipped_second_key
from simplex_lib.checks.ch10_second_key_slips import SecondKeySlip
from simplex_lib.checks.exercise import Wrong


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
    _kernel(
        "mask multiplied",
        "It is right while hidden logits are moderate. exp is taken before the mask: a hidden "
        "logit far above lse gives inf, and inf · 0 is NaN. Put the mask into tl.where.",
    ),
    _kernel(
        "mask multiplied, all first keys",
        "It is right while hidden logits are moderate. exp is taken before the mask, for all j: a "
        "hidden logit far above lse gives inf, and inf · 0 is NaN. Put the mask into tl.where.",
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
        "sums begun anew",
        "Only the last j of your loop is left in your sums. They begin at 0 once, before the "
        "loop, and each step adds to them: +=.",
    ),
    _slip(
        "sums begun anew, all first keys",
        "Only the last j of your loop, which goes over all of them, is left in your sums. They "
        "begin at 0 once, before the loop, and each step adds to them: +=.",
        "sums begun anew",
        everywhere=True,
    ),
    _slip(
        "dq overwritten",
        "dk2 and dv2 are right. Of dq only the last j of your loop is left: each step has to add "
        "to it, += in place of =.",
    ),
    _slip(
        "dk2 overwritten",
        "dq and dv2 are right. Of dk2 only the last j of your loop is left: each step has to add "
        "to it, += in place of =.",
    ),
    _slip(
        "dv2 overwritten",
        "dq and dk2 are right. Of dv2 only the last j of your loop is left: each step has to add "
        "to it, += in place of =.",
    ),
    _slip(
        "first keys of the tile left out",
        "Your loop over j ends where the tile begins. Its queries also see first keys of the tile "
        "itself, up to their own place.",
    ),
    _slip(
        "last first key left out",
        "Your loop over j ends one too early: the tile's last query also sees j at its own place.",
    ),
    _slip(
        "P of the tile",
        "Your P is divided by its sum over the second keys. A query sees many first keys: lse "
        "holds the sum over all pairs, and exp(S − lse) is P already.",
    ),
    _slip(
        "delta of the tile",
        "dv2 is right. Your delta is the sum of P · dP over second keys, for one j. It is a sum "
        "over all pairs that a query sees, and the kernel is given it.",
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
        "dq is right. What you return as dk2 is dv2, and the other way round.",
    ),
    _slip(
        "dk2 and dv2 exchanged at the store",
        "dq is right. dk2 and dv2 are exchanged when they are stored. In STAGE 1 each is loaded "
        "from its own place, and so the even tiles' part comes back.",
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
        "v2 with the strides of k2",
        "Inside a head, v2 is taken to lie in memory as k2 does. No two tensors need have the "
        "same strides: each comes with its own.",
    ),
    _kernel(
        "dk2 with the strides of dq",
        "Inside a head, dk2 is taken to lie in memory as dq does. No two tensors need have the "
        "same strides: each comes with its own.",
    ),
    _kernel(
        "dv2 with the strides of dk2",
        "Inside a head, dv2 is taken to lie in memory as dk2 does. No two tensors need have the "
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
        "The first program of each head goes over all its tiles of this STAGE, and the others do "
        "nothing. They could work at the same time: each does the tile that its ids name.",
    ),
    _kernel(
        "tiles from the end",
        "Your programs take the tiles of a launch in reverse order: program 0 the last one.",
    ),
    _kernel(
        "atomics",
        "Within a launch no two programs share a row of dk2 or dv2, and the second launch finds "
        "what the first one left: plain loads and stores do.",
    ),
)
