"""Exercise of chapter 00: a warm-up with einsum."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.exercise import Draw, Exercise, Right, Wrong


def mix_inputs(draw: Draw, *, i: int, j: int, d: int) -> dict[str, Any]:
    return dict(weights=draw.uniform(0, 1, i, j).softmax(-1), values=draw.normal(j, d))


def truth_mix(weights: Tensor, values: Tensor) -> Tensor:
    out = torch.zeros(weights.shape[0], values.shape[1], dtype=torch.float64)
    for i in range(weights.shape[0]):
        for j in range(weights.shape[1]):
            for d in range(values.shape[1]):
                out[i, d] += weights[i, j] * values[j, d]
    return out


def wrong_transposed(weights: Tensor, values: Tensor) -> Tensor:
    return torch.einsum("ji,jd->id", weights, values)


def wrong_unmatched(weights: Tensor, values: Tensor) -> Tensor:
    return torch.einsum("ij,kd->id", weights, values)


def wrong_kept(weights: Tensor, values: Tensor) -> Tensor:
    return torch.einsum("ij,jd->ijd", weights, values)


def wrong_summed(weights: Tensor, values: Tensor) -> Tensor:
    return torch.einsum("ij,jd->i", weights, values)


def wrong_mean(weights: Tensor, values: Tensor) -> Tensor:
    return torch.einsum("ij,jd->id", weights, values) / weights.shape[1]


def right_by_rows(weights: Tensor, values: Tensor) -> Tensor:
    return torch.stack([(row[:, None] * values).sum(0) for row in weights])


EXERCISES = (
    Exercise(
        id="0.1",
        title="Mix the values",
        minutes=5,
        inputs=mix_inputs,
        sizes=(dict(i=1, j=2, d=1), dict(i=3, j=3, d=2), dict(i=4, j=5, d=3)),
        truth=truth_mix,
        outputs=("mixed: i d",),
        wrong=(
            Wrong(
                "transposed",
                wrong_transposed,
                "These are the numbers you get when the weights are read as `weights[j, i]`. "
                "The first axis of weights is the reader i, the second is the row j that it reads.",
            ),
            Wrong(
                "unmatched",
                wrong_unmatched,
                "The two inputs have no letter in common, so einsum sums each of them by itself "
                "and every weight meets every row. A letter that appears twice ties two axes together.",
            ),
            Wrong(
                "kept",
                wrong_kept,
                "The letter j still stands to the right of the arrow, so nothing was summed: "
                "each row is weighted, but the rows are not added up.",
            ),
            Wrong(
                "summed",
                wrong_summed,
                "The letter d is missing to the right of the arrow, so the columns of each row "
                "were added up too.",
            ),
            Wrong(
                "mean",
                wrong_mean,
                "The sum is right and then it is divided by the number of rows. "
                "The weights already sum to 1, so nothing is left to divide by.",
            ),
        ),
        right=(Right("row by row", right_by_rows),),
        hints=(
            "Write the formula with its letters first. Which letter appears on the right of the "
            "equals sign only? That one is summed.",
            "einsum wants the letters of each input, separated by a comma, then an arrow, then the "
            'letters that stay: "..,..->..".',
            "weights has the letters i and j, values has j and d, the result has i and d: "
            'einsum("<weights>,<values>-><result>", weights, values).',
        ),
        why="The letter j stands in both inputs and not after the arrow, so it is matched and "
        "summed: one line for three loops.",
        another_way="`weights @ values` is the same sum. einsum earns its keep when there are more "
        "than two letters to match, as from chapter 02 on.",
    ),
)
