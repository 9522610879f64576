"""The claims of claims/09_triton_forward.toml; the arithmetic of the listing, in PyTorch."""

import itertools
import math

import pytest
import torch

from simplex_lib.attention import trilinear_attention_with_lse
from simplex_lib.triton_mode import triton_mode

HIDDEN = -1e38  # what the listing writes where a pair is hidden
BFLOAT16 = torch.bfloat16


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def by_loops(q, k1, k2, v1, v2, w1, w2):
    """Out and lse, pair by pair."""
    out, lse = torch.zeros_like(v1), torch.zeros(len(q), dtype=q.dtype)
    for i in range(len(q)):
        past = itertools.product(range(i + 1), repeat=2)
        pairs = [(j, k) for j, k in past if i - w1 < j and i - w2 < k]
        logits = torch.stack([(q[i] * k1[j] * k2[k]).sum() for j, k in pairs])
        values = torch.stack([v1[j] * v2[k] for j, k in pairs])
        out[i], lse[i] = logits.softmax(0) @ values, logits.logsumexp(0)
    return out, lse


def by_tiles(q, k1, k2, v1, v2, w1, w2, *, keys=3, hidden=-math.inf, value_first=True):
    """Out and lse of one tile of queries: single j outside, tiles of k inside."""
    s = len(q)
    i = torch.arange(s)[:, None]
    m = torch.full((s,), HIDDEN, dtype=q.dtype)
    l, acc = torch.zeros_like(m), torch.zeros_like(v1)  # noqa: E741
    for j in range(s):
        merged = q * k1[j]
        for first in range(0, s, keys):
            k = torch.arange(first, min(first + keys, s))
            seen = (i - w1 < j) & (j <= i) & (i - w2 < k) & (k <= i)
            logits = (merged @ k2[k].T).masked_fill(~seen, hidden)
            m_new = torch.maximum(m, logits.amax(1))
            rescale, p = (m - m_new).exp(), (logits - m_new[:, None]).exp()
            l = l * rescale + p.sum(1)  # noqa: E741
            new = p @ (v1[j] * v2[k]) if value_first else (p @ v2[k]) * v1[j]
            acc, m = acc * rescale[:, None] + new, m_new
    return acc / l[:, None], m + l.log()


@pytest.mark.claim("fs-merge-dot")
@pytest.mark.parametrize(("w1", "w2"), [(9, 9), (4, 2), (2, 5)])
def test_merge_dot_and_a_softmax_that_runs_on_equal_loops_over_pairs(w1, w2):
    q, k1, k2, v1, v2 = draw(5, 9, 4)
    torch.testing.assert_close(
        by_tiles(q, k1, k2, v1, v2, w1, w2), by_loops(q, k1, k2, v1, v2, w1, w2)
    )
    torch.testing.assert_close(  # the other key outside
        by_tiles(q, k2, k1, v2, v1, w2, w1), by_loops(q, k1, k2, v1, v2, w1, w2)
    )


@pytest.mark.claim("fs-value-merge")
def test_the_single_value_may_come_before_or_after_the_product():
    x = draw(5, 9, 4)
    before, after = (by_tiles(*x, 4, 3, value_first=first)[0] for first in (True, False))
    torch.testing.assert_close(before, after)


@pytest.mark.claim("fs-listing-dtypes")
def test_factors_in_bfloat16_are_enough_if_sums_are_in_float32():
    generator = torch.Generator().manual_seed(0)
    p, v = torch.rand(2, 4096, dtype=torch.float64, generator=generator)
    exact = p @ v
    products = p.to(BFLOAT16).float() * v.to(BFLOAT16).float()
    in_float32 = abs(products.sum().double() - exact) / exact
    running = torch.zeros((), dtype=BFLOAT16)
    for product in products:
        running = (running.float() + product).to(BFLOAT16)
    in_bfloat16 = abs(running.double() - exact) / exact
    assert in_float32 < 3e-3 and in_bfloat16 > 10 * max(in_float32, 3e-3)


@pytest.mark.claim("fs-listing-scale")
def test_the_scale_in_bfloat16_is_exact_for_64_and_not_for_128():
    off = {d: float(torch.tensor(d**-0.5, dtype=BFLOAT16)) * d**0.5 - 1 for d in (64, 128)}
    assert off[64] == 0
    assert -1.1e-4 < off[128] < -1e-4


@pytest.mark.claim("fs-listing-start")
def test_the_loops_of_the_listing_begin_one_key_before_the_window():
    rows, s = 64, 2048
    for w in (32, 512):
        for q_start in range(0, s, rows):
            i = torch.arange(q_start, min(q_start + rows, s))[:, None]
            key = torch.arange(s)
            first = ((i - w < key) & (key <= i)).any(0).nonzero().min().item()
            printed = max(0, q_start - w)
            assert first == max(0, q_start - w + 1)
            assert first - printed == (1 if q_start >= w else 0)


@pytest.mark.claim("fs-listing-hidden")
def test_a_finite_hidden_logit_is_wiped_out_by_the_first_visible_pair():
    x = draw(5, 9, 4).float()
    found, expected = by_tiles(*x, 3, 2, hidden=HIDDEN), by_loops(*x.double(), 3, 2)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-6)
    # nothing visible at all: the weights are 1 and the output is a mean of what is hidden
    p = (torch.full((3,), HIDDEN) - HIDDEN).exp()
    assert p.tolist() == [1, 1, 1]


@pytest.mark.claim("fs-listing-offsets")
def test_an_offset_by_the_strides_of_q_misses_shared_keys():
    b, s, d = 1, 100, 64  # the layout of the listing is (b, s, heads, d)
    q, shared = torch.zeros(b, s, 64, d), torch.zeros(b, s, 1, d)
    offsets = [h * q.stride(2) for h in range(64)]  # added to all pointers; right for keys: 0
    assert offsets[1] == shared.stride(1)  # head 1 begins at the keys' position 1
    last = (s - 1) * shared.stride(1) + d - 1  # of the keys, counted from the pointer
    assert [offset + last < shared.numel() for offset in offsets] == [True] + [False] * 63


@pytest.mark.claim("fs-listing-lse")
def test_the_stored_lse_is_natural_and_mixed_bases_are_not():
    logits = torch.tensor([2.0, 1, 4, 1], dtype=torch.float64)
    m = logits.max() * math.log2(math.e)
    l = torch.exp2(logits * math.log2(math.e) - m).sum()  # noqa: E741
    natural, mixed = (m + l.log2()) * math.log(2), m + l.log()
    torch.testing.assert_close(natural, logits.logsumexp(0))
    assert round(float((logits - mixed).exp().sum()), 2) == 0.17


@pytest.mark.claim("fs-listing-lse")
@pytest.mark.filterwarnings("ignore:Triton kernels run in Triton's interpreter")
def test_the_kernel_returns_a_natural_lse():
    if triton_mode() == "absent":
        pytest.skip("no kernel can run here")
    device = "cuda" if triton_mode() == "gpu" else "cpu"
    x = draw(5, 1, 1, 9, 16)
    windows = dict(w1=4, w2=3, scale=1.0)
    _, lse = trilinear_attention_with_lse(*x.float().to(device), **windows, impl="triton")
    _, expected = by_loops(*x[:, 0, 0], 4, 3)
    torch.testing.assert_close(lse[0, 0].double().cpu(), expected, rtol=1e-5, atol=1e-5)
