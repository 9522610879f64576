"""Data that attention is tried on: inputs and right answers, no models.

alice.py    which sentence holds both words? heads by hand
blocks.py   which block of letters holds all letters of the question?
match3.py   is there a pair that completes a token to 0 modulo M?
needles.py  several keys with their values, hidden in a text
"""

from simplex_lib.tasks.blocks import BlockBatch, BlockTask, exact_match_error, guessing_floors
from simplex_lib.tasks.match3 import match3_few_values, match3_hardest, match3_labels, match3_random
from simplex_lib.tasks.needles import NeedleBatch, NeedleTask, needle_guessing_floor

__all__ = [
    "BlockBatch",
    "BlockTask",
    "NeedleBatch",
    "NeedleTask",
    "exact_match_error",
    "guessing_floors",
    "match3_few_values",
    "match3_hardest",
    "match3_labels",
    "match3_random",
    "needle_guessing_floor",
]
