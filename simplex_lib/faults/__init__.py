"""Faults that published kernels of attention over pairs had, and tests that find them.

attention.py   attention over pairs and its gradients in plain PyTorch, cut into steps
published.py   each fault: one step of it, changed
finders.py     the tests: each takes an attention and returns how far off it is

Plain PyTorch on small tensors, so it runs where Triton does not.
"""

from simplex_lib.faults.attention import PairAttention
from simplex_lib.faults.finders import FINDERS, TOLERANCE, damage, row_sums, slopes
from simplex_lib.faults.published import (
    DoubleCount,
    FirstHeadOnly,
    IgnoredConstants,
    MixedBases,
    RoundedRows,
    ShortGrid,
    WideWindow,
    WrongSlots,
    WrongStride,
    ZeroIsNothing,
)

FAULTS = (
    MixedBases,
    WrongSlots,
    WrongStride,
    IgnoredConstants,
    ZeroIsNothing,
    RoundedRows,
    FirstHeadOnly,
    DoubleCount,
    ShortGrid,
    WideWindow,
)

__all__ = [
    "FAULTS",
    "FINDERS",
    "TOLERANCE",
    "DoubleCount",
    "FirstHeadOnly",
    "IgnoredConstants",
    "MixedBases",
    "PairAttention",
    "RoundedRows",
    "ShortGrid",
    "WideWindow",
    "WrongSlots",
    "WrongStride",
    "ZeroIsNothing",
    "damage",
    "row_sums",
    "slopes",
]
