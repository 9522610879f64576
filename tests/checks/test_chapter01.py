"""Mirrors simplex_lib/checks/chapter01.py: its mistakes, also such as are on no list."""

import math
import re

import pytest
import torch
from torch import nn

from simplex_lib.checks import check
from simplex_lib.checks.chapter01 import EXERCISES

INF = float("inf")
IDS = [e.id for e in EXERCISES]


# 1.1


def logits(q, k):
    return q @ k.mT / math.sqrt(q.shape[-1])


def test_logits_by_cosine_are_rejected():
    unit = nn.functional.normalize
    report = check("1.1", lambda q, k: unit(q, dim=-1) @ unit(k, dim=-1).mT)
    assert not report.passed


def test_logits_of_one_batch_are_named_by_where_they_differ():
    report = check("1.1", lambda q, k: logits(q, k[:1].expand_as(k)))
    assert not report.passed and report.named
    assert "b = 1" in report.message


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda q, k: -logits(q, k), "wrong sign"),
        (lambda q, k: 2 * logits(q, k), "2 times the right one"),
        (lambda q, k: logits(q, k).float(), "dtype"),
        (lambda q, k: logits(q.flatten(0, 1), k.flatten(0, 1)), "shape"),
    ],
)
def test_logits_get_a_general_sentence(answer, words):
    report = check("1.1", answer)
    assert not report.passed and report.named and words in report.message


def test_a_power_without_brackets_is_named():
    report = check("1.1", lambda q, k: q @ k.mT / q.shape[-1] ** 1 / 2)
    assert report.cause == "twice_d" and "brackets" in report.message
    report = check("1.1", lambda q, k: q @ k.mT / (q.shape[-1] ** 1 / 2))
    assert report.cause == "half_d" and "brackets" in report.message
    assert check("1.1", lambda q, k: q @ k.mT / math.sqrt(q.shape[1])).cause == "scale_h"


# 1.2


def hide(x, diagonal=1, value=-INF):
    return x.masked_fill(torch.ones_like(x, dtype=torch.bool).triu(diagonal), value)


def by_hand(x):
    e = (x - x.amax(-1, keepdim=True)).exp()
    return e / e.sum(-1, keepdim=True)


@pytest.mark.parametrize(
    "answer",
    [
        lambda x: by_hand(hide(x.flip(-1).triu(0).flip(-1), diagonal=1)),
        lambda x: by_hand(hide(x, value=-10.0)),  # minus ten is not minus infinity
        lambda x: by_hand(hide(x) * math.log(2)),  # powers of 2
        lambda x: by_hand(hide(x)).cumsum(-1),
        lambda x: by_hand(hide(x[:, :1])).expand_as(x),  # the first head for all
        lambda x: by_hand(hide(x)).nan_to_num() + 1e-4,
    ],
)
def test_other_wrong_softmaxes_are_rejected(answer):
    assert not check("1.2", answer).passed


def test_the_softmax_of_torch_is_not_an_answer():
    for answer in (
        lambda x: hide(x).softmax(-1),
        lambda x: torch.nn.functional.softmax(hide(x), -1),
        lambda x: (hide(x) - hide(x).logsumexp(-1, keepdim=True)).exp(),
        lambda x: torch.special.softmax(hide(x), -1),
    ):
        assert check("1.2", answer).cause == "library"


def test_of_two_mistakes_the_one_that_shows_in_plain_numbers_is_named():
    def no_maximum(x):  # fails for large logits only, and the mask in every case
        e = hide(x, value=0).exp()
        return e / e.sum(-1, keepdim=True)

    report = check("1.2", no_maximum)
    assert report.cause == "zero_mask" and "0 is an ordinary logit" in report.message


def test_a_sentence_says_how_much_leaks_and_where():
    report = check("1.2", lambda x: by_hand(x))
    assert re.search(r"Query 0 gives 0\.\d\d of its attention to key 1", report.message)
    report = check("1.2", lambda x: by_hand(hide(x, value=0)))
    assert re.search(r"Query 0 gives 0\.00[1-9]\d* of its attention", report.message)


