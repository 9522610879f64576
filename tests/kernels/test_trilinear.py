"""Mirrors simplex_lib/kernels/trilinear*.py, and holds the kernels to simplex_lib/attention."""

import os
import subprocess
import sys
import textwrap
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
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

from simplex_lib.attention import (
    determinant_attention_with_lse,
    dot_product_attention,
    trilinear_attention,
    trilinear_attention_with_lse,
)
from simplex_lib.kernels import tiles
from simplex_lib.kernels.trilinear_backward import trilinear_backward
from simplex_lib.kernels.trilinear_forward import trilinear_forward

pytestmark = pytest.mark.filterwarnings("ignore:Triton kernels run in Triton's interpreter")
GPU = torch.cuda.is_available()
PHASES = [Phase.generate, Phase.shrink] if GPU else [Phase.generate]  # shrinking takes minutes
kernel = partial(trilinear_attention_with_lse, impl="triton")


def launched(inputs, gradients, *, w1=None, w2=None, causal=True, scale=None, blocks=SMALL):
    """out, lse and all gradients straight from the launchers, with tiles of a given size."""
    scale = inputs[0].shape[-1] ** -0.5 if scale is None else scale
    options = dict(w1=w1, w2=w2, causal=causal, scale=scale, blocks=blocks)
    out, lse = trilinear_forward(*inputs, **options)
    return [out, lse, *trilinear_backward(*gradients, *inputs, out, lse, **options)]


def check(device, found=None, *, dtype=torch.float32, options, **sizes):
    inputs, gradients = make_case(device, dtype=dtype, **sizes)
    if found is None:
        found = results(lambda *x: kernel(*x, **options), inputs, gradients)
    wanted = exact(inputs, gradients, **options)
    assert_close_enough(found, wanted, rounded(inputs, gradients, **options))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "options",
    [dict(), dict(w1=2, w2=5), dict(w1=5, w2=2, causal=False), dict(w1=99, w2=1, scale=0.3)],
    ids=str,
)
def test_values_and_gradients_match_the_reference(device, options, dtype):
    check(device, b=1, h=4, g=2, s=7, d=16, dv=19, dtype=dtype, options=options)


@pytest.mark.parametrize(
    ("sizes", "options"),
    [
        (dict(h=1, s=1), dict()),
        (dict(h=128, s=2), dict()),
        (dict(h=1, s=3, d=100, dv=7), dict(w1=2)),
        (dict(h=1, s=3, d=256), dict(w2=2)),
        (dict(b=2, h=3, g=3, s=3, d=17), dict(w1=1, w2=1)),
        (dict(h=2, s=40), dict(w1=3, w2=2)),
    ],
    ids=str,
)
def test_any_size(device, sizes, options):
    check(device, options=options, **sizes)


@pytest.mark.parametrize(
    ("sizes", "options"),
    [
        (dict(h=3, s=19, d=20, dv=32), dict(w1=18, w2=2)),
        (dict(h=1, s=35), dict(w1=2, w2=4)),
        (dict(h=2, s=18), dict(w1=2, w2=2, causal=False)),
    ],
    ids=str,
)
def test_many_tiles(device, sizes, options):
    inputs, gradients = make_case(device, **sizes)
    check(device, launched(inputs, gradients, **options), options=options, **sizes)


@given(
    sizes=st.fixed_dictionaries(
        dict(
            b=st.integers(1, 2),
            s=st.integers(1, 6),
            d=st.sampled_from([16, 17, 24]),
            dv=st.sampled_from([16, 20]),
        )
    ),
    heads=st.sampled_from([(1, 1), (3, 1), (2, 2)]),
    options=st.fixed_dictionaries(
        dict(
            w1=st.none() | st.integers(1, 8),
            w2=st.none() | st.integers(1, 8),
            causal=st.booleans(),
            scale=st.none() | st.floats(-1, 1),
        )
    ),
)
@settings(deadline=None, max_examples=100 if GPU else 6, derandomize=True, phases=PHASES)
def test_any_shape(sizes, heads, options):
    h, g = heads
    check("cuda" if GPU else "cpu", options=options, h=h, g=g, **sizes)


