"""Exercises of chapter 09, Triton, forward; one file each, `ch09_*.py`."""

from simplex_lib.checks.ch09_attention import ATTENTION
from simplex_lib.checks.ch09_matmul import MATMUL
from simplex_lib.checks.ch09_softmax import SOFTMAX_ROW
from simplex_lib.checks.ch09_trilinear import TRILINEAR
from simplex_lib.checks.ch09_vector import VECTOR

EXERCISES = (VECTOR, SOFTMAX_ROW, MATMUL, ATTENTION, TRILINEAR)
