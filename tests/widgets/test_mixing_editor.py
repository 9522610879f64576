"""Mirrors simplex_lib/widgets/mixing_editor*.py: stages against loops, words, edits, bad input."""

import math

import pytest
import torch

from simplex_lib.widgets.mixing_editor import cell_width, edit_mixing
from simplex_lib.widgets.mixing_editor_heads import PRESETS, preset_of


def softmax(row):
    powers = [math.exp(x) for x in row]
    return [x / sum(powers) for x in powers]


def draw(h, g, n, c, s=6):
    generator = torch.Generator().manual_seed(h)
    return (
        torch.randn(1, h, s, 3, generator=generator),
        torch.randn(1, g, s, 3, generator=generator),
        torch.randn(n, c, c, generator=generator),
    )


@pytest.mark.parametrize(
    ("h", "g", "n", "c", "group"), [(2, 1, 1, 2, 0), (6, 3, 2, 3, 1), (4, 4, 1, 4, 0)]
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_stages_equal_loops(h, g, n, c, group, when):
    q, k, mixing = draw(h, g, n, c)
    widget = edit_mixing(q, k, mixing, when=when, group=group, head=1, scale=0.9)
    p, s = widget.seen, 6
    heads = range(group * c, group * c + c)
    old = [q[0, x].double() for x in heads], [k[0, x * g // h].double() for x in heads]
    for i in range(s):
        raw = [[0.9 * float(a[i] @ b[j]) for j in range(i + 1)] for a, b in zip(*old, strict=True)]
        read = raw if when == "before" else [softmax(row) for row in raw]
        m = mixing[group].tolist()
        new = [[sum(m[o][e] * read[e][j] for e in range(c)) for j in range(i + 1)]
               for o in range(c)]  # fmt: skip
        last = [softmax(row) for row in new] if when == "before" else new
        middle = new if when == "before" else read
        for stage, truth in zip(p.stages, (raw, middle, last), strict=True):
            for x in range(c):
                assert stage[x, i, : i + 1].tolist() == pytest.approx(truth[x], rel=1e-5, abs=1e-7)
            assert not stage[:, i, i + 1 :].any()
    total = sum(m * x for m, x in p.terms)
    assert total == pytest.approx(float(p.stages[p.mixed][1][p.entry]), rel=1e-5)


def test_the_example_is_an_and_before_and_an_or_after():
    before, after = edit_mixing(), edit_mixing(mixing="average", when="after")
    last = len(before.seen.words) - 1
    assert before.seen.words[before.seen.entry[1]] == "rabbit"
    assert float(before.seen.stages[2][0, last, 3]) == pytest.approx(
        math.exp(8) / (math.exp(8) + 4 * math.exp(4) + 3)
    )
    shares = dict(zip(after.seen.words, after.seen.stages[2][0, last].tolist(), strict=True))
    assert shares["rabbit"] == pytest.approx(0.323, abs=1e-3)
    assert shares["rose"] == shares["cat"] == pytest.approx(0.165, abs=1e-3)


def test_sentences():
    assert edit_mixing().sentence == (
        "New head 0, query 7 ‘which?’, key 3 ‘rabbit’: logit 1 × 4 + 1 × 4 = 8. "
        "The softmax comes after it and gives 93.1%; the row sums to 1."
    )
    assert edit_mixing(mixing="contrast", when="after").sentence == (
        "New head 0, query 7 ‘which?’, key 0 ‘rose’: weight 1 × 0.323 + (−1) × 0.006 ≈ 0.318. "
        "The softmax came before it: the row now sums to 0, with 2 entries below 0."
    )
    assert "hidden in every head" in edit_mixing(entry=(2, 4)).sentence


def test_presets():
    for c in (2, 3, 4):
        for which, make in PRESETS.items():
            assert preset_of(make(c)) == which
        assert all(sum(row) == pytest.approx(0) for row in PRESETS["contrast"](c))
        assert all(sum(row) == pytest.approx(1) for row in PRESETS["average"](c))


@pytest.mark.errors
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(mixing="both"), "mixing must be one of 'identity', 'sum', 'average', 'contrast'"),
        (dict(mixing=[[1, 2]]), r"mixing must have 2 rows of 2 numbers; got rows of \[2\]"),
        (dict(mixing=[[1, 2], [1, 10]]), "a number of the mixing must be .* -9 to 9; got 10"),
        (dict(mixing=[[1, 2], [1, math.nan]]), "a number of the mixing must be .*; got nan"),
        (dict(mixing=4), r"mixing must be rows of numbers, \(c, c\); got int 4"),
        (dict(when="during"), "when must be one of 'before', 'after'; got 'during'"),
        (dict(head=2), "head must be a whole number from 0 to 1, a new head; got 2"),
        (dict(entry=(8, 0)), r"entry\[0\] must be a whole number from 0 to 7, a query; got 8"),
        (dict(tokens=["a"]), "got tokens alone"),
        (dict(k=torch.zeros(1, 2, 3, 2)), "q and k belong together; got k alone"),
        (dict(q=torch.zeros(1, 2, 11, 2), k=torch.zeros(1, 2, 11, 2)), "of 10 positions at most"),
        (dict(q=torch.zeros(1, 5, 3, 2), k=torch.zeros(1, 5, 3, 2)), "2 to 4 heads a group; got 5"),
        (dict(q=torch.zeros(1, 1, 3, 2), k=torch.zeros(1, 1, 3, 2)), "2 to 4 heads a group; got 1"),
        (
            dict(q=torch.zeros(1, 2, 3, 2), k=torch.zeros(1, 2, 3, 2), mixing=torch.zeros(2, 2, 2)),
            r"mixing must be \(n, c, c\) with n \* c = 2 heads",
        ),
        (
            dict(q=torch.zeros(1, 2, 3, 2), k=torch.zeros(1, 2, 3, 2), group=1),
            "group chooses of a mixing",
        ),
    ],
)
def test_errors_name_the_argument(change, message):
    with pytest.raises(ValueError, match=message):
        edit_mixing(**change)


