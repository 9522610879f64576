"""Mirrors simplex_lib/faults: each fault is found by the tests named here, and by no other."""

import math
from itertools import combinations

import pytest
import torch

from simplex_lib.attention import trilinear_attention
from simplex_lib.faults import FAULTS, FINDERS, TOLERANCE, PairAttention, damage, row_sums, slopes
from simplex_lib.faults.attention import KEYS, QUERIES
from simplex_lib.faults.finders import back, draw, forward_alone, noise, off
from simplex_lib.faults.published import (
    DoubleCount,
    FirstHeadOnly,
    IgnoredConstants,
    MixedBases,
    RoundedRows,
    ShortGrid,
    WideWindow,
    WrongSlots,
    WrongStride,
    ZeroIsNothing,
)

FOUND_BY = {
    MixedBases: "rows_sum_to_one three_sums small_slopes slopes",
    WrongSlots: "rows_sum_to_one three_sums small_slopes slopes",
    WrongStride: "texts_one_by_one slopes",
    IgnoredConstants: "constants_added",
    ZeroIsNothing: "forward_alone constants_added rows_sum_to_one three_sums",
    RoundedRows: "rows_sum_to_one three_sums small_slopes slopes",
    FirstHeadOnly: "heads_one_by_one three_sums slopes",
    DoubleCount: "three_sums small_slopes slopes",
    ShortGrid: "rows_sum_to_one three_sums slopes",
    WideWindow: "forward_alone window_edges",
}
BACKWARD = (MixedBases, WrongSlots, WrongStride, RoundedRows, DoubleCount, ShortGrid)
LIKE_SHAPED = [*combinations(("q", "k1", "k2", "v1", "v2", "dout"), 2), ("lse", "delta")]


def test_every_fault_is_listed():
    assert set(FOUND_BY) == set(FAULTS)
    assert {name for names in FOUND_BY.values() for name in names.split()} == {
        finder.__name__ for finder in FINDERS
    }


@pytest.mark.parametrize("finder", FINDERS, ids=lambda finder: finder.__name__)
def test_the_right_one_passes(finder):
    assert finder(PairAttention()) < TOLERANCE / 100


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_is_found_by_its_tests_and_passes_all_others(fault):
    found = {finder.__name__ for finder in FINDERS if finder(fault()) > TOLERANCE}
    assert found == set(FOUND_BY[fault].split())


def test_the_right_one_is_the_attention_of_the_library():
    inputs = draw(b=2, h=4, g=2, s=9)
    leaves = [x.clone().requires_grad_() for x in inputs]
    expected = trilinear_attention(*leaves, w1=4, w2=3)
    dout = noise(expected, seed=1)
    out, grads = back(PairAttention(), inputs, dout, w1=4, w2=3)
    torch.testing.assert_close(out, expected.detach())
    torch.testing.assert_close(grads, torch.autograd.grad(expected, leaves, dout))


def check_gradients(attention, b=2, g=1, s=5):
    inputs = [x.requires_grad_() for x in draw(b, 2, g, s, d=2)]
    return torch.autograd.gradcheck(
        lambda *x: attention(*x, w1=4, w2=2), inputs, raise_exception=False
    )


@pytest.mark.parametrize("fault", BACKWARD, ids=lambda fault: fault.__name__)
def test_gradcheck_finds_every_fault_of_the_backward(fault):
    assert check_gradients(PairAttention())
    assert not check_gradients(fault())
    assert forward_alone(fault()) < TOLERANCE  # and a test of the output none


@pytest.mark.parametrize("fault", [WrongStride, ShortGrid], ids=lambda fault: fault.__name__)
def test_gradcheck_on_one_text_in_one_tile_misses_two(fault):
    assert check_gradients(fault(), b=1, s=4)


def test_three_tests_find_all():
    three = {"slopes", "window_edges", "constants_added"}
    assert all(three & set(names.split()) for names in FOUND_BY.values())


