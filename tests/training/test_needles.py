"""Mirrors simplex_lib/training/needles.py."""

from dataclasses import replace

import pytest

from simplex_lib.data import load
from simplex_lib.training.needles import (
    ASKED,
    KINDS,
    SEEDS,
    Settings,
    interval_percent,
    needle_training,
    record,
)


def shortened(settings):
    return replace(settings, steps=2, every=1, tested=8, batch=2, context=12)


def test_kinds_differ_in_their_second_layer_alone():
    first = [needle_training(kind, Settings(), seed=0).model.blocks[0] for kind in KINDS]
    shapes = [[tuple(p.shape) for p in block.parameters()] for block in first]
    assert shapes[0] == shapes[1] == shapes[2]
    names = [type(needle_training(k, Settings(), seed=0).model.blocks[1].attention) for k in KINDS]
    assert [name.__name__ for name in names] == [
        "MultiTokenAttention",
        "MultiTokenAttention",
        "TwoSimplicialAttention",
    ]


def test_runs_are_recorded_once(tmp_path):
    out = tmp_path / "runs.json"
    use = dict(command="x", asked=[2], seeds=[0], change=shortened)
    found = record(out, **use)
    assert [run["kind"] for run in found["runs"]] == list(KINDS)
    assert all(run["curve"]["step"] == [0, 1, 2] for run in found["runs"])
    assert record(out, **use) == found


def test_interval_covers_what_it_should():
    low, high = interval_percent(0.5, 100)
    assert abs(low - 40.4) < 0.1 and abs(high - 59.6) < 0.1  # the textbook case
    for share in (0.0, 0.01, 0.99, 1.0):
        low, high = interval_percent(share, 1000)
        assert 0 <= low <= 100 * share + 1e-9 <= high + 2e-9 and low < high <= 100


@pytest.mark.errors
def test_what_is_no_run_says_so():
    with pytest.raises(ValueError, match="kind must be one of 'dot product', 'multi-token'"):
        needle_training("diff", Settings(), seed=0)
    with pytest.raises(ValueError, match="asked must be at most needles = 6; got 7"):
        Settings(asked=7)


def test_recorded_runs_are_complete_and_carry_their_intervals():
    runs = load("needle_training")["runs"]
    keys = [(run["asked"], run["kind"], run["seed"]) for run in runs]
    assert sorted(keys) == sorted((a, k, s) for a in ASKED for k in KINDS for s in SEEDS)
    for run in runs:
        low, high = run["interval_percent"]
        assert low <= run["final_error_percent"] <= high