def test_the_view_follows_board_and_controls():
    widget = edit_mixing()
    widget.live()
    view = widget._view

    def heard(panel, row, column, **what):
        widget._heard(None, dict(panel=panel, row=row, column=column, **what), None)

    heard("mixing", 1, 0, typed="-1.5")
    assert widget.seen.mixing == ((1, 1), (-1.5, 1)) and widget.seen.head == 1
    assert widget._preset.value == "your own" and view.controls["head"].value == 1
    heard("h0s2", 7, 4)
    assert widget.choices["head"] == 0 and widget.choices["entry"] == (7, 4)
    heard("h1s0", 7, 5)  # an old head: the new head stays
    assert widget.choices["head"] == 0 and widget.choices["entry"] == (7, 5)
    view.controls["when"].value = "after"
    assert "weight" in view.sentence.value and view.table.value == widget.table()
    heard("mixing", 0, 1, typed="many")
    assert "⚠ The number (new head 0, animal?) must lie between −9 and 9" in view.sentence.value
    assert widget.seen.mixing == ((1, 1), (-1.5, 1))
    widget._preset.value = "contrast"
    assert widget.seen.mixing == ((1, -1), (-1, 1)) and "⚠" not in view.sentence.value
    view.controls["head"].value = 1
    assert "New head 1" in view.sentence.value
    ids = [panel["id"] for panel in view.picture.scene["panels"]]
    assert ids == ["mixing", *(f"h{head}s{stage}" for head in range(2) for stage in range(3))]


def test_three_maps_fit_in_a_line():
    for words in (["a"] * 10, ["elephants"] * 10, ["rabbit"] * 8, ["x"]):
        assert 8 <= cell_width(words) <= 20


@pytest.mark.parametrize("mixing", [*PRESETS, [[9, -9], [0.5, 0.25]]])
@pytest.mark.parametrize("when", ["before", "after"])
def test_still_form_is_small(mixing, when):
    widget = edit_mixing(mixing=mixing, when=when)
    picture = widget.still()
    assert picture.startswith(b"\x89PNG") and len(picture) < 8_000 and picture == widget.still()
    assert widget.table().count("<tr") == 4 + 5
