"""Kernels for exercise 9.5: right ones, and one that reaches memory in wrong ways.

Axes: b batch, h head, i query, j first key, k second key, s sequence length, d head_dim.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from simplex_lib.checks.jit import tl, triton

LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)


def careless(**switches: str) -> partial[Any]:
    """The kernel with one thing changed in how it reaches memory.

    Args:
        switches: AXES "text, head"; STRIDES "contiguous", "of q" or "last is 1"; BEGIN "j" or
            "k" (before the text); PASSES "two"; WHO "the first", "the first of a head" or "from
            the end".
    """
    usual = dict(AXES="", STRIDES="", BEGIN="", PASSES="", WHO="")
    return partial(careless_trilinear, **(usual | switches))


@triton.jit
def right_trilinear(
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
    out_ptr,
    out_strides,
    lse_ptr,
    lse_strides,
    s,
    d,
    w1,
    w2,
    scale,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
    D: tl.constexpr,
):
    """One program: ROWS queries of one head, and all pairs they see."""
    tile, h, b = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    q_ptr += b * q_strides[0] + h * q_strides[1]
    k1_ptr += b * k1_strides[0] + h * k1_strides[1]
    k2_ptr += b * k2_strides[0] + h * k2_strides[1]
    v1_ptr += b * v1_strides[0] + h * v1_strides[1]
    v2_ptr += b * v2_strides[0] + h * v2_strides[1]
    out_ptr += b * out_strides[0] + h * out_strides[1]
    lse_ptr += b * lse_strides[0] + h * lse_strides[1]

    i = tile * ROWS + tl.arange(0, ROWS)
    c = tl.arange(0, D)
    q_ok = (i < s)[:, None] & (c < d)[None, :]
    q_at = i[:, None] * q_strides[2] + c[None, :] * q_strides[3]
    q = tl.load(q_ptr + q_at, mask=q_ok, other=0.0).to(tl.float32)

    m = tl.full((ROWS,), -1e38, tl.float32)  # finite: a row that has seen nothing gives no NaN
    l = tl.zeros((ROWS,), tl.float32)  # noqa: E741
    acc = tl.zeros((ROWS, D), tl.float32)
    stop = tl.minimum((tile + 1) * ROWS, s)
    for j in range(tl.maximum(tile * ROWS - w1 + 1, 0), stop):
        k1 = tl.load(k1_ptr + j * k1_strides[2] + c * k1_strides[3], mask=c < d, other=0.0)
        v1 = tl.load(v1_ptr + j * v1_strides[2] + c * v1_strides[3], mask=c < d, other=0.0)
        merged = q * k1[None, :] * scale
        sees_j = (i - w1 < j) & (j <= i)
        for first in range(tl.maximum(tile * ROWS - w2 + 1, 0), stop, KEYS):
            k = first + tl.arange(0, KEYS)
            ok = (k < s)[:, None] & (c < d)[None, :]
            k2_at = k[:, None] * k2_strides[2] + c[None, :] * k2_strides[3]
            v2_at = k[:, None] * v2_strides[2] + c[None, :] * v2_strides[3]
            k2 = tl.load(k2_ptr + k2_at, mask=ok, other=0.0)
            v2 = tl.load(v2_ptr + v2_at, mask=ok, other=0.0)
            logits = tl.dot(merged.to(k2.dtype), tl.trans(k2), input_precision="ieee")
            sees_k = (i[:, None] - w2 < k[None, :]) & (k[None, :] <= i[:, None])
            logits = tl.where(sees_j[:, None] & sees_k, logits, float("-inf"))

            m_new = tl.maximum(m, tl.max(logits, 1))
            rescale = tl.exp(m - m_new)
            p = tl.exp(logits - m_new[:, None])
            l = l * rescale + tl.sum(p, 1)  # noqa: E741
            pv = tl.dot(p.to(v2.dtype), v2 * v1[None, :], input_precision="ieee")
            acc = acc * rescale[:, None] + pv
            m = m_new

    out_at = i[:, None] * out_strides[2] + c[None, :] * out_strides[3]
    tl.store(out_ptr + out_at, acc / l[:, None], mask=q_ok)
    tl.store(lse_ptr + i * lse_strides[2], m + tl.log(l), mask=i < s)


@triton.jit
def right_other_loops(
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
    out_ptr,
    out_strides,
    lse_ptr,
    lse_strides,
    s,
    d,
    w1,
    w2,
    scale,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
    D: tl.constexpr,
):
    """A single k outside, tiles of j inside, over all of the past; in base 2 until the end."""
    i, c = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, D)
    h, b = tl.program_id(1), tl.program_id(2)
    q_at = b * q_strides[0] + h * q_strides[1] + i[:, None] * q_strides[2] + c * q_strides[3]
    q = tl.load(q_ptr + q_at, mask=(i < s)[:, None] & (c < d), other=0.0).to(tl.float32)
    k1_ptr += b * k1_strides[0] + h * k1_strides[1]
    k2_ptr += b * k2_strides[0] + h * k2_strides[1]
    v1_ptr += b * v1_strides[0] + h * v1_strides[1]
    v2_ptr += b * v2_strides[0] + h * v2_strides[1]
    acc = tl.zeros((ROWS, D), tl.float32)
    l = tl.zeros((ROWS,), tl.float32)  # noqa: E741
    m = tl.full((ROWS,), float("-inf"), tl.float32)
    for k in range(s):
        k2 = tl.load(k2_ptr + k * k2_strides[2] + c * k2_strides[3], mask=c < d, other=0.0)
        v2 = tl.load(v2_ptr + k * v2_strides[2] + c * v2_strides[3], mask=c < d, other=0.0)
        sees_k = (k <= i) & (i - k < w2)
        for first in range(0, s, KEYS):
            j = first + tl.arange(0, KEYS)
            ok = (j < s)[:, None] & (c < d)
            k1_at = j[:, None] * k1_strides[2] + c * k1_strides[3]
            v1_at = j[:, None] * v1_strides[2] + c * v1_strides[3]
            k1 = tl.load(k1_ptr + k1_at, mask=ok, other=0.0).to(tl.float32)
            v1 = tl.load(v1_ptr + v1_at, mask=ok, other=0.0).to(tl.float32)
            logits = tl.dot(q, tl.trans(k1 * k2.to(tl.float32)), input_precision="ieee")
            visible = (j[None, :] <= i[:, None]) & (i[:, None] - j[None, :] < w1)
            logits = tl.where(visible & sees_k[:, None], logits * scale * LOG2_E, float("-inf"))
            new = tl.maximum(m, tl.max(logits, 1))
            base = tl.where(new == float("-inf"), 0.0, new)  # nothing seen yet
            p = tl.exp2(logits - base[:, None])
            l = l * tl.exp2(m - base) + tl.sum(p, 1)  # noqa: E741
            pv = tl.dot(p, v1, input_precision="ieee")
            acc = acc * tl.exp2(m - base)[:, None] + pv * v2.to(tl.float32)
            m = new
    out_at = b * out_strides[0] + h * out_strides[1]
    out_at += i[:, None] * out_strides[2] + c * out_strides[3]
    tl.store(out_ptr + out_at, acc / l[:, None], mask=(i < s)[:, None] & (c < d))
    lse_at = b * lse_strides[0] + h * lse_strides[1] + i * lse_strides[2]
    tl.store(lse_ptr + lse_at, (m + tl.log2(l)) * LN_2, mask=i < s)


@triton.jit
def right_as_listed(
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
    out_ptr,
    out_strides,
    lse_ptr,
    lse_strides,
    s,
    d,
    w1,
    w2,
    scale,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
    D: tl.constexpr,
):
    """As in Listing 1 of the paper: hidden logits get -1e38 added, one index of j too many."""
    first_i = tl.program_id(0) * ROWS
    i, c = first_i + tl.arange(0, ROWS), tl.arange(0, D)
    h, b = tl.program_id(1), tl.program_id(2)
    q_at = b * q_strides[0] + h * q_strides[1] + i[:, None] * q_strides[2] + c * q_strides[3]
    q = tl.load(q_ptr + q_at, mask=(i < s)[:, None] & (c < d), other=0.0)
    k1_ptr += b * k1_strides[0] + h * k1_strides[1]
    k2_ptr += b * k2_strides[0] + h * k2_strides[1]
    v1_ptr += b * v1_strides[0] + h * v1_strides[1]
    v2_ptr += b * v2_strides[0] + h * v2_strides[1]
    m = tl.full((ROWS,), float("-inf"), tl.float32)
    l = tl.zeros((ROWS,), tl.float32)  # noqa: E741
    acc = tl.zeros((ROWS, D), tl.float32)
    for j in range(tl.maximum(0, first_i - w1), tl.minimum(s, first_i + ROWS)):
        k1 = tl.load(k1_ptr + j * k1_strides[2] + c * k1_strides[3], mask=c < d, other=0.0)
        v1 = tl.load(v1_ptr + j * v1_strides[2] + c * v1_strides[3], mask=c < d, other=0.0)
        merged = (q.to(tl.float32) * k1 * scale).to(q.dtype)
        for first in range(tl.maximum(0, first_i - w2), tl.minimum(s, first_i + ROWS), KEYS):
            k = first + tl.arange(0, KEYS)
            k2t_at = k[None, :] * k2_strides[2] + c[:, None] * k2_strides[3]
            v2_at = k[:, None] * v2_strides[2] + c[None, :] * v2_strides[3]
            k2t_ok, v2_ok = (k < s) & (c < d)[:, None], (k < s)[:, None] & (c < d)
            k2t = tl.load(k2_ptr + k2t_at, mask=k2t_ok, other=0.0)
            v2 = tl.load(v2_ptr + v2_at, mask=v2_ok, other=0.0)
            sees_j = (i[:, None] - w1 < j) & (j <= i[:, None])
            sees_k = (i[:, None] - w2 < k[None, :]) & (k[None, :] <= i[:, None])
            logits = tl.dot(merged, k2t, input_precision="ieee")
            logits += tl.where(sees_j & sees_k & (k < s)[None, :], 0.0, -1e38)
            m_new = tl.maximum(m, tl.max(logits, 1))
            p = tl.exp(logits - m_new[:, None])
            l = l * tl.exp(m - m_new) + tl.sum(p, 1)  # noqa: E741
            pv = tl.dot(p.to(v2.dtype), v2 * v1, input_precision="ieee")
            acc = acc * tl.exp(m - m_new)[:, None] + pv
            m = m_new
    out_at = b * out_strides[0] + h * out_strides[1]
    out_at += i[:, None] * out_strides[2] + c * out_strides[3]
    tl.store(out_ptr + out_at, acc / l[:, None], mask=(i < s)[:, None] & (c < d))
    lse_at = b * lse_strides[0] + h * lse_strides[1] + i * lse_strides[2]
    tl.store(lse_ptr + lse_at, m + tl.log(l), mask=i < s)


@triton.jit
def careless_trilinear(
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
    out_ptr,
    out_strides,
    lse_ptr,
    lse_strides,
    s,
    d,
    w1,
    w2,
    scale,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
    D: tl.constexpr,
    AXES: tl.constexpr,
    STRIDES: tl.constexpr,
    BEGIN: tl.constexpr,
    PASSES: tl.constexpr,
    WHO: tl.constexpr,
):
    """right_trilinear, which reaches memory in another way."""
    tile, h, b = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    if AXES == "text, head":
        b, h = tl.program_id(1), tl.program_id(2)
    if STRIDES == "contiguous":
        q_strides = (tl.num_programs(1) * s * d, s * d, d, 1)
        lse_strides = (tl.num_programs(1) * s, s, 1)
    if STRIDES == "contiguous" or STRIDES == "of q":
        k1_strides = q_strides
        k2_strides = q_strides
        v1_strides = q_strides
        v2_strides = q_strides
        out_strides = q_strides
    if STRIDES == "last is 1":
        q_strides = (q_strides[0], q_strides[1], q_strides[2], 1)
        k1_strides = (k1_strides[0], k1_strides[1], k1_strides[2], 1)
        k2_strides = (k2_strides[0], k2_strides[1], k2_strides[2], 1)
        v1_strides = (v1_strides[0], v1_strides[1], v1_strides[2], 1)
        v2_strides = (v2_strides[0], v2_strides[1], v2_strides[2], 1)
        out_strides = (out_strides[0], out_strides[1], out_strides[2], 1)
        lse_strides = (lse_strides[0], lse_strides[1], 1)
    head_from, head_to, text_from, text_to = h, h + 1, b, b + 1
    tile_from, tile_to = tile, tile + 1
    if WHO == "from the end":
        tile_from, tile_to = tl.num_programs(0) - 1 - tile, tl.num_programs(0) - tile
    if WHO == "the first of a head" or WHO == "the first":
        tile_from, tile_to = 0, tl.num_programs(0) * (tile == 0)
    if WHO == "the first":
        head_from, head_to = 0, tl.num_programs(1) * (h == 0)
        text_from, text_to = 0, tl.num_programs(2) * (b == 0)
    for n in range((text_to - text_from) * (head_to - head_from) * (tile_to - tile_from)):
        tile = tile_from + n % (tile_to - tile_from)
        h = head_from + n // (tile_to - tile_from) % (head_to - head_from)
        b = text_from + n // (tile_to - tile_from) // (head_to - head_from)
        q_head = q_ptr + b * q_strides[0] + h * q_strides[1]
        k1_head = k1_ptr + b * k1_strides[0] + h * k1_strides[1]
        k2_head = k2_ptr + b * k2_strides[0] + h * k2_strides[1]
        v1_head = v1_ptr + b * v1_strides[0] + h * v1_strides[1]
        v2_head = v2_ptr + b * v2_strides[0] + h * v2_strides[1]
        out_head = out_ptr + b * out_strides[0] + h * out_strides[1]
        lse_head = lse_ptr + b * lse_strides[0] + h * lse_strides[1]

        i = tile * ROWS + tl.arange(0, ROWS)
        c = tl.arange(0, D)
        q_ok = (i < s)[:, None] & (c < d)[None, :]
        q_at = i[:, None] * q_strides[2] + c[None, :] * q_strides[3]
        q = tl.load(q_head + q_at, mask=q_ok, other=0.0).to(tl.float32)

        m = tl.full((ROWS,), -1e38, tl.float32)  # finite: a row that has seen nothing gives no NaN
        l = tl.zeros((ROWS,), tl.float32)  # noqa: E741
        acc = tl.zeros((ROWS, D), tl.float32)
        stop = tl.minimum((tile + 1) * ROWS, s)
        first_j, first_k = tl.maximum(tile * ROWS - w1 + 1, 0), tl.maximum(tile * ROWS - w2 + 1, 0)
        if BEGIN == "j":
            first_j = tile * ROWS - w1 + 1
        if BEGIN == "k":
            first_k = tile * ROWS - w2 + 1
        if PASSES == "two":
            for j in range(first_j, stop):
                k1 = tl.load(k1_head + j * k1_strides[2] + c * k1_strides[3], mask=c < d, other=0.0)
                merged = q * k1[None, :] * scale
                sees_j = (i - w1 < j) & (j <= i)
                for first in range(first_k, stop, KEYS):
                    k = first + tl.arange(0, KEYS)
                    ok = (k < s)[:, None] & (c < d)[None, :]
                    k2_at = k[:, None] * k2_strides[2] + c[None, :] * k2_strides[3]
                    k2 = tl.load(k2_head + k2_at, mask=ok, other=0.0)
                    logits = tl.dot(merged.to(k2.dtype), tl.trans(k2), input_precision="ieee")
                    sees_k = (i[:, None] - w2 < k[None, :]) & (k[None, :] <= i[:, None])
                    logits = tl.where(sees_j[:, None] & sees_k, logits, float("-inf"))
                    m = tl.maximum(m, tl.max(logits, 1))
        for j in range(first_j, stop):
            k1 = tl.load(k1_head + j * k1_strides[2] + c * k1_strides[3], mask=c < d, other=0.0)
            v1 = tl.load(v1_head + j * v1_strides[2] + c * v1_strides[3], mask=c < d, other=0.0)
            merged = q * k1[None, :] * scale
            sees_j = (i - w1 < j) & (j <= i)
            for first in range(first_k, stop, KEYS):
                k = first + tl.arange(0, KEYS)
                ok = (k < s)[:, None] & (c < d)[None, :]
                k2_at = k[:, None] * k2_strides[2] + c[None, :] * k2_strides[3]
                v2_at = k[:, None] * v2_strides[2] + c[None, :] * v2_strides[3]
                k2 = tl.load(k2_head + k2_at, mask=ok, other=0.0)
                v2 = tl.load(v2_head + v2_at, mask=ok, other=0.0)
                logits = tl.dot(merged.to(k2.dtype), tl.trans(k2), input_precision="ieee")
                sees_k = (i[:, None] - w2 < k[None, :]) & (k[None, :] <= i[:, None])
                logits = tl.where(sees_j[:, None] & sees_k, logits, float("-inf"))

                m_new = tl.maximum(m, tl.max(logits, 1))
                rescale = tl.exp(m - m_new)
                p = tl.exp(logits - m_new[:, None])
                l = l * rescale + tl.sum(p, 1)  # noqa: E741
                pv = tl.dot(p.to(v2.dtype), v2 * v1[None, :], input_precision="ieee")
                acc = acc * rescale[:, None] + pv
                m = m_new

        out_at = i[:, None] * out_strides[2] + c[None, :] * out_strides[3]
        tl.store(out_head + out_at, acc / l[:, None], mask=q_ok)
        tl.store(lse_head + i * lse_strides[2], m + tl.log(l), mask=i < s)
