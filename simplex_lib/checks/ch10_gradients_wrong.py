"""What exercise 10.1 says of each wrong answer."""

from __future__ import annotations

from simplex_lib.checks import ch10_gradients_slips as slips
from simplex_lib.checks.exercise import Wrong

WRONG = (
    Wrong(
        "sum index of Eq. 15",
        slips.PrintedIndex(),
        "Your dk2 is Eq. 15 as it is printed, with a sum over i and k. What is left then is a "
        "number for each first key j. The gradient of the second key k gathers all pairs that "
        "k is in.",
    ),
    Wrong(
        "dk2 a copy of dk1",
        slips.SecondKeyCopied(),
        "dk2 is the same as dk1 in yours: the same sum, over i and k, that leaves a number for "
        "each first key j.",
    ),
    Wrong(
        "dk2 with its own key",
        slips.SecondKeyItself(),
        "All is right but dk2. It gathers its pairs with k2, the key itself, where the other "
        "key of the pair belongs.",
    ),
    Wrong(
        "dv2 a copy of dv1",
        slips.SecondValueCopied(),
        "dv2 is the same as dv1 in yours: the same sum, over i and k, that leaves a number for "
        "each first key j.",
    ),
    Wrong(
        "no scale in the gradients",
        slips.NoGradientScale(),
        "Your dv1 and dv2 are right, and dq, dk1 and dk2 lack the scale. They are Eqs. 14 to "
        "16 as printed; there a logit is the bare product of three, and here it is scale "
        "times that.",
    ),
    Wrong(
        "no scale in the logits",
        slips.NoLogitScale(),
        "The probabilities are those of unscaled logits: scale is missing where they are made "
        "again, and stands only in the gradients.",
    ),
    Wrong(
        "no scale",
        slips.NoScale(),
        "scale changes nothing in your numbers, neither the probabilities nor the gradients.",
    ),
    Wrong(
        "no scale in dq",
        slips.ScaleLostInQ(),
        "All is right but dq, which lacks the scale. That happens where q is multiplied by it "
        "at the beginning: then dq is the gradient of scale · q.",
    ),
    Wrong(
        "no scale in dk1",
        slips.ScaleLostInK1(),
        "All is right but dk1, which lacks the scale.",
    ),
    Wrong(
        "no scale in dk2",
        slips.ScaleLostInK2(),
        "All is right but dk2, which lacks the scale.",
    ),
    Wrong(
        "scale twice",
        slips.ScaleTwice(),
        "dq, dk1 and dk2 carry the scale twice. A logit holds it once, and so does each of its "
        "derivatives.",
    ),
    Wrong(
        "scale twice in the keys",
        slips.ScaleTwiceInKeys(),
        "All is right but dk1 and dk2, which carry the scale twice. That happens where q is "
        "multiplied by it at the beginning and dS once more.",
    ),
    Wrong(
        "scale in the values' gradients",
        slips.ScaledValues(),
        "dq, dk1 and dk2 are right. dv1 and dv2 are multiplied by scale, and the output "
        "depends on the values without it.",
    ),
    Wrong(
        "own scale",
        slips.OwnScale(),
        "These are the numbers for scale = 1 / √d. Take the scale that is given.",
    ),
    Wrong(
        "delta forgotten",
        slips.NoDelta(),
        "dv1 and dv2 are right; dS is P · dP in yours. Raising one logit takes probability "
        "from all the others: what a softmax sends back sums to 0 over its pairs, and yours "
        "does not.",
    ),
    Wrong(
        "delta over k alone",
        slips.DeltaOverSecond(),
        "You subtract the mean of dP for each first key by itself. The softmax ran over both "
        "keys together, so one delta belongs to a query, not one to each (i, j).",
    ),
    Wrong(
        "delta over j alone",
        slips.DeltaOverFirst(),
        "You subtract the mean of dP for each second key by itself. The softmax ran over both "
        "keys together, so one delta belongs to a query, not one to each (i, k).",
    ),
    Wrong(
        "delta over the queries",
        slips.DeltaOverQueries(),
        "Your delta sums over the queries, one for each pair (j, k). Each query has a softmax "
        "of its own, and one delta for all its pairs.",
    ),
    Wrong(
        "diagonal alone",
        slips.Diagonal(),
        "dv1 and dv2 are right; dS is P (1 − P) dP in yours. That is what a logit does to its "
        "own probability. It lowers all the others of its query, too.",
    ),
    Wrong(
        "delta not weighted",
        slips.PlainDelta(),
        "Your delta is the plain sum of dP over the pairs; each dP counts with its probability.",
    ),
    Wrong(
        "delta averaged",
        slips.MeanDelta(),
        "Your delta is P · dP averaged over the pairs. The probabilities are weights already: "
        "their sum is 1.",
    ),
    Wrong(
        "softmax over k alone",
        slips.SecondAlone(),
        "The probabilities are normalised over the second key alone, so every first key has a "
        "unit of its own. (delta is one number for a query, as it should be.)",
    ),
    Wrong(
        "softmax over j alone",
        slips.FirstAlone(),
        "The probabilities are normalised over the first key alone, so every second key has a "
        "unit of its own. (delta is one number for a query, as it should be.)",
    ),
    Wrong(
        "softmax over the queries",
        slips.OverQueries(),
        "The probabilities are normalised over the queries. A query shares one unit among its "
        "pairs.",
    ),
    Wrong(
        "softmax and delta over k alone",
        slips.SecondAloneThroughout(),
        "Softmax and delta both run over the second key alone: these are gradients of another "
        "layer, in which every first key has a unit of its own.",
    ),
    Wrong(
        "softmax over k alone, NaN",
        slips.SecondAloneLost(),
        "The softmax runs over k only, and for a hidden first key j all second keys are "
        "hidden: 0 / 0 is NaN. One unit is shared by all pairs (j, k) of a query.",
    ),
    Wrong(
        "softmax over j alone, NaN",
        slips.FirstAloneLost(),
        "The softmax runs over j only, and for a hidden second key k all first keys are "
        "hidden: 0 / 0 is NaN. One unit is shared by all pairs (j, k) of a query.",
    ),
    Wrong(
        "softmax and delta over k alone, NaN",
        slips.SecondAloneThroughoutLost(),
        "Softmax and delta both run over k only, and for a hidden first key j all second keys "
        "are hidden: 0 / 0 is NaN. A query has one unit for all pairs (j, k), and one delta.",
    ),
    Wrong(
        "softmax and delta over j alone",
        slips.FirstAloneThroughout(),
        "Softmax and delta both run over the first key alone: these are gradients of another "
        "layer, in which every second key has a unit of its own.",
    ),
    Wrong(
        "softmax and delta over j alone, NaN",
        slips.FirstAloneThroughoutLost(),
        "Softmax and delta both run over j only, and for a hidden second key k all first keys "
        "are hidden: 0 / 0 is NaN. A query has one unit for all pairs (j, k), and one delta.",
    ),
    Wrong("rounded on the way", slips.Rounded(), "Refused."),
    Wrong(
        "not causal",
        slips.NotCausal(),
        "Nothing is hidden: queries attend to keys of their future, and these get gradients "
        "from queries that may not see them.",
    ),
    Wrong(
        "second key not causal",
        slips.SecondNotCausal(),
        "Pairs with k > i take part in your softmax. The first key is masked, the second is not.",
    ),
    Wrong(
        "first key not causal",
        slips.FirstNotCausal(),
        "Pairs with j > i take part in your softmax. The second key is masked, the first is not.",
    ),
    Wrong(
        "own position hidden",
        slips.Strict(),
        "In your mask a query does not see its own position; it may. Query 0 has nothing left, "
        "and a softmax over nothing is NaN.",
    ),
    Wrong(
        "hidden logits 0",
        slips.HiddenZero(),
        "Hidden logits are 0 in yours, and e to the power of 0 is 1: hidden pairs get a share.",
    ),
    Wrong(
        "finite mask",
        slips.FiniteMask(),
        "Hidden logits were set to some finite number, and −10,000, say, is an ordinary "
        "logit: where all visible logits lie lower, the hidden pairs get everything.",
    ),
    Wrong(
        "mask after the softmax",
        slips.MaskAfter(),
        "You mask after the softmax. The share that the future had received is lost, and the "
        "probabilities of a query sum to less than 1.",
    ),
    Wrong(
        "exp without a maximum",
        slips.PlainExp(),
        "It is right while logits are moderate. e to the power of a large one is inf, of a "
        "very low one 0, and inf / inf and 0 / 0 are NaN. Take the largest logit away first.",
    ),
    Wrong(
        "P left out of dS",
        slips.NoProbs(),
        "dv1 and dv2 are right. Your dS is dP − delta, for hidden pairs too: the factor P is "
        "missing.",
    ),
    Wrong(
        "dP taken for dS",
        slips.Straight(),
        "dv1 and dv2 are right. dP is used as if it were dS: the way back through the softmax "
        "is left out.",
    ),
    Wrong(
        "sign of dS",
        slips.Negative(),
        "dv1 and dv2 are right; dq, dk1 and dk2 have the wrong sign. delta is what is subtracted.",
    ),
    Wrong(
        "delta added",
        slips.DeltaAdded(),
        "dv1 and dv2 are right. delta is added to dP in yours, where it is to be subtracted.",
    ),
    Wrong(
        "dout left out of dP",
        slips.NoDout(),
        "dv1 and dv2 are right. Your dP is the sum of v1 · v2 alone, whatever the loss: dout "
        "is missing in it.",
    ),
    Wrong(
        "dP of the first value",
        slips.FirstValueAlone(),
        "dv1 and dv2 are right. v2 is missing in your dP: it is dout · v1 for every second key.",
    ),
    Wrong(
        "dk1 and dk2 exchanged",
        slips.KeysExchanged(),
        "dk1 and dk2 have changed places; each is right by itself.",
    ),
    Wrong(
        "dv1 and dv2 exchanged",
        slips.ValuesExchanged(),
        "dv1 and dv2 have changed places; each is right by itself.",
    ),
    Wrong(
        "both exchanged",
        slips.BothExchanged(),
        "dk1 and dk2 have changed places, and so have dv1 and dv2; each is right by itself.",
    ),
    Wrong(
        "order of the outputs",
        slips.ByKey(),
        "The gradients are right and come as dq, dk1, dv1, dk2, dv2. Asked is the order of "
        "the inputs: dq, dk1, dk2, dv1, dv2.",
    ),
    Wrong(
        "own key",
        slips.OwnKey(),
        "dq, dv1 and dv2 are right. The gradient of a key holds the other key of the pair, and "
        "yours the key itself: k1 in dk1, k2 in dk2.",
    ),
    Wrong(
        "own value",
        slips.OwnValue(),
        "dq, dk1 and dk2 are right. The gradient of a value holds the other value of the pair, "
        "and yours the value itself: v1 in dv1, v2 in dv2.",
    ),
    Wrong(
        "no other key",
        slips.NoOtherKey(),
        "dq, dv1 and dv2 are right. Your dk1 and dk2 are those of a logit with one key only: "
        "the other key of the pair is missing.",
    ),
    Wrong(
        "no other value",
        slips.NoOtherValue(),
        "dq, dk1 and dk2 are right. Your dv1 and dv2 lack the other value of the pair.",
    ),
    Wrong(
        "dS for P",
        slips.LogitsForProbs(),
        "dq, dk1 and dk2 are right. In dv1 and dv2 the gradient of the logits stands where the "
        "probabilities belong.",
    ),
    Wrong(
        "dP for P",
        slips.DprobsForProbs(),
        "dq, dk1 and dk2 are right. In dv1 and dv2 the gradient of the probabilities stands "
        "where the probabilities belong.",
    ),
)
