"""Kernels for exercise 10.3: one with a slip in it, and two right ones by other ways."""

from __future__ import annotations

from simplex_lib.checks.jit import tl, triton


@triton.jit
def _slipped_tile(
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
    SLIP: tl.constexpr,
    tile,
    h,
    b,
):
    if SLIP == "heads moved as texts":
        h, b = b, h
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

    if SLIP == "k2 with the strides of q":
        k2_strides = q_strides
    if SLIP == "dout with the strides of q":
        dout_strides = q_strides
    if SLIP == "v1 with the strides of k1":
        v1_strides = k1_strides
    if SLIP == "v2 with the strides of k2":
        v2_strides = k2_strides
    if SLIP == "dv1 with the strides of dk1":
        dv1_strides = dk1_strides
    if SLIP == "contiguous strides":
        q_strides = (0, 0, d, 1)
        k1_strides = (0, 0, d, 1)
        k2_strides = (0, 0, d, 1)
        v1_strides = (0, 0, d, 1)
        v2_strides = (0, 0, d, 1)
        dout_strides = (0, 0, d, 1)
        dk1_strides = (0, 0, d, 1)
        dv1_strides = (0, 0, d, 1)
        lse_strides, delta_strides = (0, 0, 1), (0, 0, 1)

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
            lse = tl.load(lse_ptr + i * lse_strides[2], mask=i < s, other=0.0)[None, :]
            delta = tl.load(delta_ptr + i * delta_strides[2], mask=i < s, other=0.0)[None, :]
            if SLIP == "lse and delta exchanged":
                lse, delta = delta, lse
            if SLIP == "lse in bfloat16":
                lse = lse.to(tl.bfloat16).to(tl.float32)
            if SLIP == "lse in float16":
                lse = lse.to(tl.float16).to(tl.float32)

            merged = q * k2 * scale
            logits = tl.dot(k1, tl.trans(merged), input_precision="ieee")  # (KEYS, QUERIES)
            to_j, to_k = i[None, :] - j[:, None], (i - k)[None, :]
            sees_j, sees_k = (to_j >= 0) & (to_j < w1), (to_k >= 0) & (to_k < w2)
            visible = sees_j & sees_k & (i < s)[None, :]
            p = tl.where(visible, tl.exp(logits - lse), 0.0)
            merged_dout = dout * v2
            dp = tl.dot(v1, tl.trans(merged_dout), input_precision="ieee")
            ds = p * (dp - delta)
            if SLIP == "P in place of dS":
                ds = p
            if SLIP == "P not transposed" or SLIP == "P and dS not transposed":
                p = tl.trans(p)
            if SLIP == "dS not transposed" or SLIP == "P and dS not transposed":
                ds = tl.trans(ds)
            dv1 += tl.dot(p, merged_dout, input_precision="ieee")
            dk1 += tl.dot(ds, merged, input_precision="ieee")
            if SLIP == "half-precision accumulators":
                dk1, dv1 = dk1.to(tl.float16).to(tl.float32), dv1.to(tl.float16).to(tl.float32)

    dk1_at = j[:, None] * dk1_strides[2] + c * dk1_strides[3]
    dv1_at = j[:, None] * dv1_strides[2] + c * dv1_strides[3]
    if SLIP == "atomics":
        tl.atomic_add(dk1_ptr + dk1_at, dk1, mask=j_ok)
        tl.atomic_add(dv1_ptr + dv1_at, dv1, mask=j_ok)
    else:
        tl.store(dk1_ptr + dk1_at, dk1, mask=j_ok)
        tl.store(dv1_ptr + dv1_at, dv1, mask=j_ok)


@triton.jit
def slipped_first_key(
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
    SLIP: tl.constexpr,
):
    """As the statement asks, but for SLIP."""
    tile, h, b = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    tiles, heads = tl.num_programs(0), tl.num_programs(1)
    if SLIP == "tiles from the end":
        tile = tiles - 1 - tile
    first = (b * heads + h) * tiles + tile  # programs in one row
    last = first + 1
    if SLIP == "program 0 does everything":
        last = tl.where(first == 0, tiles * heads * tl.num_programs(2), first)
    if SLIP == "first program of a head does everything":
        last = tl.where(tile == 0, first + tiles, first)
    for n in range(first, last):
        _slipped_tile(
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
            KEYS,
            QUERIES,
            D,
            SLIP,
            n % tiles,
            n // tiles % heads,
            n // tiles // heads,
        )


