"""Mirrors simplex_lib/tasks/match3.py."""

import doctest
import itertools

import pytest
import torch

import simplex_lib.tasks.match3
from simplex_lib.tasks import match3_few_values, match3_hardest, match3_labels, match3_random


def test_examples_hold():
    result = doctest.testmod(simplex_lib.tasks.match3)
    assert (result.failed, result.attempted) == (0, 2)


@pytest.mark.parametrize(("s", "modulus"), [(1, 3), (4, 7), (6, 23)])
def test_labels_equal_explicit_loops(s, modulus):
    generator = torch.Generator().manual_seed(0)
    x = match3_random(20, s, modulus, generator)
    labels = match3_labels(x, modulus)
    for row, answers in zip(x.tolist(), labels.tolist(), strict=True):
        for first, answer in zip(row, answers, strict=True):
            pairs = itertools.product(row, repeat=2)
            assert answer == any((first + a + b) % modulus == 0 for a, b in pairs)


def test_a_token_may_match_with_itself():
    assert match3_labels(torch.tensor([[0]]), 5).item()
    assert match3_labels(torch.tensor([[2]]), 6).item()
    assert not match3_labels(torch.tensor([[1]]), 5).item()


@pytest.mark.parametrize("modulus", [2, 5, 9, 37])
def test_hardest_inputs_miss_by_one(modulus):
    x = match3_hardest(4, modulus)
    assert x.shape == (modulus, 4)
    assert len({tuple(row) for row in x.tolist()}) == modulus
    if modulus % 3:
        assert (3 * x[0] % modulus == 1).all()
        assert not match3_labels(x, modulus)[0].any()
    else:
        (row,) = [row for row in x.tolist() if row[-1] == modulus - 1]
        assert (row[-1] + 2 * row[0]) % modulus == 1


def test_few_values_give_both_labels():
    x = match3_few_values(50, 8, 37, torch.Generator().manual_seed(0))
    assert all(len(set(row)) <= 4 for row in x.tolist())
    assert 0.05 < match3_labels(x, 37).double().mean() < 0.95


@pytest.mark.errors
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: match3_labels(torch.tensor([1]), 5), ValueError, r"x must be \(b, s\); got"),
        (lambda: match3_labels(torch.tensor([[5]]), 5), ValueError, "0 to modulus - 1 = 4; got 5"),
        (lambda: match3_labels(torch.tensor([[-1]]), 5), ValueError, "got -1"),
        (lambda: match3_labels(torch.ones(1, 1), 5), TypeError, "x must be integers; got float32"),
        (lambda: match3_labels(torch.tensor([[0]]), 1), ValueError, "modulus must be .* 2.*got 1"),
        (lambda: match3_random(0, 4, 5), ValueError, "b must be at least 1; got 0"),
        (lambda: match3_few_values(1, 4, 5.0), TypeError, "modulus must be an int; got float"),
        (lambda: match3_hardest(0, 5), ValueError, "s must be at least 1; got 0"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
