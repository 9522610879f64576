"""Exercises of chapter 02, trilinear attention; one file each, `ch02_*.py`."""

from simplex_lib.checks.ch02_output import ATTENTION
from simplex_lib.checks.ch02_scores import LOGITS, PROBS

EXERCISES = (LOGITS, PROBS, ATTENTION)
