"""Mirrors simplex_lib/widgets/match3*.py: pairs and shares against loops, words, bad input."""

import math
import re

import pytest

from simplex_lib.attention.match3 import sufficient_c, sufficient_c_and_tau
from simplex_lib.widgets.match3 import explore_match3
from simplex_lib.widgets.match3_heads import enough_c, hardest_numbers, run_head
from simplex_lib.widgets.match3_pairs import compact_c, match3_payload, read_numbers
from simplex_lib.widgets.match3_view import _light, board, shade

NUMBERS = [3, 1, 4, 1, 5, 9, 2]


def shares_by_hand(x, modulus, c):
    """Both heads by loops: every pair scores c cos, the blank pair c or c tau."""
    paper, blank = [], []
    for a in x:
        scores = [c * math.cos(2 * math.pi * (a + b + d) / modulus) for b in x for d in x]
        top = max(scores)
        real = sum(math.exp(s - top) for s in scores)
        paper.append(real / (real + math.exp(c - top)))
        rest = math.exp(c - math.log(4) - top) + 2 * len(x) * math.exp(-top)
        blank.append(real / (real + rest))
    return paper, blank


@pytest.mark.parametrize("modulus", [10, 11, 17])
@pytest.mark.parametrize("c", [0.5, 3.0, 40.0, 400.0])
def test_pairs_shares_and_answers_equal_loops(modulus, c):
    x, n = NUMBERS, len(NUMBERS)
    p = match3_payload(x, modulus, token=2, c=c)
    fires = [(j, k) for j in range(n) for k in range(n) if (4 + x[j] + x[k]) % modulus == 0]
    assert p.fires == fires
    for j in range(n):
        for k in range(n):
            angle = 2 * math.pi * (4 + x[j] + x[k]) / modulus
            assert p.sums[j][k] == (4 + x[j] + x[k]) % modulus
            assert p.scores[j][k] == pytest.approx(math.cos(angle))
    answers = [any((a + b + d) % modulus == 0 for b in x for d in x) for a in x]
    assert p.answers == answers
    for layout, shares, limit in zip(
        p.layouts, shares_by_hand(x, modulus, c), (0.3, 0.5), strict=True
    ):
        assert layout.shares == pytest.approx(shares, abs=1e-9) and layout.threshold == limit
        assert layout.says == [share > limit for share in shares]
        assert layout.wrong == [i for i in range(n) if (shares[i] > limit) != answers[i]]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_curve_counts_what_the_heads_get_wrong(dtype):
    x, modulus = hardest_numbers(5, 17), 17
    p = match3_payload(x, modulus, dtype=dtype)
    for layout in p.layouts:
        counts = [len(run_head(layout.name, tuple(x), modulus, c, dtype)[2]) for c in p.sweep]
        assert layout.sweep == counts and counts[0] == 5 and counts[-1] == 0
    assert p.sweep[0] < p.layouts[0].enough / 30 and p.sweep[-1] > 5 * p.layouts[1].enough


@pytest.mark.parametrize("modulus", [2, 3, 5, 9, 17, 37, 97, 1601, 9999])
@pytest.mark.parametrize("n", [1, 2, 8, 12])
def test_enough_c_is_enough_and_hardly_more(n, modulus):
    c = enough_c(n, modulus)
    needed = max(sufficient_c(n, modulus), sufficient_c_and_tau(n, modulus)[0])
    assert needed <= c < 1.13 * needed
    for single in (False, True):
        p = match3_payload(hardest_numbers(n, modulus, single=single), modulus, c=c)
        assert [layout.wrong for layout in p.layouts] == [[], []]


@pytest.mark.parametrize("modulus", [2, 5, 8, 9, 15, 17, 100])
def test_hardest_numbers_are_near_misses(modulus):
    x = hardest_numbers(6, modulus)
    misses = [
        {min((a + b + d) % modulus, -(a + b + d) % modulus) for b in x[:-1] for d in x[:-1]}
        for a in x
    ]
    assert any(found == {1} for found in misses)
    if modulus % 3:
        assert match3_payload(x, modulus).answers == [False] * 6
    if modulus in (5, 17):
        one = match3_payload(hardest_numbers(6, modulus, single=True), modulus)
        assert one.fires == [(5, 5)]


