"""Mistakes that learners make in exercise 1.1, logits."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from simplex_lib.checks.ch01_common import Seen, scores
from simplex_lib.checks.exercise import Difference, Wrong


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
