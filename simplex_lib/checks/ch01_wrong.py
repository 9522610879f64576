"""Mistakes of exercises 1.1 to 1.4: logits, causal softmax, attention, shared key heads.

Each is a wrong answer with the sentence that names it. Exercises 1.5 and 1.6 are in
`ch01_wrong_blocks.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from simplex_lib.checks.exercise import Difference, Wrong

INF = float("inf")


@dataclass(frozen=True, eq=False)
class Seen(Wrong):
    """A mistake whose sentence is led in by what is seen in the failing case, if one is left.

    says stands by itself: an answer that only has a wrong shape leaves no difference.
    """

    seen: Callable[[Difference], str] | None = None

    def sentence(self, difference: Difference | None) -> str:
        said = super().sentence(difference)
        if difference is None or self.seen is None:
            return said
        return f"{self.seen(difference)} {said}"


def past(s: int) -> Tensor:
    return torch.ones(s, s, dtype=torch.bool).tril()


def one_ahead(s: int) -> Tensor:
    return torch.ones(s, s, dtype=torch.bool).tril(1)


def by_hand(logits: Tensor, dim: int = -1) -> Tensor:
    """A stable softmax without torch's."""
    e = (logits - logits.amax(dim, keepdim=True)).exp()
    return e / e.sum(dim, keepdim=True)


# 1.1 logits


