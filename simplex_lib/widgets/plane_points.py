"""Attention in the plane: the numbers and words for one query, with `plane_payload`."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from simplex_lib.attention import dot_product_attention_with_lse, dot_product_logits
from simplex_lib.errors import kind
from simplex_lib.widgets.kit import require_number, signed

# one key is long, one short, and the value of f lies inside the hull of the others
KEYS = [(2.3, 0.8), (0.5, 1.9), (-2.2, 1.8), (-1.7, -0.6), (-0.6, -2.3), (1.7, -1.4)]
VALUES = [(2.2, 0.6), (-1.8, 1.9), (0.9, -2.2), (-2.4, -0.8), (1.0, 2.4), (0.2, 0.2)]
LONGEST = 6.0  # of the query
TURN = 5  # degrees between two points of the path
SPAN = 3.2  # both planes reach from -SPAN to SPAN, with room for the longest query

Point = tuple[float, float]


@dataclass(frozen=True)
class PlanePayload:
    """One position of the query: what it meets and what comes out."""

    angle: float  # degrees, 0 to below 360
    length: float
    query: Point
    labels: list[str]
    keys: list[Point]
    values: list[Point]
    logits: list[float]  # scaled
    weights: list[float]
    out: Point
    winner: int  # the key with the largest weight
    mixed: float  # exp(entropy): as many equal weights would be as spread
    path: list[Point]  # out for a whole turn at this length, closed
    hull: list[Point]  # of the values, counter-clockwise, closed
    sentence: str


def plane_payload(
    angle: float = 30.0,
    length: float = 2.0,
    *,
    keys: Any = None,
    values: Any = None,
    labels: Sequence[str] | None = None,
) -> PlanePayload:
    """Everything the widget shows for one query: the scale is 1 / sqrt(2), the weights softmax.

    Raises:
        ValueError: angle is not finite, length is not from 0 to 6, keys or values are not two to
            eight points that fit the picture, or labels are not one a key.
    """
    require_number(-1e6, 1e6, angle=angle)
    require_number(0, LONGEST, length=length)
    key_points = _points("keys", KEYS if keys is None else keys)
    value_points = _points("values", VALUES if values is None else values)
    if len(value_points) != len(key_points):
        raise ValueError(
            f"values must be {len(key_points)} points, one a key; got {len(value_points)}."
        )
    named = list("abcdefgh"[: len(key_points)]) if labels is None else [str(x) for x in labels]
    if len(named) != len(key_points):
        raise ValueError(f"labels must be {len(key_points)} names, one a key; got {len(named)}.")

    angle = float(angle) % 360
    turn = [angle, *range(0, 361, TURN)]  # the query itself, then the whole turn
    logits, weights, outs = _attend([_on_circle(a, length) for a in turn], key_points, value_points)
    mixed = math.exp(-sum(w * math.log(w) for w in weights[0] if w > 0))
    winner = max(range(len(named)), key=lambda n: weights[0][n])
    return PlanePayload(
        angle=angle,
        length=float(length),
        query=_on_circle(angle, length),
        labels=named,
        keys=key_points,
        values=value_points,
        logits=logits[0],
        weights=weights[0],
        out=outs[0],
        winner=winner,
        mixed=mixed,
        path=outs[1:],
        hull=convex_hull(value_points),
        sentence=_sentence(angle, length, named, weights[0], outs[0], winner, mixed),
    )


def convex_hull(points: Sequence[Point]) -> list[Point]:
    """The corners of the smallest convex shape round the points, counter-clockwise, closed.

    >>> convex_hull([(0, 0), (2, 0), (1, 0.5), (1, 2)])
    [(0, 0), (2, 0), (1, 2), (0, 0)]
    """
    ordered = sorted(set(points))
    sides = []
    for run in (ordered, ordered[::-1]):  # the lower side, then the upper one
        side: list[Point] = []
        for p in run:
            while len(side) > 1 and _turn(side[-2], side[-1], p) <= 0:
                side.pop()
            side.append(p)
        sides += side[:-1]
    return [*sides, sides[0]] if sides else ordered


def _turn(a: Point, b: Point, c: Point) -> float:
    """Above 0 if a, b, c turn to the left."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _on_circle(degrees: float, radius: float) -> Point:
    radians = math.radians(degrees)
    return (radius * math.cos(radians), radius * math.sin(radians))


def _attend(
    queries: Sequence[Point], keys: Sequence[Point], values: Sequence[Point]
) -> tuple[list[list[float]], list[list[float]], list[Point]]:
    """Scaled logits and weights, (query, key), and out, (query, 2)."""
    q = torch.tensor(queries, dtype=torch.float64)
    k, v = (torch.tensor(x, dtype=torch.float64)[None, None] for x in (keys, values))
    # each query is a head of its own over one shared key head; row 0 of its s equal rows is read
    q = q[None, :, None].expand(-1, -1, k.shape[2], -1)
    scale = 1 / math.sqrt(2)
    out, lse = dot_product_attention_with_lse(q, k, v, causal=False, scale=scale)
    logits = dot_product_logits(q, k)[0, :, 0] * scale
    weights = (logits - lse[0, :, :1]).exp()
    return logits.tolist(), weights.tolist(), [(x, y) for x, y in out[0, :, 0].tolist()]


def _points(name: str, given: Any) -> list[Point]:
    """Two to eight points of the picture, from a tensor or a list of pairs."""
    wish = f"{name} must be two to eight points (x, y), each number from -{SPAN} to {SPAN}"
    try:
        x = torch.as_tensor(given, dtype=torch.float64).detach()
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{wish}; got {kind(given)}.") from None
    if x.ndim != 2 or x.shape[1] != 2 or not 2 <= len(x) <= 8:
        raise ValueError(f"{wish}; got shape {tuple(x.shape)}.")
    outside = ~(x.abs() <= SPAN)  # NaN too
    if outside.any():
        raise ValueError(f"{wish}; got {x[outside][0].item():g}.")
    return [(a, b) for a, b in x.tolist()]


def _sentence(
    angle: float,
    length: float,
    labels: list[str],
    weights: list[float],
    out: Point,
    winner: int,
    mixed: float,
) -> str:
    """Which key wins, with what weight, and how soft the look-up is."""
    if length == 0:
        return (
            f"The query has length 0: each of the {len(labels)} keys gets the weight "
            f"{1 / len(labels):.2f}, and the output {point(out)} is the mean of all values."
        )
    top, name = weights[winner], labels[winner]
    second = max((n for n in range(len(labels)) if n != winner), key=lambda n: weights[n])
    start = f"The query points to {angle:.0f}° with length {length:g}. "
    if top - weights[second] < 0.005:
        start += f"Keys {name} and {labels[second]} win together with weight {top:.2f} each"
    else:
        start += f"Key {name} wins with weight {top:.2f}, before {labels[second]} with "
        start += f"{weights[second]:.2f}"
    if mixed < 1.1:
        how = f"a hard look-up, almost the value of {name} alone"
    else:
        how = f"a mixture of about {mixed:.1f} values"
    return f"{start}. The output {point(out)} is {how}."


def point(p: Point) -> str:
    return f"({signed(p[0])}, {signed(p[1])})"
