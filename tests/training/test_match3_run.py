"""Mirrors simplex_lib/training/match3_run.py."""

import doctest

import pytest
import torch

from simplex_lib.tasks import match3_labels
from simplex_lib.training import match3_run
from simplex_lib.training.match3_run import Run, Settings, held_out, majority_error_percent

KINDS = ["dot product", "trilinear"]
SHORT = Settings(n=4, modulus=7, steps=60, every=30, batch=64, warm_up=10)


def test_examples_hold():
    assert doctest.testmod(match3_run).failed == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_error_falls_below_that_of_the_more_frequent_label(kind):
    settings = Settings(n=3, modulus=5, steps=120, every=40, batch=64, warm_up=10)
    run = Run(kind, seed=0, settings=settings)
    errors = [point.error_percent for point in run.train()]
    assert errors[-1] < errors[0] / 2
    assert errors[-1] < majority_error_percent(settings) / 2
    assert run.cpu_seconds > 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_curve_and_another_another(kind):
    curves = []
    for seed in (0, 0, 1):
        torch.rand(3)  # the global generator is neither read nor moved
        before = torch.get_rng_state()
        run = Run(kind, seed=seed, settings=SHORT)
        curves.append(list(run.train()))
        assert torch.equal(before, torch.get_rng_state())
        assert curves[-1] == run.curve
    assert curves[0] == curves[1] != curves[2]


def test_a_state_goes_on_as_if_nothing_had_happened(tmp_path):
    whole = Run("trilinear", seed=3, settings=SHORT)
    list(whole.train())
    first = Run("trilinear", seed=3, settings=SHORT)
    steps = first.train()
    next(steps), next(steps)
    torch.save(first.state(), tmp_path / "state.pt")
    second = Run("trilinear", seed=3, settings=SHORT)
    second.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [point.step for point in second.train()] == [60]
    assert second.curve == whole.curve
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(second.model.state_dict()[name], weight)


def test_the_last_stretch_may_be_shorter():
    run = Run("trilinear", seed=0, settings=Settings(n=3, modulus=5, steps=5, every=3, batch=8))
    assert [point.step for point in run.train()] == [0, 3, 5]
    assert list(run.train()) == []


def test_all_runs_are_measured_on_the_same_sequences():
    runs = [("dot product", 0), ("trilinear", 7)]
    first, second = (Run(kind, seed=s, settings=SHORT).held_out for kind, s in runs)
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    x, labels = held_out(SHORT)
    assert x.shape == (2000, 4) and torch.equal(match3_labels(x, 7), labels)
    yes = 100 * labels.double().mean().item()
    assert majority_error_percent(SHORT) == pytest.approx(min(yes, 100 - yes), abs=1e-3)


@pytest.mark.errors
def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="kind must be one of 'dot product', 'trilinear'; got"):
        Run("cubic", seed=0)
    with pytest.raises(TypeError, match=r"seed must be an int; got float 1\.5"):
        Run("trilinear", seed=1.5)
    with pytest.raises(ValueError, match="steps must be at least 1; got 0"):
        Settings(steps=0)
    with pytest.raises(ValueError, match=r"state must be of .*'seed': 1.*; got one of .*'seed': 0"):
        Run("trilinear", seed=1, settings=SHORT).restore(
            Run("trilinear", seed=0, settings=SHORT).state()
        )
