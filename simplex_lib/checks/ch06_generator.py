"""Exercise 6.2: the generator of the block task, its wrong and right answers.

What is asked of an answer is in `ch06_blocks.py` and `ch06_blocks_chance.py`.
Axes: b texts, t tokens, n letters of a block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch06_blocks_chance import ask_blocks
from simplex_lib.checks.exercise import Draw, Exercise, Right, Wrong

Made = tuple[Tensor, Tensor, Tensor]  # tokens, answers, target
Finish = Callable[[Tensor, Tensor, Tensor, Tensor, int], Any]
Pick = Callable[[Tensor, int], Tensor]  # random numbers (..., of) -> (..., take) of them
Wrongs = Callable[[Tensor, Tensor, Tensor, Callable[..., Tensor]], Tensor]


def generator_inputs(
    draw: Draw, *, blocks: int, n: int, question: int, alphabet: int
) -> dict[str, int]:
    if not question <= n <= alphabet or (blocks > 1 and n == alphabet):
        raise ValueError("no such text")
    seed = int(draw.integers(0, 10**6, 1))
    return dict(seed=seed, blocks=blocks, n=n, question=question, alphabet=alphabet)


def truth_generator(**given: int) -> float:
    """Nothing fails."""
    return 0.0


def different(numbers: Tensor, take: int) -> Tensor:
    return numbers.argsort(-1)[..., :take]


def in_order(numbers: Tensor, take: int) -> Tensor:
    return numbers.argsort(-1)[..., :take].sort(-1).values


def with_repeats(numbers: Tensor, take: int) -> Tensor:
    return (numbers[..., :take] * numbers.shape[-1]).long()


def without_the_last(numbers: Tensor, take: int) -> Tensor:
    return (
        numbers[..., :-1].argsort(-1)[..., :take]
        if numbers.shape[-1] > take
        else different(numbers, take)
    )


def in_rows(tokens: Tensor, answers: Tensor, target: Tensor, right: Tensor, dot: int) -> Made:
    return tokens, answers, target


def redrawn(text: Tensor, asked: Tensor, right: Tensor, letters: Callable[..., Tensor]) -> Tensor:
    """Wrong blocks that hold the question, drawn anew until none does; right: (b, blocks)."""
    while True:
        holds = (text[..., None] == asked[:, None, None]).any(2).all(-1) & ~right
        if not holds.any():
            return text
        text[holds] = letters(int(holds.sum()))


def no_redraw(text: Tensor, asked: Tensor, right: Tensor, letters: Callable[..., Tensor]) -> Tensor:
    return text


def nothing_shared(
    text: Tensor, asked: Tensor, right: Tensor, letters: Callable[..., Tensor]
) -> Tensor:
    """Blocks with any letter of the question are drawn anew, where that can be done."""
    if text.max() + 1 < text.shape[-1] + asked.shape[1]:
        return redrawn(text, asked, right, letters)
    while True:
        holds = (text[..., None] == asked[:, None, None]).flatten(2).any(-1) & ~right
        if not holds.any():
            return text
        text[holds] = letters(int(holds.sum()))


def one_shared(
    text: Tensor, asked: Tensor, right: Tensor, letters: Callable[..., Tensor]
) -> Tensor:
    """Every wrong block is drawn until it holds exactly one letter of the question."""
    if asked.shape[1] == 1:
        return redrawn(text, asked, right, letters)
    while True:
        held = (text[..., None] == asked[:, None, None]).any(2).sum(-1)
        bad = (held != 1) & ~right
        if not bad.any():
            return text
        text[bad] = letters(int(bad.sum()))


def same_wrong(
    text: Tensor, asked: Tensor, right: Tensor, letters: Callable[..., Tensor]
) -> Tensor:
    """The last wrong block is the first one again."""
    text = redrawn(text, asked, right, letters)
    if text.shape[1] > 2:
        order = right.long().argsort(dim=1, stable=True)  # wrong ones first
        row = torch.arange(len(text))
        text[row, order[:, 1]] = text[row, order[:, 0]]
    return text


def draw(
    *,
    pick: Pick = different,
    of_block: Pick = different,
    where: Callable[[int, int, torch.Generator], Tensor] | None = None,
    wrongs: Wrongs = redrawn,
    other: bool = False,
    again: bool = False,
    outside: bool = False,
    finish: Finish = in_rows,
    layout: Callable[[Tensor, Tensor, int], Tensor] | None = None,
) -> Callable[..., Any]:
    """The generator with one thing changed."""

    def answer(
        b: int, blocks: int, n: int, question: int, alphabet: int, generator: torch.Generator
    ) -> Any:
        if again:
            generator = torch.Generator().manual_seed(generator.initial_seed())
        source = None if other else generator

        def letters(*shape: int) -> Tensor:
            return pick(torch.rand(*shape, alphabet, generator=source), n)

        text = letters(b, blocks)
        if where is None:
            target = torch.randint(blocks, (b,), generator=generator)
        else:
            target = where(b, blocks, generator)
        row = torch.arange(b)
        right = text[row, target]
        asked = right.gather(1, of_block(torch.rand(b, n, generator=generator), question))
        if outside:
            asked = different(torch.rand(b, alphabet, generator=generator), question)
        text = wrongs(text, asked, torch.arange(blocks) == target[:, None], letters)
        if layout is not None:
            tokens = layout(text, asked, alphabet)
        else:
            tokens = rows(text, asked, alphabet)
        return finish(tokens, right[:, -1:], target, right, alphabet)

    return answer


def column(b: int, value: int) -> Tensor:
    return torch.full((b, 1), value)


def rows(
    text: Tensor, asked: Tensor, dot: int, mark: int | None = None, *, first: bool = False
) -> Tensor:
    """abc.def.#be as tokens. first: the dots stand before the blocks."""
    b, blocks, _ = text.shape
    dots = torch.full((b, blocks, 1), dot)
    parts = (dots, text) if first else (text, dots)
    mark = dot + 1 if mark is None else mark
    return torch.cat([torch.cat(parts, -1).flatten(1), column(b, mark), asked], 1)


