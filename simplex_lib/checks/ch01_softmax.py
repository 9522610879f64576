"""Mistakes that learners make in exercise 1.2, a causal softmax.

PyTorch's softmax is not allowed there, so it is not used here.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from simplex_lib.checks.ch01_common import INF, Seen, by_hand, one_ahead, past
from simplex_lib.checks.exercise import Difference, Wrong


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
