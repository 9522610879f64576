"""Decoding: one token after the other, with a rolling cache for each of the two windows.

Read from the top: `trilinear_decode` is one step, `PairCache` what is kept between steps,
`RollingCache` one window of it. `determinant_decode` is the same on the vectors of
`as_trilinear`.

The newest query sees the last w1 first keys and the last w2 second keys, so older ones are
overwritten: a step takes time of order w1 w2 and the caches memory of order w1 + w2, whatever the
number of tokens before. In a cache keys stand in any order, which a softmax does not see. With
rotary positions the keys are turned before they are cached, each by its own position.

Axes: b batch, h query head, g key head, r query head within its group, s new tokens, d head_dim,
w places of a cache, n places in use.

Source: arXiv:2507.02754, section 6, for the windows. It does not treat decoding.
"""

import math
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

from simplex_lib.attention.determinant import as_trilinear, require_chunk
from simplex_lib.attention.trilinear import check_trilinear
from simplex_lib.attention.windowed import Windows, attend_windows
from simplex_lib.errors import check_inputs, kind, require_count


@dataclass
class RollingCache:
    """Keys and values of the last w positions; position p stands at place p mod w.

    Attributes:
        k, v: the memory, (b, g, w, d) and (b, g, w, dv). `latest` is the part in use.
        seen: how many positions were ever added.
    """

    k: Float[Tensor, "b g w d"]
    v: Float[Tensor, "b g w dv"]
    seen: int = 0

    @property
    def latest(self) -> tuple[Float[Tensor, "b g n d"], Float[Tensor, "b g n dv"]]:
        """The keys and values held, n = min(seen, w) of them, in no order; views."""
        n = min(self.seen, self.k.shape[2])
        return self.k[:, :, :n], self.v[:, :, :n]

    def write(self, k: Float[Tensor, "b g s d"], v: Float[Tensor, "b g s dv"]) -> None:
        """Overwrite the oldest positions with s new ones, in place; no gradient is kept."""
        s, w = k.shape[2], self.k.shape[2]
        kept = min(s, w)  # of a prompt longer than w only the last w positions
        place = torch.arange(self.seen + s - kept, self.seen + s, device=self.k.device) % w
        self.k[:, :, place] = k.detach()[:, :, s - kept :]
        self.v[:, :, place] = v.detach()[:, :, s - kept :]
        self.seen += s


@dataclass
class PairCache:
    """The two caches of trilinear and of determinant attention: first keys, second keys.

    Prompts come in by `add`, single tokens by `trilinear_decode` or `determinant_decode`.

    >>> cache = PairCache.empty(b=1, g=2, d=4, w1=8, w2=2)
    >>> cache.add(*torch.randn(4, 1, 2, 5, 4))
    >>> cache.first.latest[0].shape[2], cache.second.latest[0].shape[2]
    (5, 2)
    """

    first: RollingCache
    second: RollingCache

    @classmethod
    def empty(
        cls,
        *,
        b: int,
        g: int,
        d: int,
        w1: int,
        w2: int,
        dv: int | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
    ) -> Self:
        """Caches of zeros that nothing was added to; dv is d if None. No window may be None.

        Raises:
            ValueError, TypeError: a size is not an int or is below 1.
        """
        dv = d if dv is None else dv
        require_count(b=b, g=g, d=d, w1=w1, w2=w2, dv=dv)

        def zeros(w: int) -> RollingCache:
            k, v = (torch.zeros(b, g, w, n, dtype=dtype, device=device) for n in (d, dv))
            return RollingCache(k, v)

        return cls(zeros(w1), zeros(w2))

    def add(
        self,
        k1: Float[Tensor, "b g s d"],
        k2: Float[Tensor, "b g s d"],
        v1: Float[Tensor, "b g s dv"],
        v2: Float[Tensor, "b g s dv"],
    ) -> None:
        """Take in s positions, all the windows need of them. Nothing changes on an error.

        Raises:
            ValueError: shapes or devices disagree with each other or the cache, an axis is empty,
                or a number is NaN or infinite.
            TypeError: an argument is not a tensor or not of the dtype of the cache.
        """
        memory = {"cache.k": (self.first.k, "b g w d"), "cache.v": (self.first.v, "b g w dv")}
        second = {"cache.second.k": (self.second.k, "b g w2 d")}
        second |= {"cache.second.v": (self.second.v, "b g w2 dv")}
        keys = dict(k1=(k1, "b g s d"), k2=(k2, "b g s d"))
        check_inputs(**memory, **second, **keys, v1=(v1, "b g s dv"), v2=(v2, "b g s dv"))
        self.first.write(k1, v1)
        self.second.write(k2, v2)


