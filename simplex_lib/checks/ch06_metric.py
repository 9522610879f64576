"""Exercise 6.3: exact match.

Axes: b texts, a letters of an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.exercise import Draw, Exercise, Rejected, Right, Wrong


def metric_inputs(draw: Draw, *, b: int, a: int, letters: int, wrong: int) -> dict[str, Any]:
    """About wrong − 1 tenths of the texts are wrong, each at some letters, a few in another order;
    where a is 3 or another odd number, the second letter is right in all texts."""
    answers = draw.integers(0, letters, b, a)
    spoiled = draw.uniform(0, 10, b, 1) < wrong - 1
    where = draw.uniform(0, 1, b, a) < 0.4
    kept = a > 1 and a % 2 == 1
    if kept:
        where[:, 1] = False
    where[:, -1] |= ~where.any(1)
    other = (answers + draw.integers(1, letters, b, a)) % letters
    predicted = torch.where(spoiled & where, other, answers)
    for row in range(0, b, 3):
        if wrong > 1 and a > 1:
            predicted[row, ::2] = answers[row, ::2].roll(1)
            if not kept:
                predicted[row] = answers[row].roll(1)
    return dict(predicted=predicted, answers=answers)


def ask_metric(answer: Any, arguments: Mapping[str, Any]) -> Any:
    found = answer(*arguments.values())
    if isinstance(found, Tensor) and found.numel() == 1:
        return found.double().item()
    if isinstance(found, (Tensor, Real)) or found is None:
        return found
    raise Rejected(
        "type", f"exact_match should return one number; yours returns a {type(found).__name__}."
    )


def truth_metric(predicted: Tensor, answers: Tensor) -> float:
    b, a = answers.shape
    right = 0
    for text in range(b):
        right += all(int(predicted[text, n]) == int(answers[text, n]) for n in range(a))
    return right / b


def _of(measure: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], float]:
    """A number made of the map of right letters, (b, a)."""
    return lambda predicted, answers: float(measure((predicted == answers).double()))


def wrong_letters_of_text(predicted: Tensor, answers: Tensor) -> float:
    """The same letters, in any order."""
    same = predicted.sort(1).values == answers.sort(1).values
    return same.all(1).double().mean().item()


def wrong_sums(predicted: Tensor, answers: Tensor) -> float:
    return (predicted.sum(1) == answers.sum(1)).double().mean().item()


def wrong_half(predicted: Tensor, answers: Tensor) -> float:
    return (predicted == answers).all(1).bfloat16().mean().item()


def wrong_per_text(predicted: Tensor, answers: Tensor) -> Tensor:
    return (predicted == answers).all(1)


def wrong_list(predicted: Tensor, answers: Tensor) -> list[bool]:
    return (predicted == answers).all(1).tolist()


def right_by_distance(predicted: Tensor, answers: Tensor) -> Tensor:
    """How many letters are wrong, and how often none is."""
    return ((predicted != answers).sum(1) == 0).double().mean()


def right_in_python(predicted: Tensor, answers: Tensor) -> float:
    pairs = zip(predicted.tolist(), answers.tolist(), strict=True)
    return sum(mine == want for mine, want in pairs) / len(answers)


METRIC = Exercise(
    id="6.3",
    title="The metric",
    minutes=4,
    inputs=metric_inputs,
    sizes=(
        dict(b=3, a=2, letters=4, wrong=6),
        dict(b=1, a=4, letters=3, wrong=1),
        dict(b=7, a=1, letters=5, wrong=5),
        dict(b=4, a=9, letters=26, wrong=11),
        dict(b=5, a=3, letters=2, wrong=7),
        dict(b=24, a=5, letters=12, wrong=4),
        dict(b=1001, a=4, letters=12, wrong=2),
    ),
    truth=truth_metric,
    outputs=("share",),
    wrong=(
        Wrong(
            "share of right letters",
            _of(lambda right: right.mean()),
            "You return the share of letters that are right. A text with one wrong letter is "
            "wrong as a whole.",
        ),
        Wrong(
            "error",
            _of(lambda right: 1 - right.amin(1).mean()),
            "You return the share of texts that are wrong. Asked is the share that is right.",
        ),
        Wrong(
            "share of wrong letters",
            _of(lambda right: 1 - right.mean()),
            "You return the share of letters that are wrong. Asked is the share of texts that are "
            "right, all letters of them.",
        ),
        Wrong(
            "percent",
            _of(lambda right: 100 * right.amin(1).mean()),
            "You return percent. Asked is a share, from 0 to 1.",
        ),
        Wrong(
            "number of texts",
            _of(lambda right: right.amin(1).sum()),
            "You return how many texts are right. Asked is which share of them.",
        ),
        Wrong(
            "number of letters",
            _of(lambda right: right.sum()),
            "You return how many letters are right, in all texts together. Asked is the share of "
            "texts that are right as a whole.",
        ),
        Wrong(
            "along the texts",
            _of(lambda right: right.amin(0).mean()),
            "You ask of each place of the answer whether it is right in all texts. Asked is of "
            "each text whether it is right at all places.",
        ),
        Wrong(
            "one letter is enough",
            _of(lambda right: right.amax(1).mean()),
            "A text counts in your share as soon as one of its letters is right. All have to be.",
        ),
        Wrong(
            "first letter",
            _of(lambda right: right[:, 0].mean()),
            "Only the first letter of each answer is compared.",
        ),
        Wrong(
            "last letter",
            _of(lambda right: right[:, -1].mean()),
            "Only the last letter of each answer is compared.",
        ),
        Wrong(
            "any order",
            wrong_letters_of_text,
            "The letters of an answer count in any order for you. Each has a place of its own.",
        ),
        Wrong(
            "sums",
            wrong_sums,
            "You compare sums of letters. Different answers may have the same sum.",
        ),
        Wrong(
            "all texts or nothing",
            _of(lambda right: right.amin()),
            "You return 1 if all texts are right and else 0. Asked is the share of them.",
        ),
        Wrong(
            "more than half",
            _of(lambda right: (right.mean(1) > 0.5).double().mean()),
            "A text counts in your share when more than half of its letters are right. All of them "
            "have to be.",
        ),
        Wrong(
            "divided by the letters",
            _of(lambda right: right.amin(1).sum() / right.numel()),
            "You count texts and divide by the number of letters.",
        ),
        Wrong(
            "rounded",
            wrong_half,
            "Your share is taken in bfloat16, which has 8 significant bits: of a thousand texts "
            "it cannot tell one from the next.",
        ),
        Wrong(
            "one for each text",
            wrong_per_text,
            "You return one answer for each text, right or wrong. Asked is one number, the share "
            "of those that are right.",
        ),
        Wrong("type", wrong_list, "Refused by its type."),
    ),
    right=(
        Right("no wrong letter", right_by_distance),
        Right("row by row", right_in_python),
    ),
    hints=(
        "Two questions, one after the other: is this text right as a whole? Which share of the "
        "texts is?",
        "predicted == answers is a map of texts and letters. Join its letters with “and”, not "
        "with a mean, and take the mean over the texts last.",
        "right = (predicted == answers) joined over the axis of letters by all; the share is the "
        "mean of right as numbers, and .item() makes it a float.",
    ),
    why="A text with four right letters of five is no answer. The share of right letters would "
    "flatter a model that knows where blocks begin and not which one is asked for.",
    another_way="count the wrong letters of each text; a text is right if there are none. The "
    "error that the course plots is one minus this share, in percent.",
    variants=(),
    ask=ask_metric,
    same_dtype=False,
    smallest=dict(letters=2),
)
