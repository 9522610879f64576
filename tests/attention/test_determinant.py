"""Mirrors simplex_lib/attention/determinant.py."""

import inspect
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simplex_lib.attention import (
    as_trilinear,
    determinant_attention,
    determinant_attention_with_lse,
    determinant_logits,
    trilinear_attention,
    trilinear_logits,
)

NAMES = ("q", "k1", "k2", "v1", "v2")


def make_inputs(b=2, h=3, g=None, s=5, d=6, dv=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    key, value = (b, g or h, s, d), (b, g or h, s, dv)
    shapes = dict(q=(b, h, s, d), k1=key, k2=key, v1=value, v2=value)
    return {n: torch.randn(*shapes[n], dtype=torch.float64, generator=generator) for n in NAMES}


def make_scored(**sizes):
    return [make_inputs(**sizes)[n] for n in NAMES[:3]]


def make_rotation(seed=0):
    """A random orthogonal 3 x 3 matrix of determinant 1."""
    generator = torch.Generator().manual_seed(seed)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=generator))
    return turn * torch.linalg.det(turn).sign()


def rotate(x, matrix):
    """Multiply every whole chunk of three by matrix; leave the rest."""
    whole = x.shape[-1] // 3 * 3
    chunks = x[..., :whole].unflatten(-1, (-1, 3)) @ matrix.T
    return torch.cat([chunks.flatten(-2), x[..., whole:]], -1)


def score(a, b, c):
    """One triple of vectors, chunk by chunk with torch.linalg.det."""
    whole = len(a) // 3 * 3
    rows = torch.stack([a, b, c])
    chunks = [torch.linalg.det(rows[:, at : at + 3]) for at in range(0, whole, 3)]
    return sum(chunks) + (a * b * c)[whole:].sum()


@pytest.mark.parametrize("d", [3, 4, 5, 6, 7])
def test_logits_are_the_determinants_of_torch(d):
    q, k1, k2 = make_scored(b=1, h=2, g=1, s=3, d=d)
    logits = determinant_logits(q, k1, k2)
    assert logits.shape == (1, 2, 3, 3, 3)
    for h, i, j, k in itertools.product(range(2), range(3), range(3), range(3)):
        torch.testing.assert_close(
            logits[0, h, i, j, k], score(q[0, h, i], k1[0, 0, j], k2[0, 0, k])
        )


def test_the_unit_vectors_in_order_give_one():
    x, y, z = (v.view(1, 1, 1, 3) for v in torch.eye(3))
    assert determinant_logits(x, y, z).item() == 1
    assert determinant_logits(y, x, z).item() == -1
    assert determinant_logits(x, y, y).item() == 0


