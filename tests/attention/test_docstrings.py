"""The examples in the docstrings are theorems: they hold."""

import doctest
import importlib
import pkgutil

import pytest
import torch

import simplex_lib.attention

MODULES = ["simplex_lib.errors"] + [
    f"simplex_lib.attention.{module.name}"
    for module in pkgutil.iter_modules(simplex_lib.attention.__path__)
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_hold(name):
    torch.manual_seed(0)
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
