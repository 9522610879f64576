"""Trilinear and determinant attention in windows: time of order s w1 w2, and no cube.

Read from the top: `trilinear_attention_windowed` is the operation, `attend_windows` the
mathematics: keys are cut into the windows of their queries, so hidden pairs are not computed.
`determinant_attention_windowed` is the same on the vectors of `as_trilinear`.

Axes: b batch, h query head, g key head, r query head within its group, i query, s sequence
length, d head_dim, n query of one block, t block, u place in the longer window, w in the shorter.

Source: arXiv:2507.02754, section 6 (windows, cost), section 7 (merge one operand elementwise,
then a matrix product). The query is merged with the shorter window here, and the query heads of a
group read their windows together.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.checkpoint import checkpoint

from simplex_lib.attention.determinant import as_trilinear, require_chunk
from simplex_lib.attention.trilinear import check_trilinear
from simplex_lib.errors import require_count


def trilinear_attention_windowed(
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
    block_size: int = 64,
) -> Float[Tensor, "b h s dv"]:
    """`trilinear_attention`, computing the pairs inside the windows and no others.

    Args:
        q, k1, k2, v1, v2, w1, w2, causal, scale: as in `trilinear_attention`. A window of None,
            or longer than s, is one of s.
        block_size: how many queries are computed at a time. More take more memory.

    Returns:
        out, (b, h, s, dv), in the dtype of q. A block holds (b, h, block_size, w1, w2) logits and
        the windows of its queries; in the backward pass it is computed a second time, so that
        memory does not grow with s w1 w2. That backward works with torch.autograd and not with
        the transforms of torch.func. If not causal, windows are 2 w1 - 1 and 2 w2 - 1 long.

    Raises:
        ValueError, TypeError: as `trilinear_attention`; block_size must be an int, at least 1.

    >>> from simplex_lib.attention import trilinear_attention
    >>> x = torch.randn(5, 1, 2, 9, 4, dtype=torch.float64)
    >>> out = trilinear_attention_windowed(*x, w1=4, w2=2)
    >>> torch.allclose(out, trilinear_attention(*x, w1=4, w2=2))
    True
    """
    return trilinear_attention_windowed_with_lse(
        q, k1, k2, v1, v2, w1=w1, w2=w2, causal=causal, scale=scale, block_size=block_size
    )[0]


def trilinear_attention_windowed_with_lse(
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
    block_size: int = 64,
) -> tuple[Float[Tensor, "b h s dv"], Float[Tensor, "b h s"]]:
    """The same and, as `trilinear_attention_with_lse` returns it, the natural-log lse."""
    size = check_trilinear(q, k1, k2, v1, v2, w1=w1, w2=w2, causal=causal, scale=scale)
    require_count(block_size=block_size)
    scale = 1 / math.sqrt(size["d"]) if scale is None else scale

    s, dtype, wide = size["s"], q.dtype, torch.promote_types(q.dtype, torch.float32)
    block = min(int(block_size), s)
    blocks = math.ceil(s / block)
    q = q.to(wide).unflatten(1, (size["g"], -1)) * scale  # (b, g, r, s, d)
    queries = pad(q, (0, 0, 0, blocks * block - s)).split(block, 3)
    first = cut(k1.to(wide), v1.to(wide), w1, causal=causal, block=block)
    second = cut(k2.to(wide), v2.to(wide), w2, causal=causal, block=block)
    parts = []
    for step in zip(queries, first, second, strict=True):
        # a checkpoint takes tensors one by one to see which of them need a gradient
        flat = (step[0], *step[1], *step[2])
        if torch.is_grad_enabled() and any(x.requires_grad for x in flat):
            part = checkpoint(_attend_flat, *flat, use_reentrant=False, preserve_rng_state=False)
        else:
            part = _attend_flat(*flat)
        parts.append(part)
    out = torch.cat([out for out, _ in parts], 3)[:, :, :, :s].flatten(1, 2)
    lse = torch.cat([lse for _, lse in parts], 3)[:, :, :, :s].flatten(1, 2)
    return out.to(dtype), lse


def determinant_attention_windowed(
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
    block_size: int = 64,
) -> Float[Tensor, "b h s dv"]:
    """`determinant_attention`, computing the pairs inside the windows and no others.

    Arguments, memory and errors: `trilinear_attention_windowed`; d must be at least 3.

    >>> from simplex_lib.attention import determinant_attention
    >>> x = torch.randn(5, 1, 2, 9, 6, dtype=torch.float64)
    >>> out = determinant_attention_windowed(*x, w1=4, w2=2)
    >>> torch.allclose(out, determinant_attention(*x, w1=4, w2=2))
    True
    """
    return determinant_attention_windowed_with_lse(
        q, k1, k2, v1, v2, w1=w1, w2=w2, causal=causal, scale=scale, block_size=block_size
    )[0]


def determinant_attention_windowed_with_lse(
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
    block_size: int = 64,
) -> tuple[Float[Tensor, "b h s dv"], Float[Tensor, "b h s"]]:
    """The same and, as `determinant_attention_with_lse` returns it, the natural-log lse."""
    size = check_trilinear(q, k1, k2, v1, v2, w1=w1, w2=w2, causal=causal, scale=scale)
    require_chunk(q=q)
    scale = 1 / math.sqrt(size["d"]) if scale is None else scale
    longer = as_trilinear(q, k1, k2)
    return trilinear_attention_windowed_with_lse(
        *longer, v1, v2, w1=w1, w2=w2, causal=causal, scale=scale, block_size=block_size
    )


class Windows(NamedTuple):
    """Keys and values that n queries see, each query its own window."""

    k: Float[Tensor, "b g n d w"]
    v: Float[Tensor, "b g n dv w"]
    visible: Bool[Tensor, "n w"]  # False at places before the start and after the end


def attend_windows(
    q: Float[Tensor, "b g r n d"], first: Windows, second: Windows
) -> tuple[Float[Tensor, "b g r n dv"], Float[Tensor, "b g r n"]]:
    """Out and natural-log lse of queries that are scaled already, over all pairs they see.

    For one place w of the shorter window, q * k[w] is an ordinary query of the longer window.
    """
    if first.visible.shape[-1] < second.visible.shape[-1]:
        first, second = second, first  # the pairs are the same, and so is their sum
    merged = torch.einsum("bgrnd,bgndw->bgnrwd", q, second.k)
    logits = torch.einsum("bgnrwd,bgndu->bgnrwu", merged, first.k)
    visible = second.visible[:, None, :, None] & first.visible[:, None, None, :]  # (n, r, w, u)
    flat = logits.masked_fill(~visible, float("-inf")).flatten(-2)
    probs = flat.softmax(-1).view_as(logits)
    over_u = torch.einsum("bgnrwu,bgndu->bgnrwd", probs, first.v)
    out = torch.einsum("bgnrwd,bgndw->bgrnd", over_u, second.v)
    return out, flat.logsumexp(-1).transpose(2, 3)


def cut(
    k: Float[Tensor, "b g s d"],
    v: Float[Tensor, "b g s dv"],
    w: int | None,
    *,
    causal: bool,
    block: int,
) -> list[Windows]:
    """The windows of all queries, a block of queries at a time; only views, no copies.

    Blocks are cut out of the sequence by one operation, whose backward takes time of order s; a
    slice a block would fill one gradient of length s for each.
    """
    s = k.shape[2]
    w = s if w is None else min(w, s)
    ahead = 0 if causal else w - 1
    blocks, width = math.ceil(s / block), w + ahead
    end = blocks * block - s + ahead  # fill up the last block, and what it may see of the future
    k_parts, v_parts = (
        pad(x, (0, 0, w - 1, end)).unfold(2, block + width - 1, block).unbind(2) for x in (k, v)
    )  # each (b, g, d, block + width - 1)
    query = torch.arange(blocks * block, device=k.device)
    key = query[:, None] - (w - 1) + torch.arange(width, device=k.device)
    inside = (key >= 0) & (key < s)
    visible = inside | (query[:, None] >= s)  # queries that only fill up see zeros, for no NaN
    return [
        Windows(
            k=k_part.unfold(-1, width, 1).transpose(2, 3),
            v=v_part.unfold(-1, width, 1).transpose(2, 3),
            visible=part,
        )
        for k_part, v_part, part in zip(k_parts, v_parts, visible.split(block), strict=True)
    ]


def _attend_flat(q: Tensor, *windows: Tensor) -> tuple[Tensor, Tensor]:
    return attend_windows(q, Windows(*windows[:3]), Windows(*windows[3:]))
