"""What every text of the block task must be, whatever is drawn. What must be left to chance is
in `ch06_blocks_chance.py`, which asks both.

Axes: b texts, t tokens, n letters of a block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch06_drawn import (
    Drawn,
    block_names,
    require_form,
    spelt,
    tally,
)
from simplex_lib.checks.exercise import Rejected


@dataclass(frozen=True)
class Sizes:
    blocks: int
    n: int
    question: int
    alphabet: int

    @property
    def text(self) -> int:
        """Tokens of all blocks with their dots."""
        return self.blocks * (self.n + 1)

    @property
    def t(self) -> int:
        return self.text + 1 + self.question

    def __str__(self) -> str:
        return (
            f"blocks = {self.blocks}, n = {self.n}, question = {self.question}, alphabet = "
            f"{self.alphabet}"
        )


def accept_blocks(found: Any, b: int, size: Sizes) -> Drawn:
    def first(drawn: Drawn) -> None:
        tokens, answers = drawn[:2]
        if tokens.ndim == 2 and len(tokens) == b and tokens.shape[1] != size.t:
            raise _length(tokens, answers, size)
        if answers.shape == (b,):
            raise Rejected(
                "answers without an axis",
                f"answers should be (b, 1), one letter for each text on an axis of its own; yours "
                f"are ({b},).",
            )
        if answers.shape == (b, size.n) and size.n > 1:
            raise Rejected(
                "whole block",
                "Your answers are whole blocks. Asked is the last letter, with an axis of length "
                "1.",
            )

    shapes = (("tokens", (b, size.t)), ("answers", (b, 1)), ("target", (b,)))
    return require_form(found, shapes, first)


def _length(tokens: Tensor, answers: Tensor, size: Sizes) -> Rejected:
    """Why the texts have another length than they should."""
    width, shown = tokens.shape[1], spelt(tokens[0], block_names(size.alphabet))
    more = f"The first of your texts is {shown}: {width} tokens where {size} make {size.t}."
    mark = (tokens == size.alphabet + 1).long()
    if not mark.any():
        return Rejected("no #", f"No # stands in your texts. {more}")
    if not (tokens == size.alphabet).any():
        return Rejected("no dots", f"No dot stands in your texts. {more}")
    before = mark.argmax(1)  # tokens before #
    if (before == size.text - 1).all() and (tokens[:, size.text - 2] < size.alphabet).all():
        return Rejected("last dot missing", f"The last block has no dot behind it. {more}")
    if (before == size.text).all() and width > size.t:
        tail = tokens[:, size.t :]
        if answers.shape == tail.shape and torch.equal(answers, tail):
            return Rejected(
                "answer in tokens",
                f"Your texts go on with their answer. {more} What is to be predicted may not be "
                "read.",
            )
    if (before < size.text - 1).all():
        return Rejected(
            "last block cut short",
            f"Before # stand fewer tokens than {size.blocks} whole blocks with their dots take, "
            f"{size.text}. {more}",
        )
    return Rejected("length", more)


class Drawing:
    """The texts of an answer, taken apart."""

    def __init__(self, drawn: Drawn, size: Sizes):
        self.tokens, self.answers, self.target = drawn
        self.size = size
        places = self.tokens[:, : size.text].view(-1, size.blocks, size.n + 1)
        self.blocks, self.dots = places[..., : size.n], places[..., size.n]
        self.starts = places[..., 0]
        self.mark = self.tokens[:, size.text]
        self.question = self.tokens[:, size.text + 1 :]
        self.letter = self.answers[:, 0]

    @property
    def target_block(self) -> Tensor:
        return self.of(self.target)

    def of(self, block: Tensor) -> Tensor:
        """The letters of one block of each text, (b, n)."""
        return self.blocks[torch.arange(len(block)), block]

    @property
    def others(self) -> Tensor:
        """The other blocks: (b, blocks - 1, n)."""
        b, blocks, n = self.blocks.shape
        other = torch.arange(blocks) != self.target[:, None]
        return self.blocks[other].view(b, blocks - 1, n)

    def shared(self) -> Tensor:
        """How many letters of the question each wrong block holds: (b, blocks - 1)."""
        return (self.others[..., None] == self.question[:, None, None]).any(2).sum(-1)

    def example(self, bad: Tensor) -> str:
        row = int(bad.long().argmax())
        text = spelt(self.tokens[row], block_names(self.size.alphabet))
        return f"{tally(bad)} with {self.size}, such as {text}"


def marks_stand_right(x: Drawing) -> Rejected | None:
    dot, mark = x.size.alphabet, x.size.alphabet + 1
    if (x.dots == mark).all() and (x.mark == dot).all():
        return Rejected(
            "dot and # swapped",
            f"Your dot is {mark} and your # is {dot}, with an alphabet of {dot}. It is the other "
            "way round.",
        )
    if (x.starts == dot).all() and not (x.dots == dot).any():
        return Rejected(
            "dots before blocks",
            f"{x.example(x.starts[:, 0] == dot)}, the dots stand before the blocks. They "
            "should stand behind them.",
        )
    bad = (x.dots != dot).any(1)
    if bad.any():
        return Rejected(
            "dots elsewhere", f"{x.example(bad)}, a block of n letters has no dot right behind it."
        )
    bad = x.mark != mark
    if bad.any():
        return Rejected("# elsewhere", f"{x.example(bad)}, # does not follow the last dot.")
    letters = torch.cat([x.blocks.flatten(1), x.question], 1)
    bad = ((letters < 0) | (letters >= dot)).any(1)
    if bad.any():
        return Rejected(
            "no letter",
            f"{x.example(bad)}, a token is no letter where one should stand. Letters are 0 to "
            "alphabet − 1.",
        )
    return None


def letters_differ(x: Drawing) -> Rejected | None:
    for name, words in (("block", x.blocks), ("question", x.question[:, None])):
        bad = (words.sort(-1).values.diff(dim=-1) == 0).any(-1).any(-1)
        if bad.any():
            return Rejected(
                f"letter twice in a {name}",
                f"{x.example(bad)}, a {name} has the same letter twice.",
            )
    return None


def question_is_of_the_target(x: Drawing) -> Rejected | None:
    low, high = int(x.target.min()), int(x.target.max())
    held = _holds(x.blocks, x.question)  # (b, blocks)
    if low >= 1 and high == x.size.blocks:
        shifted = held.gather(1, x.target[:, None] - 1)
        if shifted.all():
            return Rejected("target from 1", "Your target counts the blocks from 1, not from 0.")
    if low < 0 or high >= x.size.blocks:
        return Rejected(
            "target outside", f"Your target goes from {low} to {high}, with {x.size.blocks} blocks."
        )
    bad = ~held.gather(1, x.target[:, None])[:, 0]
    if bad.any():
        row = int(bad.long().argmax())
        return Rejected(
            "question from elsewhere",
            f"{x.example(bad)} (target {int(x.target[row])}), the right block does not hold all "
            "letters of the question.",
        )
    several = held.sum(1) > 1
    if several.any():
        return Rejected(
            "several blocks hold the question",
            f"{x.example(several)}, more than one block holds all letters of the question, so it "
            "has more than one answer.",
        )
    return None


def _holds(blocks: Tensor, question: Tensor) -> Tensor:
    return (blocks[..., None] == question[:, None, None]).any(2).all(-1)


def answer_is_the_last_letter(x: Drawing) -> Rejected | None:
    bad = x.letter != x.target_block[:, -1]
    if not bad.any():
        return None
    if x.size.n > 1 and (x.letter == x.target_block[:, 0]).all():
        return Rejected("first letter", "Your answers are the first letters of the right blocks.")
    row = int(bad.long().argmax())
    name = spelt(x.answers[row], block_names(x.size.alphabet))
    return Rejected(
        "another letter",
        f"{x.example(bad)} (target {int(x.target[row])}, answer {name}), the answer is not the "
        "last letter of the right block.",
    )
