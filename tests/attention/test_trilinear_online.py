"""Mirrors simplex_lib/attention/trilinear_online.py."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from simplex_lib.attention import (
    trilinear_attention,
    trilinear_attention_online,
    trilinear_attention_online_with_lse,
    trilinear_attention_with_lse,
)

NAMES = ("q", "k1", "k2", "v1", "v2")


def make_inputs(b=2, h=4, g=2, s=6, d=3, dv=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    key, value = (b, g, s, d), (b, g, s, dv)
    shapes = dict(q=(b, h, s, d), k1=key, k2=key, v1=value, v2=value)
    return {n: torch.randn(*shapes[n], dtype=torch.float64, generator=generator) for n in NAMES}


class Memory(TorchDispatchMode):
    """The largest tensor made, and the most numbers alive at once among those made."""

    def __init__(self):
        super().__init__()
        self.largest, self.most_alive, self.alive = 0, 0, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for x in tree_leaves(out):
            if isinstance(x, torch.Tensor):
                self.largest = max(self.largest, x.numel())
                storage = x.untyped_storage()
                bytes_ = storage.nbytes() // 8  # in numbers of float64
                self.alive[storage._cdata] = (StorageWeakRef(storage), bytes_)
        self.alive = {at: (ref, n) for at, (ref, n) in self.alive.items() if not ref.expired()}
        self.most_alive = max(self.most_alive, sum(n for _, n in self.alive.values()))
        return out


def forward_and_backward(function, x, **options):
    with Memory() as memory:
        leaves = [t.detach().requires_grad_() for t in x.values()]
        function(*leaves, **options).square().sum().backward()
    return memory


@pytest.mark.parametrize("block_size", [1, 2])
def test_no_cube_is_ever_made_nor_kept_for_the_backward(block_size):
    s = 32
    x = make_inputs(b=1, h=1, g=1, s=s, d=2)
    memory = forward_and_backward(trilinear_attention_online, x, block_size=block_size)
    assert memory.largest == s * block_size * s
    assert memory.most_alive < s**3
    cube = forward_and_backward(trilinear_attention, x)  # the meter sees a cube where there is one
    assert cube.largest == s**3
    assert cube.most_alive > 2 * s**3


@given(
    b=st.integers(1, 2),
    g=st.integers(1, 2),
    groups=st.integers(1, 3),
    s=st.integers(1, 9),
    d=st.integers(1, 5),
    w1=st.none() | st.integers(1, 11),
    w2=st.none() | st.integers(1, 11),
    block_size=st.integers(1, 10),
    causal=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
@settings(deadline=None, max_examples=60)
def test_equals_the_reference(b, g, groups, s, d, w1, w2, block_size, causal, dtype):
    x = make_inputs(b=b, h=g * groups, g=g, s=s, d=d)
    x = {n: t.to(dtype) for n, t in x.items()}
    windows = dict(w1=w1, w2=w2, causal=causal)
    online = trilinear_attention_online_with_lse(**x, **windows, block_size=block_size)
    torch.testing.assert_close(online, trilinear_attention_with_lse(**x, **windows))


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("w1", "w2"), [(None, None), (1, 1), (2, 4), (4, 2)])
@pytest.mark.parametrize("block_size", [1, 4, 9])
def test_gradients_equal_those_of_the_reference(block_size, w1, w2, causal):
    x = {n: t.requires_grad_() for n, t in make_inputs().items()}
    windows = dict(w1=w1, w2=w2, causal=causal, scale=0.8)

    def grads(out, lse):
        return torch.autograd.grad(out.square().sum() + lse.sin().sum(), list(x.values()))

    online = trilinear_attention_online_with_lse(**x, **windows, block_size=block_size)
    torch.testing.assert_close(grads(*online), grads(*trilinear_attention_with_lse(**x, **windows)))


def test_gradients_match_finite_differences():
    inputs = [x.requires_grad_() for x in make_inputs(b=1, h=2, g=1, s=3, d=2).values()]
    assert torch.autograd.gradcheck(
        lambda *x: trilinear_attention_online_with_lse(*x, w1=3, w2=2), inputs
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_future_moves_neither_values_nor_gradients(name):
    x = make_inputs()
    before = trilinear_attention_online(**x, block_size=4)
    x[name][..., 3:, :] = 1e3
    leaves = {n: t.requires_grad_() for n, t in x.items()}
    past = trilinear_attention_online(**leaves, block_size=4)[..., :3, :]
    torch.testing.assert_close(past, before[..., :3, :])
    grad = torch.autograd.grad(past.square().sum(), leaves[name])[0]
    assert (grad[..., 3:, :] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_logits_of_ten_thousand_do_not_overflow(dtype):
    x = {n: t.to(dtype) for n, t in make_inputs(d=4).items()}
    x |= {n: torch.full_like(x[n], fill) for n, fill in dict(q=100, k1=10, k2=5).items()}
    x["k2"][..., :2, :] = -5
    options = dict(w1=2, w2=2)  # logits of 1e4 and -1e4
    online = trilinear_attention_online_with_lse(**x, **options)
    reference = trilinear_attention_with_lse(**x, **options)
    assert all(t.isfinite().all() for t in online)
    torch.testing.assert_close(online, reference)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_costs_little_more_than_rounding_the_inputs(dtype):
    x = make_inputs(s=17, d=16, dv=16)
    rounded = {n: t.to(dtype) for n, t in x.items()}
    exact = trilinear_attention(**x)
    unavoidable = trilinear_attention(**{n: t.double() for n, t in rounded.items()}) - exact
    out = trilinear_attention_online(**rounded)
    assert out.dtype == dtype
    assert (out.double() - exact).abs().max() <= 2 * unavoidable.abs().max()


def test_meta_tensors_give_shapes():
    x = {n: t.to("meta") for n, t in make_inputs().items()}
    out, lse = trilinear_attention_online_with_lse(**x, w2=2)
    assert (out.shape, lse.shape) == ((2, 4, 6, 2), (2, 4, 6))


@pytest.mark.errors
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(block_size=0), ValueError, "block_size must be at least 1; got 0"),
        (dict(block_size=1.0), TypeError, r"block_size must be an int; got float 1\.0"),
        (dict(block_size=None), TypeError, "block_size must be an int; got None"),
        (dict(k1=torch.zeros(2, 2, 5, 3)), ValueError, r"k1 must be .* with s = 6 as in q; got"),
        (dict(v2=None), TypeError, "v2 must be a torch.Tensor; got None"),
        (dict(k2=torch.full((2, 2, 6, 3), torch.nan).double()), ValueError, "k2 must be finite"),
        (dict(q=torch.zeros(2, 3, 6, 3).double()), ValueError, "divide n_heads = 3; got 2, .* k1"),
        (dict(w1=0), ValueError, "w1 counts the query's own position, .*; got 0"),
        (dict(w2=False), TypeError, "w2 must be an int or None; got False"),
        (dict(scale=math.nan), ValueError, "scale must be finite; got nan"),
        (dict(causal=1), TypeError, "causal must be True or False; got int 1"),
    ],
)
def test_errors_name_the_argument(change, error, message):
    with pytest.raises(error, match=message):
        trilinear_attention_online(**(make_inputs() | change))
