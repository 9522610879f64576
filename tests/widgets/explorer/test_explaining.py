"""Mirrors reading.py, recipes.py, looking.py, explaining.py and sentences.py of the explorer."""

import itertools
import math

import numpy as np
import pytest
import torch

from simplex_lib.widgets.explorer.explaining import explain
from simplex_lib.widgets.explorer.looking import NAN, NEGATIVE
from simplex_lib.widgets.explorer.reading import guess_kind, read_pairs
from simplex_lib.widgets.explorer.recipes import ALL, FIRST, RECIPES, SECOND
from simplex_lib.widgets.explorer.sentences import name, say


def logits(s=6, seed=0, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(s, s, s, generator=generator, dtype=torch.float64)


def loops(a, i, recipe=ALL):
    """Probabilities of query i by explicit loops, causal in both keys."""
    p = np.full(a.shape[1:], np.nan)
    for j, k in itertools.product(range(i + 1), repeat=2):
        rows = range(i + 1) if recipe in (ALL, FIRST) else [j]
        cols = range(i + 1) if recipe in (ALL, SECOND) else [k]
        total = sum(math.exp(a[i, m, n]) for m, n in itertools.product(rows, cols))
        p[j, k] = math.exp(a[i, j, k]) / total
    return p


def sentence(tensor, i=-1, mode="probs", **options):
    pairs = read_pairs(tensor, **options)
    return say(explain(pairs, 0, i % len(pairs.tokens)), mode, pairs.tokens)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("i", [0, 1, 5])
def test_probabilities_and_marginals_equal_loops(i, recipe):
    x, p = explain(read_pairs(logits()), 0, i, recipe=recipe), loops(logits(), i, recipe)
    np.testing.assert_allclose(x.probs, p)
    np.testing.assert_allclose(x.first, np.nansum(p, 1))
    np.testing.assert_allclose(x.second, np.nansum(p, 0))
    np.testing.assert_allclose(x.logits[: i + 1, : i + 1], logits()[i, : i + 1, : i + 1])
    known = x.visible
    lse = np.broadcast_to(x.lse, x.probs.shape)
    np.testing.assert_allclose((np.log(x.probs) + lse)[known], x.logits[known])


def test_table_is_sorted_and_shares_add_up():
    x = explain(read_pairs(logits()), 0, 5)
    rows, p = x.rows["probs"], loops(logits(), 5)
    assert [r.prob for r in rows] == sorted((r.prob for r in rows), reverse=True)
    assert rows[0].prob == pytest.approx(np.nanmax(p))
    assert rows[0].prob == pytest.approx(p[rows[0].first, rows[0].second])
    assert rows[-1].share == pytest.approx(sum(r.prob for r in rows))
    assert rows[3].swapped == pytest.approx(p[rows[3].second, rows[3].first])


def test_a_product_adds_nothing_and_a_diagonal_does():
    f, g = torch.randn(2, 5, generator=torch.Generator().manual_seed(1)).double()
    x = explain(read_pairs((f[:, None] + g).expand(5, 5, 5)), 0, 4)
    assert x.mutual == pytest.approx(0, abs=1e-12) and x.moved == pytest.approx(0, abs=1e-12)
    assert "they alone would give it" in say(x, "probs", tuple("abcde"))
    assert "sits on one pair" not in say(x, "probs", tuple("abcde"))
    sharp = torch.zeros(4, 4, 4)
    sharp[:, 0, 0] = 12
    said = say(explain(read_pairs(sharp), 0, 3), "probs", tuple("abcd"))
    assert "as any map is that sits on one pair" in said
    x = explain(read_pairs(torch.eye(4).expand(4, 4, 4) / 4, causal=False), 0, 3)
    assert x.mutual == pytest.approx(math.log(4)) == pytest.approx(x.mutual_max)
    assert x.moved == pytest.approx(0.75) and x.swapped == 0
    assert "swapping them changes nothing" in say(x, "asymmetry", tuple("abcd"))


def test_logits_and_their_probabilities_are_told_apart_and_agree():
    a = explain(read_pairs(logits()), 0, 5)
    probs = np.stack([np.nan_to_num(loops(logits(), i)) for i in range(6)])
    given = read_pairs(probs)
    assert given.kind == "probs" and "logits" not in explain(given, 0, 5).rows
    np.testing.assert_allclose(a.probs, explain(given, 0, 5).probs)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda x: x, "logits"),
        (lambda x: x.flatten(1).softmax(-1).view_as(x), "probs"),
        (lambda x: x.softmax(-1), "probs"),  # a learner's softmax over one key is no logits
        (lambda x: x.softmax(-2), "probs"),
        (lambda x: x.softmax(-1).tril(), "logits"),  # sums to anything: say kind="probs"
        (lambda x: x.abs(), "logits"),
        (torch.zeros_like, "logits"),
    ],
)
def test_kind_is_guessed_from_the_sums(make, kind):
    assert guess_kind(make(logits()).numpy()[None]) == kind


