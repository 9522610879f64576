"""Exercises of chapter 01: dot-product attention, from logits to a layer.

The mistakes are in `ch01_logits.py` to `ch01_layer.py`, one file an exercise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from simplex_lib.checks.ch01_attention import ATTENTION
from simplex_lib.checks.ch01_grouped import GROUPED
from simplex_lib.checks.ch01_layer import LAYER
from simplex_lib.checks.ch01_logits import LOGITS
from simplex_lib.checks.ch01_online import ONLINE
from simplex_lib.checks.ch01_softmax import SOFTMAX
from simplex_lib.checks.exercise import Draw, Exercise, Rejected, Right

SOFTMAXES = ("softmax", "log_softmax", "logsumexp")
FUSED = ("scaled_dot_product_attention", "multi_head_attention_forward")


# inputs


def qk_inputs(draw: Draw, *, b: int, h: int, s: int, d: int) -> dict[str, Any]:
    return dict(q=draw.normal(b, h, s, d), k=draw.normal(b, h, s, d))


def logits_inputs(draw: Draw, *, b: int, h: int, s: int) -> dict[str, Any]:
    # rows far apart, and in long ones a last key far above the others: when enlarged, a maximum
    # taken over all rows, or over the future, leaves nothing but zeros
    logits = 1.5 * draw.normal(b, h, s, s) + draw.uniform(-12, 12, b, h, s, 1)
    if s > 6:
        logits[..., -1] += 20
    # a second sentence far below, so that a finite number hides no logit; not so far that the
    # plain exponentials vanish
    logits[1:] -= 600
    return dict(logits=logits)


def qkv_inputs(draw: Draw, *, b: int, h: int, s: int, d: int, dv: int) -> dict[str, Any]:
    q, k = draw.normal(b, h, s, d), draw.normal(b, h, s, d)
    q[2:, ..., 0], k[2:, ..., 0] = math.sqrt(d), -100_000  # the logits of a third sentence
    return dict(q=q, k=k, v=draw.normal(b, h, s, dv))


def grouped_inputs(draw: Draw, *, b: int, h: int, g: int, s: int, d: int) -> dict[str, Any]:
    if h % g:
        raise ValueError(f"g must divide h = {h}; got {g}.")
    return dict(q=draw.normal(b, h, s, d), k=draw.normal(b, g, s, d), v=draw.normal(b, g, s, d))


def block_inputs(
    draw: Draw, *, b: int, h: int, s: int, n: int, d: int, block: int
) -> dict[str, Any]:
    # query 0 has negative logits only, so that a maximum that starts at 0 or at -100 shows
    q, k = draw.normal(b, h, s, d), draw.normal(b, h, n, d)
    q[..., 0], k[..., 0] = -q[..., 0].abs(), -1 - k[..., 0].abs()
    q[..., 0, 0] = 8
    return dict(q=q, k=k, v=draw.normal(b, h, n, d), block=block)


def layer_inputs(draw: Draw, *, b: int, s: int, h: int, g: int, d: int) -> dict[str, Any]:
    if h % g:
        raise ValueError(f"g must divide h = {h}; got {g}.")
    width = h * d
    shapes = dict(wq=(width, width), wk=(g * d, width), wv=(g * d, width), wo=(width, width))
    weights = {name: draw.normal(*shape) / math.sqrt(width) for name, shape in shapes.items()}
    return dict(x=2 * draw.normal(b, s, width), **weights, n_heads=h, n_kv_heads=g)


# truths


def truth_logits(q: Tensor, k: Tensor) -> Tensor:
    b, h, s, d = q.shape
    out = torch.zeros(b, h, s, k.shape[2], dtype=torch.float64)
    for n in range(b):
        for m in range(h):
            for i, query in enumerate(q[n, m].tolist()):
                for j, key in enumerate(k[n, m].tolist()):
                    products = [x * y for x, y in zip(query, key, strict=True)]
                    out[n, m, i, j] = sum(products) / math.sqrt(d)
    return out


def truth_weights(row: list[float]) -> tuple[list[float], float]:
    """Softmax and log-sum-exp of one row, in plain Python."""
    top = max(row)
    e = [math.exp(x - top) for x in row]
    return [x / sum(e) for x in e], top + math.log(sum(e))


def truth_softmax(logits: Tensor) -> Tensor:
    out = torch.zeros_like(logits)
    for n, head in enumerate(logits.tolist()):
        for m, rows in enumerate(head):
            for i, row in enumerate(rows):
                for j, weight in enumerate(truth_weights(row[: i + 1])[0]):
                    out[n, m, i, j] = weight
    return out


def truth_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    logits = truth_logits(q, k).tolist()
    out = torch.zeros(*q.shape[:3], v.shape[-1], dtype=torch.float64)
    for n in range(q.shape[0]):
        for m in range(q.shape[1]):
            for i in range(q.shape[2]):
                weights, _ = truth_weights(logits[n][m][i][: i + 1])
                for j, weight in enumerate(weights):
                    out[n, m, i] += weight * v[n, m, j]
    return out


def truth_grouped(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    r = q.shape[1] // k.shape[1]
    heads = [truth_attention(q[:, [n]], k[:, [n // r]], v[:, [n // r]]) for n in range(q.shape[1])]
    return torch.cat(heads, dim=1)


def truth_online(q: Tensor, k: Tensor, v: Tensor, block: int) -> tuple[Tensor, Tensor]:
    logits = truth_logits(q, k).tolist()
    out, lse = torch.zeros_like(q), torch.zeros_like(q[..., 0])
    for n in range(q.shape[0]):
        for m in range(q.shape[1]):
            for i in range(q.shape[2]):
                weights, lse[n, m, i] = truth_weights(logits[n][m][i])
                for j, weight in enumerate(weights):
                    out[n, m, i] += weight * v[n, m, j]
    return out, lse


def truth_layer(
    x: Tensor, wq: Tensor, wk: Tensor, wv: Tensor, wo: Tensor, n_heads: int, n_kv_heads: int
) -> Tensor:
    d, r = x.shape[-1] // n_heads, n_heads // n_kv_heads
    out = torch.zeros_like(x)
    for n in range(n_heads):
        rows, shared = slice(n * d, (n + 1) * d), slice(n // r * d, (n // r + 1) * d)
        q, k, v = x @ wq[rows].T, x @ wk[shared].T, x @ wv[shared].T
        found = truth_attention(q[:, None], k[:, None], v[:, None])[:, 0]
        out += found @ wo[:, rows].T
    return out


# other right answers


def right_logits_by_feature(q: Tensor, k: Tensor) -> Tensor:
    """One rank-one table of scores for each feature, added up."""
    features = zip(q.unbind(-1), k.unbind(-1), strict=True)
    tables = [mine[..., :, None] * theirs[..., None, :] for mine, theirs in features]
    return torch.stack(tables).sum(0) * q.shape[-1] ** -0.5


def right_logits_root_in_two(q: Tensor, k: Tensor) -> Tensor:
    half = q.shape[-1] ** -0.25
    return torch.einsum("bhid,bhjd->bhij", q * half, k * half)


def right_softmax_by_differences(logits: Tensor) -> Tensor:
    """Each weight from its distance to the others in the row; no maximum is needed."""
    out = torch.zeros_like(logits)
    for i in range(logits.shape[-1]):
        row = logits[..., i, : i + 1]
        out[..., i, : i + 1] = 1 / (row[..., None, :] - row[..., :, None]).exp().sum(-1)
    return out


def right_softmax_by_addition(logits: Tensor) -> Tensor:
    """The running logarithm of the sum, key by key, and no mask."""
    logits = logits - logits[..., :1]
    keys = [logits[..., 0]]
    for j in range(1, logits.shape[-1]):
        keys.append(torch.logaddexp(keys[-1], logits[..., j]))
    total = torch.stack(keys, -1).diagonal(dim1=-2, dim2=-1)  # of query i over the keys up to i
    return (logits - total[..., None]).tril().exp().tril()


def right_attention_with_ones(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Numerator and denominator in one product: a column of ones is appended to the values."""
    logits = q @ k.mT * q.shape[-1] ** -0.5
    hidden = torch.ones_like(logits, dtype=torch.bool).triu(1)
    logits = logits.masked_fill(hidden, -math.inf)
    e = (logits - logits.amax(-1, keepdim=True)).exp()
    both = e @ torch.cat([v, torch.ones_like(v[..., :1])], dim=-1)
    return both[..., :-1] / both[..., -1:]