@pytest.mark.parametrize("value", [-50, -1000, -1e4])
def test_no_finite_number_hides_a_logit(value):
    assert check("1.2", lambda x: by_hand(hide(x, value=value))).cause.startswith("finite_mask")
    report = check("1.3", lambda q, k, v: hide(logits(q, k), value=value).softmax(-1) @ v)
    assert report.cause == "finite_mask" and "it wins" in report.message


def test_numbers_are_told_before_the_dtype():
    def times_mask(x):  # in bfloat16 the mask of ones makes it float32
        e = x.exp() * torch.ones(x.shape[-2:]).tril()
        return e / e.sum(-1, keepdim=True)

    assert check("1.2", times_mask).cause == "no_max_times_mask, of ones"


# 1.3 and 1.4


def attention(q, k, v):
    return hide(logits(q, k)).softmax(-1) @ v


@pytest.mark.parametrize(
    "answer",
    [
        lambda q, k, v: hide(logits(q, k).abs()).softmax(-1) @ v,
        lambda q, k, v: hide(logits(k, q)).softmax(-1) @ v,
        lambda q, k, v: hide(logits(q, k).square()).softmax(-1) @ v,
        lambda q, k, v: attention(q, k, v) + v,
        lambda q, k, v: attention(q.half().double(), k, v),
        lambda q, k, v: v.cumsum(-2) / torch.arange(1, v.shape[-2] + 1)[:, None],
    ],
)
def test_other_wrong_attentions_are_rejected(answer):
    assert not check("1.3", answer).passed


def test_the_fused_attention_is_not_an_answer():
    fused = torch.nn.functional.scaled_dot_product_attention
    assert check("1.3", lambda q, k, v: fused(q, k, v, is_causal=True)).cause == "library"
    shared = check("1.4", lambda q, k, v: fused(q, k, v, is_causal=True, enable_gqa=True))
    assert shared.cause == "library"


def test_the_attention_of_the_course_is_not_an_answer():
    from simplex_lib.attention import dot_product_attention

    assert check("1.3", dot_product_attention).cause == "library"
    assert check("1.4", dot_product_attention).cause == "library"


def test_a_softmax_over_the_heads_is_named():
    report = check("1.3", lambda q, k, v: hide(logits(q, k)).softmax(1) @ v)
    assert report.cause == "head_axis" and "over the heads" in report.message


