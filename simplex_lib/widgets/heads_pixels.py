"""A map as a tiny PNG, one pixel a cell: plotly moves one picture faster than s * s cells."""

import base64
import struct
import zlib

import numpy as np

from simplex_lib.widgets.kit import heat_scale


def data_uri(map_: np.ndarray, *, dark: bool) -> str:
    """A map of probabilities (s, s) as an address that a browser can draw; NaN is see-through."""
    return f"data:image/png;base64,{base64.b64encode(_png(pixels(map_, dark=dark))).decode()}"


def pixels(map_: np.ndarray, *, dark: bool) -> np.ndarray:
    """Colours (s, s, 4) of probabilities (s, s), from 0 to 255; NaN has no opacity."""
    at, names = zip(*heat_scale(dark), strict=True)
    colours = np.array([[int(name[n : n + 2], 16) for n in (1, 3, 5)] for name in names])
    found = np.zeros((*map_.shape, 4))
    for channel in range(3):
        found[..., channel] = np.interp(np.nan_to_num(map_), at, colours[:, channel])
    found[..., 3] = 255 * ~np.isnan(map_)
    return found.round().astype(np.uint8)


def _png(image: np.ndarray) -> bytes:
    """RGBA, eight bits a channel, no filter."""
    height, width, _ = image.shape
    rows = b"".join(b"\0" + row.tobytes() for row in image)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))]
    parts += [(b"IDAT", zlib.compress(rows, 6)), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
