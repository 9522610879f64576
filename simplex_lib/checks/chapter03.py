"""Exercises of chapter 03, determinants and rotary positions; one file each, `ch03_*.py`."""

from simplex_lib.checks.ch03_choose import CHOOSE
from simplex_lib.checks.ch03_determinant import DETERMINANT
from simplex_lib.checks.ch03_match3 import MATCH3
from simplex_lib.checks.ch03_pairs import PAIRS
from simplex_lib.checks.ch03_sarrus import SARRUS
from simplex_lib.checks.ch03_triples import TRIPLES

EXERCISES = (PAIRS, DETERMINANT, SARRUS, TRIPLES, MATCH3, CHOOSE)