def trilinear_decode(
    cache: PairCache,
    q: Float[Tensor, "b h 1 d"],
    k1: Float[Tensor, "b g 1 d"],
    k2: Float[Tensor, "b g 1 d"],
    v1: Float[Tensor, "b g 1 dv"],
    v2: Float[Tensor, "b g 1 dv"],
    *,
    scale: float | None = None,
) -> Float[Tensor, "b h 1 dv"]:
    """One step: take the newest token into the cache and attend from it.

    Args:
        cache: changed in place; its windows are those of the attention.
        q, k1, k2, v1, v2: of the newest token, as in `trilinear_attention` with s = 1.
        scale: as in `trilinear_attention`.

    Returns:
        out, (b, h, 1, dv), in the dtype of q: the last row of the causal attention with windows
        over all tokens so far. No gradient passes through a step.

    Raises:
        ValueError, TypeError: as `trilinear_attention` and `PairCache.add`; s is not 1. The cache
            is then as it was.

    >>> from simplex_lib.attention import trilinear_attention
    >>> x = torch.randn(5, 1, 2, 9, 4, dtype=torch.float64)
    >>> cache = PairCache.empty(b=1, g=2, d=4, w1=4, w2=2, dtype=torch.float64)
    >>> steps = [trilinear_decode(cache, *x[:, :, :, i : i + 1]) for i in range(9)]
    >>> torch.allclose(torch.cat(steps, 2), trilinear_attention(*x, w1=4, w2=2))
    True
    """
    scale = _take_in(cache, q, k1, k2, v1, v2, scale=scale)
    (k1, v1), (k2, v2) = cache.first.latest, cache.second.latest
    return _attend(q, k1, k2, v1, v2, scale=scale)


def determinant_decode(
    cache: PairCache,
    q: Float[Tensor, "b h 1 d"],
    k1: Float[Tensor, "b g 1 d"],
    k2: Float[Tensor, "b g 1 d"],
    v1: Float[Tensor, "b g 1 dv"],
    v2: Float[Tensor, "b g 1 dv"],
    *,
    scale: float | None = None,
) -> Float[Tensor, "b h 1 dv"]:
    """The same for `determinant_attention`; d must be at least 3.

    The cache holds keys of length d and not the longer ones of `as_trilinear`, which are made of
    the w1 + w2 keys in use at every step.
    """
    check_trilinear(q, k1, k2, v1, v2, w1=None, w2=None, causal=True, scale=scale)
    require_chunk(q=q)
    scale = _take_in(cache, q, k1, k2, v1, v2, scale=scale)
    (k1, v1), (k2, v2) = cache.first.latest, cache.second.latest
    return _attend(*as_trilinear(q, k1, k2), v1, v2, scale=scale)


def _take_in(
    cache: PairCache,
    q: Tensor,
    k1: Tensor,
    k2: Tensor,
    v1: Tensor,
    v2: Tensor,
    *,
    scale: float | None,
) -> float:
    """Check one step, add its token; the scale."""
    if not isinstance(cache, PairCache):
        raise TypeError(f"cache must be a PairCache; got {kind(cache)}.")
    size = check_trilinear(q, k1, k2, v1, v2, w1=None, w2=None, causal=True, scale=scale)
    if size["s"] != 1:
        raise ValueError(
            f"q must hold one token, s = 1; got s = {size['s']}. A prompt goes into PairCache.add."
        )
    cache.add(k1, k2, v1, v2)
    return 1 / math.sqrt(size["d"]) if scale is None else scale


@torch.no_grad()
def _attend(
    q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor, *, scale: float
) -> Float[Tensor, "b h 1 dv"]:
    """One query over all pairs of the keys in use, which are the windows of this one query."""
    wide = torch.promote_types(q.dtype, torch.float32)
    queries = q.to(wide).unflatten(1, (k1.shape[1], -1)) * scale  # (b, g, r, 1, d)
    first, second = (
        Windows(
            k=k.to(wide).mT[:, :, None],  # (b, g, 1, d, n)
            v=v.to(wide).mT[:, :, None],
            visible=torch.ones(1, k.shape[2], dtype=torch.bool, device=k.device),
        )
        for k, v in ((k1, v1), (k2, v2))
    )
    out, _ = attend_windows(queries, first, second)
    return out.flatten(1, 2).to(q.dtype)
