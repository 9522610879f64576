"""The claims of claims/06_alice_and_the_rabbit.toml that need no training."""

import math
import random
import statistics
import string

import pytest
import torch
import torch.nn.functional as F

from simplex_lib.attention import MultiHeadAttention, MultiTokenAttention, multi_token_maps

TEXT = (
    "alice met the queen . the rabbit ran away . alice saw the rabbit . a cat saw alice . "
    "one rabbit was late . alice drank the tea . the white rabbit slept ."
)
QUESTION = "? alice rabbit"
RIGHT = 2  # the sentence with both words
TWICE = TEXT + " alice liked alice most ."


def sentences(words):
    """The number of each word's sentence; a full stop belongs to the one it ends."""
    ends = [word == "." for word in words]
    return torch.tensor([sum(ends[:n]) for n in range(len(words))])


def shares(weights, words):
    """Attention on each sentence."""
    sentence = sentences(words)
    total = torch.zeros(int(sentence.max()) + 1).double()
    return total.index_add(0, sentence, weights)


def one_hot(words):
    names = sorted(set(words))
    return F.one_hot(torch.tensor([names.index(word) for word in words])).double()


def kernel_head(text, beta):
    """Logits / beta and weights on the text's words, from the last word of the question."""
    words = text.split() + QUESTION.split()
    size, x = len(text.split()), one_hot(words)
    q = x.clone()
    q[size] = x[words.index(".")]  # ? looks for full stops
    kernel = torch.zeros(1, 3, 9).double()
    kernel[0, 0, 4] = 2  # ?: 2 on every full stop
    kernel[0, 1:, :4] = 1  # alice, rabbit: among the four words before
    maps = multi_token_maps(q[None, None], x[None, None], pre_kernel=kernel, scale=beta)
    return maps.logits[0, 0, -1, :size] / beta, maps.weights[0, 0, -1, :size]


@pytest.mark.claim("mta-alice-two-maps")
def test_a_dot_product_query_for_two_words_stays_below_one_quarter():
    words = TEXT.split()
    alice, rabbit = (
        torch.tensor([w == name for w in words]).double() for name in QUESTION.split()[1:]
    )
    for a, r in (torch.rand(200, 2).double() * 40).tolist():
        share = shares((a * alice + r * rabbit).softmax(0), words)
        assert share[RIGHT] < 1 / 4 + 1e-12
    sharp = shares((40 * alice + 40 * rabbit).softmax(0), words)
    assert sharp[RIGHT].item() == pytest.approx(1 / 4)


@pytest.mark.claim("mta-alice-two-maps")
def test_a_head_with_a_kernel_finds_the_sentence():
    words = TEXT.split()
    ends = [n for n, word in enumerate(words) if word == "."]
    for beta, share in ((1, 0.26), (4, 0.90), (12, 0.99996)):
        logits, weights = kernel_head(TEXT, beta)
        rounded = logits.round()
        torch.testing.assert_close(logits, rounded, atol=1e-9, rtol=0)
        assert [rounded[n].item() for n in ends] == [3, 3, 4, 3, 3, 3, 3]
        assert max(x for n, x in enumerate(rounded.tolist()) if n not in ends) <= 2
        found = shares(weights, words)[RIGHT].item()
        assert found == pytest.approx(share, abs=5e-3 if beta < 12 else 5e-6)


@pytest.mark.claim("mta-alice-tie")
def test_a_sum_cannot_tell_one_and_one_from_two():
    words = TWICE.split()
    logits, weights = kernel_head(TWICE, 12)
    ends = [n for n, word in enumerate(words) if word == "."]
    assert logits[ends[RIGHT]].round() == logits[ends[-1]].round() == 4
    share = shares(weights, words)
    assert share[RIGHT].item() == pytest.approx(0.5, abs=1e-3)
    assert share[-1].item() == pytest.approx(0.5, abs=1e-3)
    # a head over pairs: [j is alice] + [k is rabbit] + [the same sentence]
    alice, rabbit = (
        torch.tensor([w == name for w in words]).double() for name in QUESTION.split()[1:]
    )
    same = F.one_hot(sentences(words)).double()
    one = torch.ones_like(alice)[:, None]
    k1, k2 = (torch.cat(x, 1) for x in ((alice[:, None], one, same), (one, rabbit[:, None], same)))
    logits = 12 * torch.einsum("jd,kd->jk", k1, k2)  # the query is 1 everywhere
    pairs = logits.flatten().softmax(0).view_as(logits)
    assert shares(pairs.sum(1), words)[RIGHT].item() == pytest.approx(0.9996, abs=5e-5)


