"""Mistakes of exercises 1.5 and 1.6: online softmax over key blocks, and the layer.

All of 1.5 is one loop with one switch a mistake, all of 1.6 one layer with one part replaced.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from simplex_lib.checks.ch01_wrong import Seen, attend, past
from simplex_lib.checks.exercise import Difference, Wrong

INF = float("inf")
Pair = tuple[Tensor, Tensor]


# 1.5 online softmax


def online(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    block: int,
    *,
    scale: float | None = None,
    m_start: float = -INF,
    keep_old_max: bool = True,
    rescale_l: bool = True,
    rescale_acc: bool = True,
    inverse: bool = False,
    no_max: bool = False,
    one_max: bool = False,
    causal: bool = False,
    whole_blocks_only: bool = False,
    pad: bool = False,
    divide: bool = True,
    divide_each: bool = False,
    lse: str = "right",
) -> Pair:
    n = k.shape[-2]
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    m = torch.full_like(q[..., 0], m_start)
    l = torch.zeros_like(m)  # noqa: E741  # the letter of the paper
    acc = torch.zeros_like(q)
    for start in range(0, n - block + 1 if whole_blocks_only else n, block):
        kb, vb = k[..., start : start + block, :], v[..., start : start + block, :]
        if pad:
            missing = (0, 0, 0, block - kb.shape[-2])
            kb, vb = nn.functional.pad(kb, missing), nn.functional.pad(vb, missing)
        logits = q @ kb.transpose(-1, -2) * scale
        if causal:
            logits = logits.masked_fill(~past(n)[: q.shape[-2], start : start + block], -INF)
        m_new = logits.max().expand_as(m) if one_max else logits.amax(-1)
        if keep_old_max:
            m_new = torch.maximum(m, m_new)
        if no_max:
            m = m_new = torch.zeros_like(m)
        # with m at minus infinity the inverse would be infinite, and all that follows NaN
        kept = (m_new - m if inverse and start else m - m_new).exp()
        p = (logits - m_new[..., None]).exp()
        l = (kept * l if rescale_l else l) + p.sum(-1)  # noqa: E741
        acc = (kept[..., None] * acc if rescale_acc else acc) + p @ vb
        if divide_each:
            acc = acc / l[..., None]
        m = m_new
    out = acc / l[..., None] if divide else acc
    ends = {
        "right": m + l.log(),
        "no m": l.log(),
        "no log": m + l,
        "base 2": (m + l.log()) / math.log(2),
        "mixed": m + l.log2(),
        "m": m,
        "l": l,
        "minus": m - l.log(),
    }
    return out, ends[lse]


def online_mean_of_blocks(q: Tensor, k: Tensor, v: Tensor, block: int) -> Pair:
    parts = []
    for kb, vb in zip(k.split(block, -2), v.split(block, -2), strict=True):
        parts.append((q @ kb.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1) @ vb)
    return torch.stack(parts).mean(0), online(q, k, v, block)[1]


def online_whole(q: Tensor, k: Tensor, v: Tensor, block: int) -> Pair:
    logits = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    return logits.softmax(-1) @ v, logits.logsumexp(-1)


def online_blocks_of_queries(q: Tensor, k: Tensor, v: Tensor, block: int) -> Pair:
    parts = [online_whole(rows, k, v, block) for rows in q.split(block, -2)]
    return torch.cat([out for out, _ in parts], -2), torch.cat([lse for _, lse in parts], -1)


def online_first_block(q: Tensor, k: Tensor, v: Tensor, block: int) -> Pair:
    return online(q, k[..., :block, :], v[..., :block, :], block)


def online_last_state(q: Tensor, k: Tensor, v: Tensor, block: int) -> Pair:
    start = (k.shape[-2] - 1) // block * block
    return online(q, k[..., start:, :], v[..., start:, :], block)


def keys_read(difference: Difference) -> str:
    n, block = difference.case.sizes["n"], difference.case.sizes["block"]
    return f"With {n} keys and blocks of {block} you read {n // block * block} keys."


def keys_added(difference: Difference) -> str:
    n = -difference.case.sizes["n"] % difference.case.sizes["block"]
    keys = "one key that does" if n == 1 else f"{n} keys that do"
    return f"The last block counts {keys} not exist."


def two_lse(difference: Difference) -> str:
    here, want = difference.got_here, difference.expected_here
    return f"out is right. Your lse is {here:.3g} where {want:.3g} is right."


ONLINE = (
    Wrong(
        "acc_not_rescaled",
        partial(online, rescale_acc=False),
        "l follows a growing maximum and acc does not. What acc held before was measured from the "
        "old maximum, what came after from the new one: two units in one sum.",
    ),
    Wrong(
        "l_not_rescaled",
        partial(online, rescale_l=False),
        "acc follows a growing maximum and l does not. The sum of exponentials still holds terms "
        "measured from an older, smaller maximum, so it is too large.",
    ),
    Wrong(
        "nothing_rescaled",
        partial(online, rescale_l=False, rescale_acc=False),
        "Your sums start from one maximum and go on with another. When a later block brings a "
        "larger logit, what was collected before counts too much, in l and in acc.",
    ),
    Wrong(
        "max_of_block_kept_sums",
        partial(online, keep_old_max=False, rescale_l=False, rescale_acc=False),
        "Each block is measured from its own maximum, and the blocks are added as if that were the "
        "same for all. A block of small logits then weighs as much as a block of large ones.",
    ),
    Wrong(
        "max_of_block",
        partial(online, keep_old_max=False),
        "m is the largest logit of the last block, not of all keys so far. Moderate numbers come "
        "out right, but where a block lies far below an earlier one, the factor on the old sums "
        "goes beyond what a float64 can hold.",
    ),
    Wrong(
        "max_from_zero",
        partial(online, m_start=0.0),
        "Your maximum starts at a finite number, as if there were a key with that logit. A query "
        "whose logits are all far below it keeps that maximum, all its exponentials become 0, and "
        "l with them.",
    ),
    Wrong(
        "inverse",
        partial(online, inverse=True),
        "The factor on the old sums is upside down: when the maximum grows, the old terms should "
        "shrink, and yours grow. (Line 21 of Algorithm 1 in arXiv:2407.08608 prints it this way.)",
    ),
    Wrong(
        "no_max",
        partial(online, no_max=True),
        "Moderate logits come out right. But nothing is subtracted before the exponential, and "
        "float64 has none of more than 709 and takes that of less than -745 for 0.",
    ),
    Wrong(
        "one_max",
        partial(online, one_max=True),
        "You subtract one maximum from all rows. Where all logits of a query lie far below "
        "it, their exponentials are 0, and 0 / 0 is NaN. Every query keeps an m of its own.",
    ),
    Wrong(
        "causal",
        partial(online, causal=True),
        "A causal mask was applied: your query i reads the keys up to i. Here every query reads "
        "all keys.",
    ),
    Seen(
        "last_block",
        partial(online, whole_blocks_only=True),
        "The last block is shorter than the others and was left out.",
        keys_read,
    ),
    Wrong(
        "first_block",
        online_first_block,
        "These are the numbers of the first block alone. Does the loop return before it has come "
        "to the others?",
    ),
    Wrong(
        "last_state",
        online_last_state,
        "These are the numbers of the last block alone: what the earlier ones left in m, l and acc "
        "was overwritten.",
    ),
    Seen(
        "padded",
        partial(online, pad=True),
        "The last block was filled up with keys of zeros. Such a key has logit 0, not minus "
        "infinity, and takes its share of every query.",
        keys_added,
    ),
    Wrong(
        "mean_of_blocks",
        online_mean_of_blocks,
        "Your output is the plain mean of the blocks' outputs. A block with larger logits deserves "
        "more of the query's one unit.",
    ),
    Wrong(
        "not_divided",
        partial(online, divide=False),
        "acc is returned as it is. It is the sum of the values times their exponentials, and these "
        "do not sum to 1.",
    ),
    Wrong(
        "divided_each_block",
        partial(online, divide_each=True, divide=False),
        "acc is divided by l in every block. What was divided once by an older l is then "
        "divided again; the division belongs after the last block.",
    ),
    Wrong(
        "divided_each_block, and at the end",
        partial(online, divide_each=True),
        "acc is divided by l in every block, and once more after the last. One division, after "
        "the last block, is enough.",
    ),
    Wrong(
        "no_scale",
        partial(online, scale=1.0),
        "The blocks are merged rightly. The logits were not divided by the root of d.",
    ),
    Seen(
        "lse_without_m",
        partial(online, lse="no m"),
        "The logarithm of l alone is measured from m.",
        two_lse,
    ),
    Seen(
        "lse_without_log",
        partial(online, lse="no log"),
        "l was added to m as it is, without a logarithm.",
        two_lse,
    ),
    Seen(
        "lse_base_2",
        partial(online, lse="base 2"),
        "The logarithm was taken to base 2, and e is meant.",
        two_lse,
    ),
    Seen(
        "lse_mixed_bases",
        partial(online, lse="mixed"),
        "m counts powers of e, and you added a logarithm that counts powers of 2.",
        two_lse,
    ),
    Seen("lse_is_m", partial(online, lse="m"), "You returned m, the largest logit.", two_lse),
    Seen(
        "lse_is_l",
        partial(online, lse="l"),
        "You returned l, the sum of exponentials measured from m.",
        two_lse,
    ),
    Seen(
        "lse_minus",
        partial(online, lse="minus"),
        "The logarithm of l was subtracted from m.",
        two_lse,
    ),
    Wrong("whole", online_whole, "Your answer holds the logits of all keys at once."),
    Wrong(
        "blocks_of_queries",
        online_blocks_of_queries,
        "Your blocks are blocks of queries, and each of them meets all keys at once.",
    ),
)


# 1.6 the layer


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