def test_mixed_bases_multiply_each_row_by_a_power_of_its_largest_logit():
    q, k1, k2, _, _ = draw(b=1, h=1, g=1, s=48, d=32)
    largest = PairAttention().logits(q, k1, k2, 48, 48).amax((-2, -1))[0, 0]
    factor = torch.exp((1 - 1 / math.log(2)) * largest)
    for sums in row_sums(MixedBases()):
        torch.testing.assert_close(sums, factor)
    assert factor.min() < 0.25 and factor.max() > 1.2  # not even all on one side
    assert min(damage(MixedBases())[1:]) > 0.5


def test_mixed_bases_are_the_right_backward_of_another_dout():
    inputs = draw(b=1, h=1, g=1, s=8)
    dout = noise(inputs[0], seed=1)
    largest = PairAttention().logits(*inputs[:3], 5, 3).amax((-2, -1))
    factor = torch.exp((1 - 1 / math.log(2)) * largest)[..., None]
    mixed = back(MixedBases(), inputs, dout, w1=5, w2=3)[1]
    torch.testing.assert_close(mixed, back(PairAttention(), inputs, factor * dout, w1=5, w2=3)[1])


@pytest.mark.parametrize(("one", "other"), LIKE_SHAPED)
def test_any_two_arguments_of_one_shape_exchange_without_an_error(one, other):
    assert slopes(WrongSlots(one, other), b=1, h=1, g=1, s=4) > 0.01
    assert min(damage(WrongSlots(one, other))[1:]) > 0.5


def test_a_wrong_stride_spares_the_first_text():
    inputs = draw(b=2, h=1, g=1, s=6)
    got, right = (back(a, inputs, w1=3, w2=2)[1] for a in (WrongStride(), PairAttention()))
    assert all(torch.equal(x[0], y[0]) for x, y in zip(got, right, strict=True))
    assert damage(WrongStride())[4:] == [0, 0] and min(damage(WrongStride())[1:4]) > 0.3


def test_two_faults_hide_each_other():
    class Both(IgnoredConstants, ZeroIsNothing):
        pass

    assert forward_alone(ZeroIsNothing()) > 1
    assert forward_alone(Both()) < TOLERANCE
    assert damage(IgnoredConstants(), k2_constant=None, v2_constant=None)[0] > 0.5


def test_rounded_rows_are_up_to_three_percent_off_and_pass_a_coarse_bound():
    lse = torch.linspace(8, 16, 100_001, dtype=torch.float64)
    factor = (lse - lse.bfloat16()).exp()
    assert 0.031 < factor.max() - 1 < 0.032 and 0.030 < 1 - factor.min() < 0.031
    assert 9.7 < math.log(512 * 32) < 9.8  # equal logits in the paper's windows lie in there
    first, second = row_sums(RoundedRows())
    assert (first - 1).abs().max() < 1e-9 < 1e-2 < (second - 1).abs().max()
    assert TOLERANCE < slopes(RoundedRows()) < 0.05


def test_grouped_against_copied_heads_would_miss_the_first_head():
    q, *keys = draw(b=1, h=4, g=2, s=6)
    copied = [x.repeat_interleave(2, 1) for x in keys]
    grouped = FirstHeadOnly()(q, *keys, w1=3, w2=2)
    assert off(FirstHeadOnly()(q, *copied, w1=3, w2=2), grouped) == 0
    right = PairAttention()(q, *keys, w1=3, w2=2)
    assert off(grouped[:, :2], right[:, :2]) == 0 and off(grouped[:, 2:], right[:, 2:]) > 0.5


def test_a_double_count_doubles_dq_and_nothing_else():
    assert damage(DoubleCount()) == pytest.approx([0, 1, 0, 0, 0, 0])


def test_a_short_grid_leaves_late_keys_without_gradient():
    inputs = draw(b=1, h=1, g=1, s=4 * KEYS)
    _, (_, dk1, dk2, dv1, _) = back(ShortGrid(), inputs, w1=8, w2=3)
    written = 4 * KEYS * KEYS // QUERIES
    assert (dk1[:, :, written:] == 0).all() and (dv1[:, :, written:] == 0).all()
    assert (dk1[:, :, :written] != 0).all() and (dk2 != 0).all()


def test_a_wide_window_has_one_key_more():
    behind = torch.arange(9)[:, None] - torch.arange(9)
    assert [a().window(behind, 3)[8].sum().item() for a in (PairAttention, WideWindow)] == [3, 4]
