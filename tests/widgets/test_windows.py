"""Mirrors simplex_lib/widgets/windows*.py: numbers against loops, words, bad input, still form."""

from types import SimpleNamespace

import numpy as np
import pytest

from simplex_lib.attention import RollingCache, costs
from simplex_lib.widgets.windows import explore_windows
from simplex_lib.widgets.windows_counts import windows_payload
from simplex_lib.widgets.windows_maps import (
    kept_map,
    pair_map,
    seen_map,
    ticks,
    tile_frames,
    tile_maps,
    window_frame,
)

# sizes differ; a window of 1, one beyond s, s = 1, a length that no tile divides
CASES = [(24, 8, 4, 13), (7, 3, 5, 6), (10, 1, 4, 0), (5, 9, 2, 3), (1, 1, 1, 0), (11, 48, 48, 10)]


def visible(i, w):
    """One query's keys, by the interval i - w < j <= i."""
    return [j for j in range(i + 1) if i - w < j]


@pytest.mark.parametrize(("s", "w1", "w2", "query"), CASES)
def test_what_a_query_sees_and_what_all_see(s, w1, w2, query):
    p = windows_payload(s, w1, w2, query)
    assert list(p.first) == visible(query, w1) and list(p.second) == visible(query, w2)
    map_ = pair_map(p)
    for j in range(s):
        for k in range(s):
            seen = j in visible(query, w1) and k in visible(query, w2)
            if max(j, k) > query:
                assert np.isnan(map_[j, k])
            else:
                assert map_[j, k] == seen
    both = seen_map(p)
    for n, w in enumerate((w1, w2)):
        assert [j for j in range(s) if both[n, j] == n + 1] == visible(query, w)
        assert np.isnan(both[n, query + 1 :]).all()
    one, everyone, *_ = p.counts
    assert one[1:] == (
        len(visible(query, w1)) * len(visible(query, w2)),
        (query + 1) ** 2,
        query + 1,
    )
    pairs = [len(visible(i, w1)) * len(visible(i, w2)) for i in range(s)]
    assert everyone[1:] == (
        sum(pairs),
        sum((i + 1) ** 2 for i in range(s)),
        sum(i + 1 for i in range(s)),
    )


def test_counts_by_hand():
    p = windows_payload(10, 4, 3, 5, head_dim=8)
    formula, exact, caches, logits = p.counts[2:]
    assert formula[1:] == (6 * 10 * 4 * 3, 6 * 10**3, 2 * 10 * 10)
    pairs = [min(i + 1, 4) * min(i + 1, 3) for i in range(10)]
    assert exact[1:] == (6 * sum(pairs), 6 * 385, 4 * 55)
    # keys and values of 8 numbers, 2 bytes each
    assert caches[1:] == ((4 + 3) * 2 * 8 * 2, 2 * 10 * 2 * 8 * 2, 10 * 2 * 8 * 2)
    assert logits[1:] == (10 * 4 * 3 * 4, 10**3 * 4, 10**2 * 4)
    assert p.break_even[0] == 36


@pytest.mark.parametrize(("s", "w1", "w2", "query"), CASES)
@pytest.mark.parametrize("tiling", ["sequence", "heads"])
@pytest.mark.parametrize(("tile", "kv_block"), [(4, 4), (3, 5), (1, 1), (16, 2)])
def test_tile_maps_hold_what_the_cost_functions_count(s, w1, w2, query, tiling, tile, kv_block):
    p = windows_payload(s, w1, w2, query, tiling=tiling, tile=tile, kv_block=kv_block)
    first, second = (~np.isnan(map_) for map_ in tile_maps(p))
    computed = int((first.sum(1) * second.sum(1)).sum())
    assert computed == costs.tiled_pairs(s, w1, w2, tiling=tiling, tile=tile, kv_block=kv_block)
    useful = [(map_ == 1).sum(1) for map_ in tile_maps(p)]
    assert int((useful[0] * useful[1]).sum()) == costs.visible_pairs(s, w1, w2)
    assert p.useful[tiling] == costs.visible_pairs(s, w1, w2) / computed
    for frame, map_ in zip(tile_frames(p), (first, second), strict=True):
        rows = map_[int(frame.top + 0.5) : int(frame.bottom + 0.5)]
        assert rows[:, int(frame.left + 0.5) : int(frame.right + 0.5)].all()
        assert rows.sum() == (frame.right - frame.left) * len(rows)


@pytest.mark.parametrize(("query", "w"), [(0, 3), (2, 3), (3, 3), (7, 3), (9, 1), (5, 9)])
def test_slots_hold_what_a_rolling_cache_holds(query, w):
    import torch

    empty = torch.full((1, 1, w, 1), -1.0)
    cache = RollingCache(empty.clone(), empty.clone())
    for position in range(query + 1):
        x = torch.full((1, 1, 1, 1), float(position))
        cache.write(x, x)
    held = [None if n < 0 else int(n) for n in cache.k.flatten().tolist()]
    p = windows_payload(10, w, 2, query)
    assert p.slots[0] == held
    assert sorted(n for n in held if n is not None) == visible(query, w)
    assert [int(n) for n in kept_map(p)[0, :w]] == [int(n is not None) for n in held]


