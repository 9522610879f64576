"""Exercise 5.1: the convolution of the logits, masked with 0 before it and with -inf after it.

Axes: b batch, h head, i query, j key, s sequence length, cq and ck taps of the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

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
from simplex_lib.checks.exercise import Draw, Exercise, Rejected, Right, Wrong


def pre_inputs(draw: Draw, *, b: int, h: int, s: int, cq: int, ck: int) -> dict[str, Any]:
    require_odd(ck)
    return dict(logits=2 * draw.normal(b, h, s, s), kernel=draw.normal(h, cq, ck))


def truth_pre(logits: Tensor, kernel: Tensor) -> Tensor:
    new = truth_convolved(logits, kernel)
    for i in range(new.shape[2]):
        new[:, :, i, i + 1 :] = -math.inf
    return new


def ask_pre(answer: Any, arguments: Mapping[str, Any]) -> Any:
    """A finite number in place of -inf is refused, whichever it is."""
    logits = arguments["logits"]
    found = answer(*arguments.values())
    if isinstance(found, Tensor) and found.shape == logits.shape and logits.shape[-1] > 1:
        later = found[:, :, ~past(logits.shape[-1])].double()
        low = float(later.max())
        if bool((later == low).all()) and -math.inf < low < 0:
            raise Rejected(
                "finite mask",
                f"Above the diagonal every number of yours is {low:g}, and should be −inf. A "
                "finite number is an ordinary logit: where all logits of the past lie lower, the "
                "future gets everything.",
            )
    return found


def steps(
    convolve: Convolve = correlate,
    *,
    before: float | None = 0.0,
    after: float | None = -math.inf,
    seen: Callable[[int], Tensor] = past,
) -> Callable[[Tensor, Tensor], Tensor]:
    """Mask, convolve, mask, with one thing changed at a time."""

    def answer(logits: Tensor, kernel: Tensor) -> Tensor:
        later = ~seen(logits.shape[-1])
        old = logits if before is None else logits.masked_fill(later, before)
        new = convolve(old, kernel)
        return new if after is None else new.masked_fill(later, after)

    return answer


def wrong_eq4(logits: Tensor, kernel: Tensor) -> Tensor:
    """Hides keys later than query i; those between an earlier query and query i stay."""
    s = logits.shape[-1]
    new = []
    for i in range(s):
        seen = logits.masked_fill(torch.arange(s) > i, 0)
        new.append(correlate(seen, kernel)[:, :, i])
    return torch.stack(new, 2).masked_fill(~past(s), -math.inf)


def wrong_softmax(logits: Tensor, kernel: Tensor) -> Tensor:
    return steps()(logits, kernel).softmax(-1)


def wrong_after_softmax(logits: Tensor, kernel: Tensor) -> Tensor:
    probs = logits.masked_fill(~past(logits.shape[-1]), -math.inf).softmax(-1)
    return steps()(probs, kernel)


def wrong_unconvolved(logits: Tensor, kernel: Tensor) -> Tensor:
    return logits.masked_fill(~past(logits.shape[-1]), -math.inf)


def wrong_diagonal_before(logits: Tensor, kernel: Tensor) -> Tensor:
    return correlate(logits.tril(-1), kernel).masked_fill(~past(logits.shape[-1]), -math.inf)


def wrong_diagonal_after(logits: Tensor, kernel: Tensor) -> Tensor:
    return steps()(logits, kernel).masked_fill(~_no_diagonal(logits.shape[-1]), -math.inf)


def _no_diagonal(s: int) -> Tensor:
    return past(s).tril(-1)


def _upper(s: int) -> Tensor:
    return past(s).mT


def right_taps(logits: Tensor, kernel: Tensor) -> Tensor:
    return steps(by_taps)(logits, kernel)


def right_windows(logits: Tensor, kernel: Tensor) -> Tensor:
    return steps(by_windows)(logits, kernel)


def right_bands(logits: Tensor, kernel: Tensor) -> Tensor:
    """Each row of the kernel as a banded matrix on the right of the map."""
    s, (rows, columns) = logits.shape[-1], kernel.shape[1:]
    column = torch.arange(s)[:, None] - torch.arange(s) + columns // 2
    inside = (column >= 0) & (column < columns)
    bands = kernel[:, :, column.clamp(0, columns - 1)] * inside
    old, new = logits.tril(), torch.zeros_like(logits)
    for back in range(min(rows, s)):
        part = old[:, :, : s - back] @ bands[:, rows - 1 - back]
        new = new + pad(part, (0, 0, back, 0))
    return new + torch.full_like(new, -math.inf).triu(1)


PRE = Exercise(
    id="5.1",
    title="The convolution before the softmax",
    minutes=15,
    inputs=pre_inputs,
    sizes=(
        dict(b=1, h=1, s=1, cq=1, ck=1),
        dict(b=1, h=1, s=3, cq=2, ck=3),
        dict(b=1, h=2, s=5, cq=1, ck=3),
        dict(b=1, h=2, s=6, cq=3, ck=1),
        dict(b=2, h=1, s=3, cq=5, ck=9),
        dict(b=3, h=2, s=7, cq=4, ck=5),
        dict(b=2, h=4, s=8, cq=3, ck=5),
    ),
    truth=truth_pre,
    outputs=("logits: b h i j",),
    wrong=(
        Wrong(
            "no mask before",
            steps(before=None),
            "Nothing was put to 0 before the convolution: taps read logits of keys that lie after "
            "their query. Those carry the future into the past, past any mask behind it.",
        ),
        Wrong(
            "-inf before",
            steps(before=-math.inf),
            "The mask before the convolution is −inf, and a sum with −inf in it is −inf, +inf or "
            "NaN, since taps have either sign and 0 · inf is NaN. Before the convolution hidden "
            "entries are 0.",
        ),
        Wrong(
            "-inf before, nothing after",
            steps(before=-math.inf, after=None),
            "There is one mask, of −inf, and it comes before the convolution: its sums are "
            "infinite or NaN. Hidden entries are 0 before the convolution, and −inf after it.",
        ),
        Wrong(
            "finite mask before",
            steps(before=-1e9),
            "Before the convolution hidden logits are −1e9 in place of 0, and the taps multiply "
            "it: what is to be ignored decides every sum that it stands in.",
        ),
        Wrong(
            "finite mask before, -10,000",
            steps(before=-1e4),
            "Before the convolution hidden logits are −1e4 in place of 0, and the taps multiply "
            "it: what is to be ignored decides every sum that it stands in.",
        ),
        Wrong(
            "no mask after",
            steps(after=None),
            "The mask after the convolution is missing: taps that reach to the left fill entries "
            "of the future again, and a softmax would attend to them.",
        ),
        Wrong(
            "0 after",
            steps(after=0.0),
            "Entries of the future are 0 after the convolution. A logit of 0 is an ordinary logit: "
            "the softmax would attend to it. There −inf is wanted.",
        ),
        Wrong("finite mask", steps(after=-1e9), "Above the diagonal −inf is wanted."),
        Wrong(
            "no masks",
            steps(before=None, after=None),
            "Neither mask is there: every query reads logits of its future, and attends to it.",
        ),
        Wrong(
            "only later keys hidden",
            wrong_eq4,
            "These are the numbers of Eq. 4 of the paper: hidden is what lies after query i. Asked "
            "is Eq. 5, which puts every logit above the diagonal to 0 before it convolves: row "
            "i − 1 then lacks its keys after i − 1, key i too.",
        ),
        Wrong(
            "diagonal hidden",
            steps(seen=_no_diagonal),
            "The diagonal is masked as well. A query sees its own position: hidden is j > i, and "
            "j = i is not.",
        ),
        Wrong(
            "diagonal hidden before",
            wrong_diagonal_before,
            "Before the convolution the diagonal is put to 0 as well. A query sees its own "
            "position: hidden is j > i, and j = i is not.",
        ),
        Wrong(
            "diagonal hidden after",
            wrong_diagonal_after,
            "After the convolution the diagonal is −inf as well. A query sees its own position: "
            "hidden is j > i, and j = i is not.",
        ),
        Wrong(
            "past hidden",
            steps(seen=_upper),
            "Your masks hide the past and keep the future: j > i is above the diagonal.",
        ),
        Wrong(
            "softmax done",
            wrong_softmax,
            "The softmax has been taken already. Asked are the convolved logits, with −inf in the "
            "future.",
        ),
        Wrong(
            "convolved after the softmax",
            wrong_after_softmax,
            "You convolved the probabilities: the softmax came first. Asked is the convolution of "
            "the logits, before any softmax.",
        ),
        Wrong(
            "not convolved",
            wrong_unconvolved,
            "These are the masked logits themselves: the kernel changes nothing in your numbers.",
        ),
        Wrong(
            "transposed",
            lambda logits, kernel: steps()(logits, kernel).mT,
            "The numbers are right, with the axes of queries and keys swapped in what you return.",
        ),
        *convolution_mistakes(steps),
    ),
    right=(
        Right("conv2d", steps()),
        Right("tap by tap", right_taps),
        Right("windows", right_windows),
        Right("banded products", right_bands),
    ),
    hints=(
        "Two masks, and they differ: what a sum should not feel is 0, what a softmax should not "
        "feel is −inf.",
        "Pad the key axis on both sides and the query axis before its first row only. conv2d with "
        "groups = h gives each head a kernel of its own; the kernel then wants the shape "
        "(h, 1, c_q, c_k).",
        "old = logits, 0 where j > i; pad: c_k // 2 left and right, c_q − 1 above, 0 below; "
        "new = conv2d of it with kernel[:, None], groups = h; −inf where j > i.",
    ),
    why="A large sum at (i, j) now takes several logits: of neighbouring keys, of earlier queries. "
    "With the tap of entry (i, j) alone, the kernel is the identity, and this is ordinary "
    "attention again.",
    another_way="one tap at a time: shift the map, multiply it by the tap, add. That is c_q · c_k "
    "passes over the map, and shows what each tap reads.",
    variants=("float32", "bfloat16", "strided", "large"),
    ask=ask_pre,
    smallest=dict(s=2),
)
