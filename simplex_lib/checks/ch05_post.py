"""Exercise 5.3: the convolution of the probabilities.

Axes: b batch, h head, i query, j key, s sequence length, cq and ck taps of the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch05_common import (
    Convolve,
    by_taps,
    by_windows,
    convolution_mistakes,
    correlate,
    past,
    require_odd,
    truth_convolved,
)
from simplex_lib.checks.exercise import Difference, Draw, Exercise, Right, Wrong


def post_inputs(draw: Draw, *, b: int, h: int, s: int, cq: int, ck: int) -> dict[str, Any]:
    require_odd(ck)
    logits = 2 * draw.normal(b, h, s, s)
    probs = logits.masked_fill(~past(s), -math.inf).softmax(-1)
    sharp = probs[1:2]  # of a second sentence each query attends to one key: zeros in the past too
    sharp.copy_((sharp == sharp.amax(-1, keepdim=True)).double())
    return dict(probs=probs, kernel=draw.normal(h, cq, ck))


def truth_post(probs: Tensor, kernel: Tensor) -> Tensor:
    new = truth_convolved(probs, kernel)
    for i in range(new.shape[2]):
        new[:, :, i, i + 1 :] = 0
    return new


def steps(
    convolve: Convolve = correlate, *, then: Callable[[Tensor], Tensor] = torch.tril
) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda probs, kernel: then(convolve(probs, kernel))


def _minus_inf(new: Tensor) -> Tensor:
    return new.masked_fill(~past(new.shape[-1]), -math.inf)


def _softmax(new: Tensor) -> Tensor:
    return _minus_inf(new).softmax(-1)


def _sums_to_one(new: Tensor) -> Tensor:
    return new.tril() / new.tril().sum(-1, keepdim=True)


def _sums_to_one_first(new: Tensor) -> Tensor:
    return (new / new.sum(-1, keepdim=True)).tril()


def _sizes_to_one(new: Tensor) -> Tensor:
    return new.tril() / new.tril().abs().sum(-1, keepdim=True)


def _no_negatives(new: Tensor) -> Tensor:
    return new.tril().clamp(min=0)


def _absolute(new: Tensor) -> Tensor:
    return new.tril().abs()


def _no_diagonal(new: Tensor) -> Tensor:
    return new.tril(-1)


def _upper(new: Tensor) -> Tensor:
    return new.triu()


def _unmasked(new: Tensor) -> Tensor:
    return new


def wrong_kernel_sums_to_one(probs: Tensor, kernel: Tensor) -> Tensor:
    return correlate(probs, kernel / kernel.sum((1, 2), keepdim=True)).tril()


def wrong_kernel_softmax(probs: Tensor, kernel: Tensor) -> Tensor:
    return correlate(probs, kernel.flatten(1).softmax(-1).view_as(kernel)).tril()


def wrong_unconvolved(probs: Tensor, kernel: Tensor) -> Tensor:
    return probs.clone()


def wrong_zeros_kept(probs: Tensor, kernel: Tensor) -> Tensor:
    return correlate(probs, kernel) * (probs != 0)


def right_taps(probs: Tensor, kernel: Tensor) -> Tensor:
    return by_taps(probs, kernel).tril()


def right_windows(probs: Tensor, kernel: Tensor) -> Tensor:
    return by_windows(probs, kernel) * past(probs.shape[-1])


def _row(x: Difference) -> str:
    """The sum of the first row that is wrong."""
    n, m, i, _ = x.index
    mine, want = float(x.got[n, m, i].sum()), float(x.expected[n, m, i].sum())
    return f"The weights of query {i} sum to {mine:.3g} in yours and should sum to {want:.3g}."


POST = Exercise(
    id="5.3",
    title="The convolution after the softmax",
    minutes=8,
    inputs=post_inputs,
    sizes=(
        dict(b=1, h=1, s=1, cq=1, ck=1),
        dict(b=1, h=1, s=3, cq=2, ck=3),
        dict(b=1, h=2, s=5, cq=1, ck=3),
        dict(b=1, h=2, s=6, cq=3, ck=1),
        dict(b=2, h=1, s=3, cq=5, ck=9),
        dict(b=3, h=2, s=7, cq=4, ck=5),
        dict(b=2, h=4, s=8, cq=3, ck=5),
    ),
    truth=truth_post,
    outputs=("weights: b h i j",),
    wrong=(
        Wrong(
            "no mask after",
            steps(then=_unmasked),
            "The mask after the convolution is missing: taps that reach to the left carry weight "
            "over the diagonal, and the values of the future get a share.",
        ),
        Wrong(
            "-inf after",
            steps(then=_minus_inf),
            "Hidden weights are −inf. These are weights, not logits: they multiply values next, "
            "and what should not count has the weight 0.",
        ),
        Wrong(
            "renormalised",
            steps(then=_sums_to_one),
            lambda x: (
                f"{_row(x)} You divided every row by its sum. Nothing is normalised after this "
                "convolution."
            ),
        ),
        Wrong(
            "renormalised before the mask",
            steps(then=_sums_to_one_first),
            "You divided every row by its sum, hidden entries included. Nothing is normalised "
            "after this convolution.",
        ),
        Wrong(
            "renormalised by sizes",
            steps(then=_sizes_to_one),
            "You divided every row by the sum of its absolute values. Nothing is normalised after "
            "this convolution.",
        ),
        Wrong(
            "second softmax",
            steps(then=_softmax),
            "A second softmax follows the convolution. The convolved weights stay as they are, "
            "negative ones included.",
        ),
        Wrong(
            "negatives cut",
            steps(then=_no_negatives),
            "Negative weights were put to 0. They may be negative: a tap below 0 takes a value "
            "away.",
        ),
        Wrong(
            "absolute values",
            steps(then=_absolute),
            "Negative weights lost their sign. They may be negative: a tap below 0 takes a value "
            "away.",
        ),
        Wrong(
            "kernel sums to 1",
            wrong_kernel_sums_to_one,
            "Each kernel was divided by the sum of its taps. Taps are used as they are, and rows "
            "need not sum to 1.",
        ),
        Wrong(
            "softmax of the kernel",
            wrong_kernel_softmax,
            "A softmax was taken over the taps of each kernel. Taps are used as they are, negative "
            "ones included.",
        ),
        Wrong(
            "diagonal hidden",
            steps(then=_no_diagonal),
            "The diagonal is masked as well. A query sees its own position: hidden is j > i, and "
            "j = i is not.",
        ),
        Wrong(
            "zeros kept",
            wrong_zeros_kept,
            "Every entry with a probability of 0 is 0 in yours after the convolution too, in the "
            "past as well. A visible key with probability 0 takes weight over from its "
            "neighbours; only the future, j > i, is masked.",
        ),
        Wrong(
            "past hidden",
            steps(then=_upper),
            "Your mask hides the past and keeps the future: j > i is above the diagonal.",
        ),
        Wrong(
            "not convolved",
            wrong_unconvolved,
            "These are the probabilities themselves: the kernel changes nothing in your numbers.",
        ),
        *convolution_mistakes(steps),
    ),
    right=(
        Right("conv2d", steps()),
        Right("tap by tap", right_taps),
        Right("windows", right_windows),
    ),
    hints=(
        "The same sum as in 5.1 on another map. What should a weight be that is not to count?",
        "No entry of probs lies above the diagonal, so that no mask is needed before. After the "
        "convolution entries there are filled again, by taps that read keys on the left.",
        "pad: c_k // 2 left and right, c_q − 1 above, 0 below; conv2d with kernel[:, None], "
        "groups = h; 0 where j > i; nothing else.",
    ),
    why="Before the softmax taps multiply: a sum of logits becomes a product of weights. After it "
    "they add: a key can get a share because its neighbour has one. Rows need not sum to 1 any "
    "more, and the norm of exercise 5.5 takes care of their size.",
    another_way="with c_k = 1 convolve the output and not the weights: such a kernel adds the "
    "outputs of earlier queries, each with its tap.",
    smallest=dict(s=2),
)
