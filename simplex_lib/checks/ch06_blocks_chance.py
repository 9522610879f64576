"""What a generator of the block task must do, asked of an answer: any that does it is right.

Read from the bottom: `ask_blocks` asks one property after the other, first those of
`ch06_blocks.py`, then whether all that is left open is uniform.

Axes: b texts, t tokens, n letters of a block.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from simplex_lib.checks.ch06_blocks import (
    Drawing,
    Sizes,
    accept_blocks,
    answer_is_the_last_letter,
    letters_differ,
    marks_stand_right,
    question_is_of_the_target,
)
from simplex_lib.checks.ch06_drawn import (
    TEXTS,
    block_names,
    counted,
    draw_all,
    expected,
    texts_repeat,
    too_far,
)
from simplex_lib.checks.exercise import Rejected


def texts_differ(x: Drawing) -> Rejected | None:
    if (x.tokens == x.tokens[:1]).all():
        return Rejected("one text for all", f"All {TEXTS:,} texts of a call are the same.")
    size = x.size
    block = math.perm(size.alphabet, size.n)
    others = block - math.perm(size.n, size.question) * math.perm(
        size.alphabet - size.question, size.n - size.question
    )
    ways = size.blocks * block * math.perm(size.n, size.question) * others ** (size.blocks - 1)
    return texts_repeat(x.tokens, ways, str(size))


def target_is_uniform(x: Drawing) -> Rejected | None:
    n, blocks = len(x.target), x.size.blocks
    counts = counted(x.target, blocks)
    far = too_far(counts, 1 / blocks, n)
    if far is None:
        return None
    if int(counts.max()) == n:
        which = int(counts.argmax())
        name = {0: "first", blocks - 1: "last"}.get(which, "same")
        return Rejected(
            f"target always the {name}",
            f"In all {n:,} texts with {x.size}, the right block is block {which}. A model could "
            "learn the place and not the question.",
        )
    return Rejected(
        "target not uniform",
        f"With {x.size}, block {far} is the right one {expected(counts[far].item(), 1 / blocks, n)}"
        ".",
    )


def question_is_uniform(x: Drawing) -> Rejected | None:
    """Each choice of letters of the right block, in each order, equally often."""
    n, take, texts = x.size.n, x.size.question, len(x.target)
    at = (x.target_block[:, None] == x.question[:, :, None]).long().argmax(-1)  # (b, question)
    rising = (at.diff(dim=1) > 0).all(1)
    chance = 1 / math.factorial(take)
    if take > 1 and rising.all():
        return Rejected(
            "question in the block's order",
            f"In all {texts:,} texts with {x.size}, the question has its letters in the order of "
            "the block. The order is free too.",
        )
    if take > 1 and (x.question.diff(dim=1) > 0).all():
        return Rejected(
            "question in the order of the alphabet",
            f"In all {texts:,} texts with {x.size}, the question has its letters in the order of "
            "the alphabet. The order is free.",
        )
    for place in range(take):
        counts = counted(x.question[:, place], x.size.alphabet)
        far = too_far(counts, 1 / x.size.alphabet, texts)
        if far is not None:
            times = expected(counts[far].item(), 1 / x.size.alphabet, texts)
            return Rejected(
                "letters of the question not uniform",
                f"With {x.size}, letter {place} of the question, counted from 0, is "
                f"{block_names(x.size.alphabet)[far]} {times}.",
            )
        counts = counted(at[:, place], n)
        far = too_far(counts, 1 / n, texts)
        if far is not None:
            times = expected(counts[far].item(), 1 / n, texts)
            return Rejected(
                "question not uniform",
                f"With {x.size}, letter {place} of the question is letter {far} of the right block "
                f"{times} (both counted from 0).",
            )
    if take > 1 and too_far(rising.sum()[None].double(), chance, texts) is not None:
        times = expected(rising.sum().item(), chance, texts)
        return Rejected(
            "order of the question not uniform",
            f"With {x.size}, the letters of the question stand in the order of the block {times}.",
        )
    if take > 1 and n > 2:
        code = at[:, 0] * n + at[:, 1]
        counts = counted(code, n * n)
        chances = (1 - torch.eye(n).flatten().double()) / (n * (n - 1))
        far = too_far(counts, chances, texts)
        if far is not None:
            times = expected(counts[far].item(), chances[far].item(), texts)
            return Rejected(
                "pairs of the question not uniform",
                f"With {x.size}, the question begins with the letters {far // n} and {far % n} of "
                f"the right block, counted from 0, {times}.",
            )
    return None


def letters_are_uniform(x: Drawing) -> Rejected | None:
    texts, size = len(x.target), x.size
    rising = (x.blocks.diff(dim=-1) > 0).all(-1)
    if size.n > 1 and rising.all():
        return Rejected(
            "letters sorted",
            f"In all {texts:,} texts with {size}, the letters of each block stand in the order of "
            "the alphabet, so the last letter is no secret.",
        )
    for name, words in (("the right block", x.target_block[:, None]), ("wrong blocks", x.others)):
        each = words.shape[1]  # the wrong blocks of a text share a question: no n * each draws
        for place in range(size.n if each else 0):
            counts = counted(words[..., place], size.alphabet)
            far = too_far(counts / each, 1 / size.alphabet, texts)
            if far is not None:
                letter = block_names(size.alphabet)[far]
                times = expected(counts[far].item(), 1 / size.alphabet, texts * each)
                return Rejected(
                    "letters not uniform",
                    f"With {size}, letter {place} of {name}, counted from 0, is {letter} {times}.",
                )
    return None


def wrong_blocks_are_free(x: Drawing) -> Rejected | None:
    """A wrong block is any block that does not hold the question: how much it shares follows."""
    size, wrong = x.size, x.others
    n, take, alphabet = size.n, size.question, size.alphabet
    if not wrong.shape[1]:
        return None
    shared = x.shared().flatten()
    total = len(shared)
    ways = math.comb(alphabet, n) - math.comb(alphabet - take, n - take)
    chances = [
        math.comb(take, k) * math.comb(alphabet - take, n - k) / ways if n >= k else 0.0
        for k in range(take)
    ]
    counts = counted(shared, take)
    if take > 1 and int(counts[0]) == total and 1 - chances[0] > 50 / total:
        return Rejected(
            "wrong blocks share nothing",
            f"With {size}, no wrong block holds any letter of the question. Then one letter is "
            "enough to find the right block. A wrong block may hold some, only not all.",
        )
    far = too_far(counts, torch.tensor(chances, dtype=torch.float64), total)
    if far is not None:
        times = expected(counts[far].item(), chances[far], total)
        return Rejected(
            "shared letters",
            f"With {size}, a wrong block holds {far} of the {take} letters of the question "
            f"{times}.",
        )
    overlap = (wrong[..., None] == x.target_block[:, None, None]).any(-1).sum(-1).flatten()
    free = [
        (
            math.comb(n, m) * math.comb(alphabet - n, n - m)
            - (math.comb(n - take, m - take) * math.comb(alphabet - n, n - m) if m >= take else 0)
        )
        / ways
        for m in range(n + 1)
    ]
    counts = counted(overlap, n + 1)
    far = too_far(counts, torch.tensor(free, dtype=torch.float64), total)
    if far is not None:
        times = expected(counts[far].item(), free[far], total)
        return Rejected(
            "shared with the right block",
            f"With {size}, a wrong block has {far} letters in common with the right one {times}.",
        )
    return None


def wrong_blocks_are_independent(x: Drawing) -> Rejected | None:
    size, wrong = x.size, x.others
    if wrong.shape[1] < 2:
        return None
    n, take, alphabet = size.n, size.question, size.alphabet
    holders = (wrong[..., None] == torch.arange(alphabet)).any(2).sum(1).double()  # of each letter
    pairs = math.comb(wrong.shape[1], 2)
    common = (holders * (holders - 1) / 2).sum(1) / pairs  # of two blocks, on average
    ways = math.comb(alphabet, n) - math.comb(alphabet - take, n - take)
    asked = (math.comb(alphabet - 1, n - 1) - math.comb(alphabet - take, n - take)) / ways
    rest = (n - take * asked) / (alphabet - take) if alphabet > take else 0.0
    mean = take * asked**2 + (alphabet - take) * rest**2
    found = common.mean().item()
    spread = max(common.std().item(), 0.1) / math.sqrt(len(common))
    if abs(found - mean) > 6 * spread:
        return Rejected(
            "wrong blocks tied together",
            f"With {size}, two wrong blocks of a text have {found:.3f} letters in common on "
            f"average, where independent ones have {mean:.3f}.",
        )
    return None


PROPERTIES = (
    marks_stand_right,
    letters_differ,
    question_is_of_the_target,
    answer_is_the_last_letter,
    texts_differ,
    target_is_uniform,
    letters_are_uniform,
    question_is_uniform,
    wrong_blocks_are_free,
    wrong_blocks_are_independent,
)


def ask_blocks(answer: Any, arguments: Mapping[str, Any]) -> float:
    """0, or Rejected by the property that fails."""
    given = dict(arguments)
    seed = given.pop("seed")
    size = Sizes(**given)

    def generate(b: int, generator: torch.Generator) -> Any:
        return answer(b, size.blocks, size.n, size.question, size.alphabet, generator)

    drawn = draw_all(generate, seed, lambda found, b: accept_blocks(found, b, size))
    x = Drawing(drawn, size)
    for holds in PROPERTIES:
        failed = holds(x)
        if failed:
            raise failed
    return 0.0