def test_rounding_breaks_what_exact_arithmetic_has_right():
    x = hardest_numbers(8, 37)
    wrong = {
        dtype: [len(layout.wrong) for layout in match3_payload(x, 37, dtype=dtype).layouts]
        for dtype in ("float64", "float32", "bfloat16")
    }
    assert wrong == dict(float64=[0, 0], float32=[0, 0], bfloat16=[8, 8])
    said = match3_payload(x, 37, dtype="bfloat16").sentence
    assert "is enough in exact arithmetic: rounding to bfloat16 is to blame" in said


def test_sentences():
    yes = match3_payload(NUMBERS, 17).sentence
    assert yes.startswith(
        "Token 0 is 3: 2 pairs fire, as 3 + 5 + 9 = 17 is 0 modulo 17, so the answer is yes. "
        "The paper's layout says yes, right: share 0.667, above 0.3. The blank-token layout says "
        "yes, right: share 0.889, above 0.5. All 7 tokens are right in both; c = "
    )
    assert yes.endswith("is enough for every input in exact arithmetic.")
    no = match3_payload(hardest_numbers(8, 101), 101, c=1000).sentence
    assert "no pair makes the sum 0 modulo 101, so the answer is no." in no
    assert "says yes, wrong: share 0.902, above 0.3" in no
    assert "Wrong tokens: 8 of 8 with the paper's layout, 8 of 8 with the blank-token" in no
    assert "c = 1,000 is less than the 2,640 that is enough, so mistakes are possible." in no
    lucky = match3_payload([0, 0, 0], 5, c=1).sentence
    assert "9 pairs fire, as 0 + 0 + 0 = 0 is 0 modulo 5" in lucky
    assert lucky.endswith("but this input forgives it.")
    alone = match3_payload([6], 9)
    assert (
        "1 pair fires, as 6 + 6 + 6 = 18" in alone.sentence and "Both are right" in alone.sentence
    )
    between = match3_payload(NUMBERS, 17, c=sum(x.enough for x in alone_layouts(17)) / 2).sentence
    assert "is enough for the paper's layout only" in between


def alone_layouts(modulus):
    return match3_payload(NUMBERS, modulus).layouts


def test_every_wrong_answer_has_a_cross_and_a_word():
    widget = explore_match3(hardest_numbers(6, 37), 37, c=3)
    wrong = sum(len(layout.wrong) for layout in widget.seen.layouts)
    assert wrong == 12 and board(widget.seen, False).count(">✗<") == 12
    assert widget.table().count("✗ wrong") == 12


def test_pairs_that_fire_have_a_sign():
    p = match3_payload(NUMBERS, 10, token=4)
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", board(p, True))
    assert cells.count("✓") == len(p.fires) > 0
    assert cells == ["✓" if x == 0 else str(x) for row in p.sums for x in row]


@pytest.mark.parametrize("dark", [False, True])
def test_numbers_can_be_read_on_every_colour(dark):
    for n in range(-50, 51):
        back, ink = shade(n / 50, dark)
        lights = [_light([int(colour[m : m + 2], 16) for m in (1, 3, 5)]) for colour in (back, ink)]
        low, high = sorted(lights)
        assert (high + 0.05) / (low + 0.05) >= 4.5


@pytest.mark.parametrize("given", ["3, 1, 4", "3 1 4", " 3,1,4, ", [3, 1, 4], (3, 1, 4)])
def test_numbers_are_read(given):
    assert read_numbers(given, 5) == (3, 1, 4)


def test_c_in_three_digits():
    assert [compact_c(c) for c in (0.1, 0.999, 1, 99.95, 1e8)] == [
        *("0.100", "0.999", "1.00", "100.0", "100,000,000")
    ]


