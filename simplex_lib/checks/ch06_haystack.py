"""Exercise 6.6: several needles in a drawn text, its wrong and right answers.

What is asked of an answer is in `ch06_needles.py` and `ch06_needles_chance.py`.
Axes: b texts, t tokens, k needles of a text, a needles asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch06_needles import (
    FILLERS,
    FIRST_FILLER,
    KEYS,
    MARK,
    VALUES,
)
from simplex_lib.checks.ch06_needles_chance import ask_needles
from simplex_lib.checks.exercise import Draw, Exercise, Right, Wrong

Made = tuple[Tensor, Tensor, Tensor]  # tokens, answers, places
Places = Callable[[int, int, int, torch.Generator], Tensor]  # b, length, k -> (b, k)
Draws = Callable[[int, int, int, torch.Generator], Tensor]  # b, of, take -> (b, take)


def needle_inputs(draw: Draw, *, context: int, needles: int, asked: int) -> dict[str, int]:
    if not asked <= needles <= min(KEYS, context // 2):
        raise ValueError("no such text")
    seed = int(draw.integers(0, 10**6, 1))
    return dict(seed=seed, context=context, needles=needles, asked=asked)


def truth_needles(**given: int) -> float:
    """Nothing fails."""
    return 0.0


def different(b: int, of: int, take: int, generator: torch.Generator | None) -> Tensor:
    return torch.rand(b, of, generator=generator).argsort(-1)[:, :take]


def rising(b: int, of: int, take: int, generator: torch.Generator) -> Tensor:
    return different(b, of, take, generator).sort(-1).values


def repeated(b: int, of: int, take: int, generator: torch.Generator) -> Tensor:
    return torch.randint(of, (b, take), generator=generator)


def counted_up(b: int, of: int, take: int, generator: torch.Generator) -> Tensor:
    """The first ones, in any order."""
    return torch.rand(b, take, generator=generator).argsort(-1)


def the_first(b: int, of: int, take: int, generator: torch.Generator) -> Tensor:
    return torch.arange(take).expand(b, take)


def without_the_last(b: int, of: int, take: int, generator: torch.Generator) -> Tensor:
    return repeated(b, of - 1, take, generator)


def one_after_one(b: int, of: int, take: int, generator: torch.Generator) -> Tensor:
    """Neighbours, from a random first on."""
    return (repeated(b, of, 1, generator) + torch.arange(take)) % of


def one_each(b: int, of: int, take: int, generator: torch.Generator) -> Tensor:
    return repeated(b, of, 1, generator).expand(b, take)


def stretched(b: int, length: int, k: int, generator: torch.Generator) -> Tensor:
    return rising(b, length - k, k, generator) + torch.arange(k)


def any_places(b: int, length: int, k: int, generator: torch.Generator) -> Tensor:
    return different(b, length - 1, k, generator)


def even_places(b: int, length: int, k: int, generator: torch.Generator) -> Tensor:
    return 2 * different(b, length // 2, k, generator)


def spaced(b: int, length: int, k: int, generator: torch.Generator) -> Tensor:
    """A filler after each needle, where there is room for it."""
    if 3 * k - 1 > length:
        return stretched(b, length, k, generator)
    return rising(b, length - 2 * k + 1, k, generator) + 2 * torch.arange(k)


def before_the_end(b: int, length: int, k: int, generator: torch.Generator) -> Tensor:
    return stretched(b, length - (length > 2 * k), k, generator)


def after_the_start(b: int, length: int, k: int, generator: torch.Generator) -> Tensor:
    return before_the_end(b, length, k, generator) + (length > 2 * k)


def in_turn(b: int, length: int, k: int, generator: torch.Generator) -> Tensor:
    """One needle after the other wherever there is still room; again from the start if none is."""
    free = torch.ones(b, length - 1)
    places = torch.zeros(b, k, dtype=torch.int64)
    todo = torch.arange(b)
    at = torch.arange(length - 1)
    while len(todo):
        room = free.new_ones(len(todo), length - 1)
        found = []
        for _ in range(k):
            stuck = room.sum(1) == 0
            place = torch.multinomial(room + stuck[:, None], 1, generator=generator)
            room = room * ((at - place).abs() > 1)
            found.append(torch.where(stuck[:, None], -1, place))
        row = torch.cat(found, 1)
        done = (row >= 0).all(1)
        places[todo[done]] = row[done]
        todo = todo[~done]
    return places


def same_places(b: int, length: int, k: int, generator: torch.Generator) -> Tensor:
    return stretched(1, length, k, generator).expand(b, k)


def one_more(b: int, of: int, take: int, generator: torch.Generator) -> Tensor:
    return repeated(b, of + 1, take, generator)


def hide(
    *,
    where: Places = stretched,
    keys: Draws = different,
    values: Draws = repeated,
    fillers: Draws = repeated,
    which: Draws = different,
    filler: int = FIRST_FILLER,
    turned: bool = False,
    gap: int = 1,
    by_key: bool = False,
    sort_question: bool = False,
    other: bool = False,
    again: bool = False,
    finish: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """The generator with one thing changed. finish: from tokens' parts to what is returned."""

    def answer(b: int, context: int, needles: int, asked: int, generator: torch.Generator) -> Any:
        if again:
            generator = torch.Generator().manual_seed(generator.initial_seed())
        at = where(b, context, needles, generator)
        key = keys(b, KEYS, needles, generator)
        value = KEYS + (key % VALUES if by_key else values(b, VALUES, needles, generator))
        kinds = FILLERS if filler == FIRST_FILLER else MARK - filler
        text = filler + fillers(b, kinds, context, generator)
        if other:
            text = filler + torch.randint(FILLERS, (b, context))
        first, second = (value, key) if turned else (key, value)
        text = text.scatter(1, at, first).scatter(1, (at + gap) % context, second)
        chosen = which(b, needles, asked, generator)
        if sort_question:
            chosen = chosen.gather(1, key.gather(1, chosen).argsort(1))
        found = (x.gather(1, chosen) for x in (key, value, at))
        return (finish or in_rows)(text, *found)

    return answer


