"""Exercise 2.6: the unsigned scalar triple product of Clift et al. (2019), as logits.

Axes: b batch, h head, i query, j first key, k second key, s sequence length, d head_dim.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.exercise import Draw, Exercise, Right, Wrong


def triple_inputs(draw: Draw, *, b: int, h: int, s: int, d: int) -> dict[str, Any]:
    q, k1, k2 = (draw.normal(b, h, s, d) for _ in range(3))
    k2[:, :, 0] = k1[:, :, 0]  # one parallel pair, where careless formulas go below zero
    return dict(q=q, k1=k1, k2=k2)


def truth_triple(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    b, h, s, d = q.shape
    out = torch.zeros(b, h, s, s, s, dtype=torch.float64)
    for n in range(b):
        for m in range(h):
            for i in range(s):
                for j in range(s):
                    for k in range(s):
                        x, y, z = (t[n, m, at].tolist() for t, at in ((q, i), (k1, j), (k2, k)))
                        xy, xz, yz = (
                            sum(u * v for u, v in zip(*both, strict=True))
                            for both in ((x, y), (x, z), (y, z))
                        )
                        parts = [xy * z[c] - xz * y[c] + yz * x[c] for c in range(d)]
                        out[n, m, i, j, k] = math.sqrt(sum(part * part for part in parts))
    return out


def _dots(q: Tensor, k1: Tensor, k2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """q·k1, q·k2 and k1·k2, each with room for i, j and k."""
    first = (q @ k1.transpose(-1, -2))[..., :, :, None]
    second = (q @ k2.transpose(-1, -2))[..., :, None, :]
    both = (k1 @ k2.transpose(-1, -2))[..., None, :, :]
    return first, second, both


def _terms(q: Tensor, k1: Tensor, k2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(q·k1) k2, (q·k2) k1 and (k1·k2) q, each (b, h, i, j, k, d)."""
    first, second, both = (x[..., None] for x in _dots(q, k1, k2))
    return (
        first * k2[:, :, None, None],
        second * k1[:, :, None, :, None],
        both * q[:, :, :, None, None],
    )


def _gram(q: Tensor, k1: Tensor, k2: Tensor, cross: float) -> Tensor:
    first, second, both = _dots(q, k1, k2)
    qq, jj, kk = ((x * x).sum(-1) for x in (q, k1, k2))
    squares = first**2 * kk[..., None, None, :] + second**2 * jj[..., None, :, None]
    return squares + both**2 * qq[..., :, None, None] + cross * first * second * both


