"""Mirrors simplex_lib/attention/match3.py."""

import math

import pytest
import torch

from simplex_lib.attention import (
    determinant_logits,
    match3_blank_token_head,
    match3_blank_token_weights,
    match3_features,
    match3_head,
    match3_weights,
    sufficient_c,
    sufficient_c_and_tau,
)
from simplex_lib.tasks import match3_few_values, match3_hardest, match3_labels, match3_random

LAYOUTS = ("paper", "blank token", "blank token, midpoint")
QUICK = [(1, 2), (2, 2), (2, 3), (4, 17), (8, 37), (16, 6), (8, 97), (32, 5)]
ALL = [(s, m) for s in (1, 2, 3, 4, 8, 16, 32) for m in (2, 3, 4, 5, 6, 7, 9, 17, 36, 37, 96, 97)]


def make_tokens(s, modulus, b=40):
    generator = torch.Generator().manual_seed(s * modulus)
    kinds = (match3_random, match3_few_values)
    return torch.cat(
        [match3_hardest(s, modulus), *(make(b, s, modulus, generator) for make in kinds)]
    )


def answer(layout, x, modulus, *, part=1.0, dtype=torch.float64):
    """Labels of a layout, with part of the factor that suffices."""
    s = x.shape[1]
    if layout == "paper":
        return match3_head(x, modulus, c=part * sufficient_c(s, modulus), dtype=dtype) > 0.3
    c, tau = sufficient_c_and_tau(s, modulus, midpoint=layout.endswith("midpoint"))
    return match3_blank_token_head(x, modulus, c=part * c, tau=tau, dtype=dtype) > 0.5


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("s", "modulus"), QUICK)
def test_no_error_on_random_and_on_the_hardest_inputs(layout, s, modulus):
    x = make_tokens(s, modulus)
    assert torch.equal(answer(layout, x, modulus), match3_labels(x, modulus))


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("s", "modulus"), ALL)
def test_no_error_for_s_up_to_32_and_modulus_up_to_97(layout, s, modulus):
    for x in make_tokens(s, modulus).split(16):
        assert torch.equal(answer(layout, x, modulus), match3_labels(x, modulus))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("s", "modulus"), [(4, 17), (8, 37), (16, 5)])
def test_the_hardest_inputs_need_the_factor_and_random_ones_do_not(layout, s, modulus):
    random = match3_random(20, s, modulus, torch.Generator().manual_seed(0))
    hardest = match3_hardest(s, modulus)
    wrong = answer(layout, hardest, modulus, part=0.8) != match3_labels(hardest, modulus)
    assert wrong.any()
    assert torch.equal(answer(layout, random, modulus, part=0.8), match3_labels(random, modulus))


def test_two_determinants_are_the_cosine_of_the_sum():
    x = torch.arange(23)
    total = 2 * math.pi / 23 * (x[:, None, None] + x[:, None] + x).double()
    features = match3_features(x[None], 23)[:, None]
    for weights in (match3_weights(1.0), match3_blank_token_weights(1.0, 0.9)):
        w = [matrix[:, :3] for matrix in weights]
        logits = determinant_logits(*(features @ matrix.T for matrix in w[:3]))
        torch.testing.assert_close(logits[0, 0], total.cos(), atol=1e-14, rtol=0)


def test_the_blank_pair_scores_between_the_matches_and_the_misses():
    weights = match3_blank_token_weights(10.0, 0.9)
    token, blank = torch.tensor([1.0, 0, 1, 0]).double(), torch.eye(4).double()[3]
    q = weights.wq @ token

    def score(first, second):
        rows = (q, weights.wk1 @ first, weights.wk2 @ second)
        return determinant_logits(*(row.view(1, 1, 1, 7) for row in rows)).item()

    assert score(token, token) == pytest.approx(10)  # x = 0 matches with itself
    assert score(blank, blank) == pytest.approx(9)
    assert score(token, blank) == score(blank, token) == 0
    assert (weights.wv @ blank).item() == 0
    assert (weights.wv @ token).item() == 1


def test_a_single_match_stands_at_one_half_in_the_paper_and_well_above_with_tau():
    x = torch.tensor([[2, 2, 2, 4]])  # 2 + 4 + 4 = 10 is the only match of a 2 modulo 5
    paper = match3_head(x, 5, c=1000.0)[0, 0].item()
    assert paper == pytest.approx(0.5, abs=1e-9)
    c, tau = sufficient_c_and_tau(4, 5)
    assert match3_blank_token_head(x, 5, c=c, tau=tau)[0, 0].item() > 0.7


def test_the_threshold_one_half_of_the_paper_fails_in_floating_point():
    s, modulus = 8, 97  # a single match lands a rounding error below 1/2 now and then
    x = match3_few_values(500, s, modulus, torch.Generator().manual_seed(0))
    share = match3_head(x, modulus, c=8 * sufficient_c(s, modulus))
    labels = match3_labels(x, modulus)
    assert ((share >= 0.5) != labels).any()
    assert torch.equal(share > 0.3, labels)


def test_a_smaller_modulus_or_length_needs_a_smaller_factor():
    assert sufficient_c(8, 37) < sufficient_c(16, 37) < sufficient_c(16, 97)
    ratio = sufficient_c(32, 970) / sufficient_c(32, 97)
    assert ratio == pytest.approx(100, rel=1e-3)  # of order M ** 2 ln s
    assert sufficient_c(8, 37, threshold=0.4) < sufficient_c(8, 37)


def test_the_dtype_is_kept():
    x = torch.tensor([[1, 2, 4]])
    for dtype in (torch.bfloat16, torch.float32):
        assert match3_head(x, 8, c=30.0, dtype=dtype).dtype == dtype
        assert match3_blank_token_head(x, 8, c=30.0, tau=0.95, dtype=dtype).dtype == dtype


@pytest.mark.errors
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: match3_head(x, 4, c=1.0), ValueError, "x must be from 0 to modulus - 1 = 3; g"),
        (lambda x: match3_head(x.float(), 5, c=1.0), TypeError, "x must be integers; got float32"),
        (lambda x: match3_head(x, 5, c=math.inf), ValueError, "c must be finite; got inf"),
        (lambda x: match3_head(x, 5, c="9"), TypeError, "c must be a number; got str '9'"),
        (
            lambda x: match3_blank_token_head(x, 5, c=1.0, tau=math.nan),
            ValueError,
            "tau must be finite; got nan",
        ),
        (lambda x: sufficient_c(0, 5), ValueError, "s must be at least 1; got 0"),
        (lambda x: sufficient_c(4, 1), ValueError, "modulus must be at least 2.*; got 1"),
        (lambda x: sufficient_c(4, 5, threshold=0.5), ValueError, "threshold must .*; got 0.5"),
        (lambda x: sufficient_c_and_tau(4, 5.0), TypeError, "modulus must be an int; got float"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call(torch.tensor([[1, 2, 4]]))
