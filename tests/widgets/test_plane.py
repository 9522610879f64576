"""Mirrors simplex_lib/widgets/plane*.py: numbers against loops, words, bad input, still form."""

import itertools
import math

import pytest
import torch

from simplex_lib.widgets.plane import explore_plane
from simplex_lib.widgets.plane_points import KEYS, VALUES, convex_hull, plane_payload


def softmax_by_hand(angle, length, keys):
    q = (length * math.cos(math.radians(angle)), length * math.sin(math.radians(angle)))
    logits = [(q[0] * x + q[1] * y) / math.sqrt(2) for x, y in keys]
    total = sum(math.exp(x) for x in logits)
    return logits, [math.exp(x) / total for x in logits]


def inside(hull, p, slack=1e-9):
    """Whether p lies left of every side of a counter-clockwise hull."""
    sides = itertools.pairwise(hull)
    return all(
        (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]) >= -slack for a, b in sides
    )


@pytest.mark.parametrize(("angle", "length"), [(0, 1), (37.5, 2), (140, 6), (359, 0.25), (90, 0)])
def test_weights_and_output_equal_a_softmax_by_hand(angle, length):
    p = plane_payload(angle, length)
    logits, weights = softmax_by_hand(angle, length, KEYS)
    assert p.logits == pytest.approx(logits, abs=1e-9)
    assert p.weights == pytest.approx(weights, abs=1e-9)
    out = [sum(w * v[c] for w, v in zip(weights, VALUES, strict=True)) for c in (0, 1)]
    assert p.out == pytest.approx(out, abs=1e-9)
    assert p.winner == weights.index(max(weights))


def test_the_path_is_where_the_output_goes_in_a_whole_turn():
    p = plane_payload(0, 3)
    assert p.path[0] == pytest.approx(p.out) and p.path[-1] == pytest.approx(p.path[0])
    assert p.path[18] == pytest.approx(plane_payload(90, 3).out)


@pytest.mark.parametrize("length", [0, 0.5, 2, 6])
def test_the_output_never_leaves_the_hull_of_the_values(length):
    p = plane_payload(30, length)
    assert all(inside(p.hull, point) for point in [p.out, *p.path, *p.values])
    assert not inside(p.hull, (3.0, 3.0))


def test_hull_of_a_line_and_of_equal_points():
    assert convex_hull([(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)]) == [(0, 0), (2, 2), (0, 0)]
    assert convex_hull([(1.0, 1.0), (1.0, 1.0)]) == [(1, 1)]


def test_a_longer_query_looks_harder():
    spread = [plane_payload(20, length).mixed for length in (0, 1, 2, 4, 6)]
    assert spread[0] == pytest.approx(6) and spread == sorted(spread, reverse=True)
    assert spread[-1] < 1.1


def test_sentences():
    soft, hard = plane_payload(20, 0), plane_payload(20, 6)
    assert "length 0: each of the 6 keys gets the weight 0.17" in soft.sentence
    assert "Key a wins with weight 0.99, before b with 0.00" in hard.sentence
    assert "hard look-up, almost the value of a alone" in hard.sentence
    between = plane_payload(45, 2, keys=[(1, 0), (0, 1)], values=[(1, 0), (0, 1)])
    assert "Keys a and b win together with weight 0.50 each" in between.sentence
    assert "a mixture of about 2.0 values" in between.sentence


def test_angles_wrap():
    assert plane_payload(-45, 2).weights == pytest.approx(plane_payload(315, 2).weights)
    assert explore_plane(angle=-45).choices["angle"] == 315
    plane = explore_plane(angle=360)
    assert plane.choices["angle"] == 360  # the right end of the slider
    plane.change(angle=725)
    assert plane.choices["angle"] == 5


def test_tensors_and_names_of_the_learner():
    points = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], requires_grad=True)
    p = plane_payload(90, 4, keys=points, values=points.detach(), labels=["cat", "<dog>", "owl"])
    assert p.labels[p.winner] == "<dog>"
    table = explore_plane(90, 4, keys=points, values=points, labels=["cat", "<dog>", "owl"]).table()
    assert "&lt;dog&gt;" in table and "<dog>" not in table


@pytest.mark.errors
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(length=7), "length must be a number from 0 to 6; got 7"),
        (dict(length="2"), "length must be a number from 0 to 6; got str '2'"),
        (dict(angle=float("nan")), "angle must be a number .* got nan"),
        (dict(keys=[(1, 2)]), r"keys must be two to eight points .* got shape \(1, 2\)"),
        (dict(keys="north"), "keys must be two to eight points .* got str 'north'"),
        (dict(values=[(1, 2)] * 5), "values must be 6 points, one a key; got 5"),
        (dict(values=[(1, 9)] * 6), "values must be .* from -3.2 to 3.2; got 9"),
        (dict(labels=["a"]), "labels must be 6 names, one a key; got 1"),
    ],
)
def test_errors_name_the_argument(change, message):
    with pytest.raises(ValueError, match=message):
        plane_payload(**change)


def test_a_refused_change_changes_nothing():
    plane = explore_plane(30, 2)
    with pytest.raises(ValueError, match="length"):
        plane.change(length=99)
    assert plane.choices == dict(angle=30, length=2) and plane.seen == plane_payload(30, 2)


def test_still_form():
    plane = explore_plane()
    assert plane.still().startswith(b"\x89PNG") and plane.still() == plane.still()
    assert plane.sentence == plane.seen.sentence and plane.table().count("<tr") == 7


def test_the_view_follows_controls_and_code():
    plane = explore_plane(30, 2)
    view = plane.live()
    assert plane.live() is view and "simplex-widget" in view._dom_classes
    inner = plane._view
    inner.controls["length"].value = 6
    assert plane.seen == plane_payload(30, 6)
    assert tuple(inner.picture.data[2].x) == pytest.approx((0, plane.seen.query[0]))
    assert "length 6" in inner.sentence.value and inner.table.value == plane.table()
    plane.change(angle=90)
    assert inner.controls["angle"].value == 90
    light = inner.picture.data[1].marker.color
    inner.sentence.dark = True
    assert inner.picture.data[1].marker.color != light