def test_the_number_of_heads_for_the_size_of_a_group_is_named():
    def by_count(q, k, v):
        n, g = torch.arange(q.shape[1]), k.shape[1]
        return attention(q, k[:, n // g], v[:, n // g])

    def one_by_one(q, k, v):
        g = k.shape[1]
        heads = [attention(q[:, n], k[:, n // g], v[:, n // g]) for n in range(q.shape[1])]
        return torch.stack(heads, 1)

    for answer in (by_count, one_by_one):
        report = check("1.4", answer)
        assert report.cause == "by_count" and "as many query heads" in report.message


@pytest.mark.parametrize(
    "pick",
    [
        lambda n, r, g: g - 1 - n // r,  # the groups backwards
        lambda n, r, g: (n // r + 1) % g,  # off by one group
        lambda n, r, g: n.clamp(max=g - 1),  # the first heads their own, the rest the last
    ],
)
def test_other_wrong_groups_are_rejected(pick):
    def answer(q, k, v):
        heads = pick(torch.arange(q.shape[1]), q.shape[1] // k.shape[1], k.shape[1])
        return attention(q, k[:, heads], v[:, heads])

    assert not check("1.4", answer).passed


# 1.5


def online(q, k, v, block, *, first=-INF, lse_of=lambda m, total: m + total.log()):
    m, total, acc = torch.full_like(q[..., 0], first), torch.zeros_like(q[..., 0]), 0
    for kb, vb in zip(k.split(block, -2), v.split(block, -2), strict=True):
        x = logits(q, kb)
        new = torch.maximum(m, x.amax(-1))
        f, p = (m - new).exp(), (x - new[..., None]).exp()
        total, acc, m = f * total + p.sum(-1), f[..., None] * acc + p @ vb, new
    return acc / total[..., None], lse_of(m, total)


def test_online_softmax_passes():
    assert check("1.5", online).passed


@pytest.mark.parametrize(
    "answer",
    [
        lambda q, k, v, block: online(q, k, v, block)[::-1],
        lambda q, k, v, block: online(q, k, v, block)[0],
        lambda q, k, v, block: online(q, k.flip(-2), v, block),
        lambda q, k, v, block: online(q, k, v, block, lse_of=lambda m, t: m + torch.log1p(t)),
        lambda q, k, v, block: online(q, k, v.cumsum(-2), block),
        lambda q, k, v, block: online(q, k[..., 1:, :], v[..., 1:, :], block),
    ],
)
def test_other_wrong_blocks_are_rejected(answer):
    report = check("1.5", answer)
    assert not report.passed and report.cause != "raised", report.message


def test_no_sentence_contradicts_the_smallest_case():
    def two_blocks(q, k, v, block):  # right where two blocks are enough
        return online(q, k[..., : 2 * block, :], v[..., : 2 * block, :], block)

    report = check("1.5", two_blocks)
    assert report.case.sizes["d"] == 1 and "d = 1, wrong" not in report.message


def test_all_logits_at_once_are_noticed_however_they_are_made():
    def by_einsum(q, k, v, block):
        p = torch.einsum("bhid,bhjd->bhij", q / math.sqrt(q.shape[-1]), k)
        return p.softmax(-1) @ v, p.logsumexp(-1)

    report = check("1.5", by_einsum)
    assert report.cause == "whole" and "all keys at once" in report.message


def test_blocks_of_queries_are_no_blocks_of_keys():
    def rows(q, k, v, size):
        parts = [logits(x, k) for x in q.split(size, -2)]
        out = torch.cat([x.softmax(-1) @ v for x in parts], -2)
        return out, torch.cat([x.logsumexp(-1) for x in parts], -1)

    def by_query(q, k, v, block):
        parts = [torch.einsum("bhd,bhjd->bhj", x, k) / math.sqrt(q.shape[-1]) for x in q.unbind(-2)]
        outs = [torch.einsum("bhj,bhjd->bhd", x.softmax(-1), v) for x in parts]
        return torch.stack(outs, -2), torch.stack([x.logsumexp(-1) for x in parts], -1)

    def one_row(q, k, v, block):
        return rows(q, k, v, 1)

    for answer in (rows, by_query, one_row):
        report = check("1.5", answer)
        assert report.cause == "blocks_of_queries", report.message
        assert "some queries at a time" in report.message


def test_blocks_of_both_pass():
    def both(q, k, v, block):
        parts = [online(x, k, v, block) for x in q.split(2, -2)]
        return torch.cat([out for out, _ in parts], -2), torch.cat([lse for _, lse in parts], -1)

    def with_a_mask(q, k, v, block):
        torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool)
        k.mT.contiguous()  # (d, n) is no table of logits
        return online(q, k, v, block)

    assert check("1.5", both).passed
    assert check("1.5", with_a_mask).passed


def test_keys_left_over_get_a_sentence_also_where_only_a_dtype_differs():
    def whole_blocks(q, k, v, block):
        m, total = torch.full(q.shape[:-1], -INF), torch.zeros(q.shape[:-1])
        acc = torch.zeros(q.shape)
        for n in range(k.shape[-2] // block):
            kb, vb = (x[..., n * block : (n + 1) * block, :] for x in (k, v))
            x = logits(q, kb)
            new = torch.maximum(m, x.amax(-1))
            f, p = (m - new).exp(), (x - new[..., None]).exp()
            total, acc, m = f * total + p.sum(-1), f[..., None] * acc + p @ vb, new
        return acc / total[..., None], m + total.log()

    report = check("1.5", whole_blocks)
    assert report.cause == "last_block" and "was left out" in report.message


@pytest.mark.parametrize("first", [0.0, -100.0])
def test_a_finite_start_of_the_maximum_is_named(first):
    report = check("1.5", lambda q, k, v, block: online(q, k, v, block, first=first))
    assert report.cause == "max_from_zero" and "a finite number" in report.message


def test_exponentials_of_bare_logits_are_named():
    def bare(q, k, v, block):
        total, acc = 0, 0
        for kb, vb in zip(k.split(block, -2), v.split(block, -2), strict=True):
            p = logits(q, kb).exp()
            total, acc = total + p.sum(-1), acc + p @ vb
        return acc / total[..., None], total.log()

    assert check("1.5", bare).cause == "no_max"


@pytest.mark.parametrize("first", [INF, math.nan])
def test_nothing_but_nan_is_not_called_an_inverse(first):
    report = check("1.5", lambda q, k, v, block: online(q, k, v, block, first=first))
    assert report.cause == "all_nan" and "upside down" not in report.message
    assert "the first block" in report.message


def test_every_mistake_has_a_sentence_without_numbers():
    for exercise in EXERCISES:
        for wrong in exercise.wrong:
            assert wrong.sentence(None).endswith((".", ")", "?")), wrong.name
            assert "known mistake" not in wrong.sentence(None)


# 1.6


class Layer(nn.Module):
    def __init__(self, d_model, n_heads, n_kv_heads):
        super().__init__()
        self.d = d_model // n_heads
        self.wq = nn.Linear(d_model, d_model, bias=False)
        self.wk = nn.Linear(d_model, n_kv_heads * self.d, bias=False)
        self.wv = nn.Linear(d_model, n_kv_heads * self.d, bias=False)
        self.wo = nn.Linear(d_model, d_model, bias=False)

    def attend(self, q, k, v):
        r = q.shape[1] // k.shape[1]
        return attention(q, k.repeat_interleave(r, 1), v.repeat_interleave(r, 1))

    def forward(self, x):
        q, k, v = (
            w(x).unflatten(-1, (-1, self.d)).transpose(1, 2) for w in (self.wq, self.wk, self.wv)
        )
        return self.wo(self.attend(q, k, v).transpose(1, 2).flatten(-2))


def test_the_layer_passes_and_may_call_the_course_s_attention():
    from simplex_lib.attention import dot_product_attention

    class Short(Layer):
        def attend(self, q, k, v):
            return dot_product_attention(q, k, v)

    assert check("1.6", Layer).passed
    assert check("1.6", Short).passed


def test_the_layer_of_the_course_is_not_an_answer():
    from simplex_lib.attention import MultiHeadAttention

    assert check("1.6", MultiHeadAttention).cause == "library"


class NormalisedQueries(Layer):
    def attend(self, q, k, v):
        return super().attend(nn.functional.normalize(q, dim=-1), k, v)


class HeadsBackwards(Layer):
    def attend(self, q, k, v):
        return super().attend(q, k, v).flip(1)


class Doubled(Layer):
    def forward(self, x):
        return 2 * super().forward(x)


class Dropping(Layer):
    def attend(self, q, k, v):
        return super().attend(q, k, v).transpose(0, 1).transpose(0, 1)[:, :, :-1]


@pytest.mark.parametrize("answer", [NormalisedQueries, HeadsBackwards, Doubled, Dropping])
def test_other_wrong_layers_are_rejected(answer):
    assert not check("1.6", answer).passed


class NoOutputMatrix(Layer):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        del self.wo


class BareParameters(Layer):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        weight = self.wq.weight
        del self.wq
        self.wq = nn.Parameter(weight.detach())


class TransposedShape(Layer):
    def __init__(self, d_model, n_heads, n_kv_heads):
        super().__init__(d_model, n_heads, n_kv_heads)
        self.wk = nn.Linear(n_kv_heads * self.d, d_model, bias=False)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (NoOutputMatrix, "Yours lacks wo.weight."),
        (BareParameters, "Yours lacks wq.weight. Yours also has wq."),
        (TransposedShape, r"should have a wk.weight of shape \(\d, \d\); yours has \(\d, \d\)"),
        (Layer(4, 2, 1), "Give the check the class itself"),
        (lambda *sizes: sizes, "gives a tuple, not an nn.Module"),
    ],
)
def test_a_layer_that_cannot_be_loaded_is_told_why(answer, words):
    report = check("1.6", answer)
    assert not report.passed and report.named
    assert re.search(words, report.message)
    assert "raised" not in report.message
