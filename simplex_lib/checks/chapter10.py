"""Exercises of chapter 10, Triton, backward; one file each, `ch10_*.py`."""

from simplex_lib.checks.ch10_function import FUNCTION
from simplex_lib.checks.ch10_gradients import GRADIENTS
from simplex_lib.checks.ch10_recompute import RECOMPUTE

EXERCISES = (GRADIENTS, RECOMPUTE, FUNCTION)
