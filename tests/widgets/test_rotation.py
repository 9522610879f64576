"""Mirrors simplex_lib/widgets/rotation*.py: scores against loops, words, bad input, still form."""

import itertools
import math

import pytest
import torch

from simplex_lib.widgets.rotation import explore_rotation
from simplex_lib.widgets.rotation_still import seen
from simplex_lib.widgets.rotation_turns import (
    AXES,
    EDGES,
    FACES,
    K1,
    K2,
    STEP,
    Q,
    axis_name,
    rotation_payload,
)
from simplex_lib.widgets.rotation_view import colours, scene, scores

OTHER = dict(q=(1.0, -2.0, 0.5), k1=(0.0, 1.5, 3.0), k2=(-1.0, 0.5, 2.0))


def cross(a, b):
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def turned_by_hand(v, axis, degrees):
    """Rodrigues' formula, coordinate by coordinate."""
    size = math.sqrt(dot(axis, axis))
    u, t = [x / size for x in axis], math.radians(degrees)
    side, along = cross(u, v), dot(u, v) * (1 - math.cos(t))
    return [v[c] * math.cos(t) + side[c] * math.sin(t) + u[c] * along for c in range(3)]


def scores_by_hand(vectors, axis, angle, alone, reflected):
    turns = (angle, angle + alone, angle)
    q, k1, k2 = (turned_by_hand(v, axis, t) for v, t in zip(vectors, turns, strict=True))
    if reflected:
        for v in (q, k1, k2):
            v[0] = -v[0]
    return dot(q, k1), dot(q, cross(k1, k2)), sum(q[c] * k1[c] * k2[c] for c in range(3))


@pytest.mark.parametrize("axis", [*AXES, (1.0, -2.0, 0.5)])
@pytest.mark.parametrize(("angle", "alone"), [(0, 0), (40, 0), (125, 250), (360, 5)])
@pytest.mark.parametrize("reflected", [False, True])
def test_scores_equal_those_by_hand(axis, angle, alone, reflected):
    p = rotation_payload(**OTHER, angle=angle, alone=alone, axis=axis, reflected=reflected)
    vectors, direction = list(OTHER.values()), AXES.get(axis, axis)
    by_hand = scores_by_hand(vectors, direction, angle, alone, reflected)
    assert [s.now for s in p.scores] == pytest.approx(by_hand)
    start = scores_by_hand(vectors, direction, 0, 0, False)
    assert [s.start for s in p.scores] == pytest.approx(start)
    for n in (0, 7, 72):
        along = scores_by_hand(vectors, direction, n * STEP, alone, reflected)
        ahead = scores_by_hand(vectors, direction, angle, n * STEP, reflected)
        assert [s.together[n] for s in p.scores] == pytest.approx(along)
        assert [s.alone[n] for s in p.scores] == pytest.approx(ahead)
    for s in p.scores:
        assert max(map(abs, [s.now, s.start, *s.together, *s.alone])) <= s.limit


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("alone", [0, 75])
def test_a_common_turn_moves_the_trilinear_sum_alone(axis, alone):
    p = rotation_payload(axis=axis, alone=alone)
    assert [s.stands for s in p.scores] == [True, True, False]
    assert [s.verdict for s in p.scores] == ["stands still", "stands still", "moves"]
    for s in p.scores[:2]:  # but k1 alone moves both
        assert max(s.alone) - min(s.alone) > 0.5


def test_a_mirror_flips_the_determinant_and_nothing_else_of_the_two():
    plain, mirrored = (rotation_payload(alone=30, reflected=x) for x in (False, True))
    assert mirrored.scores[0].now == pytest.approx(plain.scores[0].now)
    assert mirrored.scores[1].now == pytest.approx(-plain.scores[1].now)


