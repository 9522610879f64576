"""The mistakes that exercise 9.5 knows, and what a learner reads of each.

Axes: b batch, h head, i query, j first key, k second key, s sequence length, d head_dim.
"""

from __future__ import annotations

import torch

from simplex_lib.checks.ch09_trilinear_kernels import careless
from simplex_lib.checks.ch09_trilinear_slips import trilinear_slip
from simplex_lib.checks.exercise import Wrong

WRONG = (
    Wrong(
        "no rescaling",
        trilinear_slip(rescale="none"),
        "When a later pair brings a larger maximum, l and acc are still measured against the old "
        "one. Your sums mix two units: both have to be multiplied by exp(m - m_new) first.",
    ),
    Wrong(
        "only l rescaled",
        trilinear_slip(rescale="sum"),
        "Your l changes its unit when the maximum moves, and so lse is right. acc keeps the old "
        "unit.",
    ),
    Wrong(
        "only acc rescaled",
        trilinear_slip(rescale="acc"),
        "Your acc changes its unit when the maximum moves, and l keeps the old one.",
    ),
    Wrong(
        "no maximum",
        trilinear_slip(top="none"),
        "It is right for small logits. For large ones exp overflows, and for very low ones every "
        "weight rounds to 0: no maximum is subtracted before it.",
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
        "k <= i is missing: in its tile a query reads second keys that come after it, and the rows "
        "of zeros past s, whose logits are 0, count as keys.",
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
        "Your logits have no mask: all queries of a tile read all pairs of its loops, and the rows "
        "of zeros past s as well.",
    ),
    Wrong(
        "first window one too long",
        trilinear_slip(wider=(1, 0)),
        "Your first window holds w1 + 1 keys. It counts the query's own position: i - w1 < j, "
        "without the equals sign.",
    ),
    Wrong(
        "second window one too long",
        trilinear_slip(wider=(0, 1)),
        "Your second window holds w2 + 1 keys. It counts the query's own position: i - w2 < k, "
        "without the equals sign.",
    ),
    Wrong(
        "windows one too long",
        trilinear_slip(wider=(1, 1)),
        "Your windows hold w1 + 1 and w2 + 1 keys. They count the query's own position: "
        "i - w1 < j and i - w2 < k, without equals signs.",
    ),
    Wrong(
        "windows one too long, loops right",
        trilinear_slip(wider=(1, 1), longer=(-1, -1)),
        "Your masks let w1 + 1 and w2 + 1 keys through, and only where a loop begins later is one "
        "cut off. It is i - w1 < j and i - w2 < k, without equals signs.",
    ),
    Wrong(
        "first window one too long, loop right",
        trilinear_slip(wider=(1, 0), longer=(-1, 0)),
        "Your mask lets w1 + 1 first keys through, and only where the loop over j begins later is "
        "one cut off. It is i - w1 < j, without the equals sign.",
    ),
    Wrong(
        "second window one too long, loop right",
        trilinear_slip(wider=(0, 1), longer=(0, -1)),
        "Your mask lets w2 + 1 second keys through, and only where the loop over k begins later is "
        "one cut off. It is i - w2 < k, without the equals sign.",
    ),
    Wrong(
        "first window in the loop only",
        trilinear_slip(wider=(10**6, 0), longer=(-(10**6), 0)),
        "Your loop over j begins where the window of the tile's first query does, and later "
        "queries of the tile read those j too: i - w1 < j has to be asked for each query.",
    ),
    Wrong(
        "second window in the loop only",
        trilinear_slip(wider=(0, 10**6), longer=(0, -(10**6))),
        "Your loop over k begins where the window of the tile's first query does, and later "
        "queries of the tile read those k too: i - w2 < k has to be asked for each query.",
    ),
    Wrong(
        "windows in the loops only",
        trilinear_slip(wider=(10**6, 10**6), longer=(-(10**6), -(10**6))),
        "Your loops begin where the windows of the tile's first query do, and later queries of the "
        "tile read those keys too: i - w1 < j and i - w2 < k have to be asked for each query.",
    ),
    Wrong(
        "windows one too short",
        trilinear_slip(wider=(-1, -1)),
        "Your windows hold w1 - 1 and w2 - 1 keys, so that a window of 1 is empty. They count the "
        "query's own position: i - w1 < j and i - w2 < k.",
    ),
    Wrong(
        "windows exchanged",
        trilinear_slip(exchanged=True),
        "Your first keys are cut by w2 and your second keys by w1. It is the other way round.",
    ),
    Wrong(
        "first window ignored",
        trilinear_slip(wider=(10**6, 0)),
        "Your first keys are all of the past: w1 does nothing.",
    ),
    Wrong(
        "second window ignored",
        trilinear_slip(wider=(0, 10**6)),
        "Your second keys are all of the past: w2 does nothing.",
    ),
    Wrong(
        "windows ignored",
        trilinear_slip(wider=(10**6, 10**6)),
        "Your pairs are all pairs of the past: w1 and w2 do nothing.",
    ),
    Wrong(
        "loops begin too late",
        trilinear_slip(begin="last query"),
        "Your loops begin where the windows of the tile's last query do. Earlier queries of the "
        "tile see earlier keys: the first query decides where a loop begins.",
    ),
    Wrong(
        "loops end too early",
        trilinear_slip(stop="first query"),
        "Your loops end with the first query of the tile. Later queries of the tile see later "
        "keys: the last query decides where a loop ends.",
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
        "out alone is wrong: your kernel adds 1 to v2. Listing 1 of the paper has such a constant, "
        "and 1 is the default of the released code; here nothing is added.",
    ),
    Wrong(
        "constants on k2 and v2",
        trilinear_slip(bias="keys values"),
        "Your kernel adds 1 / d to k2 and 1 to v2. Listing 1 of the paper has such constants, and "
        "these are the defaults of the released code; here nothing is added.",
    ),
    Wrong("no scale", trilinear_slip(scaled="never"), "Your logits lack the factor scale."),
    Wrong(
        "scale twice", trilinear_slip(scaled="twice"), "Your logits are multiplied by scale twice."
    ),
    Wrong(
        "a scale of its own",
        trilinear_slip(scaled="by d"),
        "Your kernel scales by 1 / sqrt(d). The factor is an argument, scale, and here it is "
        "another number.",
    ),
    Wrong(
        "powers of 2, natural logarithm",
        trilinear_slip(exp="2"),
        "Your weights are powers of 2 of the logits, not of e: exp(x) is exp2(x log2(e)).",
    ),
    Wrong(
        "powers of 2 throughout",
        trilinear_slip(exp="2", lse_is="mixed the other way"),
        "Your weights are powers of 2 of the logits, and lse is m + log2(l). exp(x) is "
        "exp2(x log2(e)): the logits have to be multiplied by log2(e) before the loop's exp2, and "
        "lse by ln 2 after it.",
    ),
    Wrong(
        "lse to base 2",
        trilinear_slip(lse_is="base 2"),
        "out is right. Your lse is that to base 2; multiplied by ln 2 it is the natural one.",
    ),
    Wrong(
        "mixed bases",
        trilinear_slip(lse_is="mixed"),
        "out is right. Your lse adds a maximum in base 2 (logits times log2(e)) and a natural "
        "logarithm of l. Both parts need one base.",
    ),
    Wrong(
        "mixed bases, l to base 2",
        trilinear_slip(lse_is="mixed the other way"),
        "out is right. Your lse adds a natural maximum and a logarithm of l to base 2. Both parts "
        "need one base.",
    ),
    Wrong(
        "lse without the maximum",
        trilinear_slip(lse_is="no maximum"),
        "out is right. Your lse is ln l, and l is measured against the running maximum m, which "
        "has to come back in.",
    ),
    Wrong(
        "lse is the maximum",
        trilinear_slip(lse_is="maximum"),
        "out is right. Your lse is the largest logit, m; ln l is missing.",
    ),
    Wrong(
        "not divided",
        trilinear_slip(divide=False),
        "Your out is acc as the loops leave it: the division by l is missing.",
    ),
    Wrong(
        "half-precision accumulator",
        trilinear_slip(acc_dtype=torch.float16),
        "Your acc is a float16, so that every step rounds it to 11 bits. The inputs may be "
        "float16; m, l and acc have to be float32.",
    ),
    Wrong(
        "weights in half precision",
        trilinear_slip(factor_dtype=torch.float16),
        "Your weights and values are rounded to float16 before they are multiplied, though the "
        "inputs are float32. p.to(v2.dtype) follows the inputs.",
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
        "Your numbers are right where d fills all D columns, and NaN elsewhere. That is what comes "
        "of a load of q, k1 or k2 with a mask and no other=0.0: the dot product adds what the "
        "masked columns hold.",
    ),
    Wrong(
        "nothing has other",
        trilinear_slip(padding="both"),
        "Your loads have masks and no other=0.0. What a masked lane holds is then undefined, here "
        "it is NaN, and it goes into the dot products.",
    ),
    Wrong(
        "contiguous strides",
        careless(STRIDES="contiguous"),
        "Your kernel takes the tensors to be contiguous, with the strides that their shape would "
        "have. Each tensor has strides of its own, and they are passed beside it.",
    ),
    Wrong(
        "strides of q",
        careless(STRIDES="of q"),
        "Your kernel takes the strides of q for all tensors, as Listing 1 does. Here each has its "
        "own.",
    ),
    Wrong(
        "text and head exchanged",
        careless(AXES="text, head"),
        "In your kernel program_id(1) is the text and program_id(2) the head. The grid is (tiles, "
        "h, b): it is the other way round.",
    ),
)
