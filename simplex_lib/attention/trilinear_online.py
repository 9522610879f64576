"""Trilinear attention without the (s, s, s) cube: a few second keys at a time.

For one second key k the score q[i] . (k1[j] * k2[k]) is an ordinary dot product of the query
q[i] * k2[k] with the key k1[j], and its output is ordinary attention over v1, times v2[k]. So the
softmax over pairs is an online softmax over k. The fused kernels rest on the same merge.

Read from the top: `trilinear_attention_online` is the operation, `_absorb_second_keys` one step.

Axes: b batch, h query head, g key head, i query, j first key, k second key, n second key of one
block, s sequence length, d head_dim.

Source: arXiv:2507.02754, section 7 (merge one operand elementwise, then a matrix product);
values and scale as in section 4, Eqs. 5 to 7. Windows are masked here, not skipped.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from simplex_lib.attention.online_softmax import SoftmaxState, absorb, empty_state
from simplex_lib.attention.trilinear import check_trilinear, key_window
from simplex_lib.errors import require_count


def trilinear_attention_online(
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
    block_size: int = 1,
) -> Float[Tensor, "b h s dv"]:
    """`trilinear_attention`, with (b, h, s, block_size, s) logits at a time instead of the cube.

    Args:
        q, k1, k2, v1, v2, w1, w2, causal, scale: as in `trilinear_attention`.
        block_size: how many second keys are read at a time; the last block may be shorter. More
            is faster and takes more memory; s is the cube again.

    Returns:
        out, (b, h, s, dv), in the dtype of q. In the backward pass each block is computed a
        second time, so that no block is kept for it: memory stays of order
        b h s (s block_size + s dv), in place of b h s^3. That backward works with torch.autograd
        and not with the transforms of torch.func.

    Raises:
        ValueError, TypeError: as `trilinear_attention`; block_size must be an int, at least 1.

    Which of the two keys is read online does not matter:

    >>> q, k1, k2, v1, v2 = torch.randn(5, 1, 2, 6, 4, dtype=torch.float64)
    >>> out = trilinear_attention_online(q, k1, k2, v1, v2, w1=5, w2=2)
    >>> torch.allclose(out, trilinear_attention_online(q, k2, k1, v2, v1, w1=2, w2=5))
    True
    """
    return trilinear_attention_online_with_lse(
        q, k1, k2, v1, v2, w1=w1, w2=w2, causal=causal, scale=scale, block_size=block_size
    )[0]


def trilinear_attention_online_with_lse(
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
    block_size: int = 1,
) -> tuple[Float[Tensor, "b h s dv"], Float[Tensor, "b h s"]]:
    """The same and, as `trilinear_attention_with_lse` returns it, the natural-log lse."""
    size = check_trilinear(q, k1, k2, v1, v2, w1=w1, w2=w2, causal=causal, scale=scale)
    require_count(block_size=block_size)
    scale = 1 / math.sqrt(size["d"]) if scale is None else scale

    dtype, wide = q.dtype, torch.promote_types(q.dtype, torch.float32)
    groups, s = size["h"] // size["g"], size["s"]
    k1, k2, v1, v2 = (x.to(wide).repeat_interleave(groups, dim=1) for x in (k1, k2, v1, v2))
    q = q.to(wide) * scale
    first = key_window(s, w1, causal=causal, device=q.device)
    second = key_window(s, w2, causal=causal, device=q.device)
    state = empty_state(q, v1)
    for start in range(0, s, block_size):
        block = slice(start, start + block_size)
        visible = second[:, block, None] & first[:, None]  # (i, n, j)
        step = (state, q, k1, k2[:, :, block], v1, v2[:, :, block], visible)
        if torch.is_grad_enabled() and any(x.requires_grad for x in (q, k1, k2, v1, v2)):
            state = checkpoint(
                _absorb_second_keys, *step, use_reentrant=False, preserve_rng_state=False
            )
        else:
            state = _absorb_second_keys(*step)
    return state.out.to(dtype), state.lse


def _absorb_second_keys(
    state: SoftmaxState,
    q: Float[Tensor, "b h s d"],
    k1: Float[Tensor, "b h s d"],
    k2: Float[Tensor, "b h n d"],
    v1: Float[Tensor, "b h s dv"],
    v2: Float[Tensor, "b h n dv"],
    visible: Tensor,
) -> SoftmaxState:
    """One step: n second keys make n ordinary queries of each query, q[i] * k2[k]."""
    queries = q[:, :, :, None] * k2[:, :, None]  # (b, h, i, n, d)
    logits = torch.einsum("bhind,bhjd->bhinj", queries, k1)
    logits = logits.masked_fill(~visible, float("-inf"))

    def weigh(p: Tensor) -> Tensor:
        over_j = torch.einsum("bhinj,bhjd->bhind", p.view_as(logits), v1)
        return (over_j * v2[:, :, None]).sum(-2)

    return absorb(state, logits.flatten(-2), weigh)
