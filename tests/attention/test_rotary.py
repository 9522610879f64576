"""Mirrors simplex_lib/attention/rotary.py."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simplex_lib.attention import (
    determinant_attention,
    determinant_logits,
    dot_product_attention,
    rotary_frequencies,
    rotary_pairs,
    rotary_triples,
    rotate_about,
    trilinear_logits,
)

SHIFTS = st.integers(-5000, 5000)


def make(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def close(a, b):
    torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-9)


@given(planes=st.integers(1, 4), s=st.integers(1, 5), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_pairs_are_the_rotation_matrices_of_equation_15(planes, s, seed):
    x, frequencies = make(1, 2, s, 2 * planes, seed=seed), make(planes, seed=seed + 1)
    turned = rotary_pairs(x, frequencies=frequencies)
    for p in range(s):
        blocks = []
        for theta in frequencies.tolist():
            cos, sin = math.cos(p * theta), math.sin(p * theta)
            blocks.append(torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64))
        close(turned[:, :, p], x[:, :, p] @ torch.block_diag(*blocks).T)


def test_pairs_are_the_elementwise_form_of_equation_34():
    x = make(2, 3, 5, 6)
    swapped = torch.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(-2)
    angle = torch.arange(5)[:, None] * rotary_frequencies(3).repeat_interleave(2)
    close(rotary_pairs(x), x * angle.cos() + swapped * angle.sin())


@given(planes=st.integers(1, 4), shift=SHIFTS, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=50)
def test_dot_products_of_pairs_see_the_offset_only(planes, shift, seed):
    q, k = make(2, 1, 2, 6, 2 * planes, seed=seed)
    frequencies, positions = make(planes, seed=seed + 1), torch.arange(6)
    early = rotary_pairs(q, frequencies=frequencies) @ rotary_pairs(k, frequencies=frequencies).mT
    moved = [rotary_pairs(x, positions + shift, frequencies=frequencies) for x in (q, k)]
    close(moved[0] @ moved[1].mT, early)


@given(
    d=st.integers(3, 11),
    shift=SHIFTS,
    seed=st.integers(0, 99),
    axes=st.sampled_from(["none", "one", "one a chunk"]),
)
@settings(deadline=None, max_examples=60)
def test_determinants_of_triples_see_the_two_offsets_only(d, shift, seed, axes):
    x, frequencies = make(3, 1, 2, 5, d, seed=seed), make(d // 3, seed=seed + 1)
    axis = {"none": None, "one": make(3, seed=seed), "one a chunk": make(d // 3, 3, seed=seed)}
    options = dict(frequencies=frequencies, axis=axis[axes])
    early = determinant_logits(*(rotary_triples(t, **options) for t in x))
    moved = torch.arange(5) + shift
    close(determinant_logits(*(rotary_triples(t, moved, **options) for t in x)), early)


@given(offsets=st.tuples(SHIFTS, SHIFTS), i=SHIFTS, d=st.integers(3, 8), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_keys_alone_can_carry_the_offsets(offsets, i, d, seed):
    # det[R_i a; R_j b; R_k c] = det[a; R_(j - i) b; R_(k - i) c]
    a, b, c = make(3, 1, 1, 1, d, seed=seed)
    options = dict(frequencies=make(d // 3, seed=seed), axis=make(3, seed=seed + 1))
    absolute = [
        rotary_triples(x, torch.tensor([p]), **options)
        for x, p in ((a, i), (b, i + offsets[0]), (c, i + offsets[1]))
    ]
    relative = [
        rotary_triples(x, torch.tensor([p]), **options)
        for x, p in ((b, offsets[0]), (c, offsets[1]))
    ]
    close(determinant_logits(*absolute), determinant_logits(a, *relative))


def test_positions_change_the_scores():
    x = make(3, 1, 1, 5, 6)
    assert not torch.allclose(
        determinant_logits(*(rotary_triples(t) for t in x)), determinant_logits(*x)
    )
    # each of the two offsets by itself, the other one kept
    alone = make(3, 1, 1, 1, 6)
    for which in (1, 2):
        seen = []
        for p in (0, 1):
            at = [torch.tensor([p if n == which else 0]) for n in range(3)]
            turned = [rotary_triples(t, p) for t, p in zip(alone, at, strict=True)]
            seen.append(determinant_logits(*turned).item())
        assert abs(seen[0] - seen[1]) > 1e-3


def test_an_axis_that_changes_with_the_position_loses_it():
    x, axis = make(3, 1, 1, 5, 3), make(20, 3, seed=1)

    def logits(shift, axis_at):
        turned = []
        for t in x:
            at = torch.arange(5) + shift
            turned.append(rotate_about(t, axis_at(at), at.double()))
        return determinant_logits(*turned)

    close(logits(7, lambda at: axis[:1]), logits(0, lambda at: axis[:1]))
    moved = logits(7, lambda at: axis[at]) - logits(0, lambda at: axis[at])
    assert moved.abs().max() > 0.5


@pytest.mark.parametrize("rotary", [rotary_pairs, rotary_triples])
def test_neither_scheme_makes_the_trilinear_score_relative(rotary):
    x = make(3, 1, 1, 5, 6)
    early = trilinear_logits(*(rotary(t) for t in x))
    moved = trilinear_logits(*(rotary(t, torch.arange(5) + 7) for t in x))
    assert (moved - early).abs().max() > 0.5


def test_attention_with_rotary_positions_does_not_move_with_all_of_them():
    q, k1, k2, v1, v2 = make(5, 1, 2, 6, 12)
    late = torch.arange(6) + 123
    close(
        dot_product_attention(rotary_pairs(q, late), rotary_pairs(k1, late), v1),
        dot_product_attention(rotary_pairs(q), rotary_pairs(k1), v1),
    )
    early = determinant_attention(*(rotary_triples(t) for t in (q, k1, k2)), v1, v2, w1=4, w2=3)
    moved = [rotary_triples(t, late) for t in (q, k1, k2)]
    close(determinant_attention(*moved, v1, v2, w1=4, w2=3), early)


@pytest.mark.parametrize("rotary", [rotary_pairs, rotary_triples])
def test_rotations_keep_lengths_add_up_and_have_an_inverse(rotary):
    x, at = make(2, 3, 5, 6), torch.arange(5)
    close(rotary(x).norm(dim=-1), x.norm(dim=-1))
    close(rotary(rotary(x, at), 2 * at), rotary(x, 3 * at))
    close(rotary(rotary(x), -at), x)
    assert torch.equal(rotary(x)[:, :, 0], x[:, :, 0])


@given(seed=st.integers(0, 99), angle=st.floats(-10, 10))
@settings(deadline=None, max_examples=30)
def test_a_rotation_is_the_exponential_of_a_cross_product(seed, angle):
    x, axis = make(4, 3, seed=seed), make(3, seed=seed + 1)
    u = axis / axis.norm()
    cross = torch.linalg.cross(u.expand(3, 3), torch.eye(3, dtype=torch.float64)).T
    matrix = torch.linalg.matrix_exp(angle * cross)
    torch.testing.assert_close(torch.linalg.det(matrix), torch.ones((), dtype=torch.float64))
    close(rotate_about(x, axis, torch.tensor(angle, dtype=torch.float64)), x @ matrix.T)


def test_with_the_third_axis_two_coordinates_turn_as_a_pair_and_one_stands_still():
    x = make(1, 2, 5, 3)
    turned = rotary_triples(x)
    close(turned[..., :2], rotary_pairs(x[..., :2]))
    assert torch.equal(turned[..., 2], x[..., 2])


@pytest.mark.parametrize("d", [4, 5])
def test_coordinates_left_over_stay_as_they_are(d):
    x = make(1, 2, 5, d)
    assert torch.equal(rotary_triples(x)[..., 3:], x[..., 3:])
    close(rotary_triples(x)[..., :3], rotary_triples(x[..., :3]))


@pytest.mark.parametrize("rotary", [rotary_pairs, rotary_triples])
@pytest.mark.parametrize("start", [0, 10**6, -(10**6)])
def test_there_is_no_table_to_run_out_of(rotary, start):
    x = make(1, 1, 4, 6)
    at = torch.arange(4) + start
    alone = [rotary(x[:, :, n : n + 1], at[n : n + 1]) for n in range(4)]
    assert torch.equal(torch.cat(alone, 2), rotary(x, at))
    # float32 vectors lose nothing at large positions, since the angles are float64
    torch.testing.assert_close(rotary(x.float(), at), rotary(x, at).float())


@pytest.mark.parametrize("rotary", [rotary_pairs, rotary_triples])
def test_gradients_match_finite_differences(rotary):
    x, frequencies = make(1, 2, 3, 6), make(3 if rotary is rotary_pairs else 2)
    assert torch.autograd.gradcheck(
        lambda x, f: rotary(x, frequencies=f), (x.requires_grad_(), frequencies.requires_grad_())
    )


@pytest.mark.parametrize("rotary", [rotary_pairs, rotary_triples])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_dtype_of_x_is_kept_and_only_its_rounding_is_seen(rotary, dtype):
    x = make(2, 3, 9, 12).to(dtype)
    assert rotary(x).dtype == dtype
    exact = rotary(x.double())
    torch.testing.assert_close(rotary(x), exact.to(dtype))


@pytest.mark.parametrize("rotary", [rotary_pairs, rotary_triples])
def test_frequencies_may_have_a_dtype_of_their_own(rotary):
    x, frequencies = make(1, 1, 4, 6), torch.tensor([0.5, 0.25, 0.125])
    frequencies = frequencies[: 3 if rotary is rotary_pairs else 2]
    close(rotary(x, frequencies=frequencies), rotary(x, frequencies=frequencies.double()))


@pytest.mark.parametrize("rotary", [rotary_pairs, rotary_triples])
def test_meta_tensors_and_strides_and_inputs(rotary):
    x = make(2, 3, 5, 6)
    before = x.clone()
    assert rotary(x.to("meta")).shape == x.shape
    axis = dict(axis=torch.ones(3, device="meta")) if rotary is rotary_triples else {}
    assert rotary(x.to("meta"), **axis).shape == x.shape
    strided = x.transpose(1, 2).contiguous().transpose(1, 2)
    assert torch.equal(rotary(strided), rotary(x))
    assert torch.equal(x, before)


def test_frequencies_fall_from_one():
    close(rotary_frequencies(3, base=8.0), torch.tensor([1, 0.5, 0.25], dtype=torch.float64))
    assert rotary_frequencies(1).tolist() == [1.0]


@pytest.mark.errors
@pytest.mark.parametrize("rotary", [rotary_pairs, rotary_triples])
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(x=None), TypeError, "x must be a torch.Tensor; got None"),
        (dict(x=torch.zeros(2, 3, 6)), ValueError, r"x must be \(b, h, s, d\); got \(2, 3, 6\)"),
        (dict(x=torch.zeros(1, 1, 5, 6).long()), TypeError, "x must be .*; got int64"),
        (dict(x=torch.full((1, 1, 5, 6), torch.nan)), ValueError, "x must be finite; got nan"),
        (dict(positions=torch.arange(4)), ValueError, r"positions must be \(s\) with s = 5 as in"),
        (dict(positions=range(5)), TypeError, "positions must be a torch.Tensor; got range"),
        (dict(positions=torch.ones(5)), TypeError, "positions must be integers; got float32"),
        (dict(positions=torch.ones(5).bool()), TypeError, "positions must be integers; got bool"),
        (dict(positions=torch.ones(5, device="meta").int()), ValueError, "positions .* on cpu as"),
        (dict(frequencies=torch.ones(4)), ValueError, "frequencies must be .*; got 4"),
        (dict(frequencies=torch.ones(3).long()), TypeError, "frequencies must be .*; got int64"),
        (dict(frequencies=torch.ones(3, device="meta")), ValueError, "frequencies must be on cpu"),
        (dict(frequencies=torch.full((3,), torch.inf)), ValueError, "frequencies must be finite"),
    ],
)
def test_errors_name_the_argument(rotary, change, error, message):
    with pytest.raises(error, match=message):
        rotary(**(dict(x=torch.zeros(1, 1, 5, 6)) | change))


@pytest.mark.errors
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: rotary_pairs(torch.zeros(1, 1, 2, 5)), ValueError, "x must have an even .*got 5"),
        (lambda: rotary_triples(torch.zeros(1, 1, 2, 2)), ValueError, "x must .* least 3.*got 2"),
        (
            lambda: rotary_triples(torch.zeros(1, 1, 2, 6), axis=torch.zeros(3)),
            ValueError,
            "axis must have a direction",
        ),
        (
            lambda: rotary_triples(torch.zeros(1, 1, 2, 6), axis=torch.ones(3, 3)),
            ValueError,
            r"axis must be \(3,\) or \(2, 3\); got \(3, 3\)",
        ),
        (
            lambda: rotary_triples(torch.zeros(1, 1, 2, 6), axis=torch.ones(3).int()),
            TypeError,
            "axis must be .*; got int32",
        ),
        (
            lambda: rotate_about(torch.ones(2), torch.ones(3), torch.ones(())),
            ValueError,
            r"x must be \(\.\.\., 3\); got \(2,\)",
        ),
        (lambda: rotary_frequencies(0), ValueError, "p must be at least 1; got 0"),
        (lambda: rotary_frequencies(2, base=0), ValueError, "base must be positive.*got 0"),
        (lambda: rotary_frequencies(2, base="e"), TypeError, "base must be a number; got str"),
    ],
)
def test_errors_of_one_scheme(call, error, message):
    with pytest.raises(error, match=message):
        call()
