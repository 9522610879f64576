"""Exercises of chapter 04, sliding windows; one file each, `ch04_*.py`."""

from simplex_lib.checks.ch04_costs import COSTS
from simplex_lib.checks.ch04_decode import DECODE
from simplex_lib.checks.ch04_mask import MASK
from simplex_lib.checks.ch04_tiles import TILES
from simplex_lib.checks.ch04_windowed import WINDOWED

EXERCISES = (MASK, WINDOWED, COSTS, TILES, DECODE)
