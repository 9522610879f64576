"""Mirrors simplex_lib/attention/multi_token_layer.py and multi_token_costs.py."""

import pytest
import torch

from simplex_lib.attention import (
    DifferentialAttention,
    HeadNorm,
    MultiHeadAttention,
    MultiTokenAttention,
    lambda_start,
    multi_token_costs,
)


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("where", ["pre", "post", "both"])
@pytest.mark.parametrize("mix", [None, 1, 2, 4])
def test_equals_multi_head_attention_at_the_start(where, mix):
    torch.manual_seed(0)
    plain = MultiHeadAttention(16, 4, 2).double()
    layer = MultiTokenAttention(16, 4, 2, c_q=3, c_k=5, where=where, mix=mix).double()
    layer.load_state_dict(plain.state_dict(), strict=False)
    x = torch.randn(2, 9, 16, dtype=torch.float64)
    torch.testing.assert_close(layer(x), plain(x))


def test_every_parameter_learns_and_the_future_stays_hidden():
    torch.manual_seed(0)
    layer = MultiTokenAttention(
        16, 4, c_q=2, c_k=3, where="both", mix=2, norm="gate", rotary_base=100.0, start="constant"
    )
    x = torch.randn(2, 9, 16)
    out = layer(x)
    out.square().sum().backward()
    for name, p in layer.named_parameters():
        assert p.grad is not None and p.grad.abs().sum() > 0, name
    moved = x.clone()
    moved[:, 5:] = 3.0
    assert torch.equal(layer(moved)[:, :5], out[:, :5])


def test_norm_by_depth_and_by_gate():
    heads = torch.randn(2, 4, 5, 8)
    unit = heads / heads.square().mean(-1, keepdim=True).add(1e-5).sqrt()
    depth = HeadNorm(8, kind="depth", layer=3)(heads)
    torch.testing.assert_close(depth, unit * (1 - lambda_start(3)))
    gated = HeadNorm(8, kind="gate")
    gate = (unit @ gated.gate.weight[0] + gated.gate.bias).sigmoid()[..., None]
    torch.testing.assert_close(gated(heads), unit * gate)


def test_rotary_positions_are_relative():
    torch.manual_seed(0)
    layer = MultiTokenAttention(16, 2, c_q=2, c_k=3, rotary_base=100.0)
    x = torch.randn(1, 1, 16).expand(1, 12, 16)
    q, k, _ = layer.project(x)
    logits = q @ k.mT
    torch.testing.assert_close(logits[..., 5, 3], logits[..., 11, 9])
    assert (logits[..., 5, 3] - logits[..., 5, 4]).abs().max() > 1e-3


def test_differential_attention_by_loops():
    torch.manual_seed(0)
    layer = DifferentialAttention(16, 2, layer=1).double()
    x = torch.randn(1, 5, 16, dtype=torch.float64)
    q, k, v = (w(x)[0] for w in (layer.wq, layer.wk, layer.wv))
    lq1, lk1, lq2, lk2 = layer.lambdas
    lam = (lq1 @ lk1).exp() - (lq2 @ lk2).exp() + lambda_start(1)
    heads = []
    for h in range(2):
        maps = []
        for half in range(2):
            at = slice(8 * h + 4 * half, 8 * h + 4 * half + 4)
            logits = q[:, at] @ k[:, at].T / 2
            logits = logits.masked_fill(torch.ones(5, 5).triu(1).bool(), float("-inf"))
            maps.append(logits.softmax(-1))
        y = (maps[0] - lam * maps[1]) @ v[:, 8 * h : 8 * h + 8]
        y = y / y.square().mean(-1, keepdim=True).add(1e-5).sqrt() * layer.norm.weight
        heads.append(y * (1 - lambda_start(1)))
    torch.testing.assert_close(layer(x)[0], torch.cat(heads, -1) @ layer.wo.weight.T)


def test_table_8_counts_the_layers_that_are_built():
    """The formula of Table 8 equals the parameters of real layers, so it is no bare number."""
    plain = count(MultiHeadAttention(32, 4))
    sizes = dict(layers=1, heads=4, head_dim=8)
    full = MultiTokenAttention(32, 4, c_q=6, c_k=11, where="both", mix=4, norm="gate")
    extra = multi_token_costs.extra_parameters("multi-token", **sizes, kernel_layers=1)
    assert count(full) - plain == extra
    without = MultiTokenAttention(32, 4, c_q=None, c_k=None, mix=4)
    assert count(without) - plain == multi_token_costs.extra_parameters("talking heads", **sizes)
    diff = count(DifferentialAttention(32, 2)) - plain
    assert diff == multi_token_costs.extra_parameters("diff", **sizes)


@pytest.mark.errors
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(c_k=4), "odd number of key taps"),
        (dict(c_q=None), "c_q and c_k must both be None or neither; got None and 5"),
        (dict(mix=3), "mix must divide n_heads = 4; got 3"),
        (dict(norm="group"), "norm must be one of 'depth', 'gate'"),
        (dict(where="before"), "where must be one of 'pre', 'post', 'both'"),
        (dict(c_q=0), "c_q must be at least 1"),
        (dict(start="random"), "start must be one of 'identity', 'constant'"),
    ],
)
def test_errors_name_the_argument(change, message):
    with pytest.raises(ValueError, match=message):
        MultiTokenAttention(16, 4, **(dict(c_q=2, c_k=5) | change))


@pytest.mark.errors
def test_differential_errors():
    with pytest.raises(ValueError, match="2 n_heads must divide d_model = 18; got n_heads = 4"):
        DifferentialAttention(18, 4)
    with pytest.raises(ValueError, match="layer is counted from 0"):
        lambda_start(-1)