def right_attention_by_query(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """One query at a time, its past cut out: nothing to mask."""
    rows = []
    for i in range(q.shape[-2]):
        logits = (k[..., : i + 1, :] @ q[..., i, :, None]) / math.sqrt(q.shape[-1])
        rows.append((logits.softmax(-2) * v[..., : i + 1, :]).sum(-2))
    return torch.stack(rows, dim=-2)


def right_grouped_view(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """No copy of a key: the query heads get an axis for their place in the group."""
    grouped = q.unflatten(1, (k.shape[1], -1))
    logits = torch.einsum("bgrid,bgjd->bgrij", grouped, k) / math.sqrt(q.shape[-1])
    hidden = torch.ones(logits.shape[-2:], dtype=torch.bool).triu(1)
    probs = logits.masked_fill(hidden, -math.inf).softmax(-1)
    return torch.einsum("bgrij,bgjd->bgrid", probs, v).flatten(1, 2)


def right_grouped_long_query(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The query heads of a group laid end to end, as one long sequence of queries."""
    b, h, s, d = q.shape
    g = k.shape[1]
    long = q.reshape(b, g, h // g * s, d)
    logits = long @ k.mT / math.sqrt(d)
    late = torch.arange(s) > (torch.arange(h // g * s) % s)[:, None]
    return (logits.masked_fill(late, -math.inf).softmax(-1) @ v).reshape(b, h, s, d)


def right_online_parts(q: Tensor, k: Tensor, v: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Finished parts, each with its lse, merged at the end."""
    outs, lses = [], []
    for kb, vb in zip(k.split(block, -2), v.split(block, -2), strict=True):
        logits = q @ kb.mT / math.sqrt(q.shape[-1])
        outs.append(logits.softmax(-1) @ vb)
        lses.append(logits.logsumexp(-1))
    lse = torch.stack(lses)
    share = lse.softmax(0)[..., None]
    return (share * torch.stack(outs)).sum(0), lse.logsumexp(0)


def right_online_twice(q: Tensor, k: Tensor, v: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Two passes over the blocks: the maximum first, the sums then."""
    q = q / math.sqrt(q.shape[-1])
    m = torch.stack([(q @ kb.mT).amax(-1) for kb in k.split(block, -2)]).amax(0)
    total, out = torch.zeros_like(m), torch.zeros_like(q)
    for kb, vb in zip(k.split(block, -2), v.split(block, -2), strict=True):
        e = (q @ kb.mT - m[..., None]).exp()
        total, out = total + e.sum(-1), out + e @ vb
    return out / total[..., None], m + total.log()


class RightHeadByHead(nn.Module):
    """Each head by itself with its slice of the weights, and its own part of wo: no head axis."""

    def __init__(self, d_model: int, n_heads: int, n_kv_heads: int):
        super().__init__()
        self.n_heads, self.d, self.r = n_heads, d_model // n_heads, n_heads // n_kv_heads
        self.wq, self.wo = (nn.Linear(d_model, d_model, bias=False) for _ in range(2))
        self.wk, self.wv = (nn.Linear(d_model, n_kv_heads * self.d, bias=False) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        out = torch.zeros_like(x)
        for n in range(self.n_heads):
            mine = slice(n * self.d, (n + 1) * self.d)
            group = slice(n // self.r * self.d, (n // self.r + 1) * self.d)
            q, k, v = (
                x @ w.weight[rows].T
                for w, rows in ((self.wq, mine), (self.wk, group), (self.wv, group))
            )
            out = out + right_attention_by_query(q, k, v) @ self.wo.weight[:, mine].T
        return out


# how 1.5 and 1.6 are asked


class Widest(TorchDispatchMode):
    """Notes the first tensor that holds logits of all n keys: its last axis is n, or its last two
    are (n, s). A key turned round, (d, n), is none."""

    def __init__(self, s: int, n: int, d: int):
        super().__init__()
        self.s, self.n, self.d = s, n, d
        self.seen: tuple[int, ...] | None = None

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else the first use imports torch._dynamo, which takes seconds

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for x in tree_leaves(made):
            if self.seen is None and isinstance(x, Tensor) and x.ndim > 1 and x.is_floating_point():
                end = x.shape[-2:]
                if end == (self.n, self.s) or (end[1] == self.n and end[0] != self.d):
                    self.seen = tuple(x.shape)
        return made


def ask_in_blocks(answer: Any, arguments: Mapping[str, Any]) -> Any:
    """Ask, and reject an answer that makes logits of all keys at once."""
    (s, d), n, block = arguments["q"].shape[-2:], arguments["k"].shape[-2], arguments["block"]
    with Widest(s, n, d) as widest:
        value = answer(*arguments.values())
    moderate = float(arguments["q"].abs().max()) < 50
    if moderate and isinstance(value, tuple) and value and all(map(_all_nan, value)):
        raise Rejected(
            "all_nan",
            "All your numbers are NaN, in out and in lse. Infinity minus infinity, infinity times "
            "0 and 0 / 0 give that. Where m starts at infinity, look at the first block: what is "
            "your factor on the old sums there, and what are the exponentials?",
        )
    if widest.seen is None or block >= n or n in (s, d) or s == d:
        return value
    made = f"With {s} queries, {n} keys and blocks of {block}, your answer makes a tensor of shape "
    if widest.seen[-2:] in ((s, n), (n, s)):
        raise Rejected(
            "whole",
            f"{made}{widest.seen}: the logits of all keys at once. Only ({s}, {block}) of them "
            "should exist at any time; that is what the blocks are for.",
        )
    raise Rejected(
        "blocks_of_queries",
        f"{made}{widest.seen}: some queries at a time, each with all its {n} keys at once. It is "
        f"the keys that come {block} at a time, so no row is ever whole.",
    )


def _all_nan(x: Any) -> bool:
    return isinstance(x, Tensor) and bool(x.isnan().all())


def ask_layer(answer: Any, arguments: Mapping[str, Any]) -> Any:
    """Build the class, look at its parameters, load seeded weights, call it."""
    x, n_heads, n_kv_heads = (arguments[n] for n in ("x", "n_heads", "n_kv_heads"))
    weights = {f"{n}.weight": arguments[n] for n in ("wq", "wk", "wv", "wo")}
    if isinstance(answer, nn.Module):
        raise Rejected(
            "instance", "Give the check the class itself. It builds layers of many sizes."
        )
    layer = answer(x.shape[-1], n_heads, n_kv_heads)
    built = (
        f"With d_model = {x.shape[-1]}, n_heads = {n_heads} and n_kv_heads = {n_kv_heads} the layer"
    )
    if not isinstance(layer, nn.Module):
        raise Rejected(
            "not_a_module", f"Calling your class gives a {type(layer).__name__}, not an nn.Module."
        )
    found = dict(layer.named_parameters())
    missing = [name for name in weights if name not in found]
    extra = [name for name in found if name not in weights]
    if missing or extra:
        has = f"{built} should have the parameters {', '.join(weights)}."
        lacks = f" Yours lacks {', '.join(missing)}." if missing else ""
        more = f" Yours also has {', '.join(extra)}." if extra else ""
        raise Rejected("parameters", has + lacks + more)
    for name, weight in weights.items():
        if found[name].shape != weight.shape:
            raise Rejected(
                "parameter_shape",
                f"{built} should have a {name} of shape {tuple(weight.shape)}; yours has "
                f"{tuple(found[name].shape)}. (nn.Linear keeps its weight as (out, in).)",
            )
    layer.to(x.dtype).load_state_dict(weights, strict=False)
    with torch.no_grad():
        return layer.eval()(x)


EXERCISES = (
    Exercise(
        id="1.1",
        title="Logits",
        minutes=5,
        inputs=qk_inputs,
        sizes=(dict(b=1, h=1, s=2, d=3), dict(b=1, h=2, s=1, d=2), dict(b=2, h=3, s=5, d=4)),
        smallest=dict(s=2, d=2),
        truth=truth_logits,
        outputs=("logits: b h i j",),
        wrong=LOGITS,
        right=(
            Right("one feature at a time", right_logits_by_feature),
            Right("half of the scale on each side", right_logits_root_in_two),
        ),
        hints=(
            "One logit is one number: the dot product of one query with one key. How many numbers "
            "are added up in it, and what does that do to its spread?",
            "Write the letters: q has b, h, i, d; k has b, h, j, d; the result has b, h, i, j. "
            "Then find d in the shape of q.",
            "logits = einsum of q and k with the letters of the statement; "
            "divide by the square root of q's last size.",
        ),
        why="Every query of a head meets every key of the same head, d is summed, and the root of "
        "d brings the spread back to 1.",
        another_way="Scale q before the product instead of the logits after it: s · d numbers to "
        "multiply in place of s · s.",
        variants=("large", "strided", "float32", "bfloat16"),
        forbids=FUSED,
    ),
    Exercise(
        id="1.2",
        title="A causal softmax that does not overflow",
        minutes=10,
        inputs=logits_inputs,
        sizes=(
            dict(b=1, h=1, s=3),
            dict(b=1, h=1, s=1),
            dict(b=2, h=1, s=5),
            dict(b=2, h=3, s=9),
        ),
        smallest=dict(s=2),
        truth=truth_softmax,
        outputs=("probs: b h i j",),
        wrong=SOFTMAX,
        right=(
            Right("by differences", right_softmax_by_differences),
            Right("running log-sum-exp", right_softmax_by_addition),
        ),
        hints=(
            "Three steps: hide, exponentiate, divide. Which of them can go wrong when a logit is "
            "1,000, and what may you subtract from a whole row without changing its softmax?",
            "Hide first: a logit of minus infinity has exponential 0, and the largest of a row is "
            "then the largest visible one. Keep the last axis (keepdim), so that each row loses a "
            "number of its own.",
            "hidden = True where j > i; x = logits with minus infinity where hidden; "
            "x = x - (largest of each row); e = exp(x); return e / (sum of each row of e).",
        ),
        why="Subtracting a row's largest visible logit makes the largest exponential exactly 1: "
        "nothing overflows, and the sum is at least 1, so nothing is divided by 0. And why minus "
        "infinity before the softmax and not 0 after it? Then the row would sum to less than 1.",
        another_way="`(x - x.logsumexp(-1, keepdim=True)).exp()` is the same. That one number a "
        "row is the `lse` which exercise 1.5 returns.",
        variants=("large", "offset", "strided", "float32", "bfloat16"),
        forbids=(*SOFTMAXES, *(f"special_{name}" for name in SOFTMAXES), *FUSED),
    ),
    Exercise(
        id="1.3",
        title="Attention",
        minutes=5,
        inputs=qkv_inputs,
        sizes=(
            dict(b=1, h=1, s=2, d=3, dv=2),
            dict(b=1, h=1, s=1, d=2, dv=1),
            dict(b=3, h=1, s=3, d=3, dv=2),
            dict(b=2, h=3, s=5, d=4, dv=2),
        ),
        smallest=dict(s=2, d=2),
        truth=truth_attention,
        outputs=("out: b h i d",),
        wrong=ATTENTION,
        right=(
            Right("a column of ones", right_attention_with_ones),
            Right("query by query", right_attention_by_query),
        ),
        hints=(
            "Attention is a weighted mean of values. What must query 0, which sees nothing but "
            "itself, return?",
            "Three lines: scores, weights, mean. The first two are exercises 1.1 and 1.2; in the "
            "third, which letter is summed?",
            "logits = (1.1); probs = (1.2); out = einsum of probs with letters b h i j and "
            "v with b h j d, keeping b h i d.",
        ),
        why="A weighted mean of the values of the past. Query 0 returns its own value, and nothing "
        "that comes later can move an earlier output.",
        another_way="Append a column of ones to v and multiply it by the bare exponentials: the "
        "last column becomes the denominator. The kernels of chapter 09 carry both sums along too.",
        forbids=FUSED,
    ),
    Exercise(
        id="1.4",
        title="Query heads that share keys",
        minutes=5,
        inputs=grouped_inputs,
        sizes=(
            dict(b=1, h=4, g=2, s=3, d=2),
            dict(b=1, h=1, g=1, s=2, d=2),
            dict(b=1, h=3, g=1, s=3, d=2),
            dict(b=2, h=6, g=2, s=4, d=3),
            dict(b=2, h=6, g=3, s=5, d=3),
        ),
        smallest=dict(h=2, s=2, d=2),
        truth=truth_grouped,
        outputs=("out: b h i d",),
        wrong=GROUPED,
        right=(
            Right("an axis for the group", right_grouped_view),
            Right("one long query", right_grouped_long_query),
        ),
        hints=(
            "With 6 query heads and 2 key heads, write down which key head each of the six reads. "
            "Neighbours share.",
            "The key head of query head n is n divided by the size of a group, rounded down. Look "
            "for the PyTorch function that repeats each element in place, not the whole row.",
            "r = h / g; give k and v each of their heads r times in a row, along the head axis; "
            "then attention as in 1.3.",
        ),
        why="Only where keys and values come from has changed. Attention itself does not know that "
        "a key is shared.",
        another_way="Without copying a key: view q as (b, g, r, s, d) and let the letter g match, "
        "`bgrid,bgjd->bgrij`. The kernels of chapter 11 get their speed from exactly this view.",
        forbids=FUSED,
    ),
    Exercise(
        id="1.5",
        title="Online softmax",
        minutes=15,
        inputs=block_inputs,
        sizes=(
            dict(b=1, h=1, s=2, n=2, d=1, block=4),
            dict(b=1, h=1, s=3, n=3, d=2, block=1),
            dict(b=1, h=2, s=3, n=5, d=4, block=2),
            dict(b=2, h=3, s=5, n=7, d=4, block=3),
        ),
        smallest=dict(s=2, n=3, block=2),
        truth=truth_online,
        outputs=("out: b h i d", "lse: b h i"),
        wrong=ONLINE,
        right=(
            Right("merge finished parts", right_online_parts),
            Right("two passes", right_online_twice),
        ),
        hints=(
            "Three things are remembered for each query: the largest logit so far, m; the sum of "
            "exponentials measured from it, l; the sum of values weighted by them, acc. What "
            "happens to l and acc when m grows from 2 to 5?",
            "A term exp(x - 2) becomes exp(x - 5) when it is multiplied by exp(2 - 5). The same "
            "factor serves l and acc. With m at minus infinity in the beginning, it is 0.",
            "for each block: x = scaled logits of this block; new = larger of m and x's row "
            "maximum; f = exp(m - new); p = exp(x - new); l = f·l + row sums of p; "
            "acc = f·acc + p times the block's values; m = new. "
            "Return acc / l, and m plus the logarithm of l.",
        ),
        why="m only chooses the unit in which l and acc are kept; it cancels in both results. So "
        "the block size changes what must be held at a time, and nothing else.",
        another_way="Finish each block by itself as a pair (out, lse) and merge: the parts weigh "
        "with the softmax of their lse. In chapter 02 you merge over second keys that way.",
        variants=("large", "strided", "float32"),
        forbids=FUSED,
        ask=ask_in_blocks,
    ),
    Exercise(
        id="1.6",
        title="A multi-head layer",
        minutes=10,
        inputs=layer_inputs,
        sizes=(
            dict(b=1, s=3, h=2, g=2, d=2),
            dict(b=1, s=1, h=1, g=1, d=2),
            dict(b=1, s=4, h=4, g=2, d=1),
            dict(b=2, s=5, h=4, g=2, d=3),
        ),
        smallest=dict(s=2, h=2, d=2),
        truth=truth_layer,
        outputs=("out: b s d_model",),
        wrong=LAYER,
        right=(Right("head by head", RightHeadByHead),),
        hints=(
            "The layer makes queries, keys and values from one stream, cuts each into heads, lets "
            "every head attend, puts the heads side by side and mixes them. Only the four matrices "
            "are learned.",
            "Cutting is two steps: the last axis becomes (heads, d), and then heads and positions "
            "change places. Putting together is the same two steps backwards.",
            "q = split(wq(x)), k = split(wk(x)), v = split(wv(x)); out = attention of q, k, v; "
            "return wo(join(out)), where split: (b, s, h·d) to (b, s, h, d) to (b, h, s, d), and "
            "join undoes it.",
        ),
        why="Heads are blocks of neighbouring features, and wo is the only place where what one "
        "head found meets what another found.",
        another_way="Let einsum place the heads: with w viewed as (h, d, d_model), "
        '`einsum("bsm,hdm->bhsd", x, w)` projects and cuts at once.',
        kind="module",
        uses=("dot_product_attention",),
        forbids=("multi_head_attention_forward",),
        ask=ask_layer,
    ),
)
