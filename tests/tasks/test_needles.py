"""Mirrors simplex_lib/tasks/needles.py."""

import doctest
import itertools
import math
from collections import Counter

import pytest
import torch

import simplex_lib.tasks.needles
from simplex_lib.tasks.needles import NeedleTask, needle_guessing_floor


def drawn(task, b, seed=0):
    return task.draw(b, torch.Generator().manual_seed(seed))


def test_examples_hold():
    result = doctest.testmod(simplex_lib.tasks.needles)
    assert (result.failed, result.attempted) == (0, 3)


@pytest.mark.parametrize("size", [(2, 1, 1), (6, 3, 3), (9, 2, 1), (31, 7, 4)])
def test_every_text_is_what_it_says(size):
    context, needles, asked = size
    task = NeedleTask(context=context, needles=needles, asked=asked, keys=8, values=3, fillers=5)
    tokens, answers, places = drawn(task, 60)
    assert tokens.shape == (60, task.length) and tokens.max() < task.vocabulary
    assert answers.shape == places.shape == (60, asked)
    assert tokens.dtype == answers.dtype == places.dtype == torch.int64
    for row, answer, place in zip(tokens.tolist(), answers.tolist(), places.tolist(), strict=True):
        text, rest = row[:context], row[context:]
        starts = [i for i, token in enumerate(text) if token < 8]
        assert len(starts) == needles == len({text[i] for i in starts})
        found = {text[i]: text[i + 1] for i in starts}
        assert all(8 <= value < 11 for value in found.values())
        others = set(range(context)) - set(starts) - {i + 1 for i in starts}
        assert all(11 <= text[i] < 16 for i in others)
        assert rest[0] == task.mark and rest[1 + asked :] == answer[:-1]
        question = rest[1 : 1 + asked]
        assert [found[key] for key in question] == answer and len(set(question)) == asked
        assert [text[i] for i in place] == question


def test_arrangements_and_the_order_of_the_question_are_uniform():
    task = NeedleTask(context=6, needles=2, asked=2, keys=3)
    tokens, _, places = drawn(task, 6000)
    starts = Counter(tuple(sorted(row)) for row in places.tolist())
    assert len(starts) == math.comb(4, 2)
    assert all(abs(n / 6000 - 1 / 6) < 0.03 for n in starts.values())
    ordered = (places[:, 0] < places[:, 1]).double().mean()
    assert abs(ordered - 0.5) < 0.03
    questions = Counter(map(tuple, tokens[:, 7:9].tolist()))
    assert set(questions) == set(itertools.permutations(range(3), 2))


def test_a_seed_repeats_and_a_generator_goes_on():
    task, generator = NeedleTask(), torch.Generator().manual_seed(0)
    first, second = task.draw(3, generator), task.draw(3, generator)
    assert torch.equal(first.tokens, drawn(task, 3).tokens)
    assert not torch.equal(first.tokens, second.tokens)


def test_characters_are_the_three_kinds():
    task = NeedleTask(context=4, needles=1, asked=1)
    assert task.text(torch.tensor([0, 11, 12, 21, 22, 35, 36])) == "AL09an?"


def test_the_floor_is_that_of_guessing_a_value_of_the_text():
    task = NeedleTask(context=20, needles=4, asked=2)
    generator = torch.Generator().manual_seed(1)
    tokens, answers, _ = task.draw(4000, generator)
    is_value = (tokens[:, :20] >= 12) & (tokens[:, :20] < 22)
    values = tokens[:, :20][is_value].view(4000, 4)
    guessed = values.gather(1, torch.randint(4, (4000, 2), generator=generator))
    error = (guessed != answers).any(1).double().mean().item()
    assert needle_guessing_floor(task) == pytest.approx(error, abs=0.03)


@pytest.mark.errors
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: NeedleTask(needles=0), ValueError, "needles must be at least 1; got 0"),
        (lambda: NeedleTask(context=4.0), TypeError, "context must be an int; got float 4.0"),
        (lambda: NeedleTask(context=11), ValueError, "at least 2 .* = 12, .* two tokens; got 11"),
        (lambda: NeedleTask(needles=13), ValueError, "needles must be at most keys = 12.*got 13"),
        (lambda: NeedleTask(asked=7), ValueError, "asked must be at most needles = 6; got 7"),
        (lambda: NeedleTask(values=11), ValueError, "values must be at most 10; got 11"),
        (lambda: NeedleTask(keys=27), ValueError, "keys must be at most 26; got 27"),
        (lambda: NeedleTask().draw(0), ValueError, "b must be at least 1; got 0"),
        (lambda: needle_guessing_floor(NeedleTask(), tested=0), ValueError, "tested must be at"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
