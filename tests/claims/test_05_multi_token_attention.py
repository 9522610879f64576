"""The claims of claims/05_multi_token_attention.toml, each from the plainest arithmetic."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from simplex_lib.attention import (
    DifferentialAttention,
    MultiHeadAttention,
    differential_attention,
    dot_product_attention,
    identity_kernel,
    key_query_convolution,
    lambda_start,
    mix_heads,
    multi_token_attention,
    multi_token_costs,
    multi_token_maps,
)

TABLE_8 = {
    "dot product": 876_553_728,
    "diff": 876_567_552,
    "talking heads": 876_566_016,
    "multi-token": 876_583_320,
}
TABLE_9 = {  # GB, FLOPS in 1e13, thousand tokens a second
    "dot product": (17.5, 25.0, 54.3),
    "diff": (21.6, 8.4, 17.6),
    "talking heads": (63.0, 6.9, 14.6),
    "multi-token": (73.8, 2.6, 5.7),
}


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def correlate(maps, kernel):
    """conv2d with the past side of the queries and both sides of the keys filled with 0."""
    c_q, c_k = kernel.shape[-2:]
    return F.conv2d(
        F.pad(maps, (c_k // 2, c_k // 2, c_q - 1, 0)), kernel[:, None], groups=len(kernel)
    )


def terms(i, j, c_q, c_k, s):
    """(i', j') of Eq. 4 whose query and key exist, the key not later than i."""
    back, aside = range(c_q), range(-(c_k // 2), math.ceil(c_k / 2))
    inside = [(a, b) for a, b in itertools.product(back, aside) if i - a >= 0 and 0 <= j - b < s]
    return [(a, b) for a, b in inside if i >= j - b]


@pytest.mark.claim("mta-one-pair")
def test_what_a_logit_depends_on():
    q, k = (draw(1, 2, 9, 4).requires_grad_() for _ in range(2))
    kernel = draw(2, 3, 5)

    def touched(logits, i, j):
        found = torch.autograd.grad(logits[0, 0, i, j], (q, k), retain_graph=True)
        return [x.abs().sum(-1)[0, 0].nonzero().flatten().tolist() for x in found]

    plain = multi_token_maps(q, k).logits
    convolved = multi_token_maps(q, k, pre_kernel=kernel).logits
    assert touched(plain, 7, 3) == [[7], [3]]
    assert touched(convolved, 7, 3) == [[5, 6, 7], [1, 2, 3, 4, 5]]
    other = torch.stack([q[:, 0], draw(1, 9, 4)], 1)  # the second head changes
    mixing = draw(1, 2, 2)
    for steps, stays in ((dict(), True), (dict(pre_mixing=mixing), False)):
        maps = [multi_token_maps(x, k, **steps).weights[:, 0] for x in (q, other)]
        assert torch.equal(*maps) == stays


@pytest.mark.claim("mta-alice-kernel")
def test_the_smallest_kernel_that_covers_both_words():
    question = "where did alice see the rabbit".split()
    sentence = "alice saw the white rabbit under the tree".split()

    def covers(words, c_q, c_k):
        here = torch.tensor([[word == name for word in words] for name in ("alice", "rabbit")])
        maps = here.double()[:, None]  # as queries (a column) or as keys (a row)
        maps = maps.mT if c_k == 1 else maps
        padding = (c_k // 2, math.ceil(c_k / 2) - 1, c_q - 1, 0)
        seen = F.conv2d(F.pad(maps[:, None], padding), torch.ones(1, 1, c_q, c_k).double())
        return bool((seen > 0).all(0).any())

    assert next(c for c in range(1, 7) if covers(question, c, 1)) == 4
    assert next(c for c in range(2, 9) if covers(sentence, 1, c)) == 5


@pytest.mark.claim("mta-eq3")
def test_batch_and_heads_stay_apart():
    maps, kernel = draw(2, 3, 6, 6).tril(), draw(3, 2, 3)
    new = key_query_convolution(maps, kernel)
    for b, h in itertools.product(range(2), range(3)):
        alone = correlate(maps[b : b + 1, h : h + 1], kernel[h : h + 1])[0, 0].tril()
        torch.testing.assert_close(new[b, h], alone)
    maps[1, 2], kernel[1] = draw(6, 6).tril(), draw(2, 3)
    changed = (key_query_convolution(maps, kernel) != new).flatten(2).any(-1)
    assert changed.tolist() == [[False, True, False], [False, True, True]]


@pytest.mark.claim("mta-eq4")
@pytest.mark.parametrize(("c_q", "c_k"), [(1, 5), (3, 1), (2, 3), (4, 5)])
def test_the_sum_of_eq_4_is_a_turned_correlation(c_q, c_k):
    s, half = 7, c_k // 2
    q, k, theta = draw(s, 4), draw(s, 4), draw(c_q, c_k)  # theta[i', j' + half]
    raw = q @ k.T / 2
    turned = theta.flip(0, 1)[None]
    for i in range(s):
        key = torch.arange(s)
        visible_to_i = raw.masked_fill(key > i, 0)
        row = correlate(visible_to_i[None, None], turned)[0, 0, i]
        for j in range(i + 1):
            by_hand = sum(
                theta[a, b + half] * (q[i - a] @ k[j - b]) / 2 for a, b in terms(i, j, c_q, c_k, s)
            )
            torch.testing.assert_close(row[j], by_hand)
    tap = torch.zeros(c_q, c_k).double()
    tap[0, half] = 1  # i' = j' = 0: this query, this key
    assert torch.equal(tap.flip(0, 1), identity_kernel(1, c_q=c_q, c_k=c_k)[0].double())


@pytest.mark.claim("mta-eq5")
@pytest.mark.parametrize(("c_q", "c_k"), [(1, 5), (3, 1), (2, 3), (4, 5)])
def test_the_terms_that_the_double_mask_loses(c_q, c_k):
    s, half = 9, c_k // 2
    raw, theta = draw(s, s), draw(c_q, c_k)
    new = key_query_convolution(raw[None, None], theta.flip(0, 1)[None])[0, 0]
    far, lost_somewhere = c_q - 1 + half, False
    for i in range(s):
        for j in range(i + 1):
            kept = terms(i, j, c_q, c_k, s)
            lost = [(a, b) for a, b in kept if i - a < j - b]
            eq_4, gone = (
                sum((theta[a, b + half] * raw[i - a, j - b] for a, b in part), torch.tensor(0.0))
                for part in (kept, lost)
            )
            torch.testing.assert_close(new[i, j], (eq_4 - gone).double())
            lost_somewhere |= bool(lost)
            assert not lost or i - j < far
    assert lost_somewhere == (c_q > 1)


@pytest.mark.claim("mta-first-mask")
def test_the_first_mask_is_zero():
    q, k, kernel = draw(1, 1, 6, 4), draw(1, 1, 6, 4), draw(1, 2, 3)
    later = torch.ones(6, 6, dtype=torch.bool).triu(1)
    raw = q @ k.mT
    assert correlate(raw.masked_fill(later, -math.inf), kernel).isnan().any()
    only = torch.ones(1, 1, 3).double()
    buried = correlate(raw.masked_fill(later, -math.inf), only)
    assert (buried[0, 0].diagonal()[:-1] == -math.inf).all()

    def rows(k, first):
        logits = correlate((q @ k.mT).masked_fill(later, 0) if first else q @ k.mT, kernel)
        return logits.masked_fill(later, -math.inf).softmax(-1)[0, 0, :4]

    moved = k.clone()
    moved[:, :, 4] += 1  # one position after row 3
    assert (rows(moved, first=False) - rows(k, first=False)).abs().max() > 1e-3
    assert torch.equal(rows(moved, first=True), rows(k, first=True))


@pytest.mark.claim("mta-past-padding")
def test_nothing_of_the_future_enters():
    x = draw(3, 1, 2, 8, 4)
    steps = dict(pre_kernel=draw(2, 3, 5), post_kernel=draw(2, 4, 3))
    steps |= dict(pre_mixing=draw(1, 2, 2), post_mixing=draw(1, 2, 2))
    out = multi_token_attention(*x, **steps)
    for t in range(1, 8):
        moved = x.clone()
        moved[..., t:, :] = draw(3, 1, 2, 8 - t, 4)
        torch.testing.assert_close(multi_token_attention(*moved, **steps)[:, :, :t], out[:, :, :t])
    assert multi_token_maps(*x[:2], **steps).weights.shape[-2:] == (8, 8)


@pytest.mark.claim("liger-leak")
def test_padding_on_both_sides_of_the_queries_leaks():
    size, kernel = 3, draw(1, 1, 3, 3)
    later = torch.ones(8, 8, dtype=torch.bool).triu(1)

    def convolved(scores, *, above, below):
        probs = scores.masked_fill(later, -math.inf).softmax(-1)[None, None]
        new = F.conv2d(F.pad(probs, (size // 2, size // 2, above, below)), kernel)
        assert new.shape[-2:] == (8, 8)
        return new[0, 0].masked_fill(later, 0)[:5]

    scores = draw(8, 8)
    moved = scores.clone()
    moved[5:] = draw(3, 8)
    both = [convolved(x, above=1, below=1) for x in (scores, moved)]
    past = [convolved(x, above=2, below=0) for x in (scores, moved)]
    assert (both[0] - both[1]).abs().max() > 0.01
    assert torch.equal(both[0][:4], both[1][:4])  # it is the last row that reads the next one
    assert torch.equal(*past)


@pytest.mark.claim("mta-eq6")
def test_rows_after_the_second_convolution():
    q, k, kernel = draw(1, 1, 8, 4), draw(1, 1, 8, 4), draw(1, 2, 3)
    weights = multi_token_maps(q, k, post_kernel=kernel).weights
    probs = dot_product_attention(q, k, torch.eye(8).double()[None, None])
    torch.testing.assert_close(weights, correlate(probs, kernel).tril())
    assert (weights.sum(-1) - 1).abs().max() > 0.1 and weights.min() < -0.01
    positive = kernel.abs() / kernel.abs().sum()
    sums = multi_token_maps(q, k, post_kernel=positive).weights.sum(-1)
    assert (sums < 1).all()


@pytest.mark.claim("mta-additive")
def test_maps_multiply_before_the_softmax_and_add_after_it():
    q, k = draw(1, 1, 6, 4), draw(1, 1, 6, 4)
    two = torch.ones(1, 2, 1).double()  # query i and query i - 1, the same key
    probs = multi_token_maps(q, k).probs[0, 0]
    before = multi_token_maps(q, k, pre_kernel=two).weights[0, 0]
    after = multi_token_maps(q, k, post_kernel=two).weights[0, 0]
    for i in range(1, 6):
        product = probs[i, :i] * probs[i - 1, :i]  # row i - 1 does not know key i
        torch.testing.assert_close(before[i, :i] / before[i, :i].sum(), product / product.sum())
        torch.testing.assert_close(after[i], probs[i] + probs[i - 1])


@pytest.mark.claim("mta-eq7")
def test_heads_are_mixed_inside_their_group():
    maps, w = draw(1, 6, 4, 4), draw(3, 2, 2)
    new = mix_heads(maps, w)
    for n in range(3):
        first, second = maps[:, 2 * n], maps[:, 2 * n + 1]
        torch.testing.assert_close(new[:, 2 * n], w[n, 0, 0] * first + w[n, 0, 1] * second)
        torch.testing.assert_close(new[:, 2 * n + 1], w[n, 1, 0] * first + w[n, 1, 1] * second)
    blocks = torch.block_diag(*w)
    torch.testing.assert_close(new, (blocks @ maps.flatten(2)).view_as(new))
    transposed = mix_heads(maps, w.mT)  # what the order [input, output] would give
    assert (transposed - new).abs().max() > 0.1


@pytest.mark.claim("mta-3d")
@pytest.mark.parametrize("c", [1, 2, 4])
def test_convolution_and_mixing_are_one_convolution_in_three_dimensions(c):
    h, c_q, c_k = 4, 3, 5
    maps, kernel, w = draw(2, h, 7, 7).tril(), draw(h, c_q, c_k), draw(h // c, c, c)
    both = mix_heads(key_query_convolution(maps, kernel), w)
    for n in range(h // c):
        mine = slice(n * c, (n + 1) * c)
        joint = torch.einsum("oe,eab->oeab", w[n], kernel[mine])
        volume = F.pad(maps[:, mine], (c_k // 2, c_k // 2, c_q - 1, 0))[:, None]
        new = F.conv3d(volume, joint[:, None])  # (b, o, 1, s, s)
        torch.testing.assert_close(new[:, :, 0].tril(), both[:, mine])
        ranks = [torch.linalg.matrix_rank(joint[:, e].flatten(1)).item() for e in range(c)]
        assert ranks == [1] * c


@pytest.mark.claim("mta-identity")
@pytest.mark.parametrize(("c_q", "c_k", "c"), [(1, 1, 1), (2, 9, 4), (6, 11, 2)])
def test_identity_kernels_and_matrices_change_nothing(c_q, c_k, c):
    q, k, v = draw(3, 2, 4, 8, 4)
    one = identity_kernel(4, c_q=c_q, c_k=c_k).double()
    eye = torch.eye(c).double().repeat(4 // c, 1, 1)
    steps = dict(pre_kernel=one, post_kernel=one, pre_mixing=eye, post_mixing=eye)
    maps = multi_token_maps(q, k, **steps)
    assert torch.equal(maps.logits, maps.raw)
    assert torch.equal(maps.weights, maps.probs)
    torch.testing.assert_close(
        multi_token_attention(q, k, v, **steps), dot_product_attention(q, k, v)
    )


@pytest.mark.claim("mta-rank")
def test_mixing_two_heads_doubles_a_rank():
    width, d, s = 12, 3, 6
    x, w = draw(s, width), draw(2, 2)
    wq, wk, wv, wo = (draw(2, width, d) for _ in range(4))  # two heads each; wo transposed
    logits = [x @ wq[h] @ wk[h].T @ x.T for h in range(2)]
    probs = [a.softmax(-1) for a in logits]
    mixed = [w[h, 0] * probs[0] + w[h, 1] * probs[1] for h in range(2)]
    out = sum(mixed[h] @ x @ wv[h] @ wo[h].T for h in range(2))
    value_output = [sum(w[h, e] * wv[h] @ wo[h].T for h in range(2)) for e in range(2)]
    torch.testing.assert_close(out, sum(probs[e] @ x @ value_output[e] for e in range(2)))
    query_key = [sum(w[h, e] * wq[e] @ wk[e].T for e in range(2)) for h in range(2)]
    for h in range(2):
        before = w[h, 0] * logits[0] + w[h, 1] * logits[1]
        torch.testing.assert_close(before, x @ query_key[h] @ x.T)
    rank = torch.linalg.matrix_rank
    assert [int(rank(m)) for m in (*value_output, *query_key)] == [2 * d] * 4
    assert int(rank(wv[0] @ wo[0].T)) == int(rank(wq[0] @ wk[0].T)) == d


@pytest.mark.claim("mta-low-rank")
def test_convolved_logits_are_dot_products_with_filtered_keys():
    s, d, c_q, c_k = 40, 2, 3, 5
    q, k, kernel = draw(s, d), draw(s, d), draw(1, c_q, c_k)
    convolved = key_query_convolution((q @ k.T)[None, None], kernel)[0, 0]
    padded = F.pad(k, (0, 0, c_k // 2, c_k // 2))
    total = torch.zeros(s, s).double()
    for back in range(c_q):
        taps = kernel[0, c_q - 1 - back]
        filtered = sum(taps[b] * padded[b : b + s] for b in range(c_k))
        total += F.pad(q, (0, 0, back, 0))[:s] @ filtered.T
    off = c_q - 1 + c_k // 2
    torch.testing.assert_close(total.tril(-off), convolved.tril(-off))
    assert (total - convolved).tril().abs().max() > 0.1
    assert int(torch.linalg.matrix_rank(total)) <= c_q * d


@pytest.mark.claim("mta-decoding")
@pytest.mark.parametrize("both", [False, True])
def test_the_queries_that_the_newest_row_needs(both):
    q, k, v = draw(3, 1, 1, 12, 4)
    c_q = 3
    steps = dict(pre_kernel=draw(1, c_q, 3), post_kernel=draw(1, c_q, 3) if both else None)
    needed = (2 if both else 1) * (c_q - 1)
    newest = multi_token_attention(q, k, v, **steps)[:, :, -1]
    for oldest, stays in ((11 - needed, True), (12 - needed, False)):
        moved = q.clone()
        moved[:, :, :oldest] = draw(1, 1, oldest, 4)
        again = multi_token_attention(moved, k, v, **steps)[:, :, -1]
        assert torch.allclose(again, newest) == stays


# parameters, memory, speed


def shapes(kind):
    """Shapes of all tensors of the 880M model with an attention of that kind."""
    layers, heads, width, ffn = 24, 16, 1536, 4096
    d = width // heads
    layer = [(width, width)] * 4 + [(width, ffn)] * 2 + [(ffn, width)] + [(width,)] * 2
    everywhere = {
        "dot product": [],
        "diff": [(d,)] * 4 + [(2 * d,)],
        "talking heads": [(heads, heads)] * 2,
        "multi-token": [(heads, heads)] * 2 + [(d,), (d,), ()],  # norm, gate and its bias
    }[kind]
    found = [(128_256, width), (width,)]
    for index in range(layers):
        found += layer + everywhere
        if kind == "multi-token" and index % 4 == 2:
            found += [(heads, 6, 11)] * 2
    return found


@pytest.mark.claim("mta-table8")
@pytest.mark.parametrize("kind", TABLE_8)
def test_parameters_are_those_of_table_8(kind):
    counted = sum(math.prod(shape) for shape in shapes(kind))
    assert counted == TABLE_8[kind] == multi_token_costs.parameters(kind)


@pytest.mark.claim("mta-table8-share")
@pytest.mark.claim("mta-table8-diff")
def test_what_is_added():
    sizes = {kind: sum(math.prod(shape) for shape in shapes(kind)) for kind in TABLE_8}
    added = {kind: size - sizes["dot product"] for kind, size in sizes.items()}
    assert added["multi-token"] == 29_592 > added["diff"] == 13_824
    percent = 100 * added["multi-token"] / sizes["dot product"]
    assert f"{percent:.4f}" == "0.0034"


@pytest.mark.claim("mta-table7-names")
@pytest.mark.parametrize(
    ("layers", "width", "heads", "millions", "name"),
    [
        (20, 1024, 16, 388, 300),
        (24, 1280, 10, 652, 550),
        (24, 1536, 16, 877, 880),
        (24, 2048, 16, 1496, 1000),
    ],
)
def test_sizes_of_the_models(layers, width, heads, millions, name):
    ffn = math.ceil(8 * width / 3 // 256 + (8 * width / 3 % 256 > 0)) * 256
    layer = 4 * width**2 + 3 * width * ffn + 2 * width
    counted = 128_256 * width + layers * layer + width
    sizes = dict(layers=layers, d_model=width, heads=heads, ffn=ffn)
    assert multi_token_costs.parameters(**sizes) == counted
    assert round(counted / 1e6) == millions
    assert (abs(millions / name - 1) < 0.01) == (name == 880)


@pytest.mark.claim("mta-table9-ratios")
def test_ratios_of_table_9():
    memory, _, speed = zip(*TABLE_9.values(), strict=True)
    slower = {kind: speed[0] / row[2] for kind, row in TABLE_9.items()}
    larger = {kind: row[0] / memory[0] for kind, row in TABLE_9.items()}
    assert (round(slower["multi-token"], 1), round(larger["multi-token"], 1)) == (9.5, 4.2)
    assert (round(slower["talking heads"], 1), round(larger["talking heads"], 1)) == (3.7, 3.6)


@pytest.mark.claim("mta-table9-flops")
def test_the_flops_column_is_the_tokens_column():
    width, layers, context = 1536, 24, 2048
    without_embeddings = TABLE_8["dot product"] - 128_256 * width
    model = 6 * without_embeddings + 6 * layers * width * context
    a_token = {kind: flops * 1e13 / (tokens * 1e3) for kind, (_, flops, tokens) in TABLE_9.items()}
    assert all(1 < flops / model < 1.06 for flops in a_token.values())
    assert max(a_token.values()) / min(a_token.values()) < 1.05
    mixing_and_taps = 2 * layers * 16 * 16 * context + 2 * 6 * 16 * 6 * 11 * context
    added = 3 * 2 * mixing_and_taps / 2  # forward and twice that backward, over the visible half
    assert added > 0.03 * model and a_token["multi-token"] < a_token["dot product"]


# DIFF


@pytest.mark.claim("diff-eq1")
def test_the_difference_of_two_maps():
    q1, q2, k1, k2 = draw(4, 1, 1, 5, 3)
    lam = torch.tensor(0.3, dtype=torch.float64)
    weights = differential_attention(q1, q2, k1, k2, torch.eye(5).double()[None, None], lam)[0, 0]
    for i in range(5):
        maps = [
            ((q[0, 0, i] * k[0, 0, : i + 1]).sum(-1) / math.sqrt(3)).softmax(0)
            for q, k in ((q1, k1), (q2, k2))
        ]
        torch.testing.assert_close(weights[i, : i + 1], maps[0] - lam * maps[1])
    torch.testing.assert_close(weights.sum(-1), torch.full((5,), 0.7).double())
    assert weights.min() < 0
    q, k = (torch.cat(pair, 1) for pair in ((q1, q2), (k1, k2)))
    mixing = torch.tensor([[[1, -0.3], [0, 1]]], dtype=torch.float64)
    mixed = multi_token_maps(q, k, post_mixing=mixing).weights[0, 0]
    torch.testing.assert_close(mixed, weights)


@pytest.mark.claim("diff-lambda-init")
def test_lambda_rises_with_depth():
    starts = [0.8 - 0.6 * math.exp(-0.3 * (layer - 1)) for layer in range(1, 25)]
    assert starts == pytest.approx([lambda_start(layer) for layer in range(24)])
    assert starts == sorted(starts)
    assert starts[0] == pytest.approx(0.2) and starts[-1] == pytest.approx(0.8, abs=1e-3)
    for layer in (0, 7):
        norm = DifferentialAttention(8, 2, layer=layer).norm
        assert norm.scale == pytest.approx(1 - starts[layer])


@pytest.mark.claim("diff-heads")
def test_half_the_heads_need_the_same_projections():
    plain, diff = MultiHeadAttention(24, 4), DifferentialAttention(24, 2)
    projections = ("wq", "wk", "wv", "wo")
    for name in projections:
        assert getattr(plain, name).weight.shape == getattr(diff, name).weight.shape
    count = [sum(p.numel() for p in layer.parameters()) for layer in (plain, diff)]
    assert count[1] - count[0] == 6 * (24 // 4)
