"""Attention over pairs with its gradients by hand, cut into steps that a fault can replace.

`PairAttention` is right; `published.py` changes one step of it at a time. It is written like the
kernels (two of them on the way back, lse and delta between them), with whole cubes of s^3 numbers
where a kernel has tiles, and runs on small float64 tensors only.

Axes: b batch, h query head, g key head, i query, j first key, k second key, s sequence length.
"""

import math

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

KEYS, QUERIES = 4, 8  # positions of a tile


class PairAttention:
    """Causal attention over pairs in windows; a query head h reads key head h // (H / G)."""

    name = "right"

    def __call__(
        self,
        q: Tensor,
        k1: Tensor,
        k2: Tensor,
        v1: Tensor,
        v2: Tensor,
        *,
        w1: int,
        w2: int,
        k2_constant: float | None = 0.0,
        v2_constant: float | None = 0.0,
    ) -> Tensor:
        """out (b, h, s, dv), differentiable; None takes the published constants 1 / d and 1."""
        k2 = self.add(k2, self.constant(k2_constant, 1 / q.shape[-1]))
        v2 = self.add(v2, self.constant(v2_constant, 1.0))
        return _Function.apply(self, w1, w2, q, k1, k2, v1, v2)

    def forward(self, q, k1, k2, v1, v2, w1, w2):
        k1, k2, v1, v2 = (self.key_heads(x, q.shape[1]) for x in (k1, k2, v1, v2))
        logits_log2 = self.logits(q, k1, k2, w1, w2) / math.log(2)
        m_log2 = logits_log2.amax((-2, -1))
        exponentials = (logits_log2 - m_log2[..., None, None]).exp2()
        total = exponentials.sum((-2, -1))
        out = torch.einsum("bhijk,bhjd,bhkd->bhid", exponentials, v1, v2) / total[..., None]
        return out, self.lse(m_log2, total)

    def backward(self, dout, q, k1, k2, v1, v2, out, lse, w1, w2):
        g, share = k1.shape[1], q.shape[1] // k1.shape[1]
        k1, k2, v1, v2 = (x.repeat_interleave(share, 1) for x in (k1, k2, v1, v2))
        named = dict(q=q, k1=k1, k2=k2, v1=v1, v2=v2, dout=dout)
        named |= dict(lse=lse, delta=self.delta(out, dout))
        named = self.arguments(named)
        dq_first, dk1, dv1 = self.first_key_kernel(**named, w1=w1, w2=w2)
        dq, dk2, dv2 = self.second_key_kernel(**named, w1=w1, w2=w2)
        dk1, dk2, dv1, dv2 = (x.unflatten(1, (g, share)).sum(2) for x in (dk1, dk2, dv1, dv2))
        return dq + dq_first, dk1, dk2, dv1, dv2

    def first_key_kernel(self, q, k1, k2, v1, v2, dout, lse, delta, w1, w2):
        """dk1 and dv1, a tile of first keys at a time; dq belongs to the other kernel."""
        probs, dlogits = self.again(q, k1, k2, v1, v2, dout, lse, delta, w1, w2)
        dk1, dv1 = torch.zeros_like(k1), torch.zeros_like(v1)
        for program in range(self.programs(q.shape[2])):
            j = slice(program * KEYS, (program + 1) * KEYS)
            dk1[:, :, j] = torch.einsum("bhijk,bhid,bhkd->bhjd", dlogits[..., j, :], q, k2)
            dv1[:, :, j] = torch.einsum("bhijk,bhid,bhkd->bhjd", probs[..., j, :], dout, v2)
        return self.first_dq(dlogits, k1, k2), dk1, dv1

    def second_key_kernel(self, q, k1, k2, v1, v2, dout, lse, delta, w1, w2):
        lse, delta = self.row_numbers(lse, delta)
        probs, dlogits = self.again(q, k1, k2, v1, v2, dout, lse, delta, w1, w2)
        dq = self.whole_dq(dlogits, k1, k2)
        dk2 = torch.einsum("bhijk,bhid,bhjd->bhkd", dlogits, q, k1)
        dv2 = torch.einsum("bhijk,bhid,bhjd->bhkd", probs, dout, v1)
        return dq, dk2, dv2

    def whole_dq(self, dlogits, k1, k2):
        return torch.einsum("bhijk,bhjd,bhkd->bhid", dlogits, k1, k2)

    def again(self, q, k1, k2, v1, v2, dout, lse, delta, w1, w2):
        """Probabilities from lse, and the gradients of the unscaled logits from delta."""
        probs = (self.logits(q, k1, k2, w1, w2) - lse[..., None, None]).exp()
        dprobs = torch.einsum("bhid,bhjd,bhkd->bhijk", dout, v1, v2)
        return probs, probs * (dprobs - delta[..., None, None]) / math.sqrt(q.shape[-1])

    def logits(self, q, k1, k2, w1, w2):
        position = torch.arange(q.shape[2])
        behind = position[:, None] - position  # i - j
        first, second = (self.window(behind, w) for w in (w1, w2))
        logits = torch.einsum("bhid,bhjd,bhkd->bhijk", q, k1, k2) / math.sqrt(q.shape[-1])
        return logits.masked_fill(~(first[:, :, None] & second[:, None, :]), -torch.inf)

    # the steps that a fault replaces, one line each

    def window(self, behind, w):
        return (behind >= 0) & (behind < w)

    def constant(self, asked, default):
        return default if asked is None else asked

    def add(self, x, constant):
        return x + constant

    def key_heads(self, x, h):
        return x.repeat_interleave(h // x.shape[1], 1)

    def lse(self, m_log2, total):
        return (m_log2 + total.log2()) * math.log(2)

    def delta(self, out, dout):
        """The sum over a row of out * dout, stored text by text and read back as (b, h, s)."""
        b, h, s, d = dout.shape
        memory = dout.new_zeros(b * h * s * d)  # what no program writes reads as 0
        for text in range(b):
            start = text * self.delta_stride(h, s, d)
            memory[start : start + h * s] = (out[text] * dout[text]).sum(-1).flatten()
        return memory[: b * h * s].view(b, h, s)

    def delta_stride(self, h, s, d):
        return h * s

    def arguments(self, named):
        return named

    def row_numbers(self, lse, delta):
        return lse, delta

    def first_dq(self, dlogits, k1, k2) -> Tensor | int:
        return 0

    def programs(self, s):
        return math.ceil(s / KEYS)


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx, attention, w1, w2, *inputs):
        out, lse = attention.forward(*inputs, w1, w2)
        ctx.save_for_backward(*inputs, out, lse)
        ctx.attention, ctx.windows = attention, (w1, w2)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, dout):  # pyright: ignore[reportIncompatibleMethodOverride]
        gradients = ctx.attention.backward(dout, *ctx.saved_tensors, *ctx.windows)
        return None, None, None, *gradients
