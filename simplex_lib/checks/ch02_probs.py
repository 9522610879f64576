"""Exercise 2.2, attention over pairs: truth, mistakes, another algorithm.

Axes: b batch, h head, i query, j first key, k second key, s sequence length, d head_dim.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.exercise import Difference, Draw, Exercise, Right, Wrong


def probs_inputs(draw: Draw, *, b: int, h: int, s: int) -> dict[str, Any]:
    logits = 2 * draw.normal(b, h, s, s, s)
    # a third sentence: logits so low that a finite number hides nothing, and in its last head
    # hidden logits so high that a softmax over all leaves the visible ones nothing
    logits[2:] -= 300_000
    past = torch.ones(s, s, dtype=torch.bool).tril()
    hidden = ~(past[:, :, None] & past[:, None, :])
    logits[2:, 1:] += 300_000 + 1000 * hidden
    return dict(logits=logits)


def truth_probs(logits: Tensor) -> Tensor:
    out = torch.zeros_like(logits)
    b, h, s = logits.shape[:3]
    for n in range(b):
        for m in range(h):
            for i in range(s):
                pairs = [(j, k) for j in range(i + 1) for k in range(i + 1)]
                values = [float(logits[n, m, i, j, k]) for j, k in pairs]
                top = max(values)
                total = sum(math.exp(x - top) for x in values)
                for (j, k), x in zip(pairs, values, strict=True):
                    out[n, m, i, j, k] = math.exp(x - top) / total
    return out


def past(x: Tensor) -> Tensor:
    s = x.shape[-1]
    return torch.ones(s, s, dtype=torch.bool).tril()


def _visible(x: Tensor) -> Tensor:
    return past(x)[:, :, None] & past(x)[:, None, :]


def hide(logits: Tensor, visible: Tensor, value: float = -math.inf) -> Tensor:
    return logits.masked_fill(~visible, value)


def joint(logits: Tensor) -> Tensor:
    return logits.flatten(-2).softmax(-1).reshape(logits.shape)


def wrong_second_only(logits: Tensor) -> Tensor:
    return hide(logits, _visible(logits)).softmax(-1)


def wrong_second_only_clean(logits: Tensor) -> Tensor:
    return wrong_second_only(logits).nan_to_num(0.0)


def wrong_first_only(logits: Tensor) -> Tensor:
    return hide(logits, _visible(logits)).softmax(-2)


def wrong_first_only_clean(logits: Tensor) -> Tensor:
    return wrong_first_only(logits).nan_to_num(0.0)


def wrong_two_softmaxes(logits: Tensor) -> Tensor:
    hidden = hide(logits, _visible(logits))
    return (hidden.softmax(-1) * hidden.softmax(-2)).nan_to_num(0.0)


def wrong_one_after_the_other(logits: Tensor) -> Tensor:
    return hide(logits, _visible(logits)).softmax(-1).nan_to_num(0.0).softmax(-2)


def wrong_first_masked(logits: Tensor) -> Tensor:
    return joint(hide(logits, past(logits)[:, :, None]))


def wrong_second_masked(logits: Tensor) -> Tensor:
    return joint(hide(logits, past(logits)[:, None, :]))


def wrong_ordered(logits: Tensor) -> Tensor:
    return joint(hide(logits, _visible(logits) & past(logits)[None]))


def wrong_unmasked(logits: Tensor) -> Tensor:
    return joint(logits)


def wrong_mask_after(logits: Tensor) -> Tensor:
    return joint(logits) * _visible(logits)


def wrong_mask_zero(logits: Tensor) -> Tensor:
    return joint(hide(logits, _visible(logits), 0.0))


def wrong_strict(logits: Tensor) -> Tensor:
    earlier = past(logits).tril(-1)
    return joint(hide(logits, earlier[:, :, None] & earlier[:, None, :]))


def wrong_future(logits: Tensor) -> Tensor:
    later = past(logits).T
    return joint(hide(logits, later[:, :, None] & later[:, None, :]))


def wrong_overflow(logits: Tensor) -> Tensor:
    weights = logits.exp() * _visible(logits)
    return weights / weights.sum((-2, -1), keepdim=True)


def wrong_overflow_hidden(logits: Tensor) -> Tensor:
    weights = hide(logits, _visible(logits)).exp()
    return weights / weights.sum((-2, -1), keepdim=True)


def wrong_finite_mask(logits: Tensor) -> Tensor:
    return joint(hide(logits, _visible(logits), -1e4))


def wrong_mask_renormalised(logits: Tensor) -> Tensor:
    probs = wrong_mask_after(logits)
    return probs / probs.sum((-2, -1), keepdim=True)


def wrong_second_after_first(logits: Tensor) -> Tensor:
    return joint(hide(logits, past(logits)))


def wrong_second_after_first_rows(logits: Tensor) -> Tensor:
    return hide(logits, past(logits)).softmax(-1)


def wrong_all_queries(logits: Tensor) -> Tensor:
    hidden = hide(logits, _visible(logits))
    return hidden.flatten(-3).softmax(-1).reshape(logits.shape)


def right_logsumexp(logits: Tensor) -> Tensor:
    hidden = hide(logits, _visible(logits))
    return (hidden - hidden.logsumexp((-2, -1), keepdim=True)).exp()


def right_by_queries(logits: Tensor) -> Tensor:
    out = torch.zeros_like(logits)
    for i in range(logits.shape[2]):
        seen = logits[:, :, i, : i + 1, : i + 1]
        out[:, :, i, : i + 1, : i + 1] = seen.flatten(-2).softmax(-1).reshape(seen.shape)
    return out


def _says_one_key(which: str, other: str) -> Any:
    def says(x: Difference) -> str:
        n, m, i = *x.index[:2], x.got.shape[2] - 1
        hidden = f" A hidden {other} key has nothing to share: its softmax is over −inf alone, NaN."
        return (
            f"Your map for query {i} sums to {float(x.got[n, m, i].sum()):.3f}, and it should sum "
            f"to 1. These are exactly the numbers you get from a softmax over the {which} key "
            f"alone: each {other} key got a unit of its own."
            f"{hidden if x.got.isnan().any() else ''}"
        )

    return says


def _says_future(which: str, other: str) -> Any:
    def says(x: Difference) -> str:
        n, m, i = x.index[:3]
        later = x.got[n, m, i, :, i + 1 :] if which == "second" else x.got[n, m, i, i + 1 :]
        return (
            f"Query {i} gives {float(later.sum()):.2f} of its attention to pairs whose {which} key "
            f"lies in its future. The {other} key is masked, the {which} is not."
        )

    return says


def _says_ordered(x: Difference) -> str:
    i = x.index[2]
    return (
        f"Query {i} chooses among {(i + 1) * (i + 2) // 2} pairs in your map, and it sees "
        f"{(i + 1) ** 2}. You also hide the pairs with k > j, and nothing in the definition orders "
        "the two keys."
    )


def _says_mask_after(x: Difference) -> str:
    n, m, i = x.index[:3]
    return (
        f"Your map for query {i} sums to {float(x.got[n, m, i].sum()):.3f}. The softmax had "
        "already given a share to the hidden pairs when you set them to zero; that share is lost."
    )


def _says_mask_zero(x: Difference) -> str:
    n, m, i = x.index[:3]
    hidden = x.got[n, m, i][x.expected[n, m, i] == 0].sum()
    return (
        f"Query {i} gives {float(hidden):.2f} of its attention to pairs it may not see. Their "
        "logit is 0 in your map, and a logit of 0 is a score like any other: e⁰ = 1."
    )


PROBS = Exercise(
    id="2.2",
    title="Attention over pairs",
    minutes=8,
    inputs=probs_inputs,
    sizes=(
        dict(b=1, h=1, s=1),
        dict(b=1, h=2, s=3),
        dict(b=3, h=2, s=4),  # with a third sentence, see probs_inputs
        dict(b=2, h=3, s=5),
    ),
    truth=truth_probs,
    outputs=("probs: b h i j k",),
    wrong=(
        Wrong("second key only", wrong_second_only, _says_one_key("second", "first")),
        Wrong("second key only, no NaN", wrong_second_only_clean, _says_one_key("second", "first")),
        Wrong("first key only", wrong_first_only, _says_one_key("first", "second")),
        Wrong("first key only, no NaN", wrong_first_only_clean, _says_one_key("first", "second")),
        Wrong(
            "two softmaxes multiplied",
            wrong_two_softmaxes,
            lambda x: (
                f"Your map for query {x.index[2]} sums to "
                f"{float(x.got[x.index[:3]].sum()):.3f}, and it should sum to 1. These are the "
                "numbers of one softmax over j times one over k. A pair is one choice, so it has "
                "one denominator."
            ),
        ),
        Wrong(
            "one softmax after the other",
            wrong_one_after_the_other,
            "These are the numbers of a softmax whose results went through a second softmax: "
            "probabilities were used as if they were logits.",
        ),
        Wrong("first key masked only", wrong_first_masked, _says_future("second", "first")),
        Wrong("second key masked only", wrong_second_masked, _says_future("first", "second")),
        Wrong("ordered keys", wrong_ordered, _says_ordered),
        Wrong(
            "no mask",
            wrong_unmasked,
            "One softmax over all pairs it is, but every query also reads its future: no pair is "
            "hidden.",
        ),
        Wrong("mask after the softmax", wrong_mask_after, _says_mask_after),
        Wrong("masked with 0", wrong_mask_zero, _says_mask_zero),
        Wrong(
            "own position hidden",
            wrong_strict,
            "A query may read its own position, and in your map it may not. Query 0 has nothing "
            "left to read, and a softmax over nothing is NaN.",
        ),
        Wrong(
            "mask the wrong way round",
            wrong_future,
            "The mask is the wrong way round: each query reads itself and what comes after it.",
        ),
        Wrong(
            "mask after the softmax, renormalised",
            wrong_mask_renormalised,
            "It is right while visible and hidden logits are of a size. Where a hidden logit is "
            "1,000 higher, the softmax leaves the visible pairs 0 each before you mask, and 0 "
            "divided by 0 is NaN.",
        ),
        Wrong(
            "finite mask",
            wrong_finite_mask,
            "Hidden logits were set to some finite number, and −10,000, say, is an ordinary "
            "logit: where all visible logits lie lower, the hidden pairs get everything.",
        ),
        Wrong(
            "keys compared",
            wrong_second_after_first,
            "Your mask compares the two keys with each other: it hides the pairs with k > j and "
            "leaves the query out. This is the mask of chapter 01 laid over the last two axes, and "
            "those are both keys now. Each key should be compared with the query.",
        ),
        Wrong(
            "keys compared, second key only",
            wrong_second_after_first_rows,
            "Two things at once. Your mask hides the pairs with k > j, so it compares the two keys "
            "with each other and neither with the query; and the softmax runs over the second key "
            "alone, so each first key gets a unit of its own.",
        ),
        Wrong(
            "overflow",
            wrong_overflow,
            "It is right for small logits. Near 1,000 the exponential is larger than any float64, "
            "and infinity divided by infinity is NaN.",
        ),
        Wrong(
            "overflow, masked first",
            wrong_overflow_hidden,
            "It is right for small logits. Near 1,000 the exponential is larger than any float64, "
            "and infinity divided by infinity is NaN; far below 0 it is 0, and so is 0 by 0.",
        ),
        Wrong(
            "one unit for all queries",
            wrong_all_queries,
            "All queries of a head share one unit of attention in your map. Every query has one "
            "of its own.",
        ),
    ),
    right=(
        Right("subtract logsumexp over both axes", right_logsumexp),
        Right("query by query", right_by_queries),
    ),
    hints=(
        "How many numbers must sum to 1 for one query?",
        "A softmax runs over one axis. Which two would you join, and can you undo it?",
        "Mask with −inf where j > i or k > i; flatten the last two axes; softmax over the one "
        "that results; give it the shape of logits again.",
    ),
    why="Why −inf before the softmax and not 0 after it? Try it: the map would sum to less than 1.",
    another_way="subtract `logsumexp(dim=(-2, -1), keepdim=True)` and exponentiate; that number is "
    "what the kernels of chapter 09 keep as lse.",
    variants=("float32", "bfloat16", "strided", "offset"),
)
