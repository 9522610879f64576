"""Decoding with Multi-Token Attention: keys, values and a few of the latest queries are kept.

Read from the top: `multi_token_decode` is one step, `MultiTokenCache` what is kept between steps.

The newest row of convolved logits reads the rows of the last c_q queries, so plain attention's
cache of keys and values is not enough: c_q - 1 queries are kept as well, and their logits are
computed once more. A convolution behind the softmax reads the probabilities of c_q rows, each of
which is a convolved row itself: then it is the taps of both, less two.

Axes: b batch, h query head, g key head, s tokens so far, d head_dim, n queries kept.

Source: arXiv:2504.00927, section 3. It does not treat decoding.
"""

import math
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

from simplex_lib.attention.multi_token import check_steps, maps_of_rows
from simplex_lib.errors import check_inputs, require_count, require_groups, require_scale


@dataclass
class MultiTokenCache:
    """Keys and values of all tokens, and the latest queries. It grows by one token a step."""

    q: Float[Tensor, "b h n d"]
    k: Float[Tensor, "b g s d"]
    v: Float[Tensor, "b g s dv"]

    @classmethod
    def empty(
        cls,
        *,
        b: int,
        h: int,
        d: int,
        g: int | None = None,
        dv: int | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
    ) -> Self:
        """A cache without tokens; g is h and dv is d if None."""
        g, dv = h if g is None else g, d if dv is None else dv
        require_count(b=b, d=d, dv=dv)
        require_groups(n_heads=h, n_kv_heads=g)
        shapes = ((b, h, 0, d), (b, g, 0, d), (b, g, 0, dv))
        return cls(*(torch.empty(shape, dtype=dtype, device=device) for shape in shapes))

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""
        return self.q.numel() + self.k.numel() + self.v.numel()


@torch.no_grad()
def multi_token_decode(
    cache: MultiTokenCache,
    q: Float[Tensor, "b h 1 d"],
    k: Float[Tensor, "b g 1 d"],
    v: Float[Tensor, "b g 1 dv"],
    *,
    pre_kernel: Float[Tensor, "h c_q c_k"] | None = None,
    pre_mixing: Float[Tensor, "n c c"] | None = None,
    post_kernel: Float[Tensor, "h c_q c_k"] | None = None,
    post_mixing: Float[Tensor, "n c c"] | None = None,
    scale: float | None = None,
) -> Float[Tensor, "b h 1 dv"]:
    """One step: take the newest token into the cache and attend from it.

    Args:
        cache: changed in place. The kernels must have the same taps at every step.
        q, k, v: of the newest token. With rotary positions they are turned already.
        pre_kernel, pre_mixing, post_kernel, post_mixing, scale: as in `multi_token_attention`.

    Returns:
        out, (b, h, 1, dv), in the dtype of q: the last row of `multi_token_attention` over all
        tokens so far. No gradient passes through a step.

    Raises:
        ValueError, TypeError: as `multi_token_attention`; s is not 1, or sizes, dtype or device
            are not those of the cache. The cache is then as it was.

    >>> from simplex_lib.attention import multi_token_attention
    >>> q, k, v = torch.randn(3, 1, 2, 9, 4, dtype=torch.float64)
    >>> kernels = {name: torch.randn(2, 3, 5).double() for name in ("pre_kernel", "post_kernel")}
    >>> cache = MultiTokenCache.empty(b=1, h=2, d=4, dtype=torch.float64)
    >>> tokens = zip(*(x.split(1, dim=2) for x in (q, k, v)), strict=True)
    >>> steps = [multi_token_decode(cache, *token, **kernels) for token in tokens]
    >>> torch.allclose(torch.cat(steps, 2), multi_token_attention(q, k, v, **kernels))
    True
    >>> cache.q.shape[2]  # (3 - 1) + (3 - 1)
    4
    """
    size = check_inputs(q=(q, "b h s d"), k=(k, "b g s d"), v=(v, "b g s dv"))
    require_groups(n_heads=size["h"], n_kv_heads=size["g"], tensor="k")
    require_scale(scale)
    if size["s"] != 1:
        raise ValueError(f"q must hold one token, s = 1; got s = {size['s']}.")
    check_steps(q, pre_kernel, pre_mixing, post_kernel, post_mixing)
    for name, new, old in (("q", q, cache.q), ("k", k, cache.k), ("v", v, cache.v)):
        if (new.shape[:2], new.shape[3]) != (old.shape[:2], old.shape[3]):
            wanted = (*old.shape[:2], 1, old.shape[3])
            raise ValueError(f"{name} must be {wanted} as in the cache; got {tuple(new.shape)}.")
        if new.dtype != old.dtype or new.device != old.device:
            raise TypeError(
                f"{name} must be {old.dtype} on {old.device} as in the cache; got {new.dtype} on "
                f"{new.device}."
            )
    queries = torch.cat([cache.q, q], 2)
    cache.k, cache.v = torch.cat([cache.k, k], 2), torch.cat([cache.v, v], 2)
    back = sum(kernel.shape[1] - 1 for kernel in (pre_kernel, post_kernel) if kernel is not None)
    cache.q = queries[:, :, max(queries.shape[2] - back, 0) :]
    scale = 1 / math.sqrt(size["d"]) if scale is None else scale
    steps = (pre_kernel, pre_mixing, post_kernel, post_mixing)
    weights = maps_of_rows(queries, cache.k, *steps, scale=scale).weights[:, :, -1:]
    values = cache.v.to(weights.dtype).repeat_interleave(size["h"] // size["g"], dim=1)
    return (weights @ values).to(q.dtype)
