"""A query that the learner turns in the plane.

`explore_plane` is what a notebook calls. The numbers and words are made in `plane_points.py`, the
picture in `plane_view.py`.
"""

from collections.abc import Sequence
from typing import Any

from simplex_lib.widgets import plane_view
from simplex_lib.widgets.frame import Widget
from simplex_lib.widgets.kit import signed, table
from simplex_lib.widgets.plane_points import PlanePayload, plane_payload, point


def explore_plane(
    angle: float = 30.0,
    length: float = 2.0,
    *,
    keys: Any = None,
    values: Any = None,
    labels: Sequence[str] | None = None,
) -> "Plane":
    """Turn a query in the plane; its softmax weights and its output follow.

    Args:
        angle: where the query points, in degrees from the right, counter-clockwise.
        length: how long it is, from 0 to 6: from a soft to a hard look-up.
        keys, values: two to eight points each, as lists of pairs or a tensor (n, 2). None: six.
        labels: a name for each key and its value. None: a, b, c ...
    """
    return Plane(dict(keys=keys, values=values, labels=labels), angle=angle, length=length)


class Plane(Widget):
    question = "Where does the output go when the query turns?"
    help = "Tab to a slider, then arrow keys. The angle turns the query, the length sharpens it."

    def __init__(self, data: dict[str, Any], **choices: Any) -> None:
        self.data = data
        super().__init__(**_on_slider(choices))

    def change(self, **choices: Any) -> None:
        super().change(**_on_slider(choices))

    def payload(self, **choices: Any) -> PlanePayload:
        return plane_payload(**choices, **self.data)

    def table(self) -> str:
        p: PlanePayload = self.seen
        rows = [
            (name, point(key), signed(logit), f"{weight:.3f}", point(value))
            for name, key, logit, weight, value in zip(
                p.labels, p.keys, p.logits, p.weights, p.values, strict=True
            )
        ]
        caption = "logit = query · key / √2, weight = softmax of the logits"
        head = ["name", "key", "logit", "weight", "value"]
        return table(head, rows, caption=caption, on=p.winner)

    def controls(self) -> dict[str, Any]:
        return plane_view.controls(self.choices)

    def adapt(self, controls: dict[str, Any]) -> None:
        plane_view.steps(controls, self.choices)

    def picture(self) -> Any:
        return plane_view.picture(self.seen)

    def draw(self, picture: Any, dark: bool) -> None:
        plane_view.draw(picture, self.seen, dark)

    def still(self) -> bytes:
        return plane_view.still(self.seen)


def _on_slider(choices: dict[str, Any]) -> dict[str, Any]:
    """-45 degrees are 315; the slider keeps its right end, 360."""
    angle = choices.get("angle", 0)
    inside = not isinstance(angle, int | float) or 0 <= angle <= 360
    return choices if inside else choices | dict(angle=angle % 360)
