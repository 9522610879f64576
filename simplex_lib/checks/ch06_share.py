"""Exercise 6.5: how much of the attention falls on the right block.

Axes: b batch, h head, t tokens, n letters of a block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.exercise import Draw, Exercise, Right, Wrong


def share_inputs(
    draw: Draw, *, b: int, h: int, blocks: int, n: int, question: int
) -> dict[str, Any]:
    """Causal weights, those of some heads nearly all at one key, those of others nearly even. As
    after a convolution of them, some are negative and no row sums to 1."""
    t = blocks * (n + 1) + 1 + question
    sharp = torch.where(torch.arange(h) % 2 == 0, 2.5, 0.5)
    logits = sharp[:, None, None] * draw.normal(b, h, t, t)
    future = torch.ones(t, t, dtype=torch.bool).triu(1)
    weights = logits.masked_fill(future, float("-inf")).softmax(-1)
    weights = weights * (0.7 + draw.normal(b, h, t, t))
    return dict(weights=weights, target=draw.integers(0, blocks, b), n=n)


def truth_share(weights: Tensor, target: Tensor, n: int) -> Tensor:
    b, h, t, _ = weights.shape
    out = torch.zeros(b, h, dtype=torch.float64)
    for text in range(b):
        for head in range(h):
            for letter in range(n):
                key = int(target[text]) * (n + 1) + letter
                out[text, head] += weights[text, head, t - 1, key]
    return out


Rows = Callable[[Tensor], Tensor]  # (b, h, i, j) -> (b, h, j)


def _last(weights: Tensor) -> Tensor:
    return weights[:, :, -1]


def _share(
    *,
    row: Rows = _last,
    start: Callable[[Tensor, int], Tensor] = lambda target, n: target * (n + 1),
    letters: Callable[[int], list[int]] = lambda n: list(range(n)),
    finish: Callable[[Tensor], Tensor] = lambda given: given.sum(-1),
) -> Callable[[Tensor, Tensor, int], Tensor]:
    """The share with one thing changed. finish: from (b, h, letters)."""

    def answer(weights: Tensor, target: Tensor, n: int) -> Tensor:
        rows = row(weights)
        b, h, t = rows.shape
        at = (start(target, n)[:, None] + torch.tensor(letters(n), dtype=torch.int64)) % t
        return finish(rows.gather(2, at[:, None].expand(b, h, -1)))

    return answer


def wrong_normalised(weights: Tensor, target: Tensor, n: int) -> Tensor:
    """Of what falls on the letters and dots of all blocks; the question is left out."""
    share = _share()(weights, target, n)
    blocks = (weights.shape[-1] - 2) // (n + 1)
    return share / weights[:, :, -1, : blocks * (n + 1)].sum(-1)


def wrong_renormalised(weights: Tensor, target: Tensor, n: int) -> Tensor:
    return _share()(weights, target, n) / weights[:, :, -1].sum(-1)


def wrong_from_the_end(weights: Tensor, target: Tensor, n: int) -> Tensor:
    blocks = (weights.shape[-1] - 2) // (n + 1)
    return _share()(weights, blocks - 1 - target, n)


def wrong_first_target(weights: Tensor, target: Tensor, n: int) -> Tensor:
    return _share()(weights, target[:1].expand_as(target), n)


def wrong_argmax(weights: Tensor, target: Tensor, n: int) -> Tensor:
    best = weights[:, :, -1].argmax(-1)
    start = target[:, None] * (n + 1)
    return ((best >= start) & (best < start + n)).to(weights.dtype)


def right_by_mask(weights: Tensor, target: Tensor, n: int) -> Tensor:
    key = torch.arange(weights.shape[-1])
    inside = (key // (n + 1) == target[:, None]) & (key % (n + 1) < n)  # (b, t)
    return torch.einsum("bhj,bj->bh", weights[:, :, -1], inside.to(weights.dtype))


def right_text_by_text(weights: Tensor, target: Tensor, n: int) -> Tensor:
    starts = [block * (n + 1) for block in target.tolist()]
    shares = [w[:, -1, at : at + n].sum(-1) for w, at in zip(weights, starts, strict=True)]
    return torch.stack(shares)


SHARE = Exercise(
    id="6.5",
    title="How much weight falls on the right block",
    minutes=8,
    inputs=share_inputs,
    sizes=(
        dict(b=1, h=1, blocks=2, n=2, question=1),
        dict(b=2, h=3, blocks=4, n=1, question=1),
        dict(b=3, h=2, blocks=5, n=4, question=2),
        dict(b=1, h=2, blocks=1, n=3, question=3),
        dict(b=4, h=3, blocks=6, n=5, question=2),
        dict(b=7, h=2, blocks=3, n=4, question=3),
    ),
    truth=truth_share,
    outputs=("share: b h",),
    wrong=(
        Wrong(
            "dot counted",
            _share(letters=lambda n: list(range(n + 1))),
            "You count the dot behind the block as one of its letters.",
        ),
        Wrong(
            "dots forgotten",
            _share(start=lambda target, n: target * n),
            "Your blocks lie n tokens apart. Behind each block stands a dot, so the later ones "
            "begin further on.",
        ),
        Wrong(
            "dots forgotten and one counted",
            _share(start=lambda target, n: target * n, letters=lambda n: list(range(n + 1))),
            "Your blocks lie n tokens apart and are n + 1 long. It is the other way round: n + 1 "
            "apart, for the dot, and n letters long.",
        ),
        Wrong(
            "next block",
            _share(start=lambda target, n: (target + 1) * (n + 1)),
            "You measure one block too far on: target counts the blocks from 0.",
        ),
        Wrong(
            "block before",
            _share(start=lambda target, n: (target - 1) * (n + 1)),
            "You measure the block before the right one: target counts the blocks from 0.",
        ),
        Wrong(
            "one token late",
            _share(letters=lambda n: list(range(1, n + 1))),
            "You measure one token too late: the first letter is left out, and the dot is in.",
        ),
        Wrong(
            "one token early",
            _share(letters=lambda n: list(range(-1, n - 1))),
            "You measure one token too early: the last letter is left out, and the token before "
            "the block is in.",
        ),
        Wrong(
            "last letter missing",
            _share(letters=lambda n: list(range(n - 1))),
            "The last letter of the block is left out.",
        ),
        Wrong(
            "last letter alone",
            _share(letters=lambda n: [n - 1]),
            "You measure the last letter of the block alone. Asked are all its letters.",
        ),
        Wrong(
            "first letter alone",
            _share(letters=lambda n: [0]),
            "You measure the first letter of the block alone. Asked are all its letters.",
        ),
        Wrong(
            "dot alone",
            _share(letters=lambda n: [n]),
            "You measure the dot behind the block alone. Asked are its letters.",
        ),
        Wrong(
            "mean of letters",
            _share(finish=lambda given: given.mean(-1)),
            "You take the mean over the letters of the block. What falls on a block is the sum.",
        ),
        Wrong(
            "largest letter",
            _share(finish=lambda given: given.amax(-1)),
            "You take the largest weight in the block. What falls on a block is the sum.",
        ),
        Wrong(
            "all queries",
            _share(row=lambda weights: weights.mean(2)),
            "You average over all queries. Only the last token has seen the whole question; "
            "asked is what it gives.",
        ),
        Wrong(
            "queries added up",
            _share(row=lambda weights: weights.sum(2)),
            "You add up what all queries give. Asked is what the last token gives.",
        ),
        Wrong(
            "first query",
            _share(row=lambda weights: weights[:, :, 0]),
            "You read the row of the first query, which sees only itself. Asked is the last one.",
        ),
        Wrong(
            "query before the last",
            _share(row=lambda weights: weights[:, :, -2]),
            "You read the row of the last token but one. Asked is the last one.",
        ),
        Wrong(
            "axes swapped",
            _share(row=lambda weights: weights[..., -1]),
            "You read a column of the weights: what all queries give to the last token. Asked is a "
            "row, what the last token gives. The query axis comes first.",
        ),
        Wrong(
            "mean of heads",
            _share(finish=lambda given: given.sum(-1).mean(1)),
            "You average over the heads, and one head that works hides behind one that does not. "
            "Asked is a share for each text and head.",
        ),
        Wrong(
            "mean of texts",
            _share(finish=lambda given: given.sum(-1).mean(0)),
            "You average over the texts. Asked is a share for each text and head.",
        ),
        Wrong(
            "one number",
            _share(finish=lambda given: given.sum(-1).mean()),
            "You average over texts and heads. Asked is a share for each of them.",
        ),
        Wrong(
            "letters kept",
            _share(finish=lambda given: given),
            "You return the weight of each letter. Asked is their sum, the share of the block.",
        ),
        Wrong(
            "one target for all",
            wrong_first_target,
            "The block of the first text is measured in all of them. Each text has a target of its "
            "own.",
        ),
        Wrong(
            "question left out",
            wrong_normalised,
            "Your shares are of what falls on the blocks alone. What the last token gives to # and "
            "the question counts as well: the weights are used as they are.",
        ),
        Wrong(
            "made to sum to 1",
            wrong_renormalised,
            "You divide by the sum of the row. Weights that were convolved do not sum to 1, and "
            "asked is what falls on the block as it is.",
        ),
        Wrong(
            "without signs",
            _share(row=lambda weights: weights[:, :, -1].abs()),
            "You take the sizes of the weights without their signs. Weights that were convolved "
            "may be negative, and count as they are.",
        ),
        Wrong(
            "negatives cut off",
            _share(row=lambda weights: weights[:, :, -1].clamp(min=0)),
            "You set negative weights to 0. Weights that were convolved may be negative, and count "
            "as they are.",
        ),
        Wrong(
            "another softmax",
            _share(row=lambda weights: weights[:, :, -1].softmax(-1)),
            "You take a softmax of the weights. They are weights already, and used as they are.",
        ),
        Wrong(
            "block 0 always",
            _share(start=lambda target, n: 0 * target),
            "You measure the first block of every text. Each text has a target, the number of its "
            "right block.",
        ),
        Wrong(
            "blocks from the end",
            wrong_from_the_end,
            "You count the blocks from the end of the text. target counts them from its beginning.",
        ),
        Wrong(
            "keys from the end",
            _share(start=lambda target, n: -target * (n + 1)),
            "You go target blocks back from the end of the keys. target counts the blocks from "
            "the beginning of the text.",
        ),
        Wrong(
            "yes or no",
            wrong_argmax,
            "You say whether the largest weight lies in the block. Asked is how much weight does.",
        ),
    ),
    right=(
        Right("a mask of keys", right_by_mask),
        Right("text by text", right_text_by_text),
    ),
    hints=(
        "One row of each map is needed, and of that row n numbers in a row of keys. Which row, and "
        "where do the n begin in text 0?",
        "A block takes n + 1 tokens, its dot included, so block `target` begins at target times "
        "n + 1. Each text has another target: gather takes different keys from each, a mask does "
        "too.",
        "keys = target[:, None] * (n + 1) + arange(n), (b, n); last = the row of the last query, "
        "(b, h, t); for each text and head, pick these keys out of last and add them up.",
    ),
    why="One number for each head says what a picture of the map says, and can be compared: a head "
    "that attends evenly gives the block n of t.",
    another_way="a mask of keys, 1 at the letters of the right block, summed against the last row "
    "by one einsum. It needs no index of letters, only key // (n + 1) and key % (n + 1).",
)
