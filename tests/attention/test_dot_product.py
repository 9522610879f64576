"""Mirrors simplex_lib/attention/dot_product.py."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from simplex_lib.attention import (
    causal_mask,
    dot_product_attention,
    dot_product_attention_with_lse,
    dot_product_logits,
)

NAMES = ("q", "k", "v")


def make_inputs(b=2, h=4, g=4, s=5, d=3, dv=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = dict(q=(b, h, s, d), k=(b, g, s, d), v=(b, g, s, dv))
    return {n: torch.randn(*shapes[n], dtype=torch.float64, generator=generator) for n in NAMES}


def loops(q, k, v, *, causal, scale):
    """(b, h, s, d) tensors of equal head count; out and lse, one query at a time."""
    out, lse = torch.zeros(*q.shape[:3], v.shape[-1], dtype=q.dtype), torch.zeros(*q.shape[:3])
    lse = lse.to(q.dtype)
    b, h, s, _ = q.shape
    for at in ((b_, h_, i) for b_ in range(b) for h_ in range(h) for i in range(s)):
        head, i = at[:2], at[2]
        keys = range(i + 1 if causal else s)
        weights = [math.exp(scale * float(q[at] @ k[(*head, j)])) for j in keys]
        out[at] = sum(w * v[(*head, j)] for w, j in zip(weights, keys, strict=True)) / sum(weights)
        lse[at] = math.log(sum(weights))
    return out, lse


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize(
    "sizes", [dict(), dict(s=1), dict(b=1, h=2, g=1, s=7, d=1), dict(g=2, s=3, dv=4)]
)
def test_attention_equals_explicit_loops(sizes, scale, causal):
    x = make_inputs(**sizes)
    out, lse = dot_product_attention_with_lse(**x, causal=causal, scale=scale)
    groups = x["q"].shape[1] // x["k"].shape[1]
    copied = {n: t if n == "q" else t.repeat_interleave(groups, 1) for n, t in x.items()}
    truth = loops(**copied, causal=causal, scale=scale or x["q"].shape[-1] ** -0.5)
    torch.testing.assert_close((out, lse), truth)
    torch.testing.assert_close(dot_product_attention(**x, causal=causal, scale=scale), out)


@given(
    b=st.integers(1, 2),
    g=st.integers(1, 3),
    groups=st.integers(1, 3),
    s=st.integers(1, 17),
    d=st.integers(1, 9),
    causal=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
@settings(deadline=None, max_examples=40)
def test_attention_equals_torch(b, g, groups, s, d, causal, dtype):
    x = make_inputs(b=b, h=g * groups, g=g, s=s, d=d, dv=d)
    q, k, v = (t.to(dtype) for t in x.values())
    torch_out = scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)
    torch.testing.assert_close(dot_product_attention(q, k, v, causal=causal), torch_out)


def test_logits_and_lse_give_the_probabilities():
    x = make_inputs(g=2)
    q, k, v = x.values()
    logits = dot_product_logits(q, k) * 0.7
    torch.testing.assert_close(logits, 0.7 * q @ k.repeat_interleave(2, 1).mT)
    out, lse = dot_product_attention_with_lse(q, k, v, scale=0.7)
    probs = (logits - lse[..., None]).exp() * causal_mask(5)
    torch.testing.assert_close(probs.sum(-1), torch.ones_like(lse))
    torch.testing.assert_close(probs @ v.repeat_interleave(2, 1), out)


@pytest.mark.parametrize("causal", [True, False])
def test_gradients_match_finite_differences(causal):
    inputs = [x.requires_grad_() for x in make_inputs(b=1, h=2, g=1, s=4).values()]
    assert torch.autograd.gradcheck(
        lambda *x: dot_product_attention_with_lse(*x, causal=causal), inputs
    )


def test_query_heads_share_a_key_head_and_their_gradients_add_up():
    x = {n: t.requires_grad_() for n, t in make_inputs(h=6, g=2).items()}
    copied = {n: t.detach().repeat_interleave(1 if n == "q" else 3, 1) for n, t in x.items()}
    copied = {n: t.requires_grad_() for n, t in copied.items()}
    out, out_copied = dot_product_attention(**x), dot_product_attention(**copied)
    torch.testing.assert_close(out, out_copied)
    out.square().sum().backward()
    out_copied.square().sum().backward()
    torch.testing.assert_close(x["q"].grad, copied["q"].grad)
    for n in ("k", "v"):
        grad = copied[n].grad
        assert grad is not None
        torch.testing.assert_close(x[n].grad, grad.unflatten(1, (2, 3)).sum(2))


@pytest.mark.parametrize("name", NAMES)
def test_the_future_moves_neither_values_nor_gradients(name):
    x = make_inputs()
    moved = dict(x)
    moved[name] = x[name].clone()
    moved[name][..., 3:, :] = 1e3
    seen = []
    for inputs in (x, moved):
        leaves = [t.clone().requires_grad_() for t in inputs.values()]
        out, lse = dot_product_attention_with_lse(*leaves)
        past = out[..., :3, :].square().sum() + lse[..., :3].sum()
        grads = torch.autograd.grad(past, leaves)
        assert all((grad[..., 3:, :] == 0).all() for grad in grads)
        seen.append((out[..., :3, :], lse[..., :3], *(grad[..., :3, :] for grad in grads)))
    torch.testing.assert_close(*seen)


def test_without_a_mask_the_order_of_keys_does_not_matter():
    x = make_inputs()
    order = torch.randperm(5, generator=torch.Generator().manual_seed(1))
    shuffled = {n: t if n == "q" else t[:, :, order] for n, t in x.items()}
    torch.testing.assert_close(
        dot_product_attention_with_lse(**shuffled, causal=False),
        dot_product_attention_with_lse(**x, causal=False),
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_logits_of_ten_thousand_do_not_overflow(dtype):
    x = {n: t.to(dtype) for n, t in make_inputs(d=4).items()}
    x["q"], x["k"] = torch.full_like(x["q"], 100), torch.full_like(x["k"], 50)
    x["k"][..., 2, :] = 25
    out, lse = dot_product_attention_with_lse(**x, causal=False)  # logits 1e4 and 5e3
    others = x["v"][..., [0, 1, 3, 4], :].double().mean(-2, keepdim=True).expand_as(out)
    torch.testing.assert_close(out.double(), others, atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(lse, torch.full_like(lse, 1e4 + math.log(4)))
    assert lse.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_costs_little_more_than_rounding_the_inputs(dtype):
    x = make_inputs(s=33, d=16, dv=16)
    rounded = {n: t.to(dtype) for n, t in x.items()}
    exact = dot_product_attention(**x)
    unavoidable = dot_product_attention(**{n: t.double() for n, t in rounded.items()}) - exact
    error = dot_product_attention(**rounded).double() - exact
    assert error.abs().max() <= 2 * unavoidable.abs().max()
    assert error.square().mean() <= 2 * unavoidable.square().mean()


def test_strides_do_not_matter_and_inputs_are_kept():
    x = make_inputs()
    strided = {n: t.transpose(1, 2).contiguous().transpose(1, 2) for n, t in x.items()}
    before = {n: t.clone() for n, t in x.items()}
    torch.testing.assert_close(dot_product_attention(**strided), dot_product_attention(**x))
    assert all(torch.equal(x[n], before[n]) for n in NAMES)


def test_meta_tensors_give_shapes():
    x = {n: t.to("meta") for n, t in make_inputs(g=2).items()}
    out, lse = dot_product_attention_with_lse(**x)
    assert (out.shape, lse.shape, out.device.type) == ((2, 4, 5, 2), (2, 4, 5), "meta")


@pytest.mark.errors
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(q=None), TypeError, "q must be a torch.Tensor; got None"),
        (dict(k=torch.zeros(2, 4, 6, 3)), ValueError, r"k must be .* with s = 5 as in q; got"),
        (dict(k=torch.zeros(2, 4, 5, 7)), ValueError, r"k must be .* with d = 3 as in q; got"),
        (dict(v=torch.zeros(2, 2, 5, 3)), ValueError, r"v must be .* with g = 4 as in k; got"),
        (dict(v=torch.zeros(2, 4, 5)), ValueError, r"v must be \(b, g, s, dv\); got \(2, 4, 5\)"),
        (dict(q=torch.zeros(2, 4, 0, 3)), ValueError, r"q must be .* with s at least 1; got"),
        (dict(k=torch.zeros(2, 4, 5, 3)), TypeError, "k must be float64 as q is; got float32"),
        (dict(v=torch.zeros(2, 4, 5, 3).long()), TypeError, "v must be .*; got int64"),
        (dict(v=torch.zeros(2, 4, 5, 3, device="meta").double()), ValueError, "v must be on cpu"),
        (dict(k=torch.full((2, 4, 5, 3), torch.nan).double()), ValueError, "k must be finite; g"),
        (dict(q=torch.zeros(2, 6, 5, 3).double()), ValueError, "divide n_heads = 6; got 4, .* k"),
        (dict(scale=math.nan), ValueError, "scale must be finite; got nan"),
        (dict(causal=torch.ones(5, 5)), TypeError, "causal must be True or False; got torch.Tens"),
        (dict(impl="cuda"), ValueError, "impl must be one of 'reference', 'triton'; got 'cuda'"),
        (dict(impl="triton"), TypeError, "q must be float16, .* impl is 'triton'; got float64"),
    ],
)
def test_errors_name_the_argument(change, error, message):
    with pytest.raises(error, match=message):
        dot_product_attention(**(make_inputs() | change))


@pytest.mark.errors
def test_parts_check_their_arguments_too():
    q = torch.zeros(1, 3, 5, 4)
    with pytest.raises(ValueError, match="divide n_heads = 3; got 2, the axis g of k"):
        dot_product_logits(q, torch.zeros(1, 2, 5, 4))
    with pytest.raises(ValueError, match="s must be at least 1; got 0"):
        causal_mask(0)
