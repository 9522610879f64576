"""Edges of the functions for determinants, rotary positions, windows, decoding and Match3.

Odd but sound inputs have a stated result; all others an error that names the argument. The common
errors of shapes, dtypes and devices are tested in the mirrors of the modules.
"""

import math

import numpy as np
import pytest
import torch

from simplex_lib.attention import (
    PairCache,
    as_trilinear,
    costs,
    determinant_attention,
    determinant_attention_windowed,
    determinant_decode,
    determinant_logits,
    match3_blank_token_head,
    match3_head,
    match3_weights,
    rotary_frequencies,
    rotary_pairs,
    rotary_triples,
    rotate_about,
    sufficient_c,
    trilinear_attention,
    trilinear_attention_online,
    trilinear_attention_windowed,
    trilinear_decode,
    trilinear_logits,
)
from simplex_lib.tasks import match3_hardest, match3_labels, match3_random

WHOLE = [trilinear_attention, trilinear_attention_online, determinant_attention]
WINDOWED = [trilinear_attention_windowed, determinant_attention_windowed]
ATTENTIONS = WHOLE + WINDOWED
DECODERS = {
    trilinear_decode: trilinear_attention,
    determinant_decode: determinant_attention,
}
ROTARY = [rotary_pairs, rotary_triples]
TOKENS = torch.tensor([[1, 2, 4]])
EAST, UP = torch.eye(3, dtype=torch.float64)[[0, 2]]