def test_compact_windows_give_the_same_map():
    s, w1, w2 = 7, 3, 2
    full = torch.full((s, s, s), float("-inf")).double()
    compact = torch.full((s, w1, w2), float("-inf")).double()
    values = logits(7)
    for i, a, b in itertools.product(range(s), range(w1), range(w2)):
        j, k = i - w1 + 1 + a, i - w2 + 1 + b
        if j >= 0 and k >= 0:
            full[i, j, k] = compact[i, a, b] = values[i, j, k]
    one, two = read_pairs(full), read_pairs(compact, w1=w1, w2=w2)
    for i, recipe in itertools.product(range(s), RECIPES):
        x, y = (explain(p, 0, i, w1=w1, w2=w2, recipe=recipe) for p in (one, two))
        np.testing.assert_allclose(x.probs, y.probs)
        np.testing.assert_allclose(np.nan_to_num(x.lse, neginf=0), np.nan_to_num(y.lse))
        assert x.window == y.window == (max(0, i - 2), i, max(0, i - 1), i)
        assert x.kept == pytest.approx(1) and x.drawn == pytest.approx(1)


def test_long_texts_show_the_latest_keys_and_say_so():
    x = explain(read_pairs(torch.zeros(80, 80, 80)), 0, 79)
    assert (x.origin, len(x.first)) == (16, 64) and x.drawn == pytest.approx(0.64)
    assert "Only 64 keys are drawn; they hold 64 %." in say(x, "probs", tuple(map(str, range(80))))


def test_a_window_says_what_it_would_cut_off():
    x = explain(read_pairs(torch.zeros(8, 8, 8)), 0, 7, w1=4, w2=8)
    assert x.kept == pytest.approx(0.5)
    assert "would keep 50 %" in say(x, "probs", tuple("abcdefgh"))


def test_difference():
    pairs, other = read_pairs(logits()), read_pairs(logits(seed=1))
    x = explain(pairs, 0, 5, compare=other)
    np.testing.assert_allclose(x.difference, loops(logits(), 5) - loops(logits(seed=1), 5))
    assert "differs by" in say(x, "difference", pairs.tokens)
    same = explain(pairs, 0, 5, compare=pairs)
    said = say(same, "difference", pairs.tokens)
    assert "same probability in both" in said and "logits differ" not in said


@pytest.mark.parametrize("mode", ["logits", "difference"])
def test_a_difference_of_logits_is_said_where_the_softmax_hides_it(mode):
    pairs, other = (read_pairs(x * torch.ones(2, 2, 2), kind="logits") for x in (-0.05, -0.03))
    said = say(explain(pairs, 0, 0, compare=other), mode, pairs.tokens)
    assert "logit −0.05 here, −0.03 in the other" in said


def test_repeated_tokens_always_show_their_index():
    x = explain(read_pairs(logits(), tokens=list("012342")), 0, 5)
    assert "“2” (5)" in say(x, "probs", tuple("012342"))
    assert name(2, tuple("012342")) == "“2” (2)" and name(2, tuple("012")) == "2"


# a learner's own tensor, right or wrong -----------------------------------------------------------


def test_the_example_of_two_by_two():
    pairs = read_pairs([[[2.0, 0], [0, 0]]] * 2, causal=False)
    right, wrong = (explain(pairs, 0, 1, recipe=r) for r in (ALL, SECOND))
    np.testing.assert_allclose(right.probs, [[0.711, 0.096], [0.096, 0.096]], atol=5e-4)
    np.testing.assert_allclose(wrong.probs, [[0.881, 0.119], [0.5, 0.5]], atol=5e-4)
    assert wrong.first == pytest.approx([1, 1]) and wrong.faults.total == pytest.approx(2)
    text = say(wrong, "probs", pairs.tokens)
    assert "sums to 2.000, not to 1: each first key has a unit of its own" in text
    assert "softmax over the second key only" in text
    assert "sums" not in say(right, "probs", pairs.tokens)