def wrong_trilinear(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return torch.einsum("bhid,bhjd,bhkd->bhijk", q, k1, k2)


def wrong_trilinear_scaled(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return wrong_trilinear(q, k1, k2) / math.sqrt(q.shape[-1])


def wrong_determinant(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    crossed = torch.linalg.cross(k1[:, :, :, None], k2[:, :, None])
    return torch.einsum("bhid,bhjkd->bhijk", q, crossed)


def wrong_determinant_size(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return wrong_determinant(q, k1, k2).abs()


def wrong_squared(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return _gram(q, k1, k2, -2)


def wrong_signs(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    one, two, three = _terms(q, k1, k2)
    return (one + two + three).norm(dim=-1)


def wrong_cross_sign(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return _gram(q, k1, k2, 2).sqrt()


def wrong_three_cross_terms(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return _gram(q, k1, k2, -6).sqrt()


def wrong_single_cross_term(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return _gram(q, k1, k2, -1).clamp(min=0).sqrt()


def wrong_no_cross_term(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return _gram(q, k1, k2, 0).sqrt()


def wrong_absolute_sum(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    one, two, three = _terms(q, k1, k2)
    return (one - two + three).abs().sum(-1)


def wrong_two_terms(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    one, two, _ = _terms(q, k1, k2)
    return (one - two).norm(dim=-1)


def wrong_summed(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    one, two, three = _terms(q, k1, k2)
    return (one - two + three).sum(-1).abs()


def wrong_lengths(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return torch.einsum("bhi,bhj,bhk->bhijk", *(x.norm(dim=-1) for x in (q, k1, k2)))


def wrong_scaled(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return right_vectors(q, k1, k2) / math.sqrt(q.shape[-1])


def wrong_unsquared_norms(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    first, second, both = _dots(q, k1, k2)
    qq, jj, kk = (x.norm(dim=-1) for x in (q, k1, k2))
    squares = first**2 * kk[..., None, None, :] + second**2 * jj[..., None, :, None]
    return (squares + both**2 * qq[..., :, None, None] - 2 * first * second * both).abs().sqrt()


def right_vectors(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    one, two, three = _terms(q, k1, k2)
    return (one - two + three).norm(dim=-1)


def right_dots(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return _gram(q, k1, k2, -2).clamp(min=0).sqrt()


TRIPLE = Exercise(
    id="2.6",
    title="The unsigned triple product",
    minutes=8,
    inputs=triple_inputs,
    sizes=(
        dict(b=1, h=2, s=4, d=3),
        dict(b=1, h=3, s=4, d=2),
        dict(b=2, h=3, s=4, d=5),
    ),
    truth=truth_triple,
    outputs=("logits: b h i j k",),
    wrong=(
        Wrong(
            "trilinear",
            wrong_trilinear,
            "These are the trilinear logits, the sum of q ∘ k1 ∘ k2. They bear a similar name and "
            "are another function.",
        ),
        Wrong(
            "trilinear, scaled",
            wrong_trilinear_scaled,
            "These are the trilinear logits of exercise 2.1. The two papers use similar names for "
            "different functions.",
        ),
        Wrong(
            "determinant",
            wrong_determinant,
            "This is the scalar triple product of school, q · (k1 × k2): it has a sign and exists "
            "in three dimensions only. The formula of Clift et al. is made of dot products.",
        ),
        Wrong(
            "volume",
            wrong_determinant_size,
            "This is |q · (k1 × k2)|, the volume of the box. It is 0 where the three vectors lie "
            "in a plane, where the product of Clift et al. is largest; and it exists in three "
            "dimensions only.",
        ),
        Wrong(
            "squared",
            wrong_squared,
            lambda x: (
                f"Where {x.expected_here:.3f} is expected you give {x.got_here:.3f}, its square: "
                "Eq. 8 of Clift et al. gives the square of the product."
            ),
        ),
        Wrong(
            "no minus",
            wrong_signs,
            "All three terms enter with a plus. One of them carries a minus sign.",
        ),
        Wrong(
            "sign of the cross term",
            wrong_cross_sign,
            "The three squares are right. The term with all three dot products enters with the "
            "wrong sign.",
        ),
        Wrong(
            "three cross terms",
            wrong_three_cross_terms,
            "You take off (a·b)(a·c)(b·c) six times. When the square is multiplied out there are "
            "three cross terms, and they do not all have the same sign; yours goes below zero, "
            "and its root is NaN.",
        ),
        Wrong(
            "cross term once",
            wrong_single_cross_term,
            "The three squares are right. The term with all three dot products lacks its factor 2.",
        ),
        Wrong(
            "no cross term",
            wrong_no_cross_term,
            "The three squares are right. The last term of Eq. 8, with all three dot products, is "
            "missing: the three vectors inside the length are not perpendicular.",
        ),
        Wrong(
            "absolute values added",
            wrong_absolute_sum,
            "The vector is right. You add up the sizes of its coordinates; its length is the root "
            "of the sum of their squares.",
        ),
        Wrong(
            "two terms",
            wrong_two_terms,
            "The term with k1 · k2 is missing. The other two make, in three dimensions, the length "
            "of q × (k1 × k2), the vector triple product.",
        ),
        Wrong(
            "coordinates summed",
            wrong_summed,
            "The vector is right. You add up its coordinates; asked for is its length.",
        ),
        Wrong(
            "scaled",
            wrong_scaled,
            "The product is right, and then it is divided by √d. Clift et al. have no such factor.",
        ),
        Wrong(
            "product of lengths",
            wrong_lengths,
            "This is the product of the three lengths: the largest value that the triple product "
            "can take, reached only where the three vectors are linearly dependent, as any three "
            "are in two dimensions.",
        ),
        Wrong(
            "lengths for squares",
            wrong_unsquared_norms,
            "In Eq. 8 each squared dot product meets the dot product of the third vector with "
            "itself, which is the square of its length; you take the length.",
        ),
    ),
    right=(
        Right("the vector and its length", right_vectors),
        Right("from dot products alone", right_dots),
    ),
    hints=(
        "Three dot products, three vectors, one length. Nothing else is in the formula, and every "
        "dot product is a map that you can make for all positions at once.",
        "q · k1 depends on i and j, q · k2 on i and k, k1 · k2 on j and k. Give each of the three "
        "maps an axis of size 1 for the letter it lacks.",
        "either build (q·k1) k2 − (q·k2) k1 + (k1·k2) q as (b, h, i, j, k, d) and take the norm "
        "over d; or write Eq. 8 with the three maps and the squared lengths, and take the root.",
    ),
    why="It is made of dot products only, so turning all three vectors together changes nothing. "
    "The trilinear form does not have this property: chapter 03 begins there.",
    another_way="Eq. 8 never makes a vector for each triple: three maps of s² dot products and "
    "three lists of squared lengths are enough, d times less memory.",
    variants=("float32", "bfloat16", "strided"),
    tolerance=1e-7,
)
