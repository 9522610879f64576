"""What the exercises with determinants share: the score by loops, and its parts as products.

Axes: b batch, h head, i query, j first key, k second key, s sequence length, d head_dim.
"""

from __future__ import annotations

import torch
from torch import Tensor


def truth_determinants(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    """Sum of the determinants of the chunks, and the product of the coordinates left over."""
    b, h, s, d = q.shape
    out = torch.zeros(b, h, s, s, s, dtype=torch.float64)
    for n in range(b):
        for m in range(h):
            first, second, third = (x[n, m].tolist() for x in (q, k1, k2))
            for i in range(s):
                for j in range(s):
                    for k in range(s):
                        x, y, z = first[i], second[j], third[k]
                        total = 0.0
                        for c in range(0, d - d % 3, 3):
                            (x1, x2, x3), (y1, y2, y3) = x[c : c + 3], y[c : c + 3]
                            z1, z2, z3 = z[c : c + 3]
                            total += x1 * (y2 * z3 - y3 * z2)
                            total -= x2 * (y1 * z3 - y3 * z1)
                            total += x3 * (y1 * z2 - y2 * z1)
                        for c in range(d - d % 3, d):
                            total += x[c] * y[c] * z[c]
                        out[n, m, i, j, k] = total
    return out


def product(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    """The trilinear product, (b, h, i, j, k)."""
    return torch.einsum("bhid,bhjd,bhkd->bhijk", q, k1, k2)


def whole(x: Tensor) -> Tensor:
    return x[..., : x.shape[-1] // 3 * 3]


def rest(x: Tensor) -> Tensor:
    return x[..., x.shape[-1] // 3 * 3 :]


def cyclic(x: Tensor, by: int) -> Tensor:
    """In each chunk (1, 2, 3) to (2, 3, 1) for by = 1, to (3, 1, 2) for by = 2."""
    return whole(x).unflatten(-1, (-1, 3)).roll(-by, -1).flatten(-2)


def parts(q: Tensor, k1: Tensor, k2: Tensor) -> tuple[Tensor, Tensor]:
    """The three products of Sarrus with a plus, and the three with a minus."""
    positive = product(whole(q), cyclic(k1, 1), cyclic(k2, 2))
    return positive, product(whole(q), cyclic(k1, 2), cyclic(k2, 1))


def determinants(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    positive, negative = parts(q, k1, k2)
    return positive - negative


def interleaved(x: Tensor) -> Tensor:
    """The coordinates in the order in which a chunk is l, l + p, l + 2 p."""
    return whole(x).unflatten(-1, (3, -1)).transpose(-1, -2).flatten(-2)
