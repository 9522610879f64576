"""The checks 10.3 and 10.4: right kernels pass, more is caught than listed, no sentence is false.

`python tests/checks/test_chapter10_kernels.py 10.3` prints what a learner reads for every wrong
answer; that each is named by its own sentence is what test_audit.py looks at.
"""

import linecache
import math
import sys
from typing import Any

import pytest
import torch

from simplex_lib.attention import trilinear_attention_with_lse
from simplex_lib.checks import check, exercises
from simplex_lib.checks.audit_checks import confusion
from simplex_lib.checks.ch10_first_key import truth_first_key
from simplex_lib.checks.ch10_first_key_runs import (
    AS_DRAWN,
    FAR,
    HIGH_IF_HIDDEN,
    READ,
    SCALE,
    attention,
    given_tensors,
    gradients,
    in_memory,
    laid_out,
    output_orders,
    pair_inputs,
    raise_hidden,
    width_of,
)
from simplex_lib.checks.ch10_second_key import truth_second_key
from simplex_lib.checks.exercise import Draw
from simplex_lib.checks.jit import tl, triton

NAMES = {"10.3": "first_key_kernel", "10.4": "second_key_kernel"}


@triton.jit
def first_key_kernel(
    q_ptr,
    q_strides,
    k1_ptr,
    k1_strides,
    k2_ptr,
    k2_strides,
    v1_ptr,
    v1_strides,
    v2_ptr,
    v2_strides,
    dout_ptr,
    dout_strides,
    lse_ptr,
    lse_strides,
    delta_ptr,
    delta_strides,
    dk1_ptr,
    dk1_strides,
    dv1_ptr,
    dv1_strides,
    s,
    d,
    w1,
    w2,
    scale,
    KEYS: tl.constexpr,
    QUERIES: tl.constexpr,
    D: tl.constexpr,
):
    tile, h, b = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    q_ptr += b * q_strides[0] + h * q_strides[1]
    k1_ptr += b * k1_strides[0] + h * k1_strides[1]
    k2_ptr += b * k2_strides[0] + h * k2_strides[1]
    v1_ptr += b * v1_strides[0] + h * v1_strides[1]
    v2_ptr += b * v2_strides[0] + h * v2_strides[1]
    dout_ptr += b * dout_strides[0] + h * dout_strides[1]
    lse_ptr += b * lse_strides[0] + h * lse_strides[1]
    delta_ptr += b * delta_strides[0] + h * delta_strides[1]
    dk1_ptr += b * dk1_strides[0] + h * dk1_strides[1]
    dv1_ptr += b * dv1_strides[0] + h * dv1_strides[1]

    c = tl.arange(0, D)[None, :]
    first_j = tile * KEYS
    j = first_j + tl.arange(0, KEYS)
    j_ok = (j < s)[:, None] & (c < d)
    k1_at = j[:, None] * k1_strides[2] + c * k1_strides[3]
    v1_at = j[:, None] * v1_strides[2] + c * v1_strides[3]
    k1 = tl.load(k1_ptr + k1_at, mask=j_ok, other=0.0).to(tl.float32)
    v1 = tl.load(v1_ptr + v1_at, mask=j_ok, other=0.0).to(tl.float32)
    dk1 = tl.zeros((KEYS, D), tl.float32)
    dv1 = tl.zeros((KEYS, D), tl.float32)

    i_end = tl.minimum(first_j + KEYS - 1 + w1, s)
    for k in range(tl.maximum(first_j - w2 + 1, 0), i_end):
        k2 = tl.load(k2_ptr + k * k2_strides[2] + c * k2_strides[3], mask=c < d, other=0.0)
        v2 = tl.load(v2_ptr + k * v2_strides[2] + c * v2_strides[3], mask=c < d, other=0.0)
        k2, v2 = k2.to(tl.float32), v2.to(tl.float32)
        for first_i in range(tl.maximum(first_j, k), tl.minimum(i_end, k + w2), QUERIES):
            i = first_i + tl.arange(0, QUERIES)
            i_ok = (i < s)[:, None] & (c < d)
            q_at = i[:, None] * q_strides[2] + c * q_strides[3]
            dout_at = i[:, None] * dout_strides[2] + c * dout_strides[3]
            q = tl.load(q_ptr + q_at, mask=i_ok, other=0.0).to(tl.float32)
            dout = tl.load(dout_ptr + dout_at, mask=i_ok, other=0.0).to(tl.float32)
            lse = tl.load(lse_ptr + i * lse_strides[2], mask=i < s, other=0.0)
            delta = tl.load(delta_ptr + i * delta_strides[2], mask=i < s, other=0.0)

            merged = q * k2 * scale
            logits = tl.dot(k1, tl.trans(merged), input_precision="ieee")
            to_j, to_k = i[None, :] - j[:, None], i - k
            sees_j = (to_j >= 0) & (to_j < w1)
            sees_k = (to_k >= 0) & (to_k < w2) & (i < s)
            p = tl.where(sees_j & sees_k[None, :], tl.exp(logits - lse[None, :]), 0.0)
            merged_dout = dout * v2
            dp = tl.dot(v1, tl.trans(merged_dout), input_precision="ieee")
            ds = p * (dp - delta[None, :])
            dv1 += tl.dot(p, merged_dout, input_precision="ieee")
            dk1 += tl.dot(ds, merged, input_precision="ieee")

    dk1_at = dk1_ptr + j[:, None] * dk1_strides[2] + c * dk1_strides[3]
    dv1_at = dv1_ptr + j[:, None] * dv1_strides[2] + c * dv1_strides[3]
    tl.store(dk1_at, dk1, mask=j_ok)
    tl.store(dv1_at, dv1, mask=j_ok)


