"""Mirrors simplex_lib/attention/online_softmax.py."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simplex_lib.attention import (
    causal_mask,
    dot_product_attention_with_lse,
    dot_product_logits,
    merge,
    online_softmax_attention,
    online_softmax_states,
)

NAMES = ("q", "k", "v")


def make_inputs(b=2, h=4, g=2, s=7, d=3, dv=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = dict(q=(b, h, s, d), k=(b, g, s, d), v=(b, g, s, dv))
    return {n: torch.randn(*shapes[n], dtype=torch.float64, generator=generator) for n in NAMES}


@given(
    s=st.integers(1, 20),
    block_size=st.integers(1, 25),
    groups=st.integers(1, 3),
    causal=st.booleans(),
    scale=st.none() | st.floats(-3, 3),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
@settings(deadline=None, max_examples=60)
def test_any_block_size_gives_the_reference(s, block_size, groups, causal, scale, dtype):
    x = {n: t.to(dtype) for n, t in make_inputs(h=2 * groups, s=s).items()}
    online = online_softmax_attention(**x, block_size=block_size, causal=causal, scale=scale)
    reference = dot_product_attention_with_lse(**x, causal=causal, scale=scale)
    torch.testing.assert_close(online, reference)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("block_size", [1, 3, 7])
def test_gradients_equal_those_of_the_reference(block_size, causal):
    x = {n: t.requires_grad_() for n, t in make_inputs().items()}

    def grads(out, lse):
        return torch.autograd.grad(out.square().sum() + lse.sin().sum(), list(x.values()))

    online = online_softmax_attention(**x, block_size=block_size, causal=causal)
    reference = dot_product_attention_with_lse(**x, causal=causal)
    torch.testing.assert_close(grads(*online), grads(*reference))


def test_gradients_match_finite_differences():
    inputs = [x.requires_grad_() for x in make_inputs(b=1, h=2, g=1, s=4).values()]
    assert torch.autograd.gradcheck(lambda *x: online_softmax_attention(*x, block_size=3), inputs)


def test_states_are_sums_over_the_keys_read_so_far():
    x = make_inputs(h=2)
    hidden = ~causal_mask(7)
    logits = (dot_product_logits(x["q"], x["k"]) * 0.5).masked_fill(hidden, -torch.inf)
    blocks = []
    for block, state in online_softmax_states(**x, block_size=3, scale=0.5):
        blocks.append(block)
        read = logits[..., : block.stop]
        torch.testing.assert_close(state.m, read.amax(-1))
        p = (read - state.m[..., None]).exp()
        torch.testing.assert_close(state.l, p.sum(-1))
        torch.testing.assert_close(state.acc, p @ x["v"][..., : block.stop, :])
    assert blocks == [range(3), range(3, 6), range(6, 7)]


def test_the_last_state_is_the_result():
    x = make_inputs()
    *_, (_, state) = online_softmax_states(**x, block_size=2)
    torch.testing.assert_close((state.out, state.lse), online_softmax_attention(**x, block_size=2))


@pytest.mark.parametrize("order", ["rising", "falling"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_logits_of_ten_thousand_do_not_overflow(dtype, order):
    one = torch.ones(1, 1, 4, 1, dtype=dtype)
    keys = torch.tensor([-100.0, 0.0, 100.0, 100.0] if order == "rising" else [100.0, 100.0, 0, -1])
    values = torch.arange(4.0).view(1, 1, 4, 1).to(dtype)
    out, lse = online_softmax_attention(
        100 * one, keys.view(1, 1, 4, 1).to(dtype), values, block_size=1, causal=False
    )
    mean = 2.5 if order == "rising" else 0.5  # the two keys with the logit 1e4 share all
    torch.testing.assert_close(out, torch.full_like(out, mean))
    torch.testing.assert_close(lse, torch.full_like(lse, 1e4 + math.log(2)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_costs_little_more_than_rounding_the_inputs(dtype):
    x = make_inputs(s=33, d=16, dv=16)
    rounded = {n: t.to(dtype) for n, t in x.items()}
    exact, _ = dot_product_attention_with_lse(**x)
    in_float64 = {n: t.double() for n, t in rounded.items()}
    unavoidable = dot_product_attention_with_lse(**in_float64)[0] - exact
    error = online_softmax_attention(**rounded, block_size=5)[0].double() - exact
    assert error.abs().max() <= 2 * unavoidable.abs().max()


@given(s=st.integers(2, 12), cut=st.integers(1, 11), seed=st.integers(0, 9))
@settings(deadline=None, max_examples=30)
def test_merge_of_two_parts_is_the_whole(s, cut, seed):
    q, k, v = make_inputs(h=2, s=s, seed=seed).values()
    logits = dot_product_logits(q, k)

    def attend(keys):
        return logits[..., keys].softmax(-1) @ v[:, :, keys], logits[..., keys].logsumexp(-1)

    first, second = slice(0, min(cut, s - 1)), slice(min(cut, s - 1), s)
    torch.testing.assert_close(merge(*attend(first), *attend(second)), attend(slice(0, s)))


def test_merge_does_not_care_in_which_order():
    generator = torch.Generator().manual_seed(0)
    outs = torch.randn(3, 1, 2, 4, 3, dtype=torch.float64, generator=generator)
    lses = 50 * torch.randn(3, 1, 2, 4, dtype=torch.float64, generator=generator)
    a, b, c = zip(outs, lses, strict=True)
    torch.testing.assert_close(merge(*merge(*a, *b), *c), merge(*a, *merge(*b, *c)))
    torch.testing.assert_close(merge(*a, *b), merge(*b, *a))


def test_merge_with_a_part_without_keys():
    generator = torch.Generator().manual_seed(0)
    out = torch.randn(1, 1, 3, 2, dtype=torch.float64, generator=generator).requires_grad_()
    lse = torch.tensor([[[0.5, -1e4, -torch.inf]]], dtype=torch.float64, requires_grad=True)
    nothing = torch.zeros_like(out), torch.full_like(lse, -torch.inf)
    for merged in (merge(out, lse, *nothing), merge(*nothing, out, lse)):
        torch.testing.assert_close(merged[0][..., :2, :], out[..., :2, :])
        torch.testing.assert_close(merged[1], lse)
        assert (merged[0][..., 2, :] == 0).all()
        grads = torch.autograd.grad(merged[0].sum() + merged[1][..., :2].sum(), (out, lse))
        assert all(grad.isfinite().all() for grad in grads)


def test_merge_gradients_match_finite_differences():
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, 2, 3, 2), (1, 2, 3)] * 2
    parts = [
        torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()
        for shape in shapes
    ]
    assert torch.autograd.gradcheck(merge, parts)


def test_merge_keeps_a_half_precision_output_and_a_float32_lse():
    out, lse = torch.ones(1, 1, 3, 2, dtype=torch.bfloat16), torch.zeros(1, 1, 3)
    merged_out, merged_lse = merge(out, lse, 3 * out, lse)
    assert merged_out.dtype == torch.bfloat16
    assert torch.equal(merged_out, 2 * out)
    torch.testing.assert_close(merged_lse, torch.full_like(lse, math.log(2)))


def test_meta_tensors_give_shapes():
    x = {n: t.to("meta") for n, t in make_inputs().items()}
    out, lse = online_softmax_attention(**x, block_size=4)
    assert (out.shape, lse.shape) == ((2, 4, 7, 2), (2, 4, 7))
    assert merge(out, lse, out, lse)[0].shape == out.shape


@pytest.mark.errors
@pytest.mark.parametrize("function", [online_softmax_attention, online_softmax_states])
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(block_size=0), ValueError, "block_size must be at least 1; got 0"),
        (dict(block_size=-2), ValueError, "block_size must be at least 1; got -2"),
        (dict(block_size=2.0), TypeError, r"block_size must be an int; got float 2\.0"),
        (dict(block_size=True), TypeError, "block_size must be an int; got True"),
        (dict(q=None), TypeError, "q must be a torch.Tensor; got None"),
        (dict(k=torch.zeros(2, 2, 6, 3)), ValueError, r"k must be .* with s = 7 as in q; got"),
        (dict(v=torch.full((2, 2, 7, 2), torch.nan).double()), ValueError, "v must be finite"),
        (dict(q=torch.zeros(2, 3, 7, 3).double()), ValueError, "divide n_heads = 3; got 2, .* k"),
        (dict(scale=math.inf), ValueError, "scale must be finite; got inf"),
        (dict(causal="yes"), TypeError, "causal must be True or False; got str 'yes'"),
    ],
)
def test_errors_name_the_argument_at_the_call(function, change, error, message):
    with pytest.raises(error, match=message):
        function(**(make_inputs() | change))


@pytest.mark.errors
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(lse_a=None), TypeError, "lse_a must be a torch.Tensor; got None"),
        (dict(lse_b=torch.zeros(1, 1, 4)), ValueError, r"lse_b must be .* with s = 3 as in out_a"),
        (dict(lse_a=torch.zeros(1, 1, 3, 1)), ValueError, r"lse_a must be \(b, h, s\); got"),
        (dict(out_b=torch.zeros(1, 1, 3, 5)), ValueError, r"out_b must be .* with dv = 2 as in"),
        (dict(out_b=torch.zeros(1, 1, 3, 2).half()), TypeError, "out_b must be float32 as out_a"),
        (dict(lse_b=torch.zeros(1, 1, 3).double()), TypeError, "lse_b must be float32 as lse_a"),
        (dict(out_a=torch.full((1, 1, 3, 2), torch.nan)), ValueError, "out_a must be finite"),
        (dict(lse_a=torch.full((1, 1, 3), torch.inf)), ValueError, "lse_a must be finite; got inf"),
        (dict(lse_b=torch.full((1, 1, 3), torch.nan)), ValueError, "lse_b must be finite; got nan"),
    ],
)
def test_merge_errors_name_the_argument(change, error, message):
    out, lse = torch.zeros(1, 1, 3, 2), torch.zeros(1, 1, 3)
    with pytest.raises(error, match=message):
        merge(**(dict(out_a=out, lse_a=lse, out_b=out, lse_b=lse) | change))


@pytest.mark.errors
def test_merge_names_the_device():
    out, lse = torch.zeros(1, 1, 3, 2), torch.zeros(1, 1, 3, device="meta")
    with pytest.raises(ValueError, match="lse_a must be on cpu as out_a is; got meta"):
        merge(out, lse, out, lse)
