"""Mirrors simplex_lib/attention/windowed.py."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from simplex_lib.attention import (
    determinant_attention,
    determinant_attention_windowed,
    determinant_attention_windowed_with_lse,
    determinant_attention_with_lse,
    trilinear_attention,
    trilinear_attention_windowed,
    trilinear_attention_windowed_with_lse,
    trilinear_attention_with_lse,
)
from simplex_lib.checks.ch02_memory import MemoryMeter

NAMES = ("q", "k1", "k2", "v1", "v2")
KINDS = [
    (trilinear_attention_windowed_with_lse, trilinear_attention_with_lse),
    (determinant_attention_windowed_with_lse, determinant_attention_with_lse),
]
WINDOWED = [trilinear_attention_windowed, determinant_attention_windowed]


def make_inputs(b=2, h=4, g=2, s=6, d=4, dv=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    key, value = (b, g, s, d), (b, g, s, dv)
    shapes = dict(q=(b, h, s, d), k1=key, k2=key, v1=value, v2=value)
    return {n: torch.randn(*shapes[n], dtype=torch.float64, generator=generator) for n in NAMES}


@given(
    kind=st.sampled_from(KINDS),
    b=st.integers(1, 2),
    g=st.integers(1, 2),
    groups=st.integers(1, 3),
    s=st.integers(1, 11),
    d=st.integers(3, 7),
    w1=st.none() | st.integers(1, 13),
    w2=st.none() | st.integers(1, 13),
    block_size=st.integers(1, 12),
    causal=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
@settings(deadline=None, max_examples=100)
def test_equals_the_reference(kind, b, g, groups, s, d, w1, w2, block_size, causal, dtype):
    windowed, reference = kind
    x = {n: t.to(dtype) for n, t in make_inputs(b=b, h=g * groups, g=g, s=s, d=d).items()}
    windows = dict(w1=w1, w2=w2, causal=causal)
    torch.testing.assert_close(
        windowed(**x, **windows, block_size=block_size), reference(**x, **windows)
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("w1", "w2"), [(None, None), (1, 1), (2, 4), (4, 2), (99, 1)])
@pytest.mark.parametrize(("s", "block_size"), [(6, 1), (6, 4), (6, 64), (1, 64)])
def test_gradients_equal_those_of_the_reference(kind, s, block_size, w1, w2, causal):
    x = {n: t.requires_grad_() for n, t in make_inputs(s=s).items()}
    windows = dict(w1=w1, w2=w2, causal=causal, scale=0.8)

    def grads(out, lse):
        return torch.autograd.grad(out.square().sum() + lse.sin().sum(), list(x.values()))

    windowed, reference = kind
    torch.testing.assert_close(
        grads(*windowed(**x, **windows, block_size=block_size)), grads(*reference(**x, **windows))
    )


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_match_finite_differences(kind):
    inputs = [x.requires_grad_() for x in make_inputs(b=1, h=2, g=1, s=4, d=3, dv=1).values()]
    assert torch.autograd.gradcheck(lambda *x: kind[0](*x, w1=3, w2=2, block_size=3), inputs)


@pytest.mark.parametrize("function", WINDOWED)
@pytest.mark.parametrize(("w1", "w2"), [(8, 4), (4, 8), (5, 1)])
def test_no_cube_and_no_square_times_window_is_made_forward_or_backward(function, w1, w2):
    s, block, d = 128, 16, 4
    leaves = [t.requires_grad_() for t in make_inputs(b=1, h=1, g=1, s=s, d=d, dv=d).values()]
    with MemoryMeter() as meter:
        function(*leaves, w1=w1, w2=w2, block_size=block).square().sum().backward()
    windows = block * max(w1, w2) * max(min(w1, w2), 2 * d)
    stream = 2 * (2 * d) * (s + s * max(w1, w2) // block + block)
    assert meter.largest_numbers <= max(windows, stream)
    assert meter.largest_numbers < s * s
    assert meter.most_held < s * s * max(w1, w2)


def test_the_meter_sees_the_cube_of_the_reference():
    with MemoryMeter() as meter:
        trilinear_attention(**make_inputs(b=1, h=1, g=1, s=32), w1=8, w2=4)
    assert meter.largest_numbers == 32**3


@pytest.mark.parametrize("function", WINDOWED)
def test_work_grows_with_s_and_not_with_its_square(function):
    flops, largest = {}, {}
    for s in (64, 128, 256):
        leaves = [t.requires_grad_() for t in make_inputs(b=1, s=s).values()]
        with FlopCounterMode(display=False) as counter:
            function(*leaves, w1=8, w2=4, block_size=16).sum().backward()
        flops[s] = counter.get_total_flops()
        with MemoryMeter() as meter:
            function(*leaves, w1=8, w2=4, block_size=16).sum().backward()
        largest[s] = meter.largest_numbers
    assert flops[256] == 2 * flops[128] == 4 * flops[64] > 0
    assert largest[256] <= 2 * largest[128] <= 4 * largest[64]


@pytest.mark.parametrize("function", WINDOWED)
@pytest.mark.parametrize("name", NAMES)
def test_the_future_moves_neither_values_nor_gradients(function, name):
    x = make_inputs()
    before = function(**x, w1=3, w2=2, block_size=4)
    x[name][..., 3:, :] = 1e3
    leaves = {n: t.requires_grad_() for n, t in x.items()}
    past = function(**leaves, w1=3, w2=2, block_size=4)[..., :3, :]
    torch.testing.assert_close(past, before[..., :3, :])
    grad = torch.autograd.grad(past.square().sum(), leaves[name])[0]
    assert (grad[..., 3:, :] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_logits_of_ten_thousand_do_not_overflow(dtype):
    x = {n: t.to(dtype) for n, t in make_inputs().items()}
    x |= {n: torch.full_like(x[n], fill) for n, fill in dict(q=100, k1=10, k2=5).items()}
    x["k2"][..., :2, :] = -5
    windowed = trilinear_attention_windowed_with_lse(**x, w1=2, w2=2)  # logits of 1e4 and -1e4
    assert all(t.isfinite().all() for t in windowed)
    torch.testing.assert_close(windowed, trilinear_attention_with_lse(**x, w1=2, w2=2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_costs_little_more_than_rounding_the_inputs(dtype):
    x = make_inputs(s=17, d=15, dv=16)
    rounded = {n: t.to(dtype) for n, t in x.items()}
    exact = determinant_attention(**x, w1=9)
    ideal = determinant_attention(**{n: t.double() for n, t in rounded.items()}, w1=9)
    out = determinant_attention_windowed(**rounded, w1=9)
    assert out.dtype == dtype
    assert (out.double() - exact).abs().max() <= 2 * (ideal - exact).abs().max()


@pytest.mark.parametrize("function", WINDOWED)
def test_meta_tensors_strides_and_inputs(function):
    x = make_inputs()
    before = {n: t.clone() for n, t in x.items()}
    strided = {n: t.transpose(1, 2).contiguous().transpose(1, 2) for n, t in x.items()}
    torch.testing.assert_close(function(**strided, w1=3), function(**x, w1=3))
    assert all(torch.equal(x[n], before[n]) for n in NAMES)
    assert function(**{n: t.to("meta") for n, t in x.items()}, w2=2).shape == (2, 4, 6, 2)


@pytest.mark.errors
@pytest.mark.parametrize("function", WINDOWED)
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(block_size=0), ValueError, "block_size must be at least 1; got 0"),
        (dict(block_size=1.0), TypeError, r"block_size must be an int; got float 1\.0"),
        (dict(k1=torch.zeros(2, 2, 5, 4)), ValueError, r"k1 must be .* with s = 6 as in q; got"),
        (dict(v2=None), TypeError, "v2 must be a torch.Tensor; got None"),
        (dict(k2=torch.zeros(2, 2, 6, 4)), TypeError, "k2 must be float64 as q is; got float32"),
        (dict(k2=torch.zeros(2, 2, 6, 4).double().to("meta")), ValueError, "k2 must be on cpu"),
        (dict(k2=torch.full((2, 2, 6, 4), torch.nan).double()), ValueError, "k2 must be finite"),
        (dict(q=torch.zeros(2, 3, 6, 4).double()), ValueError, "divide n_heads = 3; got 2, .* k1"),
        (dict(w1=0), ValueError, "w1 counts the query's own position, .*; got 0"),
        (dict(w2=False), TypeError, "w2 must be an int or None; got False"),
        (dict(scale=math.nan), ValueError, "scale must be finite; got nan"),
        (dict(causal=1), TypeError, "causal must be True or False; got int 1"),
    ],
)
def test_errors_name_the_argument(function, change, error, message):
    with pytest.raises(error, match=message):
        function(**(make_inputs() | change))


@pytest.mark.errors
def test_a_head_dim_below_three_has_no_determinant():
    with pytest.raises(ValueError, match="q must have a head_dim of at least 3"):
        determinant_attention_windowed(**make_inputs(d=2))