@pytest.mark.parametrize("options", [dict(), dict(w1=3, w2=2, causal=False)], ids=str)
def test_nothing_outside_the_tensors_is_read_or_written(device, monkeypatch, options):
    inputs, gradients = make_case(device, h=3, s=5, d=18, dv=21)
    guards = [guard(x) for x in inputs], [guard(x) for x in gradients]
    with monkeypatch.context() as patch:
        patch.setattr(torch, "empty", empty := GuardedEmpty())
        found = launched(*guards, **options)
    assert empty.broken() == (0, 0) and len(empty.made) == 7
    for x, same in zip(found, launched(inputs, gradients, **options), strict=True):
        assert torch.equal(x, same)


def test_strides_are_followed(device):
    inputs, gradients = make_case(device, h=2, g=2, s=4, d=16)
    plain = launched(inputs, gradients)
    turned = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in inputs]  # (b, s, h, d)
    turned[0] = turned[0].mT.contiguous().mT  # (b, h, d, s)
    turned[3] = turned[3].repeat_interleave(2, -1)[..., ::2]
    for x, same in zip(launched(turned, gradients), plain, strict=True):
        if GPU:  # other strides are other instructions, which may round a sum differently
            torch.testing.assert_close(x, same, rtol=1e-5, atol=1e-6)
        else:
            assert torch.equal(x, same)
    ones = torch.ones(1, device=device).expand_as(gradients[0])  # strides of 0, as sum() gives
    for x, same in zip(
        launched(inputs, (ones, None)), launched(inputs, (ones.clone(), None)), strict=True
    ):
        assert torch.equal(x, same)


def test_the_same_bits_twice(device):
    inputs, gradients = make_case(device, h=4, s=20)
    first, second = (launched(inputs, gradients, w1=9, w2=3) for _ in range(2))
    assert all(torch.equal(x, y) for x, y in zip(first, second, strict=True))


@pytest.mark.parametrize("options", [dict(), dict(w1=2, w2=3)], ids=str)
def test_the_future_and_what_no_window_reaches_do_not_matter(device, options):
    """Bit for bit, for the results; and such inputs get a gradient of exactly 0."""
    inputs, (dout, dlse) = make_case(device, h=2, s=6)
    before = launched(inputs, (dout, dlse), **options)
    other = [x.clone() for x in inputs]
    for x in other:
        x[:, :, 4:] = 1e3
    if options:  # query 3 sees nothing below 1
        for x in other[1:]:
            x[:, :, 0] = -1e3
    after = launched(other, (dout, dlse), **options)
    rows = slice(3, 4) if options else slice(0, 4)
    for x, y in zip(before[:2], after[:2], strict=True):
        assert torch.equal(x[:, :, rows], y[:, :, rows])
    assert not torch.equal(before[0], after[0])
    early = torch.zeros_like(dout), torch.zeros_like(dlse)
    early[0][:, :, rows], early[1][:, :, rows] = 1.0, 1.0
    for gradient in launched(inputs, early, **options)[2:]:
        assert not gradient[:, :, 4:].any() and gradient[:, :, 3].any()
        assert not options or not gradient[:, :, 0].any()


def test_one_fixed_second_key_is_dot_product_attention(device):
    (q, k1, _, v1, _), _ = make_case(device, h=2, s=6)
    one = torch.ones_like(k1)
    out = trilinear_attention(q, k1, one, v1, one, w2=1, impl="triton")
    torch.testing.assert_close(out, dot_product_attention(q, k1, v1, impl="triton"))


