"""The cube A[i, j, k] of one head: its largest entries, as points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simplex_lib.widgets.explorer.explaining import Explained
from simplex_lib.widgets.explorer.looking import GOOD
from simplex_lib.widgets.explorer.sentences import percent

POINTS = 2000


@dataclass(frozen=True)
class Cube:
    """Points (n, 3), each (i, j, k), largest first; share: what they hold of all attention."""

    points: np.ndarray
    probs: np.ndarray
    entries: int  # how many there are in all
    share: float
    says: str


def top_points(explained: list[Explained], most: int = POINTS) -> Cube:
    """The largest entries of a head; ties go to the earlier query, first key and second key."""
    points, probs, entries, mass = [], [], 0, 0.0
    for x in explained:
        known = np.isfinite(x.probs)
        flat = np.where(known & (x.marks == GOOD), x.probs, 0).ravel()
        entries, mass = entries + int(known.sum()), mass + float(flat.sum())
        order = np.argsort(-flat, kind="stable")[:most]
        order = order[flat[order] > 0]
        j, k = np.unravel_index(order, x.probs.shape)
        points.append(np.stack([np.full(len(j), x.query), j + x.origin, k + x.origin], 1))
        probs.append(flat[order])
    points, probs = np.concatenate(points), np.concatenate(probs)
    order = np.argsort(-probs, kind="stable")[:most]
    points, probs = points[order], probs[order]
    share = float(probs.sum()) / mass if mass > 0 else 0.0
    return Cube(points, probs, entries, share, _say(points, probs, entries, share))


def _say(points, probs, entries, share) -> str:
    if not len(points):
        return "No entry of this head is above 0."
    count = "All" if len(points) == entries else f"The {len(points)} largest of"
    same = float(probs[points[:, 1] == points[:, 2]].sum() / probs.sum())
    before = float(probs[points[:, 1] < points[:, 2]].sum() / probs.sum())
    return (
        f"{count} {entries} entries hold {percent(share)} of the attention of all queries: "
        f"{percent(same)} of theirs lies where both keys are one position, {percent(before)} where "
        "the first key comes before the second."
    )


def wire_cube(cube: Cube) -> tuple[dict, bytes]:
    """float32 probabilities, then uint16 triples (i, j, k)."""
    body = cube.probs.astype("<f4").tobytes() + cube.points.astype("<u2").tobytes()
    return dict(count=len(cube.probs), share=cube.share, says=cube.says), body
