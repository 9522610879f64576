"""Exercises of chapter 05, Multi-Token Attention; one file each, `ch05_*.py`."""

from simplex_lib.checks.ch05_diff import DIFF
from simplex_lib.checks.ch05_filtered import FILTERED
from simplex_lib.checks.ch05_layer import LAYER
from simplex_lib.checks.ch05_mixing import MIXING
from simplex_lib.checks.ch05_norm import NORM
from simplex_lib.checks.ch05_post import POST
from simplex_lib.checks.ch05_pre import PRE
from simplex_lib.checks.ch05_test import TEST

EXERCISES = (PRE, TEST, POST, MIXING, NORM, LAYER, FILTERED, DIFF)
