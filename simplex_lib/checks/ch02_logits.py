"""Exercise 2.1, logits of triples: truth, mistakes, another algorithm.

Axes: b batch, h head, i query, j first key, k second key, s sequence length, d head_dim.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch02_probs import _visible, hide, joint
from simplex_lib.checks.exercise import Difference, Draw, Exercise, Right, Wrong


def logits_inputs(draw: Draw, *, b: int, h: int, s: int, d: int) -> dict[str, Any]:
    return {name: draw.normal(b, h, s, d) for name in ("q", "k1", "k2")}


def truth_logits(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    b, h, s, d = q.shape
    out = torch.zeros(b, h, s, s, s, dtype=torch.float64)
    for n in range(b):
        for m in range(h):
            first, second, third = (x[n, m].tolist() for x in (q, k1, k2))
            for i in range(s):
                for j in range(s):
                    for k in range(s):
                        numbers = zip(first[i], second[j], third[k], strict=True)
                        out[n, m, i, j, k] = sum(x * y * z for x, y, z in numbers) / math.sqrt(d)
    return out


def raw(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return torch.einsum("bhid,bhjd,bhkd->bhijk", q, k1, k2)


def wrong_unscaled(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return raw(q, k1, k2)


def wrong_scaled_by_d(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return raw(q, k1, k2) / q.shape[-1]


def wrong_keys_swapped(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return raw(q, k2, k1) / math.sqrt(q.shape[-1])


def wrong_one_position(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return torch.einsum("bhid,bhjd,bhjd->bhij", q, k1, k2) / math.sqrt(q.shape[-1])


def wrong_one_position_repeated(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    found = wrong_one_position(q, k1, k2)
    return found[..., None].expand(*found.shape, found.shape[-1])


def wrong_sum_of_keys(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    first = (q @ k1.transpose(-1, -2))[..., :, :, None]
    second = (q @ k2.transpose(-1, -2))[..., :, None, :]
    return (first + second) / math.sqrt(q.shape[-1])


def wrong_product_of_dots(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return torch.einsum("bhid,bhjd,bhie,bhke->bhijk", q, k1, q, k2) / math.sqrt(q.shape[-1])


def wrong_unsummed_heads(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return torch.einsum("bhid,bhjd,bhkd->bijk", q, k1, k2) / math.sqrt(q.shape[-1])


def wrong_scaled_by_heads(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return raw(q, k1, k2) / math.sqrt(q.shape[1])


def wrong_scaled_by_length(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return raw(q, k1, k2) / math.sqrt(q.shape[2])


def wrong_keys_swapped_unscaled(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return raw(q, k2, k1)


def wrong_masked(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    logits = raw(q, k1, k2)
    return hide(logits, _visible(logits)) / math.sqrt(q.shape[-1])


def wrong_masked_unscaled(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    logits = raw(q, k1, k2)
    return hide(logits, _visible(logits))


def wrong_softmaxed(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return joint(raw(q, k1, k2) / math.sqrt(q.shape[-1]))


def wrong_masked_softmaxed(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return joint(wrong_masked(q, k1, k2))


def wrong_softmaxed_second(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return (raw(q, k1, k2) / math.sqrt(q.shape[-1])).softmax(-1)


def right_merged_query(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    b, h, s, d = q.shape
    merged = (q[:, :, :, None] * k1[:, :, None]).reshape(b, h, s * s, d)
    return (merged @ k2.transpose(-1, -2)).reshape(b, h, s, s, s) / math.sqrt(d)


def right_one_second_key(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    maps = [(q * k2[:, :, k : k + 1]) @ k1.transpose(-1, -2) for k in range(k2.shape[2])]
    return torch.stack(maps, dim=-1) * q.shape[-1] ** -0.5


def _says_unscaled(x: Difference) -> str:
    d = x.case.sizes["d"]
    return (
        f"With head_dim {d} every logit of yours is {math.sqrt(d):.3f} times too large. These are "
        "the numbers of the paper's Algorithm 1, whose listing leaves the scale out; its Eq. 5 "
        "has one."
    )


LOGITS = Exercise(
    id="2.1",
    title="Logits of triples",
    minutes=5,
    inputs=logits_inputs,
    sizes=(
        dict(b=1, h=3, s=4, d=2),
        dict(b=2, h=3, s=5, d=4),
    ),
    truth=truth_logits,
    outputs=("logits: b h i j k",),
    wrong=(
        Wrong("unscaled", wrong_unscaled, _says_unscaled),
        Wrong(
            "scaled by d",
            wrong_scaled_by_d,
            "The sums are right and you divide them by d. What grows with d is the variance of "
            "the sum; its spread grows more slowly.",
        ),
        Wrong(
            "keys swapped",
            wrong_keys_swapped,
            "Your number for the pair (j, k) belongs to the pair (k, j): the fourth axis runs "
            "over the keys of k2 and the fifth over those of k1.",
        ),
        Wrong(
            "one position",
            wrong_one_position,
            "Both keys carry the same letter in your sum, so k1 and k2 are read at one position "
            "and only the pairs (j, j) are scored. There are as many pairs as combinations of j "
            "and k.",
        ),
        Wrong(
            "one position, repeated",
            wrong_one_position_repeated,
            "Your numbers do not change when k moves: k2 is read at position j, and that score is "
            "repeated for every second key.",
        ),
        Wrong(
            "sum of two scores",
            wrong_sum_of_keys,
            "These are the numbers of q · k1_j + q · k2_k: two scores of single keys, added. "
            "Whatever q likes about one key, it then likes beside any other key. Here all three "
            "vectors meet in each coordinate.",
        ),
        Wrong(
            "product of two scores",
            wrong_product_of_dots,
            "These are the numbers of (q · k1_j) times (q · k2_k): each dot product has its own "
            "sum over the coordinates, and they are multiplied afterwards. Here there is one sum.",
        ),
        Wrong(
            "heads summed",
            wrong_unsummed_heads,
            "The letter of the heads is missing in your result, so the scores of all heads were "
            "added up. Every head scores for itself.",
        ),
        Wrong(
            "scaled by heads",
            wrong_scaled_by_heads,
            "You divide by the square root of h, the number of heads. The sum runs over the "
            "coordinates of one head.",
        ),
        Wrong(
            "scaled by length",
            wrong_scaled_by_length,
            "You divide by the square root of s, the number of positions. The sum runs over the "
            "coordinates of one head.",
        ),
        Wrong(
            "keys swapped, unscaled",
            wrong_keys_swapped_unscaled,
            "Two things at once. Your number for the pair (j, k) belongs to the pair (k, j), and "
            "the factor of Eq. 5 is missing.",
        ),
        Wrong(
            "already masked",
            wrong_masked,
            "The visible numbers are right, and the future is hidden already. This exercise wants "
            "the bare scores; the mask comes in the next one.",
        ),
        Wrong(
            "already masked, unscaled",
            wrong_masked_unscaled,
            "Two things at once. The future is hidden already, which the next exercise does, and "
            "the factor of Eq. 5 is missing.",
        ),
        Wrong(
            "already softmaxed",
            wrong_softmaxed,
            "These are probabilities: a softmax over all pairs was taken already. This exercise "
            "wants the bare scores.",
        ),
        Wrong(
            "already softmaxed, masked",
            wrong_masked_softmaxed,
            "These are probabilities: the future was hidden and a softmax taken already. This "
            "exercise wants the bare scores.",
        ),
        Wrong(
            "already softmaxed, second key",
            wrong_softmaxed_second,
            "These are probabilities: a softmax over the second key was taken already. This "
            "exercise wants the bare scores.",
        ),
    ),
    right=(
        Right("merge q with k1, then one matrix product", right_merged_query),
        Right("one second key at a time", right_one_second_key),
    ),
    hints=(
        "The formula of one number is a sum over the coordinates of a product of three numbers. "
        "Which letters stay, and which one is summed?",
        "einsum takes three inputs as easily as two. The two keys sit at different positions, so "
        "they need different letters. Look at the end of Eq. 5 as well.",
        "einsum with q as b h i d, k1 as b h j d, k2 as b h k d; keep b h i j k; then the factor "
        "of Eq. 5.",
    ),
    why="Only d is missing after the arrow, so only d is summed, and each of the s³ triples of "
    "every head gets one number.",
    another_way="multiply q and k1 first, `q[:, :, :, None] * k1[:, :, None]`, and finish with one "
    "matrix product with k2. The fast kernels do that, since a matrix product is what the "
    "hardware does best.",
)
