"""Mistakes that learners make in exercise 1.4, query heads that share keys."""

from __future__ import annotations

import torch
from torch import Tensor

from simplex_lib.checks.ch01_attention import attend, attention_unmasked, own_value
from simplex_lib.checks.ch01_common import Seen
from simplex_lib.checks.exercise import Difference, Wrong


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
