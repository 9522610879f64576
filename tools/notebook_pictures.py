"""Stored pictures made small: a palette of 256 colours, where nobody can see the difference."""

import base64
import io

import numpy as np
from PIL import Image

LARGEST_DIFFERENCE = 8  # of 255, in any channel of any pixel


def smaller_png(encoded: str) -> str:
    """The same picture in base64, a third the size; unchanged where colours would be lost."""
    picture = Image.open(io.BytesIO(base64.b64decode(encoded)))
    if picture.mode == "RGBA" and picture.getchannel("A").getextrema() == (255, 255):
        picture = picture.convert("RGB")
    if picture.mode != "RGB":
        return encoded  # see-through, or a palette already
    few = picture.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    before, after = (np.asarray(x, dtype=int) for x in (picture, few.convert("RGB")))
    if np.abs(before - after).max() > LARGEST_DIFFERENCE:
        return encoded
    file = io.BytesIO()
    few.save(file, "PNG", optimize=True)
    small = base64.b64encode(file.getvalue()).decode()
    return small if len(small) < len(encoded) else encoded
