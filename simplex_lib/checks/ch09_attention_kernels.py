"""Kernels for exercise 9.4: right ones, and one that reaches memory in wrong ways.

Axes: b batch, h head, i query, j key, s sequence length, d head_dim.
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
        switches: AXES "text, head"; STRIDES "contiguous", "of q" or "last is 1"; UNMASKED "rows"
            or "columns"; PASSES "two"; WHO "the first", "the first of a head" or "from the end".
    """
    usual = dict(AXES="", STRIDES="", UNMASKED="", PASSES="", WHO="")
    return partial(careless_attention, **(usual | switches))


@triton.jit
def right_attention(
    q_ptr,
    q_strides,
    k_ptr,
    k_strides,
    v_ptr,
    v_strides,
    out_ptr,
    out_strides,
    lse_ptr,
    lse_strides,
    s,
    d,
    scale,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
    D: tl.constexpr,
):
    """One program: ROWS queries of one head, and all keys they see."""
    tile, h, b = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    q_ptr += b * q_strides[0] + h * q_strides[1]
    k_ptr += b * k_strides[0] + h * k_strides[1]
    v_ptr += b * v_strides[0] + h * v_strides[1]
    out_ptr += b * out_strides[0] + h * out_strides[1]
    lse_ptr += b * lse_strides[0] + h * lse_strides[1]

    i = tile * ROWS + tl.arange(0, ROWS)
    c = tl.arange(0, D)[None, :]
    q_ok = (i < s)[:, None] & (c < d)
    q = tl.load(q_ptr + i[:, None] * q_strides[2] + c * q_strides[3], mask=q_ok, other=0.0)

    m = tl.full((ROWS,), float("-inf"), tl.float32)  # largest logit so far
    l = tl.zeros((ROWS,), tl.float32)  # noqa: E741  # sum of exp(logit - m)
    acc = tl.zeros((ROWS, D), tl.float32)  # the same sum, each term times its value
    for first in range(0, tl.minimum((tile + 1) * ROWS, s), KEYS):
        j = first + tl.arange(0, KEYS)
        ok = (j < s)[:, None] & (c < d)
        k = tl.load(k_ptr + j[:, None] * k_strides[2] + c * k_strides[3], mask=ok, other=0.0)
        v = tl.load(v_ptr + j[:, None] * v_strides[2] + c * v_strides[3], mask=ok, other=0.0)
        logits = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        logits = tl.where(j[None, :] <= i[:, None], logits, float("-inf"))

        m_new = tl.maximum(m, tl.max(logits, 1))
        rescale = tl.exp(m - m_new)
        p = tl.exp(logits - m_new[:, None])
        l = l * rescale + tl.sum(p, 1)  # noqa: E741
        acc = acc * rescale[:, None] + tl.dot(p.to(v.dtype), v, input_precision="ieee")
        m = m_new

    out_at = i[:, None] * out_strides[2] + c * out_strides[3]
    tl.store(out_ptr + out_at, acc / l[:, None], mask=q_ok)
    tl.store(lse_ptr + i * lse_strides[2], m + tl.log(l), mask=i < s)


