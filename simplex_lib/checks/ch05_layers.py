"""Answers to exercise 5.6, wrong and right; the exercise is in `ch05_layer.py`.

Axes: b batch, h head, s sequence length, d head_dim; d_model = h * d.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from simplex_lib.checks.ch05_common import Convolve, both_sides, correlate, flipped, past
from simplex_lib.checks.ch05_mixing import mixed
from simplex_lib.checks.ch05_norm import rms, sigmoid_gate, start


def mix(maps: Tensor, mixing: Tensor) -> Tensor:
    return mixed()(maps, mixing)


class Layer(nn.Module):
    """Right as it stands; each subclass gets one thing wrong."""

    bias = False
    convolve: Convolve = staticmethod(correlate)

    def __init__(
        self, d_model: int, n_heads: int, c_q: int, c_k: int, mix: int, norm: bool = False
    ):
        super().__init__()
        self.n_heads, self.d, self.norm = n_heads, d_model // n_heads, norm
        for name in ("wq", "wk", "wv", "wo"):
            setattr(self, name, nn.Linear(d_model, d_model, bias=self.bias))
        self.pre_kernel = nn.Parameter(self.kernel(n_heads, c_q, c_k))
        self.post_kernel = nn.Parameter(self.kernel(n_heads, c_q, c_k))
        self.pre_mixing = nn.Parameter(self.mixing(n_heads // mix, mix))
        self.post_mixing = nn.Parameter(self.mixing(n_heads // mix, mix))
        if norm:
            self.norm_weight = nn.Parameter(torch.ones(self.d))
            self.gate = nn.Linear(self.d, 1)

    def kernel(self, h: int, c_q: int, c_k: int) -> Tensor:
        kernel = torch.zeros(h, c_q, c_k)
        kernel[:, -1, c_k // 2] = 1
        return kernel

    def mixing(self, n: int, c: int) -> Tensor:
        return torch.eye(c).repeat(n, 1, 1)

    def split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_heads, self.d)).transpose(1, 2)

    def join(self, heads: Tensor) -> Tensor:
        return heads.transpose(1, 2).flatten(-2)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = (self.split(getattr(self, name)(x)) for name in ("wq", "wk", "wv"))
        return q, k, v

    def raw(self, q: Tensor, k: Tensor) -> Tensor:
        return q @ k.mT / math.sqrt(self.d)

    def before(self, logits: Tensor) -> Tensor:
        return mix(self.convolve(logits.tril(), self.pre_kernel), self.pre_mixing)

    def soft(self, logits: Tensor) -> Tensor:
        return logits.masked_fill(~past(logits.shape[-1]), -math.inf).softmax(-1)

    def after(self, probs: Tensor) -> Tensor:
        return mix(self.convolve(probs, self.post_kernel).tril(), self.post_mixing)

    def finish(self, heads: Tensor) -> Tensor:
        if not self.norm:
            return heads
        return sigmoid_gate(rms(heads, self.norm_weight), self.gate.weight[0], self.gate.bias)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x)
        weights = self.after(self.soft(self.before(self.raw(q, k))))
        return self.out(self.join(self.finish(weights @ v)))

    def out(self, x: Tensor) -> Tensor:
        return getattr(self, "wo")(x)  # noqa: B009


class HeadsFirst(Layer):
    def split(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), self.n_heads, -1, self.d)


class Interleaved(Layer):
    def split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.d, self.n_heads)).permute(0, 3, 1, 2)


class JoinedByView(Layer):
    def join(self, heads: Tensor) -> Tensor:
        return heads.reshape(len(heads), heads.shape[2], -1)


class NotJoined(Layer):
    def out(self, x: Tensor) -> Tensor:
        return super().out(x).unflatten(-1, (self.n_heads, self.d))


class NoOutput(Layer):
    def out(self, x: Tensor) -> Tensor:
        return x


class Residual(Layer):
    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class FullScale(Layer):
    def raw(self, q: Tensor, k: Tensor) -> Tensor:
        return q @ k.mT / math.sqrt(self.d * self.n_heads)


class Unscaled(Layer):
    def raw(self, q: Tensor, k: Tensor) -> Tensor:
        return q @ k.mT


class KeysForValues(Layer):
    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, _ = super().project(x)
        return q, k, k


class MixedFirst(Layer):
    def before(self, logits: Tensor) -> Tensor:
        return self.convolve(mix(logits, self.pre_mixing).tril(), self.pre_kernel)


class MixedFirstAfter(Layer):
    def after(self, probs: Tensor) -> Tensor:
        return self.convolve(mix(probs, self.post_mixing), self.post_kernel).tril()


class MixedFirstTwice(MixedFirst, MixedFirstAfter):
    pass


class NoPreKernel(Layer):
    def before(self, logits: Tensor) -> Tensor:
        return mix(logits, self.pre_mixing)


class NoPostKernel(Layer):
    def after(self, probs: Tensor) -> Tensor:
        return mix(probs, self.post_mixing)


class NoPreMixing(Layer):
    def before(self, logits: Tensor) -> Tensor:
        return self.convolve(logits.tril(), self.pre_kernel)


class NoPostMixing(Layer):
    def after(self, probs: Tensor) -> Tensor:
        return self.convolve(probs, self.post_kernel).tril()


class KernelsExchanged(Layer):
    def before(self, logits: Tensor) -> Tensor:
        return mix(self.convolve(logits.tril(), self.post_kernel), self.pre_mixing)

    def after(self, probs: Tensor) -> Tensor:
        return mix(self.convolve(probs, self.pre_kernel).tril(), self.post_mixing)


class MixingsExchanged(Layer):
    def before(self, logits: Tensor) -> Tensor:
        return mix(self.convolve(logits.tril(), self.pre_kernel), self.post_mixing)

    def after(self, probs: Tensor) -> Tensor:
        return mix(self.convolve(probs, self.post_kernel).tril(), self.pre_mixing)


class PreTwice(Layer):
    """The same two parameters before and after."""

    def after(self, probs: Tensor) -> Tensor:
        return mix(self.convolve(probs, self.pre_kernel).tril(), self.pre_mixing)


class Transposed(Layer):
    def before(self, logits: Tensor) -> Tensor:
        return mix(self.convolve(logits.tril(), self.pre_kernel), self.pre_mixing.mT)

    def after(self, probs: Tensor) -> Tensor:
        return mix(self.convolve(probs, self.post_kernel).tril(), self.post_mixing.mT)


class NoFirstMask(Layer):
    def before(self, logits: Tensor) -> Tensor:
        return mix(self.convolve(logits, self.pre_kernel), self.pre_mixing)


class NoSecondMask(Layer):
    def soft(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1)


class FiniteMask(Layer):
    def soft(self, logits: Tensor) -> Tensor:
        return logits.masked_fill(~past(logits.shape[-1]), -1e9).softmax(-1)


class NoLastMask(Layer):
    def after(self, probs: Tensor) -> Tensor:
        return mix(self.convolve(probs, self.post_kernel), self.post_mixing)


class Renormalised(Layer):
    def after(self, probs: Tensor) -> Tensor:
        weights = super().after(probs)
        return weights / weights.sum(-1, keepdim=True)


class BothSides(Layer):
    convolve = staticmethod(both_sides)


class TurnedRound(Layer):
    convolve = staticmethod(flipped(1, 2))


class OneKernel(Layer):
    @staticmethod
    def convolve(maps: Tensor, kernel: Tensor) -> Tensor:
        return correlate(maps, kernel[:1].expand_as(kernel))


class InfinityMixed(Layer):
    """-inf goes into the mixing, and NaN into its gradient."""

    def before(self, logits: Tensor) -> Tensor:
        new = self.convolve(logits.tril(), self.pre_kernel)
        return mix(new.masked_fill(~past(new.shape[-1]), -math.inf), self.pre_mixing)


class InfinityLeft(InfinityMixed):
    def soft(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1)


class NoNorm(Layer):
    def finish(self, heads: Tensor) -> Tensor:
        if not self.norm:
            return heads
        return sigmoid_gate(heads, self.gate.weight[0], self.gate.bias)


class NoGate(Layer):
    def finish(self, heads: Tensor) -> Tensor:
        return rms(heads, self.norm_weight) if self.norm else heads


class GateFirst(Layer):
    def finish(self, heads: Tensor) -> Tensor:
        if not self.norm:
            return heads
        gated = sigmoid_gate(heads, self.gate.weight[0], self.gate.bias)
        return rms(gated, self.norm_weight)


class DepthToo(Layer):
    def finish(self, heads: Tensor) -> Tensor:
        return super().finish(heads) * (1 - start(0)) if self.norm else heads


class NormOfAll(Layer):
    def finish(self, heads: Tensor) -> Tensor:
        if not self.norm:
            return heads
        y = rms(heads, self.norm_weight, over=(1, 3))
        return sigmoid_gate(y, self.gate.weight[0], self.gate.bias)


class Cut(Layer):
    """The result does not hang on the parameters any more."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()