def test_the_box_is_spanned_by_the_vectors():
    p = rotation_payload(**OTHER, angle=70, alone=20, axis="x", reflected=True)
    for n, corner in enumerate(p.corners):
        chosen = [v for c, v in enumerate(p.vectors) if n >> c & 1]
        assert corner == pytest.approx([sum(v[c] for v in chosen) for c in range(3)])
    assert p.corners[1] == p.vectors[0] and p.corners[4] == p.vectors[2]
    lengths = [math.hypot(*corner) for corner in p.corners]
    assert max(lengths) <= p.reach
    assert len(EDGES) == 12 and all(bin(a ^ b).count("1") == 1 for a, b in EDGES)
    sides = [{frozenset(x) for x in itertools.pairwise([*face, face[0]])} for face in FACES]
    assert all(side <= {frozenset(edge) for edge in EDGES} for side in sides)
    assert all(sum({a, b} <= set(face) for face in FACES) == 2 for a, b in EDGES)


def test_the_scale_of_the_picture_stays_while_it_turns():
    reach = rotation_payload().reach
    for angle, alone in ((0, 0), (90, 0), (35, 200)):
        assert rotation_payload(angle=angle, alone=alone).reach == pytest.approx(reach)


def test_sentences():
    assert rotation_payload().sentence == (
        "All three are turned by 40° about the z axis: the dot product stays 0.42 and the "
        "determinant stays 4.19; the trilinear sum is −0.62, and runs from −0.80 to 1.70 in a "
        "whole turn."
    )
    mirrored = rotation_payload(reflected=True).sentence
    assert "the determinant is −4.19" in mirrored
    assert "changed its sign, from 4.19 to −4.19" in mirrored
    ahead = rotation_payload(alone=30, reflected=True).sentence
    assert "k1 alone is turned by 30°" in ahead
    assert "goes from 0.42 to −0.86, the determinant goes from 4.19 to 4.08." in ahead
    assert "changed its sign, from 4.08 to −4.08" in ahead
    flat = rotation_payload((1, 0, 0), (1, 0, 0), (0, 1, 0), reflected=True).sentence
    assert "a determinant of 0 has no sign to lose" in flat
    along = rotation_payload((0, 0, 1), (0, 0, 2), (0, 0, 3), alone=50)
    assert "the dot product stays 2.00" in along.sentence  # k1 lies on the axis
    still = rotation_payload((0, 0, 1), (0, 0, 2), (0, 0, 3))
    assert "here the trilinear sum stays 6.00 too" in still.sentence


def test_names_of_axes():
    names = [axis_name(axis) for axis in (*AXES.values(), (1.0, -2.0, 0.0))]
    assert names[2:] == ["the z axis", "the diagonal (1, 1, 1)", "the axis (1, −2, 0)"]


def test_a_box_of_no_size_can_be_drawn():
    zero = (0.0, 0.0, 0.0)
    widget = explore_rotation(zero, zero, zero)
    assert scene(widget.seen, False)["reach"] == 1.0 and widget.still().startswith(b"\x89PNG")
    assert "NaN" not in scores(widget.seen, False) and "nan," not in scores(widget.seen, False)


def test_the_colour_of_the_box_tells_the_sign_and_so_do_words():
    plus, minus = (rotation_payload(reflected=x) for x in (False, True))
    for dark in (False, True):
        assert colours(plus, dark)["box"] != colours(minus, dark)["box"]
    assert "signed volume 4.19" in scene(plus, False)["label"]
    assert "signed volume −4.19" in scene(minus, False)["label"]


def test_the_eye_keeps_lengths():
    for point in [(1.0, 2.0, 3.0), (-1.0, 0.5, 0.0)]:
        assert math.hypot(*seen(point, 33, 21)) == pytest.approx(math.hypot(*point))
    assert seen((0.0, 0.0, 1.0), 10, 0) == pytest.approx((0, 1, 0))