@triton.jit
def second_key_kernel(
    q_ptr,
    q_strides,
    k1_ptr,
    k1_strides,
    k2_ptr,
    k2_strides,
    v1_ptr,
    v1_strides,
    v2_ptr,
    v2_strides,
    dout_ptr,
    dout_strides,
    lse_ptr,
    lse_strides,
    delta_ptr,
    delta_strides,
    dq_ptr,
    dq_strides,
    dk2_ptr,
    dk2_strides,
    dv2_ptr,
    dv2_strides,
    s,
    d,
    w1,
    scale,
    W2: tl.constexpr,
    D: tl.constexpr,
    STAGE: tl.constexpr,
):
    h, b = tl.program_id(1), tl.program_id(2)
    q_ptr += b * q_strides[0] + h * q_strides[1]
    k1_ptr += b * k1_strides[0] + h * k1_strides[1]
    k2_ptr += b * k2_strides[0] + h * k2_strides[1]
    v1_ptr += b * v1_strides[0] + h * v1_strides[1]
    v2_ptr += b * v2_strides[0] + h * v2_strides[1]
    dout_ptr += b * dout_strides[0] + h * dout_strides[1]
    lse_ptr += b * lse_strides[0] + h * lse_strides[1]
    delta_ptr += b * delta_strides[0] + h * delta_strides[1]
    dq_ptr += b * dq_strides[0] + h * dq_strides[1]
    dk2_ptr += b * dk2_strides[0] + h * dk2_strides[1]
    dv2_ptr += b * dv2_strides[0] + h * dv2_strides[1]

    c = tl.arange(0, D)[None, :]
    first_i = (2 * tl.program_id(0) + STAGE) * W2
    i = first_i + tl.arange(0, W2)
    i_ok = (i < s)[:, None] & (c < d)
    q_at = i[:, None] * q_strides[2] + c * q_strides[3]
    dout_at = i[:, None] * dout_strides[2] + c * dout_strides[3]
    q = tl.load(q_ptr + q_at, mask=i_ok, other=0.0).to(tl.float32)
    dout = tl.load(dout_ptr + dout_at, mask=i_ok, other=0.0).to(tl.float32)
    lse = tl.load(lse_ptr + i * lse_strides[2], mask=i < s, other=0.0)
    delta = tl.load(delta_ptr + i * delta_strides[2], mask=i < s, other=0.0)
    k = first_i - W2 + tl.arange(0, 2 * W2)
    k_ok = ((k >= 0) & (k < s))[:, None] & (c < d)
    k2_at = k[:, None] * k2_strides[2] + c * k2_strides[3]
    v2_at = k[:, None] * v2_strides[2] + c * v2_strides[3]
    k2 = tl.load(k2_ptr + k2_at, mask=k_ok, other=0.0).to(tl.float32)
    v2 = tl.load(v2_ptr + v2_at, mask=k_ok, other=0.0).to(tl.float32)
    to_k = i[None, :] - k[:, None]
    sees_k = (to_k >= 0) & (to_k < W2) & (k >= 0)[:, None] & (i < s)[None, :]

    dq = tl.zeros((W2, D), tl.float32)
    dk2 = tl.zeros((2 * W2, D), tl.float32)
    dv2 = tl.zeros((2 * W2, D), tl.float32)
    for j in range(tl.maximum(first_i - w1 + 1, 0), tl.minimum(first_i + W2, s)):
        k1 = tl.load(k1_ptr + j * k1_strides[2] + c * k1_strides[3], mask=c < d, other=0.0)
        v1 = tl.load(v1_ptr + j * v1_strides[2] + c * v1_strides[3], mask=c < d, other=0.0)
        k1, v1 = k1.to(tl.float32) * scale, v1.to(tl.float32)
        merged = q * k1
        merged_dout = dout * v1
        logits = tl.dot(k2, tl.trans(merged), input_precision="ieee")
        visible = sees_k & ((i >= j) & (i - j < w1))[None, :]
        p = tl.where(visible, tl.exp(logits - lse[None, :]), 0.0)
        dp = tl.dot(v2, tl.trans(merged_dout), input_precision="ieee")
        ds = p * (dp - delta[None, :])
        dv2 += tl.dot(p, merged_dout, input_precision="ieee")
        dk2 += tl.dot(ds, merged, input_precision="ieee")
        dq += tl.dot(tl.trans(ds), k2, input_precision="ieee") * k1

    tl.store(dq_ptr + i[:, None] * dq_strides[2] + c * dq_strides[3], dq, mask=i_ok)
    dk2_at = dk2_ptr + k[:, None] * dk2_strides[2] + c * dk2_strides[3]
    dv2_at = dv2_ptr + k[:, None] * dv2_strides[2] + c * dv2_strides[3]
    if STAGE == 1:
        dk2 += tl.load(dk2_at, mask=k_ok, other=0.0)
        dv2 += tl.load(dv2_at, mask=k_ok, other=0.0)
    tl.store(dk2_at, dk2, mask=k_ok)
    tl.store(dv2_at, dv2, mask=k_ok)


