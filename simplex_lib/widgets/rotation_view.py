"""Draws a `RotationPayload`: vectors and box in space (`rotation.js`), the scores beside them."""

import html
from functools import cache
from pathlib import Path
from typing import Any

from simplex_lib.widgets.explorer.colours import PALETTE
from simplex_lib.widgets.kit import COLOURS, fit_step, signed
from simplex_lib.widgets.rotation_turns import (
    AXES,
    EDGES,
    FACES,
    NAMES,
    RotationPayload,
    Score,
    axis_name,
)

OWN = "own axis"
LEFT, ACROSS, TALL, ROOM = 36, 196, 58, 6  # of a trace: numbers, whole width, height, margin


def controls(choices: dict[str, Any]) -> dict[str, Any]:
    import ipywidgets

    style = dict(description_width="initial")
    wide = dict(style=style, layout=dict(width="312px"), min=0, max=360, readout_format=".0f")
    angle = ipywidgets.FloatSlider(choices["angle"], description="turn all three °", **wide)
    alone = ipywidgets.FloatSlider(choices["alone"], description="turn k1 alone °", **wide)
    for name, slider in (("angle", angle), ("alone", alone)):
        fit_step(slider, choices[name], 5)
    reflected = ipywidgets.Checkbox(
        choices["reflected"], description="reflect: x → −x", indent=False,
        layout=dict(width="150px", margin="2px 2px 2px 12px"),
    )  # fmt: skip
    fields = {name: _field_class()(name, choices[name]) for name in ("axis", *NAMES)}
    return dict(angle=angle, alone=alone, reflected=reflected, **fields)


def presets(axis: Any) -> Any:
    import ipywidgets

    named = [(axis_name(x).removeprefix("the "), x) for x in AXES.values()]
    return ipywidgets.Dropdown(
        options=[*named, (OWN, OWN)], value=preset_of(axis), description="about",
        style=dict(description_width="initial"),
        layout=dict(width="196px", margin="2px 2px 2px 2px"),
    )  # fmt: skip


def preset_of(axis: Any) -> Any:
    return axis if axis in AXES.values() else OWN


def rows(controls: dict[str, Any], presets: Any) -> list[list[Any]]:
    """Three rows that break on a narrow page."""
    import ipywidgets

    c, wide = controls, dict(width="100%", flex_flow="row wrap")
    found = ((c["angle"], c["alone"]), (presets, c["axis"], c["reflected"]))
    found = (*found, tuple(c[name] for name in NAMES))
    return [[ipywidgets.HBox(row, layout=wide)] for row in found]


def adapt(controls: dict[str, Any], choices: dict[str, Any]) -> None:
    for name in ("angle", "alone"):
        fit_step(controls[name], choices[name], 5)


@cache
def _field_class() -> type:
    import ipywidgets
    import traitlets

    class VectorField(ipywidgets.HBox):
        """Three number fields in a row: one choice, `value`."""

        value = traitlets.Tuple()

        def __init__(self, name: str, value: tuple[float, ...]) -> None:
            self.showing = False
            self.fields = [
                ipywidgets.FloatText(x, step=0.1, layout=dict(width="54px", margin="2px"))
                for x in value
            ]
            label = ipywidgets.Label(name)
            super().__init__([label, *self.fields], value=tuple(value), layout=dict(margin="0 8px"))
            self.add_class("sx-vector")
            for field in self.fields:
                field.observe(self._typed, "value")

        def _typed(self, _: Any) -> None:
            if not self.showing:
                self.value = tuple(field.value for field in self.fields)

        @traitlets.observe("value")
        def _show(self, event: Any) -> None:
            self.showing = True  # field by field: what stands between is nobody's choice
            for field, x in zip(self.fields, event["new"], strict=True):
                field.value = x
            self.showing = False

    return VectorField


@cache
def _picture_class() -> type:
    import anywidget
    import traitlets

    class Space(anywidget.AnyWidget):
        """The view in space and the list of scores; `picked` is an angle clicked on a trace."""

        _esm = Path(__file__).with_name("rotation.js")
        _css = Path(__file__).with_name("rotation.css")
        scene = traitlets.Dict().tag(sync=True)
        scores = traitlets.Unicode().tag(sync=True)
        picked = traitlets.Int(-1).tag(sync=True)

    return Space


def picture() -> Any:
    return _picture_class()()


def draw(space: Any, p: RotationPayload, dark: bool) -> None:
    with space.hold_sync():
        space.scene = scene(p, dark)
        space.scores = scores(p, dark)


