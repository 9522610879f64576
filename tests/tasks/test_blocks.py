"""Mirrors simplex_lib/tasks/blocks.py: every drawn text is the task, errors name the argument."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simplex_lib.tasks import BlockTask, exact_match_error, guessing_floors

tasks = st.builds(
    BlockTask,
    answer=st.sampled_from(["all", "first", "last"]),
    blocks=st.integers(1, 9),
    block_letters=st.integers(2, 6),
    question=st.integers(1, 2),
    alphabet=st.integers(8, 26),
    start=st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(task=tasks, seed=st.integers(0, 2**20))
def test_every_text_is_the_task(task, seed):
    tokens, answers, target = task.draw(6, torch.Generator().manual_seed(seed))
    assert tokens.shape == (6, task.length) and answers.shape == (6, task.answer_letters)
    assert tokens.max() < task.vocabulary
    for row, answer, at in zip(tokens, answers, target.tolist(), strict=True):
        text, right = task.text(row), task.text(answer)
        assert text.startswith(">") == task.start
        context, question = text.removeprefix(">").split("#")
        blocks = context.removesuffix(".").split(".")
        asked = question[: task.question]
        assert len(blocks) == task.blocks
        assert all(len(b) == len(set(b)) == task.block_letters for b in blocks)
        assert [i for i, b in enumerate(blocks) if set(asked) <= set(b)] == [at]
        block = blocks[at]
        assert right == {"all": block, "first": block[0], "last": block[-1]}[task.answer]
        assert question[task.question :] == right[:-1]  # what a decoder has said so far


def test_the_right_block_and_the_order_of_the_question_are_uniform():
    task = BlockTask("last", blocks=4)
    tokens, _, target = task.draw(4000, torch.Generator().manual_seed(0))
    share = target.bincount(minlength=4) / 4000
    assert (share - 1 / 4).abs().max() < 5 * (0.25 * 0.75 / 4000) ** 0.5
    blocks = tokens[:, :24].view(-1, 4, 6)[torch.arange(4000), target, :5]
    places = [(blocks == tokens[:, at, None]).int().argmax(1) for at in (-2, -1)]
    before = (places[0] < places[1]).double().mean()
    assert abs(before - 1 / 2) < 5 * 0.5 / 4000**0.5
    for place in places:
        assert (place.bincount(minlength=5) / 4000 - 1 / 5).abs().max() < 0.04


def test_a_seed_repeats_its_texts():
    task = BlockTask()
    one, two = (task.draw(5, torch.Generator().manual_seed(3)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_typed_text_is_read_as_it_was_drawn():
    for start in (False, True):
        task = BlockTask("all", blocks=3, start=start)
        tokens, answers, target = task.draw(1, torch.Generator().manual_seed(0))
        typed = task.text(tokens[0]).removeprefix(">")
        typed = typed[: typed.index("#") + 3]
        read = task.read(typed)
        assert torch.equal(read.tokens, tokens) and torch.equal(read.answers, answers)
        assert torch.equal(read.target, target)


@pytest.mark.errors
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abcde.fghij", "one # before the question"),
        ("abcde.fghij#a#b", "one # before the question"),
        ("abcde.fghi#ab", "block 1 must be 5 different letters from a to l; got 'fghi'"),
        ("abcde.fghia.abkji#aa", "the question must be 2 different letters from a to l; got 'aa'"),
        ("abcde.fghij#a", "the question must be 2 different letters"),
        ("abcde.fghiz#ab", "block 1 must be 5 different letters from a to l; got 'fghiz'"),
        ("abcde.aabcd#ab", "block 1 must be 5 different"),
        ("abcde.abfgh#ab", "exactly one block must hold the question 'ab'; got 2 of 2"),
        ("abcde.fghij#af", "exactly one block must hold the question 'af'; got 0 of 2"),
    ],
)
def test_texts_that_are_none_say_why(text, message):
    with pytest.raises(ValueError, match=message):
        BlockTask().read(text)


@pytest.mark.errors
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(answer="middle"), ValueError, "answer must be one of 'all', 'first', 'last'"),
        (dict(blocks=0), ValueError, "blocks must be at least 1"),
        (dict(block_letters=13), ValueError, "block_letters must be at most alphabet = 12"),
        (dict(block_letters=12), ValueError, "below alphabet = 12 where there is more than"),
        (dict(question=6), ValueError, "question must be at most block_letters = 5"),
        (dict(alphabet=27), ValueError, "alphabet must be at most 26"),
        (dict(blocks=2.0), TypeError, "blocks must be an int"),
        (dict(start=1), TypeError, "start must be True or False"),
    ],
)
def test_sizes_that_are_no_task(change, error, message):
    with pytest.raises(error, match=message):
        BlockTask(**change)


def test_exact_match_counts_answers_not_letters():
    answers = torch.tensor([[1, 2, 3], [4, 5, 6], [7, 8, 9], [1, 1, 1]])
    predicted = answers.clone()
    predicted[1, 0] = predicted[2, 0] = predicted[2, 2] = 0
    assert exact_match_error(predicted, answers) == 0.5
    with pytest.raises(ValueError, match=r"predicted must be \(b, a\) as answers"):
        exact_match_error(predicted[:, :2], answers)


def test_floors_are_what_guessing_gives():
    one_of_eight = guessing_floors(BlockTask("all"))["a random block"]
    assert abs(one_of_eight - 7 / 8) < 1e-9
    last = guessing_floors(BlockTask("last"))
    # another block ends in the same letter now and then, so guessing is a little better than 7/8
    assert 0.78 < last["a random block"] < 0.83
    assert last["a block with a question letter"] < last["a random block"]
    started = guessing_floors(BlockTask("last", start=True))
    assert abs(started["a random block"] - last["a random block"]) < 0.02
