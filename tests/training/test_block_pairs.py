"""Mirrors simplex_lib/training/block_pairs.py: attention over pairs on the block task."""

import doctest
from dataclasses import replace

import pytest
import torch

from simplex_lib.attention import TwoSimplicialAttention
from simplex_lib.data import load
from simplex_lib.training import block_pairs
from simplex_lib.training.blocks_run import DOT_PRODUCT


def test_examples_hold():
    assert doctest.testmod(block_pairs, extraglobs={"torch": torch}).failed == 0


@pytest.mark.parametrize("form", block_pairs.FORMS)
def test_the_last_token_is_that_of_the_whole_layer_with_its_gradients(form):
    torch.manual_seed(0)
    rotary = form == "determinant"
    layer = block_pairs.LastTokenPairs(9, 3, form=form, rotary=rotary).double()
    whole = TwoSimplicialAttention(9, 3, form=form, rotary=rotary).double()
    whole.load_state_dict(layer.state_dict())
    x = torch.randn(2, 7, 9, dtype=torch.float64)
    assert torch.equal(layer(x)[:, :-1], torch.zeros(2, 6, 9, dtype=torch.float64))
    torch.testing.assert_close(layer(x)[:, -1], whole(x)[:, -1])
    for one in (layer, whole):
        one(x)[:, -1].square().sum().backward()
    for mine, its in zip(layer.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, its.grad)


def test_a_run_is_recorded_with_all_that_it_names(tmp_path):
    short = replace(DOT_PRODUCT, steps=2, every=1, tested=8, batch=4)
    file = tmp_path / "pairs.json"
    found = block_pairs.record(file, command="as in a test", settings=short, seeds=[3])
    assert [run["name"].split()[-2] for run in found["runs"]] == ["trilinear", "determinant"]
    assert found == block_pairs.read_json(file)
    assert all(run["curve"]["step"] == [0, 1, 2] and run["seed"] == 3 for run in found["runs"])


def test_the_same_seed_gives_the_same_run(tmp_path):
    short = replace(DOT_PRODUCT, steps=2, every=1, tested=8, batch=4)
    runs = [
        block_pairs.record(tmp_path / "x.json", command="", settings=short, seeds=[5])["runs"]
        for _ in range(2)
    ]
    assert [r["curve"] for r in runs[0]] == [r["curve"] for r in runs[1]]


def test_the_shipped_runs_are_those_of_the_settings():
    runs = load("block_pairs")["runs"]
    assert [run["seed"] for run in runs] == [0, 1, 2] * 2
    for run in runs:
        assert run["settings"]["steps"] == DOT_PRODUCT.steps == run["curve"]["step"][-1]
        assert run["parameters"] == 76_224