def changed(exercise, *changes):
    """The kernel above with some of its text exchanged, as a learner might have written it."""
    lines = linecache.getlines(__file__)
    first = lines.index(f"def {NAMES[exercise]}(\n") - 1
    last = next(n for n in range(first, len(lines)) if lines[n : n + 2] == ["\n", "\n"])
    text = "".join(lines[first:last])
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    file = f"<{exercise} {changes}>"
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)
    space = {"tl": tl, "triton": triton}
    exec(compile(text, file, "exec"), space)
    return space[NAMES[exercise]]


@pytest.mark.parametrize("exercise", NAMES)
def test_an_exercise_helps_without_telling(exercise):
    found = exercises()[exercise]
    assert all(found.hints) and len(set(found.hints)) == 3
    assert found.why and found.another_way and found.chapter == "10"
    assert len(found.wrong) >= 8 and len(found.right) >= 2
    assert len({wrong.says for wrong in found.wrong}) == len(found.wrong)


# right kernels -----------------------------------------------------------------------------------

STRAIGHT = (("tl.exp(logits - lse[None, :])", "tl.exp(tl.minimum(logits - lse[None, :], 0.0))"),)
BASE_2 = (("tl.exp(logits - lse[None, :])", "tl.exp2((logits - lse[None, :]) * 1.44269504)"),)
VISIBLE = "visible = (i < s)[None, :] & (k >= 0)[:, None]"
SECOND_VALUE = "tl.load(v2_ptr + k * v2_strides[2] + c * v2_strides[3]"
ALL_QUERIES = (("tl.maximum(first_j, k), tl.minimum(i_end, k + w2), QUERIES", "0, s, QUERIES"),)
ALL_KEYS = (("tl.maximum(first_j - w2 + 1, 0), i_end", "s"),)
ALL_FIRST_KEYS = (("tl.maximum(first_i - w1 + 1, 0), tl.minimum(first_i + W2, s)", "s"),)


