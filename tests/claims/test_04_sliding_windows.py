"""The claims of claims/04_sliding_windows.toml, counted wherever something can be counted."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from simplex_lib.attention import (
    PairCache,
    costs,
    pair_window,
    trilinear_attention,
    trilinear_attention_windowed,
    trilinear_decode,
)
from simplex_lib.checks.ch02_memory import MemoryMeter
from simplex_lib.data import load

S, SHORT, LONG, BLOCK = 8192, 32, 512, 128  # the published count of waste


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def pairs_seen(s, w1, w2):
    """Pairs in view of each query, by adding up query after query."""
    i = np.arange(1, s + 1)
    return np.minimum(i, w1) * np.minimum(i, w2)


def union(start, end, w):
    """How many keys the queries from start to end - 1 see together."""
    seen = np.zeros(end, dtype=bool)
    for i in range(start, end):
        seen[max(0, i - w + 1) : i + 1] = True
    return int(seen.sum())


def share_of_tiles(rows):
    """Visible pairs over computed ones, with tiles of that many neighbouring queries."""
    computed = 0
    for start in range(0, S, rows):
        blocks = math.ceil(union(start, start + rows, LONG) / BLOCK)
        computed += rows * union(start, start + rows, SHORT) * blocks * BLOCK
    return pairs_seen(S, SHORT, LONG).sum() / computed


def published_count(s):
    return (
        SHORT**2 * SHORT / 4 + (LONG - SHORT) * SHORT * LONG / 2 + (s - SHORT - LONG) * SHORT * LONG
    )


@pytest.mark.claim("fs-window-cost")
def test_work_is_linear_in_the_length_and_no_square_of_it_is_held():
    flops = {}
    for s in (128, 256, 512):
        x = torch.randn(5, 1, 1, s, 4)
        with MemoryMeter() as memory, FlopCounterMode(display=False) as counter:
            trilinear_attention_windowed(*x, w1=8, w2=4, block_size=16)
        flops[s] = counter.get_total_flops()
        assert memory.largest_numbers < s * s
    assert flops[512] == 2 * flops[256] == 4 * flops[128]


class Counted:
    """A number that counts what is done with it."""

    done = 0

    def __init__(self, value):
        self.value = value

    def __mul__(self, other):
        Counted.done += 1
        return Counted(self.value * other.value)

    def __add__(self, other):
        Counted.done += 1
        return Counted(self.value + other.value)


@pytest.mark.claim("fs-six-flops")
def test_operations_of_the_plain_loops_one_by_one():
    s, w1, w2, d = 10, 4, 3, 2
    x = draw(5, 1, 1, s, d)
    expected = trilinear_attention(*x, w1=w1, w2=w2)[0, 0]
    q, k1, k2, v1, v2 = ([[Counted(n) for n in row] for row in t[0, 0].tolist()] for t in x)
    Counted.done = 0
    for i in range(s):
        window = list(
            itertools.product(range(max(0, i - w1 + 1), i + 1), range(max(0, i - w2 + 1), i + 1))
        )
        logits = {}
        for j, k in window:
            score = Counted(0.0)
            for c in range(d):
                score = score + q[i][c] * k1[j][c] * k2[k][c]
            logits[j, k] = score.value / math.sqrt(d)
        total = sum(math.exp(a) for a in logits.values())
        out = [Counted(0.0)] * d
        for j, k in window:
            share = Counted(math.exp(logits[j, k]) / total)
            out = [out[c] + share * (v1[j][c] * v2[k][c]) for c in range(d)]
        torch.testing.assert_close(
            torch.tensor([n.value for n in out], dtype=torch.float64), expected[i]
        )
    assert Counted.done == 6 * d * pairs_seen(s, w1, w2).sum()
    assert Counted.done < costs.trilinear_flops(s, w1, w2) * d


@pytest.mark.claim("fs-six-flops")
def test_with_the_shared_product_four_operations_a_pair_are_left():
    s, w1, w2, d = 32, 8, 4, 64
    with FlopCounterMode(display=False) as counter:
        trilinear_attention_windowed(*torch.randn(5, 1, 1, s, d), w1=w1, w2=w2, block_size=8)
    on_pairs = 4 * s * w1 * w2 * d  # full windows are computed
    assert on_pairs <= counter.get_total_flops() <= on_pairs + 4 * s * w2 * d
    assert costs.exact_trilinear_flops(s, w1, w2, products=2) == 4 * pairs_seen(s, w1, w2).sum()


@pytest.mark.claim("fs-48k")
def test_the_break_even_length():
    n = 48 * 1024
    assert 2 * n**2 == costs.dot_product_flops(n) == costs.trilinear_flops(n, 512, 32)
    assert 6 * n * 512 * 32 == 2 * n**2 and costs.break_even_length(512, 32) == n
    pairs = 6 * pairs_seen(n, 512, 32).cumsum()  # of all lengths at once
    keys = 4 * np.arange(1, n + 1).cumsum()
    first = int(np.argmax(pairs <= keys)) + 1
    assert first == costs.exact_break_even_length(512, 32) == 48_894
    assert (pairs[first - 1 :] <= keys[first - 1 :]).all()


@pytest.mark.claim("fs-table1-product")
def test_latency_follows_the_product_of_the_windows():
    rows = load("table1")["rows"]
    rate = {}
    for row in rows:
        thousands = row["w1"] * row["w2"] / 1024
        assert row["label"] == f"{thousands:.0f}k"
        rate[row["w1"], row["w2"]] = row["latency_ms"] / thousands
    assert len(rate) == len(rows) == 7
    assert (round(min(rate.values()), 2), round(max(rate.values()), 2)) == (3.25, 3.7)
    same = {shape: ms for shape, ms in rate.items() if shape[0] * shape[1] == 16 * 1024}
    assert same[128, 128] == max(same.values())
    assert max(same.values()) / min(same.values()) == pytest.approx(1.07, abs=0.005)


@pytest.mark.claim("fs-new-pairs")
@pytest.mark.parametrize(("w1", "w2"), [(1, 1), (7, 3), (12, 5)])
def test_pairs_of_a_query_and_those_that_are_new(w1, w2):
    seen = pair_window(30, w1, w2)
    assert int(seen[29].sum()) == w1 * w2
    assert int((seen[29] & ~seen[28]).sum()) == w1 + w2 - 1


@pytest.mark.claim("fs-few-shared")
def test_pairs_that_two_queries_share():
    seen = pair_window(40, 12, 5)
    for apart in range(6):
        shared = int((seen[39] & seen[39 - apart]).sum())
        assert shared == (12 - apart) * (5 - apart)
    i = 1000
    window = [
        (set(range(i - 511 + at, i + 1 + at)), set(range(i - 31 + at, i + 1 + at)))
        for at in (0, 1, 32)
    ]
    here, next_one, far = window
    shared = [len(here[0] & other[0]) * len(here[1] & other[1]) for other in (next_one, far)]
    assert shared[0] / (512 * 32) == pytest.approx(0.967, abs=5e-4)
    assert shared[1] == 0
    together = union(i, i + 64, 512) * union(i, i + 64, 32)
    assert 512 * 32 / together < 1 / 3


def without_a_mask(q, k1, k2, v1, v2):
    """Rows of q, each over all pairs of the given keys, nothing hidden."""
    logits = torch.einsum("rd,jd,kd->rjk", q, k1, k2) / math.sqrt(q.shape[-1])
    probs = logits.flatten(1).softmax(-1).view_as(logits)
    return torch.einsum("rjk,jd,kd->rd", probs, v1, v2)


@pytest.mark.claim("fs-head-tiles")
def test_a_tile_of_heads_needs_no_mask_and_a_tile_of_neighbours_does():
    h, s, w1, w2, i = 8, 40, 12, 5, 30
    q, keys = draw(1, h, s, 4), draw(4, 1, 1, s, 4)
    k1, k2, v1, v2 = keys[:, 0, 0]
    expected = trilinear_attention(q, *keys, w1=w1, w2=w2)[0]
    first, second = (slice(i - w + 1, i + 1) for w in (w1, w2))
    heads = without_a_mask(q[0, :, i], k1[first], k2[second], v1[first], v2[second])
    torch.testing.assert_close(heads, expected[:, i])
    first, second = (slice(i - w + 1, i + h) for w in (w1, w2))  # of h neighbours together
    rows = without_a_mask(q[0, 0, i : i + h], k1[first], k2[second], v1[first], v2[second])
    assert ((rows - expected[0, i : i + h]).abs().amax(-1) > 1e-3).all()
    computed = costs.tiled_pairs(64, 16, 4, tiling="heads", kv_block=16)
    left_over = sum(min(i + 1, 4) * (16 - min(i + 1, 16)) for i in range(64))
    assert computed == pairs_seen(64, 16, 4).sum() + left_over


@pytest.mark.claim("fs-listing-tiles")
def test_useful_share_of_the_loops_of_listing_1():
    # 64 positions a tile, single first keys, second keys in blocks of 32, as its loops run
    computed = 0
    for start in range(0, S, 64):
        end = min(S, start + 64)
        first = range(max(0, start - 512), end)
        second = range(max(0, start - 32), end, 32)
        computed += 64 * len(first) * len(second) * 32
    assert pairs_seen(S, 512, 32).sum() / computed == pytest.approx(0.30, abs=0.005)


@pytest.mark.claim("waste-sequence")
@pytest.mark.parametrize(
    ("rows", "published", "exact"), [(64, 0.7320, 0.7304), (128, 0.8399, 0.8389)]
)
def test_waste_of_tiles_of_neighbours(rows, published, exact):
    share = share_of_tiles(rows)
    assert 1 - share == pytest.approx(exact, abs=5e-5)
    assert costs.useful_share(S, SHORT, LONG, tiling="sequence", tile=rows) == share
    as_published = share * published_count(S) / pairs_seen(S, SHORT, LONG).sum()
    assert 1 - as_published == pytest.approx(published, abs=5e-5)


@pytest.mark.claim("waste-heads")
def test_waste_of_tiles_of_heads():
    share = share_of_tiles(1)
    assert 1 - share == pytest.approx(0.0075, abs=5e-5)
    assert share == costs.useful_share(S, SHORT, LONG, tiling="heads")
    as_published = share * published_count(S) / pairs_seen(S, SHORT, LONG).sum()
    assert 1 - as_published == pytest.approx(0.0135, abs=5e-5)
    later = pairs_seen(S, SHORT, LONG)[LONG:]
    assert (later % (SHORT * BLOCK) == 0).all()  # whole blocks from there on


@pytest.mark.claim("waste-count")
@pytest.mark.parametrize(("s", "ratio"), [(1024, 0.938), (8192, 0.994), (16384, 0.997)])
def test_the_published_count_of_useful_pairs_is_too_small(s, ratio):
    pairs = pairs_seen(s, SHORT, LONG)
    assert published_count(s) / pairs.sum() == pytest.approx(ratio, abs=5e-4)
    assert costs.published_pairs(s, SHORT, LONG) == published_count(s)
    assert pairs[:SHORT].sum() / SHORT**3 == pytest.approx(1 / 3, abs=0.02)
    counted = SHORT + (LONG - SHORT) + (s - SHORT - LONG)
    assert s - counted == SHORT


@pytest.mark.claim("window-off-by-one")
def test_a_closed_interval_has_one_key_more():
    i, w1, w2 = 50, 7, 3
    closed = [range(max(0, i - w), i + 1) for w in (w1, w2)]
    seen = int(pair_window(51, w1, w2)[i].sum())
    assert len(closed[0]) * len(closed[1]) == (w1 + 1) * (w2 + 1) > seen == w1 * w2


@pytest.mark.claim("window-cache")
def test_two_rolling_caches_hold_the_windows_and_suffice():
    s, w1, w2 = 23, 6, 3
    x = draw(5, 1, 2, s, 4)
    cache = PairCache.empty(b=1, g=2, d=4, w1=w1, w2=w2, dtype=torch.float64)
    steps = []
    for i in range(s):
        steps.append(trilinear_decode(cache, *x[:, :, :, i : i + 1]))
        held = [part.latest[0].shape[2] for part in (cache.first, cache.second)]
        assert held == [min(i + 1, w1), min(i + 1, w2)]
    torch.testing.assert_close(torch.cat(steps, 2), trilinear_attention(*x, w1=w1, w2=w2))
    cache = PairCache.empty(b=1, g=1, d=8, w1=512, w2=32)
    windows = sum(t.numel() for part in (cache.first, cache.second) for t in (part.k, part.v))
    plain = torch.empty(2, 49_152, 8, device="meta").numel()  # keys and values
    assert round(plain / windows) == 90
