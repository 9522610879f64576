"""Three vectors and their three scores under rotation: numbers and words of `explore_rotation`.

Read from the top: `rotation_payload` makes everything, `RotationPayload.sentence` says it. All
three vectors are turned by one angle about an axis, k1 then by an angle of its own about the same
axis, as rotary positions do; a mirror exchanges x and -x at the end. Both turns are shown as whole
circles in steps of 5 degrees.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from simplex_lib.attention import determinant_logits, rotate_about, trilinear_logits
from simplex_lib.errors import kind, require_flag
from simplex_lib.widgets.kit import require_number, signed

Q, K1, K2 = (1.6, 0.4, 0.5), (-0.3, 1.5, 0.6), (0.5, -0.6, 1.5)
NAMES = ("q", "k1", "k2")
LARGEST = 3.0  # of a coordinate
STEP = 5  # degrees between two points of a circle
STILL = 1e-9  # a score that changes less stands still
AXES = {
    "x": (1.0, 0.0, 0.0),
    "y": (0.0, 1.0, 0.0),
    "z": (0.0, 0.0, 1.0),
    "diagonal": (1.0, 1.0, 1.0),
}
# the six faces and twelve edges of the box; corner n = its first, second, third bit times q, k1, k2
FACES = [(0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5)]
EDGES = [(a, a | bit) for bit in (1, 2, 4) for a in range(8) if not a & bit]

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Score:
    """One of the three scores: now, before any turn, and along both whole circles."""

    name: str
    formula: str
    meaning: str  # what it is in the picture
    now: float
    start: float  # of the vectors as given: no turn, no mirror
    together: list[float]  # all three turned by 0, 5, ... 360 degrees, k1 ahead as it is now
    alone: list[float]  # k1 ahead by 0, 5, ... 360 degrees, the others as they are now
    limit: float  # the largest size it has under any two turns

    @property
    def stands(self) -> bool:
        """Whether a common turn leaves it alone."""
        return max(self.together) - min(self.together) < STILL

    @property
    def verdict(self) -> str:
        return "stands still" if self.stands else "moves"


@dataclass(frozen=True)
class RotationPayload:
    """The three vectors after both turns and the mirror, and what the scores make of them."""

    angle: float
    alone: float
    axis: Vector
    reflected: bool
    given: list[Vector]  # q, k1, k2 as typed
    vectors: list[Vector]  # as they stand now
    corners: list[Vector]  # of the parallelepiped
    direction: Vector  # of the axis, of length 1, in the mirror if there is one
    reach: float  # no corner is ever farther from the origin
    scores: list[Score]  # dot product, determinant, trilinear sum

    @property
    def sentence(self) -> str:
        """What this turn, and the mirror, did to each score."""
        (dot, det, tri), mirror = self.scores, self.reflected
        if self.alone % 360:
            text = f"k1 alone is turned by {self.alone:g}°, as if only its position had changed: "
            text += f"{_from_to(dot, dot.now)}, {_from_to(det, -det.now if mirror else det.now)}. "
            text += "Turn all three, and these two keep their new values: they see the offset only."
        else:
            text = f"All three are turned by {self.angle:g}° about {axis_name(self.axis)}: "
            text += f"the dot product stays {signed(dot.now)} and the determinant "
            text += f"{'is' if mirror else 'stays'} {signed(det.now)}"
            if tri.stands:
                text += f"; here the trilinear sum stays {signed(tri.now)} too."
            else:
                low, high = min(tri.together), max(tri.together)
                text += f"; the trilinear sum is {signed(tri.now)}, and runs from {signed(low)} "
                text += f"to {signed(high)} in a whole turn."
        if mirror:
            text += " The mirror keeps lengths and angles, so the dot product cannot tell; "
            if abs(det.now) < STILL:
                text += "a determinant of 0 has no sign to lose."
            else:
                text += f"the determinant changed its sign, from {signed(-det.now)} to "
                text += f"{signed(det.now)}."
        return text


def rotation_payload(
    q: Any = Q,
    k1: Any = K1,
    k2: Any = K2,
    *,
    angle: float = 40.0,
    alone: float = 0.0,
    axis: Any = "z",
    reflected: bool = False,
) -> RotationPayload:
    """Everything the widget shows for these vectors and turns.

    Raises:
        ValueError, TypeError: a vector is not three numbers from -3 to 3, an angle is not from 0
            to 360, axis is neither 'x', 'y', 'z' or 'diagonal' nor such a vector, or
            reflected is not a bool.
    """
    given = [read_vector(name, x) for name, x in zip(NAMES, (q, k1, k2), strict=True)]
    require_number(0, 360, angle=angle)
    require_number(0, 360, alone=alone)
    require_flag(reflected=reflected)
    axis = read_axis(axis)
    direction = axis_direction(axis)
    mirror = torch.tensor([-1.0 if reflected else 1.0, 1.0, 1.0], dtype=torch.float64)
    circle = torch.arange(0, 361, STEP, dtype=torch.float64)
    n = len(circle)
    # as they are now, as given, along the common turn, along the turn of k1, all of both
    now, then, still = torch.tensor([[angle], [0.0], [alone]]).double()
    common = torch.cat([now, then, circle, now.expand(n), circle.repeat(n)])
    ahead = torch.cat([still, then, still.expand(n), circle, circle.repeat_interleave(n)])
    rows = torch.tensor(given, dtype=torch.float64)
    turned = torch.stack(
        [_turn(rows[c], direction, common + ahead * (c == 1)) for c in range(3)]
    )  # (3, moments, 3)
    mirrored = turned * mirror
    mirrored[:, 1] = turned[:, 1]  # as given: before the mirror too
    dot, det, tri = (x.tolist() for x in _scores(*mirrored))
    corners = _corners(mirrored)

    def score(name: str, formula: str, meaning: str, x: list[float]) -> Score:
        return Score(name, formula, meaning, x[0], x[1], *_cut(x, n))

    return RotationPayload(
        angle=float(angle),
        alone=float(alone),
        axis=axis,
        reflected=reflected,
        given=given,
        vectors=[_triple(x) for x in mirrored[:, 0]],
        corners=[_triple(x) for x in corners[0]],
        direction=_triple(torch.tensor(direction, dtype=torch.float64) * mirror),
        reach=corners.norm(dim=-1).max().item(),
        scores=[
            score("dot product", "q · k1", "lengths and the angle between", dot),
            score("determinant", "det(q, k1, k2)", "signed volume of the box", det),
            score("trilinear sum", "Σ q k1 k2", "coordinate by coordinate", tri),
        ],
    )


def read_axis(given: Any) -> Vector:
    """A name of `AXES` or a vector."""
    if not isinstance(given, str):
        return read_vector("axis", given)
    if given not in AXES:
        raise ValueError(f"axis must be {', '.join(map(repr, AXES))} or a vector; got {given!r}.")
    return AXES[given]


def axis_direction(axis: Vector) -> Vector:
    """The same at length 1."""
    length = math.hypot(*axis)
    if length == 0:
        raise ValueError("axis must be three numbers that are not all 0; got (0, 0, 0).")
    x, y, z = axis
    return (x / length, y / length, z / length)


def axis_name(axis: Vector) -> str:
    """In a sentence: the z axis, the diagonal (1, 1, 1), the axis (1, 2, 0)."""
    name = next((name for name, known in AXES.items() if known == axis), None)
    if name is None:
        return f"the axis ({', '.join(f'{c:g}'.replace('-', '−') for c in axis)})"
    return "the diagonal (1, 1, 1)" if name == "diagonal" else f"the {name} axis"


def _scores(q: Tensor, k1: Tensor, k2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Dot product, determinant and trilinear sum of each moment, from three (moments, 3)."""
    rows = [x[:, None, None] for x in (q, k1, k2)]  # each moment a batch of one position
    det, tri = (score(*rows).flatten() for score in (determinant_logits, trilinear_logits))
    return (q * k1).sum(-1), det, tri


