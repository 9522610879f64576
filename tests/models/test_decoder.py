"""Mirrors simplex_lib/models/decoder.py."""

import pytest
import torch
from torch import nn

from simplex_lib.attention import MultiHeadAttention, MultiTokenAttention
from simplex_lib.models import Decoder


def make(mlp="gelu", tied=False, layers=2):
    torch.manual_seed(0)
    attention = [MultiTokenAttention(16, 2, c_q=2, c_k=3) for _ in range(layers)]
    return Decoder(11, attention, d_model=16, hidden=24, mlp=mlp, tied=tied)


@pytest.mark.parametrize("mlp", ["gelu", "swiglu"])
@pytest.mark.parametrize("tied", [False, True])
def test_last_positions_alone_are_those_of_the_whole(mlp, tied):
    model, tokens = make(mlp, tied), torch.randint(11, (3, 9))
    whole = model(tokens)
    assert whole.shape == (3, 9, 11)
    torch.testing.assert_close(model(tokens, last=2), whole[:, -2:])


def test_the_future_is_hidden_and_every_parameter_learns():
    model, tokens = make(), torch.randint(11, (2, 8))
    before = model(tokens)
    before.logsumexp(-1).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    tokens[:, 5:] = (tokens[:, 5:] + 1) % 11
    torch.testing.assert_close(model(tokens)[:, :5], before[:, :5])


def test_a_tied_head_is_the_embedding():
    model = make(tied=True)
    assert model.head.weight is model.embedding.weight
    assert sum(p.numel() for p in make().parameters()) == 11 * 16 + sum(
        p.numel() for p in model.parameters()
    )


def test_the_stream_starts_with_variance_one():
    torch.manual_seed(0)
    model = Decoder(400, [MultiHeadAttention(64, 2)], d_model=64, hidden=128)
    assert abs(model.embedding.weight.std().item() - 1) < 0.02
    assert abs(model.blocks[0].attention.wq.weight.std().item() * 8 - 1) < 0.05


class Narrow(nn.Module):
    def forward(self, x):
        return x[:, :, :4]


class Nothing(nn.Module):
    def forward(self, x):
        return None


@pytest.mark.errors
def test_errors_name_the_argument():
    with pytest.raises(TypeError, match=r"attention must be one nn\.Module or more; got none"):
        Decoder(11, [], d_model=16, hidden=24)
    with pytest.raises(TypeError, match=r"attention must be one nn\.Module or more; got int 3"):
        Decoder(11, [3], d_model=16, hidden=24)
    with pytest.raises(ValueError, match="mlp must be one of 'gelu', 'swiglu'"):
        make(mlp="relu")
    with pytest.raises(TypeError, match="tokens must be integers; got float32"):
        make()(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"tokens must be \(b, t\)"):
        make()(torch.zeros(3, dtype=torch.long))
    with pytest.raises(ValueError, match=r"attention must return \(1, 3, 16\); got \(1, 3, 4\)"):
        Decoder(11, [Narrow()], d_model=16, hidden=24)(torch.zeros(1, 3, dtype=torch.long))
    with pytest.raises(ValueError, match=r"attention must return \(1, 3, 16\); got None"):
        Decoder(11, [Nothing()], d_model=16, hidden=24)(torch.zeros(1, 3, dtype=torch.long))
