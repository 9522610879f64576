"""Mirrors simplex_lib/training/match3_model.py."""

import doctest

import pytest
import torch

from simplex_lib.training import match3_model
from simplex_lib.training.match3_model import SIZES, Match3Model, count_parameters


def test_examples_hold():
    assert doctest.testmod(match3_model).failed == 0


@pytest.mark.parametrize("modulus", [2, 5, 23, 97])
def test_the_dot_product_model_has_at_least_the_parameters_of_the_other(modulus):
    plain, pairs = (Match3Model(kind, modulus) for kind in ("dot product", "trilinear"))
    assert count_parameters(plain) >= count_parameters(pairs)
    assert plain.embedding.weight.shape == pairs.embedding.weight.shape == (modulus + 1, 64)


@pytest.mark.parametrize("kind", SIZES)
def test_no_positions_and_no_causal_mask(kind):
    model, x = Match3Model(kind, 23), torch.randint(23, (4, 6))
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(model(x[:, order]), model(x)[:, order])
    moved = x.clone()
    moved[:, -1] = (x[:, -1] + 1) % 23
    assert (model(moved)[:, :-1] != model(x)[:, :-1]).any()


@pytest.mark.parametrize("kind", SIZES)
def test_every_weight_gets_a_gradient(kind):
    model = Match3Model(kind, 5)
    model(torch.arange(5)[None]).square().sum().backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, name


@pytest.mark.errors
def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="kind must be one of 'dot product', 'trilinear'; got 'x'"):
        Match3Model("x", 23)
    with pytest.raises(ValueError, match=r"modulus must be at least 2, .*; got 1"):
        Match3Model("trilinear", 1)
    with pytest.raises(ValueError, match="x must be from 0 to modulus - 1 = 4; got 5"):
        Match3Model("trilinear", 5)(torch.tensor([[0, 5]]))
    with pytest.raises(TypeError, match="x must be integers; got float32"):
        Match3Model("trilinear", 5)(torch.zeros(1, 2))
