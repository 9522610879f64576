"""The unsigned scalar triple product: the score of the 2-simplicial Transformer of 2019.

Read from the top: `triple_product_logits` is the score of all triples. It is not the trilinear
score of arXiv:2507.02754 (`trilinear.py`), which kept the name "2-simplicial": this one is built
from dot products, so rotating all vectors together does not change it.

Axes: b batch, h head, i query, j first key, k second key, s sequence length, d head_dim.

Source: arXiv:1909.00668, Definition 2.2, Eqs. 7 and 8. The paper applies no 1 / sqrt(d), and
neither does this file. Its layer around the score (one value, a bilinear map, virtual entities,
a LayerNorm of its own) is not built here.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from simplex_lib.errors import check_inputs


def triple_product_logits(
    q: Float[Tensor, "b h s d"], k1: Float[Tensor, "b h s d"], k2: Float[Tensor, "b h s d"]
) -> Float[Tensor, "b h s s s"]:
    """Score every triple a = q[i], b = k1[j], c = k2[k] with |(a.b) c - (a.c) b + (b.c) a|.

    The square of that norm needs only dot products (Eq. 8):
    (a.b)^2 (c.c) + (b.c)^2 (a.a) + (a.c)^2 (b.b) - 2 (a.b)(a.c)(b.c).

    It is also |a|^2 |b|^2 |c|^2 minus the Gram determinant of a, b, c. Hence the score is at most
    |a| |b| |c|, and equal to it if and only if the three are linearly dependent; it is 0 if and
    only if they are pairwise orthogonal or one of them is 0. For unit vectors in R^3 its square
    is 1 - 36 Vol^2, Vol the volume of the tetrahedron 0, a, b, c.

    The norm has a kink at 0. Its gradient is taken as 0 there, which is a subgradient, in place of
    the NaN that a plain square root gives.

    Args:
        q, k1, k2: (b, h, s, d) each.

    Returns:
        logits, (b, h, s, s, s), not negative, unscaled and unmasked, in the dtype of q; computed
        in float32 at least, and on vectors whose largest entry is 1, so that no square overflows.

    Raises:
        ValueError: shapes or devices disagree, an axis is empty, or a number is NaN or infinite.
        TypeError: an argument is not a tensor, not floating, or not of the dtype of q.

    Rotating all vectors together changes nothing:

    >>> q, k1, k2 = torch.randn(3, 1, 1, 4, 5, dtype=torch.float64)
    >>> rotation, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))
    >>> turned = triple_product_logits(q @ rotation, k1 @ rotation, k2 @ rotation)
    >>> torch.allclose(turned, triple_product_logits(q, k1, k2))
    True
    """
    check_inputs(q=(q, "b h s d"), k1=(k1, "b h s d"), k2=(k2, "b h s d"))
    wide = torch.promote_types(q.dtype, torch.float32)
    (a, size_a), (b, size_b), (c, size_c) = (_rescale(x.to(wide)) for x in (q, k1, k2))
    ab, ac, bc = a @ b.mT, a @ c.mT, b @ c.mT  # (b, h, i, j), (b, h, i, k), (b, h, j, k)
    aa, bb, cc = (x.square().sum(-1) for x in (a, b, c))
    ab, ac, bc = ab[..., :, :, None], ac[..., :, None, :], bc[..., None, :, :]
    aa, bb, cc = aa[..., :, None, None], bb[..., None, :, None], cc[..., None, None, :]
    squared = ab.square() * cc + bc.square() * aa + ac.square() * bb - 2 * ab * ac * bc
    positive = squared > 0
    root = squared.where(positive, 1).sqrt().where(positive, 0)
    sizes = size_a[..., :, None, None] * size_b[..., None, :, None] * size_c[..., None, None, :]
    return (root * sizes).to(q.dtype)


def _rescale(x: Float[Tensor, "b h s d"]) -> tuple[Tensor, Tensor]:
    """x / r and r, r the largest |entry| of each vector, or 1 where x = 0; r without gradient.

    The score is linear in the length of each vector, f(x) = r f(x / r) for every constant r > 0,
    so r needs no gradient of its own.
    """
    largest = x.detach().abs().amax(-1)
    largest = largest.masked_fill(largest == 0, 1)
    return x / largest[..., None], largest
