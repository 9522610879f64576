"""Exercise 5.8: differential attention.

Axes: b batch, h head, i query, j key, s sequence length, d head_dim, dv size of a value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch05_common import past
from simplex_lib.checks.exercise import Draw, Exercise, Right, Wrong


def diff_inputs(draw: Draw, *, b: int, h: int, s: int, d: int, dv: int) -> dict[str, Any]:
    """All logits of a third sentence lie about 3e10 below 0, and no digit of them is lost."""
    inputs = {name: draw.normal(b, h, s, d) for name in ("q1", "q2", "k1", "k2")}
    for name, x in inputs.items():
        x[2:] = (4 * x[2:]).round() / 4
        x[2:, ..., 0] = 2 if name[0] == "q" else -(2.0**35)
    return inputs | dict(v=draw.normal(b, h, s, dv), lam=draw.uniform(-0.5, 1.5, 1)[0])


def truth_diff(q1: Tensor, q2: Tensor, k1: Tensor, k2: Tensor, v: Tensor, lam: Tensor) -> Tensor:
    b, h, s, d = q1.shape
    out = torch.zeros_like(v)
    for n, m in torch.cartesian_prod(torch.arange(b), torch.arange(h)).tolist():
        for queries, keys, sign in ((q1, k1, 1.0), (q2, k2, -float(lam))):
            query, key = queries[n, m].tolist(), keys[n, m].tolist()
            for i in range(s):
                scores = [sum(x * y for x, y in zip(query[i], k, strict=True)) for k in key]
                seen = scores[: i + 1]
                weights = [math.exp((x - max(seen)) / math.sqrt(d)) for x in seen]
                for j, weight in enumerate(weights):
                    out[n, m, i] += sign * weight / sum(weights) * v[n, m, j]
    return out


def scores(q: Tensor, k: Tensor, scale: float | None = None) -> Tensor:
    return q @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)


def probs(
    q: Tensor, k: Tensor, *, low: float = -math.inf, scale: float | None = None, dim: int = -1
) -> Tensor:
    return scores(q, k, scale).masked_fill(~past(q.shape[2]), low).softmax(dim)


def unmasked(q: Tensor, k: Tensor) -> Tensor:
    return scores(q, k).softmax(-1)


def masked_late(q: Tensor, k: Tensor) -> Tensor:
    return scores(q, k).softmax(-1).tril()


def full_width(q: Tensor, k: Tensor) -> Tensor:
    return probs(q, k, scale=(2 * q.shape[-1]) ** -0.5)


def scaled_twice(q: Tensor, k: Tensor) -> Tensor:
    return probs(q, k, scale=1 / q.shape[-1])


def unscaled(q: Tensor, k: Tensor) -> Tensor:
    return probs(q, k, scale=1.0)


def over_queries(q: Tensor, k: Tensor) -> Tensor:
    return scores(q, k).masked_fill(~past(q.shape[2]), -math.inf).softmax(-2)


Map = Callable[[Tensor, Tensor], Tensor]
Join = Callable[[Tensor, Tensor, Tensor], Tensor]  # first map, second map, lam


def difference(first: Tensor, second: Tensor, lam: Tensor) -> Tensor:
    return first - lam * second


def steps(
    join: Join = difference, *, one: Map = probs, two: Map | None = None, both: Map | None = None
) -> Callable[..., Tensor]:
    """Two maps and their difference, with one thing changed at a time."""
    first, second = (both, both) if both else (one, two or probs)

    def answer(q1: Tensor, q2: Tensor, k1: Tensor, k2: Tensor, v: Tensor, lam: Tensor) -> Tensor:
        return join(first(q1, k1), second(q2, k2), lam) @ v

    return answer


def arranged(*order: int) -> Callable[..., Tensor]:
    """Other tensors in the places of q1, q2, k1, k2."""

    def answer(*x: Tensor) -> Tensor:
        return steps()(*(x[n] for n in order), *x[4:])

    return answer


def finite(low: float) -> Map:
    return lambda q, k: probs(q, k, low=low)


def divided(q: Tensor, k: Tensor, by: int) -> Tensor:
    """Divides by a root; far below 0 the digits differ from those of a factor."""
    return (q @ k.mT / math.sqrt(by)).masked_fill(~past(q.shape[2]), -math.inf).softmax(-1)


def divided_by_full_width(q: Tensor, k: Tensor) -> Tensor:
    return divided(q, k, 2 * q.shape[-1])


def divided_by_values(*x: Tensor) -> Tensor:
    return steps(both=lambda q, k: divided(q, k, x[4].shape[-1]))(*x)


def wrong_weights(q1: Tensor, q2: Tensor, k1: Tensor, k2: Tensor, v: Tensor, lam: Tensor) -> Tensor:
    return difference(probs(q1, k1), probs(q2, k2), lam)


def scale_of_values(*x: Tensor) -> Tensor:
    return steps(both=lambda q, k: probs(q, k, scale=x[4].shape[-1] ** -0.5))(*x)


def one_softmax(q1: Tensor, q2: Tensor, k1: Tensor, k2: Tensor, v: Tensor, lam: Tensor) -> Tensor:
    logits = scores(q1, k1) - lam * scores(q2, k2)
    return logits.masked_fill(~past(v.shape[2]), -math.inf).softmax(-1) @ v


def joint_softmax(q1: Tensor, q2: Tensor, k1: Tensor, k2: Tensor, v: Tensor, lam: Tensor) -> Tensor:
    """One softmax over the keys of both maps."""
    both = torch.stack([scores(q1, k1), scores(q2, k2)], -1)
    hidden = ~past(v.shape[2])[..., None]
    first, second = (
        both.masked_fill(hidden, -math.inf).flatten(-2).softmax(-1).view_as(both).unbind(-1)
    )
    return (first - lam * second) @ v


def softmax_again(first: Tensor, second: Tensor, lam: Tensor) -> Tensor:
    new = difference(first, second, lam)
    return new.masked_fill(~past(new.shape[-1]), -math.inf).softmax(-1)


def right_by_rows(q1: Tensor, q2: Tensor, k1: Tensor, k2: Tensor, v: Tensor, lam: Tensor) -> Tensor:
    """One query at a time, which needs no mask."""
    rows, scale = [], q1.shape[-1] ** -0.5
    for i in range(v.shape[2]):
        maps = [
            ((q[:, :, i : i + 1] * scale) @ k[:, :, : i + 1].mT).softmax(-1)
            for q, k in ((q1, k1), (q2, k2))
        ]
        rows.append((maps[0] - lam * maps[1]) @ v[:, :, : i + 1])
    return torch.cat(rows, 2)


def right_two_outputs(
    q1: Tensor, q2: Tensor, k1: Tensor, k2: Tensor, v: Tensor, lam: Tensor
) -> Tensor:
    """Both maps as heads of one attention, subtracted after the values."""
    out = probs(torch.cat([q1, q2], 1), torch.cat([k1, k2], 1)) @ torch.cat([v, v], 1)
    first, second = out.chunk(2, 1)
    return first - lam * second


DIFF = Exercise(
    id="5.8",
    title="Differential attention",
    minutes=6,
    inputs=diff_inputs,
    sizes=(
        dict(b=1, h=1, s=1, d=1, dv=2),
        dict(b=1, h=1, s=2, d=4, dv=1),
        dict(b=1, h=2, s=6, d=3, dv=5),
        dict(b=3, h=2, s=5, d=4, dv=6),
        dict(b=2, h=3, s=7, d=5, dv=4),
    ),
    truth=truth_diff,
    outputs=("out: b h i dv",),
    wrong=(
        Wrong(
            "maps added",
            steps(lambda first, second, lam: first + lam * second),
            "The second map is added. It is taken away from the first.",
        ),
        Wrong(
            "lam on the first map",
            steps(lambda first, second, lam: lam * first - second),
            "lam multiplies the first map. It is the weight of the second.",
        ),
        Wrong(
            "lam on both maps",
            steps(lambda first, second, lam: lam * (first - second)),
            "lam multiplies the whole difference. It is the weight of the second map alone.",
        ),
        Wrong(
            "lam missing",
            steps(lambda first, second, lam: first - second),
            "The second map is taken away whole: `lam` changes nothing in your numbers.",
        ),
        Wrong(
            "one minus lam",
            steps(lambda first, second, lam: first - (1 - lam) * second),
            "The second map has the weight 1 − lam in yours. It has the weight lam.",
        ),
        Wrong(
            "one minus lam on the first map",
            steps(lambda first, second, lam: (1 - lam) * first - lam * second),
            "The first map has the weight 1 − lam in yours. It has the weight 1.",
        ),
        Wrong(
            "times one minus lam",
            steps(lambda first, second, lam: (1 - lam) * difference(first, second, lam)),
            "The result is multiplied by 1 − lam. (The paper's layer has such a factor behind its "
            "norm, with the start of lam in it; this is the attention alone.)",
        ),
        Wrong(
            "renormalised",
            steps(lambda first, second, lam: difference(first, second, lam) / (1 - lam)),
            "The rows were divided by their sum, 1 − lam. Nothing is normalised after the "
            "difference.",
        ),
        Wrong(
            "first map only",
            steps(lambda first, second, lam: first),
            "This is ordinary attention with q1 and k1: the second map is missing.",
        ),
        Wrong(
            "maps exchanged",
            arranged(1, 0, 3, 2),
            "The maps have changed places: the one of q1 and k1 is taken away from the other.",
        ),
        Wrong(
            "keys crossed",
            arranged(0, 1, 3, 2),
            "q1 meets k2 in yours and q2 meets k1. Each query has its own key.",
        ),
        Wrong(
            "queries with queries",
            arranged(0, 2, 1, 3),
            "q1 meets q2 in yours and k1 meets k2. The arguments come as q1, q2, k1, k2, and q1 "
            "meets k1, q2 meets k2.",
        ),
        Wrong(
            "weights returned",
            wrong_weights,
            "You returned the difference of the maps, the weights. The product with v is missing.",
        ),
        Wrong(
            "one query",
            arranged(0, 0, 2, 3),
            "q2 changes nothing in your numbers: q1 meets both keys.",
        ),
        Wrong(
            "one key",
            arranged(0, 1, 2, 2),
            "k2 changes nothing in your numbers: k1 meets both queries.",
        ),
        Wrong(
            "one softmax",
            one_softmax,
            "The logits were subtracted, and one softmax taken of the difference. Two softmaxes "
            "come first, and their maps are subtracted: no softmax has negative weights.",
        ),
        Wrong(
            "softmax again",
            steps(softmax_again),
            "A third softmax was taken of the difference of the maps. The difference is used as it "
            "is, negative weights included.",
        ),
        Wrong(
            "joint softmax",
            joint_softmax,
            "One softmax was taken over the keys of both maps together. Each map sums to 1.",
        ),
        Wrong(
            "negatives cut",
            steps(lambda first, second, lam: difference(first, second, lam).clamp(min=0)),
            "Negative weights were put to 0. They stay.",
        ),
        Wrong(
            "absolute values",
            steps(lambda first, second, lam: difference(first, second, lam).abs()),
            "Negative weights lost their sign. They stay negative.",
        ),
        Wrong(
            "no mask",
            steps(both=unmasked),
            "Neither map is causal: every query attends to its future.",
        ),
        Wrong(
            "no mask on the second",
            steps(two=unmasked),
            "The first map is causal. The second is not: what it takes away comes from the future "
            "too.",
        ),
        Wrong(
            "no mask on the first",
            steps(one=unmasked),
            "The second map is causal. The first is not: it attends to the future.",
        ),
        Wrong(
            "masked after the softmax",
            steps(both=masked_late),
            "The future is put to 0 after the softmaxes: it has taken its share already, and the "
            "rest of a row no longer sums to 1.",
        ),
        Wrong(
            "finite mask",
            steps(both=finite(-1e9)),
            "The future is hidden by a finite number. That is an ordinary logit: where all logits "
            "of the past lie lower, the future gets everything.",
        ),
        Wrong(
            "no scale",
            steps(both=unscaled),
            "The logits are not divided by the square root of d, the last size of q1.",
        ),
        Wrong(
            "scaled twice",
            steps(both=scaled_twice),
            "The logits are divided by d. The square root of d is asked.",
        ),
        Wrong(
            "scale of the full width",
            steps(both=full_width),
            "The logits are divided by the root of 2 d, the width of both queries together. One "
            "logit is a sum over d products.",
        ),
        Wrong(
            "divided by the full width",
            steps(both=divided_by_full_width),
            "The logits are divided by √(2 d). Each logit is a sum over d products, of one query "
            "and one key: it is divided by √d.",
        ),
        Wrong(
            "scale of the values",
            scale_of_values,
            "The logits are divided by the root of dv, the size of a value. One logit is a sum "
            "over the d products of a query and a key.",
        ),
        Wrong(
            "divided by the root of dv",
            divided_by_values,
            "The logits are divided by √dv, and v has no part in them. Each is a sum over d "
            "products: it is divided by √d.",
        ),
        Wrong(
            "softmax over queries",
            steps(both=over_queries),
            "The softmaxes run over the queries: your columns sum to 1. For each query the keys "
            "share one unit.",
        ),
    ),
    right=(
        Right("two maps", steps()),
        Right("query by query", right_by_rows),
        Right("two outputs", right_two_outputs),
    ),
    hints=(
        "Which of these happens twice: the logits, the mask, the softmax, the product with v?",
        "Write one small function for a causal softmax map of a query and a key, and call it "
        "twice.",
        "map(q, k) = softmax over j of q kᵀ / sqrt(d), −inf where j > i; (map(q1, k1) − lam * "
        "map(q2, k2)) times v.",
    ),
    why="What both maps give to every key alike is taken away, like noise that two microphones "
    "share. It is head mixing after the softmax, with a row (1, −lam): exercise 5.4 can learn it.",
    another_way="two ordinary attentions with the same values, and the second output, times lam, "
    "taken away from the first: the product with v is linear.",
    forbids=("scaled_dot_product_attention",),
)
