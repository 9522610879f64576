"""The claims of claims/03_determinants_rotary.toml, each from the plainest arithmetic."""

import itertools
import math

import pytest
import torch

from simplex_lib.attention import (
    determinant_attention,
    determinant_logits,
    match3_blank_token_head,
    match3_features,
    match3_head,
    match3_weights,
    rotary_frequencies,
    rotary_pairs,
    rotary_triples,
    rotate_about,
    sufficient_c,
    sufficient_c_and_tau,
    trilinear_logits,
)
from simplex_lib.tasks import match3_few_values, match3_hardest, match3_labels, match3_random


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def rotation(d):
    """A random orthogonal matrix of determinant 1."""
    turn = torch.linalg.qr(draw(d, d)).Q
    turn[0] *= torch.linalg.det(turn).sign()
    return turn


def planes(angles):
    """The matrix that turns coordinates 2 l and 2 l + 1 by angles[l]."""
    cells = [[[a.cos(), -a.sin()], [a.sin(), a.cos()]] for a in angles]
    return torch.block_diag(*(torch.tensor(cell, dtype=torch.float64) for cell in cells))


def cosine_gap(modulus):
    return 1 - math.cos(2 * math.pi / modulus)


# positions


@pytest.mark.claim("rope-relative")
def test_a_turned_dot_product_sees_the_offset_alone():
    q, k = draw(2, 1, 1, 6, 8)
    speed = rotary_frequencies(4)
    here, late = (torch.arange(6) + start for start in (0, 1_000_000))
    logits = rotary_pairs(q) @ rotary_pairs(k).mT
    torch.testing.assert_close(rotary_pairs(q, late) @ rotary_pairs(k, late).mT, logits)
    for m, n in itertools.product(here.tolist(), repeat=2):
        by_offset = q[0, 0, m] @ (planes((n - m) * speed) @ k[0, 0, n])
        torch.testing.assert_close(logits[0, 0, m, n], by_offset)


@pytest.mark.claim("rope-elementwise")
def test_the_elementwise_form_is_the_rotation_and_two_layouts_are_one_permutation_apart():
    x, speed = draw(1, 1, 5, 6), rotary_frequencies(3)
    angle = torch.arange(5).double()[:, None] * speed  # (s, p)
    turned = torch.stack([planes(angle[i]) @ x[0, 0, i] for i in range(5)])
    cos, sin = (f.repeat_interleave(2, -1) for f in (angle.cos(), angle.sin()))
    rotate = torch.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(-2)
    torch.testing.assert_close((x * cos + rotate * sin)[0, 0], turned)
    torch.testing.assert_close(rotary_pairs(x)[0, 0], turned)
    half = torch.cat([x[..., ::2], x[..., 1::2]], -1)  # coordinates l and l + d / 2 are a pair
    cos, sin = (torch.cat([f, f], -1) for f in (angle.cos(), angle.sin()))
    half = half * cos + torch.cat([-half[..., 3:], half[..., :3]], -1) * sin
    order = [0, 3, 1, 4, 2, 5]
    torch.testing.assert_close(half[0, 0][:, order], turned)
    assert (half[0, 0] - turned)[1:].abs().max() > 0.1


@pytest.mark.claim("fs-dot-rotation")
def test_a_dot_product_does_not_change_under_any_common_orthogonal_matrix():
    q, k = draw(2, 7)
    mirror = torch.diag(torch.tensor([-1.0, 1, 1, 1, 1, 1, 1]).double())
    for turn in (rotation(7), rotation(7) @ mirror):
        torch.testing.assert_close((turn @ q) @ (turn @ k), q @ k)


@pytest.mark.claim("fs-det2")
def test_the_determinant_of_two():
    a, b, more = draw(3, 2)

    def det(a, b):
        return a[0] * b[1] - a[1] * b[0]

    torch.testing.assert_close(det(a, b), torch.linalg.det(torch.stack([a, b])))
    torch.testing.assert_close(det(a + 3 * more, b), det(a, b) + 3 * det(more, b))
    torch.testing.assert_close(det(a, b + 3 * more), det(a, b) + 3 * det(a, more))
    turn = rotation(2)
    torch.testing.assert_close(det(turn @ a, turn @ b), det(a, b))
    flip = torch.tensor([-1.0, 1]).double()
    torch.testing.assert_close(det(flip * a, flip * b), -det(a, b))
    assert abs((flip * a) @ (flip * b) - a @ b) < 1e-12


