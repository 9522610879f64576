"""Mistakes that learners make in exercise 1.3, attention."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from simplex_lib.checks.ch01_common import INF, Seen, one_ahead, past, scores
from simplex_lib.checks.exercise import Difference, Wrong


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
