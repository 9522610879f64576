"""Exercise 6.4: one training step.

Its wrong and right answers are in `ch06_steps.py`.
Axes: b texts, t tokens, a letters of an answer, v vocabulary, d width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from simplex_lib.checks.ch06_steps import (
    both_averages,
    by_hand,
    clip_each,
    clip_value,
    no_log,
    normalise,
    right_functional,
    right_last_only,
    softmax_twice,
    step,
    sum_of_letters,
    sum_of_texts,
)
from simplex_lib.checks.exercise import Draw, Exercise, Rejected, Right, Wrong

STEPS, MOMENTUM, RATES = 3, 0.9, (0.3, 0.7)


def step_inputs(
    draw: Draw, *, b: int, t: int, a: int, v: int, d: int, gain: int, left: int
) -> dict[str, Any]:
    """gain: of the weights, so that gradients are short or long; left - 1: of the gradients
    that are there before the first step."""
    if a > t:
        raise ValueError("an answer is no longer than the text")
    return dict(
        embedding=gain * draw.normal(v, d),
        head=draw.normal(v, d),
        left=(left - 1) * draw.normal(v, d),
        tokens=draw.integers(0, v, STEPS, b, t),
        answers=draw.integers(0, v, STEPS, b, a),
    )


class Reader(nn.Module):
    """Logits from the running mean of embeddings; in train mode some features are dropped,
    always the same ones."""

    def __init__(self, embedding: Tensor, head: Tensor) -> None:
        super().__init__()
        self.embedding, self.head = nn.Parameter(embedding), nn.Parameter(head)

    def forward(self, tokens: Tensor, last: int | None = None) -> Tensor:
        stream = self.embedding[tokens]  # (b, t, d)
        count = torch.arange(1, tokens.shape[1] + 1, dtype=stream.dtype)
        stream = (stream + stream.cumsum(1) / count[:, None]).tanh()
        if self.training:
            kept = torch.arange(stream.shape[-1]) % 3 != 1
            stream = 1.5 * stream * kept
        logits = stream @ self.head.T
        return logits if last is None else logits[:, -last:]


def ask_step(answer: Any, arguments: Mapping[str, Any]) -> Any:
    """Three steps of a model that was measured before each of them."""
    model = Reader(arguments["embedding"].clone(), arguments["head"].clone())
    groups = zip((model.embedding, model.head), RATES, strict=True)
    optimizer = torch.optim.SGD([dict(params=[p], lr=lr) for p, lr in groups], momentum=MOMENTUM)
    if arguments["left"].any():
        model.embedding.grad = arguments["left"].clone()
        model.head.grad = arguments["left"].clone()
    met: list[float] = []  # norms of the gradients that the optimizer finds

    def note(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        closure = len(given) > 1 or any(named.values())  # it runs backward later
        met.append(float("nan") if closure else _norm(model))

    optimizer.register_step_pre_hook(note)
    losses, embeddings, heads = [], [], []
    for tokens, answers in zip(arguments["tokens"], arguments["answers"], strict=True):
        model.eval()
        before = [p.detach().clone() for p in model.parameters()]
        met.clear()
        found = answer(model, optimizer, tokens, answers)
        if found is None:
            return None
        losses.append(_loss(found))
        _require_step(model, before, met)
        embeddings.append(model.embedding.detach().clone())
        heads.append(model.head.detach().clone())
    return torch.tensor(losses, dtype=torch.float64), torch.stack(embeddings), torch.stack(heads)


def _norm(model: nn.Module) -> float:
    """Of all gradients together, -1 where there are none."""
    gradients = [p.grad.norm() for p in model.parameters() if p.grad is not None]
    return float(torch.stack(gradients).norm()) if gradients else -1.0


def _require_step(model: nn.Module, before: list[Tensor], met: list[float]) -> None:
    """One step of the optimizer, which finds gradients, and clipped ones if they ever are."""
    moved = any(not torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))
    left = _norm(model)
    if not met and moved:
        raise Rejected(
            "by hand",
            "The weights move, and the optimizer that was given takes no step. It keeps more than "
            "a learning rate, momentum for instance, so let it move them.",
        )
    if not met:
        raise Rejected(
            "no step",
            "The optimizer takes no step, so no weight moves. Gradients alone change nothing.",
        )
    if len(met) > 1:
        raise Rejected(
            "more than one step", f"The optimizer takes {len(met)} steps in one call. Asked is one."
        )
    if met[0] <= 0 < left:
        raise Rejected(
            "step before backward",
            "When the optimizer takes its step it finds no gradients, and after it there are some: "
            "backward runs too late for this step.",
        )
    if met[0] <= 0:
        raise Rejected(
            "no gradients",
            "When the optimizer takes its step it finds no gradients. Either backward has not run "
            "before it, or the gradients were cleared in between.",
        )
    if met[0] > 1.01 and abs(left - 1) < 1e-3:
        raise Rejected(
            "clipped too late",
            f"The optimizer uses gradients whose norm is {met[0]:.3f}, and they are clipped after "
            "that.",
        )


def _loss(found: Any) -> float:
    if isinstance(found, Tensor) and found.numel() == 1:
        if found.requires_grad:
            raise Rejected(
                "graph",
                "The loss that you return still carries its graph, and with it every activation "
                "of the step: kept in a list of losses, they fill the memory. Return a float.",
            )
        return found.item()
    if isinstance(found, bool) or not isinstance(found, Real):
        kind = type(found).__name__
        if isinstance(found, Tensor):
            kind = f"tensor of shape {tuple(found.shape)}"
        raise Rejected(
            "type", f"A step should return one number, the loss; yours returns a {kind}."
        )
    return float(found)


def truth_step(
    embedding: Tensor, head: Tensor, left: Tensor, tokens: Tensor, answers: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss by loops, gradients by autograd, clipping and momentum by their formulas."""
    weights, speeds = [embedding, head], [torch.zeros_like(embedding), torch.zeros_like(head)]
    losses, history = [], []
    for x, y in zip(tokens, answers, strict=True):
        model = Reader(weights[0].clone(), weights[1].clone()).train()
        logits, total = model(x), torch.zeros((), dtype=torch.float64)
        b, a = y.shape
        for text in range(b):
            for letter in range(a):
                at = logits[text, x.shape[1] - a + letter]
                total = total + at.exp().sum().log() - at[y[text, letter]]
        loss = total / (b * a)
        gradients = torch.autograd.grad(loss, (model.embedding, model.head))
        norm = sum(float((g**2).sum()) for g in gradients) ** 0.5
        factor = min(1.0, 1.0 / norm)
        speeds = [MOMENTUM * s + factor * g for s, g in zip(speeds, gradients, strict=True)]
        weights = [w - lr * s for w, lr, s in zip(weights, RATES, speeds, strict=True)]
        losses.append(loss.detach())
        history.append(weights)
    return (
        torch.stack(losses),
        torch.stack([w[0] for w in history]),
        torch.stack([w[1] for w in history]),
    )