@pytest.mark.parametrize("changes", [(), STRAIGHT, BASE_2, ALL_QUERIES + ALL_KEYS])
def test_the_first_kernel_passes(changes):
    report = check("10.3", changed("10.3", *changes))
    assert report.passed, report


@pytest.mark.parametrize(
    "changes", [(), STRAIGHT, BASE_2, ALL_FIRST_KEYS, (("if STAGE == 1:", "if True:"),)]
)
def test_the_second_kernel_passes(changes):
    report = check("10.4", changed("10.4", *changes))
    assert report.passed, report


# what the truths stand for -----------------------------------------------------------------------


def example():
    rows = ((0, math.log(2)), (0, 1), (1, 1), (0, 6), (1, 0), (0, 1))
    return {n: torch.tensor(x).double().view(1, 1, 2, 1) for n, x in zip(READ, rows, strict=True)}


def test_the_example_of_the_page_comes_out():
    wanted = dict(
        dq=(0, 2 / 3),
        dk1=(-math.log(2) * 2 / 3, math.log(2) * 2 / 3),
        dk2=(math.log(2) * 4 / 3, -math.log(2) * 2 / 3),
        dv1=(1 / 6, 2 / 6),
        dv2=(2, 2),
    )
    options: dict[str, Any] = dict(w1=2, w2=2, scale=1.0, logits=AS_DRAWN)
    found: dict[str, Any] = dict(
        zip(("dq", "dk2", "dv2"), truth_second_key(**example(), **options), strict=True)
    )
    first = truth_first_key(**example(), **options, keys=16, queries=16)
    found |= dict(zip(("dk1", "dv1"), first, strict=True))
    for name, numbers in wanted.items():
        torch.testing.assert_close(found[name].flatten(), torch.tensor(numbers).double())
    given = given_tensors(example() | options)
    torch.testing.assert_close(given["lse"].flatten(), torch.tensor([0, math.log(6)]))
    torch.testing.assert_close(given["delta"].flatten(), torch.tensor([0.0, 2.0]))


def test_the_truth_agrees_with_the_library_and_with_explicit_sums():
    x = pair_inputs(Draw(3), b=1, h=2, s=6, d=3, logits=AS_DRAWN)
    out, lse = attention(x, 4, 2, 0.7)
    inputs = [x[name] for name in READ[:5]]
    wanted = trilinear_attention_with_lse(*inputs, w1=4, w2=2, scale=0.7)
    torch.testing.assert_close((out, lse), wanted)
    found, delta = gradients(x, 4, 2, 0.7), (out * x["dout"]).sum(-1)
    sums = {name: torch.zeros_like(x["q"]) for name in found}
    q, k1, k2, v1, v2, dout = (x[name] for name in READ)
    past = [(i, j, k) for i in range(6) for j in range(i + 1) for k in range(i + 1)]
    for i, j, k in past:
        for h in range(2 if i - j < 4 and i - k < 2 else 0):
            logit = 0.7 * (q[0, h, i] * k1[0, h, j] * k2[0, h, k]).sum()
            p = (logit - lse[0, h, i]).exp()
            dp = (dout[0, h, i] * v1[0, h, j] * v2[0, h, k]).sum()
            ds = 0.7 * p * (dp - delta[0, h, i])
            sums["dq"][0, h, i] += ds * k1[0, h, j] * k2[0, h, k]
            sums["dk1"][0, h, j] += ds * q[0, h, i] * k2[0, h, k]
            sums["dk2"][0, h, k] += ds * q[0, h, i] * k1[0, h, j]
            sums["dv1"][0, h, j] += p * dout[0, h, i] * v2[0, h, k]
            sums["dv2"][0, h, k] += p * dout[0, h, i] * v1[0, h, j]
    torch.testing.assert_close(found, sums)


