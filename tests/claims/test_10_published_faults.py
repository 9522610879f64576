"""The claims of claims/10_triton_backward.toml on published code, on our re-creations of it."""

import math

import pytest
import torch

from simplex_lib.attention import trilinear_attention
from simplex_lib.faults import (
    TOLERANCE,
    DoubleCount,
    FirstHeadOnly,
    IgnoredConstants,
    MixedBases,
    RoundedRows,
    ShortGrid,
    WrongSlots,
    WrongStride,
    ZeroIsNothing,
    damage,
    slopes,
)
from simplex_lib.faults.finders import constants_added, forward_alone, small_slopes


def no_constants(fault):
    return damage(fault(), k2_constant=0.0, v2_constant=0.0)


@pytest.mark.claim("fbgemm-two-bases")
def test_a_sum_of_two_bases_is_no_lse():
    generator = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(50, 9, generator=generator, dtype=torch.float64)
    m_log2 = logits.amax(1) / math.log(2)
    mixed = m_log2 + (logits / math.log(2) - m_log2[:, None]).exp2().sum(1).log()
    sums = (logits - mixed[:, None]).exp().sum(1)
    torch.testing.assert_close(sums, (-(1 / math.log(2) - 1) * logits.amax(1)).exp())
    out, *gradients = no_constants(MixedBases)
    assert out < 1e-12 and min(gradients) > 0.5


@pytest.mark.claim("fbgemm-slots")
def test_exchanged_arguments_raise_nothing_and_break_every_gradient():
    out, *gradients = no_constants(WrongSlots)
    assert out < 1e-12 and min(gradients) > 0.5


@pytest.mark.claim("fbgemm-delta-stride")
def test_a_wrong_stride_of_delta_spares_values_and_a_single_text():
    out, dq, dk1, dk2, dv1, dv2 = no_constants(WrongStride)
    assert max(out, dv1, dv2) < 1e-12 and min(dq, dk1, dk2) > 0.3
    assert small_slopes(WrongStride()) < TOLERANCE < slopes(WrongStride())


@pytest.mark.claim("fbgemm-constants")
def test_constants_that_are_ignored_agree_with_themselves():
    assert damage(IgnoredConstants(), k2_constant=None, v2_constant=None)[0] > 0.5
    assert slopes(IgnoredConstants()) < TOLERANCE < constants_added(IgnoredConstants())


@pytest.mark.claim("fbgemm-zero")
def test_nothing_and_zero_are_not_the_same():
    class Both(ZeroIsNothing, IgnoredConstants):
        pass

    assert no_constants(ZeroIsNothing)[0] > 0.5
    assert max(no_constants(Both)) < 1e-12


@pytest.mark.claim("fbgemm-bf16-rows")
def test_an_lse_in_bfloat16_moves_probabilities_by_three_per_cent():
    lse = torch.linspace(8.001, 15.999, 9999)
    off = ((lse - lse.bfloat16().float()).exp() - 1).abs().max()
    assert 0.031 < off < 0.032
    assert round(math.log(512 * 32), 1) == 9.7
    out, _, dk1, _, dv1, _ = errors = no_constants(RoundedRows)
    assert max(out, dk1, dv1) < 1e-12 and 0.003 < max(errors) < 0.05


@pytest.mark.claim("fbgemm-first-head")
def test_the_first_key_head_for_all_passes_with_one_key_head():
    assert no_constants(FirstHeadOnly)[0] > 0.5
    assert forward_alone(FirstHeadOnly()) < TOLERANCE


@pytest.mark.claim("kv1-grid")
def test_too_few_programs_leave_the_last_keys_without_a_gradient():
    out, dq, dk1, dk2, dv1, dv2 = no_constants(ShortGrid)
    assert max(out, dq, dk2, dv2) < 1e-12 and min(dk1, dv1) > 0.2
    assert small_slopes(ShortGrid()) < TOLERANCE < slopes(ShortGrid())


@pytest.mark.claim("dq-twice")
def test_dq_of_both_kernels_is_twice_dq_and_three_sums_tell():
    out, dq, *others = no_constants(DoubleCount)
    assert dq == pytest.approx(1) and max(out, *others) < 1e-12

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 1, 2, 9, 4, generator=generator, dtype=torch.float64).requires_grad_()
    out = trilinear_attention(*x, w1=5, w2=3)
    dout = torch.randn(out.shape, generator=generator, dtype=torch.float64)
    (gradients,) = torch.autograd.grad(out, x, dout)
    of_q, of_k1, of_k2, of_v1, of_v2 = (x * gradients).flatten(1).sum(1).detach()
    torch.testing.assert_close((of_q, of_q), (of_k1, of_k2))
    assert of_q.abs() > 0.1  # so that a factor of 2 shows
    of_out = (out * dout).sum().detach()
    torch.testing.assert_close((of_v1, of_v2), (of_out, of_out))
