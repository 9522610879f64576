"""Data that attention is tried on: inputs and right answers, no models.

match3.py   is there a pair that completes a token to 0 modulo M?
"""

from simplex_lib.tasks.match3 import match3_few_values, match3_hardest, match3_labels, match3_random

__all__ = ["match3_few_values", "match3_hardest", "match3_labels", "match3_random"]