def test_logits_that_are_far_from_0_leave_the_range_of_exp():
    x = pair_inputs(Draw(0), b=1, h=1, s=4, d=5, logits=FAR)
    lse = attention(x, 4, 4, SCALE)[1].float()
    assert (lse.exp()[..., 2::2] == 0).all() and lse.exp()[..., 1::2].isinf().all()


def test_hidden_logits_alone_are_high():
    x = raise_hidden(pair_inputs(Draw(0), b=1, h=1, s=18, d=3, logits=HIGH_IF_HIDDEN), 4, 5)
    logits = SCALE * torch.einsum("bhid,bhjd,bhkd->ijk", x["q"], x["k1"], x["k2"])
    at = torch.arange(18)
    past = at[:, None] - at
    visible = ((past >= 0) & (past < 4))[:, :, None] & ((past >= 0) & (past < 5))[:, None]
    assert logits[visible].abs().max() < 10
    over = logits - attention(x, 4, 5, SCALE)[1][0, 0, :, None, None] > 90
    future = past < 0
    assert (over & future[:, :, None]).any() and (over & future[:, None]).any()
    assert (over & (past >= 4)[:, :, None]).any() and (over & (past >= 5)[:, None]).any()


def test_no_two_tensors_of_a_kernel_lie_alike():
    alike = []
    for d in (4, 5):
        x = pair_inputs(Draw(0), b=2, h=3, s=7, d=d, logits=AS_DRAWN)
        given = given_tensors(x | dict(w1=2, w2=3, scale=1.0))
        assert all(torch.equal(given[name], x[name]) for name in READ)
        new = [laid_out(torch.zeros(2, 3, 7, d), order) for order in output_orders(d)]
        tensors = [*(given[name] for name in READ), *new]
        assert len({tensor.stride() for tensor in tensors}) == 9
        assert all(tensor.stride()[-1] > 1 for tensor in tensors)
        for axis in (2, 3):
            steps = [tensor.stride()[axis] for tensor in tensors]
            pairs = [(m, n) for m in range(9) for n in range(m) if steps[m] == steps[n]]
            alike.append({(axis, *pair) for pair in pairs})
    assert not (alike[0] & alike[2]) and not (alike[1] & alike[3])
    assert in_memory("shb") == (2, 1, 0)
    assert [width_of(d) for d in (1, 16, 17, 32)] == [16, 16, 32, 32]


# kernels that are on no list ---------------------------------------------------------------------