@triton.jit
def right_from_the_end(
    q_ptr,
    q_strides,
    k_ptr,
    k_strides,
    v_ptr,
    v_strides,
    out_ptr,
    out_strides,
    lse_ptr,
    lse_strides,
    s,
    d,
    scale,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
    D: tl.constexpr,
):
    """The last tile of keys first, and everything in base 2 until the end."""
    tile = tl.program_id(0)
    i, c = tile * ROWS + tl.arange(0, ROWS), tl.arange(0, D)
    q_ptr += tl.program_id(2) * q_strides[0] + tl.program_id(1) * q_strides[1]
    k_ptr += tl.program_id(2) * k_strides[0] + tl.program_id(1) * k_strides[1]
    v_ptr += tl.program_id(2) * v_strides[0] + tl.program_id(1) * v_strides[1]
    q_at = i[:, None] * q_strides[2] + c[None, :] * q_strides[3]
    q_ok = (i < s)[:, None] & (c < d)[None, :]
    q = tl.load(q_ptr + q_at, mask=q_ok, other=0.0).to(tl.float32)

    m = tl.full((ROWS,), -1e38, tl.float32)  # finite: the first tile may hide all from a query
    l = tl.zeros((ROWS,), tl.float32)  # noqa: E741
    acc = tl.zeros((ROWS, D), tl.float32)
    tiles = tl.cdiv(tl.minimum((tile + 1) * ROWS, s), KEYS)
    for step in range(tiles):
        j = (tiles - 1 - step) * KEYS + tl.arange(0, KEYS)
        kt_at = j[None, :] * k_strides[2] + c[:, None] * k_strides[3]  # read as it is multiplied
        kt_ok = (j < s)[None, :] & (c < d)[:, None]
        kt = tl.load(k_ptr + kt_at, mask=kt_ok, other=0.0).to(tl.float32)
        v_at = j[:, None] * v_strides[2] + c[None, :] * v_strides[3]
        v_ok = (j < s)[:, None] & (c < d)[None, :]
        v = tl.load(v_ptr + v_at, mask=v_ok, other=0.0).to(tl.float32)
        logits = tl.dot(q, kt, input_precision="ieee") * (scale * LOG2_E)
        logits = tl.where(j[None, :] <= i[:, None], logits, float("-inf"))
        m_new = tl.maximum(m, tl.max(logits, 1))
        p = tl.exp2(logits - m_new[:, None])
        l = l * tl.exp2(m - m_new) + tl.sum(p, 1)  # noqa: E741
        acc = acc * tl.exp2(m - m_new)[:, None] + tl.dot(p, v, input_precision="ieee")
        m = m_new

    out_ptr += tl.program_id(2) * out_strides[0] + tl.program_id(1) * out_strides[1]
    lse_ptr += tl.program_id(2) * lse_strides[0] + tl.program_id(1) * lse_strides[1]
    out_at = i[:, None] * out_strides[2] + c[None, :] * out_strides[3]
    tl.store(out_ptr + out_at, acc / l[:, None], mask=q_ok)
    tl.store(lse_ptr + i * lse_strides[2], (m + tl.log2(l)) * LN_2, mask=i < s)


@triton.jit
def right_merged(
    q_ptr,
    q_strides,
    k_ptr,
    k_strides,
    v_ptr,
    v_strides,
    out_ptr,
    out_strides,
    lse_ptr,
    lse_strides,
    s,
    d,
    scale,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
    D: tl.constexpr,
):
    """Each tile's own softmax and lse, merged with what was found before; over all s keys."""
    i, c = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, D)
    h, b = tl.program_id(1), tl.program_id(2)
    q_at = b * q_strides[0] + h * q_strides[1] + i[:, None] * q_strides[2] + c * q_strides[3]
    q = tl.load(q_ptr + q_at, mask=(i < s)[:, None] & (c < d), other=0.0)
    out = tl.zeros((ROWS, D), tl.float32)
    lse = tl.full((ROWS,), float("-inf"), tl.float32)
    for first in range(0, s, KEYS):
        j = first + tl.arange(0, KEYS)[:, None]
        ok = (j < s) & (c < d)
        k_at = b * k_strides[0] + h * k_strides[1] + j * k_strides[2] + c * k_strides[3]
        v_at = b * v_strides[0] + h * v_strides[1] + j * v_strides[2] + c * v_strides[3]
        k = tl.load(k_ptr + k_at, mask=ok, other=0.0)
        v = tl.load(v_ptr + v_at, mask=ok, other=0.0).to(tl.float32)
        logits = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        logits = tl.where(tl.trans(j) <= i[:, None], logits, float("-inf"))
        top = tl.maximum(tl.max(logits, 1), -1e38)
        p = tl.exp(logits - top[:, None])
        part_lse = top + tl.log(tl.maximum(tl.sum(p, 1), 1e-30))  # of nothing: very small
        part = tl.dot(p, v, input_precision="ieee") / tl.maximum(tl.sum(p, 1), 1e-30)[:, None]
        larger = tl.maximum(lse, part_lse)
        old, new = tl.exp(lse - larger), tl.exp(part_lse - larger)
        out = (out * old[:, None] + part * new[:, None]) / (old + new)[:, None]
        lse = larger + tl.log(old + new)
    out_at = b * out_strides[0] + h * out_strides[1]
    out_at += i[:, None] * out_strides[2] + c * out_strides[3]
    tl.store(out_ptr + out_at, out, mask=(i < s)[:, None] & (c < d))
    lse_at = b * lse_strides[0] + h * lse_strides[1] + i * lse_strides[2]
    tl.store(lse_ptr + lse_at, lse, mask=i < s)