STEP = Exercise(
    id="6.4",
    title="The training step",
    minutes=12,
    inputs=step_inputs,
    sizes=(
        dict(b=2, t=5, a=1, v=4, d=3, gain=1, left=1),
        dict(b=3, t=6, a=2, v=5, d=4, gain=1, left=1),
        dict(b=1, t=4, a=3, v=7, d=5, gain=3, left=1),
        dict(b=4, t=7, a=5, v=6, d=8, gain=2, left=4),
        dict(b=3, t=9, a=1, v=6, d=7, gain=1, left=2),
        dict(b=5, t=8, a=4, v=12, d=6, gain=1, left=3),
    ),
    truth=truth_step,
    outputs=("loss: step", "embedding: step token d", "head: step token d"),
    wrong=(
        Wrong(
            "gradients kept",
            step(zero=None),
            "The gradients of earlier steps, or those that were left from before, are still there "
            "when yours are added to them.",
        ),
        Wrong(
            "gradients cleared at the end",
            step(zero="end"),
            "You clear the gradients after the step. Whatever was left by somebody else before "
            "the first step is still in it: clear them before backward.",
        ),
        Wrong("no gradients", step(zero="after backward"), "Refused by its gradients."),
        Wrong("no step", step(optimize=False), "Refused by its weights."),
        Wrong("more than one step", step(steps=2), "Refused by its steps."),
        Wrong(
            "step before backward",
            step(optimize="before", zero="end before"),
            "Refused by its gradients.",
        ),
        Wrong(
            "no clipping",
            step(clip=None),
            "It is right while gradients are short. The optimizer uses long ones as they are, "
            "where their norm, all together, is to be at most 1. What clips them has to stand "
            "between backward and the step.",
        ),
        Wrong("clipped too late", step(clip="end"), "Refused by its gradients."),
        Wrong(
            "clipped one by one",
            step(clip=clip_each),
            "You clip the gradient of each parameter by itself. Asked is one norm for all "
            "together, so that the direction of the step stays.",
        ),
        Wrong(
            "clipped by value",
            step(clip=clip_value),
            "You clip every single number of the gradients to the range from −1 to 1. Asked is the "
            "norm of all together.",
        ),
        Wrong(
            "always norm 1",
            step(clip=normalise),
            "You bring every gradient to norm 1, the short ones too. Clipping changes only those "
            "that are longer.",
        ),
        Wrong(
            "all positions",
            step(positions="all"),
            "Your loss is taken at all positions, each predicting its next token. Letters of the "
            "text cannot be known before they are read; only the answer's letters count.",
        ),
        Wrong(
            "the text alone",
            step(positions="text"),
            "Your loss compares each token of tokens with the one before it, and reads no answers. "
            "The last letter of an answer is not in tokens, and letters of the text cannot be "
            "known before they are read.",
        ),
        Wrong(
            "first positions",
            step(positions="start"),
            "Your loss compares answers with the logits of the first tokens, as many as an answer "
            "has letters. The answer is predicted at the last ones.",
        ),
        Wrong(
            "one position early",
            step(positions="early"),
            "You compare the logits one position too early. The logits at a token predict the "
            "token that comes next, and the last token of the answer is not in tokens.",
        ),
        Wrong(
            "last letter alone",
            step(positions="last"),
            "Only the last letter of each answer is in your loss.",
        ),
        Wrong(
            "first letter alone",
            step(positions="first"),
            "Only the first letter of each answer is in your loss.",
        ),
        Wrong(
            "last position for all",
            step(positions="same"),
            "You compare the logits of the last token with every letter of the answer. Each letter "
            "is predicted at a position of its own.",
        ),
        Wrong(
            "summed",
            step(loss=both_averages(False)),
            "You add the losses of all letters of all texts up. Asked is their mean.",
        ),
        Wrong(
            "letters summed",
            step(loss=sum_of_letters),
            "You add the losses of the letters of an answer up and average over the texts. Asked "
            "is the mean over all letters of all texts.",
        ),
        Wrong(
            "texts summed",
            step(loss=sum_of_texts),
            "You average over the letters of an answer and add the texts up. Asked is the mean "
            "over all letters of all texts.",
        ),
        Wrong(
            "softmax twice",
            step(loss=softmax_twice),
            "A softmax is taken of the logits, and cross-entropy takes another of its result.",
        ),
        Wrong(
            "no logarithm",
            step(loss=no_log),
            "Your loss is the mean of −p, p being the probability of the right letter. "
            "Cross-entropy is the mean of −log p.",
        ),
        Wrong(
            "perplexity",
            step(returned=math.exp),
            "The weights are right. You return e to the power of the loss, the perplexity; asked "
            "is the loss.",
        ),
        Wrong(
            "eval mode",
            step(train=False),
            "The model is still in the eval mode of the measurement before, so its dropout does "
            "nothing while it trains.",
        ),
        Wrong(
            "loss after the step",
            step(again=True),
            "The weights are right. The loss that you return is taken after the step; asked is "
            "the one whose gradients were used.",
        ),
        Wrong("by hand", by_hand, "Refused by its optimizer."),
        Wrong("graph", step(graph=True), "Refused by its graph."),
    ),
    right=(
        Right("the last positions alone", right_last_only),
        Right("loss by log-softmax, clipping by its formula", right_functional),
    ),
    hints=(
        "Say the order aloud before you write it: which mode, which loss, when are old gradients "
        "cleared, when are new ones made, when are they clipped, when are they used?",
        "logits[:, -a:] stand at the last a positions, a being the width of answers. cross_entropy "
        "wants one row for each letter: flatten texts and letters of both together.",
        "train mode; logits of the last a positions; loss = cross_entropy of (b a, v) against "
        "(b a); clear the gradients; backward; clip the norm of all parameters to 1; step; return "
        "the loss as a float.",
    ),
    why="Five lines, and their order is all of it: clear, backward, clip, step. The loss on the "
    "answer alone spends every gradient on the question that is asked.",
    another_way="model(tokens, last=a) computes the last layer's MLP and the logits at those "
    "positions only, which is what the course's own loop does.",
    variants=(),
    tolerance=1e-5,  # clip_grad_norm_ adds 1e-6 to the norm,
    ask=ask_step,
    same_dtype=False,
    smallest=dict(v=2),
)
