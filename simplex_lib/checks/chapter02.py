"""Exercises of chapter 02, trilinear attention; one file each, `ch02_*.py`."""

from simplex_lib.checks.ch02_layer import LAYER
from simplex_lib.checks.ch02_logits import LOGITS
from simplex_lib.checks.ch02_output import ATTENTION
from simplex_lib.checks.ch02_probs import PROBS
from simplex_lib.checks.ch02_streamed import STREAMED
from simplex_lib.checks.ch02_triple import TRIPLE

EXERCISES = (LOGITS, PROBS, ATTENTION, STREAMED, LAYER, TRIPLE)