@given(d=st.integers(3, 11), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_a_common_rotation_changes_nothing_and_a_reflection_the_sign(d, seed):
    x = make_scored(b=1, h=1, s=3, d=d, seed=seed)
    rotation = make_rotation(seed)
    logits = determinant_logits(*x)
    turned = determinant_logits(*(rotate(t, rotation) for t in x))
    torch.testing.assert_close(turned, logits)
    mirrored = determinant_logits(*(rotate(t, -rotation) for t in x))
    rest = trilinear_logits(*(t[..., d - d % 3 :] for t in x)) if d % 3 else 0
    torch.testing.assert_close(mirrored - rest, -(logits - rest))


def test_the_trilinear_score_moves_under_a_common_rotation():
    x = make_scored()
    moved = trilinear_logits(*(rotate(t, make_rotation()) for t in x)) - trilinear_logits(*x)
    assert moved.abs().max() > 1


def test_one_rotation_for_all_three_is_needed():
    q, k1, k2 = make_scored()
    moved = determinant_logits(rotate(q, make_rotation()), k1, k2)
    assert (moved - determinant_logits(q, k1, k2)).abs().max() > 1


@given(d=st.integers(3, 11), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_as_trilinear_has_the_same_logits(d, seed):
    x = make_scored(h=2, g=1, d=d, seed=seed)
    longer = as_trilinear(*x)
    assert {t.shape[-1] for t in longer} == {2 * d - d % 3}
    torch.testing.assert_close(trilinear_logits(*longer), determinant_logits(*x))


def test_chunks_of_independent_numbers_have_variance_six():
    q, k1, k2 = make_scored(b=200, h=8, s=1, d=6)
    logits = determinant_logits(q, k1, k2)  # two determinants, six products each
    assert logits.var().item() == pytest.approx(12, rel=0.15)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("w1", "w2"), [(None, None), (1, 1), (2, 3), (3, 2), (99, 1)])
@pytest.mark.parametrize("sizes", [dict(), dict(s=1), dict(s=4, d=7)])
def test_attention_equals_explicit_loops(sizes, w1, w2, causal):
    x = make_inputs(**(dict(b=1, h=1) | sizes))
    out, lse = determinant_attention_with_lse(**x, w1=w1, w2=w2, causal=causal)
    q, k1, k2, v1, v2 = (t[0, 0] for t in x.values())
    s, d = q.shape
    for i in range(s):
        pairs = [
            (j, k)
            for j, k in itertools.product(range(i + 1 if causal else s), repeat=2)
            if abs(i - j) < (w1 or s) and abs(i - k) < (w2 or s)
        ]
        logits = torch.stack([score(q[i], k1[j], k2[k]) / math.sqrt(d) for j, k in pairs])
        values = torch.stack([v1[j] * v2[k] for j, k in pairs])
        torch.testing.assert_close(out[0, 0, i], logits.softmax(0) @ values)
        torch.testing.assert_close(lse[0, 0, i], logits.logsumexp(0))
    torch.testing.assert_close(determinant_attention(**x, w1=w1, w2=w2, causal=causal), out)


def test_exchanging_the_keys_changes_the_sign_of_the_logits():
    x = make_inputs()
    swapped = dict(q=-x["q"], k1=x["k2"], k2=x["k1"], v1=x["v2"], v2=x["v1"])
    torch.testing.assert_close(
        determinant_attention(**swapped, w1=3, w2=2), determinant_attention(**x, w1=2, w2=3)
    )


@pytest.mark.parametrize("d", [3, 5])
@pytest.mark.parametrize("causal", [True, False])
def test_gradients_match_finite_differences(causal, d):
    inputs = [x.requires_grad_() for x in make_inputs(b=1, h=2, g=1, s=3, d=d, dv=1).values()]
    assert torch.autograd.gradcheck(
        lambda *x: determinant_attention_with_lse(*x, w1=3, w2=2, causal=causal), inputs
    )


def test_gradients_of_logits_match_finite_differences():
    inputs = [x.requires_grad_() for x in make_scored(b=1, h=2, g=1, s=2, d=4)]
    assert torch.autograd.gradcheck(determinant_logits, inputs)


def test_query_heads_share_a_key_head_and_their_gradients_add_up():
    x = {n: t.requires_grad_() for n, t in make_inputs(h=6, g=2).items()}
    copied = {n: t.detach().repeat_interleave(1 if n == "q" else 3, 1) for n, t in x.items()}
    copied = {n: t.requires_grad_() for n, t in copied.items()}
    out, out_copied = determinant_attention(**x), determinant_attention(**copied)
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
        out, lse = determinant_attention_with_lse(*leaves)
        past = out[..., :3, :].square().sum() + lse[..., :3].sum()
        grads = torch.autograd.grad(past, leaves)
        assert all((grad[..., 3:, :] == 0).all() for grad in grads)
        seen.append((out[..., :3, :], lse[..., :3], *(grad[..., :3, :] for grad in grads)))
    torch.testing.assert_close(*seen)


@pytest.mark.parametrize(("name", "w"), [("k1", 2), ("v1", 2), ("k2", 3), ("v2", 3)])
def test_positions_that_left_the_window_are_forgotten(name, w):
    x = make_inputs()
    before = determinant_attention(**x, w1=2, w2=3)
    x[name][..., : 5 - w, :] = 1e3  # the last query sees the last w positions
    after = determinant_attention(**x, w1=2, w2=3)
    torch.testing.assert_close(after[..., -1, :], before[..., -1, :])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_costs_little_more_than_rounding_the_inputs(dtype):
    x = make_inputs(s=17, d=18)
    rounded = {n: t.to(dtype) for n, t in x.items()}
    exact = determinant_attention(**x)
    unavoidable = determinant_attention(**{n: t.double() for n, t in rounded.items()}) - exact
    out = determinant_attention(**rounded)
    assert out.dtype == dtype
    assert (out.double() - exact).abs().max() <= 2 * unavoidable.abs().max()


def test_strides_do_not_matter_and_inputs_are_kept():
    x = make_inputs()
    strided = {n: t.transpose(1, 2).contiguous().transpose(1, 2) for n, t in x.items()}
    before = {n: t.clone() for n, t in x.items()}
    torch.testing.assert_close(determinant_attention(**strided), determinant_attention(**x))
    assert all(torch.equal(x[n], before[n]) for n in NAMES)


def test_meta_tensors_give_shapes():
    x = {n: t.to("meta") for n, t in make_inputs(d=7).items()}
    out, lse = determinant_attention_with_lse(**x, w1=3)
    assert (out.shape, lse.shape, out.device.type) == ((2, 3, 5, 2), (2, 3, 5), "meta")


def test_the_signature_is_that_of_trilinear_attention():
    ours, theirs = (
        [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]
        for function in (determinant_attention, trilinear_attention)
    )
    assert ours == theirs


@pytest.mark.errors
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(k1=torch.zeros(2, 3, 6, 6)), ValueError, r"k1 must be \(b, g, s, d\) with s = 5 as"),
        (dict(k2=torch.zeros(2, 3, 5, 7)), ValueError, r"k2 must be .* with d = 6 as in q; got"),
        (dict(v2=torch.zeros(2, 3, 5)), ValueError, r"v2 must be \(b, g, s, dv\); got \(2, 3, 5\)"),
        (dict(q=torch.zeros(2, 4, 5, 6).double()), ValueError, "divide n_heads = 4; got 3, .* k1"),
        (dict(v1=[[1.0]]), TypeError, "v1 must be a torch.Tensor; got list"),
        (dict(v1=torch.zeros(2, 3, 5, 2)), TypeError, "v1 must be float64 as q is; got float32"),
        (dict(k2=torch.zeros(2, 3, 5, 6).double().to("meta")), ValueError, "k2 must be on cpu"),
        (dict(v2=torch.full((2, 3, 5, 2), torch.nan).double()), ValueError, "v2 must be finite"),
        (dict(w1=0), ValueError, "w1 counts the query's own position, .*; got 0"),
        (dict(w2=True), TypeError, "w2 must be an int or None; got True"),
        (dict(scale=math.inf), ValueError, "scale must be finite; got inf"),
        (dict(causal=None), TypeError, "causal must be True or False; got None"),
        (dict(impl="cuda"), ValueError, "impl must be one of 'reference', 'triton'; got 'cuda'"),
        (dict(impl="triton"), TypeError, "q must be float16, .* impl is 'triton'; got float64"),
    ],
)
def test_errors_name_the_argument(change, error, message):
    with pytest.raises(error, match=message):
        determinant_attention(**(make_inputs() | change))


@pytest.mark.errors
@pytest.mark.parametrize("d", [1, 2])
def test_a_head_dim_below_three_has_no_determinant(d):
    x = make_inputs(d=d)
    message = f"q must have a head_dim of at least 3, the size of a determinant; got {d}"
    with pytest.raises(ValueError, match=message):
        determinant_attention(**x)
    for function in (determinant_logits, as_trilinear):
        with pytest.raises(ValueError, match=message):
            function(x["q"], x["k1"], x["k2"])


@pytest.mark.errors
def test_logits_check_their_arguments_too():
    q = torch.zeros(1, 3, 5, 6)
    with pytest.raises(ValueError, match="divide n_heads = 3; got 2, the axis g of k1"):
        determinant_logits(q, q[:, :2], q[:, :2])
    with pytest.raises(TypeError, match="k2 must be float32 as q is; got float64"):
        determinant_logits(q, q, q.double())