def test_the_start_cuts_the_window_but_not_its_frame():
    p = windows_payload(24, 8, 4, 2)
    frame = window_frame(p)
    assert (frame.top, frame.left, frame.bottom, frame.right) == (-5.5, -1.5, 2.5, 2.5)
    assert (
        "3 first keys (0 to 2)" in p.sentence and "(the start cuts w1 = 8 and w2 = 4)" in p.sentence
    )
    assert "cuts" not in windows_payload().sentence


def test_sentences():
    assert windows_payload().sentence == (
        "Query 13 sees 8 first keys (6 to 13) and 4 second keys (10 to 13): 8 × 4 = 32 pairs. "
        "Without windows it would see 14 × 14 = 196. All queries: 6 s w1 w2 = 4,608 FLOPs against "
        "2 s² = 1,152 of dot-product attention, 4 times as many; both are equal at s = 96. "
        "Of what tiles over 4 neighbouring queries compute, 39.6% is useful."
    )
    equal = windows_payload(36, 4, 3, 20, tiling="heads").sentence
    assert "just as many as dot-product attention" in equal and "tiles over query heads" in equal
    alone = windows_payload(1, 1, 1, 0, tile=1).sentence
    assert "1 first key (0) and 1 second key (0): 1 × 1 = 1 pair." in alone
    assert "tiles over one query" in alone


def test_the_papers_windows_in_the_table():
    p = windows_payload()
    assert p.paper_break_even == (49_152, 48_894)
    assert f"{1 - p.paper_useful['sequence']:.2%}" == "73.04%"  # published: 73.20%
    assert f"{1 - p.paper_useful['heads']:.2%}" == "0.75%"  # published: 1.35%


@pytest.mark.errors
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(seq_len=49), "seq_len must be a whole number from 1 to 48; got 49"),
        (dict(seq_len=12.5), "seq_len must be a whole number from 1 to 48; got float 12.5"),
        (dict(w1=0), "w1 must be a whole number from 1 to 48; got 0"),
        (dict(w2=None), "w2 must be a whole number from 1 to 48; got None"),
        (dict(w2=True), "w2 must be a whole number from 1 to 48; got True"),
        (dict(query=24), "query must be a whole number from 0 to 23, one of the positions; got 24"),
        (dict(tiling="rows"), "tiling must be one of 'sequence', 'heads'; got 'rows'"),
        (dict(tile=0), "tile must be a whole number from 1 to 16; got 0"),
        (dict(kv_block=17), "kv_block must be a whole number from 1 to 16; got 17"),
        (dict(head_dim="8"), "head_dim must be a whole number from 1 to 4,096; got str '8'"),
    ],
)
def test_errors_name_the_argument(change, message):
    with pytest.raises(ValueError, match=message):
        explore_windows(**change)


def test_a_refused_change_changes_nothing():
    widget = explore_windows()
    before = dict(widget.choices), widget.seen
    with pytest.raises(ValueError, match="query must be"):
        widget.change(seq_len=5, query=9)
    assert (widget.choices, widget.seen) == before


def test_a_shorter_sequence_takes_the_query_along():
    widget = explore_windows(query=20)
    widget.change(seq_len=9)
    assert widget.choices["query"] == 8
    widget.change(seq_len=30)
    assert widget.choices["query"] == 8


@pytest.mark.parametrize(("s", "w1", "w2", "query"), CASES)
def test_still_form(s, w1, w2, query):
    widget = explore_windows(s, w1, w2, query, tiling="heads")
    assert widget.still().startswith(b"\x89PNG") and widget.sentence == widget.seen.sentence
    assert widget.table().count("<tr") == 1 + 6 + 1 + 4
    assert explore_windows().still() == explore_windows().still()


def test_the_view_follows_controls_clicks_and_theme():
    widget = explore_windows()
    widget.live()
    view = widget._view
    view.controls["w1"].value = 5
    assert widget.seen.w1 == 5 and "5 first keys" in view.sentence.value
    assert view.table.value == widget.table()
    assert not any(x != x for row in view.picture.data[0].z for x in row if x is not None)
    tiles = view.picture.data[3]
    tiles._click_callbacks[0](tiles, SimpleNamespace(ys=[17], xs=[3]), None)
    assert widget.choices["query"] == 17 == view.controls["query"].value
    tiles._click_callbacks[0](tiles, SimpleNamespace(ys=[26], xs=[3]), None)  # padding
    assert widget.choices["query"] == 17
    view.controls["seq_len"].value = 10
    assert widget.choices["query"] == 9 == view.controls["query"].max
    view.controls["tiling"].value = "heads"
    assert view.controls["tile"].disabled and "query heads" in view.sentence.value
    light = view.picture.data[3].colorscale
    view.sentence.dark = True
    assert view.picture.data[3].colorscale != light


def test_ticks_are_few():
    for n in range(1, 49):
        assert len(ticks(n)) <= 9 and ticks(n)[0] == 0 and ticks(n)[-1] < n
