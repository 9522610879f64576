"""Multi-Token Attention: a logit looks at its neighbours, a head at the heads beside it.

Read from the top: `multi_token_attention` is the operation, `multi_token_maps` its maps from raw
logits to final weights, `key_query_convolution` and `mix_heads` the two new steps,
`joint_convolution` both as one. `multi_token_layer.py` adds projections, norm and gate.

Everything here is causal: a kernel reaches back in the queries only, and raw logits of the future
are 0 before it reads them. A kernel (h, c_q, c_k) lies as it does on the page: its last row
belongs to query i, the row above to query i - 1; its middle column to key j, the column on the
left to key j - 1. With the theta of the paper, theta[i', j'] = kernel[c_q - 1 - i', c_k // 2 - j'].

Axes: b batch, h query head, g key head, n group of heads, c head within its group, i query, j
key, s sequence length, d head_dim, c_q and c_k query and key taps, t query rows.

Source: arXiv:2504.00927, section 3, Eqs. 5 to 7. Eq. 5 masks the logits twice, with 0 before the
convolution and with -inf after it, and so loses the terms with i - i' < j - j' <= i that Eq. 4
keeps; this is Eq. 5. Order of the steps, rectangular kernels and padding: the authors' released
code, whose mixing matrices are stored [input, output], the transpose of Eq. 7 and of ours.
"""

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from simplex_lib.errors import (
    check_inputs,
    require_choice,
    require_count,
    require_groups,
    require_scale,
)


class MultiTokenMaps(NamedTuple):
    """What one call makes of the logits, step by step; entries of the future are 0 in all."""

    raw: Float[Tensor, "b h s s"]  # scaled dot products
    logits: Float[Tensor, "b h s s"]  # after the convolution and mixing before the softmax
    probs: Float[Tensor, "b h s s"]  # rows sum to 1
    weights: Float[Tensor, "b h s s"]  # after those behind it; rows no longer sum to 1


