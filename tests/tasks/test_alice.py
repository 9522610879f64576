"""Mirrors simplex_lib/tasks/alice.py: sums by loops, shares by formulas, what a text may be."""

import math

import pytest
import torch

from simplex_lib.tasks.alice import QUESTION, TEXT, TWICE, alice_heads, alice_kernel, read_story

SHORT = "alice ran. the rabbit saw the cat. rabbit and alice and rabbit met! who? no one"


def sums_by_hand(story, reach):
    """2 on a full stop, and how often each asked word stands among the words before."""
    found = []
    for j, word in enumerate(story.words):
        before = story.words[max(0, j - reach) : j]
        found.append(2 * (word == ".") + sum(before.count(asked) for asked in story.asked))
    return found


@pytest.mark.parametrize("text", [TEXT, TWICE, SHORT])
@pytest.mark.parametrize("reach", [1, 3, 4, 7])
def test_the_kernel_sums_what_loops_count(text, reach):
    story = read_story(text, QUESTION)
    heads = alice_heads(story, reach=reach)
    size = len(story.words)
    assert heads.convolved[:size].tolist() == sums_by_hand(story, reach)
    looked_for = (".", *story.asked)
    wanted = [[int(word == seek) for word in story.words] + [0] * 3 for seek in looked_for]
    assert heads.raw.tolist() == wanted


def test_the_seven_sentences():
    story = read_story()
    assert [len(row) for row in story.sentences] == [5] * 7 and story.right == [2]
    heads = alice_heads(story)
    ends = [row[-1] for row in story.sentences]
    assert heads.convolved[ends].tolist() == [3, 3, 4, 3, 3, 3, 3]
    rest = [n for n in range(len(story.tokens)) if n not in ends]
    assert int(heads.convolved[rest].max()) == 2


@pytest.mark.parametrize(("beta", "share"), [(1, 0.26), (4, 0.90), (12, 0.99996)])
def test_attention_on_the_right_sentence(beta, share):
    story = read_story()
    weights = alice_heads(story, beta=beta).multi_token
    assert weights.sum().item() == pytest.approx(1)
    found = weights[list(story.sentences[2])].sum().item()
    assert found == pytest.approx(share, abs=5e-6 if beta == 12 else 5e-3)


@pytest.mark.parametrize("beta", [0.5, 1, 4, 12, 50])
def test_the_dot_product_stays_at_one_quarter_or_less(beta):
    story = read_story()
    weights = alice_heads(story, beta=beta).dot_product
    found = weights[list(story.sentences[2])].sum().item()
    # 2 of 8 matches score beta, the other tokens 0; three tokens of the question among them
    e = math.exp(beta)
    rest = len(story.tokens) - 8
    assert found == pytest.approx((2 * e + 3) / (8 * e + rest)) and found < 1 / 4 + 1e-12


def test_a_sum_ties_where_pairs_do_not():
    story = read_story(TWICE)
    heads = alice_heads(story)
    right, twice = story.sentences[2], story.sentences[7]
    assert heads.convolved[right[-1]] == heads.convolved[twice[-1]] == heads.convolved.max() == 4
    for row in (right, twice):
        assert heads.multi_token[list(row)].sum().item() == pytest.approx(0.5, abs=1e-3)
    assert heads.pairs[2].item() == pytest.approx(0.9996, abs=5e-5)
    assert heads.pairs.argmax() == 2 and heads.pairs[7] < 1e-3


def test_pairs_equal_loops():
    story = read_story(SHORT)
    beta, place = 2.0, [*story.sentence, -1, -1, -1]
    words = [*story.words, "", "", ""]
    scores = {
        (j, k): (words[j] == "alice") + (words[k] == "rabbit") + (place[j] == place[k] >= 0)
        for j in range(len(words))
        for k in range(len(words))
    }
    total = sum(math.exp(beta * x) for x in scores.values())
    for n in range(story.sentence[-1] + 1):
        inside = [x for (j, k), x in scores.items() if place[j] == place[k] == n]
        wanted = sum(math.exp(beta * x) for x in inside) / total
        assert alice_heads(story, beta=beta).pairs[n].item() == pytest.approx(wanted)


def test_the_kernel_lies_as_on_the_page():
    kernel = alice_kernel(4)
    assert kernel.shape == (1, 3, 9) and kernel.sum() == 2 + 4 + 4
    assert kernel[0, 0].tolist() == [0, 0, 0, 0, 2, 0, 0, 0, 0]
    assert kernel[0, 1:].tolist() == [[1, 1, 1, 1, 0, 0, 0, 0, 0]] * 2
    assert torch.equal(alice_kernel(1)[0, 1], torch.tensor([1.0, 0.0, 0.0]).double())


def test_what_is_read():
    story = read_story("Alice's cat -- the WHITE one -- left... Who saw it?", "Who, it")
    assert " ".join(story.words) == "alice's cat the white one left . who saw it ."
    assert story.asked == ("who", "it") and story.right == [1]
    assert story.tokens[-3:] == ("?", "who", "it")
    assert read_story("a. b.", "c d").right == []


@pytest.mark.errors
@pytest.mark.parametrize(
    ("text", "question", "message"),
    [
        ("", QUESTION, "text must be 1 to 10 sentences .* got 0 sentences, 0 words"),
        (". . !", QUESTION, "got 0 sentences"),
        ("a. " * 11, QUESTION, "got 11 sentences, 22 words"),
        ("a " * 80, QUESTION, "got 1 sentence, 81 words"),
        (TEXT, "alice", "question must be two different words; got 'alice'"),
        (TEXT, "alice alice", "question must be two different words"),
        (TEXT, "a b c", "question must be two different words"),
    ],
)
def test_errors_name_the_argument(text, question, message):
    with pytest.raises(ValueError, match=message):
        read_story(text, question)


@pytest.mark.errors
def test_only_strings_are_read():
    with pytest.raises(TypeError, match="text must be a string; got int 3"):
        read_story(3, QUESTION)
    with pytest.raises(TypeError, match="question must be a string; got tuple"):
        read_story(TEXT, ("alice", "rabbit"))