def test_a_softmax_over_one_key_is_named_whatever_made_it():
    past = torch.ones(4, 4).tril().bool()
    masked = logits(4).masked_fill(~(past[:, :, None] & past[:, None, :]), float("-inf"))
    text = sentence(masked.softmax(-1).nan_to_num(), kind="probs")
    assert "sums to 4.000" in text and "over the second key only" in text
    text = sentence(masked.softmax(-2).nan_to_num(), kind="probs")
    assert "each second key has a unit of its own" in text
    assert "This map sums to 0.500, not to 1." in sentence(
        torch.full((2, 2, 2), 1 / 8), kind="probs"
    )


def test_future_probabilities_are_kept_and_named():
    probs = logits(5).flatten(1).softmax(-1).view(5, 5, 5)
    x = explain(read_pairs(probs), 0, 2)
    ahead = 1 - probs[2, :3, :3].sum()
    assert x.faults.future == pytest.approx(float(ahead)) and x.faults.future_keys == "both"
    assert np.isfinite(x.probs).all()
    half = logits(5).masked_fill(~torch.ones(5, 5).tril().bool()[:, :, None], float("-inf"))
    text = sentence(half.flatten(1).softmax(-1).view(5, 5, 5), 2)
    assert "lies on keys after the query" in text
    assert "the first key is masked, the second is not" in text
    # logits of the future are masked: raw scores have them always
    assert explain(read_pairs(logits(5)), 0, 2).faults.future == 0


def test_nan_and_infinite_entries_are_marked_and_counted():
    x = logits(4)
    x[3, 1, 2] = float("nan")
    x[3, 2, 2] = float("inf")
    seen = explain(read_pairs(x), 0, 3)
    assert seen.marks[1, 2] == seen.marks[2, 2] == NAN and np.isnan(seen.probs[1, 2])
    assert np.nansum(seen.probs) == pytest.approx(1)
    text = sentence(x)
    assert "2 entries are NaN or infinite, the first at first key 1, second key 2" in text
    assert "a softmax over this gives NaN everywhere" in text
    x[3, 2, 2] = 0
    assert "1 entry is NaN, at first key 1, second key 2" in sentence(x)
    assert "NaN" not in sentence(x, 2)
    probs = torch.full((2, 2, 2), float("nan"))
    assert "4 entries are NaN" in sentence(probs, kind="probs")


def test_negative_probabilities_are_marked():
    probs = torch.tensor([[[0.75, -0.25], [0.25, 0.25]]] * 2)
    x = explain(read_pairs(probs, kind="probs", causal=False), 0, 1)
    assert x.marks[0, 1] == NEGATIVE and x.faults.total == pytest.approx(1)
    assert "1 entry is negative, at first key 0, second key 1" in sentence(
        probs, kind="probs", causal=False
    )


@pytest.mark.parametrize("kind", ["logits", "probs"])
def test_a_query_without_any_pair_is_shown(kind):
    x = torch.full((3, 3, 3), float("-inf")) if kind == "logits" else torch.zeros(3, 3, 3)
    text = sentence(x, kind=kind)
    assert "sees no pair at all" in text if kind == "logits" else "gives every pair 0" in text


@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        (torch.zeros(6, 6, 6), "36 pairs share the first place, 0.03 each"),
        (torch.zeros(1, 1, 1), "sees one pair only, first key 0 with second key 0: 1.00"),
        (logits(6, scale=0.5), "spreads its attention"),
        (logits(6, scale=9), "reads first key"),
    ],
)
def test_the_sentence_says_how_sharp_the_map_is(tensor, text):
    text = text.replace("0.03 each", "0.028 each")
    assert text in sentence(tensor)


@pytest.mark.errors
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(tensor=torch.zeros(4, 4)), r"tensor must be \(s, s, s\).*got \(4, 4\)"),
        (dict(tensor=torch.zeros(0, 0, 0)), r"at least one query; got \(0, 0, 0\)"),
        (dict(tensor="abc"), "tensor must be a tensor of numbers.*got str"),
        (dict(tensor=torch.zeros(4, 3, 2)), r"w1 = None and w2 = None that were given; got \(4, 3"),
        (dict(tensor=torch.zeros(2, 1, 4, 4, 4), batch=2), "batch must be .* below 2; got 2"),
        (dict(tokens=["a"]), "tokens must be as many as queries, 4; got 1"),
        (dict(heads=["a", "b"]), "heads must name as many as the tensor has, 1; got 2"),
        (dict(kind="scores"), "kind must be None or one of 'logits', 'probs'; got 'scores'"),
        (dict(w1=0), "w1 counts the query's own position, so it is at least 1; got 0"),
    ],
)
def test_errors_name_the_argument(change, message):
    with pytest.raises(ValueError, match=message):
        read_pairs(**(dict(tensor=torch.zeros(4, 4, 4)) | change))