class KernelCut(Layer):
    def before(self, logits: Tensor) -> Tensor:
        return mix(self.convolve(logits.tril(), self.pre_kernel.data), self.pre_mixing)


class Biased(Layer):
    bias = True


class TapAt(Layer):
    """Its identity stands elsewhere."""

    row, column = 0, 0

    def kernel(self, h: int, c_q: int, c_k: int) -> Tensor:
        kernel = torch.zeros(h, c_q, c_k)
        kernel[:, self.row, self.column + (0 if self.column else c_k // 2)] = 1
        return kernel


class MiddleRow(Layer):
    def kernel(self, h: int, c_q: int, c_k: int) -> Tensor:
        kernel = torch.zeros(h, c_q, c_k)
        kernel[:, c_q // 2, c_k // 2] = 1
        return kernel


class FirstColumn(Layer):
    def kernel(self, h: int, c_q: int, c_k: int) -> Tensor:
        kernel = torch.zeros(h, c_q, c_k)
        kernel[:, -1, 0] = 1
        return kernel


class LastColumn(Layer):
    def kernel(self, h: int, c_q: int, c_k: int) -> Tensor:
        kernel = torch.zeros(h, c_q, c_k)
        kernel[:, -1, -1] = 1
        return kernel


class ZeroKernels(Layer):
    def kernel(self, h: int, c_q: int, c_k: int) -> Tensor:
        return torch.zeros(h, c_q, c_k)


class ConstantKernels(Layer):
    def kernel(self, h: int, c_q: int, c_k: int) -> Tensor:
        return torch.full((h, c_q, c_k), (c_q * c_k) ** -0.5)


class RandomKernels(Layer):
    def kernel(self, h: int, c_q: int, c_k: int) -> Tensor:
        return torch.randn(h, c_q, c_k)


class EqualMixing(Layer):
    def mixing(self, n: int, c: int) -> Tensor:
        return torch.full((n, c, c), 1 / c)


class RandomMixing(Layer):
    def mixing(self, n: int, c: int) -> Tensor:
        return torch.randn(n, c, c)


class OneParameter(Layer):
    def __init__(self, *sizes: int, norm: bool = False):
        super().__init__(*sizes, norm=norm)
        self.post_kernel = nn.Parameter(self.pre_kernel.data)


class Expanded(Layer):
    def mixing(self, n: int, c: int) -> Tensor:
        return torch.eye(c).expand(n, c, c)


class Misshaped(Layer):
    def kernel(self, h: int, c_q: int, c_k: int) -> Tensor:
        return super().kernel(h, c_q, c_k)[:, None]


class PlainTensor(Layer):
    def __init__(self, *sizes: int, norm: bool = False):
        super().__init__(*sizes, norm=norm)
        kernel = self.pre_kernel.detach()
        del self.pre_kernel
        self.register_buffer("pre_kernel", kernel)


class NoMixings(Layer):
    def __init__(self, *sizes: int, norm: bool = False):
        super().__init__(*sizes, norm=norm)
        del self.pre_mixing


class NormAlways(Layer):
    def __init__(self, *sizes: int, norm: bool = False):
        super().__init__(*sizes, norm=True)


class RightByHeads(nn.Module):
    """One head after the other; a mixing as a sum over heads, taps one at a time."""

    def __init__(
        self, d_model: int, n_heads: int, c_q: int, c_k: int, mix: int, norm: bool = False
    ):
        super().__init__()
        self.n_heads, self.c = n_heads, mix
        self.wq, self.wk = (nn.Linear(d_model, d_model, bias=False) for _ in range(2))
        self.wv, self.wo = (nn.Linear(d_model, d_model, bias=False) for _ in range(2))
        one = nn.functional.pad(torch.ones(n_heads, 1, 1), (c_k // 2, c_k // 2, c_q - 1, 0))
        self.pre_kernel, self.post_kernel = nn.Parameter(one), nn.Parameter(one.clone())
        eye = torch.stack([torch.eye(mix)] * (n_heads // mix))
        self.pre_mixing, self.post_mixing = nn.Parameter(eye), nn.Parameter(eye.clone())
        if norm:
            self.norm_weight = nn.Parameter(torch.ones(d_model // n_heads))
            self.gate = nn.Linear(d_model // n_heads, 1)

    def convolve(self, x: Tensor, kernel: Tensor) -> Tensor:
        s, (rows, columns) = x.shape[-1], kernel.shape
        wide = nn.functional.pad(x, (columns // 2, columns // 2, rows - 1, 0))
        parts = (
            kernel[r, t] * wide[:, r : r + s, t : t + s]
            for r in range(rows)
            for t in range(columns)
        )
        return torch.stack(list(parts)).sum(0).tril()

    def read(self, maps: list[Tensor], mixing: Tensor, head: int) -> Tensor:
        group, place = divmod(head, self.c)
        return torch.stack(
            [mixing[group, place, e] * maps[group * self.c + e] for e in range(self.c)]
        ).sum(0)

    def forward(self, x: Tensor) -> Tensor:
        heads = range(self.n_heads)
        q, k, v = (w(x).chunk(self.n_heads, -1) for w in (self.wq, self.wk, self.wv))
        logits = [(q[n] @ k[n].mT / math.sqrt(q[n].shape[-1])).tril() for n in heads]
        logits = [self.convolve(logits[n], self.pre_kernel[n]) for n in heads]
        hidden = ~past(x.shape[1])
        maps = []
        for n in heads:
            new = self.read(logits, self.pre_mixing, n).masked_fill(hidden, -math.inf)
            maps.append(self.convolve(new.softmax(-1), self.post_kernel[n]))
        outs = []
        for n in heads:
            out = self.read(maps, self.post_mixing, n) @ v[n]
            if hasattr(self, "gate"):
                out = out / (out.square().mean(-1, keepdim=True) + 1e-5).sqrt() * self.norm_weight
                out = out * self.gate(out).sigmoid()
            outs.append(out)
        return self.wo(torch.cat(outs, -1))
