"""What every text of needles must be, whatever is drawn. What must be left to chance is in
`ch06_needles_chance.py`, which asks both.

Axes: b texts, t tokens, k needles of a text, a needles asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch06_drawn import (
    NEEDLE_NAMES,
    Drawn,
    require_form,
    spelt,
    tally,
)
from simplex_lib.checks.exercise import Rejected

KEYS, VALUES, FILLERS = 12, 10, 14
FIRST_FILLER, MARK = KEYS + VALUES, KEYS + VALUES + FILLERS


@dataclass(frozen=True)
class Sizes:
    context: int
    needles: int
    asked: int

    @property
    def t(self) -> int:
        return self.context + 1 + self.asked + self.asked - 1

    def __str__(self) -> str:
        return f"context = {self.context}, needles = {self.needles}, asked = {self.asked}"


def accept_needles(found: Any, b: int, size: Sizes) -> Drawn:
    def first(drawn: Drawn) -> None:
        tokens, answers = drawn[:2]
        if tokens.ndim == 2 and len(tokens) == b and tokens.shape[1] != size.t:
            raise _length(tokens, answers, size)

    each = (b, size.asked)
    shapes = (("tokens", (b, size.t)), ("answers", each), ("places", each))
    return require_form(found, shapes, first)


def _length(tokens: Tensor, answers: Tensor, size: Sizes) -> Rejected:
    """Why the texts have another length than they should."""
    width, shown = tokens.shape[1], spelt(tokens[0], NEEDLE_NAMES)
    more = f"The first of your texts is {shown}: {width} tokens where {size} make {size.t}."
    mark = (tokens == MARK).long()
    if not mark.any():
        return Rejected("no ?", f"No ? stands in your texts. {more}")
    end = size.context + 1 + size.asked
    stands = bool((mark.argmax(1) == size.context).all())
    if stands and width == size.t + 1 and torch.equal(tokens[:, end:], answers):
        return Rejected(
            "last answer in tokens",
            f"Your texts go on to the last answer. {more} What is predicted last may not be read.",
        )
    if stands and width == end and size.asked > 1:
        return Rejected(
            "no answers in tokens",
            f"Your texts end with the question. {more} All answers but the last follow it: each is "
            "predicted from all before it.",
        )
    return Rejected("length", more)


class Drawing:
    """The texts of an answer, taken apart."""

    def __init__(self, drawn: Drawn, size: Sizes):
        self.tokens, self.answers, self.places = drawn
        self.size = size
        end = size.context + 1 + size.asked
        self.context, self.mark = self.tokens[:, : size.context], self.tokens[:, size.context]
        self.question, self.given = self.tokens[:, size.context + 1 : end], self.tokens[:, end:]
        self.is_key = self.context < KEYS
        self.is_value = (self.context >= KEYS) & (self.context < FIRST_FILLER)
        self.whole = self.is_key[:, :-1] & self.is_value[:, 1:]

    # once each text has its needles
    @property
    def starts(self) -> Tensor:
        """Where the needles begin, in the order of the text: (b, k)."""
        return self.is_key.nonzero()[:, 1].view(-1, self.size.needles)

    @property
    def keys(self) -> Tensor:
        return self.context.gather(1, self.starts)

    @property
    def values(self) -> Tensor:
        return self.context.gather(1, self.starts + 1)

    @property
    def at(self) -> Tensor:
        """Where the keys asked for stand: (b, a)."""
        return (self.context[:, None] == self.question[..., None]).long().argmax(-1)

    @property
    def ranks(self) -> Tensor:
        """Which needles are asked for, counted along the text: (b, a)."""
        return (self.at[..., None] > self.starts[:, None]).sum(-1)

    def example(self, bad: Tensor) -> str:
        text = spelt(self.tokens[int(bad.long().argmax())], NEEDLE_NAMES)
        return f"{tally(bad)} with {self.size}, such as {text}"


def marks_stand_right(x: Drawing) -> Rejected | None:
    bad = ((x.tokens < 0) | (x.tokens > MARK)).any(1)
    if bad.any():
        return Rejected("no such token", f"{x.example(bad)}, a token is not from 0 to {MARK}.")
    bad = (x.mark != MARK) | (x.context == MARK).any(1)
    if bad.any():
        return Rejected(
            "? elsewhere", f"{x.example(bad)}, ? does not stand right behind the context alone."
        )
    return None


def needles_are_whole(x: Drawing) -> Rejected | None:
    k = x.size.needles
    keys, values, whole = (n.sum(1) for n in (x.is_key, x.is_value, x.whole))
    if (whole < k).any():
        turned = (x.is_value[:, :-1] & x.is_key[:, 1:]).sum(1)
        if (turned >= k).all():
            return Rejected(
                "value before its key",
                f"{x.example(turned >= k)}, the values stand before their keys. A needle is a key "
                "and then its value.",
            )
        outside = x.answers >= FIRST_FILLER if (x.answers >= KEYS).any() else x.answers < KEYS
        if outside.any():
            bad = outside.any(1)
            row = int(bad.long().argmax())
            return Rejected(
                "no such value",
                f"{x.example(bad)} with the answers {x.answers[row].tolist()}, an answer is no "
                f"value: values are the tokens from {KEYS} to {FIRST_FILLER - 1}.",
            )
        apart = (keys == k) & (values == k) & (whole < k)
        if apart.any():
            return Rejected(
                "key and value apart",
                f"{x.example(apart)}, a key has no value right behind it, though both are there.",
            )
        return Rejected(
            "needles overlap",
            f"{x.example(whole < k)}, there are fewer whole needles than {k}: a key or a value is "
            "missing, as when one needle is written over another.",
        )
    bad = (keys > k) | (values > k)
    if bad.any():
        return Rejected(
            "stray keys or values",
            f"{x.example(bad)}, more keys or values stand in the context than its needles have.",
        )
    bad = (x.keys.sort(1).values.diff(dim=1) == 0).any(1)
    if bad.any():
        return Rejected("key twice", f"{x.example(bad)}, two needles have the same key.")
    return None


def question_asks_for_them(x: Drawing) -> Rejected | None:
    bad = (x.question >= KEYS).any(1)
    if bad.any():
        return Rejected("no key", f"{x.example(bad)}, a token of the question is not a key.")
    bad = (x.question.sort(1).values.diff(dim=1) == 0).any(1)
    if bad.any():
        return Rejected("asked twice", f"{x.example(bad)}, one key is asked for twice.")
    bad = ~(x.question[..., None] == x.keys[:, None]).any(-1).all(1)
    if bad.any():
        return Rejected(
            "asked for nothing", f"{x.example(bad)}, a key is asked for that no needle has."
        )
    return None


def answers_are_their_values(x: Drawing) -> Rejected | None:
    want = x.context.gather(1, x.at + 1)
    bad = (x.answers != want).any(1)
    if bad.any():
        along = want.gather(1, x.at.argsort(1))
        shown = spelt(x.answers[int(bad.long().argmax())], NEEDLE_NAMES)
        example = f"{x.example(bad)} with the answers {shown}"
        if torch.equal(x.answers, along):
            return Rejected(
                "answers in the text's order",
                f"{example}, the answers stand in the order of the text and not in that of the "
                "question.",
            )
        if torch.equal(x.answers, x.question):
            return Rejected("keys as answers", "Your answers are the keys asked for, again.")
        if torch.equal(x.answers.sort(1).values, want.sort(1).values):
            return Rejected(
                "answers in another order",
                f"{example}, the answers are the right values in another order than the question.",
            )
        return Rejected(
            "other answers", f"{example}, an answer is not the value behind the key asked for."
        )
    if not torch.equal(x.given, x.answers[:, :-1]):
        if torch.equal(x.given, x.answers[:, 1:]):
            return Rejected(
                "first answer left out",
                "Behind the question stand all answers but the first. It is the last that is left "
                "out: the first is predicted from the question alone.",
            )
        bad = (x.given != x.answers[:, :-1]).any(1)
        return Rejected(
            "other tokens behind the question",
            f"{x.example(bad)}, the tokens behind the question are not all answers but the last.",
        )
    return None


def places_are_theirs(x: Drawing) -> Rejected | None:
    if torch.equal(x.places, x.at):
        return None
    if torch.equal(x.places, x.at + 1):
        return Rejected(
            "places of the values",
            "Your places are those of the values. Asked are those of the keys, one before.",
        )
    bad = (x.places != x.at).any(1)
    row = int(bad.long().argmax())
    example = f"{x.example(bad)} with the places {x.places[row].tolist()}"
    if torch.equal(x.places, x.ranks):
        return Rejected(
            "numbers of the needles",
            f"{example}, places counts needles. Asked are places in tokens.",
        )
    if torch.equal(x.places.sort(1).values, x.at.sort(1).values):
        return Rejected(
            "places in another order", f"{example}, places are not in the order of the question."
        )
    return Rejected(
        "other places", f"{example}, places are not where the keys asked for stand in the context."
    )
