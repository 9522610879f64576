"""Exercise 2.4: attention over pairs without the cube, one second key at a time.

Axes: b batch, h head, i query, j first key, k second key, s sequence length, d head_dim, dv size
of a value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch02_memory import MemoryMeter, refuse_cube
from simplex_lib.checks.ch02_output import shift_third
from simplex_lib.checks.compare import as_outputs
from simplex_lib.checks.exercise import Difference, Draw, Exercise, Rejected, Right, Wrong

Pair = tuple[Tensor, Tensor]  # out, lse


def streamed_inputs(draw: Draw, *, b: int, h: int, s: int, d: int, dv: int) -> dict[str, Any]:
    keys = {name: draw.normal(b, h, s, d) for name in ("q", "k1", "k2")}
    # query 0 sees one pair, and dislikes it: with large inputs, all its logits are far below 0
    only = (keys["q"] * keys["k1"] * keys["k2"])[:, :, 0].sum(-1, keepdim=True)
    keys["q"][:, :, 0] *= -only.sign()
    shift_third(**keys)
    return keys | {name: draw.normal(b, h, s, dv) for name in ("v1", "v2")}


def ask_metered(answer: Any, arguments: Mapping[str, Any]) -> Any:
    """Calls the answer and refuses the cube, where s is large enough to tell it from a map."""
    with MemoryMeter() as meter:
        found = answer(*arguments.values())
    b, h, s, _ = arguments["q"].shape
    if s >= 12:
        refuse_cube(meter, b=b, h=h, s=s)
    if [getattr(x, "ndim", 0) for x in as_outputs(found)] == [3, 4]:
        raise Rejected(
            "wrong order",
            "You return two things in the other order: lse (b, h, s) comes first. It should be "
            "out, then lse.",
        )
    return found


def truth_streamed(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    b, h, s, d = q.shape
    out = torch.zeros(b, h, s, v1.shape[-1], dtype=torch.float64)
    lse = torch.zeros(b, h, s, dtype=torch.float64)
    for n in range(b):
        for m in range(h):
            qs, k1s, k2s, v1s, v2s = (x[n, m].tolist() for x in (q, k1, k2, v1, v2))
            for i in range(s):
                pairs = [(j, k) for j in range(i + 1) for k in range(i + 1)]
                scores = [
                    sum(qs[i][c] * k1s[j][c] * k2s[k][c] for c in range(d)) / math.sqrt(d)
                    for j, k in pairs
                ]
                top = max(scores)
                total = sum(math.exp(x - top) for x in scores)
                lse[n, m, i] = top + math.log(total)
                for c in range(v1.shape[-1]):
                    out[n, m, i, c] = sum(
                        math.exp(x - top) / total * v1s[j][c] * v2s[k][c]
                        for (j, k), x in zip(pairs, scores, strict=True)
                    )
    return out, lse


def _step(q: Tensor, k1: Tensor, k2: Tensor, k: int, **change: Any) -> Tensor:
    """Logits (b, h, i, j) of the pairs with this second key; -inf where hidden."""
    s, scale = q.shape[2], change.get("scale", 1 / math.sqrt(q.shape[-1]))
    logits = (q * k2[:, :, k : k + 1]) @ k1.transpose(-1, -2) * scale
    i, j = torch.arange(s)[:, None], torch.arange(s)
    hidden = torch.zeros(s, s, dtype=torch.bool)
    if change.get("mask_first", True):
        hidden = hidden | (j > i)
    if change.get("mask_second", True):
        hidden = hidden | (k > i)
    return logits.masked_fill(hidden, change.get("low", -math.inf))


def _online(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor, **change: Any) -> Pair:
    """The running maximum, with one thing changed at a time."""
    b, h, s, _ = q.shape
    top = q.new_full((b, h, s), change.get("top", -math.inf))
    total = q.new_zeros(b, h, s)
    acc = q.new_zeros(b, h, s, v1.shape[-1])
    for k in range(s):
        logits = _step(q, k1, k2, k, **change)
        new = torch.maximum(top, logits.amax(-1))
        shrink, weights = (top - new).exp(), (logits - new[..., None]).exp()
        total = total * (shrink if change.get("rescale_total", True) else 1) + weights.sum(-1)
        if change.get("rescale_acc", True):
            acc = acc * shrink[..., None]
        value = weights @ v1
        acc = acc + (value * v2[:, :, k : k + 1] if change.get("second_value", True) else value)
        top = new
    out = acc / total[..., None]
    return out, top + total.log() / change.get("base", 1.0)


def wrong_cube(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    s = q.shape[2]
    past = torch.ones(s, s, dtype=torch.bool).tril()
    logits = torch.einsum("bhid,bhjd,bhkd->bhijk", q, k1, k2) / math.sqrt(q.shape[-1])
    logits = logits.masked_fill(~(past[:, :, None] & past[:, None, :]), -math.inf).flatten(-2)
    probs = logits.softmax(-1).unflatten(-1, (s, s))
    out = torch.einsum("bhijk,bhjd,bhkd->bhid", probs, v1, v2)
    return out, logits.logsumexp(-1)


def wrong_kept_maps(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    maps = [_step(q, k1, k2, k) for k in range(q.shape[2])]
    lse = maps[0].logsumexp(-1)
    for logits in maps[1:]:
        lse = torch.logaddexp(lse, logits.logsumexp(-1))
    out = torch.zeros_like(v1)
    for k, logits in enumerate(maps):
        out = out + ((logits - lse[..., None]).exp() @ v1) * v2[:, :, k : k + 1]
    return out, lse


def wrong_no_rescale(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    return _online(q, k1, k2, v1, v2, rescale_acc=False, rescale_total=False)


def wrong_only_total(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    return _online(q, k1, k2, v1, v2, rescale_acc=False)


def wrong_only_acc(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    return _online(q, k1, k2, v1, v2, rescale_total=False)


def wrong_unscaled(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    return _online(q, k1, k2, v1, v2, scale=1.0)


def wrong_scaled_twice(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    return _online(q, k1, k2, v1, v2, scale=1 / q.shape[-1])


def wrong_finite_mask(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    return _online(q, k1, k2, v1, v2, low=-1e4)


def wrong_order(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    out, lse = _online(q, k1, k2, v1, v2)
    return lse, out


def wrong_future_second(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    return _online(q, k1, k2, v1, v2, mask_second=False)


def wrong_future_first(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    return _online(q, k1, k2, v1, v2, mask_first=False)


def wrong_first_value(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    return _online(q, k1, k2, v1, v2, second_value=False)


def wrong_base_2(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    return _online(q, k1, k2, v1, v2, base=math.log(2))


def wrong_top_zero(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    return _online(q, k1, k2, v1, v2, top=0.0)


def wrong_last_lse(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    out, _ = _online(q, k1, k2, v1, v2)
    return out, _step(q, k1, k2, q.shape[2] - 1).logsumexp(-1)


def wrong_last_max(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    """lse from the sum alone: the running maximum is not added back."""
    b, h, s, _ = q.shape
    out, lse = _online(q, k1, k2, v1, v2)
    top = q.new_full((b, h, s), -math.inf)
    for k in range(s):
        top = torch.maximum(top, _step(q, k1, k2, k).amax(-1))
    return out, lse - top


def _units(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    """Each second key's own softmax, added up."""
    out = torch.zeros_like(v1)
    for k in range(q.shape[2]):
        probs = _step(q, k1, k2, k).softmax(-1).nan_to_num(0.0)
        out = out + (probs @ v1) * v2[:, :, k : k + 1]
    return out, _online(q, k1, k2, v1, v2)[1]