@pytest.mark.errors
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(q=(1, 2)), r"q must be three numbers from -3 to 3; got shape \(2,\)"),
        (dict(k1=(1, 2, 4)), "k1 must be three numbers from -3 to 3; got 4"),
        (dict(k2=(1, 2, math.nan)), "k2 must be three numbers from -3 to 3; got nan"),
        (dict(q=("a", 1, 2)), "q must be three numbers from -3 to 3; got tuple"),
        (dict(q="north"), "q must be three numbers from -3 to 3; got str 'north'"),
        (dict(angle="40"), "angle must be a number from 0 to 360; got str '40'"),
        (dict(alone=math.inf), "alone must be a number from 0 to 360; got"),
        (dict(axis="up"), "axis must be 'x', 'y', 'z', 'diagonal' or a vector; got 'up'"),
        (dict(axis=(0, 0, 0)), "axis must be three numbers that are not all 0"),
        (dict(axis=(1, 2)), r"axis must be .* got shape \(2,\)"),
    ],
)
def test_errors_name_the_argument(change, message):
    with pytest.raises(ValueError, match=message):
        explore_rotation(**change)


@pytest.mark.errors
def test_a_mirror_is_there_or_not():
    with pytest.raises(TypeError, match="reflected must be True or False; got int 1"):
        explore_rotation(reflected=1)


def test_angles_wrap_and_tensors_are_taken():
    assert explore_rotation(angle=-45).choices["angle"] == 315
    assert explore_rotation(angle=360).choices["angle"] == 360
    widget = explore_rotation(torch.tensor(Q), list(K1), torch.tensor(K2, requires_grad=True))
    assert widget.seen.scores[1].now == pytest.approx(rotation_payload().scores[1].now)


def test_still_form():
    widget = explore_rotation(alone=20, axis=(1, 2, 0), reflected=True)
    assert widget.still().startswith(b"\x89PNG") and widget.still() == widget.still()
    assert widget.sentence == widget.seen.sentence
    assert widget.table().count("<tr") == 8  # two heads, three scores, three vectors


def test_the_view_follows_controls_and_code():
    widget = explore_rotation()
    widget.live()
    view = widget._view
    before = view.picture.scene["corners"]
    view.controls["angle"].value = 90
    assert widget.seen.angle == 90 and view.picture.scene["corners"] != before
    assert view.table.value == widget.table() and "turned by 90°" in view.sentence.value
    assert view.picture.scores.count("<svg") == 5  # three traces, two signs of the key
    view.controls["reflected"].value = True
    assert "−4.19" in view.picture.scores
    view.controls["q"].fields[2].value = 2
    assert widget.choices["q"] == (1.6, 0.4, 2.0)
    widget.change(k2=(1, 2, 3))
    assert [field.value for field in view.controls["k2"].fields] == [1, 2, 3]
    light = view.picture.scene["colours"]
    view.sentence.dark = True
    assert view.picture.scene["colours"] != light


def test_a_refused_number_is_named_and_the_picture_stays():
    widget = explore_rotation()
    widget.live()
    view, before = widget._view, widget.seen
    view.controls["k1"].fields[1].value = 99
    assert "k1 must be three numbers from -3 to 3; got 99" in view.sentence.value
    assert widget.seen == before and widget.choices["k1"] == K1
    view.controls["angle"].value = 45  # the next move brings the last good number back
    assert view.controls["k1"].fields[1].value == K1[1]


def test_axes_are_chosen_by_name_and_by_number():
    widget = explore_rotation()
    widget.live()
    view, presets = widget._view, widget._presets
    presets.value = AXES["diagonal"]
    assert widget.choices["axis"] == (1, 1, 1)
    assert [field.value for field in view.controls["axis"].fields] == [1, 1, 1]
    view.controls["axis"].fields[0].value = 2
    assert presets.value == "own axis" and "the axis (2, 1, 1)" in widget.sentence
    widget.change(axis="x")
    assert presets.value == AXES["x"]


def test_the_same_spot_of_a_trace_can_be_clicked_twice():
    widget = explore_rotation()
    widget.live()
    picture = widget._view.picture
    picture.picked = 90
    widget.change(angle=10)
    picture.picked = 90
    assert widget.choices["angle"] == 90 and picture.picked == -1