@pytest.mark.parametrize("shift", [-3e4, 0.0, 3e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_extreme_logits(device, dtype, shift):
    """All logits of a query moved far up or down, and far apart from each other."""
    inputs, gradients = make_case(device, h=2, s=5, d=18, dtype=dtype)
    q, k1, k2, *_ = inputs
    q[..., 0], k1[..., 0], k2[..., 0] = 16.0, shift / 256, 16.0  # adds shift / sqrt(18)
    q[..., 1:] *= 30
    found = results(kernel, inputs, gradients)
    wanted = exact(inputs, gradients)
    assert all(x.isfinite().all() for x in found)
    assert wanted.values[1].abs().max() > 50
    times = 2 if dtype == torch.float32 else 8  # there S of hundreds is off by tenths, in both
    assert_close_enough(found, wanted, rounded(inputs, gradients), times=times)


def test_equal_logits_count_the_pairs(device):
    inputs, gradients = make_case(device, h=1, s=5)
    inputs[0].zero_()
    out, lse, *_ = results(kernel, inputs, gradients)
    torch.testing.assert_close(lse[0, 0].exp().cpu(), torch.tensor([1.0, 4.0, 9.0, 16.0, 25.0]))
    mean1, mean2 = (v[0, 0, :2].mean(0) for v in inputs[3:])
    torch.testing.assert_close(out[0, 0, 1], mean1 * mean2)


@pytest.mark.parametrize(
    ("d", "windows"),
    [
        (3, dict(w1=3)),
        (16, dict(w1=2, w2=3)),
        (20, dict(w1=3, w2=2, causal=False)),
        (9, dict(w1=1)),
    ],
)
def test_determinants(device, d, windows):
    inputs, gradients = make_case(device, h=2, s=4, d=d, dv=16)
    attend = partial(determinant_attention_with_lse, **windows)
    found = results(partial(attend, impl="triton"), inputs, gradients)
    wanted = exact(inputs, gradients, attend)
    assert_close_enough(found, wanted, results(attend, inputs, gradients), times=4)


def test_the_operators_keep_what_they_promise_to_pytorch(device):
    inputs, (dout, dlse) = make_case(device, h=2, s=3)
    inputs = [x.requires_grad_() for x in inputs]
    options = (2, None, True, 0.25)
    torch.library.opcheck(torch.ops.simplex.trilinear_attention.default, (*inputs, *options))
    inputs = [x.detach() for x in inputs]
    out, lse = torch.ops.simplex.trilinear_attention(*inputs, *options)
    arguments = (dout, dlse, *inputs, out, lse, *options)
    torch.library.opcheck(torch.ops.simplex.trilinear_attention_backward.default, arguments)


def test_compiled_in_one_graph(device):
    inputs, gradients = make_case(device, h=2, s=4)
    attend = partial(kernel, w1=3)
    backend = "inductor" if GPU else "aot_eager"  # which needs no C++ compiler
    compiled = torch.compile(attend, fullgraph=True, backend=backend)
    for x, same in zip(
        results(compiled, inputs, gradients), results(attend, inputs, gradients), strict=True
    ):
        torch.testing.assert_close(x, same)


def test_shapes_are_known_without_numbers():
    inputs, _ = make_case("meta", h=4, g=2, s=5, d=16, dv=20, dtype=torch.bfloat16)
    out, lse = kernel(*inputs)
    assert out.shape == (1, 4, 5, 20) and out.dtype == torch.bfloat16
    assert lse.shape == (1, 4, 5) and lse.dtype == torch.float32


def test_windows_and_scale_may_be_numpy_numbers(device):
    inputs, _ = make_case(device, s=3)
    out = trilinear_attention(*inputs, w1=np.int64(2), scale=np.float32(0.5), impl="triton")
    assert torch.equal(out, trilinear_attention(*inputs, w1=2, scale=0.5, impl="triton"))


@pytest.mark.errors
def test_what_kernels_cannot_take_is_named(monkeypatch):
    inputs, _ = make_case("cpu", s=3)
    with pytest.raises(TypeError, match="q must be float16, bfloat16 or float32 where impl is"):
        kernel(*[x.double() for x in inputs])
    monkeypatch.setattr(tiles, "MODE", "gpu")
    with pytest.raises(ValueError, match=r"q must be on a GPU .*; got cpu\. .*TRITON_INTERPRET=1"):
        kernel(*inputs)


@pytest.mark.errors
@pytest.mark.skipif(GPU, reason="kernels are compiled here")
def test_a_refused_interpreter_is_an_error_that_says_what_to_do():
    program = """
        import torch, simplex_lib.attention
        x = torch.ones(1, 1, 2, 16)
        simplex_lib.attention.trilinear_attention(x, x, x, x, x, impl="triton")
    """
    env = os.environ | {"TRITON_INTERPRET": "0"}
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert "RuntimeError: impl must be 'reference' on this machine: impl='triton'" in done.stderr


@pytest.mark.skipif(GPU, reason="kernels are compiled here")
@pytest.mark.filterwarnings("default")
def test_the_interpreter_is_announced_once(monkeypatch, recwarn):
    monkeypatch.setattr(tiles, "_announced", False)
    inputs, _ = make_case("cpu", s=1)
    for _ in range(2):
        kernel(*inputs)
    assert sum("run in Triton's interpreter" in str(w.message) for w in recwarn.list) == 1


def test_blocks_are_powers_of_two_and_no_larger_than_the_problem():
    keys = 16 if GPU else 64  # compiled, wide tiles of float32 must fit into registers
    assert tiles.choose_blocks(5, 40, 17, 100, torch.float32)[:4] == (16, keys, 32, 128)
    assert tiles.choose_blocks(1, 1, 1, 1, torch.float16)[:4] == (16, 16, 16, 16)