def heads(s=5, d=6, g=2, seed=0):
    """q, k1, k2, v1, v2 with four query heads."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(2, h, s, d, dtype=torch.float64, generator=generator) for h in (4, g, g, g, g)
    ]


def cache(**sizes):
    return PairCache.empty(**dict(b=2, g=2, d=6, w1=4, w2=2, dtype=torch.float64) | sizes)


# windows


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_window_longer_than_the_sequence_is_the_whole_past(attention):
    x = heads()
    for longer in (5, 6, 1000, 2**70):
        torch.testing.assert_close(attention(*x, w1=longer, w2=longer), attention(*x))
        out = attention(*x, w1=longer, w2=2, causal=False)
        torch.testing.assert_close(out, attention(*x, w2=2, causal=False))


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_windows_of_one_see_only_the_query_itself(attention):
    q, k1, k2, v1, v2 = heads()
    alone = (v1 * v2).repeat_interleave(2, 1)
    for causal in (True, False):
        torch.testing.assert_close(attention(q, k1, k2, v1, v2, w1=1, w2=1, causal=causal), alone)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize(("w1", "w2"), [(None, None), (1, 1), (3, None)])
def test_a_sequence_of_one_token_is_its_values(attention, w1, w2):
    q, k1, k2, v1, v2 = heads(s=1)
    out = attention(q, k1, k2, v1, v2, w1=w1, w2=w2)
    torch.testing.assert_close(out, (v1 * v2).repeat_interleave(2, 1))


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_integers_of_numpy_are_integers(attention):
    x, windows = heads(), dict(w1=np.int64(3), w2=np.int8(2))
    blocks = dict(block_size=np.int32(2)) if attention in WINDOWED else {}
    torch.testing.assert_close(attention(*x, **windows, **blocks), attention(*x, w1=3, w2=2))


@pytest.mark.errors
@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("w", [torch.tensor(3), math.inf, "3", 2.0, True])
def test_a_window_that_is_no_int_is_refused(attention, w):
    for name in ("w1", "w2"):
        with pytest.raises(TypeError, match=f"{name} must be an int or None; got"):
            attention(*heads(), **{name: w})
    with pytest.raises(ValueError, match=r"w1 counts .* at least 1; got -3"):
        attention(*heads(), w1=-3)


@pytest.mark.errors
@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_dtypes_and_devices_are_not_mixed(attention, at):
    name = ("q", "k1", "k2", "v1", "v2")[at]
    for dtype in (torch.float32, torch.bfloat16):
        x = heads()
        x[at] = x[at].to(dtype)
        with pytest.raises(
            TypeError, match=f"{name} must be float64 as q is; got {str(dtype)[6:]}"
        ):
            attention(*x)
    x = heads()
    x[at] = x[at].to("meta")
    with pytest.raises(ValueError, match=f"{name} must be on cpu as q is; got meta"):
        attention(*x)


# determinants


@pytest.mark.parametrize("d", [3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("s", [1, 4])
def test_coordinates_left_over_multiply_as_in_the_trilinear_score(d, s):
    q, k1, k2, *_ = heads(s=s, d=d, g=4)
    whole = d // 3 * 3
    first, rest = ([x[..., part] for x in (q, k1, k2)] for part in (slice(whole), slice(whole, d)))
    expected = determinant_logits(*first)
    if d % 3:
        expected = expected + trilinear_logits(*rest)
    torch.testing.assert_close(determinant_logits(q, k1, k2), expected)


@pytest.mark.errors
@pytest.mark.parametrize("d", [1, 2])
def test_a_head_dim_below_three_is_refused_everywhere(d):
    x = heads(d=d)
    message = rf"must have a head_dim of at least 3, the size of a determinant; got {d}"
    calls = [lambda f=f: f(*x) for f in (determinant_attention, determinant_attention_windowed)]
    calls += [lambda f=f: f(*x[:3]) for f in (determinant_logits, as_trilinear)]
    calls += [lambda: rotary_triples(x[0])]
    calls += [lambda: determinant_decode(cache(d=d), *(t[:, :, :1] for t in x))]
    for call in calls:
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.errors
@pytest.mark.parametrize(
    ("at", "change", "error", "message"),
    [
        (0, lambda x: None, TypeError, "q must be a torch.Tensor; got None"),
        (1, lambda x: x[..., :5], ValueError, "k1 must be .* with d = 6 as in q; got"),
        (2, lambda x: x[:, :1], ValueError, "k2 must be .* with g = 2 as in k1; got"),
        (2, lambda x: x[0], ValueError, r"k2 must be \(b, g, s2, d\); got \(2, 5, 6\)"),
        (1, lambda x: x.float(), TypeError, "k1 must be float64 as q is; got float32"),
        (2, lambda x: x.to("meta"), ValueError, "k2 must be on cpu as q is; got meta"),
        (0, lambda x: x.long(), TypeError, "q must be .*; got int64"),
    ],
)
def test_as_trilinear_names_the_argument(at, change, error, message):
    x = heads()[:3]
    x[at] = change(x[at])
    with pytest.raises(error, match=message):
        as_trilinear(*x)


def test_as_trilinear_takes_sequences_of_three_lengths():
    q, k1, k2 = (heads(s=s)[at] for at, s in enumerate((1, 4, 2)))
    assert [x.shape[2] for x in as_trilinear(q, k1, k2)] == [1, 4, 2]


# rotary positions


@pytest.mark.parametrize("rotary", ROTARY)
@pytest.mark.parametrize("start", [-(10**9), -1, 10**6, 10**9, 2**62, -(2**63)])
def test_any_integer_position_turns_and_keeps_lengths(rotary, start):
    x = heads()[0]
    turned = rotary(x, torch.arange(5) + start)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))


@pytest.mark.parametrize("start", [-(10**9), 10**6, 10**9])
def test_offsets_hold_at_positions_of_a_billion(start):
    late = torch.arange(5) + start
    q, k1, k2 = (rotary_triples(x) for x in heads(g=4)[:3])
    far = [rotary_triples(x, late) for x in heads(g=4)[:3]]
    torch.testing.assert_close(
        determinant_logits(*far), determinant_logits(q, k1, k2), atol=1e-5, rtol=0
    )
    q, k = (rotary_pairs(x) for x in heads(g=4)[:2])
    far = [rotary_pairs(x, late) for x in heads(g=4)[:2]]
    torch.testing.assert_close(far[0] @ far[1].mT, q @ k.mT, atol=1e-5, rtol=0)


@pytest.mark.parametrize("rotary", ROTARY)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
def test_positions_of_every_integer_dtype(rotary, dtype):
    x, positions = heads()[0], torch.tensor([0, 7, 100, 3, 127])
    assert torch.equal(rotary(x, positions.to(dtype)), rotary(x, positions))


@pytest.mark.parametrize("rotary", ROTARY)
def test_one_token_at_position_zero_stays(rotary):
    x = heads(s=1)[0]
    assert torch.equal(rotary(x), x)
    assert not torch.allclose(rotary(x, torch.tensor([1])), x)


@pytest.mark.errors
@pytest.mark.parametrize("rotary", ROTARY)
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(positions=5), TypeError, "positions must be a torch.Tensor; got int 5"),
        (dict(positions=torch.zeros(5, 1).int()), ValueError, r"positions must be \(s\); got \(5,"),
        (dict(positions=torch.arange(0)), ValueError, "positions must be .* s at least 1; got"),
        (dict(frequencies=[1.0]), TypeError, "frequencies must be a torch.Tensor; got list"),
        (dict(x=torch.zeros(2, 4, 5, 6, dtype=torch.cfloat)), TypeError, "x must .* complex64"),
        (dict(x=torch.zeros(2, 4, 0, 6)), ValueError, "x must be .* with s at least 1; got"),
    ],
)
def test_rotary_names_the_argument(rotary, change, error, message):
    with pytest.raises(error, match=message):
        rotary(**(dict(x=heads()[0]) | change))


@pytest.mark.errors
@pytest.mark.parametrize(("rotary", "chunks"), [(rotary_pairs, 3), (rotary_triples, 2)])
def test_an_angle_beyond_all_numbers_is_refused(rotary, chunks):
    fast = torch.full((chunks,), 1e308, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"positions \* frequencies must be finite; got inf"):
        rotary(heads()[0], frequencies=fast)


@pytest.mark.parametrize("length", [1e-320, 1e-200, 1e-5, 1.0, 1e200])
def test_an_axis_of_any_length_is_its_direction(length):
    quarter = torch.tensor(torch.pi / 2, dtype=torch.float64)
    north = torch.tensor([0.0, 1, 0], dtype=torch.float64)
    torch.testing.assert_close(rotate_about(EAST, UP * length, quarter), north)
    x = heads()[0]
    torch.testing.assert_close(rotary_triples(x, axis=UP * length), rotary_triples(x))


@pytest.mark.errors
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(x=None), TypeError, "x must be a torch.Tensor; got None"),
        (dict(axis=[0, 0, 1]), TypeError, "axis must be a torch.Tensor; got list"),
        (dict(angle=1.0), TypeError, r"angle must be a torch.Tensor; got float 1\.0"),
        (dict(angle=torch.tensor(1)), TypeError, "angle must be .*; got int64"),
        (dict(angle=torch.tensor(torch.inf)), ValueError, "angle must be finite; got inf"),
        (dict(x=EAST * torch.nan), ValueError, "x must be finite; got nan"),
        (dict(axis=UP * torch.nan), ValueError, "axis must be finite; got nan"),
        (dict(axis=UP * 0), ValueError, "axis must have a direction"),
        (dict(angle=torch.ones((), device="meta")), ValueError, "angle must be on cpu as x is"),
        (
            dict(x=torch.ones(2, 3), angle=torch.ones(5)),
            ValueError,
            r"x, axis and angle must be .* that broadcast; got \(2, 3\), \(3,\), \(5,\)",
        ),
    ],
)
def test_rotate_about_names_the_argument(change, error, message):
    with pytest.raises(error, match=message):
        rotate_about(**(dict(x=EAST, axis=UP, angle=torch.tensor(1.0)) | change))


@pytest.mark.errors
def test_an_axis_must_be_a_tensor():
    with pytest.raises(TypeError, match=r"axis must be a torch\.Tensor; got list"):
        rotary_triples(heads()[0], axis=[0, 0, 1])


@pytest.mark.errors
@pytest.mark.parametrize("base", [0, -1.0, math.nan, math.inf, 10**400, 1e-320])
def test_a_base_gives_finite_frequencies_or_an_error(base):
    with pytest.raises(ValueError, match="base must be positive and finite; got"):
        rotary_frequencies(300, base=base)
    assert rotary_frequencies(300, base=1e-300).isfinite().all()
    assert torch.equal(rotary_frequencies(3, base=np.float32(8)), rotary_frequencies(3, base=8))


# decoding


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize(("w1", "w2"), [(1, 1), (1, 4), (100, 2)])
def test_windows_of_one_and_windows_longer_than_the_text_decode(decode, w1, w2):
    x, memory = heads(), cache(w1=w1, w2=w2)
    steps = [decode(memory, *(t[:, :, i : i + 1] for t in x)) for i in range(5)]
    torch.testing.assert_close(torch.cat(steps, 2), DECODERS[decode](*x, w1=w1, w2=w2))


@pytest.mark.errors
@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize(
    ("memory", "error", "message"),
    [
        (None, TypeError, "cache must be a PairCache; got None"),
        ((1, 2), TypeError, "cache must be a PairCache; got tuple"),
        (PairCache, TypeError, "cache must be a PairCache; got type"),
        (cache(dtype=torch.int64), TypeError, "cache.k must be float16, .*; got int64"),
        (cache(dtype=torch.float32), TypeError, "k1 must be float32 as cache.k is; got float64"),
        (cache(device="meta"), ValueError, "k1 must be on meta as cache.k is; got cpu"),
        (cache(b=3), ValueError, "k1 must be .* with b = 3 as in cache.k; got"),
        (
            PairCache(cache().first, cache(d=5).second),
            ValueError,
            r"cache\.second\.k must be .* with d = 6 as in cache\.k; got",
        ),
        (
            PairCache(cache().first, cache(dtype=torch.float32).second),
            TypeError,
            r"cache\.second\.k must be float64 as cache\.k is; got float32",
        ),
    ],
)
def test_a_cache_that_does_not_fit_is_named(decode, memory, error, message):
    with pytest.raises(error, match=message):
        decode(memory, *heads(s=1))
    if isinstance(memory, PairCache):
        assert memory.first.seen == memory.second.seen == 0


# Match3


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
@pytest.mark.parametrize("modulus", [97, 5])
def test_labels_do_not_depend_on_the_integer_dtype(dtype, modulus):
    for x in (match3_random(50, 4, modulus), match3_hardest(5, modulus)):
        assert torch.equal(match3_labels(x.to(dtype), modulus), match3_labels(x, modulus))
        share = match3_head(x.to(dtype), modulus, c=50.0)
        assert torch.equal(share, match3_head(x, modulus, c=50.0))


def test_small_dtypes_and_large_moduli():
    assert match3_labels(TOKENS.to(torch.int8), 1000).any().item() is False
    prime = 2**61 - 1
    x = torch.tensor([[prime - 1, 1, 0, 7]])
    # -1 + 1 + 0, 0 + 0 + 0; no pair adds up to -7
    assert match3_labels(x, prime).tolist() == [[True, True, True, False]]


def test_one_token_matches_itself_or_not():
    x = torch.tensor([[0], [1], [5]])
    expected = [[True], [False], [True]]  # 3 * 0 and 3 * 5 are 0 modulo 15
    assert match3_labels(x, 15).tolist() == expected
    c = sufficient_c(1, 15)
    assert (match3_head(x, 15, c=c) > 0.3).tolist() == expected


def test_tokens_without_numbers_give_shapes():
    x = TOKENS.to("meta")
    assert match3_labels(x, 5).shape == match3_head(x, 5, c=1.0).shape == (1, 3)
    assert match3_blank_token_head(x, 5, c=1.0, tau=0.9).shape == (1, 3)


@pytest.mark.errors
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: match3_labels(TOKENS, 2**70), ValueError, r"modulus must be at most 2 \*\* 62"),
        (lambda: match3_random(1, 2, 2**70), ValueError, r"modulus must be at most 2 \*\* 62"),
        (lambda: sufficient_c(3, 10**400), ValueError, r"modulus must be at most 2 \*\* 62"),
        (lambda: match3_labels(TOKENS[:, :0], 5), ValueError, "x must be .* with s at least 1"),
        (lambda: match3_head(-TOKENS, 5, c=1.0), ValueError, "x must be from 0 to .*; got -1"),
        (
            lambda: match3_head(TOKENS, 5, c=1.0, dtype=torch.int64),
            ValueError,
            "dtype must be one of float16, .*; got torch.int64",
        ),
        (
            lambda: match3_blank_token_head(TOKENS, 5, c=1.0, tau=0.9, dtype=None),
            ValueError,
            "dtype must be one of float16, .*; got None",
        ),
        (
            lambda: match3_head(TOKENS, 5, c=1e6, dtype=torch.float16),
            ValueError,
            r"c must fit float16; got 1000000\.0",
        ),
        (lambda: match3_head(TOKENS, 5, c=10**400), ValueError, "c must be finite; got 1000"),
        (lambda: match3_weights(math.nan), ValueError, "c must be finite; got nan"),
        (lambda: match3_weights("1"), TypeError, "c must be a number; got str '1'"),
    ],
)
def test_match3_names_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()


# costs


def test_counts_do_not_overflow_with_the_integers_of_numpy():
    s, w1, w2 = np.int32(60_000), np.int32(512), np.int8(32)
    assert costs.dot_product_flops(s) == 2 * 60_000**2
    assert costs.trilinear_flops(s, w1, w2) == 6 * 60_000 * 512 * 32
    assert costs.break_even_length(w1, w2) == 49_152
    assert costs.visible_pairs(s, w1, w2) == costs.visible_pairs(60_000, 512, 32)
    assert costs.logits_bytes(s, None, None) == 4 * 60_000**3
    assert costs.cache_bytes(s, w1, w2, d=np.int32(128)) == 2 * 544 * 256
    tiles = dict(tiling="heads", tile=np.int32(64))
    assert costs.tiled_pairs(s, w1, w2, **tiles) == costs.tiled_pairs(60_000, 512, 32, **tiles)


def test_windows_longer_than_the_text_and_texts_of_one_token_are_counted():
    assert costs.visible_pairs(5, 99, 2**70) == costs.visible_pairs(5, None, None) == 55
    assert costs.visible_pairs(1, 1, 1) == costs.visible_pairs(1, None, 7) == 1
    assert costs.cache_bytes(5, 99, d=1, itemsize=1) == costs.cache_bytes(5, None, d=1, itemsize=1)
    assert costs.useful_share(1, 1, 1, tiling="heads", kv_block=1) == 1
    assert 0 < costs.useful_share(5, 100, 200, tiling="sequence") < 1
    assert costs.exact_break_even_length(1, 1) == 2
