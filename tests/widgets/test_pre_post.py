"""Mirrors simplex_lib/widgets/pre_post*.py: both sides against loops, words, still form."""

import math

import pytest
import torch

from simplex_lib.widgets.kernel_editor_words import Inputs
from simplex_lib.widgets.pre_post import compare_pre_post
from simplex_lib.widgets.pre_post_maps import Row, pre_post_payload

CASES = [(8, 3, 5), (4, 6, 9), (6, 1, 3), (1, 2, 1)]


def softmax(row):
    powers = [math.exp(x) for x in row]
    return [x / sum(powers) for x in powers]


def convolved(map_, kernel):
    """New entries j <= i of a lower triangle, from the definition."""
    s, c_q, c_k = len(map_), len(kernel), len(kernel[0])
    new = []
    for i in range(s):
        row = []
        for j in range(i + 1):
            x = 0.0
            for a in range(min(c_q, i + 1)):
                for b in range(-(c_k // 2), c_k // 2 + 1):
                    if 0 <= j + b <= i - a:
                        x += kernel[c_q - 1 - a][c_k // 2 + b] * map_[i - a][j + b]
            row.append(x)
        new.append(row)
    return new


@pytest.mark.parametrize(("s", "c_q", "c_k"), CASES)
def test_both_sides_equal_loops(s, c_q, c_k):
    generator = torch.Generator().manual_seed(s)
    q, k = torch.randn(2, s, 4, generator=generator, dtype=torch.float64)
    kernel = torch.randn(c_q, c_k, generator=generator, dtype=torch.float64).tolist()
    p = pre_post_payload(Inputs(q, k, 0.5, tuple(map(str, range(s)))), kernel, (s - 1, 0))
    raw = [[0.5 * float(q[i] @ k[j]) for j in range(i + 1)] for i in range(s)]
    pre = [softmax(row) for row in convolved(raw, kernel)]
    alone = [softmax(row) for row in raw]
    post = convolved(alone, kernel)
    for i in range(s):
        for map_, truth in ((p.alone, alone), (p.pre, pre), (p.post, post)):
            assert map_[i, : i + 1].tolist() == pytest.approx(truth[i])
            assert not map_[i, i + 1 :].any()
        for side, truth in (("pre", pre), ("post", post)):
            row = p.rows[side][i]
            assert row.total == pytest.approx(sum(truth[i]))
            assert row.negative == sum(x < 0 for x in truth[i])
            assert truth[i][row.best] == pytest.approx(max(truth[i]))
        assert p.rows["pre"][i].total == pytest.approx(1) and not p.rows["pre"][i].negative
    for side, map_ in (("pre", p.logits), ("post", p.post)):
        total = sum(t.product for row in p.terms[side] for t in row)
        assert total == pytest.approx(float(map_[s - 1, 0]))


def test_a_row():
    assert Row.of([0.1, 0.6, 0.3]) == Row(pytest.approx(1.0), 0, 1, 2, pytest.approx(2.0))
    assert Row.of([-0.5, 1.0]) == Row(0.5, 1, 1, 0, None)
    assert Row.of([1.0]) == Row(1.0, 0, 0, None, None)


def test_evidence_multiplies_before_and_adds_after():
    p = compare_pre_post().seen
    pre, post = p.rows["pre"][11], p.rows["post"][11]
    assert (pre.best, post.best) == (2, 2)
    assert pre.ahead == pytest.approx(math.exp(4))  # one more word: one more factor e^4
    assert 1.8 < post.ahead < 1.9 and post.total == pytest.approx(8.15, abs=0.005)


def test_sentences():
    assert compare_pre_post().sentence == (
        "Query 11 ‘rabbit’, key 2 ‘the’. Kernel before the softmax: logit 4 + 4 = 8, share 90.0%; "
        "the largest, ‘the’, is 54.6 times the next. Kernel after it: weight 0.872 + 0.832 + 8 "
        "more ≈ 1.83; the largest, ‘the’, is 1.86 times the next, and the row sums to 8.15."
    )
    edge = compare_pre_post(kernel="edge").sentence
    assert "0.832 + (−0.015) ≈ 0.817" in edge and "1 entry below 0" in edge
    assert "hides the entry" in compare_pre_post(entry=(2, 5)).sentence
    first = compare_pre_post(entry=(0, 0)).sentence
    assert "no other key to compare with" in first
    numbers = compare_pre_post(torch.eye(4), torch.eye(4), "identity").sentence
    assert "the largest, key 3, is" in numbers


def test_an_identity_changes_nothing_on_either_side():
    p = compare_pre_post(kernel="identity").seen
    torch.testing.assert_close(p.pre, p.alone)
    torch.testing.assert_close(p.post, p.alone)


@pytest.mark.errors
def test_errors_are_those_of_the_kernel_editor():
    with pytest.raises(ValueError, match="kernel must be one of"):
        compare_pre_post(kernel="box")
    with pytest.raises(ValueError, match=r"entry\[1\] must be a whole number from 0 to 11, a key"):
        compare_pre_post(entry=(3, 40))


def test_the_view_follows_the_board():
    widget = compare_pre_post()
    widget.live()
    view = widget._view
    widget._heard(None, dict(panel="post", row=10, column=4), None)
    assert widget.choices["entry"] == (10, 4) and "Query 10 ‘the’, key 4" in view.sentence.value
    widget._heard(None, dict(panel="kernel", row=3, column=2, typed="x"), None)
    assert "⚠ The tap (i, j) must lie between" in view.sentence.value
    widget._heard(None, dict(panel="kernel", row=3, column=2, steps=1), None)
    assert widget.seen.kernel[3][2] == 1.5 and view.table.value == widget.table()
    sums = next(x["sums"] for x in view.picture.scene["panels"] if x["id"] == "pre")
    assert sums == ["1"] * 12


@pytest.mark.parametrize("kernel", ["two words", "edge", "constant", [[-1.0] * 11] * 6])
def test_still_form_is_small(kernel):
    widget = compare_pre_post(kernel=kernel)
    picture = widget.still()
    assert picture.startswith(b"\x89PNG") and len(picture) < 8_000 and picture == widget.still()
    assert widget.table().count("<tr") == 3