@triton.jit
def careless_attention(
    q_ptr,
    q_strides,
    k_ptr,
    k_strides,
    v_ptr,
    v_strides,
    out_ptr,
    out_strides,
    lse_ptr,
    lse_strides,
    s,
    d,
    scale,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
    D: tl.constexpr,
    AXES: tl.constexpr,
    STRIDES: tl.constexpr,
    UNMASKED: tl.constexpr,
    PASSES: tl.constexpr,
    WHO: tl.constexpr,
):
    """right_attention, which reaches memory in another way."""
    tile, h, b = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    if AXES == "text, head":
        b, h = tl.program_id(1), tl.program_id(2)
    if STRIDES == "contiguous":
        q_strides = (tl.num_programs(1) * s * d, s * d, d, 1)
        lse_strides = (tl.num_programs(1) * s, s, 1)
    if STRIDES == "contiguous" or STRIDES == "of q":
        k_strides = q_strides
        v_strides = q_strides
        out_strides = q_strides
    if STRIDES == "last is 1":
        q_strides = (q_strides[0], q_strides[1], q_strides[2], 1)
        k_strides = (k_strides[0], k_strides[1], k_strides[2], 1)
        v_strides = (v_strides[0], v_strides[1], v_strides[2], 1)
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
        q_at = q_ptr + b * q_strides[0] + h * q_strides[1]
        k_at = k_ptr + b * k_strides[0] + h * k_strides[1]
        v_at = v_ptr + b * v_strides[0] + h * v_strides[1]
        out_at = out_ptr + b * out_strides[0] + h * out_strides[1]
        lse_at = lse_ptr + b * lse_strides[0] + h * lse_strides[1]

        i = tile * ROWS + tl.arange(0, ROWS)
        c = tl.arange(0, D)[None, :]
        q_ok = (i < s)[:, None] & (c < d)
        may = q_ok
        if UNMASKED == "rows":
            may = (i >= 0)[:, None] & (c < d)
        if UNMASKED == "columns":
            may = (i < s)[:, None] & (c >= 0)
        q = tl.load(q_at + i[:, None] * q_strides[2] + c * q_strides[3], mask=may, other=0.0)

        m = tl.full((ROWS,), float("-inf"), tl.float32)  # largest logit so far
        l = tl.zeros((ROWS,), tl.float32)  # noqa: E741  # sum of exp(logit - m)
        acc = tl.zeros((ROWS, D), tl.float32)  # the same sum, each term times its value
        if PASSES == "two":
            for first in range(0, tl.minimum((tile + 1) * ROWS, s), KEYS):
                j = first + tl.arange(0, KEYS)
                ok = (j < s)[:, None] & (c < d)
                k = tl.load(k_at + j[:, None] * k_strides[2] + c * k_strides[3], mask=ok, other=0.0)
                logits = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
                logits = tl.where(j[None, :] <= i[:, None], logits, float("-inf"))
                m = tl.maximum(m, tl.max(logits, 1))
        for first in range(0, tl.minimum((tile + 1) * ROWS, s), KEYS):
            j = first + tl.arange(0, KEYS)
            ok = (j < s)[:, None] & (c < d)
            if UNMASKED == "rows":
                ok = (j >= 0)[:, None] & (c < d)
            if UNMASKED == "columns":
                ok = (j < s)[:, None] & (c >= 0)
            k = tl.load(k_at + j[:, None] * k_strides[2] + c * k_strides[3], mask=ok, other=0.0)
            v = tl.load(v_at + j[:, None] * v_strides[2] + c * v_strides[3], mask=ok, other=0.0)
            logits = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
            logits = tl.where(j[None, :] <= i[:, None], logits, float("-inf"))

            m_new = tl.maximum(m, tl.max(logits, 1))
            rescale = tl.exp(m - m_new)
            p = tl.exp(logits - m_new[:, None])
            l = l * rescale + tl.sum(p, 1)  # noqa: E741
            acc = acc * rescale[:, None] + tl.dot(p.to(v.dtype), v, input_precision="ieee")
            m = m_new

        out_at += i[:, None] * out_strides[2] + c * out_strides[3]
        tl.store(out_at, acc / l[:, None], mask=q_ok)
        tl.store(lse_at + i * lse_strides[2], m + tl.log(l), mask=i < s)
