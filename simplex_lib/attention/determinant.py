"""Determinant attention: pairs of keys scored by signed 3 x 3 determinants.

Read from the top: `determinant_attention` is the operation, `determinant_logits` the score,
`as_trilinear` the reason why nothing else is needed: a determinant is two trilinear products, so
this attention is trilinear attention on vectors twice as long. The fused version is an option of
simplex_lib/kernels/trilinear.py.

The last axis is cut into chunks of three, x[0:3], x[3:6], ..., and the determinants of the chunks
are added. One or two coordinates left over at the end are multiplied as in the trilinear score.

Axes: b batch, h query head, g key head, i query, j first key, k second key, s sequence length,
d head_dim, e length of the vectors of `as_trilinear`.

Source: arXiv:2507.02754, section 5, Eqs. 8 (Sarrus) and 9. Eq. 9 has no scale; here it is that of
Eq. 5, and scale=1 gives Eq. 9 itself. The paper does not say what happens to coordinates left
over. The trilinear product keeps them in use, and its Theorem 5.1 needs nothing else: there the
seventh coordinate of every regular key is 0.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from simplex_lib.attention.trilinear import (
    check_trilinear,
    trilinear_attention_with_lse,
    trilinear_logits,
)
from simplex_lib.errors import (
    bind_axes,
    check_inputs,
    require_alike,
    require_choice,
    require_groups,
)


def determinant_attention(
    q: Float[Tensor, "b h s d"],
    k1: Float[Tensor, "b g s d"],
    k2: Float[Tensor, "b g s d"],
    v1: Float[Tensor, "b g s dv"],
    v2: Float[Tensor, "b g s dv"],
    *,
    w1: int | None = None,
    w2: int | None = None,
    causal: bool = True,
    scale: float | None = None,
    impl: Literal["reference", "triton"] = "reference",
) -> Float[Tensor, "b h s dv"]:
    """`trilinear_attention` with the logits of `determinant_logits`.

    out[i] = sum_jk probs[i, j, k] * v1[j] * v2[k], with one softmax over all pairs of a query.

    Args:
        q: query, (b, h, s, d) with d at least 3.
        k1, k2, v1, v2, w1, w2, causal, impl: as in `trilinear_attention`.
        scale: factor on the logits. None: 1 / sqrt(d). For independent numbers of variance 1 the
            variance of the logits is then 2 where 3 divides d, since a determinant is a sum of
            six products.

    Returns:
        out, (b, h, s, dv), in the dtype of q.

    Raises:
        ValueError, TypeError: as `trilinear_attention`; d must be at least 3.

    Rotating all vectors together changes nothing. In the trilinear score it would:

    >>> q, k1, k2, v1, v2 = torch.randn(5, 1, 2, 5, 3, dtype=torch.float64)
    >>> turn = torch.linalg.matrix_exp(torch.tensor([[0, -1, 2], [1, 0, -3], [-2, 3, 0]]).double())
    >>> turned = [x @ turn for x in (q, k1, k2)]
    >>> out = determinant_attention(q, k1, k2, v1, v2)
    >>> torch.allclose(determinant_attention(*turned, v1, v2), out)
    True
    """
    return determinant_attention_with_lse(
        q, k1, k2, v1, v2, w1=w1, w2=w2, causal=causal, scale=scale, impl=impl
    )[0]


def determinant_attention_with_lse(
    q: Float[Tensor, "b h s d"],
    k1: Float[Tensor, "b g s d"],
    k2: Float[Tensor, "b g s d"],
    v1: Float[Tensor, "b g s dv"],
    v2: Float[Tensor, "b g s dv"],
    *,
    w1: int | None = None,
    w2: int | None = None,
    causal: bool = True,
    scale: float | None = None,
    impl: Literal["reference", "triton"] = "reference",
) -> tuple[Float[Tensor, "b h s dv"], Float[Tensor, "b h s"]]:
    """The same and, as `trilinear_attention_with_lse` returns it, the natural-log lse.

    With k1 = q and w1 = 1 two rows of every visible determinant are equal: all logits are 0, and
    lse counts the pairs.

    >>> q, k2, v1, v2 = torch.randn(4, 1, 1, 4, 3)
    >>> determinant_attention_with_lse(q, q, k2, v1, v2, w1=1)[1].exp().round().tolist()
    [[[1.0, 2.0, 3.0, 4.0]]]
    """
    size = check_trilinear(q, k1, k2, v1, v2, w1=w1, w2=w2, causal=causal, scale=scale)
    require_chunk(q=q)
    require_choice("impl", impl, ("reference", "triton"))
    scale = 1 / math.sqrt(size["d"]) if scale is None else scale
    if impl == "triton":  # imported here, so that the reference runs without triton
        from simplex_lib.kernels.trilinear import trilinear_attention_triton

        return trilinear_attention_triton(
            q, k1, k2, v1, v2, w1=w1, w2=w2, causal=causal, scale=scale, determinant=True
        )
    return trilinear_attention_with_lse(
        *as_trilinear(q, k1, k2), v1, v2, w1=w1, w2=w2, causal=causal, scale=scale
    )


def determinant_logits(
    q: Float[Tensor, "b h s d"], k1: Float[Tensor, "b g s d"], k2: Float[Tensor, "b g s d"]
) -> Float[Tensor, "b h s s s"]:
    """Score every triple, unscaled and unmasked: the sum over chunks of det[q[i]; k1[j]; k2[k]].

    With a, b, c the rows of one chunk, two trilinear products of turned copies (Eq. 8):
    det = <a, (b2, b3, b1), (c3, c1, c2)> - <a, (b3, b1, b2), (c2, c3, c1)>.
    Coordinates left over, d mod 3 of them, add their trilinear product.

    The score is unchanged under a common rotation of the three chunks; a reflection changes the
    sign of the determinant, and so does exchanging two of its rows.

    >>> q, k1, k2 = torch.randn(3, 1, 2, 4, 6)
    >>> torch.allclose(determinant_logits(q, k2, k1), -determinant_logits(q, k1, k2).mT)
    True
    """
    size = check_inputs(q=(q, "b h s d"), k1=(k1, "b g s d"), k2=(k2, "b g s d"))
    require_groups(n_heads=size["h"], n_kv_heads=size["g"], tensor="k1")
    require_chunk(q=q)
    q1, q2 = chunks_and_rest(q)
    (b, b_rest), (c, c_rest) = chunks_and_rest(k1), chunks_and_rest(k2)
    logits = trilinear_logits(q1, turn(b, 1), turn(c, 2))
    logits = logits - trilinear_logits(q1, turn(b, 2), turn(c, 1))
    return logits + trilinear_logits(q2, b_rest, c_rest) if q2.shape[-1] else logits


def as_trilinear(
    q: Float[Tensor, "b h s d"], k1: Float[Tensor, "b g s d"], k2: Float[Tensor, "b g s d"]
) -> tuple[Float[Tensor, "b h s e"], Float[Tensor, "b g s e"], Float[Tensor, "b g s e"]]:
    """Vectors whose trilinear score is the determinant score; e = 2 d - d mod 3.

    q gives (q, -q), k1 and k2 their turned copies, and coordinates left over stand once. Every
    path of trilinear attention is one of determinant attention with it; the scale is that of the
    short vectors, and has to be given. The three may have sequence lengths of their own.

    >>> q, k1, k2 = torch.randn(3, 1, 2, 4, 7)
    >>> logits = trilinear_logits(*as_trilinear(q, k1, k2))
    >>> torch.allclose(logits, determinant_logits(q, k1, k2), atol=1e-5)
    True
    """
    bind_axes(q=(q, "b h s d"), k1=(k1, "b g s1 d"), k2=(k2, "b g s2 d"))
    require_alike(q=q, k1=k1, k2=k2)
    require_chunk(q=q)
    (a, a_rest), (b, b_rest), (c, c_rest) = (chunks_and_rest(x) for x in (q, k1, k2))
    return (
        torch.cat([a, -a, a_rest], -1),
        torch.cat([turn(b, 1), turn(b, 2), b_rest], -1),
        torch.cat([turn(c, 2), turn(c, 1), c_rest], -1),
    )


def chunks_and_rest(x: Tensor) -> tuple[Tensor, Tensor]:
    """The coordinates that fill chunks of three, and the 0, 1 or 2 left over."""
    whole = x.shape[-1] // 3 * 3
    return x[..., :whole], x[..., whole:]


def turn(x: Tensor, by: int) -> Tensor:
    """Turn the coordinates of each chunk: (1, 2, 3) to (2, 3, 1) by 1, to (3, 1, 2) by 2."""
    return x.unflatten(-1, (-1, 3)).roll(-by, -1).flatten(-2)


def require_chunk(**tensors: Tensor) -> None:
    for name, x in tensors.items():
        if x.shape[-1] < 3:
            raise ValueError(
                f"{name} must have a head_dim of at least 3, the size of a determinant; "
                f"got {x.shape[-1]}."
            )
