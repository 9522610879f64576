"""Exercise 3.2, determinant logits by chunks: truth, mistakes, other algorithms.

Axes: b batch, h head, i query, j first key, k second key, s sequence length, d head_dim, p chunk.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch02_probs import _visible, hide, joint
from simplex_lib.checks.ch03_common import (
    determinants,
    interleaved,
    parts,
    product,
    truth_determinants,
)
from simplex_lib.checks.exercise import Draw, Exercise, Right, Wrong


def determinant_inputs(draw: Draw, *, b: int, h: int, s: int, d: int) -> dict[str, Any]:
    if d % 3:
        raise ValueError("chunks hold three coordinates")
    if (b, h, s, d) == (1, 1, 1, 6):  # the example of the statement
        rows = dict(q=[1, 0, 0, 2, 0, 0], k1=[0, 1, 0, 0, 0, 3], k2=[0, 0, 1, 0, 1, 0])
        return {name: torch.tensor([[[x]]], dtype=torch.float64) for name, x in rows.items()}
    q, k1, k2 = (draw.normal(b, h, s, d) for _ in range(3))
    k2[:, :, 1:2] = k1[:, :, 1:2]  # two equal rows: a box without volume
    return dict(q=q, k1=k1, k2=k2)


def stacked(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    """Every matrix, (b, h, i, j, k, p, 3, 3)."""
    rows = (q[:, :, :, None, None], k1[:, :, None, :, None], k2[:, :, None, None])
    return torch.stack(torch.broadcast_tensors(*(x.unflatten(-1, (-1, 3)) for x in rows)), -2)


def each(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    """The determinant of every chunk, (b, h, i, j, k, p)."""
    return torch.linalg.det(stacked(q, k1, k2))


def wrong_trilinear(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return product(q, k1, k2)


def wrong_trilinear_scaled(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return product(q, k1, k2) / math.sqrt(q.shape[-1])


def wrong_permanent(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return sum(parts(q, k1, k2), torch.zeros((), dtype=q.dtype))


def wrong_positive(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return parts(q, k1, k2)[0]


def wrong_sign(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return -determinants(q, k1, k2)


def wrong_first_column(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    """A cofactor expansion whose middle sign is a plus."""
    x, y, z = (t.unflatten(-1, (-1, 3)) for t in (q, k1, k2))
    total = torch.zeros((), dtype=q.dtype)
    for n, (a, b) in enumerate(((1, 2), (0, 2), (0, 1))):
        total = total + product(x[..., n], y[..., a], z[..., b])
        total = total - product(x[..., n], y[..., b], z[..., a])
    return total


def wrong_keys_exchanged(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return -determinants(q, k1, k2).transpose(-1, -2)


def wrong_axes_exchanged(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return determinants(q, k1, k2).transpose(-1, -2)


def wrong_scaled(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return determinants(q, k1, k2) / math.sqrt(q.shape[-1])


def wrong_mean(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return determinants(q, k1, k2) / (q.shape[-1] // 3)


def wrong_interleaved(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return determinants(interleaved(q), interleaved(k1), interleaved(k2))


def wrong_rolled(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    one = product(q, k1.roll(-1, -1), k2.roll(-2, -1))
    return one - product(q, k1.roll(-2, -1), k2.roll(-1, -1))


def wrong_first_chunk(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return determinants(q[..., :3], k1[..., :3], k2[..., :3])


def wrong_last_chunk(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return determinants(q[..., -3:], k1[..., -3:], k2[..., -3:])


def wrong_product_of_chunks(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return each(q, k1, k2).prod(-1)


def wrong_volumes(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return each(q, k1, k2).abs().sum(-1)


def wrong_size(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return determinants(q, k1, k2).abs()


def wrong_gram(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return each(q, k1, k2).square().sum(-1)


def wrong_summed_matrices(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return torch.linalg.det(stacked(q, k1, k2).sum(-3))


def wrong_one_position(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return determinants(q, k1, k2).diagonal(dim1=-2, dim2=-1)


def wrong_all_one_position(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return wrong_one_position(q, k1, k2).diagonal(dim1=-2, dim2=-1)


def wrong_all_chunks(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return each(q, k1, k2)


def wrong_heads_summed(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return determinants(q, k1, k2).sum(1)


def wrong_masked(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    logits = determinants(q, k1, k2)
    return hide(logits, _visible(logits))


def wrong_softmaxed(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return joint(determinants(q, k1, k2))


def right_matrices(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return each(q, k1, k2).sum(-1)


def right_cross(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    first, second = (x.unflatten(-1, (-1, 3)) for x in (k1[:, :, :, None], k2[:, :, None]))
    crossed = torch.linalg.cross(first, second).flatten(-2)  # (b, h, j, k, d)
    return torch.einsum("bhid,bhjkd->bhijk", q, crossed)


DETERMINANT = Exercise(
    id="3.2",
    title="Determinant logits",
    minutes=8,
    inputs=determinant_inputs,
    sizes=(
        dict(b=1, h=1, s=1, d=6),  # the example of the statement
        dict(b=1, h=1, s=2, d=3),
        dict(b=1, h=2, s=4, d=6),
        dict(b=2, h=3, s=5, d=12),
    ),
    truth=truth_determinants,
    outputs=("logits: b h i j k",),
    wrong=(
        Wrong(
            "trilinear",
            wrong_trilinear,
            "These are the trilinear logits, the sum of q ∘ k1 ∘ k2. In a determinant no "
            "coordinate ever meets itself.",
        ),
        Wrong(
            "trilinear, scaled",
            wrong_trilinear_scaled,
            "These are the trilinear logits of exercise 2.1. In a determinant no coordinate ever "
            "meets itself, and Eq. 9 has no scale.",
        ),
        Wrong(
            "permanent",
            wrong_permanent,
            "The six products are right and all enter with a plus: that is the permanent. Three of "
            "them carry a minus.",
        ),
        Wrong(
            "three products",
            wrong_positive,
            "Three of the six products are there, those with a plus. The three that are "
            "taken off are missing.",
        ),
        Wrong(
            "wrong sign",
            wrong_sign,
            "Every number has the wrong sign, as when two rows or two columns change places. The "
            "rows are q, k1 and k2 in this order.",
        ),
        Wrong(
            "middle sign",
            wrong_first_column,
            "The determinant is expanded along its first row, and the term in the middle enters "
            "with a plus. The signs alternate.",
        ),
        Wrong(
            "keys exchanged",
            wrong_keys_exchanged,
            "Your number for the pair (j, k) reads k2 at j and k1 at k: the fourth axis runs over "
            "the keys of k2 and the fifth over those of k1, and the rows are in that order too.",
        ),
        Wrong(
            "axes exchanged",
            wrong_axes_exchanged,
            "The numbers are right and two axes have changed places: your number for the pair "
            "(j, k) belongs to the pair (k, j).",
        ),
        Wrong(
            "scaled",
            wrong_scaled,
            "The determinants are right, and then they are divided by √d. Eq. 9 has no such "
            "factor.",
        ),
        Wrong(
            "mean of the chunks",
            wrong_mean,
            "The determinants are divided by the number of chunks. Eq. 9 adds them up.",
        ),
        Wrong(
            "interleaved chunks",
            wrong_interleaved,
            "Your chunk l holds the coordinates l, l + d/3 and l + 2d/3. A chunk is three "
            "neighbours.",
        ),
        Wrong(
            "turned across chunks",
            wrong_rolled,
            "The coordinates are moved along the whole vector, so the last one of a chunk meets "
            "numbers of the next chunk. Each chunk turns in itself.",
        ),
        Wrong(
            "first chunk",
            wrong_first_chunk,
            "Only the first three coordinates count in your numbers. Every chunk of three has a "
            "determinant, and they are added.",
        ),
        Wrong(
            "last chunk",
            wrong_last_chunk,
            "Only the last three coordinates count in your numbers. Every chunk of three has a "
            "determinant, and they are added.",
        ),
        Wrong(
            "chunks multiplied",
            wrong_product_of_chunks,
            "The determinants of the chunks are multiplied with each other, and Eq. 9 adds them.",
        ),
        Wrong(
            "volumes",
            wrong_volumes,
            "The determinants lost their signs before they were added: these are volumes. A "
            "determinant is a volume with a sign.",
        ),
        Wrong(
            "size",
            wrong_size,
            "The sum is right up to its sign, which is lost. A logit may be negative.",
        ),
        Wrong(
            "squares",
            wrong_gram,
            "These are squares of determinants, added: what the matrix of all dot products of the "
            "three vectors would give.",
        ),
        Wrong(
            "chunks added first",
            wrong_summed_matrices,
            "The chunks were added up first, and one determinant taken of the sum. A determinant "
            "of a sum is not the sum of determinants.",
        ),
        Wrong(
            "one position",
            wrong_one_position,
            "Both keys are read at one position, so only the pairs (j, j) are scored. There are as "
            "many pairs as combinations of j and k.",
        ),
        Wrong(
            "all at one position",
            wrong_all_one_position,
            "Query and keys are read at one and the same position: there is one number for each "
            "position, and there should be one for each triple of positions.",
        ),
        Wrong(
            "chunks not added",
            wrong_all_chunks,
            "There is one axis too many, with a determinant for each chunk. The logit is their "
            "sum.",
        ),
        Wrong(
            "heads summed",
            wrong_heads_summed,
            "The scores of all heads were added up. Every head scores for itself.",
        ),
        Wrong(
            "already masked",
            wrong_masked,
            "The visible numbers are right, and the future is hidden already. This exercise wants "
            "the bare scores.",
        ),
        Wrong(
            "already softmaxed",
            wrong_softmaxed,
            "These are probabilities: a softmax over all pairs was taken already. This exercise "
            "wants the bare scores.",
        ),
    ),
    right=(
        Right("all matrices at once", right_matrices),
        Right("cross products of the keys", right_cross),
    ),
    hints=(
        "A determinant needs a square. Which three numbers of q, k1 and k2 make its rows, and how "
        "many such squares does one triple have?",
        "Split the last axis into (d/3, 3), and give each of the three tensors an axis of size 1 "
        "for each position letter that it lacks: i, j or k. Then they broadcast.",
        "unflatten the last axis of each into (−1, 3); q gets axes for j and k, k1 for i and k, k2 "
        "for i and j; expand all to one shape, stack them as rows on the axis before the last, "
        "take the determinant, sum over the chunks.",
    ),
    why="If you built a 3 by 3 matrix for every triple and chunk, those were nine numbers where "
    "one is wanted. The next exercise does without them.",
    another_way="the determinant is q · (k1 × k2): a cross product for each pair of keys, and one "
    "matrix product with the queries.",
    variants=("float32", "strided"),  # torch.linalg.det has no bfloat16
    smallest=dict(d=3),
)