@pytest.mark.errors
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(numbers="3, x"), "numbers must be 1 to 12 whole numbers .* parted by .* got 'x'"),
        (dict(numbers="3, -1"), "numbers must be .* got '-1'"),
        (dict(numbers="3, ²"), "numbers must be .* got '²'"),
        (dict(numbers=""), "numbers must be .* got 0 of them"),
        (dict(numbers=range(13), modulus=20), "numbers must be .* got 13 of them"),
        (dict(numbers=[3, 17]), "numbers must be .* from 0 to M − 1 = 16; got 17"),
        (dict(numbers=[3, -1]), "numbers must be .* got -1"),
        (dict(numbers=[3, 1.5]), "numbers must be .* got float 1.5"),
        (dict(numbers=3), "numbers must be .* got int 3"),
        (dict(modulus=1), "modulus must be at least 2, else every sum is 0; got 1"),
        (dict(modulus=10_000), "modulus must be a whole number from 0 to 9999, .* got 10000"),
        (dict(modulus="17"), "modulus must be a whole number .* got str '17'"),
        (dict(token=8), "token must be a whole number from 0 to 7, one of the tokens; got 8"),
        (dict(c=0), r"c must be a number from 0.1 to 1e\+08; got 0"),
        (dict(c=math.nan), "c must be a number .* got nan"),
        (dict(dtype="float16"), "dtype must be one of 'float64', 'float32', 'bfloat16'; got"),
    ],
)
def test_errors_name_the_argument(change, message):
    with pytest.raises(ValueError, match=message):
        explore_match3(**change)


@pytest.mark.parametrize("n", [1, 8, 12])
def test_still_form(n):
    widget = explore_match3(hardest_numbers(n, 97), 97, token=n - 1)
    assert widget.still().startswith(b"\x89PNG") and widget.still() == widget.still()
    assert widget.sentence == widget.seen.sentence
    assert widget.table().count("<tr") == 2 + n + 2


def test_what_is_typed_wrong_is_said_and_the_last_good_state_stays():
    widget = explore_match3()
    widget.live()
    view, before = widget._view, widget.seen
    view.controls["numbers"].value = "3, 99"
    assert "got 99. The picture is the one before." in view.sentence.value
    assert widget.seen is before and "M − 1 = 16" in view.sentence.value
    view.controls["modulus"].value = 5
    assert "numbers must be" in view.sentence.value and widget.seen is before
    view.controls["numbers"].value = "3,1 4"
    assert widget.seen.numbers == [3, 1, 4] and view.controls["numbers"].value == "3, 1, 4"


def test_fewer_numbers_bring_the_token_along():
    widget = explore_match3(token=7)
    widget.live()
    widget._view.controls["numbers"].value = "3, 1"
    assert widget.choices["token"] == 1 == widget._view.controls["token"].value
    assert widget._view.controls["token"].max == 1


def test_the_view_follows_controls_and_clicks():
    widget = explore_match3()
    widget.live()
    view = widget._view
    view.controls["token"].value = 3
    assert view.sentence.value.startswith("<p") and "Token 3 is 1" in view.sentence.value
    view.picture.clicked = "token:5"
    assert view.controls["token"].value == 5 and view.table.value == widget.table()
    view.controls["token"].value = 0
    view.picture.clicked = "token:5"
    assert widget.choices["token"] == 5 and view.picture.clicked == ""
    view.picture.clicked = "c:0"
    assert widget.choices["c"] == widget.seen.sweep[0]
    assert view.controls["c"].value == pytest.approx(widget.seen.sweep[0])
    assert "factor c = 0.891" in view.controls["c"].description
    light = view.picture.value
    view.sentence.dark = True
    assert view.picture.value != light


def test_the_buttons():
    widget = explore_match3(c=1)
    widget.live()
    buttons = widget._view.box.children[2].children[0].children
    random, near, one, enough = buttons
    enough.click()
    assert widget.choices["c"] == enough_c(8, 17)
    near.click()
    assert widget.choices["numbers"] == "6, 6, 6, 6, 6, 6, 6, 6"
    one.click()
    assert widget.choices["numbers"] == "6, 6, 6, 6, 6, 6, 6, 14" and len(widget.seen.fires) == 1
    random.click()
    first = widget.choices["numbers"]
    random.click()
    assert widget.choices["numbers"] != first and len(widget.seen.numbers) == 8
