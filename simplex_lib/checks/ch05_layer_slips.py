"""More wrong answers to exercise 5.6: masks that are missing or finite, steps that are skipped.

Axes: b batch, h head, s sequence length, d head_dim.
"""

from __future__ import annotations

from torch import Tensor

from simplex_lib.checks.ch05_common import both_sides, both_sides_cut, past
from simplex_lib.checks.ch05_layers import Layer, mix
from simplex_lib.checks.ch05_norm import rms, sigmoid_gate
from simplex_lib.checks.exercise import Wrong


class FiniteMixed(Layer):
    """A finite mask goes into the mixing, and none follows."""

    def before(self, logits: Tensor) -> Tensor:
        new = self.convolve(logits.tril(), self.pre_kernel)
        return mix(new.masked_fill(~past(new.shape[-1]), -1e9), self.pre_mixing)

    def soft(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1)


class ZeroMask(Layer):
    def soft(self, logits: Tensor) -> Tensor:
        return logits.tril().softmax(-1)


class NoMask(Layer):
    def before(self, logits: Tensor) -> Tensor:
        return mix(self.convolve(logits, self.pre_kernel), self.pre_mixing)

    def soft(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1)

    def after(self, probs: Tensor) -> Tensor:
        return mix(self.convolve(probs, self.post_kernel), self.post_mixing)


class BothSidesCut(Layer):
    convolve = staticmethod(both_sides_cut)


class BothSidesBefore(Layer):
    def before(self, logits: Tensor) -> Tensor:
        return mix(both_sides(logits.tril(), self.pre_kernel), self.pre_mixing)


class BothSidesAfter(Layer):
    def after(self, probs: Tensor) -> Tensor:
        return mix(both_sides(probs, self.post_kernel).tril(), self.post_mixing)


class NothingBefore(Layer):
    def before(self, logits: Tensor) -> Tensor:
        return logits


class NothingAfter(Layer):
    def after(self, probs: Tensor) -> Tensor:
        return probs


class NothingAtTheEnd(Layer):
    def finish(self, heads: Tensor) -> Tensor:
        return heads


class SmallEps(Layer):
    def finish(self, heads: Tensor) -> Tensor:
        if not self.norm:
            return heads
        y = rms(heads, self.norm_weight, 1e-6)
        return sigmoid_gate(y, self.gate.weight[0], self.gate.bias)


class GateOfRaw(Layer):
    """The gate is computed from the heads before the norm."""

    def finish(self, heads: Tensor) -> Tensor:
        return rms(heads, self.norm_weight) * self.gate(heads).sigmoid() if self.norm else heads


class JoinedInterleaved(Layer):
    def join(self, heads: Tensor) -> Tensor:
        return heads.permute(0, 2, 3, 1).flatten(-2)


SLIPS = (
    Wrong(
        "finite mask mixed",
        FiniteMixed,
        "The future is hidden by a finite number before the mixing, and by nothing after it. "
        "Mixing multiplies that number: where the weights of a new head sum to less than 0 it "
        "turns positive, and the future gets everything. Mix zeros there, and put −inf right "
        "before the softmax.",
    ),
    Wrong(
        "0 in the softmax",
        ZeroMask,
        "Right before the softmax the future is 0 in place of −inf. A logit of 0 is an ordinary "
        "logit, and the softmax gives it a share.",
    ),
    Wrong(
        "no mask at all",
        NoMask,
        "There is no mask at all: the future comes in through the taps, through the softmax and "
        "through the weights above the diagonal.",
    ),
    Wrong(
        "queries on both sides, cut",
        BothSidesCut,
        "Your kernels read rows of later queries: the query axis is padded by c_q // 2 on both "
        "sides. c_q − 1 rows belong before query 0.",
    ),
    Wrong(
        "queries on both sides before",
        BothSidesBefore,
        "`pre_kernel` is centred on query i and reads rows of later queries. Its last row belongs "
        "to query i.",
    ),
    Wrong(
        "queries on both sides after",
        BothSidesAfter,
        "`post_kernel` is centred on query i and reads rows of later queries. Its last row belongs "
        "to query i.",
    ),
    Wrong(
        "nothing before",
        NothingBefore,
        "`pre_kernel` and `pre_mixing` change nothing: the logits go into the softmax as they are.",
    ),
    Wrong(
        "nothing after",
        NothingAfter,
        "`post_kernel` and `post_mixing` change nothing: the probabilities multiply the values as "
        "they are.",
    ),
    Wrong(
        "norm and gate left out",
        NothingAtTheEnd,
        "With norm=True your heads are neither normalised nor gated.",
    ),
    Wrong(
        "eps 1e-6",
        SmallEps,
        "With norm=True everything agrees but the eps under the root: yours is 1e-6, and 1e-5 is "
        "asked, as in 5.5.",
    ),
    Wrong(
        "gate of raw heads",
        GateOfRaw,
        "With norm=True your gate is computed from the heads before the norm. It is computed from "
        "the normalised ones.",
    ),
    Wrong(
        "heads joined interleaved",
        JoinedInterleaved,
        "The heads were split rightly. When joined their features alternate: feature 0 of every "
        "head, then feature 1 of every head. Head 0 comes first as a whole.",
    ),
)
