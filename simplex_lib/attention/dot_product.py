"""Dot-product attention: every query attends to keys.

Read from the top: `dot_product_attention` is the operation, `dot_product_logits` the score,
`causal_mask` the mask. `online_softmax.py` computes the same block by block,
`simplex_lib/kernels/dot_product.py` in a fused kernel.

Axes: b batch, h query head, g key head, i query, j key, s sequence length, d head_dim.

Source: arXiv:2507.02754, section 4, Eqs. 2 and 3. Its Eq. 4 prints the output as
sum_j A_ij v_j with the logits A; the probabilities S are meant, and used here. Shared key heads
(grouped-query attention): arXiv:2305.13245.
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
)


def dot_product_attention(
    q: Float[Tensor, "b h s d"],
    k: Float[Tensor, "b g s d"],
    v: Float[Tensor, "b g s dv"],
    *,
    causal: bool = True,
    scale: float | None = None,
    impl: Literal["reference", "triton"] = "reference",
) -> Float[Tensor, "b h s dv"]:
    """Attention of each query i over all visible keys j.

    out[i] = sum_j probs[i, j] * v[j], with one softmax over the keys of a query.

    Args:
        q: query, (b, h, s, d).
        k: key, (b, g, s, d); g divides h, and h / g neighbouring query heads share one key head:
            g = h is multi-head attention, g = 1 multi-query attention.
        v: value, (b, g, s, dv).
        causal: query i sees the keys j <= i. If False, all of them.
        scale: factor on the logits. None: 1 / sqrt(d), which keeps their variance at 1 when the
            numbers in q and k are independent with variance 1.
        impl: "reference" holds (b, h, s, s) logits in memory, in float32 at least. "triton" runs
            the fused kernel, which holds none of them: compiled on a GPU, in Triton's interpreter
            for tensors on a CPU; float16, bfloat16 and float32.

    Returns:
        out, (b, h, s, dv), in the dtype of q.

    Raises:
        ValueError: shapes or devices disagree, an axis is empty, a number is NaN or infinite, g
            does not divide h, scale is not finite, or impl is unknown.
        TypeError: an argument is not a tensor, not floating, or not of the dtype of q; causal is
            not a bool; scale is not a number; float64 with "triton".
        RuntimeError: impl is "triton" where no kernel can run; the message says what to do.

    Moving every key by one vector moves all logits of a query alike, so nothing changes:

    >>> q, k, v = torch.randn(3, 1, 2, 5, 4, dtype=torch.float64)
    >>> moved = dot_product_attention(q, k + torch.randn(4, dtype=torch.float64), v)
    >>> torch.allclose(moved, dot_product_attention(q, k, v))
    True
    """
    return dot_product_attention_with_lse(q, k, v, causal=causal, scale=scale, impl=impl)[0]


def dot_product_attention_with_lse(
    q: Float[Tensor, "b h s d"],
    k: Float[Tensor, "b g s d"],
    v: Float[Tensor, "b g s dv"],
    *,
    causal: bool = True,
    scale: float | None = None,
    impl: Literal["reference", "triton"] = "reference",
) -> tuple[Float[Tensor, "b h s dv"], Float[Tensor, "b h s"]]:
    """The same attention and, per query, the natural logarithm of its softmax denominator.

    Arguments and errors: `dot_product_attention`.

    Returns:
        out, (b, h, s, dv), in the dtype of q, and lse[i] = ln sum_j exp(logits[i, j]), over the
        visible keys and with the scaled logits: (b, h, s), float32, or float64 if q is.

    With lse the probabilities need no second softmax:

    >>> q, k = torch.randn(2, 1, 1, 6, 4, dtype=torch.float64)
    >>> _, lse = dot_product_attention_with_lse(q, k, k, causal=False, scale=1)
    >>> probs = (dot_product_logits(q, k) - lse[..., None]).exp()
    >>> torch.allclose(probs.sum(-1), torch.ones_like(lse))
    True
    """
    size = check_inputs(q=(q, "b h s d"), k=(k, "b g s d"), v=(v, "b g s dv"))
    groups = require_groups(n_heads=size["h"], n_kv_heads=size["g"], tensor="k")
    require_flag(causal=causal)
    require_scale(scale)
    require_choice("impl", impl, ("reference", "triton"))
    scale = 1 / math.sqrt(size["d"]) if scale is None else scale
    if impl == "triton":  # imported here, so that the reference runs without triton
        from simplex_lib.kernels.dot_product import dot_product_attention_triton

        return dot_product_attention_triton(q, k, v, causal=causal, scale=scale)

    wide = torch.promote_types(q.dtype, torch.float32)
    logits = dot_product_logits(q.to(wide), k.to(wide)) * scale
    if causal:  # no row is empty, since (i, i) is always visible
        hidden = ~causal_mask(size["s"], device=q.device)
        logits = logits.masked_fill(hidden, float("-inf"))
    v = v.to(wide).repeat_interleave(groups, dim=1)
    return (logits.softmax(-1) @ v).to(q.dtype), logits.logsumexp(-1)


def dot_product_logits(
    q: Float[Tensor, "b h s d"], k: Float[Tensor, "b g s d"]
) -> Float[Tensor, "b h s s"]:
    """Score every pair, unscaled and unmasked: sum_d q[i, d] * k[j, d]."""
    size = check_inputs(q=(q, "b h s d"), k=(k, "b g s d"))
    groups = require_groups(n_heads=size["h"], n_kv_heads=size["g"], tensor="k")
    return torch.einsum("bhid,bhjd->bhij", q, k.repeat_interleave(groups, dim=1))


def causal_mask(s: int, *, device: torch.device | None = None) -> Bool[Tensor, "s s"]:
    """True where query i may see key j: j <= i, its own position included.

    >>> causal_mask(3).int().tolist()
    [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    """
    require_count(s=s)
    return torch.ones(s, s, dtype=torch.bool, device=device).tril()
