"""Mirrors simplex_lib/attention/decoding.py."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from simplex_lib.attention import (
    PairCache,
    determinant_attention,
    determinant_decode,
    rotary_triples,
    trilinear_attention,
    trilinear_attention_windowed,
    trilinear_decode,
)
from simplex_lib.checks.ch02_memory import MemoryMeter

NAMES = ("q", "k1", "k2", "v1", "v2")
KINDS = [(trilinear_decode, trilinear_attention), (determinant_decode, determinant_attention)]


def make_inputs(b=2, h=4, g=2, s=9, d=4, dv=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    key, value = (b, g, s, d), (b, g, s, dv)
    shapes = dict(q=(b, h, s, d), k1=key, k2=key, v1=value, v2=value)
    return {n: torch.randn(*shapes[n], dtype=torch.float64, generator=generator) for n in NAMES}


def make_cache(x, w1=4, w2=2):
    b, g, _, d = x["k1"].shape
    dv = x["v1"].shape[-1]
    return PairCache.empty(b=b, g=g, d=d, dv=dv, w1=w1, w2=w2, dtype=x["k1"].dtype)


def token(x, i):
    return {n: t[:, :, i : i + 1] for n, t in x.items()}


@given(
    kind=st.sampled_from(KINDS),
    groups=st.integers(1, 3),
    s=st.integers(1, 11),
    d=st.integers(3, 7),
    w1=st.integers(1, 13),
    w2=st.integers(1, 13),
    prompt=st.integers(0, 11),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
@settings(deadline=None, max_examples=80)
def test_steps_equal_the_full_pass_with_windows(kind, groups, s, d, w1, w2, prompt, dtype):
    decode, full = kind
    x = {n: t.to(dtype) for n, t in make_inputs(h=2 * groups, s=s, d=d).items()}
    cache, prompt = make_cache(x, w1, w2), min(prompt, s - 1)
    if prompt:
        cache.add(*(x[n][:, :, :prompt] for n in NAMES[1:]))
    steps = [decode(cache, **token(x, i)) for i in range(prompt, s)]
    torch.testing.assert_close(torch.cat(steps, 2), full(**x, w1=w1, w2=w2)[:, :, prompt:])


def test_steps_with_rotary_positions_equal_the_full_pass():
    x = make_inputs(d=7)
    turned = x | {n: rotary_triples(x[n]) for n in NAMES[:3]}
    cache = make_cache(x)
    for i in range(9):
        now, at = token(x, i), torch.tensor([i])
        now |= {n: rotary_triples(now[n], at) for n in NAMES[:3]}
        out = determinant_decode(cache, **now)
        full = determinant_attention(**turned, w1=4, w2=2)
        torch.testing.assert_close(out, full[:, :, i : i + 1])


def test_a_prompt_at_once_leaves_the_same_cache_as_token_by_token():
    x = make_inputs()
    whole, slow = make_cache(x), make_cache(x)
    whole.add(*(x[n] for n in NAMES[1:]))
    for i in range(9):
        slow.add(*(token(x, i)[n] for n in NAMES[1:]))
    assert whole.first.seen == slow.second.seen == 9
    for ours, theirs in ((whole.first, slow.first), (whole.second, slow.second)):
        assert torch.equal(ours.k, theirs.k)
        assert torch.equal(ours.v, theirs.v)
    held = {tuple(k.tolist()) for k in whole.second.latest[0][0, 0]}
    assert held == {tuple(k.tolist()) for k in x["k2"][0, 0, -2:]}


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_costs_the_same_after_ten_and_after_ten_thousand_tokens(kind):
    flops, largest, held = [], [], []
    for seen in (10, 10_000):
        x = make_inputs(b=1, s=seen)
        cache = make_cache(x)
        cache.add(*(x[n] for n in NAMES[1:]))
        with MemoryMeter() as meter, FlopCounterMode(display=False) as counter:
            kind[0](cache, **token(x, 0))
        flops.append(counter.get_total_flops())
        largest.append(meter.largest_numbers)
        held.append(cache.first.k.numel() + cache.second.k.numel())
    assert flops[0] == flops[1] > 0
    assert largest[0] == largest[1]
    assert held[0] == held[1] == 2 * (4 + 2) * 4


def test_ten_thousand_steps_do_not_drift():
    # the cache is overwritten and never summed into, so rounding does not build up
    s, tail = 10_000, 8
    x = {n: t.float() for n, t in make_inputs(b=1, h=1, g=1, s=s).items()}
    cache = make_cache(x)
    cache.add(*(x[n][:, :, : s - tail] for n in NAMES[1:]))
    steps = torch.cat([trilinear_decode(cache, **token(x, i)) for i in range(s - tail, s)], 2)
    full = trilinear_attention_windowed(**x, w1=4, w2=2)
    torch.testing.assert_close(steps, full[:, :, -tail:])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_equals_the_full_pass_in_it(dtype):
    x = {n: t.to(dtype) for n, t in make_inputs().items()}
    cache = make_cache(x)
    steps = torch.cat([trilinear_decode(cache, **token(x, i)) for i in range(9)], 2)
    assert steps.dtype == dtype
    torch.testing.assert_close(steps, trilinear_attention(**x, w1=4, w2=2))


def test_no_gradient_is_kept_and_inputs_stay_as_they_are():
    x = make_inputs()
    leaves = {n: t.clone().requires_grad_() for n, t in x.items()}
    cache = make_cache(x)
    out = trilinear_decode(cache, **token(leaves, 0))
    assert not out.requires_grad
    assert not cache.first.k.requires_grad
    trilinear_decode(cache, **token(leaves, 1))
    assert all(torch.equal(leaves[n], x[n]) for n in NAMES)


@pytest.mark.errors
@pytest.mark.parametrize("decode", [trilinear_decode, determinant_decode])
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(q=torch.zeros(2, 4, 1, 5).double()), ValueError, r"k1 must be .* with d = 5 as in q"),
        (dict(k2=torch.zeros(2, 2, 2, 4)), ValueError, r"k2 must be .* with s = 1 as in q; got"),
        (dict(v1=None), TypeError, "v1 must be a torch.Tensor; got None"),
        (dict(v1=torch.zeros(2, 2, 1, 2)), TypeError, "v1 must be float64 as q is; got float32"),
        (dict(k1=torch.zeros(2, 2, 1, 4).double().to("meta")), ValueError, "k1 must be on cpu"),
        (dict(k1=torch.full((2, 2, 1, 4), torch.nan).double()), ValueError, "k1 must be finite"),
        (dict(q=torch.zeros(2, 3, 1, 4).double()), ValueError, "divide n_heads = 3; got 2, .* k1"),
        (dict(scale=math.nan), ValueError, "scale must be finite; got nan"),
    ],
)
def test_errors_name_the_argument_and_leave_the_cache(decode, change, error, message):
    x = make_inputs()
    cache = make_cache(x)
    with pytest.raises(error, match=message):
        decode(cache, **(token(x, 0) | change))
    assert cache.first.seen == cache.second.seen == 0
    assert not cache.first.k.any()


@pytest.mark.errors
def test_more_than_one_token_is_a_prompt():
    x = make_inputs()
    with pytest.raises(ValueError, match=r"q must hold one token, s = 1; got s = 9\..*PairCache"):
        trilinear_decode(make_cache(x), **x)


@pytest.mark.errors
@pytest.mark.parametrize(
    ("sizes", "error", "message"),
    [
        (dict(b=1), ValueError, r"k1 must be .* with b = 2 as in cache\.k; got"),
        (dict(g=1), ValueError, r"k1 must be .* with g = 2 as in cache\.k; got"),
        (dict(d=5), ValueError, r"k1 must be .* with d = 4 as in cache\.k; got"),
        (dict(dv=3), ValueError, r"v1 must be .* with dv = 2 as in cache\.v; got"),
    ],
)
def test_tokens_must_fit_the_cache(sizes, error, message):
    with pytest.raises(error, match=message):
        trilinear_decode(make_cache(make_inputs()), **token(make_inputs(**sizes), 0))


@pytest.mark.errors
def test_a_dtype_other_than_that_of_the_cache_and_sizes_below_one():
    x = make_inputs()
    single = {n: t.float() for n, t in token(x, 0).items()}
    with pytest.raises(TypeError, match=r"k1 must be float64 as cache\.k is; got float32"):
        trilinear_decode(make_cache(x), **single)
    with pytest.raises(ValueError, match="w1 must be at least 1; got 0"):
        PairCache.empty(b=1, g=1, d=4, w1=0, w2=1)
    with pytest.raises(TypeError, match="w2 must be an int; got None"):
        PairCache.empty(b=1, g=1, d=4, w1=1, w2=None)  # type: ignore[arg-type]
    x = make_inputs(d=2)
    with pytest.raises(ValueError, match="q must have a head_dim of at least 3"):
        determinant_decode(make_cache(x), **token(x, 0))
