"""Models that attention is put into.

decoder.py   a small decoder whose attention layers are given
"""

from simplex_lib.models.decoder import Decoder

__all__ = ["Decoder"]