def in_rows(text: Tensor, question: Tensor, answers: Tensor, places: Tensor) -> Made:
    mark = torch.full((len(text), 1), MARK)
    return torch.cat([text, mark, question, answers[:, :-1]], 1), answers, places


def _order(places: Tensor) -> Tensor:
    return places.argsort(1)


def last_answer_too(text: Tensor, question: Tensor, answers: Tensor, places: Tensor) -> Made:
    tokens, _, _ = in_rows(text, question, answers, places)
    return torch.cat([tokens, answers[:, -1:]], 1), answers, places


def no_answers(text: Tensor, question: Tensor, answers: Tensor, places: Tensor) -> Made:
    return in_rows(text, question, answers[:, :1], places)[0], answers, places


def first_left_out(text: Tensor, question: Tensor, answers: Tensor, places: Tensor) -> Made:
    tokens = in_rows(text, question, answers[:, :1], places)[0]
    return torch.cat([tokens, answers[:, 1:]], 1), answers, places


def no_mark(text: Tensor, question: Tensor, answers: Tensor, places: Tensor) -> Made:
    return torch.cat([text, question, answers[:, :-1]], 1), answers, places


def answers_along(text: Tensor, question: Tensor, answers: Tensor, places: Tensor) -> Made:
    return in_rows(text, question, answers.gather(1, _order(places)), places)


def answers_back(text: Tensor, question: Tensor, answers: Tensor, places: Tensor) -> Made:
    return in_rows(text, question, answers.flip(1), places)


def keys_again(text: Tensor, question: Tensor, answers: Tensor, places: Tensor) -> Made:
    return in_rows(text, question, question, places)


def next_text(text: Tensor, question: Tensor, answers: Tensor, places: Tensor) -> Made:
    return in_rows(text, question, answers.roll(1, 0), places)


def places_of_values(text: Tensor, question: Tensor, answers: Tensor, places: Tensor) -> Made:
    return in_rows(text, question, answers, places + 1)


def places_along(text: Tensor, question: Tensor, answers: Tensor, places: Tensor) -> Made:
    return in_rows(text, question, answers, places.sort(1).values)


def one_text(text: Tensor, question: Tensor, answers: Tensor, places: Tensor) -> Made:
    tokens = in_rows(text, question, answers, places)[0]
    first = (x[:1].expand_as(x) for x in (tokens, answers, places))
    return tuple(first)  # pyright: ignore[reportReturnType]


def as_floats(text: Tensor, question: Tensor, answers: Tensor, places: Tensor) -> Made:
    return in_rows(text.float(), question, answers, places)


def no_places(text: Tensor, question: Tensor, answers: Tensor, places: Tensor) -> Any:
    return in_rows(text, question, answers, places)[:2]


def absent_key(text: Tensor, question: Tensor, answers: Tensor, places: Tensor) -> Made:
    """The next letter is asked for, whether it is there or not."""
    return in_rows(text, (question + 1) % KEYS, answers, places)


def right_by_trying(
    b: int, context: int, needles: int, asked: int, generator: torch.Generator
) -> Made:
    """Places are drawn freely, and anew where needles overlap."""
    at = torch.randint(context - 1, (b, needles), generator=generator)
    while True:
        bad = (at.sort(1).values.diff(dim=1) < 2).any(1)
        if not bad.any():
            break
        at[bad] = torch.randint(context - 1, (int(bad.sum()), needles), generator=generator)
    return hide(where=lambda *_: at)(b, context, needles, asked, generator)


