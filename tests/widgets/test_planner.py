"""Mirrors simplex_lib/widgets/planner*.py: costs against loops, curves, words, still form."""

import math
from types import SimpleNamespace

import pytest

from simplex_lib.widgets.planner import plan_windows
from simplex_lib.widgets.planner_costs import (
    allowed_region,
    budgets,
    choices,
    data_size,
    plan_payload,
    same_product,
    same_sum,
    share_name,
    short,
    table1,
)

BUDGETS = [(49_152, 1.0, 2**-6), (1024, 4.0, 0.5), (256, 8.0, 2.0), (8192, 0.25, 2**-4)]


@pytest.mark.parametrize(("s", "budget", "cache"), BUDGETS)
def test_what_fits_equals_both_budgets_by_hand(s, budget, cache):
    for w1 in (1, 16, 300, 512, 16_384):
        for w2 in (1, 32, 256, 4096):
            p = plan_payload(s, budget, cache, w1, w2)
            flops = 6 * s * w1 * w2 <= budget * 2 * s * s
            held = (min(w1, s) + min(w2, s)) / s <= cache
            assert p.chosen.fits == (flops and held and max(w1, w2) <= s)
            assert p.chosen.fits == (w1 <= p.widest(w2)) == ("they fit" in p.sentence)
            assert p.chosen.share == pytest.approx(3 * w1 * w2 / s)


@pytest.mark.parametrize(("s", "budget", "cache"), BUDGETS)
@pytest.mark.parametrize("w2", [1, 7, 64, 4096])
def test_the_widest_window_fits_and_the_next_one_does_not(s, budget, cache, w2):
    widest = plan_payload(s, budget, cache).widest(w2)
    if 0 < widest <= 16_384:
        assert plan_payload(s, budget, cache, widest, w2).chosen.fits
    if widest < 16_384:
        assert not plan_payload(s, budget, cache, widest + 1, w2).chosen.fits


def test_the_papers_windows_at_their_length():
    p = plan_payload()
    assert p.break_even == (49_152, 48_894) and p.chosen.share == 1 and p.chosen.fits
    assert p.chosen.latency_ms == 55.1
    assert p.chosen.cache == (512 + 32) * 2 * 128 * 2 and p.dot_cache == 49_152 * 2 * 128 * 2
    assert p.exact[0] < p.chosen.flops and p.exact[1] == 2 * 49_152 * 49_153
    assert [(x.w1, x.w2, x.latency_ms) for x in p.paper] == table1() and len(p.paper) == 7
    assert [x.fits for x in p.paper] == [False, False, True, True, True, False, True]


@pytest.mark.parametrize(("s", "budget", "cache"), BUDGETS)
def test_the_region_holds_the_dots_that_fit(s, budget, cache):
    p = plan_payload(s, budget, cache)
    region = allowed_region(p, 0.7, 2e4, 5e3)
    upper = region[1:-1]
    assert [w1 for w1, _ in upper] == sorted(w1 for w1, _ in upper)
    for w1, w2 in upper:
        assert w1 * w2 <= p.most_pairs * (1 + 1e-9) and w1 + w2 <= p.most_keys * (1 + 1e-9)
        assert max(w1, w2) <= s
    for w1 in choices(2**14):
        for w2 in choices(2**12):
            if w1 <= p.widest(w2):
                right = min(x for x in upper if x[0] >= w1 * (1 - 1e-9))
                left = max(x for x in upper if x[0] <= w1)
                assert w2 <= max(left[1], right[1]) * (1 + 1e-9)


def test_no_window_fits_a_tiny_budget():
    p = plan_payload(256, 2**-6, 2**-9)
    assert allowed_region(p, 0.7, 2e4, 5e3) == [] and p.widest(1) == 0
    assert "With w2 = 32, no w1 fits." in p.sentence
    assert same_sum(p.most_keys, 0.7, 2e4) == []


def test_curves():
    for w1, w2 in same_product(16_384, 0.7, 2e4):
        assert w1 * w2 == pytest.approx(16_384)
    sums = same_sum(768, 0.7, 2e4)
    assert all(w1 + w2 == pytest.approx(768) and w2 > 0 for w1, w2 in sums)
    assert min(w2 for _, w2 in sums) == pytest.approx(0.7)