def colours(p: RotationPayload, dark: bool) -> dict[str, Any]:
    """Keys as everywhere in the course; the box green, violet where its volume is negative."""
    colour, ends = COLOURS[dark], PALETTE["dark" if dark else "light"]["diverging"]
    return dict(
        vectors=[colour["ink"], colour["key"], colour["query"]],
        box=ends[1] if p.scores[1].now < 0 else ends[-2],
        axis=colour["faint"], faint=colour["faint"], paper="#111111" if dark else "#ffffff",
    )  # fmt: skip


def scene(p: RotationPayload, dark: bool) -> dict[str, Any]:
    """What `rotation.js` paints."""
    det = p.scores[1].now
    side = "no volume" if abs(det) < 1e-9 else f"signed volume {signed(det)}"
    return dict(
        vectors=p.vectors, corners=p.corners, faces=FACES, edges=EDGES, names=NAMES,
        direction=p.direction, reach=p.reach or 1.0, colours=colours(p, dark),
        label=f"q, k1 and k2 in space and the box that they span, {side}. "
        "Arrow keys or dragging look from another side, Home from the first.",
    )  # fmt: skip


def scores(p: RotationPayload, dark: bool) -> str:
    """Each score as a large number and as a trace over a whole turn."""
    dot = f'<svg width="12" height="12" aria-hidden="true">{_dot(6, 6, dark)}</svg>'
    diamond = f'<svg width="14" height="14" aria-hidden="true">{_diamond(7, 7, dark)}</svg>'
    key = f"{dot} solid: all three turned, 0° to 360°<br>{diamond} dashed: k1 alone"
    found = "".join(_score(p, score, dark) for score in p.scores)
    return f'{found}<div class="sx-key">{key}</div>'


def _score(p: RotationPayload, score: Score, dark: bool) -> str:
    sign = "■" if score.stands else "▲"
    name = f"<b>{score.name}</b> {html.escape(score.formula)}"
    return (
        f'<div class="sx-score"><div class="sx-score-name">{name}</div>'
        f'<div class="sx-score-row"><span class="sx-number">{signed(score.now)}</span>'
        f"{_trace(p, score, dark)}</div>"
        f'<div class="sx-key">{score.meaning}: '
        f'<span class="sx-verdict">{sign} {score.verdict}</span></div></div>'
    )


def _trace(p: RotationPayload, score: Score, dark: bool) -> str:
    """An SVG: the common turn as a line, that of k1 dashed, both at their marks now."""
    colour = COLOURS[dark]
    right = ACROSS - ROOM
    limit = score.limit or 1.0

    def x(degrees: float) -> float:
        return LEFT + (right - LEFT) * degrees / 360

    def y(value: float) -> float:
        return TALL / 2 - (TALL / 2 - ROOM) * value / limit

    def path(values: list[float], look: str) -> str:
        step = 360 / (len(values) - 1)
        points = " ".join(f"{x(n * step):.1f},{y(v):.1f}" for n, v in enumerate(values))
        return f'<polyline points="{points}" fill="none" {look}/>'

    marks = [
        f'<line x1="{LEFT}" x2="{right}" y1="{y(0):.1f}" y2="{y(0):.1f}" '
        f'stroke="{colour["faint"]}" stroke-width="0.8"/>',
        *(
            f'<text x="{LEFT - 8}" y="{y(v):.1f}" text-anchor="end" dominant-baseline="central">'
            f"{signed(v, 1) if v else 0}</text>"
            for v in (limit, 0, -limit)
        ),
        path(score.alone, f'stroke="{colour["key"]}" stroke-width="1.3" stroke-dasharray="3 3"'),
        path(score.together, f'stroke="{colour["ink"]}" stroke-width="2.2"'),
        _diamond(x(p.alone), y(score.now), dark),
        _dot(x(p.angle), y(score.now), dark),
    ]
    return (
        f'<svg width="{ACROSS}" height="{TALL}" data-from="{LEFT}" data-to="{right}" '
        f'data-width="{ACROSS}" aria-hidden="true">{"".join(marks)}</svg>'
    )


def _dot(x: float, y: float, dark: bool) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.6" fill="{COLOURS[dark]["ink"]}"/>'


def _diamond(x: float, y: float, dark: bool) -> str:
    r = 5.5
    points = f"{x - r:.1f},{y:.1f} {x:.1f},{y - r:.1f} {x + r:.1f},{y:.1f} {x:.1f},{y + r:.1f}"
    look = f'fill="none" stroke="{COLOURS[dark]["key"]}" stroke-width="1.8"'
    return f'<polygon points="{points}" {look}/>'
