"""The claims of claims/02_trilinear.toml, each from the plainest arithmetic that shows it."""

import itertools
import math

import pytest
import torch

from simplex_lib.attention import (
    MultiHeadAttention,
    TwoSimplicialAttention,
    pair_window,
    trilinear_attention,
    trilinear_logits,
    triple_product_logits,
)


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def triple(a, b, c):
    """One score of three vectors."""
    return triple_product_logits(*(x.view(1, 1, 1, -1) for x in (a, b, c))).squeeze()


@pytest.mark.claim("fs-eq5")
def test_logits_are_sums_of_products_of_three():
    q, k1, k2 = draw(3, 1, 1, 4, 3)
    for i, j, k in itertools.product(range(4), repeat=3):
        by_hand = sum(q[0, 0, i, c] * k1[0, 0, j, c] * k2[0, 0, k, c] for c in range(3))
        torch.testing.assert_close(trilinear_logits(q, k1, k2)[0, 0, i, j, k], by_hand)


@pytest.mark.claim("fs-eq6")
def test_one_unit_for_all_pairs_of_a_query():
    q, k1, k2 = draw(3, 1, 1, 5, 4)
    ones = torch.ones(1, 1, 5, 1, dtype=torch.float64)
    torch.testing.assert_close(trilinear_attention(q, k1, k2, ones, ones), ones)
    hidden = ~pair_window(5, None, None)
    logits = trilinear_logits(q, k1, k2).masked_fill(hidden, -math.inf)
    by_second_key = logits.softmax(-1).nan_to_num()[0, 0]
    torch.testing.assert_close(by_second_key.sum((-2, -1)), torch.arange(1.0, 6).double())


@pytest.mark.claim("fs-eq7")
@pytest.mark.parametrize(("w1", "w2"), [(None, None), (3, 2)])
def test_output_is_the_mean_of_products_of_values(w1, w2):
    q, k1, k2, v1, v2 = draw(5, 1, 1, 5, 4)
    out = trilinear_attention(q, k1, k2, v1, v2, w1=w1, w2=w2)
    for i in range(5):
        top, bottom = torch.zeros(4).double(), 0.0
        for j in range(max(0, i - (w1 or 5) + 1), i + 1):
            for k in range(max(0, i - (w2 or 5) + 1), i + 1):
                weight = math.exp((q[0, 0, i] * k1[0, 0, j] * k2[0, 0, k]).sum() / 2)
                top, bottom = top + weight * v1[0, 0, j] * v2[0, 0, k], bottom + weight
        torch.testing.assert_close(out[0, 0, i], top / bottom)


def algorithm_1(q, k1, k2, v1, v2, scale):
    """The three lines of the listing, with its axis letters, and a factor on the logits."""
    logits = scale * torch.einsum("btnh,bsnh,brnh->bntsr", q, k1, k2)
    t = torch.arange(q.shape[1])
    past = t[:, None] >= t
    hidden = ~(past[:, :, None] & past[:, None, :])
    probs = logits.masked_fill(hidden, -math.inf).flatten(-2).softmax(-1).view_as(logits)
    return torch.einsum("bntsr,bsnh,brnh->btnh", probs, v1, v2)


@pytest.mark.claim("fs-alg1-scale")
def test_the_listing_needs_the_scale_of_eq_5():
    x = draw(5, 2, 6, 3, 4)  # (b, t, n, h) each
    mine = trilinear_attention(*(y.transpose(1, 2) for y in x)).transpose(1, 2)
    torch.testing.assert_close(algorithm_1(*x, scale=1 / 2), mine)
    printed = algorithm_1(*x, scale=1)
    assert (printed - mine).abs().max() > 0.1
    q, *rest = x
    torch.testing.assert_close(printed, algorithm_1(2 * q, *rest, scale=1 / 2))