def right_text_by_text(
    b: int, context: int, needles: int, asked: int, generator: torch.Generator
) -> Made:
    """A shuffled row of needles and fillers, written out token by token."""

    def shuffled(n: int) -> list[int]:
        return torch.randperm(n, generator=generator).tolist()

    rows, answers, places = [], [], []
    for _ in range(b):
        keys = shuffled(KEYS)[:needles]
        values = torch.randint(VALUES, (needles,), generator=generator).tolist()
        fillers = torch.randint(FILLERS, (context,), generator=generator).tolist()
        text: list[int] = []
        where: list[int] = [0] * needles
        for thing in shuffled(context - needles):
            if thing < needles:
                where[thing] = len(text)
                text += [keys[thing], KEYS + values[thing]]
            else:
                text.append(FIRST_FILLER + fillers[thing])
        chosen = shuffled(needles)[:asked]
        answers.append([KEYS + values[n] for n in chosen])
        places.append([where[n] for n in chosen])
        rows.append([*text, MARK, *(keys[n] for n in chosen), *answers[-1][:-1]])
    return torch.tensor(rows), torch.tensor(answers), torch.tensor(places)


def _refused(name: str, **change: Any) -> Wrong:
    return Wrong(name, hide(**change), "Refused by the property that fails.")


HAYSTACK = Exercise(
    id="6.6",
    title="Several needles",
    minutes=15,
    inputs=needle_inputs,
    sizes=(
        dict(context=8, needles=2, asked=2),
        dict(context=2, needles=1, asked=1),
        dict(context=10, needles=4, asked=1),
        dict(context=12, needles=5, asked=3),
        dict(context=60, needles=12, asked=2),
        dict(context=37, needles=4, asked=4),
    ),
    truth=truth_needles,
    outputs=("fails",),
    wrong=(
        _refused("needles overlap", where=any_places),
        _refused("even places only", where=even_places),
        _refused("never side by side", where=spaced),
        _refused("last place never used", where=before_the_end),
        _refused("first place never used", where=after_the_start),
        _refused("places not uniform", where=in_turn),
        _refused("always the same places", where=same_places),
        _refused("value before its key", turned=True),
        _refused("key and value apart", gap=2),
        _refused("stray keys or values", filler=KEYS),
        _refused("key twice", keys=repeated),
        _refused("keys in order", keys=rising),
        _refused("keys not uniform", keys=counted_up),
        _refused("keys tied together", keys=one_after_one),
        _refused("value follows from the key", by_key=True),
        _refused("values all different", values=different),
        _refused("values not uniform", values=without_the_last),
        _refused("no such value", values=one_more),
        _refused("one filler a text", fillers=one_each),
        _refused("fillers not uniform", fillers=without_the_last),
        _refused("asked twice", which=repeated),
        _refused("asked for nothing", finish=absent_key),
        _refused("question not uniform", which=counted_up),
        _refused("question in the text's order", which=rising),
        _refused("question in the order of the keys", sort_question=True),
        _refused("answers in the text's order", finish=answers_along),
        _refused("answers in another order", finish=answers_back),
        _refused("keys as answers", finish=keys_again),
        _refused("other answers", finish=next_text),
        _refused("last answer in tokens", finish=last_answer_too),
        _refused("no answers in tokens", finish=no_answers),
        _refused("first answer left out", finish=first_left_out),
        _refused("no ?", finish=no_mark),
        _refused("places of the values", finish=places_of_values),
        _refused("places in another order", finish=places_along),
        _refused("one text for all", finish=one_text),
        _refused("other randomness", other=True),
        _refused("generator starts again", again=True),
        _refused("dtype", finish=as_floats),
        _refused("count", finish=no_places),
    ),
    right=(
        Right("drawn until they do not overlap", right_by_trying),
        Right("text by text", right_text_by_text),
    ),
    hints=(
        "Three draws that do not touch each other: where needles stand, what they hold, which are "
        "asked for. Only the first is hard. How many arrangements has a text of 4 with one needle?",
        "Think of a needle as one thing: then a text is a row of context − needles things, and the "
        "needles are different places in it. Sorted, each moves one further for every needle "
        "before it.",
        "at = sorted different places of context − needles, plus 0, 1, 2, ...; fill text with "
        "fillers; scatter keys to at and values to at + 1; choose asked different needles; gather "
        "their keys, values and places; append ?, the keys, and all values but the last.",
    ),
    why="A text whose needles stand at random says nothing by its form: the model has to find the "
    "keys, each of them, and bring the values back in the order of the question.",
    another_way="draw places freely, and anew where two needles overlap: the same distribution, "
    "and hopeless for a text that is nearly full.",
    variants=(),
    ask=ask_needles,
    same_dtype=False,
    smallest=dict(context=8, needles=2, asked=2),
)