# the block task


@pytest.mark.claim("mta-task-example")
def test_one_block_of_the_example_holds_both_letters():
    blocks = "hjnvt qfjgt whftb bjtpq qoiax".split()
    assert [block for block in blocks if set("pb") <= set(block)] == ["bjtpq"]


def released_text(n, length=319, question=2):
    """The steps of the released generator: blocks, their number, and the cut at the end."""
    target = "".join(random.sample(string.ascii_lowercase, n))
    asked = random.sample(target, question)
    room = length - n - question - 1  # for the blocks; # , question and answer come after
    blocks = {target}
    while len(blocks) < math.ceil(room / (n + 1)):
        block = "".join(random.sample(string.ascii_lowercase, n))
        if not set(asked) <= set(block):
            blocks.add(block)
    shuffled = sorted(blocks)
    random.shuffle(shuffled)
    return ".".join(shuffled)[:room], target


@pytest.mark.claim("mta-task-fifty")
@pytest.mark.parametrize(("n", "blocks", "cut"), [(5, 52, 5), (8, 35, 2)])
def test_blocks_in_a_text_of_the_released_script(n, blocks, cut):
    for _ in range(20):
        text, _ = released_text(n)
        found = text.split(".")
        assert len(found) == blocks > 50 or n == 8
        assert [len(block) for block in found] == [n] * (blocks - 1) + [cut]


@pytest.mark.claim("mta-task-cut")
def test_the_released_script_loses_one_answer_in_35():
    tries = 1500
    lost = 0
    for _ in range(tries):
        text, target = released_text(8)
        lost += target not in text.split(".")
    error = math.sqrt(1 / 35 * 34 / 35 / tries)
    assert abs(lost / tries - 1 / 35) < 4 * error
    assert lost / tries > 0.001 + 4 * error  # the error that Table 1 has
    assert all(target in text.split(".") for text, target in (released_text(5) for _ in range(50)))


@pytest.mark.claim("mta-task-kernel")
@pytest.mark.parametrize("n", [5, 8])
def test_taps_that_reach_a_whole_block(n):
    def letters_that_reach_all(c_k):
        before, after = c_k // 2, math.ceil(c_k / 2) - 1
        block = set(range(n))
        return [j for j in block if block <= set(range(j - before, j + after + 1))]

    assert letters_that_reach_all(2 * n - 1) == list(range(n))
    assert len(letters_that_reach_all(2 * n - 2)) < n
    assert len(letters_that_reach_all(n)) == 1
    asked, last = {1, 2}, 2  # where # p b has its letters; the answer is read at the last one
    reached = [asked <= set(range(last - c_q + 1, last + 1)) for c_q in (1, 2)]
    assert reached == [False, True]


@pytest.mark.claim("mta-task-model")
def test_parameters_of_the_toy_model():
    width, ffn, vocabulary = 256, 768, 32
    assert ffn == math.ceil(2 * 4 * width / 3 / 256) * 256
    plain = MultiHeadAttention(width, 2)
    kernels = MultiTokenAttention(width, 2, c_q=2, c_k=9)
    sizes = [sum(p.numel() for p in layer.parameters()) for layer in (plain, kernels)]
    layer = sizes[0] + 3 * width * ffn + 2 * width
    assert vocabulary * width + 4 * layer + width == 3_418_368
    assert 4 * (sizes[1] - sizes[0]) == 144


@pytest.mark.claim("mta-table1-bimodal")
def test_the_spread_of_the_baseline():
    seeds = [77.7, 75.3, 1.9]
    assert round(statistics.mean(seeds), 1) == 51.6
    assert round(statistics.stdev(seeds), 1) == 43.1
    for values in (torch.rand(5000, 3) * 100).double():  # three values are sqrt(3) sigma apart
        assert values.max() - values.min() >= math.sqrt(3) * values.std() - 1e-9
    apart = [math.floor(math.sqrt(3) * (sigma - 0.05)) for sigma in (43.1, 50.3, 46.8)]
    assert apart == [74, 87, 80]


@pytest.mark.claim("mta-table1-machines")
def test_the_same_seeds_on_two_machines():
    h100, h200 = [77.7, 75.3, 1.9], [83.9, 83.1, 37.6]
    assert [round(statistics.mean(seeds), 1) for seeds in (h100, h200)] == [51.6, 68.2]
    assert min(h200) > 35 > 2 > min(h100)
