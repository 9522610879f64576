"""Mirrors simplex_lib/attention/layers.py."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from simplex_lib.attention import MultiHeadAttention, TwoSimplicialAttention

LAYERS = [MultiHeadAttention, TwoSimplicialAttention]


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
    ],
)
def test_errors_of_windows_name_the_argument(options, error, message):
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
