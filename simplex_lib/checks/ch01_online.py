"""Mistakes that learners make in exercise 1.5, online softmax."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from simplex_lib.checks.ch01_common import INF, Seen, past
from simplex_lib.checks.exercise import Difference, Wrong

Pair = tuple[Tensor, Tensor]


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
