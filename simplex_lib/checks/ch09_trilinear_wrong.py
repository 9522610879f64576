"""The mistakes that exercise 9.5 knows, and what a learner reads of each.

Axes: b batch, h head, i query, j first key, k second key, s sequence length, d head_dim.
"""

from __future__ import annotations

import torch

from simplex_lib.checks.ch09_attention_wrong import common_wrong, slips_first
from simplex_lib.checks.ch09_trilinear_kernels import careless
from simplex_lib.checks.ch09_trilinear_slips import trilinear_slip
from simplex_lib.checks.ch09_trilinear_windows import WRONG_WINDOWS
from simplex_lib.checks.exercise import Wrong

WRONG = slips_first(
    Wrong(
        "no rescaling",
        trilinear_slip(rescale="none"),
        "When a later pair brings a larger maximum, l and acc are still measured against the old "
        "one. Your sums mix two units: both have to be multiplied by exp(m - m_new) first.",
    ),
    Wrong(
        "maximum not below 0",
        trilinear_slip(start=0.0),
        "It is right for ordinary logits. Where all logits of a query lie far below 0 it gives "
        "NaN, as 0 / 0 does: every weight rounds to 0 if the number subtracted is far above them. "
        "That is so where the maximum begins at 0, or takes in hidden keys or other queries.",
    ),
    Wrong(
        "maximum from a finite number",
        trilinear_slip(start=-1e4),
        "It gives NaN, as 0 / 0 does, for queries whose logits all lie near minus two billion: "
        "every weight rounds to 0 if the number subtracted is far above them. A running maximum "
        "that begins at a finite number has to begin lower; the paper's is -1e38.",
    ),
    Wrong(
        "maximum from -inf",
        trilinear_slip(start=float("-inf")),
        "In the first steps of a tile some queries see no pair yet. Their maximum stays -inf, "
        "-inf - (-inf) is NaN, and NaN stays for good. A start that is low and finite, -1e38, "
        "gives exp(-inf) = 0 there.",
    ),
    Wrong(
        "hidden logits 0",
        trilinear_slip(low=0.0),
        "Your hidden logits are 0. That is an ordinary logit, with the weight exp(0 - m): pairs "
        "outside the windows get it.",
    ),
    Wrong(
        "hidden logits -10,000",
        trilinear_slip(low=-1e4),
        "Hidden logits were set to some finite number. It is an ordinary logit: where all visible "
        "logits lie lower, the hidden pairs get everything.",
    ),
    Wrong(
        "hidden logits -1,000,000",
        trilinear_slip(low=-1e6),
        "Hidden logits were set to some finite number near minus a million. Where all visible "
        "logits lie lower, the hidden pairs get everything.",
    ),
    Wrong(
        "hidden logits -1,000,000,000",
        trilinear_slip(low=-1e9),
        "Hidden logits were set to some finite number, low but not low enough: here the visible "
        "logits of some queries lie near minus two billion, and the hidden pairs get everything.",
    ),
    Wrong(
        "softmax of the last j",
        trilinear_slip(anew="last"),
        "m, l and acc begin anew for each j, so that only the last j of the loop is left at the "
        "end. They begin once, before both loops, and run on through all pairs.",
    ),
    Wrong(
        "softmaxes added",
        trilinear_slip(anew="added"),
        "These are the numbers of a softmax for every first key by itself, added up: a query "
        "spends one unit of attention for each j it sees. m, l and acc have to run on through all "
        "pairs.",
    ),
    Wrong(
        "softmaxes averaged",
        trilinear_slip(anew="averaged"),
        "These are the numbers of a softmax for every first key by itself, then their average, so "
        "each j gets the same share whatever its logits say. m, l and acc have to run on through "
        "all pairs.",
    ),
    Wrong(
        "future first keys",
        trilinear_slip(future="first"),
        "Your queries read first keys that come after them, to the end of the text: j <= i is "
        "missing, and the loop over j goes on to s.",
    ),
    Wrong(
        "future first keys of the tile",
        trilinear_slip(future="first tile"),
        "Your loop over j ends where it should, but some of its j come after some queries of the "
        "tile, and those are read: j <= i has to be asked for each query.",
    ),
    Wrong(
        "future second keys",
        trilinear_slip(future="second"),
        "Your queries read second keys that come after them, to the end of the text: k <= i is "
        "missing, and the loop over k goes on to s.",
    ),
    Wrong(
        "future second keys of the tile",
        trilinear_slip(future="second tile"),
        "Your loop over k ends where it should, but its tiles hold second keys that come after "
        "some of the queries, and those are read: k <= i has to be asked inside.",
    ),
    Wrong(
        "future keys",
        trilinear_slip(future="first second"),
        "Your queries read first and second keys that come after them, to the end of the text. "
        "Both have to be asked: j <= i and k <= i.",
    ),
    Wrong(
        "future keys of the tile",
        trilinear_slip(future="first second tile"),
        "Your loops end where they should, but inside them neither j <= i nor k <= i is asked: "
        "queries read keys that come after them in their tile.",
    ),
    Wrong(
        "future second keys and zeros",
        trilinear_slip(future="second tile past s"),
        "k <= i is missing: in its tile a query reads second keys that come after it, and the "
        "rows of zeros past s, whose logits are 0, count as keys.",
    ),
    Wrong(
        "future keys and zeros",
        trilinear_slip(future="first second tile past s"),
        "Neither j <= i nor k <= i is asked: a query reads keys that come after it in its tile, "
        "and the rows of zeros past s, whose logits are 0, count as second keys.",
    ),
    Wrong(
        "no mask",
        trilinear_slip(
            future="first second tile past s", wider=(10**6, 10**6), longer=(-(10**6), -(10**6))
        ),
        "Nothing is hidden from your queries: all queries of a tile read all pairs of its loops, "
        "and the rows of zeros past s as well.",
    ),
    Wrong(
        "k up to j",
        trilinear_slip(order="k <= j"),
        "Your pairs are only those with k <= j. Nothing orders the two keys: each has its own "
        "window, and k may come after j.",
    ),
    Wrong(
        "j up to k",
        trilinear_slip(order="j <= k"),
        "Your pairs are only those with j <= k. Nothing orders the two keys: each has its own "
        "window, and j may come after k.",
    ),
    Wrong(
        "first key forgotten",
        trilinear_slip(logit="no k1"),
        "k1 does nothing in your logits: they are those of q and k2 alone. Merge q with k1[j], "
        "element by element, before the dot product.",
    ),
    Wrong(
        "second key forgotten",
        trilinear_slip(logit="no k2"),
        "k2 does nothing in your logits: they are those of q and k1 alone.",
    ),
    Wrong(
        "keys added",
        trilinear_slip(logit="sum"),
        "Your logits are those of q with k1 + k2. The two keys are multiplied, element by element.",
    ),
    Wrong(
        "first value forgotten",
        trilinear_slip(value="no v1"),
        "The value of a pair in your out is v2[k] alone. It is v1[j] * v2[k].",
    ),
    Wrong(
        "second value forgotten",
        trilinear_slip(value="no v2"),
        "The value of a pair in your out is v1[j] alone. It is v1[j] * v2[k].",
    ),
    Wrong(
        "values added",
        trilinear_slip(value="sum"),
        "The value of a pair in your out is v1[j] + v2[k]. The two are multiplied.",
    ),
    Wrong(
        "values exchanged",
        trilinear_slip(value="exchanged"),
        "The value of a pair in your out is v1[k] * v2[j]. v1 goes with the first key, j, and v2 "
        "with the second, k.",
    ),
    Wrong(
        "a constant on k2",
        trilinear_slip(bias="keys"),
        "Your kernel adds 1 / d to k2. Listing 1 of the paper has such a constant, and 1 / d is "
        "the default of the released code; here nothing is added.",
    ),
    Wrong(
        "a constant on v2",
        trilinear_slip(bias="values"),
        "out alone is wrong: your kernel adds 1 to v2. Listing 1 of the paper has such a "
        "constant, and 1 is the default of the released code; here nothing is added.",
    ),
    Wrong(
        "constants on k2 and v2",
        trilinear_slip(bias="keys values"),
        "Your kernel adds 1 / d to k2 and 1 to v2. Listing 1 of the paper has such constants, and "
        "these are the defaults of the released code; here nothing is added.",
    ),
    Wrong(
        "not divided",
        trilinear_slip(divide="never"),
        "Your out is acc as the loops leave it: the division by l is missing.",
    ),
    Wrong(
        "weights in half precision",
        trilinear_slip(factor_dtype=torch.float16),
        "Your weights and values are rounded to float16 before they are multiplied, though the "
        "inputs are float32. p.to(v2.dtype) follows the inputs.",
    ),
    Wrong(
        "inner loop moves on by 1",
        trilinear_slip(by_one=True),
        "Your loop over k moves on by one key and takes KEYS of them each time, so that most keys "
        "are counted several times. It needs the step KEYS.",
    ),
    Wrong(
        "or in place of and",
        trilinear_slip(join="or"),
        "Your pairs are those of which one key is visible: | is or. Both keys have to be: &.",
    ),
    Wrong(
        "first keys all visible",
        trilinear_slip(future="first tile", wider=(10**6, 0), longer=(-(10**6), 0)),
        "Your mask lets every j of the loop through: j <= i and i - w1 < j have to hold both, for "
        "each query, and are joined by &.",
    ),
    Wrong(
        "second keys all visible",
        trilinear_slip(future="second tile past s", wider=(0, 10**6), longer=(0, -(10**6))),
        "Your mask lets every k of the loop through, rows of zeros past s as well: k <= i and i - "
        "w2 < k have to hold both, for each query, and are joined by &.",
    ),
    Wrong(
        "first keys for first values",
        trilinear_slip(value="k1 for v1"),
        "lse is right. The value of a pair in your out is k1[j] * v2[k]: where v1 belongs stands "
        "k1.",
    ),
    Wrong(
        "second keys for second values",
        trilinear_slip(value="k2 for v2"),
        "lse is right. The value of a pair in your out is v1[j] * k2[k]: where v2 belongs stands "
        "k2.",
    ),
    Wrong(
        "divided in every step",
        trilinear_slip(divide="each"),
        "You divide acc by l in every step, and then the next step adds to it what is not divided "
        "yet. Divide once, after both loops.",
    ),
    Wrong(
        "lse is l",
        trilinear_slip(lse_is="sum"),
        "out is right. Your lse is l, the sum itself, where m + ln l is asked for.",
    ),
    Wrong(
        "values without other",
        trilinear_slip(padding="values"),
        "The load of v2 has a mask and no other=0.0. What a masked lane holds is then undefined, "
        "here it is NaN, and a weight of 0 times NaN is NaN.",
    ),
    Wrong(
        "queries and keys without other",
        trilinear_slip(padding="keys"),
        "Your numbers are right where d fills all D columns, and NaN elsewhere. That is what "
        "comes of a load of q, k1 or k2 with a mask and no other=0.0: the dot product adds what "
        "the masked columns hold.",
    ),
    Wrong(
        "strides of q",
        careless(STRIDES="of q"),
        "Your kernel takes the strides of q for all tensors, as Listing 1 does. Here each has its "
        "own.",
    ),
    Wrong(
        "two passes",
        careless(PASSES="two"),
        "You go over the pairs twice, as a softmax does that looks for the maximum first.",
    ),
    *WRONG_WINDOWS,
    *common_wrong(trilinear_slip, careless),
)
