"""Exercises of chapter 06, Alice and the rabbit; one file each, `ch06_*.py`."""

from simplex_lib.checks.ch06_alice import ALICE
from simplex_lib.checks.ch06_metric import METRIC
from simplex_lib.checks.ch06_share import SHARE
from simplex_lib.checks.ch06_step import STEP

EXERCISES = (ALICE, METRIC, STEP, SHARE)