def no_last_dot(text: Tensor, asked: Tensor, dot: int) -> Tensor:
    tokens, end = rows(text, asked, dot), -1 - asked.shape[1]
    return torch.cat([tokens[:, : end - 1], tokens[:, end:]], 1)


def no_dots(text: Tensor, asked: Tensor, dot: int) -> Tensor:
    return torch.cat([text.flatten(1), column(len(text), dot + 1), asked], 1)


def no_mark(text: Tensor, asked: Tensor, dot: int) -> Tensor:
    tokens = rows(text, asked, dot)
    return torch.cat([tokens[:, : -1 - asked.shape[1]], asked], 1)


def cut_short(text: Tensor, asked: Tensor, dot: int) -> Tensor:
    tokens, end = rows(text, asked, dot), -1 - asked.shape[1]
    return torch.cat([tokens[:, : end - 2], tokens[:, end:]], 1)


def mark_at_the_end(text: Tensor, asked: Tensor, dot: int) -> Tensor:
    tokens = rows(text, asked, dot)
    return torch.cat([tokens[:, : -1 - asked.shape[1]], asked, column(len(text), dot + 1)], 1)


def loaded(b: int, blocks: int, generator: torch.Generator) -> Tensor:
    """The smaller of two."""
    return torch.randint(blocks, (2, b), generator=generator).amin(0)


def near_the_start(numbers: Tensor, take: int) -> Tensor:
    """The first letters, in any order."""
    return numbers[..., :take].argsort(-1)


def right_text_by_text(
    b: int, blocks: int, n: int, question: int, alphabet: int, generator: torch.Generator
) -> Made:
    """Whole texts are drawn anew, one after the other."""
    rows, answers, targets = [], [], []
    while len(rows) < b:
        text = [torch.randperm(alphabet, generator=generator)[:n].tolist() for _ in range(blocks)]
        target = int(torch.randint(blocks, (1,), generator=generator))
        order = torch.randperm(n, generator=generator)[:question].tolist()
        asked = [text[target][place] for place in order]
        if sum(set(asked) <= set(block) for block in text) > 1:
            continue
        rows.append([x for block in text for x in (*block, alphabet)] + [alphabet + 1, *asked])
        answers.append([text[target][-1]])
        targets.append(target)
    return torch.tensor(rows), torch.tensor(answers), torch.tensor(targets)


def right_question_first(
    b: int, blocks: int, n: int, question: int, alphabet: int, generator: torch.Generator
) -> Made:
    """The question is drawn before any block; the right one is filled up round it."""

    def letters(*shape: int) -> Tensor:
        return torch.rand(*shape, alphabet, generator=generator).topk(n).indices

    right = letters(b)
    asked = right[:, :question]
    shuffle = torch.rand(b, n, generator=generator).argsort(1)
    right = right.gather(1, shuffle)
    target = torch.randint(blocks, (b,), generator=generator)
    here = torch.arange(blocks) == target[:, None]
    text = redrawn(letters(b, blocks), asked, here, letters)
    text[here] = right
    text = redrawn(text, asked, here, letters)
    return rows(text, asked, alphabet), right[:, -1:], target


