"""Mirrors simplex_lib/attention/multi_token_decoding.py: steps equal the whole pass."""

import pytest
import torch

from simplex_lib.attention import MultiTokenCache, multi_token_attention, multi_token_decode


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("pre", [None, (1, 1), (2, 9), (4, 3)])
@pytest.mark.parametrize("post", [None, (3, 5)])
def test_steps_equal_the_whole_pass(pre, post):
    q, k, v = random(2, 4, 11, 3, seed=1), random(2, 2, 11, 3, seed=2), random(2, 2, 11, 5, seed=3)
    steps = dict(pre_mixing=random(2, 2, 2, seed=4), post_mixing=random(1, 4, 4, seed=5))
    if pre:
        steps["pre_kernel"] = random(4, *pre, seed=6)
    if post:
        steps["post_kernel"] = random(4, *post, seed=7)
    cache = MultiTokenCache.empty(b=2, h=4, g=2, d=3, dv=5, dtype=torch.float64)
    rows = [
        multi_token_decode(cache, *token, **steps)
        for token in zip(*(x.split(1, dim=2) for x in (q, k, v)), strict=True)
    ]
    torch.testing.assert_close(torch.cat(rows, 2), multi_token_attention(q, k, v, **steps))
    kept = sum(taps[0] - 1 for taps in (pre, post) if taps)
    assert cache.q.shape == (2, 4, kept, 3)
    assert cache.numbers == 2 * 4 * kept * 3 + 2 * 2 * 11 * (3 + 5)


def test_one_query_less_in_the_cache_is_wrong():
    """c_q - 1 queries are needed, not fewer: forgetting one changes the next step."""
    q, k, v, kernel = *random(3, 1, 1, 9, 3), random(1, 3, 3, seed=1)
    outs = []
    for forget in (0, 1):
        cache = MultiTokenCache.empty(b=1, h=1, d=3, dtype=torch.float64)
        for token in zip(*(x.split(1, dim=2) for x in (q, k, v)), strict=True):
            cache.q = cache.q[:, :, min(forget, cache.q.shape[2]) :]
            out = multi_token_decode(cache, *token, pre_kernel=kernel)
        outs.append(out)
    assert (outs[0] - outs[1]).abs().max() > 1e-3


@pytest.mark.errors
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(q=random(1, 2, 2, 3)), ValueError, "k must be .* with s = 2 as in q"),
        (dict(v=random(1, 2, 1, 4)), ValueError, r"v must be \(1, 2, 1, 3\) as in the cache"),
        (dict(pre_kernel=random(2, 2, 4)), ValueError, "odd number of key taps"),
        (dict(scale=True), TypeError, "scale must be a number"),
    ],
)
def test_an_error_leaves_the_cache_as_it_was(change, error, message):
    cache = MultiTokenCache.empty(b=1, h=2, d=3, dtype=torch.float64)
    token = {name: random(1, 2, 1, 3) for name in "qkv"}
    multi_token_decode(cache, **token)
    with pytest.raises(error, match=message):
        multi_token_decode(cache, **(token | change))
    assert cache.k.shape[2] == 1


@pytest.mark.errors
def test_tokens_must_be_those_of_the_cache():
    cache = MultiTokenCache.empty(b=1, h=2, d=3)
    with pytest.raises(TypeError, match=r"q must be torch.float32 on cpu as in the cache"):
        multi_token_decode(cache, *(random(1, 2, 1, 3) for _ in range(3)))
    with pytest.raises(ValueError, match="q must hold one token, s = 1; got s = 2"):
        multi_token_decode(cache, *(torch.zeros(1, 2, 2, 3) for _ in range(3)))