def wrong_own_units(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    return _units(q, k1, k2, v1, v2)


def wrong_average(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    out, lse = _units(q, k1, k2, v1, v2)
    return out / torch.arange(1, q.shape[2] + 1, dtype=q.dtype)[:, None], lse


def wrong_average_all(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    out, lse = _units(q, k1, k2, v1, v2)
    return out / q.shape[2], lse


def wrong_empty_softmax(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    out, lse = torch.zeros_like(v1), torch.full_like(q[..., 0], -math.inf)
    for k in range(q.shape[2]):
        logits = _step(q, k1, k2, k)
        part, part_lse = (logits.softmax(-1) @ v1) * v2[:, :, k : k + 1], logits.logsumexp(-1)
        new = torch.logaddexp(lse, part_lse)
        out = out * (lse - new).exp()[..., None] + part * (part_lse - new).exp()[..., None]
        lse = new
    return out, lse


def wrong_overflow(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    acc, total = torch.zeros_like(v1), torch.zeros_like(q[..., 0])
    for k in range(q.shape[2]):
        weights = _step(q, k1, k2, k).exp()
        acc, total = acc + (weights @ v1) * v2[:, :, k : k + 1], total + weights.sum(-1)
    return acc / total[..., None], total.log()


def right_running_maximum(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    return _online(q, k1, k2, v1, v2)


def right_merge_parts(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    """From the last second key to the first; only the queries that see it take part."""
    out, lse = torch.zeros_like(v1), torch.full_like(q[..., 0], -math.inf)
    for k in reversed(range(q.shape[2])):
        logits = _step(q, k1, k2, k)[:, :, k:]
        part, part_lse = (logits.softmax(-1) @ v1) * v2[:, :, k : k + 1], logits.logsumexp(-1)
        new = torch.logaddexp(lse[:, :, k:], part_lse)
        old, fresh = (lse[:, :, k:] - new).exp(), (part_lse - new).exp()
        merged = out[:, :, k:] * old[..., None] + part * fresh[..., None]
        out = torch.cat([out[:, :, :k], merged], dim=2)
        lse = torch.cat([lse[:, :, :k], new], dim=2)
    return out, lse


def right_by_queries(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor) -> Pair:
    rows, all_lse = [], []
    for i in range(q.shape[2]):
        seen = slice(0, i + 1)
        logits = (q[:, :, i : i + 1] * k1[:, :, seen]) @ k2[:, :, seen].transpose(-1, -2)
        logits = logits / math.sqrt(q.shape[-1])
        lse = logits.logsumexp((-2, -1), keepdim=True)
        rows.append((((logits - lse).exp() @ v2[:, :, seen]) * v1[:, :, seen]).sum(2))
        all_lse.append(lse[:, :, 0, 0])
    return torch.stack(rows, 2), torch.stack(all_lse, 2)


def _says_last_lse(x: Difference) -> str:
    return (
        "out is right. Your lse is that of the last second key alone: at query "
        f"{x.index[-1]} it is {x.got_here:.3f}, and over all its pairs it is "
        f"{x.expected_here:.3f}. The sum has to run over every step."
    )


STREAMED = Exercise(
    id="2.4",
    title="Without the cube",
    minutes=15,
    inputs=streamed_inputs,
    sizes=(
        dict(b=1, h=1, s=1, d=1, dv=1),
        dict(b=1, h=2, s=3, d=4, dv=5),
        dict(b=3, h=1, s=5, d=4, dv=2),  # with a third sentence, see shift_third
        dict(b=2, h=3, s=5, d=4, dv=6),
        dict(b=1, h=2, s=13, d=3, dv=4),
    ),
    truth=truth_streamed,
    outputs=("out: b h i d", "lse: b h i"),
    wrong=(
        Wrong("cube", wrong_cube, "Your answer builds the cube."),
        Wrong("cube in pieces", wrong_kept_maps, "Your answer keeps every map."),
        Wrong(
            "no rescale",
            wrong_no_rescale,
            "When a later second key brings a larger maximum, what was added before is still "
            "measured against the old one. Your sums mix two units.",
        ),
        Wrong(
            "only the denominator rescaled",
            wrong_only_total,
            "Your denominator changes its unit when the maximum moves, and so lse is right. The "
            "numerator keeps the old unit.",
        ),
        Wrong(
            "only the numerator rescaled",
            wrong_only_acc,
            "Your numerator changes its unit when the maximum moves, and the denominator keeps the "
            "old one.",
        ),
        Wrong(
            "own units",
            wrong_own_units,
            lambda x: (
                "These are the numbers of a softmax for every second key by itself, added up: "
                f"query {x.index[2]} spends one unit of attention for each second key it sees, "
                f"{x.index[2] + 1} in all. One denominator must hold for all of them."
            ),
        ),
        Wrong(
            "average of softmaxes",
            wrong_average,
            "These are the numbers of a softmax for every second key by itself, then their "
            "average. So each second key gets the same share, whatever its logits say.",
        ),
        Wrong(
            "average over all s",
            wrong_average_all,
            "These are the numbers of a softmax for every second key by itself, added up and "
            "divided by s. Each second key gets the same share, whatever its logits say.",
        ),
        Wrong("lse of the last key", wrong_last_lse, _says_last_lse),
        Wrong(
            "lse without the maximum",
            wrong_last_max,
            "out is right. Your lse is the logarithm of the running sum, and that sum is measured "
            "against the running maximum, which has to come back in.",
        ),
        Wrong(
            "lse to base 2",
            wrong_base_2,
            "out is right. Your lse takes its logarithm to base 2; in this course lse is natural.",
        ),
        Wrong(
            "future second keys",
            wrong_future_second,
            lambda x: (
                f"Query {x.index[2]} reads second keys that come after it: in step k, the queries "
                "before k still take part."
            ),
        ),
        Wrong(
            "future first keys",
            wrong_future_first,
            lambda x: (
                f"Query {x.index[2]} reads first keys that come after it. Inside each step the "
                "mask over j is missing."
            ),
        ),
        Wrong(
            "first value only",
            wrong_first_value,
            "The second value is missing. In step k the mixed first values all meet the same v2_k, "
            "so one product at the end of the step is enough.",
        ),
        Wrong(
            "unscaled",
            wrong_unscaled,
            "The logits of every step lack the factor 1/√d of Eq. 5.",
        ),
        Wrong(
            "scaled twice",
            wrong_scaled_twice,
            "The logits are divided by √d twice. Ordinary attention has a scale inside; was q "
            "scaled before it?",
        ),
        Wrong(
            "finite mask",
            wrong_finite_mask,
            "Hidden logits were set to some finite number, and −10,000, say, is an ordinary "
            "logit: where all visible logits lie lower, the hidden pairs get everything.",
        ),
        Wrong("wrong order", wrong_order, "lse comes first."),
        Wrong(
            "empty softmax",
            wrong_empty_softmax,
            "In step k, the queries before k see nothing: their row is all −inf, and a softmax "
            "of that is NaN. Multiplying NaN by a weight of 0 gives NaN, so it stays for good.",
        ),
        Wrong(
            "maximum from 0",
            wrong_top_zero,
            "It is right for small logits. Your running maximum is never below 0, so where all "
            "logits of a query lie far below 0, every weight rounds to 0, and 0 / 0 is NaN.",
        ),
        Wrong(
            "overflow",
            wrong_overflow,
            "It is right for small logits. For large ones the exponential overflows: no maximum "
            "is subtracted before it.",
        ),
    ),
    right=(
        Right("running maximum", right_running_maximum),
        Right("merge parts by their lse", right_merge_parts),
        Right("one query at a time", right_by_queries),
    ),
    hints=(
        "Fix k. Then q ∘ k2_k is a vector for each query, and its dot products with k1 are the "
        "logits of all pairs (j, k) with this k: an ordinary map (i, j). How do the maps of "
        "different k come under one denominator?",
        "Exercise 1.5 merged blocks of keys with a running maximum, a running sum and an "
        "accumulator. Here a block is one second key. Which queries see it? And what are the "
        "values of the pairs (j, k), for this k?",
        "for k in 0 … s − 1: logits = (q ∘ k2_k) · k1 / √d, −inf where j > i or k > i; "
        "new = max(m, max over j); l = l e^(m − new) + Σ_j e^(logits − new); "
        "acc = acc e^(m − new) + (e^(logits − new) v1) ∘ v2_k; m = new. At the end acc / l and "
        "m + ln l.",
    ),
    why="In step k the pair logits are those of an ordinary map with the query q ∘ k2_k, and v2_k "
    "comes out of the sum over j. Only (b, h, s, s) numbers live at a time: 128 times fewer at "
    "s = 128.",
    another_way="ask an ordinary attention for (out_k, lse_k) in every step, multiply out_k by "
    "v2_k, and merge the steps with weights e^(lse_k − lse). Parts can then be computed in any "
    "order, or on different machines.",
    variants=("float32", "bfloat16", "strided", "large"),
    uses=("dot_product_attention_with_lse", "dot_product_attention"),
    ask=ask_metered,
    same_dtype=False,
)
