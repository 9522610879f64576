"""Mirrors simplex_lib/attention/trilinear.py."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from simplex_lib.attention import (
    key_window,
    pair_window,
    trilinear_attention,
    trilinear_attention_with_lse,
    trilinear_logits,
)

NAMES = ("q", "k1", "k2", "v1", "v2")


def make_inputs(b=2, h=3, g=None, s=5, d=4, dv=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    key, value = (b, g or h, s, d), (b, g or h, s, dv or d)
    shapes = dict(q=(b, h, s, d), k1=key, k2=key, v1=value, v2=value)
    return {n: torch.randn(*shapes[n], dtype=torch.float64, generator=generator) for n in NAMES}


def loops(q, k1, k2, v1, v2, *, w1, w2, causal):
    """One head, (s, d) tensors; out and lse, one query at a time, exponentials as they are."""
    s, d = q.shape
    out, lse = torch.zeros(s, v1.shape[-1], dtype=q.dtype), torch.zeros(s, dtype=q.dtype)
    for i in range(s):
        total = 0.0
        for j, k in itertools.product(range(s), repeat=2):
            ahead = causal and (j > i or k > i)
            if ahead or abs(i - j) >= (w1 or s) or abs(i - k) >= (w2 or s):
                continue
            score = sum(float(q[i, c] * k1[j, c] * k2[k, c]) for c in range(d)) / math.sqrt(d)
            out[i] += math.exp(score) * v1[j] * v2[k]
            total += math.exp(score)
        out[i] /= total
        lse[i] = math.log(total)
    return out, lse


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("w1", "w2"), [(None, None), (1, 1), (2, 3), (3, 2), (99, 1)])
@pytest.mark.parametrize("sizes", [dict(), dict(s=1), dict(s=6, d=1, dv=3)])
def test_attention_equals_explicit_loops(sizes, w1, w2, causal):
    x = make_inputs(**(dict(b=1, h=1) | sizes))
    windows = dict(w1=w1, w2=w2, causal=causal)
    out, lse = trilinear_attention_with_lse(**x, **windows)
    truth = loops(**{n: t[0, 0] for n, t in x.items()}, **windows)
    torch.testing.assert_close((out[0, 0], lse[0, 0]), truth)
    torch.testing.assert_close(trilinear_attention(**x, **windows), out)


@given(
    b=st.integers(1, 2),
    g=st.integers(1, 2),
    groups=st.integers(1, 3),
    s=st.integers(1, 9),
    d=st.integers(1, 5),
    w1=st.none() | st.integers(1, 11),
    w2=st.none() | st.integers(1, 11),
    causal=st.booleans(),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
)
@settings(deadline=None, max_examples=60)
def test_rows_sum_to_one_and_lse_is_their_denominator(b, g, groups, s, d, w1, w2, causal, dtype):
    x = {n: t.to(dtype) for n, t in make_inputs(b=b, h=g * groups, g=g, s=s, d=d).items()}
    windows = dict(w1=w1, w2=w2, causal=causal)
    x["v1"], x["v2"] = torch.ones_like(x["v1"]), torch.ones_like(x["v2"])
    out, lse = trilinear_attention_with_lse(**x, **windows)
    assert (out.dtype, lse.dtype) == (dtype, torch.promote_types(dtype, torch.float32))
    torch.testing.assert_close(out, torch.ones_like(out))
    q, k1, k2 = (x[n].to(lse.dtype) for n in NAMES[:3])
    logits = trilinear_logits(q, k1, k2) / math.sqrt(d)
    hidden = ~pair_window(s, w1, w2, causal=causal)
    torch.testing.assert_close(lse, logits.masked_fill(hidden, -torch.inf).logsumexp((-2, -1)))


@given(
    s=st.integers(1, 12),
    w1=st.none() | st.integers(1, 14),
    w2=st.none() | st.integers(1, 14),
    seed=st.integers(0, 9),
)
@settings(deadline=None, max_examples=30)
def test_the_two_keys_change_places(s, w1, w2, seed):
    x = make_inputs(b=1, h=2, g=1, s=s, seed=seed)
    swapped = dict(q=x["q"], k1=x["k2"], k2=x["k1"], v1=x["v2"], v2=x["v1"])
    torch.testing.assert_close(
        trilinear_attention(**swapped, w1=w2, w2=w1), trilinear_attention(**x, w1=w1, w2=w2)
    )


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("w2", [None, 1, 3])
def test_second_key_of_ones_gives_dot_product_attention(w2, causal):
    # with causal windows k adds the same count to numerator and denominator of a query
    x = make_inputs(h=4, g=2)
    x["k2"], x["v2"] = torch.ones_like(x["k2"]), torch.ones_like(x["v2"])
    dot = scaled_dot_product_attention(x["q"], x["k1"], x["v1"], is_causal=causal, enable_gqa=True)
    torch.testing.assert_close(trilinear_attention(**x, w2=w2, causal=causal), dot)


@pytest.mark.parametrize("causal", [True, False])
def test_gradients_match_finite_differences(causal):
    inputs = [x.requires_grad_() for x in make_inputs(b=1, h=2, g=1, s=4, d=3, dv=2).values()]
    assert torch.autograd.gradcheck(
        lambda *x: trilinear_attention_with_lse(*x, w1=3, w2=2, causal=causal), inputs
    )


def test_query_heads_share_a_key_head_and_their_gradients_add_up():
    x = {n: t.requires_grad_() for n, t in make_inputs(h=6, g=2).items()}
    copied = {n: t.detach().repeat_interleave(1 if n == "q" else 3, 1) for n, t in x.items()}
    copied = {n: t.requires_grad_() for n, t in copied.items()}
    out, out_copied = trilinear_attention(**x), trilinear_attention(**copied)
    torch.testing.assert_close(out, out_copied)
    out.square().sum().backward()
    out_copied.square().sum().backward()
    torch.testing.assert_close(x["q"].grad, copied["q"].grad)
    for n in NAMES[1:]:
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
        out, lse = trilinear_attention_with_lse(*leaves)
        past = out[..., :3, :].square().sum() + lse[..., :3].sum()
        grads = torch.autograd.grad(past, leaves)
        assert all((grad[..., 3:, :] == 0).all() for grad in grads)
        seen.append((out[..., :3, :], lse[..., :3], *(grad[..., :3, :] for grad in grads)))
    torch.testing.assert_close(*seen)


@pytest.mark.parametrize(("name", "w"), [("k1", 2), ("v1", 2), ("k2", 3), ("v2", 3)])
def test_positions_that_left_the_window_are_forgotten(name, w):
    x = make_inputs()
    before = trilinear_attention(**x, w1=2, w2=3)
    x[name][..., : 5 - w, :] = 1e3  # the last query sees the last w positions
    torch.testing.assert_close(trilinear_attention(**x, w1=2, w2=3)[..., -1, :], before[..., -1, :])


def test_without_a_mask_the_order_of_keys_does_not_matter():
    x = make_inputs()
    first, second = torch.tensor([4, 2, 0, 1, 3]), torch.tensor([1, 0, 4, 3, 2])
    order = dict(q=torch.arange(5), k1=first, v1=first, k2=second, v2=second)
    shuffled = {n: t[:, :, order[n]] for n, t in x.items()}
    torch.testing.assert_close(
        trilinear_attention_with_lse(**shuffled, causal=False),
        trilinear_attention_with_lse(**x, causal=False),
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_logits_of_ten_thousand_do_not_overflow(dtype):
    x = {n: t.to(dtype) for n, t in make_inputs().items()}
    x |= {n: torch.full_like(x[n], fill) for n, fill in dict(q=100, k1=10, k2=5).items()}
    out, lse = trilinear_attention_with_lse(**x, w1=1)  # all logits 1e4: plain means over k
    count = torch.arange(1, 6)
    mean = x["v1"].double() * x["v2"].double().cumsum(-2) / count[:, None]
    torch.testing.assert_close(out.double(), mean, atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(lse, (1e4 + count.log()).expand_as(lse))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_costs_little_more_than_rounding_the_inputs(dtype):
    x = make_inputs(s=17, d=16)
    rounded = {n: t.to(dtype) for n, t in x.items()}
    exact = trilinear_attention(**x)
    unavoidable = trilinear_attention(**{n: t.double() for n, t in rounded.items()}) - exact
    error = trilinear_attention(**rounded).double() - exact
    assert error.abs().max() <= 2 * unavoidable.abs().max()
    assert error.square().mean() <= 2 * unavoidable.square().mean()


def test_strides_do_not_matter_and_inputs_are_kept():
    x = make_inputs()
    strided = {n: t.transpose(1, 2).contiguous().transpose(1, 2) for n, t in x.items()}
    before = {n: t.clone() for n, t in x.items()}
    torch.testing.assert_close(trilinear_attention(**strided), trilinear_attention(**x))
    assert all(torch.equal(x[n], before[n]) for n in NAMES)


def test_meta_tensors_give_shapes():
    x = {n: t.to("meta") for n, t in make_inputs(dv=2).items()}
    out, lse = trilinear_attention_with_lse(**x, w1=3)
    assert (out.shape, lse.shape, out.device.type) == ((2, 3, 5, 2), (2, 3, 5), "meta")


def test_logits_are_the_sum_over_d_of_three():
    q, k1, k2 = list(make_inputs(g=1).values())[:3]
    logits = trilinear_logits(q, k1, k2)
    assert logits.shape == (2, 3, 5, 5, 5)
    torch.testing.assert_close(
        logits[1, 2, 3, 0, 4], (q[1, 2, 3] * k1[1, 0, 0] * k2[1, 0, 4]).sum()
    )


def test_pair_window_counts_the_query_itself():
    assert pair_window(4, 1, 1).sum() == 4  # only (i, i, i)
    assert pair_window(4, 2, 1)[3].nonzero().tolist() == [[2, 3], [3, 3]]
    assert pair_window(4, 2, 1, causal=False)[1].nonzero().tolist() == [[0, 1], [1, 1], [2, 1]]
    assert key_window(4, 2)[2].tolist() == [False, True, True, False]


def test_nothing_orders_the_two_keys():
    assert pair_window(6, None, None).sum() == sum((i + 1) ** 2 for i in range(6))
    assert torch.equal(pair_window(6, 2, 3), pair_window(6, 3, 2).mT)


@pytest.mark.errors
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(k1=torch.zeros(2, 3, 6, 4)), ValueError, r"k1 must be \(b, g, s, d\) with s = 5 as"),
        (dict(v2=torch.zeros(2, 3, 5)), ValueError, r"v2 must be \(b, g, s, dv\); got \(2, 3, 5\)"),
        (dict(q=torch.zeros(2, 4, 5, 4).double()), ValueError, "divide n_heads = 4; got 3, .* k1"),
        (dict(k2=torch.zeros(2, 3, 5, 0)), ValueError, r"k2 must be .* with d at least 1; got"),
        (dict(q=torch.zeros(0, 3, 5, 4)), ValueError, r"q must be .* with b at least 1; got"),
        (dict(v1=[[1.0]]), TypeError, "v1 must be a torch.Tensor; got list"),
        (dict(v1=np.zeros((2, 3, 5, 4))), TypeError, "v1 must be a .*; got numpy.ndarray"),
        (dict(k2=torch.zeros(2, 3, 5, 4).int()), TypeError, "k2 must be .*; got int32"),
        (dict(v1=torch.zeros(2, 3, 5, 4)), TypeError, "v1 must be float64 as q is; got float32"),
        (dict(k2=torch.zeros(2, 3, 5, 4).double().to("meta")), ValueError, "k2 must be on cpu"),
        (dict(v2=torch.full((2, 3, 5, 4), -torch.inf).double()), ValueError, "v2 must be finite"),
        (dict(w1=0), ValueError, "w1 counts the query's own position, .*; got 0"),
        (dict(w2=-3), ValueError, "w2 counts the query's own position, .*; got -3"),
        (dict(w2=True), TypeError, "w2 must be an int or None; got True"),
        (dict(w1=2.0), TypeError, "w1 must be an int or None; got float 2.0"),
        (dict(scale=math.inf), ValueError, "scale must be finite; got inf"),
        (dict(causal=None), TypeError, "causal must be True or False; got None"),
        (dict(impl="cuda"), ValueError, "impl must be one of 'reference', 'triton'; got 'cuda'"),
        (dict(impl="triton"), TypeError, "q must be float16, .* impl is 'triton'; got float64"),
    ],
)
def test_errors_name_the_argument(change, error, message):
    with pytest.raises(error, match=message):
        trilinear_attention(**(make_inputs() | change))


@pytest.mark.errors
def test_nan_is_named_with_its_place():
    x = make_inputs()
    x["k2"][1, 0, 4, 2] = torch.nan
    with pytest.raises(ValueError, match=r"k2 must be finite; got nan at \(1, 0, 4, 2\)"):
        trilinear_attention(**x)


@pytest.mark.errors
def test_parts_check_their_arguments_too():
    q, k1 = torch.zeros(1, 3, 5, 4), torch.zeros(1, 2, 5, 4)
    with pytest.raises(ValueError, match="divide n_heads = 3; got 2, the axis g of k1"):
        trilinear_logits(q, k1, k1)
    with pytest.raises(ValueError, match="s must be at least 1; got 0"):
        pair_window(0, None, None)
    with pytest.raises(TypeError, match="w2 must be an int or None; got float"):
        pair_window(4, None, 1.5)  # type: ignore[arg-type]
