"""Exercise 10.1: the five gradients of attention over pairs, by hand.

Its wrong answers are in `ch10_gradients_slips.py`, each the right one with a step changed, and
what is said of them in `ch10_gradients_wrong.py`.
Axes: b batch, h head, i query, j first key, k second key, s sequence length, d head_dim, dv size
of a value.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks import ch10_gradients_slips as slips
from simplex_lib.checks.ch05_common import Word, require_words
from simplex_lib.checks.ch10_gradients_ask import ask_gradients
from simplex_lib.checks.ch10_gradients_wrong import WRONG
from simplex_lib.checks.exercise import Draw, Exercise, Right

HIGH, LOW, USUAL = Word(1, "high"), Word(2, "low"), Word(3, "usual")
FORBIDDEN = ("grad", "backward", "vjp", "jvp", "_engine_run_backward")


def gradients_inputs(
    draw: Draw, *, b: int, h: int, s: int, d: int, dv: int, logits: int
) -> dict[str, Any]:
    """HIGH: some logits beyond what exp can hold. LOW: all logits below -10 ** 9, many tied."""
    require_words(logits, sizes=(b, h, s, d, dv))
    x = {name: draw.normal(b, h, s, d) for name in ("q", "k1", "k2")}
    scale = 0.37
    if logits == HIGH:
        x["q"] = 1500 * x["q"]
    if logits == LOW:  # halves and a power of two: the logits are exact in any order of sums
        x = {name: draw.integers(-2, 3, b, h, s, d).double() / 2 for name in x}
        x["q"][..., 0], x["k1"][..., 0], x["k2"][..., 0] = 2**32, 1, -1
        scale = 0.25  # takes 2 ** 30 off every logit
    values = {name: draw.normal(b, h, s, dv) for name in ("v1", "v2", "dout")}
    return x | values | dict(scale=scale)


def truth_gradients(
    q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor, dout: Tensor, scale: float
) -> tuple[Tensor, ...]:
    """The output query by query over the pairs of its past, differentiated by autograd."""
    inputs = [x.clone().requires_grad_() for x in (q, k1, k2, v1, v2)]
    loss = torch.zeros((), dtype=torch.float64)
    b, h, s, _ = q.shape
    for n in range(b):
        for m in range(h):
            one_q, one_k1, one_k2, one_v1, one_v2 = (x[n, m] for x in inputs)
            for i in range(s):
                pairs = [(j, k) for j in range(i + 1) for k in range(i + 1)]
                first, second = (torch.tensor(at) for at in zip(*pairs, strict=True))
                triples = one_q[i] * one_k1[first] * one_k2[second]
                probs = (scale * triples.sum(-1)).softmax(0)
                out = (probs[:, None] * one_v1[first] * one_v2[second]).sum(0)
                loss = loss + (out * dout[n, m, i]).sum()
    return torch.autograd.grad(loss, inputs)


def right_by_queries(
    q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor, dout: Tensor, scale: float
) -> tuple[Tensor, ...]:
    """One query after the other, with the pairs of its past alone, and delta from its output."""
    dq, dk1, dk2 = (torch.zeros_like(x) for x in (q, k1, k2))
    dv1, dv2 = torch.zeros_like(v1), torch.zeros_like(v2)
    for i in range(q.shape[2]):
        past = slice(0, i + 1)
        first, second, one = k1[:, :, past], k2[:, :, past], slice(i, i + 1)
        logits = (scale * q[:, :, one] * first) @ second.mT
        probs = logits.flatten(-2).softmax(-1).view_as(logits)  # (b, h, j, k)
        mixed = probs @ v2[:, :, past]  # (b, h, j, dv)
        out = (mixed * v1[:, :, past]).sum(2, keepdim=True)
        delta = (out * dout[:, :, one]).sum(-1, keepdim=True)
        dprobs = (dout[:, :, one] * v1[:, :, past]) @ v2[:, :, past].mT
        dlogits = scale * probs * (dprobs - delta)
        dq[:, :, one] = ((dlogits @ second) * first).sum(2, keepdim=True)
        dk1[:, :, past] += q[:, :, one] * (dlogits @ second)
        dk2[:, :, past] += q[:, :, one] * (dlogits.mT @ first)
        dv1[:, :, past] += dout[:, :, one] * mixed
        dv2[:, :, past] += dout[:, :, one] * (probs.mT @ v1[:, :, past])
    return dq, dk1, dk2, dv1, dv2


GRADIENTS = Exercise(
    id="10.1",
    title="The five gradients",
    minutes=15,
    inputs=gradients_inputs,
    sizes=(
        dict(b=1, h=2, s=1, d=3, dv=4, logits=USUAL),
        dict(b=1, h=1, s=3, d=2, dv=4, logits=USUAL),
        dict(b=1, h=2, s=4, d=3, dv=5, logits=LOW),
        dict(b=3, h=1, s=4, d=5, dv=2, logits=HIGH),
        dict(b=2, h=3, s=5, d=4, dv=6, logits=USUAL),
    ),
    truth=truth_gradients,
    outputs=("dq: b h i d", "dk1: b h j d", "dk2: b h k d", "dv1: b h j dv", "dv2: b h k dv"),
    wrong=WRONG,
    right=(
        Right("five einsums", slips.ByHand()),
        Right("query by query", right_by_queries),
    ),
    hints=(
        "Go back step by step from out: first to P and the two values (one product of three), then "
        "through the softmax, then from the logits to q, k1 and k2 (another product of three). "
        "Which steps did exercise 1.1 not have?",
        "Every gradient of a product of three is a sum of the two others with what arrives. Its "
        "letters tell over what to sum: those that the result does not have. For the softmax: what "
        "is sum_jk dS of one query, if adding a constant to all its logits changes nothing?",
        "probs as in exercise 2.2, of scale · logits; dv1[j] = Σ_ik P dout[i] v2[k], dv2 alike; "
        "dP = Σ_d dout[i] v1[j] v2[k]; delta[i] = Σ_jk P dP; dS = P (dP − delta) · scale; dq[i] = "
        "Σ_jk dS k1[j] k2[k]; dk1[j] = Σ_ik dS q[i] k2[k]; dk2[k] = Σ_ij dS q[i] k1[j].",
    ),
    why="Six einsums with three letters more or fewer, and one line that is not a product: the way "
    "back through the softmax. The paper prints the sum index of dK' as i, k and leaves the scale "
    "out of its last three formulas; finite differences tell in a minute.",
    another_way="fix one k. Then q ∘ k2[k] is a query, dout ∘ v2[k] a gradient, and each formula "
    "becomes that of dot-product attention. That is how the kernels of this chapter do it.",
    forbids=FORBIDDEN,
    ask=ask_gradients,
    smallest=dict(s=2, logits=USUAL),
)
