"""Mirrors simplex_lib/attention/multi_token_features.py."""

import pytest
import torch

from simplex_lib.attention import (
    band_correction,
    band_width,
    filtered_keys,
    key_query_convolution,
    logits_by_features,
    shifted_queries,
)


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("c_q", "c_k"), [(1, 1), (2, 9), (6, 11), (3, 5), (4, 1)])
@pytest.mark.parametrize("s", [1, 4, 23])
def test_dot_products_equal_the_convolution_off_the_band_and_with_the_correction(s, c_q, c_k):
    q, k = random(2, 4, s, 3, seed=1), random(2, 2, s, 3, seed=2)
    kernel = random(4, c_q, c_k, seed=3)
    raw = q @ k.repeat_interleave(2, 1).mT
    convolved = key_query_convolution(raw, kernel)
    features, off = logits_by_features(q, k, kernel), band_width(c_q, c_k)
    torch.testing.assert_close(features.tril(-off), convolved.tril(-off))
    correction = band_correction(q, k, kernel)
    torch.testing.assert_close((features - correction).tril(), convolved)
    assert correction.tril(-off).abs().max() == 0


@pytest.mark.parametrize(("c_q", "c_k"), [(2, 9), (6, 11), (3, 5)])
def test_the_band_is_as_wide_as_it_says(c_q, c_k):
    q, k, kernel = random(1, 1, 30, 3, seed=1), random(1, 1, 30, 3, seed=2), random(1, c_q, c_k)
    wrong = (logits_by_features(q, k, kernel) - key_query_convolution(q @ k.mT, kernel)).tril()
    last = wrong.diagonal(-(band_width(c_q, c_k) - 1), -2, -1)
    assert last.abs().max() > 1e-3


def test_factors_are_shifts_and_sums():
    q, kernel = random(1, 1, 6, 2), random(1, 3, 5, seed=4)
    shifted, filtered = shifted_queries(q, 3), filtered_keys(q, kernel)
    torch.testing.assert_close(shifted[:, :, 2, 2:], q[:, :, :4])
    assert shifted[:, :, 2, :2].abs().max() == 0
    by_hand = sum(kernel[0, 2 - 1, 2 + b] * q[0, 0, 3 + b] for b in range(-2, 3))
    torch.testing.assert_close(filtered[0, 0, 1, 3], by_hand)


def test_a_map_of_convolved_logits_has_rank_c_q_d_away_from_the_mask():
    q, k, kernel = random(1, 1, 60, 2, seed=1), random(1, 1, 60, 2, seed=2), random(1, 3, 5)
    block = key_query_convolution(q @ k.mT, kernel)[0, 0, 35:, :25]
    assert torch.linalg.matrix_rank(block) == 3 * 2


@pytest.mark.errors
def test_errors_name_the_argument():
    q = random(1, 2, 5, 3)
    with pytest.raises(ValueError, match="kernel must have an odd number of key taps"):
        logits_by_features(q, q, random(2, 2, 4))
    with pytest.raises(ValueError, match=r"kernel must be \(h, c_q, c_k\) with h = 2"):
        band_correction(q, q, random(3, 2, 3))