def seen(exercise, *changes):
    report = check(exercise, changed(exercise, *changes))
    assert not report.passed
    return report


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ([("first_j + KEYS - 1 + w1, s", "first_j + KEYS - 2 + w1, s")], "part"),
        ([("dk1_at, dk1, mask=j_ok", "dk1_at, dk1")], "writes outside dk1"),
        ([("QUERIES):\n            i =", "KEYS):\n            i =")], "part"),
        ([("lse_ptr + i * lse_strides[2]", "lse_ptr + i")], "reads outside lse"),
        ([("k1_strides[3]\n    v1_at", "q_strides[3]\n    v1_at")], "reads outside k1"),
        ([("h * dk1_strides[1]", "0")], "race in dk1"),
        ([("first_j = tile * KEYS", "first_j = tile * QUERIES")], "race in dk1"),
        ([("tl.dot(p, ", "tl.dot(p.to(tl.float16).to(tl.float32), ")], "precision"),
    ],
)
def test_other_mistakes_in_the_first_kernel_are_told_by_what_they_do(changes, cause):
    assert seen("10.3", *changes).cause == cause


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ([("((k >= 0) & (k < s))[:, None]", "(k < s)[:, None]")], "reads outside k2"),
        ([("tl.minimum(first_i + W2, s)", "first_i + W2")], "reads outside k1"),
        ([("h * dk2_strides[1]", "0")], "race in dk2"),
        ([("dq, mask=i_ok)", "dq, mask=i_ok & (STAGE == 1))")], "nan"),
        ([("dk2 += tl.load(dk2_at", "dk2 = 0.5 * dk2 + 0.5 * tl.load(dk2_at")], "axis"),
    ],
)
def test_other_mistakes_in_the_second_kernel_are_told_by_what_they_do(changes, cause):
    assert seen("10.4", *changes).cause == cause


VISIBLE_1 = "tl.where(sees_j & sees_k[None, :], tl.exp(logits - lse[None, :]), 0.0)"
PRODUCT_1 = (VISIBLE_1, "tl.exp(logits - lse[None, :]) * (sees_j & sees_k[None, :])")
VISIBLE_2 = "tl.where(visible, tl.exp(logits - lse[None, :]), 0.0)"
PRODUCT_2 = (VISIBLE_2, "tl.exp(logits - lse[None, :]) * visible")
MERGED = "dp = tl.dot("
RENORMED = (MERGED, f"p = p / tl.maximum(tl.sum(p, 0), 1e-30)[None, :]; {MERGED}")
TILE_DELTA = ("dp - delta[None, :]", "dp - tl.sum(p * dp, 0)[None, :]")
LAST_TILE = "last tile of queries left out"
LSE = ("lse = tl.load", "delta = tl.laod")
DELTA = ("delta = tl.load", "lse = tl.load")
BFLOAT = ("- lse[None, :]", "- lse.to(tl.bfloat16).to(tl.float32)[None, :]")
EXCHANGED = (("dk2_at, dk2, mask", "dk2_at, xx, mask"), ("dv2_at, dv2, mask", "dv2_at, dk2, mask"))
EXCHANGED += (("dk2_at, xx, mask", "dk2_at, dv2, mask"),)
STRIDES = "k2 with the strides of q"