def scores(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.transpose(-1, -2)


def logits_unscaled(q: Tensor, k: Tensor) -> Tensor:
    return scores(q, k)


def logits_over_d(q: Tensor, k: Tensor) -> Tensor:
    return scores(q, k) / q.shape[-1]


def logits_over_root_s(q: Tensor, k: Tensor) -> Tensor:
    return scores(q, k) / math.sqrt(q.shape[-2])


def logits_over_root_width(q: Tensor, k: Tensor) -> Tensor:
    return scores(q, k) / math.sqrt(q.shape[1] * q.shape[-1])


def logits_times_root_d(q: Tensor, k: Tensor) -> Tensor:
    return scores(q, k) * math.sqrt(q.shape[-1])


def logits_over_root_h(q: Tensor, k: Tensor) -> Tensor:
    return scores(q, k) / math.sqrt(q.shape[1])


def logits_over_half_d(q: Tensor, k: Tensor) -> Tensor:
    """The scale was d ** 1 / 2."""
    return scores(q, k) / (q.shape[-1] / 2)


def logits_over_twice_d(q: Tensor, k: Tensor) -> Tensor:
    """The scores were followed by / d ** 1 / 2."""
    return scores(q, k) / q.shape[-1] / 2


def logits_transposed(q: Tensor, k: Tensor) -> Tensor:
    return scores(k, q) / math.sqrt(q.shape[-1])


def logits_reshaped(q: Tensor, k: Tensor) -> Tensor:
    b, h, s, d = k.shape
    return q @ k.reshape(b, h, d, s) / math.sqrt(d)


def logits_all_heads(q: Tensor, k: Tensor) -> Tensor:
    return torch.einsum("bhid,bgjd->bhij", q, k) / math.sqrt(q.shape[-1])


def logits_own_key(q: Tensor, k: Tensor) -> Tensor:
    return (q * k).sum(-1) / math.sqrt(q.shape[-1])


def ratio(difference: Difference) -> str:
    here, want = difference.got_here, difference.expected_here
    if abs(want) < 1e-12:
        return "The scale is wrong."
    times = f"{here / want:.3g} times the right one."
    return f"With d = {difference.case.sizes['d']} each of your numbers is {times}"


LOGITS = (
    Wrong(
        "no_scale",
        logits_unscaled,
        "The dot products are right and the scale is missing: "
        "these are the numbers of q · k itself, whose spread grows with d.",
    ),
    Seen(
        "scale_d",
        logits_over_d,
        "You divided by d, the number of products in the sum. It is the variance that grows "
        "like d, not the spread.",
        ratio,
    ),
    Seen(
        "half_d",
        logits_over_half_d,
        "You divided by half of d. `d ** 1/2` is that: the power comes first and makes d, and the "
        "2 divides it afterwards. The exponent needs brackets, or be 0.5.",
        ratio,
    ),
    Seen(
        "twice_d",
        logits_over_twice_d,
        "You divided by d and by 2. `... / d ** 1/2` is read like that, from the left, and so is "
        "`... * d ** -1/2`: the power takes the 1 alone. Put the exponent in brackets.",
        ratio,
    ),
    Wrong(
        "scale_h",
        logits_over_root_h,
        "You scaled with the number of heads. The sum in one logit runs over the d numbers of one "
        "head, however many heads there are.",
    ),
    Wrong(
        "scale_s",
        logits_over_root_s,
        "You scaled with the sequence length. The logit of one query and one key is a sum over d "
        "and knows nothing of how many other tokens there are.",
    ),
    Wrong(
        "scale_width",
        logits_over_root_width,
        "You scaled with h times d, the width of all heads together. The sum in one logit runs "
        "over the d numbers of one head.",
    ),
    Seen(
        "scale_upside_down",
        logits_times_root_d,
        "You multiplied by the root of d where a division was meant.",
        ratio,
    ),
    Wrong(
        "transposed",
        logits_transposed,
        "Your row i holds the scores of key i with every query. A row belongs to a query, and its "
        "columns are the keys.",
    ),
    Wrong(
        "reshaped",
        logits_reshaped,
        "These numbers come from reading the keys in another order: reshaping (s, d) to (d, s) "
        "keeps the numbers in line and so mixes different keys into one column. "
        "Swapping two axes is another thing.",
    ),
    Wrong(
        "all_heads",
        logits_all_heads,
        "Each query head met the keys of all heads, added up. The head is an axis of both inputs "
        "and of the result: it must be the same letter in all three.",
    ),
    Wrong(
        "own_key",
        logits_own_key,
        "You have one score a query, that of query i with key i. Every query scores every key, so "
        "one axis i and one axis j are needed.",
    ),
)


# 1.2 causal softmax. torch's softmax is not allowed there, so it is not used here.


def softmax_unmasked(logits: Tensor) -> Tensor:
    return by_hand(logits)


def softmax_over_queries(logits: Tensor) -> Tensor:
    return by_hand(logits.masked_fill(~past(logits.shape[-1]), -INF), dim=-2)


def softmax_then_mask(logits: Tensor) -> Tensor:
    return by_hand(logits) * past(logits.shape[-1])


def softmax_strict(logits: Tensor) -> Tensor:
    return by_hand(logits.masked_fill(~past(logits.shape[-1]).tril(-1), -INF))


def softmax_one_ahead(logits: Tensor) -> Tensor:
    return by_hand(logits.masked_fill(~one_ahead(logits.shape[-1]), -INF))


def softmax_of_future(logits: Tensor) -> Tensor:
    return by_hand(logits.masked_fill(past(logits.shape[-1]).tril(-1), -INF))


def softmax_zero_mask(logits: Tensor) -> Tensor:
    return by_hand(logits.masked_fill(~past(logits.shape[-1]), 0))


def softmax_finite_mask(logits: Tensor, low: float = -1000) -> Tensor:
    return by_hand(logits.masked_fill(~past(logits.shape[-1]), low))


def softmax_no_max(logits: Tensor) -> Tensor:
    e = logits.masked_fill(~past(logits.shape[-1]), -INF).exp()
    return e / e.sum(-1, keepdim=True)


def softmax_no_max_times_mask(logits: Tensor) -> Tensor:
    e = logits.exp() * past(logits.shape[-1])
    return e / e.sum(-1, keepdim=True)


def softmax_no_max_times_ones(logits: Tensor) -> Tensor:
    e = logits.exp() * torch.ones(logits.shape[-2:]).tril()  # float32, whatever the logits are
    return e / e.sum(-1, keepdim=True)


def softmax_max_of_all(logits: Tensor) -> Tensor:
    logits = logits.masked_fill(~past(logits.shape[-1]), -INF)
    e = (logits - logits.max()).exp()
    return e / e.sum(-1, keepdim=True)


def softmax_max_of_future(logits: Tensor) -> Tensor:
    e = (logits - logits.amax(-1, keepdim=True)).exp() * past(logits.shape[-1])
    return e / e.sum(-1, keepdim=True)


def softmax_logarithm(logits: Tensor) -> Tensor:
    return by_hand(logits.masked_fill(~past(logits.shape[-1]), -INF)).log()


def softmax_unnormalised(logits: Tensor) -> Tensor:
    logits = logits.masked_fill(~past(logits.shape[-1]), -INF)
    return (logits - logits.amax(-1, keepdim=True)).exp()


def leak(difference: Difference) -> str:
    """Where most attention goes to the future, in words."""
    future = difference.got.triu(1).nan_to_num()
    b, h, i, j = (int(x) for x in torch.unravel_index(future.argmax(), future.shape))
    return (
        f"Query {i} gives {float(future[b, h, i, j]):.3g} of its attention to key {j}, "
        "which lies in its future."
    )


def row_sum(difference: Difference) -> str:
    b, h, i, _ = difference.index
    return f"The weights of query {i} sum to {float(difference.got[b, h, i].sum()):.3g}."


def largest_logit(difference: Difference) -> str:
    b, h, i, _ = difference.index
    top = float(difference.case.arguments["logits"][b, h, i, : i + 1].max())
    return f"The largest logit that query {i} sees is {top:,.0f}."


def yours(difference: Difference) -> str:
    here, want = difference.got_here, difference.expected_here
    return f"Yours is {here:.3g} where {want:.3g} is right."


SOFTMAX = (
    Seen(
        "unmasked",
        softmax_unmasked,
        "This is the softmax of all keys: nothing was hidden.",
        leak,
    ),
    Seen(
        "query_axis",
        softmax_over_queries,
        "In your answer each column sums to 1: the queries compete for a key. "
        "It is the keys that compete for a query.",
        row_sum,
    ),
    Seen(
        "masked_after",
        softmax_then_mask,
        "It should be 1 for every query. What went to the future was cut off after the "
        "softmax, and nobody handed it back to the keys that are left.",
        row_sum,
    ),
    Wrong(
        "strict",
        softmax_strict,
        "Query 0 has no key left and 0 / 0 is NaN: your mask hides the query's own position too. "
        "Key i is not in the future of query i.",
    ),
    Seen(
        "one_ahead",
        softmax_one_ahead,
        "Your mask begins one place too late: the next token is visible.",
        leak,
    ),
    Seen(
        "future_kept",
        softmax_of_future,
        "Your mask is the wrong way round: it hides what came before.",
        leak,
    ),
    Seen(
        "zero_mask",
        softmax_zero_mask,
        "A hidden logit was set to 0, and 0 is an ordinary logit: its exponential is 1.",
        leak,
    ),
    Seen(
        "finite_mask",
        softmax_finite_mask,
        "Hidden logits were set to some finite number, and -1000, say, is an ordinary logit: "
        "where all visible logits lie lower, it wins.",
        leak,
    ),
    Seen(
        "finite_mask, not so low",
        partial(softmax_finite_mask, low=-50),
        "Hidden logits were set to some finite number, and -50, say, is an ordinary logit: "
        "where all visible logits lie lower, it wins.",
        leak,
    ),
    Seen(
        "no_max",
        softmax_no_max,
        "Moderate logits come out right. But float64 has no exponential of more than 709 and "
        "takes that of less than -745 for 0, and a row of infinities or of zeros divided by its "
        "sum is NaN. Nothing was subtracted before the exponential.",
        largest_logit,
    ),
    Seen(
        "no_max_times_mask",
        softmax_no_max_times_mask,
        "Moderate logits come out right. But an exponential that does not fit into a float64 is "
        "infinite or 0, also among the hidden keys. Infinity times 0 is NaN, not 0; so are "
        "infinity over infinity and 0 / 0. Nothing was subtracted before the exponential.",
        largest_logit,
    ),
    Seen(
        "no_max_times_mask, of ones",
        softmax_no_max_times_ones,
        "Moderate logits come out right. But an exponential that does not fit into a float64 is "
        "infinite or 0, and infinity times 0, infinity over infinity and 0 / 0 are all NaN: "
        "nothing was subtracted before the exponential. "
        "(And a mask of ones is float32 where it is not told otherwise.)",
        largest_logit,
    ),
    Seen(
        "max_of_all",
        softmax_max_of_all,
        "You subtract one number from the whole tensor. Where all visible logits of a row lie far "
        "below it, their exponentials are 0, and 0 / 0 is NaN. Every row needs a number of its "
        "own.",
        largest_logit,
    ),
    Seen(
        "max_of_future",
        softmax_max_of_future,
        "The largest logit of its whole row belongs to a key that is hidden from it. Subtracting "
        "that one leaves only zeros among the visible keys here, and 0 / 0 is NaN. The future "
        "must be gone before you look for the largest.",
        largest_logit,
    ),
    Seen(
        "logarithm",
        softmax_logarithm,
        "You return logarithms: e to the power of your numbers is what was asked for.",
        yours,
    ),
    Seen(
        "unnormalised",
        softmax_unnormalised,
        "The exponentials are right and not yet divided by their sum.",
        row_sum,
    ),
)


# 1.3 attention


def attend(
    q: Tensor, k: Tensor, v: Tensor, *, scale: float | None = None, mask: Tensor | None = None
) -> Tensor:
    logits = scores(q, k) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    mask = past(q.shape[-2]) if mask is None else mask
    return logits.masked_fill(~mask, -INF).softmax(-1) @ v


def attention_unscaled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return attend(q, k, v, scale=1.0)


def attention_bare(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return scores(q, k).softmax(-1) @ v


def attention_scaled_by_v(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return attend(q, k, v, scale=1 / math.sqrt(v.shape[-1]))


def attention_scaled_late(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return attend(q, k, v, scale=1.0) / math.sqrt(q.shape[-1])


def attention_unmasked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return attend(q, k, v, mask=torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool))


def attention_strict(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return attend(q, k, v, mask=past(q.shape[-2]).tril(-1))


def attention_one_ahead(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return attend(q, k, v, mask=one_ahead(q.shape[-2]))


def attention_zero_mask(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    logits = scores(q, k) / math.sqrt(q.shape[-1])
    return logits.tril().softmax(-1) @ v


def attention_masked_after(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (scores(q, k) / math.sqrt(q.shape[-1])).softmax(-1).tril() @ v


def attention_over_queries(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    logits = scores(q, k) / math.sqrt(q.shape[-1])
    return logits.masked_fill(~past(q.shape[-2]), -INF).softmax(-2) @ v


def attention_transposed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    probs = (scores(q, k) / math.sqrt(q.shape[-1])).masked_fill(~past(q.shape[-2]), -INF)
    return probs.softmax(-1).transpose(-1, -2) @ v


def attention_of_logits(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (scores(q, k) / math.sqrt(q.shape[-1])).tril() @ v


def attention_of_masked_logits(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    logits = scores(q, k) / math.sqrt(q.shape[-1])
    return logits.masked_fill(~past(q.shape[-2]), -INF) @ v


def attention_finite_mask(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    logits = scores(q, k) / math.sqrt(q.shape[-1])
    return logits.masked_fill(~past(q.shape[-2]), -1000).softmax(-1) @ v


def attention_swapped(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return attend(k, q, v)


def attention_over_heads(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    logits = scores(q, k) / math.sqrt(q.shape[-1])
    return logits.masked_fill(~past(q.shape[-2]), -INF).softmax(1) @ v


def attention_over_heads_masked_after(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (scores(q, k) / math.sqrt(q.shape[-1])).softmax(1).tril() @ v


def own_value(difference: Difference) -> str:
    """At query 0 the right answer is its own value; elsewhere only the numbers are said."""
    here, want, i = difference.got_here, difference.expected_here, difference.index[2]
    if i == 0:
        return (
            f"Query 0 sees itself alone, so it must return its own value, {want:.3f}; "
            f"yours returns {here:.3f}."
        )
    return f"At query {i} yours is {here:.3f} and should be {want:.3f}."


ATTENTION = (
    Wrong(
        "no_scale",
        attention_unscaled,
        "These are the numbers you get when the logits are not divided by the root of d.",
    ),
    Seen(
        "no_scale_no_mask",
        attention_bare,
        "Two things are missing: no key was hidden, and the logits were not "
        "divided by the root of d.",
        own_value,
    ),
    Wrong(
        "scale_of_values",
        attention_scaled_by_v,
        "You scaled by the width of the values. It is the sum over the width of q and k that makes "
        "the logits large; values may have another width.",
    ),
    Wrong(
        "scaled_late",
        attention_scaled_late,
        "The root of d divides your output. It belongs to the logits: after the softmax it only "
        "makes everything smaller, and query 0 no longer returns its own value.",
    ),
    Seen(
        "unmasked",
        attention_unmasked,
        "Later tokens are mixed in: no key was hidden.",
        own_value,
    ),
    Wrong(
        "strict",
        attention_strict,
        "Query 0 has no key left, so its softmax is 0 / 0. The mask hides the query's own "
        "position, which it may see.",
    ),
    Seen(
        "one_ahead",
        attention_one_ahead,
        "The mask begins one place too late: each query sees the next token.",
        own_value,
    ),
    Seen(
        "zero_mask",
        attention_zero_mask,
        "Hidden logits were set to 0, and a key with logit 0 still gets attention.",
        own_value,
    ),
    Seen(
        "masked_after",
        attention_masked_after,
        "The future was cut out after the softmax, so the weights "
        "that are left sum to less than 1.",
        own_value,
    ),
    Seen(
        "finite_mask",
        attention_finite_mask,
        "Hidden logits were set to some finite number, and -1000, say, is an ordinary logit: "
        "where all visible logits lie lower, it wins, and later tokens are mixed in.",
        own_value,
    ),
    Wrong(
        "q_and_k_swapped",
        attention_swapped,
        "Queries and keys have changed places: your key i scores the queries up to i, and position "
        "i should ask with its query.",
    ),
    Wrong(
        "head_axis",
        attention_over_heads,
        "Your softmax runs over the heads: for each pair of positions the heads share one unit, "
        "and where a pair is hidden in all of them that is 0 / 0. The keys of one query compete.",
    ),
    Wrong(
        "head_axis, masked after",
        attention_over_heads_masked_after,
        "Your softmax runs over the heads: for each pair of positions the heads share one unit. "
        "It is the keys of one query that compete, in each head by itself.",
    ),
    Wrong(
        "query_axis",
        attention_over_queries,
        "Your softmax runs over the queries: each key hands out one unit, where each query should.",
    ),
    Wrong(
        "transposed",
        attention_transposed,
        "Your output at position j collects from the queries that looked at j. The weights were "
        "summed over the query instead of over the key.",
    ),
    Wrong(
        "no_softmax",
        attention_of_logits,
        "The values were summed with the logits as weights, softmax left out. "
        "(The printed Eq. 4 of arXiv:2507.02754 has the same slip.)",
    ),
    Wrong(
        "no_softmax_masked",
        attention_of_masked_logits,
        "Masked logits met the values without a softmax in between, so minus infinity went into "
        "the sum.",
    ),
)


# 1.4 grouped-query heads


def spread(x: Tensor, heads: Tensor) -> Tensor:
    """Give query head n the key head heads[n]."""
    return x[:, heads]


def heads_of(q: Tensor, k: Tensor) -> tuple[Tensor, int, int]:
    return torch.arange(q.shape[1]), k.shape[1], q.shape[1] // k.shape[1]


def grouped_tiled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    n, g, _ = heads_of(q, k)
    return attend(q, spread(k, n % g), spread(v, n % g))


def grouped_values_tiled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    n, g, r = heads_of(q, k)
    return attend(q, spread(k, n // r), spread(v, n % g))


def grouped_keys_tiled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    n, g, r = heads_of(q, k)
    return attend(q, spread(k, n % g), spread(v, n // r))


def grouped_first(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    n, _, _ = heads_of(q, k)
    return attend(q, spread(k, n * 0), spread(v, n * 0))


def grouped_mean(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return attend(q, k.mean(1, keepdim=True), v.mean(1, keepdim=True))


def grouped_by_count(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    n, g, _ = heads_of(q, k)
    return attend(q, spread(k, n // g), spread(v, n // g))


def grouped_out_of_order(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    n, g, r = heads_of(q, k)
    out = attend(q, spread(k, n // r), spread(v, n // r))
    return out.unflatten(1, (g, r)).transpose(1, 2).flatten(1, 2)


def grouped_added(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The query heads of a group summed into one, as in multi-head attention with g heads."""
    n, g, r = heads_of(q, k)
    q = q.unflatten(1, (g, r)).sum(2)
    return attend(q, k, v)[:, n // r]


def grouped_unmasked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    n, _, r = heads_of(q, k)
    return attention_unmasked(q, spread(k, n // r), spread(v, n // r))


def tiled_head(difference: Difference) -> str:
    h, g, n = difference.case.sizes["h"], difference.case.sizes["g"], difference.index[1]
    return f"Of {h} query heads and {g} key heads, your query head {n} reads key head {n % g}."


TILED = (
    "You laid copies of all heads end to end, so heads that share are far apart; they should be "
    "neighbours."
)


GROUPED = (
    Seen("tiled", grouped_tiled, TILED, tiled_head),
    Wrong(
        "values_tiled",
        grouped_values_tiled,
        f"The keys are shared as they should be, the values are not. {TILED}",
    ),
    Wrong(
        "keys_tiled",
        grouped_keys_tiled,
        f"The values are shared as they should be, the keys are not. {TILED}",
    ),
    Wrong(
        "first_head",
        grouped_first,
        "All your query heads read key head 0. That is right for one key head only (multi-query "
        "attention); here each group has its own.",
    ),
    Wrong(
        "mean_head",
        grouped_mean,
        "You averaged the key and value heads into one. Nothing is averaged: each query head reads "
        "one of them as it is.",
    ),
    Wrong(
        "by_count",
        grouped_by_count,
        "Your groups hold as many query heads as there are groups. With 6 query heads and 2 key "
        "heads there are 2 groups, of 3 heads each.",
    ),
    Wrong(
        "out_of_order",
        grouped_out_of_order,
        "The heads are right and in the wrong order: yours are sorted by their place in the group "
        "first. Output head n belongs to query head n.",
    ),
    Wrong(
        "queries_added",
        grouped_added,
        "The query heads of a group were added up before they met a key. They share keys and "
        "values, and each still asks its own question.",
    ),
    Seen(
        "unmasked",
        grouped_unmasked,
        "The heads are shared rightly, and later tokens are mixed in.",
        own_value,
    ),
)
