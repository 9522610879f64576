"""Kernels for exercise 10.4: one with a slip in it, and two right ones by other ways."""

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
    SLIP: tl.constexpr,
    program,
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
    dq_ptr += b * dq_strides[0] + h * dq_strides[1]
    dk2_ptr += b * dk2_strides[0] + h * dk2_strides[1]
    dv2_ptr += b * dv2_strides[0] + h * dv2_strides[1]

    if SLIP == "k2 with the strides of q":
        k2_strides = q_strides
    if SLIP == "dout with the strides of q":
        dout_strides = q_strides
    if SLIP == "v2 with the strides of k2":
        v2_strides = k2_strides
    if SLIP == "dk2 with the strides of dq":
        dk2_strides = dq_strides
    if SLIP == "dv2 with the strides of dk2":
        dv2_strides = dk2_strides
    if SLIP == "contiguous strides":
        q_strides = (0, 0, d, 1)
        k1_strides = (0, 0, d, 1)
        k2_strides = (0, 0, d, 1)
        v1_strides = (0, 0, d, 1)
        v2_strides = (0, 0, d, 1)
        dout_strides = (0, 0, d, 1)
        dq_strides = (0, 0, d, 1)
        dk2_strides = (0, 0, d, 1)
        dv2_strides = (0, 0, d, 1)
        lse_strides, delta_strides = (0, 0, 1), (0, 0, 1)

    c = tl.arange(0, D)[None, :]
    tile = 2 * program + STAGE
    if SLIP == "STAGE ignored":
        tile = program
    if SLIP == "even tiles in both stages":
        tile = 2 * program
    if SLIP == "odd tiles first":
        tile = 2 * program + 1 - STAGE
    if SLIP == "halves in place of even and odd":
        tile = program + STAGE * ((s + W2 - 1) // W2 + 1) // 2
    first_i = tile * W2
    i = first_i + tl.arange(0, W2)
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

    k = first_i - W2 + tl.arange(0, 2 * W2)
    k_ok = ((k >= 0) & (k < s))[:, None] & (c < d)
    k2_at = k[:, None] * k2_strides[2] + c * k2_strides[3]
    v2_at = k[:, None] * v2_strides[2] + c * v2_strides[3]
    k2 = tl.load(k2_ptr + k2_at, mask=k_ok, other=0.0).to(tl.float32)
    v2 = tl.load(v2_ptr + v2_at, mask=k_ok, other=0.0).to(tl.float32)
    to_k = i[None, :] - k[:, None]  # (2 * W2, W2)
    sees_k = (to_k >= 0) & (to_k < W2)
    if SLIP == "future second keys":
        sees_k = to_k < W2
    if SLIP != "rows before the text seen":
        sees_k = sees_k & (k >= 0)[:, None]
    sees_k = sees_k & (i < s)[None, :]

    dq = tl.zeros((W2, D), tl.float32)
    dk2 = tl.zeros((2 * W2, D), tl.float32)
    dv2 = tl.zeros((2 * W2, D), tl.float32)
    j_from, j_end = tl.maximum(first_i - w1 + 1, 0), tl.minimum(first_i + W2, s)
    if SLIP == "mask multiplied, all first keys":
        j_from, j_end = 0, s
    for j in range(j_from, j_end):
        k1 = tl.load(k1_ptr + j * k1_strides[2] + c * k1_strides[3], mask=c < d, other=0.0)
        v1 = tl.load(v1_ptr + j * v1_strides[2] + c * v1_strides[3], mask=c < d, other=0.0)
        k1, v1 = k1.to(tl.float32) * scale, v1.to(tl.float32)
        merged, merged_dout = q * k1, dout * v1
        logits = tl.dot(k2, tl.trans(merged), input_precision="ieee")  # (2 * W2, W2)
        visible = sees_k & ((i >= j) & (i - j < w1))[None, :]
        if SLIP == "mask multiplied" or SLIP == "mask multiplied, all first keys":
            p = tl.exp(logits - lse) * visible
        else:
            p = tl.where(visible, tl.exp(logits - lse), 0.0)
        dp = tl.dot(v2, tl.trans(merged_dout), input_precision="ieee")
        ds = p * (dp - delta)
        dv2 += tl.dot(p, merged_dout, input_precision="ieee")
        dq += tl.dot(tl.trans(ds), k2, input_precision="ieee") * k1
        if SLIP == "P in place of dS in dk2":
            ds = p
        dk2 += tl.dot(ds, merged, input_precision="ieee")
        if SLIP == "half-precision accumulators":
            dq = dq.to(tl.float16).to(tl.float32)
            dk2, dv2 = dk2.to(tl.float16).to(tl.float32), dv2.to(tl.float16).to(tl.float32)

    dq_at = i[:, None] * dq_strides[2] + c * dq_strides[3]
    dk2_at = k[:, None] * dk2_strides[2] + c * dk2_strides[3]
    dv2_at = k[:, None] * dv2_strides[2] + c * dv2_strides[3]
    tl.store(dq_ptr + dq_at, dq, mask=i_ok)
    if SLIP == "atomics":
        tl.atomic_add(dk2_ptr + dk2_at, dk2, mask=k_ok)
        tl.atomic_add(dv2_ptr + dv2_at, dv2, mask=k_ok)
    else:
        if STAGE == 1:
            dk2 += tl.load(dk2_ptr + dk2_at, mask=k_ok, other=0.0)
            dv2 += tl.load(dv2_ptr + dv2_at, mask=k_ok, other=0.0)
        tl.store(dk2_ptr + dk2_at, dk2, mask=k_ok)
        tl.store(dv2_ptr + dv2_at, dv2, mask=k_ok)


@triton.jit
def slipped_second_key(
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
            W2,
            D,
            STAGE,
            SLIP,
            n % tiles,
            n // tiles % heads,
            n // tiles // heads,
        )


@triton.jit
def right_tile_by_tile(
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
    """The two tiles of second keys after each other; all j; base 2; adds in both stages."""
    h, b = tl.program_id(1), tl.program_id(2)
    c = tl.arange(0, D)
    first_i = (2 * tl.program_id(0) + STAGE) * W2
    i = first_i + tl.arange(0, W2)
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
    dq = tl.zeros((W2, D), tl.float32)
    for half in range(2):
        k = first_i + (half - 1) * W2 + tl.arange(0, W2)
        k_ok = ((k >= 0) & (k < s))[:, None] & (c < d)[None, :]
        k2_at = b * k2_strides[0] + h * k2_strides[1] + k * k2_strides[2]
        v2_at = b * v2_strides[0] + h * v2_strides[1] + k * v2_strides[2]
        k2_at = k2_at[:, None] + c[None, :] * k2_strides[3]
        v2_at = v2_at[:, None] + c[None, :] * v2_strides[3]
        k2 = tl.load(k2_ptr + k2_at, mask=k_ok, other=0.0).to(tl.float32)
        v2 = tl.load(v2_ptr + v2_at, mask=k_ok, other=0.0).to(tl.float32)
        dk2_at = b * dk2_strides[0] + h * dk2_strides[1] + k * dk2_strides[2]
        dv2_at = b * dv2_strides[0] + h * dv2_strides[1] + k * dv2_strides[2]
        dk2_at = dk2_at[:, None] + c[None, :] * dk2_strides[3]
        dv2_at = dv2_at[:, None] + c[None, :] * dv2_strides[3]
        dk2 = tl.load(dk2_ptr + dk2_at, mask=k_ok, other=0.0)
        dv2 = tl.load(dv2_ptr + dv2_at, mask=k_ok, other=0.0)
        sees_k = (k[None, :] <= i[:, None]) & (k[None, :] > i[:, None] - W2)
        for j in range(tl.minimum(first_i + W2, s)):
            k1_at = b * k1_strides[0] + h * k1_strides[1] + j * k1_strides[2]
            v1_at = b * v1_strides[0] + h * v1_strides[1] + j * v1_strides[2]
            k1 = tl.load(k1_ptr + k1_at + c * k1_strides[3], mask=c < d, other=0.0)
            v1 = tl.load(v1_ptr + v1_at + c * v1_strides[3], mask=c < d, other=0.0)
            k1, v1 = k1.to(tl.float32)[None, :], v1.to(tl.float32)[None, :]
            logits = tl.dot(q, tl.trans(k1 * k2), input_precision="ieee")  # (W2, W2), i down
            sees = sees_k & ((j <= i) & (j > i - w1))[:, None]
            p = tl.exp2(tl.minimum(logits - lse[:, None], 0.0) * 1.4426950408889634)
            p = tl.where(sees, p, 0.0)
            dp = tl.dot(dout, tl.trans(v1 * v2), input_precision="ieee")
            ds = p * (dp - delta[:, None])
            dv2 += tl.dot(tl.trans(p), dout, input_precision="ieee") * v1
            dk2 += tl.dot(tl.trans(ds), q, input_precision="ieee") * k1
            dq += tl.dot(ds, k1 * k2, input_precision="ieee")
        tl.store(dk2_ptr + dk2_at, dk2, mask=k_ok)
        tl.store(dv2_ptr + dv2_at, dv2, mask=k_ok)
    dq_at = b * dq_strides[0] + h * dq_strides[1] + i * dq_strides[2]
    tl.store(dq_ptr + dq_at[:, None] + c[None, :] * dq_strides[3], dq * scale, mask=i_ok)


@triton.jit
def right_by_second_keys(
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
    """One second key at a time, tiles of W2 first keys inside."""
    h, b = tl.program_id(1), tl.program_id(2)
    c = tl.arange(0, D)
    first_i = (2 * tl.program_id(0) + STAGE) * W2
    i = first_i + tl.arange(0, W2)
    i_ok = (i < s)[:, None] & (c < d)[None, :]
    q_ptr += b * q_strides[0] + h * q_strides[1]
    dout_ptr += b * dout_strides[0] + h * dout_strides[1]
    q_at = i[:, None] * q_strides[2] + c[None, :] * q_strides[3]
    dout_at = i[:, None] * dout_strides[2] + c[None, :] * dout_strides[3]
    q = tl.load(q_ptr + q_at, mask=i_ok, other=0.0).to(tl.float32)
    dout = tl.load(dout_ptr + dout_at, mask=i_ok, other=0.0).to(tl.float32)
    lse_at = b * lse_strides[0] + h * lse_strides[1] + i * lse_strides[2]
    delta_at = b * delta_strides[0] + h * delta_strides[1] + i * delta_strides[2]
    lse = tl.load(lse_ptr + lse_at, mask=i < s, other=0.0)[:, None]
    delta = tl.load(delta_ptr + delta_at, mask=i < s, other=0.0)[:, None]
    last = tl.minimum(first_i + W2, s)
    dq = tl.zeros((W2, D), tl.float32)
    for k in range(tl.maximum(first_i - W2 + 1, 0), last):
        k2_at = b * k2_strides[0] + h * k2_strides[1] + k * k2_strides[2] + c * k2_strides[3]
        v2_at = b * v2_strides[0] + h * v2_strides[1] + k * v2_strides[2] + c * v2_strides[3]
        k2 = tl.load(k2_ptr + k2_at, mask=c < d, other=0.0).to(tl.float32)
        v2 = tl.load(v2_ptr + v2_at, mask=c < d, other=0.0).to(tl.float32)
        dk2 = tl.zeros((W2, D), tl.float32)  # a row a query; summed over them at the end
        dv2 = tl.zeros((W2, D), tl.float32)
        for first_j in range(tl.maximum(first_i - w1 + 1, 0), last, W2):
            j = first_j + tl.arange(0, W2)
            j_ok = (j < s)[:, None] & (c < d)[None, :]
            k1_at = b * k1_strides[0] + h * k1_strides[1] + j * k1_strides[2]
            v1_at = b * v1_strides[0] + h * v1_strides[1] + j * v1_strides[2]
            k1_at = k1_at[:, None] + c[None, :] * k1_strides[3]
            v1_at = v1_at[:, None] + c[None, :] * v1_strides[3]
            k1 = tl.load(k1_ptr + k1_at, mask=j_ok, other=0.0).to(tl.float32)
            v1 = tl.load(v1_ptr + v1_at, mask=j_ok, other=0.0).to(tl.float32)
            logits = tl.dot(q * k2[None, :], tl.trans(k1), input_precision="ieee") * scale
            to_j = i[:, None] - j[None, :]
            sees = (to_j >= 0) & (to_j < w1) & ((k <= i) & (i - k < W2) & (i < s))[:, None]
            p = tl.exp(tl.where(sees, logits - lse, float("-inf")))
            dp = tl.dot(dout * v2[None, :], tl.trans(v1), input_precision="ieee")
            ds = p * (dp - delta) * scale
            dk2 += tl.dot(ds, k1, input_precision="ieee")
            dv2 += tl.dot(p, v1, input_precision="ieee")
        dq += dk2 * k2[None, :]
        dk2_row, dv2_row = tl.sum(dk2 * q, 0), tl.sum(dv2 * dout, 0)
        dk2_at = b * dk2_strides[0] + h * dk2_strides[1] + k * dk2_strides[2] + c * dk2_strides[3]
        dv2_at = b * dv2_strides[0] + h * dv2_strides[1] + k * dv2_strides[2] + c * dv2_strides[3]
        if STAGE == 1:
            dk2_row += tl.load(dk2_ptr + dk2_at, mask=c < d, other=0.0)
            dv2_row += tl.load(dv2_ptr + dv2_at, mask=c < d, other=0.0)
        tl.store(dk2_ptr + dk2_at, dk2_row, mask=c < d)
        tl.store(dv2_ptr + dv2_at, dv2_row, mask=c < d)
    dq_ptr += b * dq_strides[0] + h * dq_strides[1]
    dq_at = i[:, None] * dq_strides[2] + c[None, :] * dq_strides[3]
    tl.store(dq_ptr + dq_at, dq, mask=i_ok)
