"""Wrong answers of exercise 10.1: the right one, with one step changed.

`ByHand` is a right answer in steps; a class below it changes one or two of them.
Axes: b batch, h head, i query, j first key, k second key, d head_dim (or size of a value).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

einsum = torch.einsum


class ByHand:
    """dq, dk1, dk2, dv1, dv2 of causal attention over pairs."""

    logit_power, powers = 1, (1, 1, 1, 0, 0)  # of the scale: in the logits, in the gradients
    hidden = -math.inf

    def __call__(
        self, q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor, dout: Tensor, scale: float
    ) -> tuple[Tensor, ...]:
        scale = self.scale(scale, q)
        logits = scale**self.logit_power * einsum("bhid,bhjd,bhkd->bhijk", q, k1, k2)
        probs = self.probs(logits, self.visible(q.shape[2]))
        dprobs = self.dprobs(dout, v1, v2)
        dlogits = self.dlogits(probs, dprobs)
        dq = einsum("bhijk,bhjd,bhkd->bhid", dlogits, k1, k2)
        keys = self.pair(dlogits, q, k1, k2)
        values = self.of_values(probs, dprobs, dlogits, dout, v1, v2)
        found = zip((dq, *keys, *values), self.powers, strict=True)
        return self.order(*(scale**power * x for x, power in found))

    def scale(self, scale: float, q: Tensor) -> float:
        return scale

    def past(self, s: int) -> Tensor:
        return torch.ones(s, s, dtype=torch.bool).tril()

    def visible(self, s: int) -> Tensor:
        return self.past(s)[:, :, None] & self.past(s)[:, None, :]

    def probs(self, logits: Tensor, visible: Tensor) -> Tensor:
        return self.softmax(logits.masked_fill(~visible, self.hidden))

    def softmax(self, logits: Tensor) -> Tensor:
        return logits.flatten(-2).softmax(-1).view_as(logits)

    def dprobs(self, dout: Tensor, v1: Tensor, v2: Tensor) -> Tensor:
        return einsum("bhid,bhjd,bhkd->bhijk", dout, v1, v2)

    def delta(self, probs: Tensor, dprobs: Tensor) -> Tensor:
        return (probs * dprobs).sum((-2, -1), keepdim=True)

    def dlogits(self, probs: Tensor, dprobs: Tensor) -> Tensor:
        return probs * (dprobs - self.delta(probs, dprobs))

    def pair(self, weights: Tensor, arrives: Tensor, x1: Tensor, x2: Tensor) -> tuple[Tensor, ...]:
        """Gradients of the first and the second of two factors."""
        first = einsum("bhijk,bhid,bhkd->bhjd", weights, arrives, x2)
        second = einsum("bhijk,bhid,bhjd->bhkd", weights, arrives, x1)
        return first, second

    def of_values(
        self, probs: Tensor, dprobs: Tensor, dlogits: Tensor, dout: Tensor, v1: Tensor, v2: Tensor
    ) -> tuple[Tensor, ...]:
        return ByHand.pair(self, probs, dout, v1, v2)

    def order(self, *gradients: Tensor) -> tuple[Tensor, ...]:
        return gradients


class PrintedIndex(ByHand):
    def pair(self, weights: Tensor, arrives: Tensor, x1: Tensor, x2: Tensor) -> tuple[Tensor, ...]:
        first, _ = super().pair(weights, arrives, x1, x2)
        return first, einsum("bhijk,bhid,bhjd->bhjd", weights, arrives, x1)


class NoGradientScale(ByHand):
    powers = (0, 0, 0, 0, 0)


class NoLogitScale(ByHand):
    logit_power = 0


class NoScale(ByHand):
    logit_power, powers = 0, (0, 0, 0, 0, 0)


class ScaleLostInQ(ByHand):
    powers = (0, 1, 1, 0, 0)


class ScaleLostInK1(ByHand):
    powers = (1, 0, 1, 0, 0)


class ScaleLostInK2(ByHand):
    powers = (1, 1, 0, 0, 0)


class ScaleTwice(ByHand):
    powers = (2, 2, 2, 0, 0)


class ScaleTwiceInKeys(ByHand):
    powers = (1, 2, 2, 0, 0)


class ScaledValues(ByHand):
    powers = (1, 1, 1, 1, 1)


class OwnScale(ByHand):
    def scale(self, scale: float, q: Tensor) -> float:
        return q.shape[-1] ** -0.5


class NoDelta(ByHand):
    def dlogits(self, probs: Tensor, dprobs: Tensor) -> Tensor:
        return probs * dprobs


class DeltaOverSecond(ByHand):
    def delta(self, probs: Tensor, dprobs: Tensor) -> Tensor:
        return (probs * dprobs).sum(-1, keepdim=True)


class DeltaOverFirst(ByHand):
    def delta(self, probs: Tensor, dprobs: Tensor) -> Tensor:
        return (probs * dprobs).sum(-2, keepdim=True)


class DeltaOverQueries(ByHand):
    def delta(self, probs: Tensor, dprobs: Tensor) -> Tensor:
        return (probs * dprobs).sum(2, keepdim=True)


class Diagonal(ByHand):
    def dlogits(self, probs: Tensor, dprobs: Tensor) -> Tensor:
        return probs * (1 - probs) * dprobs


class PlainDelta(ByHand):
    def delta(self, probs: Tensor, dprobs: Tensor) -> Tensor:
        return dprobs.sum((-2, -1), keepdim=True)


class MeanDelta(ByHand):
    def delta(self, probs: Tensor, dprobs: Tensor) -> Tensor:
        return (probs * dprobs).mean((-2, -1), keepdim=True)


class SecondAlone(ByHand):
    def softmax(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1).nan_to_num(0.0)  # a hidden first key has nothing to share


class FirstAlone(ByHand):
    def softmax(self, logits: Tensor) -> Tensor:
        return logits.softmax(-2).nan_to_num(0.0)


class OverQueries(ByHand):
    def softmax(self, logits: Tensor) -> Tensor:
        return logits.softmax(2).nan_to_num(0.0)


class SecondAloneThroughout(SecondAlone, DeltaOverSecond):
    pass


class SecondAloneLost(ByHand):
    """A hidden first key has nothing to share: 0 / 0."""

    def softmax(self, logits: Tensor) -> Tensor:
        return logits.softmax(-1)


class FirstAloneLost(ByHand):
    def softmax(self, logits: Tensor) -> Tensor:
        return logits.softmax(-2)


class SecondAloneThroughoutLost(SecondAloneLost, DeltaOverSecond):
    pass


class FirstAloneThroughout(FirstAlone, DeltaOverFirst):
    pass


class FirstAloneThroughoutLost(FirstAloneLost, DeltaOverFirst):
    pass


class Rounded(ByHand):
    def softmax(self, logits: Tensor) -> Tensor:
        return super().softmax(logits).bfloat16().to(logits.dtype)


class NotCausal(ByHand):
    def past(self, s: int) -> Tensor:
        return torch.ones(s, s, dtype=torch.bool)


class SecondNotCausal(ByHand):
    def visible(self, s: int) -> Tensor:
        return self.past(s)[:, :, None].expand(s, s, s)


class FirstNotCausal(ByHand):
    def visible(self, s: int) -> Tensor:
        return self.past(s)[:, None, :].expand(s, s, s)


class Strict(ByHand):
    def past(self, s: int) -> Tensor:
        return torch.ones(s, s, dtype=torch.bool).tril(-1)


class HiddenZero(ByHand):
    hidden = 0.0


class FiniteMask(ByHand):
    hidden = -1e4


class MaskAfter(ByHand):
    def probs(self, logits: Tensor, visible: Tensor) -> Tensor:
        return self.softmax(logits) * visible


class PlainExp(ByHand):
    def softmax(self, logits: Tensor) -> Tensor:
        return logits.exp() / logits.exp().sum((-2, -1), keepdim=True)


class NoProbs(ByHand):
    def dlogits(self, probs: Tensor, dprobs: Tensor) -> Tensor:
        return dprobs - self.delta(probs, dprobs)


class Straight(ByHand):
    def dlogits(self, probs: Tensor, dprobs: Tensor) -> Tensor:
        return dprobs


class Negative(ByHand):
    def dlogits(self, probs: Tensor, dprobs: Tensor) -> Tensor:
        return -super().dlogits(probs, dprobs)


class DeltaAdded(ByHand):
    def dlogits(self, probs: Tensor, dprobs: Tensor) -> Tensor:
        return probs * (dprobs + self.delta(probs, dprobs))


class NoDout(ByHand):
    def dprobs(self, dout: Tensor, v1: Tensor, v2: Tensor) -> Tensor:
        return super().dprobs(torch.ones_like(dout), v1, v2)


class FirstValueAlone(ByHand):
    def dprobs(self, dout: Tensor, v1: Tensor, v2: Tensor) -> Tensor:
        return super().dprobs(dout, v1, torch.ones_like(v2))


class KeysExchanged(ByHand):
    def order(self, *gradients: Tensor) -> tuple[Tensor, ...]:
        dq, dk1, dk2, dv1, dv2 = gradients
        return dq, dk2, dk1, dv1, dv2


class ValuesExchanged(ByHand):
    def order(self, *gradients: Tensor) -> tuple[Tensor, ...]:
        dq, dk1, dk2, dv1, dv2 = gradients
        return dq, dk1, dk2, dv2, dv1


class BothExchanged(ByHand):
    def order(self, *gradients: Tensor) -> tuple[Tensor, ...]:
        dq, dk1, dk2, dv1, dv2 = gradients
        return dq, dk2, dk1, dv2, dv1


class SecondKeyCopied(ByHand):
    def pair(self, weights: Tensor, arrives: Tensor, x1: Tensor, x2: Tensor) -> tuple[Tensor, ...]:
        first, _ = super().pair(weights, arrives, x1, x2)
        return first, first


class SecondKeyItself(ByHand):
    def pair(self, weights: Tensor, arrives: Tensor, x1: Tensor, x2: Tensor) -> tuple[Tensor, ...]:
        first, _ = super().pair(weights, arrives, x1, x2)
        return first, _own(weights, arrives, x1, x2)[1]


class SecondValueCopied(ByHand):
    def of_values(
        self, probs: Tensor, dprobs: Tensor, dlogits: Tensor, dout: Tensor, v1: Tensor, v2: Tensor
    ) -> tuple[Tensor, ...]:
        first, _ = self.pair(probs, dout, v1, v2)
        return first, first


class ByKey(ByHand):
    def order(self, *gradients: Tensor) -> tuple[Tensor, ...]:
        dq, dk1, dk2, dv1, dv2 = gradients
        return dq, dk1, dv1, dk2, dv2


def _own(weights: Tensor, arrives: Tensor, x1: Tensor, x2: Tensor) -> tuple[Tensor, ...]:
    first = einsum("bhijk,bhid,bhjd->bhjd", weights, arrives, x1)
    return first, einsum("bhijk,bhid,bhkd->bhkd", weights, arrives, x2)


class OwnKey(ByHand):
    def pair(self, weights: Tensor, arrives: Tensor, x1: Tensor, x2: Tensor) -> tuple[Tensor, ...]:
        return _own(weights, arrives, x1, x2)


class OwnValue(ByHand):
    def of_values(
        self, probs: Tensor, dprobs: Tensor, dlogits: Tensor, dout: Tensor, v1: Tensor, v2: Tensor
    ) -> tuple[Tensor, ...]:
        return _own(probs, dout, v1, v2)


class NoOtherKey(ByHand):
    def pair(self, weights: Tensor, arrives: Tensor, x1: Tensor, x2: Tensor) -> tuple[Tensor, ...]:
        return super().pair(weights, arrives, torch.ones_like(x1), torch.ones_like(x2))


class NoOtherValue(ByHand):
    def of_values(
        self, probs: Tensor, dprobs: Tensor, dlogits: Tensor, dout: Tensor, v1: Tensor, v2: Tensor
    ) -> tuple[Tensor, ...]:
        return self.pair(probs, dout, torch.ones_like(v1), torch.ones_like(v2))


class LogitsForProbs(ByHand):
    def of_values(
        self, probs: Tensor, dprobs: Tensor, dlogits: Tensor, dout: Tensor, v1: Tensor, v2: Tensor
    ) -> tuple[Tensor, ...]:
        return self.pair(dlogits, dout, v1, v2)


class DprobsForProbs(ByHand):
    def of_values(
        self, probs: Tensor, dprobs: Tensor, dlogits: Tensor, dout: Tensor, v1: Tensor, v2: Tensor
    ) -> tuple[Tensor, ...]:
        return self.pair(dprobs, dout, v1, v2)
