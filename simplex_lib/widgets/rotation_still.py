"""The still form of a `RotationPayload`: the first view of `rotation.js` and the three traces."""

import math
from typing import Any

from simplex_lib.widgets.kit import png, signed, still_figure
from simplex_lib.widgets.rotation_turns import EDGES, FACES, NAMES, RotationPayload, Vector
from simplex_lib.widgets.rotation_view import colours

AZIMUTH, ELEVATION = 12.0, 22.0  # degrees; as in rotation.js

Seen = tuple[float, float, float]  # right, up, depth towards the eye


def seen(point: Vector, azimuth: float = AZIMUTH, elevation: float = ELEVATION) -> Seen:
    """A point as the eye has it. With azimuth 0 the eye is on the x axis, z is up.

    >>> [round(c, 9) for c in seen((1, 2, 3), 0, 0)]
    [2.0, 3.0, 1.0]
    """
    a, e = math.radians(azimuth), math.radians(elevation)
    x, y, z = point
    forward = math.cos(a) * x + math.sin(a) * y
    right, up = math.cos(a) * y - math.sin(a) * x, math.cos(e) * z - math.sin(e) * forward
    return (right, up, math.cos(e) * forward + math.sin(e) * z)


def still(p: RotationPayload) -> bytes:
    colour = colours(p, False)
    drawn = still_figure(8.2, 4.0)
    left, right = drawn.subfigures(1, 2, width_ratios=[1.15, 1])
    space = left.subplots()
    _space(space, p, colour)
    traces = right.subplots(3, 1, sharex=True)
    for axes, score in zip(traces, p.scores, strict=True):
        limit = 1.12 * (score.limit or 1.0)
        degrees = [n * 360 / (len(score.together) - 1) for n in range(len(score.together))]
        axes.axhline(0, color=colour["faint"], lw=0.7)
        axes.plot(degrees, score.alone, "--", color=colour["vectors"][1], lw=1.2)
        axes.plot(degrees, score.together, color=colour["vectors"][0], lw=2)
        ahead = dict(mfc="none", mec=colour["vectors"][1], ms=7, clip_on=False)
        axes.plot(p.alone, score.now, "D", **ahead)
        axes.plot(p.angle, score.now, "o", color=colour["vectors"][0], ms=6, clip_on=False)
        axes.set(xlim=(0, 360), ylim=(-limit, limit), xticks=[0, 90, 180, 270, 360])
        axes.set_title(
            f"{score.name} {signed(score.now)}: {score.verdict}", fontsize=9.5, loc="left"
        )
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    traces[-1].set_xlabel("degrees: solid all three, dashed k1 alone", fontsize=8.5)
    return png(drawn)


def _space(axes: Any, p: RotationPayload, colour: dict[str, Any]) -> None:
    reach = p.reach or 1.0
    at = [seen(corner) for corner in p.corners]
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.axis("off")
    for n, name in enumerate("xyz"):
        tip: Vector = tuple(0.75 * reach * (m == n) for m in range(3))  # type: ignore[assignment]
        x, y, _ = seen(tip)
        axes.plot([-x, x], [-y, y], color=colour["faint"], lw=0.8)
        axes.text(1.08 * x, 1.08 * y, name, color=colour["faint"], ha="center", va="center")
    x, y, _ = (0.9 * reach * c for c in seen(p.direction))
    axes.plot([-x, x], [-y, y], "-.", color=colour["axis"], lw=1.6)
    axes.text(1.1 * x, 1.1 * y, "axis", color=colour["axis"], ha="center", va="center",
              fontsize=8)  # fmt: skip
    # from back to front: the faces of the box by their depth
    for face in sorted(FACES, key=lambda face: sum(at[n][2] for n in face)):
        axes.fill(*zip(*(at[n][:2] for n in face), strict=True), color=colour["box"], alpha=0.15)
    for a, b in EDGES:
        axes.plot(*zip(at[a][:2], at[b][:2], strict=True), color=colour["box"], lw=1)
    for name, vector, ink in zip(NAMES, p.vectors, colour["vectors"], strict=True):
        x, y, _ = seen(vector)
        style = dict(arrowstyle="-|>", color=ink, lw=2.4, mutation_scale=15, shrinkA=0, shrinkB=0)
        axes.annotate("", (x, y), (0, 0), arrowprops=style)
        size = math.hypot(x, y) or 1.0
        axes.annotate(name, (x, y), (13 * x / size, 13 * y / size), textcoords="offset points",
                      ha="center", va="center", color=ink, fontweight="bold")  # fmt: skip
