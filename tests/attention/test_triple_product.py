"""Mirrors simplex_lib/attention/triple_product.py."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simplex_lib.attention import triple_product_logits

NAMES = ("q", "k1", "k2")


def make_inputs(b=2, h=3, s=4, d=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {n: torch.randn(b, h, s, d, dtype=torch.float64, generator=generator) for n in NAMES}


def score(a, b, c):
    """The score of three vectors."""
    return triple_product_logits(*(x.view(1, 1, 1, -1) for x in (a, b, c))).squeeze()


@given(s=st.integers(1, 4), d=st.integers(1, 8), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_equals_the_norm_of_equation_7(s, d, seed):
    q, k1, k2 = make_inputs(b=1, h=2, s=s, d=d, seed=seed).values()
    logits = triple_product_logits(q, k1, k2)
    assert logits.shape == (1, 2, s, s, s)
    for h, i, j, k in itertools.product(range(2), range(s), range(s), range(s)):
        a, b, c = q[0, h, i], k1[0, h, j], k2[0, h, k]
        norm = ((a @ b) * c - (a @ c) * b + (b @ c) * a).norm()
        torch.testing.assert_close(logits[0, h, i, j, k], norm)


def test_square_is_equation_8():
    a, b, c = torch.tensor([[1.0, 2, 0], [0, 1, 1], [2, 0, 1]])
    # a.b = 2, b.c = 1, a.c = 2, a.a = 5, b.b = 2, c.c = 5
    by_hand = 2**2 * 5 + 1**2 * 5 + 2**2 * 2 - 2 * 2 * 2 * 1
    torch.testing.assert_close(score(a, b, c) ** 2, torch.tensor(float(by_hand)))


@given(d=st.integers(1, 8), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_is_at_most_the_product_of_lengths_by_the_gram_determinant(d, seed):
    vectors = torch.stack([x[0, 0, 0] for x in make_inputs(d=d, seed=seed).values()])
    bound = vectors.norm(dim=-1).prod()
    gram = torch.linalg.det(vectors @ vectors.mT)
    value = score(*vectors)
    assert value <= bound * (1 + 1e-12)
    torch.testing.assert_close(value**2, bound**2 - gram)
    if d >= 3:  # three random vectors are independent
        assert value < bound * (1 - 1e-12)


@pytest.mark.parametrize("d", [2, 3, 7])
def test_dependent_vectors_reach_the_bound(d):
    a, b, _ = (x[0, 0, 0] for x in make_inputs(d=d).values())
    for c in (a, -2 * b, 0.3 * a - 1.7 * b):
        torch.testing.assert_close(score(a, b, c), a.norm() * b.norm() * c.norm())


def test_orthogonal_vectors_score_zero_and_one_pair_is_enough_not_to():
    x, y, z = torch.eye(3, dtype=torch.float64)
    assert score(x, 2 * y, -3 * z) == 0
    assert score(x, y, torch.zeros(3, dtype=torch.float64)) == 0
    assert score(x, y, x) == 1
    assert score(x, y, z + 1e-3 * x) == pytest.approx(1e-3)


def test_unit_vectors_in_space_measure_a_tetrahedron():
    vectors = torch.stack([x[0, 0, 0] for x in make_inputs().values()])
    vectors = vectors / vectors.norm(dim=-1, keepdim=True)
    volume = torch.linalg.det(vectors).abs() / 6
    torch.testing.assert_close(score(*vectors) ** 2, 1 - 36 * volume**2)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_is_symmetric_in_its_three_vectors(order):
    x = list(make_inputs().values())
    permuted = triple_product_logits(*(x[n] for n in order))
    expected = triple_product_logits(*x).permute(0, 1, *(2 + n for n in order))
    torch.testing.assert_close(permuted, expected)


def test_rotations_reflections_and_signs_change_nothing():
    x = make_inputs(d=5)
    generator = torch.Generator().manual_seed(1)
    turn, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64, generator=generator))
    flip = turn * torch.tensor([-1.0, 1, 1, 1, 1])
    logits = triple_product_logits(**x)
    for turned in (turn, flip):
        after = triple_product_logits(**{n: t @ turned for n, t in x.items()})
        torch.testing.assert_close(after, logits)
    torch.testing.assert_close(triple_product_logits(**(x | dict(q=-x["q"]))), logits)


@pytest.mark.parametrize("factor", [1e-8, 1e8])  # its sixth power is no float32
def test_lengths_whose_squares_leave_float32_are_no_problem(factor):
    x = make_inputs()
    expected = (triple_product_logits(**x) * factor**3).float()
    logits = triple_product_logits(**{n: (t * factor).float() for n, t in x.items()})
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=0)


def test_gradients_match_finite_differences():
    inputs = [x.requires_grad_() for x in make_inputs(b=1, h=1, s=3).values()]
    assert torch.autograd.gradcheck(triple_product_logits, inputs)


def test_gradient_at_zero_is_zero():
    x, y, z = torch.eye(3, dtype=torch.float64)
    for vectors in ((x, y, z), (x, y, 0 * z), (0 * x, 0 * y, 0 * z)):
        leaves = [v.clone().requires_grad_() for v in vectors]
        grads = torch.autograd.grad(score(*leaves), leaves)
        assert all((grad == 0).all() for grad in grads)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_costs_little_more_than_rounding_the_inputs(dtype):
    x = make_inputs(d=16)
    rounded = {n: t.to(dtype) for n, t in x.items()}
    exact = triple_product_logits(**x)
    unavoidable = triple_product_logits(**{n: t.double() for n, t in rounded.items()}) - exact
    logits = triple_product_logits(**rounded)
    assert logits.dtype == dtype
    assert (logits.double() - exact).abs().max() <= 2 * unavoidable.abs().max()


def test_meta_tensors_give_shapes():
    x = {n: t.to("meta") for n, t in make_inputs().items()}
    assert triple_product_logits(**x).shape == (2, 3, 4, 4, 4)


@pytest.mark.errors
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(k1=torch.zeros(2, 1, 4, 3)), ValueError, r"k1 must be .* with h = 3 as in q; got"),
        (dict(k2=torch.zeros(2, 3, 4)), ValueError, r"k2 must be \(b, h, s, d\); got \(2, 3, 4\)"),
        (dict(q=torch.zeros(2, 3, 0, 3)), ValueError, "q must be .* with s at least 1; got"),
        (dict(q=None), TypeError, "q must be a torch.Tensor; got None"),
        (dict(k1=torch.zeros(2, 3, 4, 3).long()), TypeError, "k1 must be .*; got int64"),
        (dict(k2=torch.zeros(2, 3, 4, 3)), TypeError, "k2 must be float64 as q is; got float32"),
        (dict(k2=torch.zeros(2, 3, 4, 3, device="meta").double()), ValueError, "k2 must be on cpu"),
        (dict(k1=torch.full((2, 3, 4, 3), torch.inf).double()), ValueError, "k1 must be finite"),
    ],
)
def test_errors_name_the_argument(change, error, message):
    with pytest.raises(error, match=message):
        triple_product_logits(**(make_inputs() | change))
