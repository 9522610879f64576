"""Mirrors simplex_lib/kernels/dot_product.py, and holds it to simplex_lib/attention."""

from functools import partial

import pytest
import torch
from kernels.cases import (
    DTYPES,
    SMALL,
    assert_close_enough,
    exact,
    make_case,
    results,
    rounded,
)
from kernels.guards import GuardedEmpty, guard

from simplex_lib.attention import dot_product_attention_with_lse
from simplex_lib.kernels.dot_product import dot_product_backward, dot_product_forward

pytestmark = pytest.mark.filterwarnings("ignore:Triton kernels run in Triton's interpreter")
GPU = torch.cuda.is_available()
kernel = partial(dot_product_attention_with_lse, impl="triton")


def case(device, **sizes):
    return make_case(device, pairs=False, **sizes)


def launched(inputs, gradients, *, causal=True, scale=None):
    scale = inputs[0].shape[-1] ** -0.5 if scale is None else scale
    options = dict(causal=causal, scale=scale, blocks=SMALL)
    out, lse = dot_product_forward(*inputs, **options)
    return [out, lse, *dot_product_backward(*gradients, *inputs, out, lse, **options)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("options", [dict(), dict(causal=False, scale=-0.3)], ids=str)
@pytest.mark.parametrize(
    "sizes",
    [dict(b=2, h=4, g=2, s=7, d=16, dv=19), dict(h=128, s=3), dict(h=1, s=150, d=100)],
    ids=str,
)
def test_values_and_gradients_match_the_reference(device, sizes, options, dtype):
    inputs, gradients = case(device, dtype=dtype, **sizes)
    found = results(lambda *x: kernel(*x, **options), inputs, gradients)
    wanted = exact(inputs, gradients, **options)
    assert_close_enough(found, wanted, rounded(inputs, gradients, **options))


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("sizes", [dict(h=3, s=23, d=20, dv=32), dict(h=1, s=1)], ids=str)
def test_many_tiles_and_none(device, sizes, causal):
    inputs, gradients = case(device, **sizes)
    found = launched(inputs, gradients, causal=causal)
    wanted = exact(inputs, gradients, causal=causal)
    assert_close_enough(found, wanted, rounded(inputs, gradients, causal=causal))


@pytest.mark.parametrize("causal", [True, False])
def test_nothing_outside_the_tensors_is_read_or_written(device, monkeypatch, causal):
    inputs, gradients = case(device, h=3, s=21, d=18, dv=21)
    guards = [guard(x) for x in inputs], [guard(x) for x in gradients]
    with monkeypatch.context() as patch:
        patch.setattr(torch, "empty", empty := GuardedEmpty())
        found = launched(*guards, causal=causal)
    assert empty.broken() == (0, 0) and len(empty.made) == 5
    plain = launched(inputs, gradients, causal=causal)
    assert all(torch.equal(x, same) for x, same in zip(found, plain, strict=True))


def test_strides_are_followed_and_bits_repeat(device):
    inputs, gradients = case(device, h=2, g=2, s=20)
    plain = launched(inputs, gradients)
    turned = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in inputs]  # (b, s, h, d)
    turned[0] = turned[0].mT.contiguous().mT  # (b, h, d, s)
    for x, same in zip(launched(turned, gradients), plain, strict=True):
        assert torch.equal(x, same)


def test_the_future_does_not_matter(device):
    inputs, (dout, dlse) = case(device, h=2, s=20)
    before = launched(inputs, (dout, dlse))
    other = [x.clone() for x in inputs]
    for x in other:
        x[:, :, 7:] = 1e3
    for x, y in zip(before[:2], launched(other, (dout, dlse))[:2], strict=True):
        assert torch.equal(x[:, :, :7], y[:, :, :7]) and not torch.equal(x, y)
    dout[:, :, 7:], dlse[:, :, 7:] = 0, 0
    for gradient in launched(inputs, (dout, dlse))[2:]:
        assert not gradient[:, :, 7:].any() and gradient[:, :, 6].any()


@pytest.mark.parametrize("shift", [-3e4, 0.0, 3e4])
def test_extreme_logits(device, shift):
    inputs, gradients = case(device, h=2, s=20, d=18)
    q, k, _ = inputs
    q[..., 0], k[..., 0] = 256.0, shift / 256
    q[..., 1:] *= 30
    found, wanted = results(kernel, inputs, gradients), exact(inputs, gradients)
    assert wanted.values[1].abs().max() > 50
    assert_close_enough(found, wanted, rounded(inputs, gradients))


def test_the_operators_keep_what_they_promise_to_pytorch(device):
    inputs, (dout, dlse) = case(device, h=2, s=3)
    inputs = [x.requires_grad_() for x in inputs]
    options = (True, 0.25)
    torch.library.opcheck(torch.ops.simplex.dot_product_attention.default, (*inputs, *options))
    inputs = [x.detach() for x in inputs]
    out, lse = torch.ops.simplex.dot_product_attention(*inputs, *options)
    arguments = (dout, dlse, *inputs, out, lse, *options)
    torch.library.opcheck(torch.ops.simplex.dot_product_attention_backward.default, arguments)


def test_compiled_in_one_graph(device):
    inputs, gradients = case(device, h=2, s=4)
    backend = "inductor" if GPU else "aot_eager"  # which needs no C++ compiler
    compiled = torch.compile(kernel, fullgraph=True, backend=backend)
    found, same = results(compiled, inputs, gradients), results(kernel, inputs, gradients)
    for x, y in zip(found, same, strict=True):
        torch.testing.assert_close(x, y)


@pytest.mark.errors
def test_float64_is_refused():
    inputs, _ = case("cpu", s=3, dtype=torch.float64)
    with pytest.raises(TypeError, match=r"q must be float16, .* impl is 'triton'; got float64"):
        kernel(*inputs)
