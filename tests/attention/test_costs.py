"""Mirrors simplex_lib/attention/costs.py."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from simplex_lib.attention import costs, key_window, pair_window, trilinear_attention_windowed
from simplex_lib.attention.decoding import PairCache

WINDOW = st.none() | st.integers(1, 40)


@given(s=st.integers(1, 30), w1=WINDOW, w2=WINDOW)
@settings(deadline=None, max_examples=60)
def test_visible_pairs_and_keys_are_those_of_the_masks(s, w1, w2):
    assert costs.visible_pairs(s, w1, w2) == pair_window(s, w1, w2).sum()
    assert costs.visible_keys(s, w1) == key_window(s, w1).sum()


def test_the_formulas_of_the_paper():
    assert costs.trilinear_flops(1000, 512, 32) == 6 * 1000 * 512 * 32
    assert costs.dot_product_flops(1000) == 2 * 1000**2
    assert costs.break_even_length(512, 32) == 49_152
    s = costs.break_even_length(512, 32)
    assert costs.trilinear_flops(s, 512, 32) == costs.dot_product_flops(s)


def test_exact_counts_come_near_the_formulas_where_s_is_long():
    exact, paper = costs.exact_trilinear_flops(10**6, 512, 32), 6 * 10**6 * 512 * 32
    assert 0.999 < exact / paper < 1
    assert costs.exact_dot_product_flops(1000) == 2 * 1000 * 1001
    assert costs.exact_trilinear_flops(9, 3, 2, products=2) * 3 == 2 * costs.exact_trilinear_flops(
        9, 3, 2
    )


@pytest.mark.parametrize(("s", "flops"), [(8192, 34.09e12), (16384, 69.27e12)])
def test_work_of_the_public_benchmark(s, flops):
    # batch 4, 128 heads, head_dim 128, windows (32, 512), products on the matrix unit only
    work = 4 * 128 * 128 * costs.exact_trilinear_flops(s, 32, 512, products=2)
    assert work == pytest.approx(flops, rel=2e-4)


@given(w1=st.integers(1, 12), w2=st.integers(1, 12))
@settings(deadline=None, max_examples=40)
def test_the_exact_break_even_length_is_the_first(w1, w2):
    exact = costs.exact_break_even_length(w1, w2)
    cheaper = [
        costs.exact_trilinear_flops(s, w1, w2) <= costs.exact_dot_product_flops(s)
        for s in range(1, costs.break_even_length(w1, w2) + 1)
    ]
    assert cheaper.index(True) + 1 == exact
    assert all(cheaper[exact - 1 :])


def test_matrix_products_of_the_windowed_attention_are_those_counted():
    # full windows are computed, and the two small products of q and v are not on the pairs
    s, w1, w2, d = 32, 8, 4, 16
    x = torch.randn(5, 1, 1, s, d)
    with FlopCounterMode(display=False) as counter:
        trilinear_attention_windowed(*x, w1=w1, w2=w2, block_size=8)
    on_pairs = 4 * s * w1 * w2 * d
    assert on_pairs <= counter.get_total_flops() <= on_pairs + 4 * s * w2 * d


@pytest.mark.parametrize(("sequence_tile", "sequence_waste"), [(64, 0.7320), (128, 0.8399)])
def test_the_published_waste_comes_out_with_the_published_count(sequence_tile, sequence_waste):
    sizes = dict(s=8192, w1=32, w2=512, tile=sequence_tile, kv_block=128, count="published")
    assert 1 - costs.useful_share(**sizes, tiling="sequence") == pytest.approx(
        sequence_waste, abs=5e-5
    )
    assert 1 - costs.useful_share(**sizes, tiling="heads") == pytest.approx(0.0135, abs=5e-5)


@pytest.mark.parametrize(("tile", "waste"), [(64, 0.7304), (128, 0.8389)])
def test_the_exact_count_finds_a_little_less_waste(tile, waste):
    sizes = dict(s=8192, w1=32, w2=512, tile=tile, kv_block=128)
    assert 1 - costs.useful_share(**sizes, tiling="sequence") == pytest.approx(waste, abs=5e-5)
    assert 1 - costs.useful_share(**sizes, tiling="heads") < 0.0135


@given(
    s=st.integers(1, 40),
    w1=st.integers(1, 20),
    w2=st.integers(1, 20),
    tile=st.integers(1, 9),
    kv_block=st.integers(1, 9),
)
@settings(deadline=None, max_examples=60)
def test_tiles_are_those_of_a_mask_cut_into_blocks(s, w1, w2, tile, kv_block):
    short, long = sorted((w1, w2))
    mask, computed = pair_window(s, short, long), 0
    for start in range(0, s, tile):
        rows = mask[start : start + tile].any(0)  # what the rows see together
        singles, blocked = rows.any(1).sum().item(), rows.any(0).sum().item()
        computed += tile * singles * -(-blocked // kv_block) * kv_block
    tiles = dict(tile=tile, kv_block=kv_block)
    assert costs.tiled_pairs(s, w1, w2, tiling="sequence", **tiles) == computed
    for tiling in ("sequence", "heads"):
        assert 0 < costs.useful_share(s, w1, w2, tiling=tiling, **tiles) <= 1
    one = costs.tiled_pairs(s, w1, w2, tiling="sequence", tile=1, kv_block=kv_block)
    assert costs.tiled_pairs(s, w1, w2, tiling="heads", **tiles) == one


def test_bytes_are_those_of_tensors():
    b, h, g, s, d, dv = 2, 4, 2, 8, 6, 3
    q, k, v, out = (torch.zeros(b, n, s, m) for n, m in ((h, d), (g, d), (g, dv), (h, dv)))
    sizes = dict(b=b, h=h, g=g, s=s, d=d, dv=dv, itemsize=4)
    dot, trilinear = (q, k, v, out), (q, k, k, v, v, out)
    assert costs.stream_bytes("dot product", **sizes) == sum(x.nbytes for x in dot)
    assert costs.stream_bytes("trilinear", **sizes) == sum(x.nbytes for x in trilinear)
    assert costs.logits_bytes(s, None, None, h=h, b=b) == torch.zeros(b, h, s, s, s).nbytes
    assert costs.logits_bytes(s, 3, 99) == torch.zeros(s, 3, s).nbytes
    cache = PairCache.empty(b=b, g=g, d=d, dv=dv, w1=5, w2=2)
    held = sum(x.nbytes for c in (cache.first, cache.second) for x in (c.k, c.v))
    sizes = dict(b=b, g=g, d=d, dv=dv, itemsize=4)
    assert costs.cache_bytes(100, 5, 2, **sizes) == held
    assert costs.cache_bytes(s, None, **sizes) == k.nbytes + v.nbytes


@pytest.mark.errors
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: costs.trilinear_flops(0, 1, 1), ValueError, "s must be at least 1; got 0"),
        (lambda: costs.dot_product_flops(1.5), TypeError, r"s must be an int; got float 1\.5"),
        (lambda: costs.break_even_length(4, None), TypeError, "w2 must be an int; got None"),
        (lambda: costs.visible_pairs(4, 0, 1), ValueError, "w1 counts the query's own .*; got 0"),
        (
            lambda: costs.exact_trilinear_flops(4, 1, 1, products=4),
            ValueError,
            "products must be 2 or 3; got 4",
        ),
        (
            lambda: costs.stream_bytes("triple", s=1, h=1, g=1, d=1),
            ValueError,
            "kind must be one of 'dot product', 'trilinear'; got 'triple'",
        ),
        (lambda: costs.cache_bytes(4, 0, d=1), ValueError, "window 1 counts .*; got 0"),
        (
            lambda: costs.tiled_pairs(4, 1, 1, tiling="rows"),
            ValueError,
            "tiling must be one of 'sequence', 'heads'; got 'rows'",
        ),
        (
            lambda: costs.useful_share(4, 1, 1, tiling="heads", count="some"),
            ValueError,
            "count must be one of",
        ),
        (lambda: costs.published_pairs(9, 8, 2), ValueError, r"s must .* w1 \+ w2 = 10; got 9"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()