@pytest.mark.parametrize(
    ("exercise", "changes", "cause"),
    [
        ("10.3", [("ds = p * (dp - delta[None, :])", "ds = p * dp")], "delta forgotten"),
        ("10.3", [("q * k2 * scale", "q * k2 / tl.sqrt(d * 1.0)")], "scale of its own"),
        ("10.3", [(SECOND_VALUE, SECOND_VALUE.replace("v2", "v1"))], "first value read twice"),
        ("10.3", [("(to_j >= 0) & ", "")], "future first keys in the tile"),
        ("10.3", [("(to_j < w1)", "(to_j <= w1)")], "window w1 + 1 in the mask"),
        ("10.3", [("tl.store(dk1_at", "tl.atomic_add(dk1_at")], "atomics"),
        ("10.4", [("first_i - W2 + tl.arange", "first_i + tl.arange")], "previous tile left out"),
        ("10.4", [("(k >= 0)[:, None] & ", "")], "rows before the text seen"),
        ("10.4", [("(to_k < W2) & ", "")], "second window missing"),
        ("10.4", [("if STAGE == 1:", "if STAGE == 0:")], "odd tiles overwrite"),
        ("10.4", [("2 * tl.program_id(0) + STAGE", "tl.program_id(0)")], "STAGE ignored"),
        (
            "10.4",
            [("(2 * tl.program_id(0) + STAGE)", "2 * tl.program_id(0)")],
            "even tiles in both stages",
        ),
        ("10.4", [("tl.store(dk2_at", "tl.atomic_add(dk2_at")], "atomics"),
        ("10.3", [PRODUCT_1], "mask multiplied"),
        ("10.4", [PRODUCT_2], "mask multiplied"),
        ("10.3", [RENORMED], "P of the tile"),
        ("10.4", [RENORMED], "P of the tile"),
        ("10.3", [TILE_DELTA], "delta of the tile"),
        ("10.4", [TILE_DELTA], "delta of the tile"),
        ("10.3", [("dk1 += tl.dot", "dk1 = tl.dot")], "dk1 overwritten"),
        ("10.3", [("dv1 += tl.dot", "dv1 = tl.dot")], "dv1 overwritten"),
        ("10.4", [("dq += tl.dot", "dq = tl.dot")], "dq overwritten"),
        ("10.4", [("dk2 += tl.dot", "dk2 = tl.dot")], "dk2 overwritten"),
        ("10.4", [("dv2 += tl.dot", "dv2 = tl.dot")], "dv2 overwritten"),
        ("10.3", [("k + w2), QUERIES", "k + w2) - QUERIES, QUERIES")], LAST_TILE),
        ("10.3", [("k + w2), QUERIES", "k + w2), QUERIES // 2")], "queries by half a tile"),
        ("10.3", [("- w2 + 1, 0), i_end", "- w2 + 1, 0), i_end - 1")], "last second key left out"),
        ("10.4", [("tl.minimum(first_i + W2, s)", "first_i")], "first keys of the tile left out"),
        ("10.3", [LSE, DELTA, ("= tl.laod", "= tl.load")], "lse and delta exchanged"),
        ("10.4", [LSE, DELTA, ("= tl.laod", "= tl.load")], "lse and delta exchanged"),
        ("10.3", [BFLOAT], "lse in bfloat16"),
        ("10.4", [BFLOAT], "lse in bfloat16"),
        ("10.4", [("(i - j < w1)", "(i - j <= w1)")], "window w1 + 1 in the mask"),
        ("10.4", [*EXCHANGED], "dk2 and dv2 exchanged at the store"),
        ("10.3", [("    c = tl.ar", "    k2_strides = q_strides\n    c = tl.ar")], STRIDES),
    ],
)
def test_a_learners_own_kernel_with_a_known_slip_is_named(exercise, changes, cause):
    assert seen(exercise, *changes).cause == cause


@pytest.mark.parametrize("exercise", NAMES)
def test_two_slips_at_once_get_the_sentence_of_neither(exercise):
    report = seen(exercise, ("(dp - delta[None, :])", "dp"), ("= q * k", "= scale * q * k"))
    assert report.cause not in {wrong.name for wrong in exercises()[exercise].wrong}


def test_large_wrong_numbers_are_shown_as_they_are():
    report = seen("10.4", ("visible = sees_k & ((i >= j) & (i - j < w1))[None, :]", VISIBLE))
    assert report.cause not in ("constant", "inf") and " 100" not in report.says


@pytest.mark.parametrize("exercise", NAMES)
def test_a_kernel_of_the_library_is_no_answer(exercise):
    from simplex_lib.kernels.trilinear_backward import dkv_kernel

    assert check(exercise, dkv_kernel).cause == "library"


@pytest.mark.parametrize("exercise", NAMES)
def test_a_stub_and_a_plain_function_are_told_apart(exercise):
    line = "    q_ptr += b * q_strides[0]"
    stub = changed(exercise, (line, f"    raise NotImplementedError\n{line}"))
    assert check(exercise, stub).cause == "stub"
    assert check(exercise, stub.fn).cause == "not a kernel"


if __name__ == "__main__":
    for asked in sys.argv[1:] or NAMES:
        for name, report in confusion(exercises()[asked]).items():
            print(f"{asked} {name} -> {report.cause}\n    {report.says}")
