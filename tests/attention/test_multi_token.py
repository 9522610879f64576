"""Mirrors simplex_lib/attention/multi_token.py: loops as truth, causality, identities, errors."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simplex_lib.attention import (
    constant_kernel,
    dot_product_attention,
    identity_kernel,
    joint_convolution,
    joint_kernel,
    key_query_convolution,
    mix_heads,
    multi_token_attention,
    multi_token_maps,
)


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def make_inputs(b=2, h=4, g=2, s=7, d=3, dv=5, c_q=3, c_k=5, c=2):
    return dict(
        q=random(b, h, s, d, seed=1),
        k=random(b, g, s, d, seed=2),
        v=random(b, g, s, dv, seed=3),
        pre_kernel=random(h, c_q, c_k, seed=4),
        pre_mixing=random(h // c, c, c, seed=5),
        post_kernel=random(h, c_q + 1, c_k + 2, seed=6),
        post_mixing=random(h // c, c, c, seed=7),
    )


def convolved_by_loops(maps, kernel):
    """Eq. 4 with the mask of Eq. 5: taps read maps[i - a, j - o] only where j - o <= i - a."""
    (_, h, s, _), (c_q, c_k) = maps.shape, kernel.shape[1:]
    new = torch.zeros_like(maps)
    for m, i, a in itertools.product(range(h), range(s), range(c_q)):
        for j, o in itertools.product(range(i + 1), range(-(c_k // 2), c_k // 2 + 1)):
            if 0 <= j - o <= i - a:
                new[:, m, i, j] += kernel[m, c_q - 1 - a, c_k // 2 - o] * maps[:, m, i - a, j - o]
    return new


def mixed_by_loops(maps, mixing):
    c = mixing.shape[-1]
    return torch.stack(
        [
            sum(mixing[m // c, m % c, e] * maps[:, m // c * c + e] for e in range(c))
            for m in range(maps.shape[1])
        ],
        1,
    )


def attention_by_loops(q, k, v, pre_kernel, pre_mixing, post_kernel, post_mixing):
    k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], 1) for x in (k, v))
    logits = torch.einsum("bhid,bhjd->bhij", q, k) / q.shape[-1] ** 0.5
    logits = mixed_by_loops(convolved_by_loops(logits, pre_kernel), pre_mixing)
    probs = torch.zeros_like(logits)
    for i in range(q.shape[2]):
        probs[:, :, i, : i + 1] = logits[:, :, i, : i + 1].softmax(-1)
    weights = mixed_by_loops(convolved_by_loops(probs, post_kernel), post_mixing)
    return torch.einsum("bhij,bhjd->bhid", weights, v)


@pytest.mark.parametrize("impl", ["conv2d", "banded"])
@pytest.mark.parametrize(("s", "c_q", "c_k"), [(7, 3, 5), (1, 3, 5), (3, 6, 11), (8, 1, 1)])
def test_attention_equals_explicit_loops(s, c_q, c_k, impl):
    x = make_inputs(s=s, c_q=c_q, c_k=c_k)
    torch.testing.assert_close(multi_token_attention(**x, impl=impl), attention_by_loops(**x))


@pytest.mark.parametrize("impl", ["conv2d", "banded"])
def test_gradients_match_finite_differences(impl):
    x = make_inputs(b=1, h=2, g=1, s=4, d=2, dv=2, c_q=2, c_k=3)
    inputs = [t.requires_grad_() for t in x.values()]

    def attention(*tensors):
        return multi_token_attention(**dict(zip(x, tensors, strict=True)), impl=impl)

    assert torch.autograd.gradcheck(attention, inputs)


@settings(max_examples=25, deadline=None)
@given(
    s=st.integers(1, 9),
    c_q=st.integers(1, 6),
    half=st.integers(0, 5),
    seed=st.integers(0, 2**20),
)
def test_both_forms_of_the_convolution_agree(s, c_q, half, seed):
    maps, kernel = random(2, 3, s, s, seed=seed), random(3, c_q, 2 * half + 1, seed=seed + 1)
    banded = key_query_convolution(maps, kernel, impl="banded")
    torch.testing.assert_close(key_query_convolution(maps, kernel), banded)
    torch.testing.assert_close(banded, convolved_by_loops(maps, kernel))


@pytest.mark.parametrize("name", ["q", "k", "v"])
@pytest.mark.parametrize("cut", [1, 4, 6])
def test_the_past_does_not_see_the_future(name, cut):
    x = make_inputs()
    before = multi_token_attention(**x)
    x[name][..., cut:, :] = 50.0
    after = multi_token_attention(**x)
    torch.testing.assert_close(after[..., :cut, :], before[..., :cut, :], rtol=0, atol=0)
    assert not torch.equal(after, before)


def test_padding_queries_on_both_sides_would_be_seen_by_that_test():
    maps, kernel = random(1, 2, 6, 6).tril(), random(2, 3, 5)

    def centred(maps):
        return torch.nn.functional.conv2d(maps, kernel[:, None], padding=(1, 2), groups=2).tril()

    later = maps.clone()
    later[:, :, 4:] = 9.0
    assert not torch.equal(centred(later)[:, :, :4], centred(maps)[:, :, :4])
    ours = key_query_convolution(maps, kernel)[:, :, :4]
    assert torch.equal(key_query_convolution(later, kernel)[:, :, :4], ours)


@pytest.mark.parametrize("c_q", [1, 2, 6])
@pytest.mark.parametrize("c_k", [1, 3, 11])
def test_identity_kernels_and_mixings_give_plain_attention(c_q, c_k):
    x = make_inputs()
    q, k, v = x["q"], x["k"], x["v"]
    one = identity_kernel(4, c_q=c_q, c_k=c_k).double()
    eye = torch.eye(4, dtype=torch.float64)[None]
    steps = dict(pre_kernel=one, pre_mixing=eye, post_kernel=one, post_mixing=eye)
    plain = dot_product_attention(q, k, v)
    torch.testing.assert_close(multi_token_attention(q, k, v, **steps), plain)
    torch.testing.assert_close(multi_token_attention(q, k, v), plain)


@pytest.mark.parametrize("c", [1, 2, 3, 6])
def test_both_before_are_one_convolution_in_three_dimensions(c):
    maps, kernel, mixing = random(2, 6, 8, 8), random(6, 2, 5), random(6 // c, c, c)
    both = mix_heads(key_query_convolution(maps, kernel), mixing)
    torch.testing.assert_close(joint_convolution(maps, joint_kernel(kernel, mixing)), both)
    # the same as torch's conv3d, head as the third axis, for one group
    group = joint_kernel(kernel, mixing)[:c].unsqueeze(1)  # (c, 1, c, c_q, c_k)
    padded = torch.nn.functional.pad(maps[:, :c].tril(), (2, 2, 1, 0)).unsqueeze(1)
    in_3d = torch.nn.functional.conv3d(padded, group)[:, :, 0].tril()
    torch.testing.assert_close(in_3d, both[:, :c])


def test_mixing_before_is_linear_and_commutes_with_the_mask():
    maps, mixing = random(1, 4, 5, 5), random(2, 2, 2)
    torch.testing.assert_close(mix_heads(maps, mixing), mixed_by_loops(maps, mixing))
    assert mix_heads(maps.tril(), mixing).triu(1).abs().max() == 0


def test_maps_are_the_steps_and_hide_the_future():
    x = make_inputs()
    v = x.pop("v")
    maps = multi_token_maps(**x)
    for name, t in maps._asdict().items():
        assert t.triu(1).abs().max() == 0, name
    torch.testing.assert_close(maps.probs.sum(-1), torch.ones(2, 4, 7, dtype=torch.float64))
    rows = maps.weights.sum(-1)
    assert (rows - 1).abs().max() > 0.1  # no renormalisation
    assert maps.weights.min() < 0
    values = v.repeat_interleave(2, 1)
    torch.testing.assert_close(maps.weights @ values, multi_token_attention(**x, v=v))


def test_the_second_mask_of_eq_5_hides_more_than_eq_4():
    """Eq. 4 keeps q[i - a] . k[j - o] for i - a < j - o <= i; Eq. 5 sets it to 0."""
    q, k = random(1, 1, 5, 3, seed=8), random(1, 1, 5, 3, seed=9)
    full, kernel = q @ k.mT, random(1, 2, 3)
    eq4 = torch.zeros(5, 5, dtype=torch.float64)
    for i, a in itertools.product(range(5), range(2)):
        for j, o in itertools.product(range(i + 1), (-1, 0, 1)):
            if i - a >= 0 and 0 <= j - o <= i:
                eq4[i, j] += kernel[0, 1 - a, 1 - o] * full[0, 0, i - a, j - o]
    eq5 = key_query_convolution(full, kernel)[0, 0]
    torch.testing.assert_close(eq5.tril(-2), eq4.tril(-2))
    assert (eq5 - eq4).diagonal()[1:].abs().min() > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_low_precision_is_as_near_as_its_inputs_allow(dtype):
    x = {n: t.to(dtype) for n, t in make_inputs().items()}
    out = multi_token_attention(**x)
    assert out.dtype == dtype
    exact = multi_token_attention(**{n: t.double() for n, t in x.items()})
    rounding = (exact.to(dtype).double() - exact).abs().max()
    assert (out.double() - exact).abs().max() <= 2 * rounding + 1e-5


def test_constant_kernels_keep_the_variance():
    maps = random(1, 1, 400, 400)
    new = key_query_convolution(maps, constant_kernel(1, c_q=2, c_k=9).double())
    inside = new[0, 0].tril(-20)
    assert abs(inside[inside != 0].std().item() - 1) < 0.05


@pytest.mark.errors
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(pre_kernel=random(4, 3, 4)), "pre_kernel must have an odd number of key taps c_k"),
        (dict(post_kernel=random(4, 3, 2)), "post_kernel must have an odd number of key taps"),
        (dict(pre_kernel=random(3, 3, 5)), r"pre_kernel must be \(h, c_q, c_k\) with h = 4"),
        (dict(pre_mixing=random(1, 3, 3)), r"pre_mixing must be \(n, c, c\) with n \* c = 4"),
        (dict(post_mixing=random(4, 4)), r"post_mixing must be \(n, c, c\); got \(4, 4\)"),
        (dict(k=random(2, 3, 7, 3), v=random(2, 3, 7, 5)), "n_kv_heads must divide n_heads = 4"),
        (dict(impl="fft"), "impl must be one of 'conv2d', 'banded'"),
        (dict(scale=float("inf")), "scale must be finite"),
        (dict(pre_kernel=torch.full((4, 3, 5), torch.nan).double()), "pre_kernel must be finite"),
        (dict(post_kernel=torch.zeros(4, 0, 5).double()), "post_kernel must be .* c_q at least 1"),
    ],
)
def test_errors_name_the_argument(change, message):
    with pytest.raises(ValueError, match=message):
        multi_token_attention(**(make_inputs() | change))


@pytest.mark.errors
@pytest.mark.parametrize("name", ["k", "v", "pre_kernel", "pre_mixing", "post_kernel"])
def test_mixed_dtypes_and_devices_are_errors(name):
    x = make_inputs()
    with pytest.raises(TypeError, match=f"{name} must be float64 as q is"):
        multi_token_attention(**(x | {name: x[name].float()}))
    with pytest.raises(ValueError, match=f"{name} must be on cpu as q is; got meta"):
        multi_token_attention(**(x | {name: x[name].to("meta")}))


@pytest.mark.errors
def test_kernels_for_nothing_are_errors():
    with pytest.raises(ValueError, match="odd number of key taps"):
        identity_kernel(2, c_q=2, c_k=4)
    with pytest.raises(ValueError, match="c_q must be at least 1"):
        constant_kernel(2, c_q=0, c_k=3)
