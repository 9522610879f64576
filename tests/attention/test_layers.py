"""Mirrors simplex_lib/attention/layers.py."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from simplex_lib.attention import (
    MultiHeadAttention,
    TwoSimplicialAttention,
    determinant_attention,
    rotary_triples,
    trilinear_attention,
)
from simplex_lib.attention.layers import join_heads, split_heads
from simplex_lib.checks.ch02_memory import MemoryMeter

LAYERS = [MultiHeadAttention, TwoSimplicialAttention]
FORMS = [dict(form="trilinear"), dict(form="determinant"), dict(form="determinant", rotary=True)]
WINDOWS = [dict(), dict(w1=3), dict(w2=2), dict(w1=1, w2=1), dict(w1=2, w2=4), dict(w1=99, w2=5)]


def make_layer(kind, *sizes, seed=0, **options):
    torch.manual_seed(seed)
    return kind(*(sizes or (12, 4, 2)), **options).double()


def make_stream(b=2, s=6, d_model=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(b, s, d_model, dtype=torch.float64, generator=generator)


def count(layer):
    return sum(p.numel() for p in layer.parameters())


@pytest.mark.parametrize(
    ("kind", "options", "wanted"),
    [
        (MultiHeadAttention, dict(), 4 * 12 * 12),
        (MultiHeadAttention, dict(n_kv_heads=1), (2 * 12 + 2 * 3) * 12),
        (MultiHeadAttention, dict(n_kv_heads=2, head_dim=5), (2 * 20 + 2 * 10) * 12),
        (TwoSimplicialAttention, dict(), 6 * 12 * 12),
        (TwoSimplicialAttention, dict(n_kv_heads=1), (2 * 12 + 4 * 3) * 12),
        (TwoSimplicialAttention, dict(n_kv_heads=2, head_dim=5), (2 * 20 + 4 * 10) * 12),
    ],
)
def test_parameters_are_the_projections_without_bias(kind, options, wanted):
    layer = make_layer(kind, 12, 4, **options)
    assert count(layer) == wanted
    assert all(name.endswith(".weight") for name in layer.state_dict())
    assert layer(make_stream()).shape == (2, 6, 12)


def test_multi_head_attention_is_heads_of_torch_attention():
    layer, x = make_layer(MultiHeadAttention), make_stream()
    heads = []
    for head in range(4):
        group = head // 2  # neighbouring query heads share a key head
        q = x @ layer.wq.weight[3 * head : 3 * head + 3].T
        k = x @ layer.wk.weight[3 * group : 3 * group + 3].T
        v = x @ layer.wv.weight[3 * group : 3 * group + 3].T
        heads.append(scaled_dot_product_attention(q, k, v, is_causal=True))
    torch.testing.assert_close(layer(x), torch.cat(heads, -1) @ layer.wo.weight.T)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("w2", [None, 1])
def test_two_simplicial_equals_multi_head_attention_when_second_key_and_value_are_one(w2, causal):
    # a channel that is always 1 lets the linear maps wk2 and wv2 give ones
    x = make_stream()
    x[..., 0] = 1
    plain = make_layer(MultiHeadAttention, causal=causal)
    layer = make_layer(TwoSimplicialAttention, w2=w2, causal=causal)
    one = torch.zeros_like(layer.wk2.weight)
    one[:, 0] = 1
    weights = {
        name.replace("wk", "wk1").replace("wv", "wv1"): w for name, w in plain.state_dict().items()
    }
    layer.load_state_dict(weights | {"wk2.weight": one, "wv2.weight": one})
    torch.testing.assert_close(layer(x), plain(x))


@pytest.mark.parametrize("kind", LAYERS)
def test_the_future_moves_neither_values_nor_gradients(kind):
    layer, x = make_layer(kind), make_stream()
    before = layer(x)[:, :3]
    x[:, 3:] = 1e2
    x.requires_grad_()
    after = layer(x)[:, :3]
    torch.testing.assert_close(after, before)
    (grad,) = torch.autograd.grad(after.square().sum(), x)
    assert (grad[:, 3:] == 0).all()
    assert not torch.allclose(make_layer(kind, causal=False)(x)[:, :3], before)


def test_windows_reach_the_operation():
    x = make_stream()
    layer = make_layer(TwoSimplicialAttention, w1=2, w2=1)
    before = layer(x)[:, -1]
    x[:, :4] = 1e2
    torch.testing.assert_close(layer(x)[:, -1], before)
    x[:, 4] = 1e2
    assert not torch.allclose(layer(x)[:, -1], before)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("windows", WINDOWS)
@pytest.mark.parametrize("options", FORMS)
@pytest.mark.parametrize("head_dim", [3, 4, 8])
def test_every_form_is_its_attention_of_turned_heads(head_dim, options, windows, causal):
    layer = make_layer(
        *(TwoSimplicialAttention, 12, 4, 2), **options, **windows, head_dim=head_dim, causal=causal
    )
    x = make_stream()
    weights = (layer.wq, layer.wk1, layer.wk2, layer.wv1, layer.wv2)
    q, k1, k2, v1, v2 = (split_heads(x @ w.weight.T, head_dim) for w in weights)
    if options.get("rotary"):
        q, k1, k2 = (rotary_triples(t) for t in (q, k1, k2))
    whole = trilinear_attention if options["form"] == "trilinear" else determinant_attention
    out = whole(q, k1, k2, v1, v2, **windows, causal=causal)  # by the cube
    torch.testing.assert_close(layer(x), join_heads(out) @ layer.wo.weight.T)


def test_the_forms_differ_and_trilinear_without_rotary_is_the_default():
    x = make_stream()
    outs = [make_layer(TwoSimplicialAttention, **options)(x) for options in FORMS]
    assert torch.equal(make_layer(TwoSimplicialAttention)(x), outs[0])
    for a, b in ((0, 1), (1, 2)):
        assert not torch.allclose(outs[a], outs[b], atol=1e-4)


@given(
    shift=st.integers(-(10**6), 10**6),
    head_dim=st.integers(3, 8),
    windows=st.sampled_from(WINDOWS),
    causal=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_moving_all_positions_of_a_rotary_layer_changes_nothing(
    shift, head_dim, windows, causal, seed
):
    layer = make_layer(
        *(TwoSimplicialAttention, 12, 4, 2),
        **windows,
        **dict(form="determinant", rotary=True, head_dim=head_dim, causal=causal, seed=seed),
    )
    x = make_stream(seed=seed)
    torch.testing.assert_close(layer(x, torch.arange(6) + shift), layer(x), atol=1e-7, rtol=1e-7)


@pytest.mark.parametrize("windows", [dict(), dict(w1=4, w2=3)])
def test_moving_some_positions_of_a_rotary_layer_changes_the_output(windows):
    layer = make_layer(TwoSimplicialAttention, form="determinant", rotary=True, **windows)
    x = make_stream()
    for positions in ([0, 1, 2, 3, 4, 6], [0, 2, 4, 6, 8, 10], [5, 4, 3, 2, 1, 0]):
        moved = layer(x, torch.tensor(positions))
        assert not torch.allclose(moved[:, -1], layer(x)[:, -1], atol=1e-4)


def test_without_positions_the_order_of_tokens_is_not_seen_and_with_them_it_is():
    x, order = make_stream(), torch.tensor([3, 1, 5, 0, 2, 4])
    for options in FORMS:
        layer = make_layer(TwoSimplicialAttention, causal=False, **options)
        same = torch.allclose(layer(x[:, order]), layer(x)[:, order], atol=1e-6)
        assert same is not options.get("rotary", False)
    torch.testing.assert_close(layer(x[:, order], order), layer(x)[:, order])


def test_a_rotary_layer_with_windows_does_not_see_where_the_text_begins():
    layer = make_layer(TwoSimplicialAttention, form="determinant", rotary=True, w1=4, w2=2)
    x = make_stream(s=20)
    torch.testing.assert_close(layer(x[:, 9:])[:, 3:], layer(x)[:, 12:])


@pytest.mark.parametrize("options", FORMS)
def test_a_layer_with_windows_makes_no_cube(options):
    x = make_stream(b=1, s=128)
    with MemoryMeter() as meter:
        layer = make_layer(TwoSimplicialAttention, 12, 1, **options, w1=8, w2=4)
        layer(x).sum().backward()
    assert meter.most_held < 128**3 / 4


@pytest.mark.parametrize("options", FORMS)
@pytest.mark.parametrize("windows", [dict(), dict(w1=3, w2=2)])
def test_the_future_moves_no_form(options, windows):
    layer, x = make_layer(TwoSimplicialAttention, **options, **windows), make_stream()
    before = layer(x)[:, :3]
    x[:, 3:] = 1e2
    torch.testing.assert_close(layer(x)[:, :3], before)


@pytest.mark.parametrize("options", FORMS)
@pytest.mark.parametrize("windows", [dict(), dict(w1=2), dict(w1=99, w2=1)])
def test_one_token_and_half_precision(options, windows):
    layer, x = make_layer(TwoSimplicialAttention, **options, **windows), make_stream(s=1)
    # one token attends to itself: the values alone are left
    values = split_heads(x @ layer.wv1.weight.T, 3) * split_heads(x @ layer.wv2.weight.T, 3)
    torch.testing.assert_close(
        layer(x), join_heads(values.repeat_interleave(2, 1)) @ layer.wo.weight.T
    )
    x = make_stream().bfloat16()
    exact = layer(x.double())
    out = layer.bfloat16()(x)
    assert out.dtype == torch.bfloat16 and out.shape == x.shape
    assert (out.double() - exact).abs().max() < 0.05


@pytest.mark.parametrize("options", FORMS[1:])
@pytest.mark.parametrize("windows", [dict(), dict(w1=2, w2=3)])
def test_every_weight_of_a_determinant_layer_gets_its_gradient(options, windows):
    layer = make_layer(TwoSimplicialAttention, 4, 2, 1, head_dim=4, **options, **windows)
    x = make_stream(b=1, s=3, d_model=4).requires_grad_()
    weights = dict(layer.named_parameters())

    def call(x, *values):
        return torch.func.functional_call(layer, dict(zip(weights, values, strict=True)), x)

    assert torch.autograd.gradcheck(call, (x, *weights.values()))


def test_meta_layers_give_shapes():
    for options in FORMS:
        for windows in (dict(), dict(w1=3, w2=2)):
            layer = make_layer(TwoSimplicialAttention, **options, **windows).to("meta")
            assert layer(make_stream().to("meta")).shape == (2, 6, 12)


@pytest.mark.parametrize("kind", LAYERS)
def test_every_weight_gets_the_gradient_of_finite_differences(kind):
    layer, x = make_layer(kind, 4, 2, 1), make_stream(b=1, s=3, d_model=4).requires_grad_()
    weights = dict(layer.named_parameters())

    def call(x, *values):
        return torch.func.functional_call(layer, dict(zip(weights, values, strict=True)), x)

    assert torch.autograd.gradcheck(call, (x, *weights.values()))


@pytest.mark.errors
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(n_heads=5), ValueError, "n_heads must divide d_model = 12 where head_dim is None; g"),
        (dict(n_heads=0), ValueError, "n_heads must be at least 1; got 0"),
        (dict(n_heads=4, n_kv_heads=3), ValueError, "n_kv_heads must divide n_heads = 4; got 3"),
        (dict(n_heads=4.0), TypeError, r"n_heads must be an int; got float 4\.0"),
        (dict(n_heads=4, head_dim=0), ValueError, "head_dim must be at least 1; got 0"),
        (dict(n_heads=4, causal=None), TypeError, "causal must be True or False; got None"),
    ],
)
def test_errors_of_sizes_name_the_argument(kind, options, error, message):
    with pytest.raises(error, match=message):
        kind(12, **options)


@pytest.mark.errors
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(w1=0), ValueError, "w1 counts the query's own position, .*; got 0"),
        (dict(w2=1.5), TypeError, r"w2 must be an int or None; got float 1\.5"),
        (dict(impl="fast"), ValueError, "impl must be one of 'reference', 'triton'; got 'fast'"),
        (dict(form="dot"), ValueError, "form must be one of 'trilinear', 'determinant'; got 'dot'"),
        (dict(form=None), ValueError, "form must be one of 'trilinear', 'determinant'; got None"),
        (dict(rotary=1), TypeError, "rotary must be True or False; got int 1"),
        (dict(rotary=True), ValueError, "rotary must be False where form is 'trilinear', .* True"),
        (
            dict(form="determinant", head_dim=2),
            ValueError,
            "head_dim must be at least 3, the size of a determinant, .*; got 2",
        ),
    ],
)
def test_errors_of_pairs_name_the_argument(options, error, message):
    with pytest.raises(error, match=message):
        TwoSimplicialAttention(12, 4, **options)


@pytest.mark.errors
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (
            torch.zeros(2, 6, 8).double(),
            ValueError,
            r"x must be .* with d_model = 12 as in wq.weig",
        ),
        (torch.zeros(6, 12).double(), ValueError, r"x must be \(b, s, d_model\); got \(6, 12\)"),
        (torch.zeros(2, 0, 12).double(), ValueError, "x must be .* with s at least 1; got"),
        (torch.zeros(2, 6, 12), TypeError, "x must be float64 as wq.weight is; got float32"),
        (torch.zeros(2, 6, 12).double().to("meta"), ValueError, "x must be on cpu as wq.weight is"),
        (
            torch.full((2, 6, 12), torch.nan).double(),
            ValueError,
            r"x must be finite; got nan at \(",
        ),
        (None, TypeError, "x must be a torch.Tensor; got None"),
    ],
)
def test_errors_of_the_stream_name_it(kind, x, error, message):
    with pytest.raises(error, match=message):
        make_layer(kind)(x)


@pytest.mark.errors
@pytest.mark.parametrize(
    ("positions", "error", "message"),
    [
        (torch.arange(5), ValueError, r"positions must be \(s\) with s = 6 as in x; got \(5,\)"),
        (torch.arange(6.0), TypeError, "positions must be integers; got float32"),
        (torch.arange(6, device="meta"), ValueError, "positions must be on cpu as x is; got meta"),
        ([0, 1, 2, 3, 4, 5], TypeError, "positions must be a torch.Tensor; got list"),
    ],
)
def test_errors_of_positions_name_them(positions, error, message):
    layer = make_layer(TwoSimplicialAttention, form="determinant", rotary=True)
    with pytest.raises(error, match=message):
        layer(make_stream(), positions)
    with pytest.raises(ValueError, match="positions must be None where rotary is False"):
        make_layer(TwoSimplicialAttention, form="determinant")(make_stream(), positions)


@pytest.mark.errors
@pytest.mark.parametrize("options", FORMS)
@pytest.mark.parametrize("windows", [dict(), dict(w1=2, w2=2)])
def test_impl_reaches_the_operation(options, windows):
    layer = make_layer(TwoSimplicialAttention, impl="triton", **options, **windows)
    with pytest.raises(TypeError, match=r"impl is 'triton'; got float64"):
        layer(make_stream())
