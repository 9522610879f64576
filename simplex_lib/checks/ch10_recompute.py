"""Exercise 10.2: probabilities again from lse, and delta.

Axes: b batch, h head, i query, j first key and k second key of a tile, dv size of a value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch05_common import Word, require_words
from simplex_lib.checks.exercise import Draw, Exercise, Right, Wrong, call_with_arguments

HIGH, LOW, USUAL = Word(1, "high"), Word(2, "low"), Word(3, "usual")
LN_2 = math.log(2)
Answer = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Any, Any]]


def recompute_inputs(
    draw: Draw, *, b: int, h: int, i: int, j: int, k: int, dv: int, numbers: int
) -> dict[str, Any]:
    """A tile of the pairs of i queries: the first two first keys and the first second key are
    outside it, and they are all that query 0 sees. HIGH: e to the power of a logit is inf in
    places, LOW: 0 everywhere."""
    require_words(numbers, sizes=(b, h, i, j, k, dv))
    logits = draw.normal(b, h, i, j + 2, k + 1)
    if numbers == HIGH:
        logits = 600 * logits
    if numbers == LOW:  # many ties
        logits = draw.integers(-2, 3, *logits.shape).double() - 5000
    query, first, second = (torch.arange(n) for n in (i, j + 2, k + 1))
    sees_first = first <= query[:, None] + 1
    sees_second = second <= query[:, None]
    visible = sees_first[:, :, None] & sees_second[:, None]
    logits = logits.masked_fill(~visible, -math.inf)
    probs = logits.flatten(-2).softmax(-1).view_as(logits)
    values = draw.normal(b, h, j + 2, dv), draw.normal(b, h, k + 1, dv)
    return dict(
        logits=logits[..., 2:, 1:].clone(),
        lse=logits.logsumexp((-2, -1)),
        out=torch.einsum("bhijk,bhjd,bhkd->bhid", probs, *values),
        dout=draw.normal(b, h, i, dv),
    )


def truth_recompute(
    logits: Tensor, lse: Tensor, out: Tensor, dout: Tensor
) -> tuple[Tensor, Tensor]:
    probs, delta = torch.zeros_like(logits), torch.zeros_like(lse)
    for at in torch.cartesian_prod(*(torch.arange(n) for n in lse.shape)).tolist():
        query = tuple(at)
        row, total = logits[query], float(lse[query])
        for j, k in torch.cartesian_prod(*(torch.arange(n) for n in row.shape)).tolist():
            probs[query][j, k] = math.exp(float(row[j, k]) - total)
        pairs = zip(out[query].tolist(), dout[query].tolist(), strict=True)
        delta[query] = sum(x * y for x, y in pairs)
    return probs, delta


def probs_of(logits: Tensor, lse: Tensor) -> Tensor:
    return (logits - lse[..., None, None]).exp()


def delta_of(out: Tensor, dout: Tensor) -> Tensor:
    return (out * dout).sum(-1)


def answer(
    probs: Callable[[Tensor, Tensor], Tensor] = probs_of,
    delta: Callable[[Tensor, Tensor], Tensor] = delta_of,
    both: Callable[[Tensor, Tensor], tuple[Any, Any]] = lambda probs, delta: (probs, delta),
) -> Answer:
    """The right answer, or one with a part changed."""

    def probs_and_delta(
        logits: Tensor, lse: Tensor, out: Tensor, dout: Tensor
    ) -> tuple[Tensor, Tensor]:
        return both(probs(logits, lse), delta(out, dout))

    return probs_and_delta


def right_in_base_two(
    logits: Tensor, lse: Tensor, out: Tensor, dout: Tensor
) -> tuple[Tensor, Tensor]:
    """As a kernel does it: exp2, cut off at 1, and delta as a product of a row with a column."""
    below = (logits - lse[..., None, None]).clamp(max=0)
    return (below / LN_2).exp2(), (out[..., None, :] @ dout[..., None])[..., 0, 0]


def _over_tile(logits: Tensor, _: Tensor) -> Tensor:
    return logits.flatten(-2).softmax(-1).view_as(logits)


def _once_more(logits: Tensor, lse: Tensor) -> Tensor:
    probs = probs_of(logits, lse)
    return probs / probs.sum((-2, -1), keepdim=True)


def _over_second(logits: Tensor, _: Tensor) -> Tensor:
    return logits.softmax(-1)


def _quotient(logits: Tensor, lse: Tensor) -> Tensor:
    return logits.exp() / lse.exp()[..., None, None]


def ask_recompute(answer: Any, arguments: Mapping[str, Any]) -> Any:
    """Numbers far above a probability keep six digits: two ways of writing a mistake round
    differently, and what is 1e200 in both should be the same."""
    found = call_with_arguments(answer, arguments)
    if not isinstance(found, tuple):
        return found
    return tuple(_six_digits(x) for x in found)


def _six_digits(x: Any) -> Any:
    if not isinstance(x, Tensor) or x.dtype != torch.float64:
        return x
    far = x.isfinite() & (x.abs() > 1e6)
    step = 10 ** (torch.where(far, x.abs(), 1.0).log10().floor() - 5)
    return torch.where(far, (x / step).round() * step, x)


RECOMPUTE = Exercise(
    id="10.2",
    title="Probabilities again, and delta",
    minutes=6,
    inputs=recompute_inputs,
    sizes=(
        dict(b=1, h=1, i=2, j=1, k=3, dv=4, numbers=USUAL),
        dict(b=1, h=2, i=5, j=4, k=3, dv=6, numbers=HIGH),
        dict(b=2, h=1, i=3, j=2, k=4, dv=1, numbers=LOW),
        dict(b=2, h=3, i=6, j=4, k=5, dv=7, numbers=USUAL),
    ),
    truth=truth_recompute,
    outputs=("probs: b h i j k", "delta: b h i"),
    wrong=(
        Wrong(
            "normalised over the tile",
            answer(_over_tile),
            "The softmax runs over the pairs of the tile, so they share the whole unit among them, "
            "and a query that sees none of them gets NaN. The softmax of the layer runs over all "
            "pairs; what lies outside the tile is in lse.",
        ),
        Wrong(
            "normalised over the tile, NaN removed",
            answer(lambda logits, lse: _over_tile(logits, lse).nan_to_num(0.0)),
            "The softmax runs over the pairs of the tile, so they share the whole unit among them. "
            "The softmax of the layer runs over all pairs; what lies outside the tile is in lse.",
        ),
        Wrong(
            "normalised once more",
            answer(_once_more),
            "e to the power of logit − lse is right, and you divide it by its sum over the tile. "
            "The tile holds some of the pairs; its probabilities need not sum to 1.",
        ),
        Wrong(
            "normalised over k alone",
            answer(_over_second),
            "The softmax runs over the second keys of the tile alone, and lse is not used.",
        ),
        Wrong(
            "a quotient of two exponentials",
            answer(_quotient),
            "It is right while the numbers are moderate. e to the power of a large logit is inf, "
            "of a very low one 0, and inf / inf and 0 / 0 are NaN. Subtract before you "
            "exponentiate.",
        ),
        Wrong(
            "powers of 2",
            answer(lambda logits, lse: (logits - lse[..., None, None]).exp2()),
            "You raise 2 to the power of logit − lse. Both are natural: the base is e.",
        ),
        Wrong(
            "mixed bases",
            answer(lambda logits, lse: (logits / LN_2 - lse[..., None, None]).exp2()),
            "lse counts only ln 2 times what it should: two bases in one difference. That happens "
            "where the logits are brought to base 2 and lse is not, or where lse is taken as if it "
            "had been stored to base 2. It is the natural logarithm, and the logits are natural "
            "too. The kernels that the authors released mix the bases as well, when they store "
            "lse.",
        ),
        Wrong(
            "mixed bases, lse to base 2",
            answer(lambda logits, lse: probs_of(logits, lse / LN_2)),
            "lse is divided by ln 2, which brings it to base 2, while the logits are natural: two "
            "bases in one difference.",
        ),
        Wrong(
            "ln 2 for its inverse",
            answer(lambda logits, lse: ((logits - lse[..., None, None]) * LN_2).exp2()),
            "You raise 2 to the power of (logit − lse) · ln 2. e to the power of x is 2 to the "
            "power of x / ln 2.",
        ),
        Wrong(
            "base 2 in the exponent, e below",
            answer(lambda logits, lse: ((logits - lse[..., None, None]) / LN_2).exp()),
            "The exponent is brought to base 2, and the base below it is still e.",
        ),
        Wrong(
            "divided by lse",
            answer(lambda logits, lse: logits.exp() / lse[..., None, None]),
            "e to the power of the logit is divided by lse. lse is the logarithm of what it is to "
            "be divided by.",
        ),
        Wrong(
            "exp left out",
            answer(lambda logits, lse: logits - lse[..., None, None]),
            "logits − lse is the logarithm of a probability.",
        ),
        Wrong(
            "lse added",
            answer(lambda logits, lse: probs_of(logits, -lse)),
            "lse is added to the logits, and it is to be subtracted.",
        ),
        Wrong(
            "delta averaged",
            answer(delta=lambda out, dout: (out * dout).mean(-1)),
            "The probabilities are right. delta is the sum over the coordinates of out · dout, and "
            "yours is their mean.",
        ),
        Wrong(
            "an axis left over",
            answer(delta=lambda out, dout: (out * dout).sum(-1, keepdim=True)),
            "The probabilities are right. delta has an axis of size 1 left over, as keepdim leaves "
            "it; asked is (b, h, i).",
        ),
        Wrong(
            "delta over the queries",
            answer(delta=lambda out, dout: (out * dout).sum(-2)),
            "The probabilities are right. delta sums over the queries, so a number for each "
            "coordinate is left. Every query has a delta of its own.",
        ),
        Wrong(
            "delta not summed",
            answer(delta=lambda out, dout: out * dout),
            "The probabilities are right. out · dout is not summed over its coordinates.",
        ),
        Wrong(
            "delta of all queries",
            answer(delta=lambda out, dout: out @ dout.mT),
            "The probabilities are right. out @ doutᵀ is the product of every query's out with "
            "every query's dout; delta needs those of one and the same query.",
        ),
        Wrong(
            "delta without dout",
            answer(delta=lambda out, dout: out.sum(-1)),
            "The probabilities are right. Your delta is the sum of out, and dout is missing in it.",
        ),
        Wrong(
            "delta without out",
            answer(delta=lambda out, dout: dout.sum(-1)),
            "The probabilities are right. Your delta is the sum of dout, and out is missing in it.",
        ),
        Wrong(
            "delta of out with itself",
            answer(delta=lambda out, dout: (out * out).sum(-1)),
            "The probabilities are right. Your delta is the sum of out · out, and dout is missing "
            "in it.",
        ),
        Wrong(
            "delta of absolute values",
            answer(delta=lambda out, dout: (out * dout).abs().sum(-1)),
            "The probabilities are right. Your delta sums absolute values of out · dout.",
        ),
        Wrong(
            "delta of lengths",
            answer(delta=lambda out, dout: out.norm(dim=-1) * dout.norm(dim=-1)),
            "The probabilities are right. Your delta is the length of out times that of dout, "
            "without the angle between them.",
        ),
        Wrong(
            "product of two sums",
            answer(delta=lambda out, dout: out.sum(-1) * dout.sum(-1)),
            "The probabilities are right. Your delta is the sum of out times the sum of dout. "
            "Multiply coordinate by coordinate, then sum.",
        ),
        Wrong(
            "delta negative",
            answer(delta=lambda out, dout: -delta_of(out, dout)),
            "The probabilities are right, and delta has the wrong sign.",
        ),
        Wrong(
            "delta of the tile",
            answer(both=lambda probs, delta: (probs, probs.sum((-2, -1)) * delta)),
            "The probabilities are right. delta is multiplied by what the tile's probabilities sum "
            "to. It is a sum over all pairs already, and the same for every tile.",
        ),
        Wrong(
            "order of the outputs",
            answer(both=lambda probs, delta: (delta, probs)),
            "Both are right, and they come in the wrong order: first probs, then delta.",
        ),
    ),
    right=(
        Right("subtract, exponentiate", answer()),
        Right("in base two, cut off at 1", right_in_base_two),
    ),
    hints=(
        "The forward pass divided every e^logit of a query by one and the same number. What is "
        "its logarithm called? And of what is out_i already a sum over all pairs?",
        "e^a / e^b is e^(a − b), and the second form stays finite. For delta write out "
        "Σ_jk P_ijk Σ_d dout_id v1_jd v2_kd and pull dout out of the sum over the pairs: what "
        "stands behind it?",
        "probs = exp(logits − lse), lse with two axes of size 1 for j and k; delta = the sum over "
        "d of out × dout.",
    ),
    why="One number a query, and the softmax over all pairs can be had again in any tile, by "
    "itself: that is why a kernel stores lse and not the probabilities. delta spares it a whole "
    "pass over the pairs.",
    another_way="torch.linalg.vecdot(out, dout). Near P = 1 rounding can put a logit above its "
    "lse when both are large, so the library's kernels cut logits − lse off at 0.",
    ask=ask_recompute,
    variants=("float32", "bfloat16", "strided"),
    smallest=dict(i=2, numbers=USUAL),
)
