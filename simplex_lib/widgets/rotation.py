"""Three vectors turned together in space, with their three scores.

`explore_rotation` is what a notebook calls. The numbers and words are made in `rotation_turns.py`,
the live picture in `rotation_view.py` and `rotation.js`, the still one in `rotation_still.py`.
"""

from collections.abc import Sequence
from typing import Any

from simplex_lib.widgets import rotation_still, rotation_view
from simplex_lib.widgets.frame import Widget
from simplex_lib.widgets.kit import signed, table
from simplex_lib.widgets.rotation_turns import (
    K1,
    K2,
    NAMES,
    Q,
    RotationPayload,
    read_axis,
    read_vector,
    rotation_payload,
)


def explore_rotation(
    q: Any = Q,
    k1: Any = K1,
    k2: Any = K2,
    *,
    angle: float = 40.0,
    alone: float = 0.0,
    axis: str | Sequence[float] = "z",
    reflected: bool = False,
) -> "Rotation":
    """Turn q, k1 and k2 together: dot product and determinant stand still, the trilinear sum moves.

    Args:
        q, k1, k2: three numbers each, from -3 to 3.
        angle: how far all three are turned, in degrees.
        alone: how much farther k1 is turned, about the same axis.
        axis: 'x', 'y', 'z', 'diagonal' or a direction of three numbers.
        reflected: whether a mirror then exchanges x and -x.
    """
    vectors = dict(q=q, k1=k1, k2=k2)
    return Rotation(**vectors, angle=angle, alone=alone, axis=axis, reflected=reflected)


class Rotation(Widget):
    question = "What stays the same when q, k1 and k2 turn together?"
    help = "Slide, or click on a curve. On the picture, drag or arrow keys look from another side."
    lines = 3

    def __init__(self, **choices: Any) -> None:
        super().__init__(**_on_controls(choices))

    def change(self, **choices: Any) -> None:
        super().change(**_on_controls(choices))

    def payload(self, **choices: Any) -> RotationPayload:
        return rotation_payload(**choices)

    def table(self) -> str:
        p: RotationPayload = self.seen
        scores = [
            (
                *(score.name, signed(score.start, 3), signed(score.now, 3)),
                *(signed(end(score.together), 3) for end in (min, max)),
                score.verdict,
            )
            for score in p.scores
        ]
        vectors = [
            (name, *(signed(c, 3) for c in vector))
            for name, vector in zip(NAMES, p.vectors, strict=True)
        ]
        left = table(
            ["score", "as typed", "now", "least", "most", "in a common turn"],
            scores,
            caption="The scores; least and most of a whole common turn",
        )
        right = table(["now", "x", "y", "z"], vectors, caption="The vectors as they stand")
        return f'<div class="sx-row" style="overflow-x: auto"><div>{left}</div>{right}</div>'

    def controls(self) -> dict[str, Any]:
        return rotation_view.controls(self.choices)

    def rows(self, controls: dict[str, Any]) -> list[list[Any]]:
        self._presets = rotation_view.presets(self.choices["axis"])
        self._presets.observe(self._preset_chosen, "value")
        return rotation_view.rows(controls, self._presets)

    def _preset_chosen(self, event: Any) -> None:
        if event["new"] != rotation_view.OWN:
            self.change(axis=event["new"])

    def adapt(self, controls: dict[str, Any]) -> None:
        rotation_view.adapt(controls, self.choices)
        self._presets.value = rotation_view.preset_of(self.choices["axis"])

    def picture(self) -> Any:
        return rotation_view.picture()

    def draw(self, picture: Any, dark: bool) -> None:
        rotation_view.draw(picture, self.seen, dark)

    def bind(self, shown: Any) -> None:
        shown.observe(self._angle_picked, "picked")

    def _angle_picked(self, event: Any) -> None:
        if event["new"] >= 0:
            self.change(angle=float(event["new"]))
            event["owner"].picked = -1  # so that the same angle can be picked again

    def still(self) -> bytes:
        return rotation_still.still(self.seen)


def _on_controls(choices: dict[str, Any]) -> dict[str, Any]:
    """As the controls have it: -45 degrees are 315, vectors are tuples of numbers."""
    new = dict(choices)
    for name in ("angle", "alone"):
        degrees = new.get(name, 0.0)
        if isinstance(degrees, int | float) and not 0 <= degrees <= 360:
            new[name] = degrees % 360
    if "axis" in new:
        new["axis"] = read_axis(new["axis"])
    for name in NAMES:
        if name in new:
            new[name] = read_vector(name, new[name])
    return new