@pytest.mark.claim("fs-det3")
def test_the_determinant_of_three():
    rows, more = draw(3, 3), draw(3)
    det, turn = torch.linalg.det, rotation(3)
    for row in range(3):
        changed, other = rows.clone(), rows.clone()
        changed[row], other[row] = rows[row] + 3 * more, more
        torch.testing.assert_close(det(changed), det(rows) + 3 * det(other))
    torch.testing.assert_close(det(rows @ turn.T), det(rows))
    torch.testing.assert_close(det(rows[[1, 0, 2]]), -det(rows))
    flip = torch.tensor([1.0, -1, 1]).double()
    torch.testing.assert_close(det(rows * flip), -det(rows))
    assert ((rows @ turn.T).prod(0).sum() - rows.prod(0).sum()).abs() > 0.1


@pytest.mark.claim("fs-rotary-enough")
def test_relative_positions_need_rotations_that_commute():
    x, late = draw(3, 1, 1, 5, 3), torch.arange(5) + 7

    def logits(axis_at, positions):
        turned = (rotate_about(t, axis_at(positions).double(), positions.double() * 0.4) for t in x)
        return determinant_logits(*turned)

    def fixed(p):
        return torch.tensor([1.0, 2, 2]).expand(len(p), 3)

    def changing(p):
        return torch.stack([p.cos(), p.sin(), torch.ones(len(p))], -1)

    here = torch.arange(5)
    torch.testing.assert_close(logits(fixed, here), logits(fixed, late))
    moved = (logits(changing, here) - logits(changing, late)).abs().max()
    assert moved > 0.1
    turn = rotation(3)  # and yet each of these logits is invariant
    together = determinant_logits(*(t @ turn.T for t in x))
    torch.testing.assert_close(together, determinant_logits(*x))
    q, k1, k2 = x[:, :, :, :1].double()  # the offsets do matter
    at = [rotary_triples(t, torch.tensor([p])) for t, p in ((q, 0), (k1, 1), (k2, 3))]
    assert (determinant_logits(*at) - determinant_logits(q, k1, k2)).abs().max() > 1e-3


# determinant logits


@pytest.mark.claim("fs-eq8")
def test_sarrus_is_two_trilinear_products():
    for a, b, c in torch.randint(-9, 10, (20, 3, 3)).tolist():
        six = a[0] * b[1] * c[2] + a[1] * b[2] * c[0] + a[2] * b[0] * c[1]
        six -= a[0] * b[2] * c[1] + a[1] * b[0] * c[2] + a[2] * b[1] * c[0]
        plus = sum(x * y * z for x, y, z in zip(a, b[1:] + b[:1], c[2:] + c[:2], strict=True))
        minus = sum(x * y * z for x, y, z in zip(a, b[2:] + b[:2], c[1:] + c[:1], strict=True))
        assert plus - minus == six
        exact = torch.linalg.det(torch.tensor([a, b, c]).double())
        assert exact.item() == pytest.approx(six, abs=1e-9)


@pytest.mark.claim("fs-two-einsums")
def test_one_einsum_becomes_two():
    q, k1, k2 = draw(3, 2, 4, 3, 6)  # (b, t, n, h) as in the listing
    letters = "btnh,bsnh,brnh->bntsr"
    ahead = torch.tensor([1, 2, 0, 4, 5, 3])
    back = torch.tensor([2, 0, 1, 5, 3, 4])
    plus = torch.einsum(letters, q, k1[..., ahead], k2[..., back])
    minus = torch.einsum(letters, q, k1[..., back], k2[..., ahead])
    mine = determinant_logits(*(x.transpose(1, 2) for x in (q, k1, k2)))
    torch.testing.assert_close(plus - minus, mine)
    rows = torch.stack([q[1, 3, 2, 3:], k1[1, 0, 2, 3:], k2[1, 2, 2, 3:]])
    second = torch.linalg.det(rows)
    rows = torch.stack([q[1, 3, 2, :3], k1[1, 0, 2, :3], k2[1, 2, 2, :3]])
    torch.testing.assert_close(mine[1, 2, 3, 0, 2], torch.linalg.det(rows) + second)


