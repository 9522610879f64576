"""Exercises of chapter 06, Alice and the rabbit; one file each, `ch06_*.py`."""

from simplex_lib.checks.ch06_alice import ALICE
from simplex_lib.checks.ch06_generator import GENERATOR
from simplex_lib.checks.ch06_haystack import HAYSTACK
from simplex_lib.checks.ch06_metric import METRIC
from simplex_lib.checks.ch06_share import SHARE
from simplex_lib.checks.ch06_step import STEP

EXERCISES = (ALICE, GENERATOR, METRIC, STEP, SHARE, HAYSTACK)
