"""Wrong and right answers of exercise 6.4, the training step.

Axes: b texts, t tokens, a letters of an answer, v vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

Answer = Callable[[nn.Module, torch.optim.Optimizer, Tensor, Tensor], Any]
Loss = Callable[[Tensor, Tensor], Tensor]  # logits (b, a, v), answers (b, a)
Clip = Callable[[nn.Module], None]


def clip_all(model: nn.Module) -> None:
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)


def clip_each(model: nn.Module) -> None:
    for p in model.parameters():
        nn.utils.clip_grad_norm_([p], 1.0)


def clip_value(model: nn.Module) -> None:
    nn.utils.clip_grad_value_(model.parameters(), 1.0)


def normalise(model: nn.Module) -> None:
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norm = torch.stack([g.norm() for g in gradients]).norm()
    for g in gradients:
        g /= norm


def both_averages(mean: bool = True) -> Loss:
    def loss(logits: Tensor, answers: Tensor) -> Tensor:
        kind = "mean" if mean else "sum"
        return cross_entropy(logits.flatten(0, 1), answers.flatten(), reduction=kind)

    return loss


def sum_of_letters(logits: Tensor, answers: Tensor) -> Tensor:
    return cross_entropy(logits.mT, answers, reduction="none").sum(1).mean()


def sum_of_texts(logits: Tensor, answers: Tensor) -> Tensor:
    return cross_entropy(logits.mT, answers, reduction="none").mean(1).sum()


def softmax_twice(logits: Tensor, answers: Tensor) -> Tensor:
    return both_averages()(logits.softmax(-1), answers)


def no_log(logits: Tensor, answers: Tensor) -> Tensor:
    return -logits.softmax(-1).gather(-1, answers[..., None]).mean()


Positions = Literal["answer", "all", "text", "start", "early", "last", "first", "same"]


def _picked(
    logits: Tensor, tokens: Tensor, answers: Tensor, positions: Positions
) -> tuple[Tensor, Tensor]:
    """The logits that are compared, and with which letters."""
    a, t = answers.shape[1], tokens.shape[1]
    if positions == "all":
        return logits, torch.cat([tokens[:, 1:], answers[:, -1:]], 1)
    if positions == "text":
        return logits[:, :-1], tokens[:, 1:]
    if positions == "start":
        return logits[:, :a], answers
    if positions == "early" and t > a:
        return logits[:, -a - 1 : -1], answers
    if positions == "last":
        return logits[:, -1:], answers[:, -1:]
    if positions == "first":
        return logits[:, -a : t - a + 1], answers[:, :1]
    if positions == "same":
        return logits[:, -1:].expand(-1, a, -1), answers
    return logits[:, -a:], answers


def step(
    *,
    train: bool = True,
    positions: Positions = "answer",
    loss: Loss | None = None,
    zero: Literal["before", "after backward", "end", "end before"] | None = "before",
    clip: Clip | Literal["before", "end"] | None = clip_all,
    optimize: bool | Literal["before"] = True,
    steps: int = 1,
    again: bool = False,
    graph: bool = False,
    returned: Callable[[float], float] = float,
) -> Answer:
    """The step with one thing changed. zero "end before": between the step and backward."""
    measure = loss or both_averages()

    def answer(
        model: nn.Module, optimizer: torch.optim.Optimizer, tokens: Tensor, answers: Tensor
    ) -> Any:
        if train:
            model.train()

        def forward() -> Tensor:
            return measure(*_picked(model(tokens), tokens, answers, positions))

        found = forward()
        if zero == "before":
            optimizer.zero_grad()
        if clip == "before" and next(model.parameters()).grad is not None:
            clip_all(model)
        if optimize == "before":
            optimizer.step()
        if zero == "end before":
            optimizer.zero_grad()
        found.backward()
        if zero == "after backward":
            optimizer.zero_grad()
        if callable(clip) and zero != "after backward":
            clip(model)
        for _ in range(steps if optimize is True else 0):
            optimizer.step()
        if clip == "end":
            clip_all(model)
        if zero == "end":
            optimizer.zero_grad()
        if graph:
            return found
        return returned((forward() if again else found).item())

    return answer


def by_hand(
    model: nn.Module, optimizer: torch.optim.Optimizer, tokens: Tensor, answers: Tensor
) -> float:
    model.train()
    found = both_averages()(model(tokens)[:, -answers.shape[1] :], answers)
    optimizer.zero_grad()
    found.backward()
    clip_all(model)
    with torch.no_grad():
        for group in optimizer.param_groups:
            for p in group["params"]:
                p -= group["lr"] * p.grad
    return found.item()


def right_last_only(
    model: nn.Module, optimizer: torch.optim.Optimizer, tokens: Tensor, answers: Tensor
) -> float:
    """Old gradients go first of all; the model is asked for the last positions only."""
    model.zero_grad()
    logits = model.train()(tokens, last=answers.shape[1])
    found = cross_entropy(logits.mT, answers)
    found.backward()
    clip_all(model)
    optimizer.step()
    return float(found.detach())


def right_functional(
    model: nn.Module, optimizer: torch.optim.Optimizer, tokens: Tensor, answers: Tensor
) -> Tensor:
    """Gradients are asked for, not accumulated; the loss is a product with one-hot letters."""
    model.train(True)
    logits = model(tokens)[:, tokens.shape[1] - answers.shape[1] :]
    hit = one_hot(answers, logits.shape[-1])
    found = -(logits.log_softmax(-1) * hit).sum() / answers.numel()
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(found, parameters)
    norm = torch.cat([g.flatten() for g in gradients]).norm()
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = g / norm.clamp(min=1.0)
    optimizer.step()
    return found.detach()
