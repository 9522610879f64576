"""The claims of claims/01_dot_product.toml, each from the plainest arithmetic that shows it."""

import math

import pytest
import torch

from simplex_lib.attention import (
    dot_product_attention,
    dot_product_attention_with_lse,
    dot_product_logits,
    online_softmax_attention,
)


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.claim("fs-eq2")
def test_logits_are_scaled_dot_products():
    q, k = draw(1, 1, 5, 4), draw(1, 1, 5, 4)
    for i in range(5):
        for j in range(5):
            by_hand = sum(q[0, 0, i, c] * k[0, 0, j, c] for c in range(4))
            torch.testing.assert_close(dot_product_logits(q, k)[0, 0, i, j], by_hand)


@pytest.mark.claim("fs-eq2")
@pytest.mark.parametrize("d", [4, 64, 256])
def test_the_variance_of_a_dot_product_is_d(d):
    dots = (draw(100_000, d) * draw(100_000, d)).sum(-1)
    # the fourth moment of such a sum is 3 d^2 + 6 d, so this variance has a standard error of
    # sqrt((2 d^2 + 6 d) / 100,000); five of them are allowed
    assert abs(dots.var() - d) < 5 * math.sqrt((2 * d**2 + 6 * d) / 100_000)


@pytest.mark.claim("fs-eq3")
def test_every_query_has_one_unit_of_attention():
    q, k = draw(1, 2, 6, 4), draw(1, 2, 6, 4)
    ones = torch.ones(1, 2, 6, 1, dtype=torch.float64)
    torch.testing.assert_close(dot_product_attention(q, k, ones), ones)
    logits = (q[0, 0, 5] * k[0, 0]).sum(-1) / 2
    by_hand = logits.exp() / logits.exp().sum()
    probs = dot_product_attention(q, k, torch.eye(6).double().expand(1, 2, 6, 6))
    torch.testing.assert_close(probs[0, 0, 5], by_hand)


@pytest.mark.claim("fs-eq4")
def test_the_sum_over_logits_is_no_mean_and_the_sum_over_probabilities_is():
    q, k, ones = draw(1, 1, 5, 4), draw(1, 1, 5, 4), torch.ones(1, 1, 5, 1).double()
    printed = (dot_product_logits(q, k) / 2) @ ones
    assert (printed - 1).abs().max() > 0.1
    torch.testing.assert_close(dot_product_attention(q, k, ones, causal=False), ones)


@pytest.mark.claim("gqa-cache")
@pytest.mark.parametrize("group", [1, 4, 8])
def test_shared_heads_equal_copied_heads_and_shrink_the_cache(group):
    q, k, v = draw(1, 8, 5, 4), draw(1, 8 // group, 5, 4), draw(1, 8 // group, 5, 4)
    copies = [x.repeat_interleave(group, 1) for x in (k, v)]
    torch.testing.assert_close(dot_product_attention(q, k, v), dot_product_attention(q, *copies))
    assert sum(x.nbytes for x in copies) == group * (k.nbytes + v.nbytes)


@pytest.mark.claim("online-softmax")
@pytest.mark.parametrize("block", [1, 2, 3, 7, 11, 64])
def test_blocks_with_m_l_acc_give_the_same_output_and_lse(block):
    q, k, v = draw(1, 2, 11, 4), draw(1, 2, 11, 4), draw(1, 2, 11, 4)
    got = online_softmax_attention(q, k, v, block_size=block)
    for mine, want in zip(got, dot_product_attention_with_lse(q, k, v), strict=True):
        torch.testing.assert_close(mine, want)


@pytest.mark.claim("fa3-line21")
def test_the_rescaling_factor_has_no_inverse():
    logits, values = torch.tensor([0.0, 2.0]).double(), torch.tensor([1.0, 5.0]).double()
    want = logits.softmax(0) @ values

    def run(factor):
        m, l, acc = logits[0], torch.ones(()).double(), values[0]  # noqa: E741
        new = torch.maximum(m, logits[1])
        p = torch.exp(logits[1] - new)
        l = torch.exp(m - new) * l + p  # noqa: E741
        return (factor(m, new) * acc + p * values[1]) / l

    torch.testing.assert_close(run(lambda m, new: torch.exp(m - new)), want)
    printed = run(lambda m, new: 1 / torch.exp(m - new))
    assert abs(printed - want) > 1


@pytest.mark.claim("dot-flops")
@pytest.mark.parametrize("n", [1, 16, 1024])
def test_causal_cost_is_two_n_squared_to_one_part_in_n(n):
    pairs = sum(i + 1 for i in range(n))
    cost = 2 * 2 * pairs  # two products, a multiplication and an addition each
    assert cost == 2 * n * (n + 1)
    assert cost / (2 * n**2) == pytest.approx(1 + 1 / n)
