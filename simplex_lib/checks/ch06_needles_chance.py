"""What a generator of needles must do, asked of an answer: any that does it is right.

Read from the bottom: `ask_needles` asks one property after the other, first those of
`ch06_needles.py`, then whether all that is left open is uniform.

Axes: b texts, t tokens, k needles of a text, a needles asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch06_drawn import (
    NEEDLE_NAMES,
    TEXTS,
    counted,
    draw_all,
    expected,
    texts_repeat,
    too_far,
)
from simplex_lib.checks.ch06_needles import (
    FILLERS,
    FIRST_FILLER,
    KEYS,
    VALUES,
    Drawing,
    Sizes,
    accept_needles,
    answers_are_their_values,
    marks_stand_right,
    needles_are_whole,
    places_are_theirs,
    question_asks_for_them,
)
from simplex_lib.checks.exercise import Rejected


def texts_differ(x: Drawing) -> Rejected | None:
    if (x.context == x.context[:1]).all():
        return Rejected("one text for all", f"All {TEXTS:,} texts of a call are the same.")
    length, k = x.size.context, x.size.needles
    held = math.perm(KEYS, k) * VALUES**k * FILLERS ** (length - 2 * k)
    ways = math.comb(length - k, k) * held * math.perm(k, x.size.asked)
    return texts_repeat(x.tokens, ways, str(x.size))


def arrangements_are_uniform(x: Drawing) -> Rejected | None:
    length, k, starts = x.size.context, x.size.needles, x.starts
    texts, ways = len(starts), math.comb(length - k, k)
    if ways == 1:
        return None
    if (starts == starts[:1]).all():
        return Rejected(
            "always the same places",
            f"In all {texts:,} texts with {x.size}, the needles stand at the same places.",
        )
    if (starts % 2 == 0).all():
        return Rejected(
            "even places only",
            f"In all {texts:,} texts with {x.size}, every needle begins at an even place.",
        )
    apart = math.comb(length - 2 * k + 1, k) / ways
    if k > 1 and (starts.diff(dim=1) > 2).all() and (1 - apart) * texts > 50:
        return Rejected(
            "never side by side",
            f"In all {texts:,} texts with {x.size}, at least one filler stands between two "
            f"needles, where two should touch in about {round((1 - apart) * texts):,} of them.",
        )
    starting = _starting(length, k)
    counts = counted(starts, length - 1)
    for place, words in ((length - 2, "last"), (0, "first")):
        if counts[place] == 0 and starting[place] * texts > 50:
            return Rejected(
                f"{words} place never used",
                f"In none of {texts:,} texts with {x.size} a needle begins at place {place}, which "
                f"should be so in about {round(texts * float(starting[place])):,}.",
            )
    far = too_far(counts, starting, texts)
    if far is not None:
        times = expected(counts[far].item(), starting[far].item(), texts)
        return Rejected(
            "places not uniform", f"With {x.size}, a needle begins at place {far} {times}."
        )
    if ways <= 60:
        kinds, found = starts.unique(dim=0, return_counts=True)
        cells = torch.cat([found.double(), torch.zeros(ways - len(found), dtype=torch.float64)])
        far = too_far(cells, 1 / ways, texts)
        if far is not None:
            where = kinds[far].tolist() if far < len(kinds) else None
            times = expected(cells[far].item(), 1 / ways, texts)
            place = (
                f"the needles begin at {where} {times}" if where else "an arrangement is missing"
            )
            return Rejected("places not uniform", f"With {x.size}, {place}.")
    if k > 1:
        touching = (starts.diff(dim=1) == 2).any(1).sum()
        if too_far(touching[None].double(), 1 - apart, texts) is not None:
            times = expected(touching.item(), 1 - apart, texts)
            return Rejected("distances not uniform", f"With {x.size}, two needles touch {times}.")
    return None


def _starting(length: int, k: int) -> Tensor:
    """The chance of each place that a needle begins there: (length - 1,)."""
    ways = math.comb(length - k, k)
    chances = []
    for place in range(length - 1):
        rest = length - place - 2
        total = 0
        for before in range(k):
            after = k - 1 - before
            if 2 * before <= place and 2 * after <= rest:
                total += math.comb(place - before, before) * math.comb(rest - after, after)
        chances.append(total / ways)
    return torch.tensor(chances, dtype=torch.float64)


def question_is_uniform(x: Drawing) -> Rejected | None:
    k, a, ranks, texts = x.size.needles, x.size.asked, x.ranks, len(x.ranks)
    rising = (ranks.diff(dim=1) > 0).all(1)
    if a > 1 and rising.all():
        return Rejected(
            "question in the text's order",
            f"In all {texts:,} texts with {x.size}, the keys are asked for in the order of the "
            "text. The order is free.",
        )
    if a > 1 and (x.question.diff(dim=1) > 0).all():
        return Rejected(
            "question in the order of the keys",
            f"In all {texts:,} texts with {x.size}, the question has its keys in the order of the "
            "alphabet. The order is free.",
        )
    for place in range(a):
        counts = counted(ranks[:, place], k)
        far = too_far(counts, 1 / k, texts)
        if far is not None:
            times = expected(counts[far].item(), 1 / k, texts)
            return Rejected(
                "question not uniform",
                f"With {x.size}, the key at place {place} of the question is that of needle {far} "
                f"of the text {times} (both counted from 0).",
            )
    if a > 1:
        pairs, far = counted(ranks[:, 0] * k + ranks[:, 1], k * k), None
        chances = (1 - torch.eye(k).flatten().double()) / (k * (k - 1))
        far = too_far(pairs, chances, texts)
        if far is not None:
            times = expected(pairs[far].item(), chances[far].item(), texts)
            return Rejected(
                "pairs of the question not uniform",
                f"With {x.size}, the question begins with the needles {far // k} and {far % k} of "
                f"the text, counted from 0, {times}.",
            )
    return None


def keys_are_uniform(x: Drawing) -> Rejected | None:
    keys, texts = x.keys, len(x.keys)
    if x.size.needles > 1 and (keys.diff(dim=1) > 0).all():
        return Rejected(
            "keys in order",
            f"In all {texts:,} texts with {x.size}, the keys stand in the order of the alphabet.",
        )
    for rank in range(x.size.needles):
        counts = counted(keys[:, rank], KEYS)
        far = too_far(counts, 1 / KEYS, texts)
        if far is not None:
            times = expected(counts[far].item(), 1 / KEYS, texts)
            return Rejected(
                "keys not uniform",
                f"With {x.size}, needle {rank} of the text, counted from 0, has the key "
                f"{NEEDLE_NAMES[far]} {times}.",
            )
    for rank in range(1, x.size.needles):
        counts = counted((keys[:, rank] - keys[:, 0]) % KEYS, KEYS)[1:]
        far = too_far(counts, 1 / (KEYS - 1), texts)
        if far is not None:
            times = expected(counts[far].item(), 1 / (KEYS - 1), texts)
            return Rejected(
                "keys tied together",
                f"With {x.size}, the key of needle {rank} is that of needle 0 plus {far + 1}, "
                f"modulo {KEYS}, {times}.",
            )
    return None


def values_are_uniform(x: Drawing) -> Rejected | None:
    values, texts, k = x.values - KEYS, len(x.values), x.size.needles
    cells = counted(x.keys * VALUES + values, KEYS * VALUES)
    if ((cells.view(KEYS, VALUES) > 0).sum(1) <= 1).all():
        return Rejected(
            "value follows from the key",
            f"In all {texts:,} texts with {x.size}, a key has the same value. Then it can be "
            "learnt by heart, and the text need not be read.",
        )
    for rank in range(k):
        counts = counted(values[:, rank], VALUES)
        far = too_far(counts, 1 / VALUES, texts)
        if far is not None:
            times = expected(counts[far].item(), 1 / VALUES, texts)
            return Rejected(
                "values not uniform",
                f"With {x.size}, needle {rank} of the text, counted from 0, has the value {far} "
                f"{times}.",
            )
    far = too_far(cells, 1 / (KEYS * VALUES), texts * k)
    if far is not None:
        times = expected(cells[far].item(), 1 / (KEYS * VALUES), texts * k)
        return Rejected(
            "values tied to keys",
            f"With {x.size}, the needle {NEEDLE_NAMES[far // VALUES]}{far % VALUES} occurs "
            f"{times}.",
        )
    if k > 1:
        alike = values[:, 1:] == values[:, :1]
        if not alike.any():
            return Rejected(
                "values all different",
                f"In all {texts:,} texts with {x.size}, no other needle has the value of the "
                "first. Two needles may have the same one.",
            )
        far = too_far(alike.sum(0).double(), 1 / VALUES, texts)
        if far is not None:
            times = expected(alike[:, far].sum().item(), 1 / VALUES, texts)
            return Rejected(
                "values tied together",
                f"With {x.size}, needle {far + 1} has the value of needle 0 {times}.",
            )
    return None


def fillers_are_uniform(x: Drawing) -> Rejected | None:
    n, texts = x.size.context - 2 * x.size.needles, len(x.context)
    if not n:
        return None
    fillers = (x.context[x.context >= FIRST_FILLER] - FIRST_FILLER).view(texts, n)
    if n > 1 and (fillers == fillers[:, :1]).all():
        return Rejected(
            "one filler a text",
            f"In all {texts:,} texts with {x.size}, all fillers of a text are the same, so that "
            "needles stand out whatever they hold.",
        )
    for place in range(n):
        counts = counted(fillers[:, place], FILLERS)
        far = too_far(counts, 1 / FILLERS, texts)
        if far is not None:
            times = expected(counts[far].item(), 1 / FILLERS, texts)
            name = NEEDLE_NAMES[FIRST_FILLER + far]
            return Rejected(
                "fillers not uniform",
                f"With {x.size}, filler {place} of the text, counted from 0, is {name} {times}.",
            )
    if n > 1:
        alike = (fillers.diff(dim=1) == 0).sum().double()[None]
        pairs = texts * (n - 1)
        if too_far(alike, 1 / FILLERS, pairs) is not None:
            times = expected(alike.item(), 1 / FILLERS, pairs)
            return Rejected(
                "fillers tied together",
                f"With {x.size}, a filler is the same as the one before it {times}.",
            )
    return None


PROPERTIES = (
    marks_stand_right,
    needles_are_whole,
    question_asks_for_them,
    answers_are_their_values,
    places_are_theirs,
    texts_differ,
    arrangements_are_uniform,
    question_is_uniform,
    keys_are_uniform,
    values_are_uniform,
    fillers_are_uniform,
)


def ask_needles(answer: Any, arguments: Mapping[str, Any]) -> float:
    """0, or Rejected by the property that fails."""
    given = dict(arguments)
    seed = given.pop("seed")
    size = Sizes(**given)

    def generate(b: int, generator: torch.Generator) -> Any:
        return answer(b, size.context, size.needles, size.asked, generator)

    drawn = draw_all(generate, seed, lambda found, b: accept_needles(found, b, size))
    x = Drawing(drawn, size)
    for holds in PROPERTIES:
        failed = holds(x)
        if failed:
            raise failed
    return 0.0