GENERATOR = Exercise(
    id="6.2",
    title="The generator",
    minutes=15,
    inputs=generator_inputs,
    sizes=(
        dict(blocks=3, n=3, question=2, alphabet=6),
        dict(blocks=1, n=3, question=2, alphabet=3),
        dict(blocks=4, n=2, question=1, alphabet=5),
        dict(blocks=2, n=4, question=3, alphabet=9),
        dict(blocks=5, n=4, question=4, alphabet=7),
        dict(blocks=8, n=5, question=2, alphabet=12),
    ),
    truth=truth_generator,
    outputs=("fails",),
    wrong=(
        Wrong("letter twice in a block", draw(pick=with_repeats), "Refused."),
        Wrong("letter twice in a question", draw(of_block=with_repeats), "Refused."),
        Wrong("several blocks hold the question", draw(wrongs=no_redraw), "Refused."),
        Wrong("question from elsewhere", draw(outside=True), "Refused."),
        Wrong(
            "target always the first",
            draw(where=lambda b, blocks, _: torch.zeros(b, dtype=torch.int64)),
            "Refused.",
        ),
        Wrong(
            "target always the last",
            draw(where=lambda b, blocks, _: torch.full((b,), blocks - 1)),
            "Refused.",
        ),
        Wrong("target not uniform", draw(where=loaded), "Refused."),
        Wrong(
            "target from 1",
            draw(finish=lambda x, a, target, right, dot: (x, a, target + 1)),
            "Refused.",
        ),
        Wrong("question in the block's order", draw(of_block=in_order), "Refused."),
        Wrong("question not uniform", draw(of_block=near_the_start), "Refused."),
        Wrong("letters sorted", draw(pick=in_order), "Refused."),
        Wrong("letters not uniform", draw(pick=without_the_last), "Refused."),
        Wrong("wrong blocks share nothing", draw(wrongs=nothing_shared), "Refused."),
        Wrong("shared letters", draw(wrongs=one_shared), "Refused."),
        Wrong("wrong blocks tied together", draw(wrongs=same_wrong), "Refused."),
        Wrong(
            "one text for all",
            draw(
                finish=lambda *made: tuple(x[:1].expand_as(x) for x in made[:3]),
            ),
            "Refused.",
        ),
        Wrong("other randomness", draw(other=True), "Refused."),
        Wrong("generator starts again", draw(again=True), "Refused."),
        Wrong(
            "answer in tokens",
            draw(finish=lambda x, a, target, right, dot: (torch.cat([x, a], 1), a, target)),
            "Refused.",
        ),
        Wrong("last dot missing", draw(layout=no_last_dot), "Refused."),
        Wrong("no dots", draw(layout=no_dots), "Refused."),
        Wrong("no #", draw(layout=no_mark), "Refused."),
        Wrong("last block cut short", draw(layout=cut_short), "Refused."),
        Wrong("# elsewhere", draw(layout=mark_at_the_end), "Refused."),
        Wrong(
            "dot and # swapped",
            draw(layout=lambda text, asked, dot: rows(text, asked, dot + 1, dot)),
            "Refused.",
        ),
        Wrong(
            "dots before blocks",
            draw(layout=lambda text, asked, dot: rows(text, asked, dot, first=True)),
            "Refused.",
        ),
        Wrong(
            "first letter",
            draw(finish=lambda x, a, target, right, dot: (x, right[:, :1], target)),
            "Refused.",
        ),
        Wrong(
            "another letter",
            draw(finish=lambda x, a, target, right, dot: (x, a.roll(1, 0), target)),
            "Refused.",
        ),
        Wrong(
            "whole block",
            draw(finish=lambda x, a, target, right, dot: (x, right, target)),
            "Refused.",
        ),
        Wrong(
            "answers without an axis",
            draw(finish=lambda x, a, target, right, dot: (x, a[:, 0], target)),
            "Refused.",
        ),
        Wrong(
            "dtype",
            draw(finish=lambda x, a, target, right, dot: (x.float(), a, target)),
            "Refused.",
        ),
        Wrong(
            "count",
            draw(finish=lambda x, a, target, right, dot: (x, a)),
            "Refused.",
        ),
    ),
    right=(
        Right("text by text", right_text_by_text),
        Right("question first", right_question_first),
    ),
    hints=(
        "Draw all blocks at once, without looking at the question. Then the right block, then the "
        "question out of it. Which blocks are wrong now, and what may you do with them?",
        "Different letters out of many: random numbers for all of them, argsort, the first few. A "
        "block that holds the whole question by accident is drawn anew, again and again until none "
        "does; the right one stays.",
        "text = (b, blocks, n) letters; target = randint; right = text[row, target]; asked = right "
        "at different random places; while any wrong block holds all of asked: draw these blocks "
        "anew; put a dot behind each block, flatten, append # and asked; answers = right[:, -1:].",
    ),
    why="Everything that is left open is uniform, so nothing but the question tells which block is "
    "asked for: no place, no letter, no order.",
    another_way="draw whole texts and throw away those in which a second block holds the question. "
    "That is the same distribution, and of texts with many blocks it throws nearly all away.",
    variants=(),
    ask=ask_blocks,
    same_dtype=False,
    smallest=dict(blocks=2, n=3, question=2, alphabet=6),
)
