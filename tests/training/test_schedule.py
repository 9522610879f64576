"""Mirrors simplex_lib/training/schedule.py."""

import doctest
import math

import pytest

from simplex_lib.training import schedule
from simplex_lib.training.schedule import warm_up_cosine


def test_examples_hold():
    assert doctest.testmod(schedule).failed == 0


def test_it_rises_and_falls_to_the_floor():
    factors = [warm_up_cosine(t, steps=50, warm_up=10, floor=0.05) for t in range(1, 51)]
    top = factors.index(max(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert max(factors) < 1 and math.isclose(factors[-1], 0.05)
    assert math.isclose(warm_up_cosine(60, steps=50, warm_up=10, floor=0.05), 0.05)


@pytest.mark.errors
@pytest.mark.parametrize("name", ["step", "steps", "warm_up"])
def test_errors_name_the_argument(name):
    counts = dict(step=1, steps=5, warm_up=2) | {name: 0}
    with pytest.raises(ValueError, match=f"{name} must be at least 1; got 0"):
        warm_up_cosine(**counts, floor=0.1)
