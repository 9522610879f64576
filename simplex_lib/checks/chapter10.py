"""Exercises of chapter 10, Triton, backward; one file each, `ch10_*.py`."""

from simplex_lib.checks.ch10_first_key import FIRST_KEY
from simplex_lib.checks.ch10_function import FUNCTION
from simplex_lib.checks.ch10_gradients import GRADIENTS
from simplex_lib.checks.ch10_recompute import RECOMPUTE
from simplex_lib.checks.ch10_second_key import SECOND_KEY

EXERCISES = (GRADIENTS, RECOMPUTE, FIRST_KEY, SECOND_KEY, FUNCTION)