@pytest.mark.claim("fs-eq9")
def test_logits_are_sums_of_determinants_and_the_rest_stays():
    q, k1, k2, v1, v2 = draw(5, 1, 1, 4, 6)
    out = determinant_attention(q, k1, k2, v1, v2, scale=1)
    logits = determinant_logits(q, k1, k2)
    for i in range(4):
        top, bottom = torch.zeros(6).double(), 0.0
        for j, k in itertools.product(range(i + 1), repeat=2):
            rows = torch.stack([q[0, 0, i], k1[0, 0, j], k2[0, 0, k]])
            score = torch.linalg.det(rows[:, :3]) + torch.linalg.det(rows[:, 3:])
            torch.testing.assert_close(logits[0, 0, i, j, k], score)
            top, bottom = top + score.exp() * v1[0, 0, j] * v2[0, 0, k], bottom + score.exp()
        torch.testing.assert_close(out[0, 0, i], top / bottom)


@pytest.mark.claim("fs-eq9-scale")
@pytest.mark.parametrize("d", [3, 12, 48])
def test_the_variance_of_unscaled_determinant_logits_is_2_d(d):
    rows = draw(20_000, d // 3, 3, 3)
    logits = torch.linalg.det(rows).sum(1)
    assert logits.var().item() == pytest.approx(2 * d, rel=0.1)
    assert (logits / math.sqrt(d)).var().item() == pytest.approx(2, rel=0.1)


# Match3


@pytest.mark.claim("fs-eq21")
def test_the_cosine_of_three_angles_is_two_determinants():
    for t1, t2, t3 in (draw(50, 3) * 5).tolist():
        (c1, s1), (c2, s2) = ((math.cos(t), math.sin(t)) for t in (t1, t2))
        c3, s3 = math.cos(t3), math.sin(t3)
        first = torch.tensor([[c1, s1, 0], [s2, c2, 0], [0, 0, c3]], dtype=torch.float64)
        second = torch.tensor([[-s1, c1, 0], [-s2, -c2, 0], [0, 0, -s3]], dtype=torch.float64)
        parts = [torch.linalg.det(m).item() for m in (first, second)]
        assert sum(parts) == pytest.approx(math.cos(t1 + t2 + t3), abs=1e-12)
        assert parts[0] == pytest.approx(c3 * math.cos(t1 + t2), abs=1e-12)


@pytest.mark.claim("fs-match3-scores")
def test_a_pair_scores_c_times_the_cosine_of_the_sum():
    modulus, c = 11, 30.0
    x = torch.arange(modulus)
    features = match3_features(x[None], modulus)[:, None]
    wq, wk1, wk2, _ = match3_weights(c)
    assert wq.shape == wk1.shape == wk2.shape == (7, 3)
    scores = determinant_logits(*(features @ w.T for w in (wq, wk1, wk2)))[0, 0]
    total = x[:, None, None] + x[:, None] + x
    torch.testing.assert_close(scores, c * (2 * math.pi / modulus * total.double()).cos())
    match = total % modulus == 0
    assert scores[match].min() > c - 1e-9
    assert scores[~match].max() < c * (1 - cosine_gap(modulus)) + 1e-9


@pytest.mark.claim("fs-match3-share")
def test_the_output_is_the_share_of_the_matches():
    x = torch.tensor([[3, 4, 5, 4, 6, 0]])  # modulo 12
    sums = x[0][:, None, None] + x[0][:, None] + x[0]
    beta = (sums % 12 == 0).sum((1, 2)).double()
    assert beta.tolist() == [
        6,
        6,
        4,
        6,
        3,
        2,
    ]  # 3 takes 4 + 5, 5 + 4 from both 4s, and 3 + 6, 6 + 3
    for c, near in ((50.0, 0.05), (400.0, 1e-6)):
        share = match3_head(x, 12, c=c)[0]
        torch.testing.assert_close(share, beta / (beta + 1), atol=near, rtol=0)
        assert (share > beta / (beta + 1) - 1e-12).all()


@pytest.mark.claim("fs-thm51")
@pytest.mark.parametrize(("n", "modulus"), [(1, 2), (3, 3), (4, 17), (8, 37), (16, 6), (24, 97)])
def test_one_head_of_dimension_7_is_exact(n, modulus):
    x = torch.cat(
        [
            match3_hardest(n, modulus),
            match3_random(20, n, modulus),
            match3_few_values(20, n, modulus),
        ]
    )
    by_hand = [
        [any((a + b + c) % modulus == 0 for b in row for c in row) for a in row]
        for row in x[::7].tolist()
    ]
    answers = match3_head(x, modulus, c=sufficient_c(n, modulus)) > 0.3
    assert torch.equal(answers, match3_labels(x, modulus))
    assert answers[::7].tolist() == by_hand


@pytest.mark.claim("fs-thm51-c")
@pytest.mark.parametrize(("n", "modulus"), [(4, 17), (8, 37), (16, 37)])
def test_the_factor_that_the_hardest_inputs_need(n, modulus):
    hardest, random = match3_hardest(n, modulus), match3_random(20, n, modulus)

    def wrong(x, numerator):
        share = match3_head(x, modulus, c=numerator / cosine_gap(modulus))
        return int(((share > 0.3) != match3_labels(x, modulus)).sum())

    bound = 2 * math.log(n) + math.log(0.7 / 0.3)
    assert wrong(hardest, bound * 1.01) == 0
    assert wrong(hardest, bound * 0.99) > 0
    near_misses = match3_head(hardest[:1], modulus, c=2 * math.log(n) / cosine_gap(modulus))
    torch.testing.assert_close(near_misses, torch.full_like(near_misses, 0.5))
    flattering = wrong(random, bound * 0.8) / random.numel()  # random inputs hardly notice
    assert flattering < 0.02 < wrong(hardest, bound * 0.8) / hardest.numel()


@pytest.mark.claim("fs-thm51-c")
def test_the_factor_grows_as_m_squared_times_the_logarithm_of_n():
    for n, modulus in ((10**6, 1000), (10**6, 10_000)):
        about = modulus**2 * math.log(n) / math.pi**2
        assert sufficient_c(n, modulus) == pytest.approx(about, rel=0.05)


@pytest.mark.claim("fs-thm51-half")
def test_one_half_fails_in_floating_point():
    n, modulus = 8, 97
    x = match3_few_values(500, n, modulus)
    labels, enough = match3_labels(x, modulus), sufficient_c(n, modulus)
    for factor in (2, 8, 64):
        share = match3_head(x, modulus, c=factor * enough)
        wrong = (share >= 0.5) != labels
        assert wrong.any() and share[wrong].min() > 0.499
        assert torch.equal(share > 0.3, labels)
    c, tau = sufficient_c_and_tau(n, modulus)
    safe = match3_blank_token_head(x, modulus, c=c, tau=tau)
    assert torch.equal(safe > 0.5, labels)
    assert safe[labels].min() > 0.6


@pytest.mark.claim("fs-thm51-range")
@pytest.mark.parametrize(
    ("dtype", "holds", "fails"), [(torch.float32, 1601, 3203), (torch.bfloat16, 5, 37)]
)
def test_a_fixed_precision_ends_somewhere(dtype, holds, fails):
    wrong = {}
    for modulus in (holds, fails):
        x = match3_hardest(8, modulus)
        share = match3_head(x, modulus, c=sufficient_c(8, modulus), dtype=dtype)
        wrong[modulus] = int(((share > 0.3) != match3_labels(x, modulus)).sum())
    assert wrong[holds] == 0 < wrong[fails]
    x = match3_hardest(8, fails)
    share = match3_head(x, fails, c=sufficient_c(8, fails))  # float64
    assert torch.equal(share > 0.3, match3_labels(x, fails))


@pytest.mark.claim("fs-thm51-eq9")
def test_the_blank_pair_is_no_determinant():
    n, modulus = 4, 17
    x, c = match3_hardest(n, modulus), sufficient_c(n, modulus)
    features = match3_features(x, modulus)[:, None]
    wq, wk1, wk2, _ = match3_weights(c)
    q, k1, k2 = (features @ w.T for w in (wq, wk1, wk2))
    blank = torch.eye(7, dtype=torch.float64)[6]
    torch.testing.assert_close(q @ blank, torch.full_like(q[..., 0], c))
    for rows in (k1, k2):
        with_blank = torch.cat([blank.expand(len(x), 1, 1, 7), rows], 2)
        others = torch.cat([rows[:, :, :1], rows], 2)
        query = torch.cat([q[:, :, :1], q], 2)
        scores = determinant_logits(query[..., :6], with_blank[..., :6], others[..., :6])
        assert scores[:, :, :, 0].abs().max() == 0  # all chunks of the blank key are 0
    pairs = determinant_logits(q, k1, k2).flatten(-2)
    by_eq_9 = torch.cat([pairs, torch.zeros_like(pairs[..., :1])], -1).softmax(-1)
    answers = by_eq_9[..., :-1].sum(-1).squeeze(1) > 0.3
    labels = match3_labels(x, modulus)
    assert (answers & ~labels).sum() > labels.numel() / 4
    seats = itertools.product(["blank", *range(n)], repeat=2)
    assert sum("blank" in seat for seat in seats) == 2 * n + 1


def one_wide_layer(x, modulus):
    """Match3 by one dot-product head with all logits 0, a residual and an MLP of relus.

    The head averages one-hot tokens, so n times its output counts each residue. First hidden
    layer, 3 M units: relu(count) - relu(count - 1) is 1 where a residue is present, and the
    query's one-hot token passes as it is. Second, M * M units: for each ordered pair (u, v),
    relu(present u + present v + [x_i = -u - v] - 2) is 1 if all three hold.
    """
    n = x.shape[1]
    tokens = torch.nn.functional.one_hot(x, modulus).double()  # (b, n, M)
    attended = torch.zeros(len(x), n, n).double().softmax(-1) @ tokens
    count = n * attended
    present = (count + 1e-9).relu() - (count + 1e-9 - 1).relu()
    u = torch.arange(modulus)
    third = (-u[:, None] - u) % modulus  # (M, M)
    hidden = (present[..., :, None] + present[..., None, :] + tokens[..., third] - 2).relu()
    return hidden.sum((-2, -1)) > 0.5


@pytest.mark.claim("fs-match3-layers")
@pytest.mark.parametrize(("n", "modulus"), [(3, 5), (8, 17), (12, 23)])
def test_one_wide_dot_product_layer_does_match3(n, modulus):
    x = torch.cat([match3_hardest(n, modulus), match3_few_values(30, n, modulus)])
    labels = match3_labels(x, modulus)
    assert labels.any() and not labels.all()
    assert torch.equal(one_wide_layer(x, modulus), labels)


@pytest.mark.claim("sanford-match2")
@pytest.mark.parametrize(("n", "modulus"), [(4, 5), (8, 37), (32, 97)])
def test_one_dot_product_head_does_match2(n, modulus):
    near_miss = torch.full((1, n), (modulus + 1) // 2)  # x + x = 1 modulo M for every pair
    one_match = torch.cat([near_miss[:, 1:], near_miss[:, :1] - 1], 1)
    x = torch.cat([near_miss, one_match, match3_few_values(50, n, modulus)])
    labels = ((x[:, :, None] + x[:, None]) % modulus == 0).any(-1)
    cos, sin, one = match3_features(x, modulus).unbind(-1)
    c = (math.log(n) + math.log(0.7 / 0.3) + 0.1) / cosine_gap(modulus)
    q = c * torch.stack([cos, -sin, one], -1)
    k = torch.stack([cos, sin, 0 * one], -1)
    blank = torch.tensor([0.0, 0, 1]).double().expand(len(x), 1, 3)
    probs = (q @ torch.cat([k, blank], 1).mT).softmax(-1)
    assert torch.equal(probs[..., :-1].sum(-1) > 0.3, labels)


@pytest.mark.claim("fs-rotation")
def test_trilinear_logits_of_turned_vectors_are_not_relative():
    x, late = draw(3, 1, 1, 4, 6), torch.arange(4) + 9
    here = trilinear_logits(*(rotary_pairs(t) for t in x))
    assert (trilinear_logits(*(rotary_pairs(t, late) for t in x)) - here).abs().max() > 0.1
