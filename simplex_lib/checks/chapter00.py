"""Exercise of chapter 00: a warm-up with einsum."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.exercise import Draw, Exercise, Right, Wrong


def mix_inputs(draw: Draw, *, h: int, i: int, j: int, d: int) -> dict[str, Any]:
    return dict(weights=draw.uniform(0, 2, h, i, j), values=draw.normal(j, d))


def truth_mix(weights: Tensor, values: Tensor) -> Tensor:
    n_heads, n_readers, n_rows = weights.shape
    out = torch.zeros(n_readers, n_heads, values.shape[1], dtype=torch.float64)
    for i in range(n_readers):
        for h in range(n_heads):
            for j in range(n_rows):
                out[i, h] += weights[h, i, j] * values[j]
    return out


def wrong_order(weights: Tensor, values: Tensor) -> Tensor:
    return torch.einsum("hij,jd->hid", weights, values)


def wrong_transposed(weights: Tensor, values: Tensor) -> Tensor:
    return torch.einsum("hji,jd->ihd", weights, values)


def wrong_unmatched(weights: Tensor, values: Tensor) -> Tensor:
    return torch.einsum("hij,kd->ihd", weights, values)


def wrong_heads_summed(weights: Tensor, values: Tensor) -> Tensor:
    return torch.einsum("hij,jd->id", weights, values)


def wrong_kept(weights: Tensor, values: Tensor) -> Tensor:
    return torch.einsum("hij,jd->ihjd", weights, values)


def wrong_mean(weights: Tensor, values: Tensor) -> Tensor:
    return torch.einsum("hij,jd->ihd", weights, values) / weights.shape[-1]


def wrong_normalised(weights: Tensor, values: Tensor) -> Tensor:
    return torch.einsum("hij,jd->ihd", weights / weights.sum(-1, keepdim=True), values)


def wrong_softmax(weights: Tensor, values: Tensor) -> Tensor:
    return torch.einsum("hij,jd->ihd", weights.softmax(-1), values)


def right_by_rows(weights: Tensor, values: Tensor) -> Tensor:
    return sum(
        (weights[:, :, j, None] * row for j, row in enumerate(values)),
        start=torch.zeros(()).to(values),
    ).transpose(0, 1)


EXERCISES = (
    Exercise(
        id="0.1",
        title="Mix the values",
        minutes=5,
        inputs=mix_inputs,
        sizes=(
            dict(h=1, i=1, j=2, d=1),
            dict(h=2, i=2, j=2, d=2),
            dict(h=3, i=3, j=3, d=2),
            dict(h=2, i=4, j=5, d=3),
        ),
        truth=truth_mix,
        outputs=("mixed: i h d",),
        wrong=(
            Wrong(
                "order",
                wrong_order,
                "The right numbers in another order: the reader i should come first and the head h "
                "second. The letters after the arrow say which axis comes first.",
            ),
            Wrong(
                "transposed",
                wrong_transposed,
                "The last two axes of weights are read the other way round. The axis i counts the "
                "readers, and the axis j counts the rows that they read.",
            ),
            Wrong(
                "unmatched",
                wrong_unmatched,
                "The two inputs have no letter in common, so every weight meets every row: each "
                "reader gets the plain sum of all rows, times the sum of its weights. "
                "A shared letter ties two axes together.",
            ),
            Wrong(
                "heads-summed",
                wrong_heads_summed,
                "The letter h is missing after the arrow, so the heads were added up. "
                "Each head keeps a mixture of its own.",
            ),
            Wrong(
                "kept",
                wrong_kept,
                "The letter j still stands after the arrow, so nothing was summed: each row is "
                "weighted, but the rows are not added up.",
            ),
            Wrong(
                "mean",
                wrong_mean,
                "The sum is right and then it is divided by the number of rows. "
                "The weights say how much each row counts; nothing is left to divide by.",
            ),
            Wrong(
                "normalised",
                wrong_normalised,
                "Each reader's weights were divided by their sum first. "
                "They are used as they are here, whatever they sum to.",
            ),
            Wrong(
                "softmax",
                wrong_softmax,
                "A softmax was taken of the weights first. They are weights already, "
                "and used as they are.",
            ),
        ),
        right=(Right("row by row", right_by_rows),),
        hints=(
            "Write the formula with its letters first. Which letter appears on the right of the "
            "equals sign only? That one is summed.",
            "einsum wants the letters of each input, in the order of its axes, a comma between "
            "them; then an arrow; then the letters that stay, in the order of the result.",
            "weights has the letters h, i and j, values has j and d, the result has i, h and d: "
            'einsum("<weights>,<values>-><result>", weights, values).',
        ),
        why="The letter j stands in both inputs and not after the arrow, so it is matched and "
        "summed: one line for four loops.",
        another_way="`(weights @ values).transpose(0, 1)` is the same. einsum earns its keep when "
        "more than two inputs meet, as from chapter 02 on.",
    ),
)
