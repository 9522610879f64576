"""Online softmax: dot-product attention that reads the keys block by block, each once.

Read from the top: `online_softmax_attention` is the operation, `absorb` one step of it,
`online_softmax_states` the same steps to look at one by one, `merge` joins two finished parts.

Axes: b batch, h query head, g key head, i query, j key, n key of one block, s sequence length,
d head_dim.

Source: arXiv:2407.08608, Algorithm 1, lines 18 to 24. Its line 21 prints the factor on the old
sum as the inverse of exp(m_old - m); exp(m_old - m) itself is meant, and used here.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from simplex_lib.errors import (
    bind_axes,
    check_inputs,
    require_alike,
    require_count,
    require_finite,
    require_flag,
    require_groups,
    require_same_device,
    require_scale,
)


class SoftmaxState(NamedTuple):
    """What is kept of the keys read so far, per query."""

    m: Float[Tensor, "b h s"]  # largest logit; -inf while no key was visible
    l: Float[Tensor, "b h s"]  # noqa: E741 (the papers' letter), sum of exp(logit - m)
    acc: Float[Tensor, "b h s dv"]  # sum of exp(logit - m) * value

    @property
    def out(self) -> Float[Tensor, "b h s dv"]:
        """The attention over the keys read so far; 0 where none was visible."""
        return self.acc / self.l.masked_fill(self.l == 0, 1)[..., None]

    @property
    def lse(self) -> Float[Tensor, "b h s"]:
        """The natural logarithm of sum_j exp(logits[i, j]) over the keys read so far."""
        return self.m + self.l.log()


def online_softmax_attention(
    q: Float[Tensor, "b h s d"],
    k: Float[Tensor, "b g s d"],
    v: Float[Tensor, "b g s dv"],
    *,
    block_size: int = 64,
    causal: bool = True,
    scale: float | None = None,
) -> tuple[Float[Tensor, "b h s dv"], Float[Tensor, "b h s"]]:
    """`dot_product_attention_with_lse`, never holding more than (b, h, s, block_size) logits.

    Args:
        q, k, v, causal, scale: as in `dot_product_attention`.
        block_size: how many keys are read at a time; the last block may be shorter.

    Returns:
        out, (b, h, s, dv), in the dtype of q, and the natural-log lse, (b, h, s), float32, or
        float64 if q is.

    Raises:
        ValueError, TypeError: as `dot_product_attention`; block_size must be an int, at least 1.

    The result does not depend on the block size:

    >>> q, k, v = torch.randn(3, 1, 2, 7, 4, dtype=torch.float64)
    >>> for n in (1, 3, 7):
    ...     out, lse = online_softmax_attention(q, k, v, block_size=n)
    ...     print(torch.allclose(out, online_softmax_attention(q, k, v, block_size=2)[0]))
    True
    True
    True
    """
    states = online_softmax_states(q, k, v, block_size=block_size, causal=causal, scale=scale)
    [(_, state)] = deque(states, maxlen=1)  # the last one; s is at least 1, so there is one
    return state.out.to(q.dtype), state.lse


def online_softmax_states(
    q: Float[Tensor, "b h s d"],
    k: Float[Tensor, "b g s d"],
    v: Float[Tensor, "b g s dv"],
    *,
    block_size: int = 64,
    causal: bool = True,
    scale: float | None = None,
) -> Iterator[tuple[range, SoftmaxState]]:
    """After each block: the keys it held, and the state (m, l, acc), to print or to draw.

    Arguments and errors: `online_softmax_attention`. Arguments are checked at the call, not at
    the first block.
    """
    size = check_inputs(q=(q, "b h s d"), k=(k, "b g s d"), v=(v, "b g s dv"))
    groups = require_groups(n_heads=size["h"], n_kv_heads=size["g"], tensor="k")
    require_count(block_size=block_size)
    require_flag(causal=causal)
    require_scale(scale)
    scale = 1 / math.sqrt(size["d"]) if scale is None else scale

    wide = torch.promote_types(q.dtype, torch.float32)
    k, v = (x.to(wide).repeat_interleave(groups, dim=1) for x in (k, v))
    return _states(q.to(wide) * scale, k, v, block_size=block_size, causal=causal)


def _states(
    q: Tensor, k: Tensor, v: Tensor, *, block_size: int, causal: bool
) -> Iterator[tuple[range, SoftmaxState]]:
    s = q.shape[2]
    position = torch.arange(s, device=q.device)
    state = empty_state(q, v)
    for start in range(0, s, block_size):
        block = slice(start, min(start + block_size, s))
        logits = torch.einsum("bhid,bhnd->bhin", q, k[:, :, block])
        if causal:
            logits = logits.masked_fill(position[:, None] < position[block], float("-inf"))
        state = absorb(state, logits, partial(torch.matmul, other=v[:, :, block]))
        yield range(block.start, block.stop), state


def empty_state(q: Float[Tensor, "b h s d"], v: Float[Tensor, "b h s dv"]) -> SoftmaxState:
    """The state before the first block, on the device and in the dtype of q."""
    zero = q.new_zeros(q.shape[:3])
    return SoftmaxState(
        m=torch.full_like(zero, float("-inf")), l=zero, acc=q.new_zeros(*zero.shape, v.shape[-1])
    )


def absorb(
    state: SoftmaxState,
    logits: Float[Tensor, "b h s n"],
    weigh: Callable[[Float[Tensor, "b h s n"]], Float[Tensor, "b h s dv"]],
) -> SoftmaxState:
    """Read n more keys: logits scaled and masked with -inf; weigh(p) sums the values with p."""
    # m only sets the unit in which l and acc are kept and cancels in out and lse: no gradient
    m = torch.maximum(state.m, logits.detach().amax(-1))
    # where no key was visible yet, exp(-inf - 0) is the 0 that is meant; exp(-inf + inf) is NaN
    unit = m.masked_fill(m == float("-inf"), 0)
    kept = (state.m - unit).exp()
    p = (logits - unit[..., None]).exp()
    return SoftmaxState(
        m=m, l=kept * state.l + p.sum(-1), acc=kept[..., None] * state.acc + weigh(p)
    )


def merge(
    out_a: Float[Tensor, "b h s dv"],
    lse_a: Float[Tensor, "b h s"],
    out_b: Float[Tensor, "b h s dv"],
    lse_b: Float[Tensor, "b h s"],
) -> tuple[Float[Tensor, "b h s dv"], Float[Tensor, "b h s"]]:
    """One attention from two over disjoint sets of keys: each weighs with exp(lse).

    Args:
        out_a, out_b: the two outputs, (b, h, s, dv). Where a part saw no key, any finite number.
        lse_a, lse_b: their natural-log denominators, (b, h, s); -inf where a part saw no key.

    Returns:
        out in the dtype of out_a, and lse in the dtype of lse_a. Where neither part saw a key,
        out is 0 and lse is -inf.

    Raises:
        ValueError, TypeError: shapes, dtypes or devices disagree (the outputs may have another
            dtype than the lse), an axis is empty, or a number is NaN or infinite, but for an
            lse of -inf.

    The order of the two parts does not matter, and a part without keys changes nothing:

    >>> out_a, out_b = torch.randn(2, 1, 1, 3, 4)
    >>> lse_a, lse_b = torch.randn(2, 1, 1, 3)
    >>> out, lse = merge(out_a, lse_a, out_b, lse_b)
    >>> torch.allclose(out, merge(out_b, lse_b, out_a, lse_a)[0])
    True
    >>> torch.allclose(merge(out_a, lse_a, out_b, torch.full_like(lse_b, -torch.inf))[0], out_a)
    True
    """
    outs = dict(out_a=(out_a, "b h s dv"), out_b=(out_b, "b h s dv"))
    bind_axes(**outs, lse_a=(lse_a, "b h s"), lse_b=(lse_b, "b h s"))
    require_alike(out_a=out_a, out_b=out_b)
    require_alike(lse_a=lse_a, lse_b=lse_b)
    require_same_device(out_a=out_a, lse_a=lse_a)
    empty_a, empty_b = lse_a == float("-inf"), lse_b == float("-inf")
    require_finite(out_a=out_a, out_b=out_b)
    require_finite(lse_a=lse_a.masked_fill(empty_a, 0), lse_b=lse_b.masked_fill(empty_b, 0))

    # the larger lse is the unit; it cancels in out and lse, so no gradient passes through it
    unit = torch.maximum(lse_a, lse_b).detach().masked_fill(empty_a & empty_b, 0)
    a, b = (lse_a - unit).exp(), (lse_b - unit).exp()
    total = (a + b).masked_fill(empty_a & empty_b, 1)
    out = (a[..., None] * out_a + b[..., None] * out_b) / total[..., None]
    lse = (unit + total.log()).masked_fill(empty_a & empty_b, float("-inf"))
    return out.to(out_a.dtype), lse