def _turn(x: Tensor, direction: Vector, degrees: Tensor) -> Tensor:
    """One vector (3,) turned by each angle: (moments, 3)."""
    many = x.expand(1, 1, len(degrees), 1, 3)
    axes = torch.tensor([direction], dtype=torch.float64)
    return rotate_about(many, axes, degrees.deg2rad()[:, None])[0, 0, :, 0]


def _corners(vectors: Tensor) -> Tensor:
    """(moments, 8, 3) from q, k1, k2 as (3, moments, 3)."""
    bits = torch.tensor([[n >> c & 1 for c in range(3)] for n in range(8)], dtype=torch.float64)
    return torch.einsum("nc,cmx->mnx", bits, vectors)


def _cut(x: list[float], n: int) -> tuple[list[float], list[float], float]:
    """Both circles, and the largest size anywhere."""
    return x[2 : 2 + n], x[2 + n : 2 + 2 * n], max(map(abs, x))


def read_vector(name: str, given: Any) -> Vector:
    """Three numbers of a picture, from a tensor or anything like a list."""
    wish = f"{name} must be three numbers from -{LARGEST:g} to {LARGEST:g}"
    try:
        x = torch.as_tensor(given, dtype=torch.float64).detach()
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{wish}; got {kind(given)}.") from None
    if x.shape != (3,):
        raise ValueError(f"{wish}; got shape {tuple(x.shape)}.")
    outside = ~(x.abs() <= LARGEST)  # NaN too
    if outside.any():
        raise ValueError(f"{wish}; got {x[outside][0].item():g}.")
    return _triple(x)


def _triple(x: Sequence[float] | Tensor) -> Vector:
    a, b, c = (float(n) for n in x)
    return (a, b, c)


def _from_to(score: Score, now: float) -> str:
    if abs(now - score.start) < STILL:
        return f"the {score.name} stays {signed(now)}"
    return f"the {score.name} goes from {signed(score.start)} to {signed(now)}"
