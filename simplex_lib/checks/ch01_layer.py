"""Mistakes that learners make in exercise 1.6, a multi-head layer."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from simplex_lib.checks.ch01_attention import attend
from simplex_lib.checks.ch01_common import Seen, past
from simplex_lib.checks.exercise import Difference, Wrong


class Layer(nn.Module):
    """Right as it stands; each subclass gets one thing wrong."""

    def __init__(self, d_model: int, n_heads: int, n_kv_heads: int):
        super().__init__()
        self.h, self.g, self.d = n_heads, n_kv_heads, d_model // n_heads
        self.wq = nn.Linear(d_model, n_heads * self.d, bias=False)
        self.wk = nn.Linear(d_model, n_kv_heads * self.d, bias=False)
        self.wv = nn.Linear(d_model, n_kv_heads * self.d, bias=False)
        self.wo = nn.Linear(n_heads * self.d, d_model, bias=False)

    def split(self, x: Tensor, heads: int) -> Tensor:
        return x.unflatten(-1, (heads, self.d)).transpose(1, 2)

    def share(self, x: Tensor) -> Tensor:
        return x[:, torch.arange(self.h) // (self.h // self.g)]

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attend(q, k, v)

    def join(self, out: Tensor) -> Tensor:
        return out.transpose(1, 2).flatten(-2)

    def forward(self, x: Tensor) -> Tensor:
        q = self.split(self.wq(x), self.h)
        k = self.share(self.split(self.wk(x), self.g))
        v = self.share(self.split(self.wv(x), self.g))
        return self.wo(self.join(self.attend(q, k, v)))


class NoOutput(Layer):
    def forward(self, x: Tensor) -> Tensor:
        q = self.split(self.wq(x), self.h)
        k = self.share(self.split(self.wk(x), self.g))
        v = self.share(self.split(self.wv(x), self.g))
        return self.join(self.attend(q, k, v))


class SplitByView(Layer):
    def split(self, x: Tensor, heads: int) -> Tensor:
        b, s, _ = x.shape
        return x.reshape(b, heads, s, self.d)


class SplitByViewBothWays(SplitByView):
    def join(self, out: Tensor) -> Tensor:
        b, _, s, _ = out.shape
        return out.reshape(b, s, -1)


class JoinByView(Layer):
    def join(self, out: Tensor) -> Tensor:
        b, _, s, _ = out.shape
        return out.reshape(b, s, -1)


class HeadsLast(Layer):
    def split(self, x: Tensor, heads: int) -> Tensor:
        return x.unflatten(-1, (self.d, heads)).permute(0, 3, 1, 2)


class HeadsLastBothWays(HeadsLast):
    def join(self, out: Tensor) -> Tensor:
        return out.permute(0, 2, 3, 1).flatten(-2)


class HeadsReversed(Layer):
    def join(self, out: Tensor) -> Tensor:
        return super().join(out.flip(1))


class HeadsSummed(Layer):
    def join(self, out: Tensor) -> Tensor:
        return super().join(out.sum(1, keepdim=True).expand_as(out))


class Tiled(Layer):
    def share(self, x: Tensor) -> Tensor:
        return x[:, torch.arange(self.h) % self.g]


class OneKeyHead(Layer):
    def share(self, x: Tensor) -> Tensor:
        return x[:, torch.zeros(self.h, dtype=torch.long)]


class SeesFuture(Layer):
    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attend(q, k, v, mask=torch.ones_like(past(q.shape[-2])))


class ScaledByWidth(Layer):
    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attend(q, k, v, scale=1 / math.sqrt(self.h * self.d))


class Unscaled(Layer):
    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attend(q, k, v, scale=1.0)


class AcrossHeads(Layer):
    """Attention with the head axis where the sequence belongs."""

    def split(self, x: Tensor, heads: int) -> Tensor:
        return x.unflatten(-1, (heads, self.d))

    def share(self, x: Tensor) -> Tensor:
        return x[:, :, torch.arange(self.h) // (self.h // self.g)]

    def join(self, out: Tensor) -> Tensor:
        return out.flatten(-2)


class KeysForValues(Layer):
    def forward(self, x: Tensor) -> Tensor:
        q = self.split(self.wq(x), self.h)
        k = self.share(self.split(self.wk(x), self.g))
        return self.wo(self.join(self.attend(q, k, k)))


class ValuesForKeys(Layer):
    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attend(q, v, k)


class Residual(Layer):
    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class Biased(Layer):
    def __init__(self, d_model: int, n_heads: int, n_kv_heads: int):
        super().__init__(d_model, n_heads, n_kv_heads)
        self.wo = nn.Linear(d_model, d_model)


class FullKeys(Layer):
    """A key and a value head for every query head, whatever n_kv_heads says."""

    def __init__(self, d_model: int, n_heads: int, n_kv_heads: int):
        super().__init__(d_model, n_heads, n_heads)


def at_position(difference: Difference) -> str:
    _, i, feature = difference.index
    return (
        f"At position {i}, feature {feature}, yours is {difference.got_here:.3g} and should be "
        f"{difference.expected_here:.3g}."
    )


LAYER = (
    Wrong(
        "no_wo",
        NoOutput,
        "Your output is that of the heads, side by side. wo, which mixes them, was not applied.",
    ),
    Wrong(
        "split_by_view",
        SplitByView,
        "The projections were cut into heads by a reshape alone. (s, h · d) read as (h, s, d) "
        "fills the first head with the first positions: heads and positions are mixed.",
    ),
    Wrong(
        "both_by_view",
        SplitByViewBothWays,
        "Two reshapes, into heads and back, and both mix heads with positions. That the shapes fit "
        "proves nothing: they fit for any order of the axes.",
    ),
    Wrong(
        "join_by_view",
        JoinByView,
        "Cutting into heads is right, and putting them together is not: (h, s, d) was read as "
        "(s, h · d) without bringing the heads next to d first.",
    ),
    Wrong(
        "heads_last",
        HeadsLast,
        "Your head n takes every h-th feature. Heads are blocks of neighbouring features: head 0 "
        "has the first d of them.",
    ),
    Wrong(
        "heads_last_both_ways",
        HeadsLastBothWays,
        "Cut and join agree with each other, and both take every h-th feature for a head. Heads "
        "are blocks of neighbouring features, so these are other heads than the weights mean.",
    ),
    Wrong(
        "heads_reversed",
        HeadsReversed,
        "The heads were put side by side in reverse order: what the last one found comes first.",
    ),
    Wrong(
        "heads_summed",
        HeadsSummed,
        "The outputs of the heads were added up, and every head's place got the sum. They are laid "
        "side by side, each in a place of its own; only wo mixes them.",
    ),
    Wrong(
        "tiled",
        Tiled,
        "Query heads that share a key head should be neighbours. Yours are as far apart as there "
        "are key heads.",
    ),
    Wrong(
        "one_key_head",
        OneKeyHead,
        "All query heads read key and value head 0, and the other key heads are never looked at.",
    ),
    Seen(
        "unmasked",
        SeesFuture,
        "Later tokens were mixed in: the attention is not causal.",
        at_position,
    ),
    Wrong(
        "scale_of_width",
        ScaledByWidth,
        "The logits were divided by the root of d_model. One logit is a sum over the width of one "
        "head.",
    ),
    Wrong("no_scale", Unscaled, "The logits were not divided by the root of the head's width."),
    Wrong(
        "across_heads",
        AcrossHeads,
        "Your heads attend to each other, and no position sees another one. Attention runs over "
        "the last but one axis, and that must be the sequence.",
    ),
    Wrong(
        "keys_for_values",
        KeysForValues,
        "wv was never used: the keys were summed where the values belong.",
    ),
    Wrong(
        "keys_and_values_swapped",
        ValuesForKeys,
        "Keys and values have changed places: the queries were scored against what wv makes.",
    ),
    Wrong(
        "residual",
        Residual,
        "You added the input to the output. A block does that later; the layer returns what the "
        "heads found.",
    ),
    Wrong("parameters", Biased, "The layer has parameters that were not asked for."),
    Wrong("parameter_shape", FullKeys, "A parameter does not have the shape that was asked for."),
)