def multi_token_attention(
    q: Float[Tensor, "b h s d"],
    k: Float[Tensor, "b g s d"],
    v: Float[Tensor, "b g s dv"],
    *,
    pre_kernel: Float[Tensor, "h c_q c_k"] | None = None,
    pre_mixing: Float[Tensor, "n c c"] | None = None,
    post_kernel: Float[Tensor, "h c_q c_k"] | None = None,
    post_mixing: Float[Tensor, "n c c"] | None = None,
    scale: float | None = None,
    impl: Literal["conv2d", "banded"] = "conv2d",
) -> Float[Tensor, "b h s dv"]:
    """Causal attention whose logits, weights or both are convolved and mixed over heads.

    out[i] = sum_j weights[i, j] * v[j]. The steps, each left out where its argument is None:
    logits, convolution, mixing, softmax over the keys j <= i, convolution, mixing.

    Args:
        q: query, (b, h, s, d).
        k, v: key and value, (b, g, s, d) and (b, g, s, dv); g divides h, and h / g neighbouring
            query heads share one. Every query head has its own kernel.
        pre_kernel, post_kernel: before and after the softmax, (h, c_q, c_k), c_k odd. Longer than
            the sequence is allowed: taps outside it read 0.
        pre_mixing, post_mixing: (n, c, c) with n * c = h: new head o of a group is
            sum_e mixing[group, o, e] * head e.
        scale: factor on the logits. None: 1 / sqrt(d).
        impl: how a convolution is computed, see `key_query_convolution`.

    Returns:
        out, (b, h, s, dv), in the dtype of q; everything before it in float32 at least.

    Raises:
        ValueError: shapes or devices disagree, an axis is empty, a number is NaN or infinite, g
            does not divide h, c_k is even, n * c is not h, scale is not finite, or impl is
            unknown.
        TypeError: an argument is not a tensor, not floating, or not of the dtype of q.

    A kernel with one tap at (query i, key j) changes nothing:

    >>> from simplex_lib.attention import dot_product_attention, identity_kernel
    >>> q, k, v = torch.randn(3, 1, 2, 7, 4)
    >>> one = identity_kernel(2, c_q=3, c_k=5)
    >>> out = multi_token_attention(q, k, v, pre_kernel=one, post_kernel=one)
    >>> torch.allclose(out, dot_product_attention(q, k, v), atol=1e-6)
    True
    """
    size = check_inputs(q=(q, "b h s d"), k=(k, "b g s d"), v=(v, "b g s dv"))
    steps = dict(pre_kernel=pre_kernel, pre_mixing=pre_mixing)
    steps |= dict(post_kernel=post_kernel, post_mixing=post_mixing)
    weights = multi_token_maps(q, k, **steps, scale=scale, impl=impl).weights
    v = v.to(weights.dtype).repeat_interleave(size["h"] // size["g"], dim=1)
    return (weights @ v).to(q.dtype)


def multi_token_maps(
    q: Float[Tensor, "b h s d"],
    k: Float[Tensor, "b g s d"],
    *,
    pre_kernel: Float[Tensor, "h c_q c_k"] | None = None,
    pre_mixing: Float[Tensor, "n c c"] | None = None,
    post_kernel: Float[Tensor, "h c_q c_k"] | None = None,
    post_mixing: Float[Tensor, "n c c"] | None = None,
    scale: float | None = None,
    impl: Literal["conv2d", "banded"] = "conv2d",
) -> MultiTokenMaps:
    """The maps of `multi_token_attention`, whose arguments and errors it shares."""
    size = check_multi_token(q, k, pre_kernel, pre_mixing, post_kernel, post_mixing)
    require_scale(scale)
    require_choice("impl", impl, ("conv2d", "banded"))
    scale = 1 / math.sqrt(size["d"]) if scale is None else scale
    steps = (pre_kernel, pre_mixing, post_kernel, post_mixing)
    return maps_of_rows(q, k, *steps, scale=scale, impl=impl)


def key_query_convolution(
    maps: Float[Tensor, "b h s s"],
    kernel: Float[Tensor, "h c_q c_k"],
    *,
    impl: Literal["conv2d", "banded"] = "conv2d",
) -> Float[Tensor, "b h s s"]:
    """Each entry becomes a weighted sum of entries round it: Mask_0(Conv2d(Mask_0(maps))).

    new[i, j] = sum_ab kernel[c_q - 1 - a, c_k // 2 + b] * maps[i - a, j + b] over a in 0 .. c_q - 1
    and b in -(c_k // 2) .. c_k // 2; entries outside the map and above its diagonal are 0. New
    entries above the diagonal are 0 too.

    Args:
        maps: logits or weights, (b, h, s, s).
        kernel: one a head, (h, c_q, c_k), c_k odd.
        impl: "conv2d" is one depthwise convolution. "banded" writes each kernel row as a product
            with a banded (s, s) matrix, which holds h * c_q * s * s numbers.

    A kernel cannot see the future: entry (1, 1) stays, whatever row 2 holds.

    >>> x = torch.zeros(1, 1, 3, 3).index_fill(2, torch.tensor(2), 5.0)
    >>> key_query_convolution(x, torch.ones(1, 2, 3))[0, 0, :2].abs().sum().item()
    0.0
    """
    size = check_inputs(maps=(maps, "b h s s"), kernel=(kernel, "h c_q c_k"))
    require_odd(kernel=size["c_k"])
    require_choice("impl", impl, ("conv2d", "banded"))
    return _convolve(maps.tril(), kernel, impl=impl).tril()


def mix_heads(
    maps: Float[Tensor, "b h s s"], mixing: Float[Tensor, "n c c"]
) -> Float[Tensor, "b h s s"]:
    """New head o of a group = sum_e mixing[group, o, e] * head e; groups are neighbouring heads.

    >>> maps = torch.stack([torch.ones(2, 2), 3 * torch.ones(2, 2)])[None]
    >>> mix_heads(maps, torch.tensor([[[1.0, -1.0], [0.0, 2.0]]]))[0, :, 0, 0].tolist()
    [-2.0, 6.0]
    """
    size = check_inputs(maps=(maps, "b h s s"), mixing=(mixing, "n c c"))
    require_mixing(size["h"], mixing=mixing)
    return _mix(maps, mixing)


def joint_convolution(
    maps: Float[Tensor, "b h s s"], kernel: Float[Tensor, "h c c_q c_k"]
) -> Float[Tensor, "b h s s"]:
    """Convolution over queries, keys and the c heads of a group at once: one 3-D convolution.

    kernel[o, e] reads head e of the group of head o. `joint_kernel` writes a convolution followed
    by mixing in this form; a free kernel can do more.

    >>> maps, kernel = torch.randn(1, 4, 6, 6), torch.randn(4, 2, 3)
    >>> kernel = torch.nn.functional.pad(kernel, (0, 2))  # c_k = 5
    >>> mixing = torch.randn(2, 2, 2)
    >>> both = mix_heads(key_query_convolution(maps, kernel), mixing)
    >>> torch.allclose(joint_convolution(maps, joint_kernel(kernel, mixing)), both, atol=1e-5)
    True
    """
    size = check_inputs(maps=(maps, "b h s s"), kernel=(kernel, "h c c_q c_k"))
    require_groups(n_heads=size["h"], n_kv_heads=size["c"], tensor="kernel")
    require_odd(kernel=size["c_k"])
    groups = size["h"] // size["c"]
    return F.conv2d(_pad(maps.tril(), size["c_q"], size["c_k"]), kernel, groups=groups).tril()


def joint_kernel(
    kernel: Float[Tensor, "h c_q c_k"], mixing: Float[Tensor, "n c c"]
) -> Float[Tensor, "h c c_q c_k"]:
    """The one kernel of `joint_convolution` for a convolution that is followed by mixing."""
    size = check_inputs(kernel=(kernel, "h c_q c_k"), mixing=(mixing, "n c c"))
    require_mixing(size["h"], mixing=mixing)
    by_group = kernel.unflatten(0, (size["n"], 1, size["c"]))  # (n, 1, e, c_q, c_k)
    return (mixing[..., None, None] * by_group).flatten(0, 1)


def identity_kernel(h: int, *, c_q: int, c_k: int) -> Float[Tensor, "h c_q c_k"]:
    """Kernels that change nothing: 1 for query i and key j, 0 elsewhere. The paper's start.

    >>> identity_kernel(1, c_q=2, c_k=3).int().tolist()
    [[[0, 0, 0], [0, 1, 0]]]
    """
    require_count(h=h, c_q=c_q, c_k=c_k)
    require_odd(kernel=c_k)
    kernel = torch.zeros(h, c_q, c_k)
    kernel[:, -1, c_k // 2] = 1
    return kernel


def constant_kernel(h: int, *, c_q: int, c_k: int) -> Float[Tensor, "h c_q c_k"]:
    """Kernels with all taps 1 / sqrt(c_q c_k), which keep the variance of independent logits."""
    require_count(h=h, c_q=c_q, c_k=c_k)
    require_odd(kernel=c_k)
    return torch.full((h, c_q, c_k), 1 / math.sqrt(c_q * c_k))


def maps_of_rows(
    q: Float[Tensor, "b h t d"],
    k: Float[Tensor, "b g s d"],
    pre_kernel: Tensor | None,
    pre_mixing: Tensor | None,
    post_kernel: Tensor | None,
    post_mixing: Tensor | None,
    *,
    scale: float,
    impl: Literal["conv2d", "banded"] = "conv2d",
) -> MultiTokenMaps:
    """Maps of the last t of s queries, unchecked. Rows whose taps reach before them lack those."""
    wide, rows, s = torch.promote_types(q.dtype, torch.float32), q.shape[2], k.shape[2]
    keys = k.to(wide).repeat_interleave(q.shape[1] // k.shape[1], dim=1)
    hidden = torch.ones(rows, s, dtype=torch.bool, device=q.device).triu(s - rows + 1)
    raw = (q.to(wide) @ keys.mT * scale).masked_fill(hidden, 0)
    logits = raw
    if pre_kernel is not None:
        logits = _convolve(logits, pre_kernel.to(wide), impl=impl)
    if pre_mixing is not None:
        logits = _mix(logits, pre_mixing.to(wide))
    probs = logits.masked_fill(hidden, float("-inf")).softmax(-1)
    weights = probs
    if post_kernel is not None:
        weights = _convolve(weights, post_kernel.to(wide), impl=impl).masked_fill(hidden, 0)
    if post_mixing is not None:
        weights = _mix(weights, post_mixing.to(wide))
    return MultiTokenMaps(raw, logits.masked_fill(hidden, 0), probs, weights)


def check_multi_token(
    q: Tensor,
    k: Tensor,
    pre_kernel: Tensor | None,
    pre_mixing: Tensor | None,
    post_kernel: Tensor | None,
    post_mixing: Tensor | None,
) -> dict[str, int]:
    """The checks that the whole pass and decoding share; the sizes b, h, g, s, d."""
    size = check_inputs(q=(q, "b h s d"), k=(k, "b g s d"))
    require_groups(n_heads=size["h"], n_kv_heads=size["g"], tensor="k")
    check_steps(q, pre_kernel, pre_mixing, post_kernel, post_mixing)
    return size


def check_steps(
    q: Tensor,
    pre_kernel: Tensor | None,
    pre_mixing: Tensor | None,
    post_kernel: Tensor | None,
    post_mixing: Tensor | None,
) -> None:
    """Kernels and mixings fit the heads, dtype and device of q."""
    for name, kernel in (("pre_kernel", pre_kernel), ("post_kernel", post_kernel)):
        if kernel is not None:
            size = check_inputs(**{"q": (q, "b h s d"), name: (kernel, "h c_q c_k")})
            require_odd(**{name: size["c_k"]})
    for name, mixing in (("pre_mixing", pre_mixing), ("post_mixing", post_mixing)):
        if mixing is not None:
            check_inputs(**{"q": (q, "b h s d"), name: (mixing, "n c c")})
            require_mixing(q.shape[1], **{name: mixing})


def require_odd(**kernels: int) -> None:
    for name, c_k in kernels.items():
        if c_k % 2 == 0:
            raise ValueError(
                f"{name} must have an odd number of key taps c_k, so that one of them is key j "
                f"itself; got {c_k}."
            )


def require_mixing(h: int, **mixings: Tensor) -> None:
    for name, mixing in mixings.items():
        n, c = mixing.shape[:2]
        if n * c != h:
            raise ValueError(
                f"{name} must be (n, c, c) with n * c = {h} heads; got {tuple(mixing.shape)}."
            )


def _convolve(
    maps: Float[Tensor, "b h t s"],
    kernel: Float[Tensor, "h c_q c_k"],
    *,
    impl: Literal["conv2d", "banded"],
) -> Float[Tensor, "b h t s"]:
    h, c_q, c_k = kernel.shape
    if impl == "conv2d":  # torch's conv2d is a cross-correlation: it does not flip the kernel
        return F.conv2d(_pad(maps, c_q, c_k), kernel[:, None], groups=h)
    key = torch.arange(maps.shape[-1], device=maps.device)
    column = key[:, None] - key + c_k // 2  # of the tap that carries key j' (rows) to key j
    inside = (column >= 0) & (column < c_k)
    bands = kernel[:, :, column.clamp(0, c_k - 1)] * inside  # (h, c_q, s, s)
    new = maps @ bands[:, -1]
    for back in range(1, min(c_q, maps.shape[2])):
        new = new + F.pad(maps[:, :, :-back] @ bands[:, -1 - back], (0, 0, back, 0))
    return new


def _pad(maps: Float[Tensor, "b h t s"], c_q: int, c_k: int) -> Tensor:
    """Zeros for taps outside: keys on both sides, queries in the past only."""
    return F.pad(maps, (c_k // 2, c_k // 2, c_q - 1, 0))


def _mix(maps: Float[Tensor, "b h t s"], mixing: Float[Tensor, "n c c"]) -> Tensor:
    by_group = maps.unflatten(1, mixing.shape[:2])  # (b, n, e, t, s)
    return torch.einsum("noe,bnets->bnots", mixing, by_group).flatten(1, 2)