def test_sentences():
    assert plan_payload().sentence == (
        "At s = 49,152, windows of 512 × 32 take as many FLOPs as dot-product attention and 1.11% "
        "of its cache (272 KiB): they fit both budgets. With w2 = 32, w1 may be up to 512. Beyond "
        "s = 49,152 such windows take fewer FLOPs."
    )
    wide = plan_payload(256, w1=1024, w2=32).sentence
    assert "384 times the FLOPs of dot-product attention" in wide
    assert "(wider than s, too many FLOPs, too much cache)" in wide
    assert "4.69% of the FLOPs of" in plan_payload(2**20).sentence


def test_short_names():
    assert [short(n) for n in (1, 512, 1024, 49_152, 50_000)] == ["1", "512", "1k", "48k", "48.8k"]
    assert short(2**20) == "1M"
    assert [share_name(x) for x in (1 / 64, 0.3, 0.5, 1, 2.0)] == ["1/64", "0.3", "1/2", "1", "2"]
    assert budgets(2**-2, 2) == [0.25, 0.5, 1, 2]
    assert [data_size(n) for n in (512, 278_528, 25_165_824, 16_896)] == [
        *("512 B", "272 KiB", "24 MiB", "16.5 KiB")
    ]


@pytest.mark.errors
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(seq_len=255), "seq_len must be a whole number from 256 to 1,048,576; got 255"),
        (dict(seq_len=4096.0), "seq_len must be a whole number .* got float 4096.0"),
        (dict(budget=0), "budget must be a number from 0.015625 to 8; got 0"),
        (dict(budget=math.nan), "budget must be a number .* got nan"),
        (dict(cache=3), "cache must be a number from 0.00195312 to 2; got 3"),
        (dict(w1=0), "w1 must be a whole number from 1 to 16,384; got 0"),
        (dict(w2=5000), "w2 must be a whole number from 1 to 4,096; got 5,000"),
        (dict(head_dim=None), "head_dim must be a whole number from 1 to 4,096; got None"),
    ],
)
def test_errors_name_the_argument(change, message):
    with pytest.raises(ValueError, match=message):
        plan_windows(**change)


def test_a_refused_change_changes_nothing():
    widget = plan_windows()
    before = dict(widget.choices), widget.seen
    with pytest.raises(ValueError, match="w1 must be"):
        widget.change(w1=0)
    assert (widget.choices, widget.seen) == before


@pytest.mark.parametrize("change", [dict(), dict(seq_len=256, budget=2**-6, cache=2**-9)])
def test_still_form(change):
    widget = plan_windows(**change)
    assert widget.still().startswith(b"\x89PNG") and widget.still() == widget.still()
    assert widget.sentence == widget.seen.sentence
    assert widget.table().count("<tr") == 1 + 3 + 1 + 7


def test_the_view_follows_controls_clicks_code_and_theme():
    widget = plan_windows()
    widget.live()
    view = widget._view
    view.controls["w2"].value = 64
    assert widget.seen.chosen.w2 == 64 and "512 × 64" in view.sentence.value
    assert "they do not fit (too many FLOPs)" in view.sentence.value
    dots, paper = view.picture.data[4:6]
    fits = [symbol == "circle" for symbol in dots.marker.symbol]
    assert fits == [x <= widget.seen.widest(y) for x, y in zip(dots.x, dots.y, strict=True)]
    n = list(zip(dots.x, dots.y, strict=True)).index((2048, 8))
    dots._click_callbacks[0](dots, SimpleNamespace(point_inds=[n]), None)
    assert (widget.choices["w1"], widget.choices["w2"]) == (2048, 8)
    paper._click_callbacks[0](paper, SimpleNamespace(point_inds=[6]), None)
    assert (widget.choices["w1"], widget.choices["w2"]) == (256, 32)
    assert view.controls["w1"].value == 256 and "sx-on" in view.table.value
    light = dots.marker.color
    view.sentence.dark = True
    assert dots.marker.color != light


def test_code_may_choose_between_the_stops():
    widget = plan_windows(seq_len=5000)
    widget.live()
    widget.change(w1=500, seq_len=50_000, budget=0.3)
    assert (widget.choices["w1"], widget.choices["seq_len"]) == (500, 50_000)
    controls = widget._view.controls
    assert (controls["w1"].value, controls["seq_len"].value) == (500, 50_000)
    assert controls["budget"].label == "0.3" and controls["seq_len"].label == "48.8k"
    controls["w1"].value = 512
    assert widget.choices["w1"] == 512 and widget.choices["seq_len"] == 50_000
