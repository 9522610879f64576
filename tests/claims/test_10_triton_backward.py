"""The claims of claims/10_triton_backward.toml: formulas against autograd, tiles by counting."""

import math

import pytest
import torch

from simplex_lib.attention import (
    dot_product_attention,
    pair_window,
    trilinear_attention,
    trilinear_attention_with_lse,
    trilinear_logits,
)

NAMES = ("q", "k1", "k2", "v1", "v2")
W1, W2, D = 4, 3, 4


@pytest.fixture
def case():
    """One head of 7 tokens: inputs, logits with scale, P, dout, and the gradients by autograd."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 1, 1, 7, D, generator=generator, dtype=torch.float64)
    x = [tensor.requires_grad_() for tensor in x]
    dout = torch.randn(7, D, generator=generator, dtype=torch.float64)
    out, lse = trilinear_attention_with_lse(*x, w1=W1, w2=W2)
    exact = torch.autograd.grad(out, x, dout[None, None])
    logits = trilinear_logits(*(tensor.detach() for tensor in x[:3]))[0, 0] / math.sqrt(D)
    logits = logits.masked_fill(~pair_window(7, W1, W2), -torch.inf)
    found = dict(zip(NAMES, (tensor[0, 0].detach() for tensor in x), strict=True))
    found |= dict(zip(("dq", "dk1", "dk2", "dv1", "dv2"), (g[0, 0] for g in exact), strict=True))
    found |= dict(dout=dout, out=out[0, 0].detach(), lse=lse[0, 0].detach(), logits=logits)
    found["p"] = logits.flatten(1).softmax(1).view_as(logits)
    dp = torch.einsum("id,jd,kd->ijk", dout, found["v1"], found["v2"])
    found["dp"] = dp
    found["ds"] = found["p"] * (dp - (found["p"] * dp).sum((1, 2), keepdim=True))
    return found


@pytest.mark.claim("fs-eq10")
def test_values_probabilities_and_logits(case):
    p, dout = case["p"], case["dout"]
    torch.testing.assert_close(torch.einsum("ijk,id,kd->jd", p, dout, case["v2"]), case["dv1"])
    torch.testing.assert_close(torch.einsum("ijk,id,jd->kd", p, dout, case["v1"]), case["dv2"])
    flat = case["logits"].flatten(1).requires_grad_()
    (ds,) = torch.autograd.grad(flat.softmax(1), flat, case["dp"].flatten(1))
    torch.testing.assert_close(ds.nan_to_num(0).view_as(p), case["ds"])


@pytest.mark.claim("fs-eq14-scale")
def test_the_scale_is_missing_in_three_equations(case):
    printed = dict(
        dk1=torch.einsum("id,ijk,kd->jd", case["q"], case["ds"], case["k2"]),
        dk2=torch.einsum("id,ijk,jd->kd", case["q"], case["ds"], case["k1"]),
        dq=torch.einsum("ijk,jd,kd->id", case["ds"], case["k1"], case["k2"]),
    )
    for name, value in printed.items():
        torch.testing.assert_close(value, math.sqrt(D) * case[name])


@pytest.mark.claim("fs-eq15-index")
def test_the_second_key_sums_over_i_and_j(case):
    scale = 1 / math.sqrt(D)
    right = scale * torch.einsum("id,ijk,jd->kd", case["q"], case["ds"], case["k1"])
    printed = scale * torch.einsum("id,ijk,jd->jd", case["q"], case["ds"], case["k1"])
    torch.testing.assert_close(right, case["dk2"])
    assert printed.shape == case["dk2"].shape
    assert (printed - case["dk2"]).norm() > 0.5 * case["dk2"].norm()


@pytest.mark.claim("fs-delta")
def test_delta_is_a_sum_over_the_output_and_the_gradients_are_those_of_finite_differences(case):
    delta = (case["out"] * case["dout"]).sum(-1)
    torch.testing.assert_close(delta, (case["p"] * case["dp"]).sum((1, 2)))
    torch.testing.assert_close(case["p"] * (case["dp"] - delta[:, None, None]), case["ds"])
    for name in NAMES:
        for at in ((2, 1), (6, 0)):
            moved = []
            for step in (1e-6, -1e-6):
                x = {n: case[n].clone() for n in NAMES}
                x[name][at] += step
                out = trilinear_attention(*(x[n][None, None] for n in NAMES), w1=W1, w2=W2)
                moved.append((out[0, 0] * case["dout"]).sum())
            difference = (moved[0] - moved[1]) / 2e-6
            torch.testing.assert_close(difference, case["d" + name][at], atol=1e-8, rtol=1e-6)


@pytest.mark.claim("fs-recompute")
@pytest.mark.parametrize("shift", [0.0, 5000.0, -5000.0])
def test_probabilities_again_tile_by_tile(case, shift):
    logits = case["logits"] + shift
    lse = logits.flatten(1).logsumexp(1)[:, None, None]
    tiles = [(tile - lse).exp() for tile in logits.split(2, dim=1)]
    torch.testing.assert_close(torch.cat(tiles, 1), case["p"])
    assert all(tile.max() <= 1 for tile in tiles)


def rows_of_programs(axis, tile, s=24, w1=9, w2=5):
    """For programs that own tiles along one axis of (i, j, k): the rows they add to, per axis."""
    visible = pair_window(s, w1, w2)
    found = []
    for start in range(0, s, tile):
        part = visible.narrow(axis, start, min(tile, s - start))
        found.append([part.any(tuple({0, 1, 2} - {other})) for other in range(3)])
    return found


@pytest.mark.claim("fs-three-orders")
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_program_can_own_the_rows_of_one_axis_only(axis):
    for other in {0, 1, 2} - {axis}:
        programs = torch.stack([rows[other] for rows in rows_of_programs(axis, 6)]).sum(0)
        assert programs.max() > 1  # rows of that kind get parts from several programs


@pytest.mark.claim("fs-listing2-flip")
def test_exchanged_keys_exchange_their_gradients(case):
    order = ("q", "k2", "k1", "v2", "v1")
    x = [case[name][None, None].clone().requires_grad_() for name in order]
    out, lse = trilinear_attention_with_lse(*x, w1=W2, w2=W1)
    torch.testing.assert_close((out[0, 0], lse[0, 0]), (case["out"], case["lse"]))
    gradients = torch.autograd.grad(out, x, case["dout"][None, None])
    for name, gradient in zip(order, gradients, strict=True):
        torch.testing.assert_close(gradient[0, 0], case["d" + name])


def second_keys(start, tile, s, w2):
    """The second keys that the queries from start to start + tile - 1 see."""
    queries = range(start, min(start + tile, s))
    return {k for i in queries for k in range(max(0, i - w2 + 1), i + 1)}


def meets(tile, s, w2):
    """Do tiles of one parity share a second key?"""
    reach = [second_keys(start, tile, s, w2) for start in range(0, s, tile)]
    return any(a & b for n, a in enumerate(reach) for b in reach[n + 2 :: 2])


@pytest.mark.claim("fs-alg2-tiles")
@pytest.mark.parametrize("w2", range(1, 13))
def test_even_tiles_share_no_second_key(w2):
    for s in (1, w2, 2 * w2 + 1, 40):
        assert not meets(w2, s, w2)
        for start in range(0, s, w2):
            tiles = {k // w2 for k in second_keys(start, w2, s, w2)}
            assert tiles <= {start // w2 - 1, start // w2}
    if w2 > 2:
        assert not meets(w2 - 1, 40, w2)
        assert meets(w2 - 2, 40, w2)


@pytest.mark.claim("fs-alg2-line8")
def test_the_tile_of_second_keys_begins_w2_before_the_queries():
    s, w1, w2 = 256, 64, 8
    for start in range(0, s, w2):
        end = start + w2
        needed = second_keys(start, w2, s, w2)
        assert needed <= set(range(start - w2, end))
        printed = range(max(0, start - w1), end)  # kv1_start : q_end
        if start >= w1:
            assert len(printed) == w1 + w2 > len(range(start - w2, end)) == 2 * w2
    starts = {end - max(0, end - w2 - w1) for end in range(w2, s + 1, w2)}
    assert len(starts) > 1  # of another length near the start


@pytest.mark.claim("fs-alg2-stores")
def test_even_tiles_do_share_first_keys():
    s, w2 = 64, 4
    for w1, shared in ((w2, False), (w2 + 1, False), (w2 + 2, True), (32, True)):
        reach = [second_keys(start, w2, s, w1) for start in range(0, s, 2 * w2)]
        assert bool(reach[3] & reach[4]) == shared


def visits(rows, w2, s=960):
    times = torch.zeros(s + 2 * (rows + w2), dtype=torch.int64)
    for start in range(0, s, rows + w2):
        for first in (start, start + rows):
            times[first : first + rows] += 1
    return times[rows + w2 : s]  # without the start, which no earlier program reaches


@pytest.mark.claim("fs-listing3-tiles")
def test_each_query_is_visited_once_only_if_the_tile_is_as_long_as_the_window():
    assert visits(32, 32).eq(1).all()
    assert visits(32, 16).eq(2).double().mean() == 1 / 3
    assert visits(32, 64).eq(0).double().mean() == 1 / 3


@pytest.mark.claim("fs-listing3-zeros")
def test_the_first_pass_leaves_the_last_of_an_even_number_of_tiles():
    w2 = 8
    for tiles in range(1, 9):
        s = tiles * w2
        stored = set().union(*(second_keys(start, w2, s, w2) for start in range(0, s, 2 * w2)))
        last = set(range(s - w2, s))
        assert (last & stored == set()) == (tiles % 2 == 0)


@pytest.mark.claim("fs-bias-effect")
def test_what_the_two_constants_would_do(case):
    q, k1, k2, v1, v2 = (case[name][None, None] for name in NAMES)
    biased = trilinear_logits(q, k1, k2 + 1 / D)
    extra = torch.einsum("bhid,bhjd->bhij", q, k1)[..., None] / D
    torch.testing.assert_close(biased, trilinear_logits(q, k1, k2) + extra)
    out = trilinear_attention(q, k1, k2 + 1 / D, v1, v2 + 1)
    with_values = trilinear_attention(q, k1, k2 + 1 / D, v1, v2)
    first_alone = trilinear_attention(q, k1, k2 + 1 / D, v1, torch.ones_like(v2))
    torch.testing.assert_close(out, with_values + first_alone)
    zero = torch.zeros_like(k2)
    out = trilinear_attention(q, k1, zero + 1 / D, v1, zero + 1, w2=1)
    torch.testing.assert_close(out, dot_product_attention(q, k1, v1, scale=1 / (D * math.sqrt(D))))
