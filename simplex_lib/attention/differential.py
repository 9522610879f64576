"""Differential attention: the difference of two softmax maps, times the values.

Read from the top: `differential_attention` is the operation, `differential_lambda` the weight of
the second map. Multi-Token Attention is compared with it, and it is head mixing of two heads
after the softmax with weights 1 and -lambda.

Axes: b batch, h head, g value head, i query, j key, s sequence length, d width of one query or
key, dv of a value.

Source: arXiv:2410.05258, Eqs. 1 and 2. There a value is 2 d wide.
"""

import math
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from simplex_lib.attention.dot_product import dot_product_attention
from simplex_lib.errors import check_inputs, require_int


def differential_attention(
    q1: Float[Tensor, "b h s d"],
    q2: Float[Tensor, "b h s d"],
    k1: Float[Tensor, "b g s d"],
    k2: Float[Tensor, "b g s d"],
    v: Float[Tensor, "b g s dv"],
    lam: Float[Tensor, ""] | Float[Tensor, "h"],
    *,
    causal: bool = True,
    scale: float | None = None,
    impl: Literal["reference"] = "reference",
) -> Float[Tensor, "b h s dv"]:
    """(softmax(q1 k1) - lam * softmax(q2 k2)) v, each softmax over the visible keys.

    Args:
        q1, q2: two queries a head, (b, h, s, d).
        k1, k2: two keys a head, (b, g, s, d), as in `dot_product_attention`.
        v: values, (b, g, s, dv).
        lam: one number, or one a head, (h,); see `differential_lambda`.
        causal, scale, impl: as in `dot_product_attention`.

    Raises:
        ValueError, TypeError: as `dot_product_attention`; lam is neither () nor (h,).

    What both maps share is taken away: with equal maps and lam = 1 nothing is left.

    >>> import torch
    >>> q, k, v = torch.randn(3, 1, 2, 5, 4)
    >>> differential_attention(q, q, k, k, v, torch.tensor(1.0)).abs().max().item()
    0.0
    """
    names = dict(q1=(q1, "b h s d"), q2=(q2, "b h s d"), k1=(k1, "b g s d"), k2=(k2, "b g s d"))
    size = check_inputs(**names, v=(v, "b g s dv"))
    check_inputs(q1=(q1, "b h s d"), lam=(lam, "h" if lam.ndim else ""))
    first = dot_product_attention(q1, k1, v, causal=causal, scale=scale, impl=impl)
    second = dot_product_attention(q2, k2, v, causal=causal, scale=scale, impl=impl)
    return first - lam.expand(size["h"])[:, None, None] * second


def differential_lambda(
    q1: Float[Tensor, "d"],
    k1: Float[Tensor, "d"],
    q2: Float[Tensor, "d"],
    k2: Float[Tensor, "d"],
    start: float,
) -> Float[Tensor, ""]:
    """exp(q1 . k1) - exp(q2 . k2) + start, of four learned vectors that a layer's heads share.

    >>> import torch
    >>> zero = torch.zeros(4)
    >>> round(differential_lambda(zero, zero, zero, zero, start=0.2).item(), 6)
    0.2
    """
    check_inputs(q1=(q1, "d"), k1=(k1, "d"), q2=(q2, "d"), k2=(k2, "d"))
    return (q1 @ k1).exp() - (q2 @ k2).exp() + start


def lambda_start(layer: int) -> float:
    """0.8 - 0.6 exp(-0.3 layer), layers counted from 0: 0.2 in the first, near 0.8 deep down.

    >>> round(lambda_start(0), 6), round(lambda_start(23), 2)
    (0.2, 0.8)
    """
    require_int(layer=layer)
    if layer < 0:
        raise ValueError(f"layer is counted from 0, so it must be at least 0; got {layer}.")
    return 0.8 - 0.6 * math.exp(-0.3 * layer)