@triton.jit
def right_everywhere(
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
    """Tiles of queries outside, all k inside, in base 2; k2 and scale after the products."""
    h, b = tl.program_id(1), tl.program_id(2)
    c = tl.arange(0, D)
    j = tl.program_id(0) * KEYS + tl.arange(0, KEYS)
    j_ok = (j < s)[:, None] & (c < d)[None, :]
    head_k1 = k1_ptr + b * k1_strides[0] + h * k1_strides[1]
    head_v1 = v1_ptr + b * v1_strides[0] + h * v1_strides[1]
    k1_at = j[:, None] * k1_strides[2] + c[None, :] * k1_strides[3]
    v1_at = j[:, None] * v1_strides[2] + c[None, :] * v1_strides[3]
    k1 = tl.load(head_k1 + k1_at, mask=j_ok, other=0.0).to(tl.float32)
    v1 = tl.load(head_v1 + v1_at, mask=j_ok, other=0.0).to(tl.float32)
    dk1 = tl.zeros((KEYS, D), tl.float32)
    dv1 = tl.zeros((KEYS, D), tl.float32)
    for first in range(0, s, QUERIES):
        i = first + tl.arange(0, QUERIES)
        i_ok = (i < s)[:, None] & (c < d)[None, :]
        q_at = b * q_strides[0] + h * q_strides[1] + i * q_strides[2]
        dout_at = b * dout_strides[0] + h * dout_strides[1] + i * dout_strides[2]
        q = tl.load(q_ptr + q_at[:, None] + c[None, :] * q_strides[3], mask=i_ok, other=0.0)
        dout_at = dout_at[:, None] + c[None, :] * dout_strides[3]
        dout = tl.load(dout_ptr + dout_at, mask=i_ok, other=0.0).to(tl.float32)
        q = q.to(tl.float32) * scale
        lse_at = b * lse_strides[0] + h * lse_strides[1] + i * lse_strides[2]
        delta_at = b * delta_strides[0] + h * delta_strides[1] + i * delta_strides[2]
        lse = tl.load(lse_ptr + lse_at, mask=i < s, other=float("inf"))  # so that P is 0
        delta = tl.load(delta_ptr + delta_at, mask=i < s, other=0.0)
        sees_j = (j[None, :] > i[:, None] - w1) & (j[None, :] <= i[:, None])
        for k in range(s):
            k2_at = b * k2_strides[0] + h * k2_strides[1] + k * k2_strides[2] + c * k2_strides[3]
            v2_at = b * v2_strides[0] + h * v2_strides[1] + k * v2_strides[2] + c * v2_strides[3]
            k2 = tl.load(k2_ptr + k2_at, mask=c < d, other=0.0).to(tl.float32)
            v2 = tl.load(v2_ptr + v2_at, mask=c < d, other=0.0).to(tl.float32)
            logits = tl.dot(q, tl.trans(k1 * k2[None, :]), input_precision="ieee")
            sees = sees_j & ((k > i - w2) & (k <= i))[:, None]
            p = tl.exp2(tl.minimum(logits - lse[:, None], 0.0) * 1.4426950408889634)
            p = tl.where(sees, p, 0.0)  # (QUERIES, KEYS)
            dp = tl.dot(dout, tl.trans(v1 * v2[None, :]), input_precision="ieee")
            ds = p * (dp - delta[:, None])
            dv1 += tl.dot(tl.trans(p), dout, input_precision="ieee") * v2[None, :]
            dk1 += tl.dot(tl.trans(ds), q, input_precision="ieee") * k2[None, :]
    dk1_at = b * dk1_strides[0] + h * dk1_strides[1] + j * dk1_strides[2]
    dv1_at = b * dv1_strides[0] + h * dv1_strides[1] + j * dv1_strides[2]
    tl.store(dk1_ptr + dk1_at[:, None] + c[None, :] * dk1_strides[3], dk1, mask=j_ok)
    tl.store(dv1_ptr + dv1_at[:, None] + c[None, :] * dv1_strides[3], dv1, mask=j_ok)


@triton.jit
def right_by_queries(
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
    """One query at a time, merged into the first keys; tiles of QUERIES second keys inside."""
    h, b = tl.program_id(1), tl.program_id(2)
    c = tl.arange(0, D)
    first_j = tl.program_id(0) * KEYS
    j = first_j + tl.arange(0, KEYS)
    j_ok = (j < s)[:, None] & (c < d)[None, :]
    k1_ptr += b * k1_strides[0] + h * k1_strides[1]
    v1_ptr += b * v1_strides[0] + h * v1_strides[1]
    k1_at = j[:, None] * k1_strides[2] + c[None, :] * k1_strides[3]
    v1_at = j[:, None] * v1_strides[2] + c[None, :] * v1_strides[3]
    k1 = tl.load(k1_ptr + k1_at, mask=j_ok, other=0.0).to(tl.float32)
    v1 = tl.load(v1_ptr + v1_at, mask=j_ok, other=0.0).to(tl.float32)
    dk1 = tl.zeros((KEYS, D), tl.float32)
    dv1 = tl.zeros((KEYS, D), tl.float32)
    for i in range(first_j, tl.minimum(first_j + KEYS - 1 + w1, s)):
        q_at = b * q_strides[0] + h * q_strides[1] + i * q_strides[2] + c * q_strides[3]
        dout_at = b * dout_strides[0] + h * dout_strides[1] + i * dout_strides[2]
        q = tl.load(q_ptr + q_at, mask=c < d, other=0.0).to(tl.float32)
        dout = tl.load(dout_ptr + dout_at + c * dout_strides[3], mask=c < d, other=0.0)
        dout = dout.to(tl.float32)
        lse = tl.load(lse_ptr + b * lse_strides[0] + h * lse_strides[1] + i * lse_strides[2])
        delta_at = b * delta_strides[0] + h * delta_strides[1] + i * delta_strides[2]
        delta = tl.load(delta_ptr + delta_at)
        for first_k in range(tl.maximum(i - w2 + 1, 0), i + 1, QUERIES):
            k = first_k + tl.arange(0, QUERIES)
            k_ok = (k <= i)[:, None] & (c < d)[None, :]
            k2_at = b * k2_strides[0] + h * k2_strides[1] + k * k2_strides[2]
            v2_at = b * v2_strides[0] + h * v2_strides[1] + k * v2_strides[2]
            k2_at = k2_at[:, None] + c[None, :] * k2_strides[3]
            v2_at = v2_at[:, None] + c[None, :] * v2_strides[3]
            k2 = tl.load(k2_ptr + k2_at, mask=k_ok, other=0.0).to(tl.float32)
            v2 = tl.load(v2_ptr + v2_at, mask=k_ok, other=0.0).to(tl.float32)
            logits = tl.dot(k1 * q[None, :], tl.trans(k2), input_precision="ieee") * scale
            sees = ((j <= i) & (j > i - w1))[:, None] & (k <= i)[None, :]
            p = tl.exp(tl.where(sees, logits - lse, float("-inf")))  # (KEYS, QUERIES)
            dp = tl.dot(v1 * dout[None, :], tl.trans(v2), input_precision="ieee")
            ds = p * (dp - delta) * scale
            dv1 += tl.dot(p, v2, input_precision="ieee") * dout[None, :]
            dk1 += tl.dot(ds, k2, input_precision="ieee") * q[None, :]
    dk1_ptr += b * dk1_strides[0] + h * dk1_strides[1]
    dv1_ptr += b * dv1_strides[0] + h * dv1_strides[1]
    dk1_at = j[:, None] * dk1_strides[2] + c[None, :] * dk1_strides[3]
    dv1_at = j[:, None] * dv1_strides[2] + c[None, :] * dv1_strides[3]
    tl.store(dk1_ptr + dk1_at, dk1, mask=j_ok)
    tl.store(dv1_ptr + dv1_at, dv1, mask=j_ok)