@pytest.mark.claim("fs-projections")
def test_a_layer_has_two_more_projections():
    plain, pairs = MultiHeadAttention(32, 4, 2), TwoSimplicialAttention(32, 4, 2)
    count = [sum(p.numel() for p in layer.parameters()) for layer in (plain, pairs)]
    assert count[1] - count[0] == plain.wk.weight.numel() + plain.wv.weight.numel()
    assert pairs.wk2.weight.shape == plain.wk.weight.shape
    assert pairs.wv2.weight.shape == plain.wv.weight.shape


@pytest.mark.claim("fs-cubic")
def test_the_cube_has_n_cubed_numbers_and_a_third_is_visible():
    for n in (2, 4, 8):
        assert trilinear_logits(*draw(3, 1, 1, n, 2)).numel() == n**3
        assert int(pair_window(n, None, None).sum()) == sum((i + 1) ** 2 for i in range(n))
    n = 2000
    assert sum((i + 1) ** 2 for i in range(n)) / n**3 == pytest.approx(1 / 3, rel=1e-3)


@pytest.mark.claim("c19-eq8")
@pytest.mark.parametrize("d", [1, 2, 3, 8])
def test_the_square_of_the_triple_product(d):
    for _ in range(20):
        a, b, c = draw(3, d)
        by_definition = ((a @ b) * c - (a @ c) * b + (b @ c) * a).norm()
        square = (a @ b) ** 2 * (c @ c) + (b @ c) ** 2 * (a @ a) + (a @ c) ** 2 * (b @ b)
        square -= 2 * (a @ b) * (a @ c) * (b @ c)
        rows = torch.stack([a, b, c])
        gram = torch.linalg.det(rows @ rows.T)
        torch.testing.assert_close(by_definition**2, square)
        torch.testing.assert_close(square, (a @ a) * (b @ b) * (c @ c) - gram)
        torch.testing.assert_close(triple(a, b, c), by_definition)


@pytest.mark.claim("c19-extremes")
def test_the_extremes_of_the_triple_product():
    for _ in range(20):
        frame = torch.linalg.qr(draw(5, 3)).Q.T * draw(3, 1)
        assert triple(*frame) < 1e-9 * frame.norm() ** 3
        a, b, c = draw(3, 5)
        most = a.norm() * b.norm() * c.norm()
        assert triple(a, b, c) < most * (1 - 1e-9)
        dependent = 0.7 * a - 1.3 * b
        torch.testing.assert_close(triple(a, b, dependent), a.norm() * b.norm() * dependent.norm())
        unit = torch.nn.functional.normalize(draw(3, 3), dim=-1)
        volume = torch.linalg.det(unit).abs() / 6
        torch.testing.assert_close(triple(*unit) ** 2, 1 - 36 * volume**2)


@pytest.mark.claim("c19-virtual")
def test_virtual_entities_are_the_only_keys():
    n, m = 50, 4
    q, k1, k2 = draw(n, 3), draw(m, 3), draw(m, 3)
    scores = torch.einsum("id,jd,kd->ijk", q, k1, k2)
    assert scores.numel() == n * m**2


@pytest.mark.claim("fs-window")
def test_a_query_far_from_the_start_sees_w1_times_w2_pairs():
    seen = pair_window(40, 12, 5)
    assert int(seen[39].sum()) == 12 * 5 and int(seen[0].sum()) == 1
    assert seen[39, 28:, 35:].all()
    assert seen[39, 30, 39] and seen[39, 39, 35]  # either key may be the later one


@pytest.mark.claim("fs-rotation")
def test_a_common_rotation_changes_the_trilinear_score_and_not_the_dot_product():
    a, b, c = draw(3, 6)
    rotation = torch.linalg.qr(draw(6, 6)).Q
    torch.testing.assert_close((rotation @ a) @ (rotation @ b), a @ b)
    turned = ((rotation @ a) * (rotation @ b) * (rotation @ c)).sum()
    assert abs(turned - (a * b * c).sum()) > 0.1
