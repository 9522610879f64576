"""Trilinear (2-simplicial) attention: every query attends to pairs of keys.

Read from the top: `trilinear_attention` is the operation, `trilinear_logits` the score,
`pair_window` the mask. `trilinear_online.py` computes the same without the (s, s, s) cube,
`simplex_lib/kernels/trilinear.py` in a fused kernel.

Axes: b batch, h query head, g key head, i query, j first key, k second key, s sequence
length, d head_dim.

Source: arXiv:2507.02754, sections 4 (Eqs. 5 to 7) and 6 (windows). Its Algorithm 1 omits the
scale 1 / sqrt(d) that Eq. 5 has; here it is applied. Its kernel listings add constants to k2
and v2; here nothing is added. arXiv:1909.00668 scores pairs with the unsigned triple product,
another function: `triple_product.py`.
"""

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from simplex_lib.errors import (
    check_inputs,
    require_choice,
    require_count,
    require_flag,
    require_groups,
    require_scale,
    require_window,
)


def trilinear_attention(
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
    """Attention of each query i over all visible pairs of keys (j, k).

    out[i] = sum_jk probs[i, j, k] * v1[j] * v2[k], with one softmax over all pairs of a query.

    Args:
        q: query, (b, h, s, d).
        k1, k2: first and second key, (b, g, s, d); g divides h, and h / g neighbouring query
            heads share one.
        v1, v2: first and second value, (b, g, s, dv), multiplied elementwise.
        w1, w2: how many of the latest positions the first and the second key may take, the
            query's own included: i - w1 < j <= i and i - w2 < k <= i. None: the whole past.
        causal: if False, windows reach both ways: |i - j| < w1 and |i - k| < w2.
        scale: factor on the logits. None: 1 / sqrt(d).
        impl: "reference" holds (b, h, s, s, s) logits in memory, in float32 at least. "triton" runs
            the fused kernel, which holds none of them: compiled on a GPU, in Triton's interpreter
            for tensors on a CPU; float16, bfloat16 and float32.

    Returns:
        out, (b, h, s, dv), in the dtype of q.

    Raises:
        ValueError: shapes or devices disagree, an axis is empty, a number is NaN or infinite, g
            does not divide h, a window is below 1, scale is not finite, or impl is unknown.
        TypeError: an argument is not a tensor, not floating, or not of the dtype of q; a window
            is not an int; causal is not a bool; scale is not a number; float64 with "triton".
        RuntimeError: impl is "triton" where no kernel can run; the message says what to do.

    With k2 = v2 = 1 and w2 = 1 only the pairs (j, i) are left: ordinary dot-product attention.

    >>> q, k1, v1 = torch.randn(3, 1, 2, 5, 4)
    >>> one = torch.ones_like(q)
    >>> dot = torch.nn.functional.scaled_dot_product_attention(q, k1, v1, is_causal=True)
    >>> torch.allclose(trilinear_attention(q, k1, one, v1, one, w2=1), dot, atol=1e-6)
    True
    """
    return trilinear_attention_with_lse(
        q, k1, k2, v1, v2, w1=w1, w2=w2, causal=causal, scale=scale, impl=impl
    )[0]


def trilinear_attention_with_lse(
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
    """The same attention and, per query, the natural logarithm of its softmax denominator.

    Arguments and errors: `trilinear_attention`.

    Returns:
        out, (b, h, s, dv), in the dtype of q, and lse[i] = ln sum_jk exp(logits[i, j, k]), over
        the visible pairs and with the scaled logits: (b, h, s), float32, or float64 if q is.

    With q = 0 all visible pairs weigh the same, and lse counts them: (i + 1) ** 2 at query i.

    >>> x = torch.zeros(1, 1, 4, 2)
    >>> trilinear_attention_with_lse(x, x, x, x, x)[1].exp().round().tolist()
    [[[1.0, 4.0, 9.0, 16.0]]]
    """
    size = check_trilinear(q, k1, k2, v1, v2, w1=w1, w2=w2, causal=causal, scale=scale)
    require_choice("impl", impl, ("reference", "triton"))
    scale = 1 / math.sqrt(size["d"]) if scale is None else scale
    if impl == "triton":  # imported here, so that the reference runs without triton
        from simplex_lib.kernels.trilinear import trilinear_attention_triton

        return trilinear_attention_triton(
            q, k1, k2, v1, v2, w1=w1, w2=w2, causal=causal, scale=scale
        )

    wide, groups = torch.promote_types(q.dtype, torch.float32), size["h"] // size["g"]
    logits = trilinear_logits(q.to(wide), k1.to(wide), k2.to(wide)) * scale
    visible = pair_window(size["s"], w1, w2, causal=causal, device=q.device)
    # the pairs of a query become one axis; no row is empty, since (i, i) is always visible
    flat = logits.masked_fill(~visible, float("-inf")).flatten(-2)
    probs = flat.softmax(-1).view_as(logits)
    v1, v2 = (v.to(wide).repeat_interleave(groups, dim=1) for v in (v1, v2))
    out = torch.einsum("bhijk,bhjd,bhkd->bhid", probs, v1, v2)
    return out.to(q.dtype), flat.logsumexp(-1)


def trilinear_logits(
    q: Float[Tensor, "b h s d"], k1: Float[Tensor, "b g s d"], k2: Float[Tensor, "b g s d"]
) -> Float[Tensor, "b h s s s"]:
    """Score every triple, unscaled and unmasked: sum_d q[i, d] * k1[j, d] * k2[k, d]."""
    size = check_inputs(q=(q, "b h s d"), k1=(k1, "b g s d"), k2=(k2, "b g s d"))
    groups = require_groups(n_heads=size["h"], n_kv_heads=size["g"], tensor="k1")
    k1, k2 = (k.repeat_interleave(groups, dim=1) for k in (k1, k2))
    return torch.einsum("bhid,bhjd,bhkd->bhijk", q, k1, k2)


def pair_window(
    s: int,
    w1: int | None,
    w2: int | None,
    *,
    causal: bool = True,
    device: torch.device | None = None,
) -> Bool[Tensor, "s s s"]:
    """True where query i may see the pair (j, k): each key inside its own window.

    >>> pair_window(4, 2, 1)[3].nonzero().tolist()  # query 3: j in {2, 3}, k = 3
    [[2, 3], [3, 3]]
    """
    require_window(w1=w1, w2=w2)
    first = key_window(s, w1, causal=causal, device=device)
    second = key_window(s, w2, causal=causal, device=device)
    return first[:, :, None] & second[:, None, :]


def key_window(
    s: int, w: int | None, *, causal: bool = True, device: torch.device | None = None
) -> Bool[Tensor, "s s"]:
    """True where query i may see key j: i - w < j <= i, or |i - j| < w if not causal."""
    require_count(s=s)
    require_window(w=w)
    require_flag(causal=causal)
    position = torch.arange(s, device=device)
    distance = position[:, None] - position  # i - j
    if not causal:
        distance = distance.abs()
    return (distance >= 0) & (distance < (s if w is None else min(w, s)))


def check_trilinear(
    q: Tensor,
    k1: Tensor,
    k2: Tensor,
    v1: Tensor,
    v2: Tensor,
    *,
    w1: int | None,
    w2: int | None,
    causal: bool,
    scale: float | None,
) -> dict[str, int]:
    """The checks that all paths of this operation share; the sizes b, h, g, s, d, dv."""
    keys = dict(k1=(k1, "b g s d"), k2=(k2, "b g s d"))
    size = check_inputs(q=(q, "b h s d"), **keys, v1=(v1, "b g s dv"), v2=(v2, "b g s dv"))
    require_groups(n_heads=size["h"], n_kv_heads=size["g"], tensor="k1")
    require_window(w1=w1, w2=w2)
    require_flag(causal=causal)
    require_scale(scale)
    return size
