"""Kernels for exercise 10.4: one with a slip in it, and two right ones by other ways."""

from __future__ import annotations

from simplex_lib.checks.jit import tl, triton


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
    ALL: tl.constexpr,
):
    """As the statement asks, but for SLIP. ALL: the loop goes over all j, and only masks decide."""
    h, b = tl.program_id(1), tl.program_id(2)
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
    c = tl.arange(0, D)[None, :]

    tile = 2 * tl.program_id(0) + STAGE
    if SLIP == "STAGE ignored":
        tile = tl.program_id(0)
    if SLIP == "even tiles in both stages":
        tile = 2 * tl.program_id(0)
    if SLIP == "odd tiles first":
        tile = 2 * tl.program_id(0) + 1 - STAGE
    if SLIP == "halves in place of even and odd":
        tile = tl.program_id(0) + STAGE * ((s + W2 - 1) // W2 + 1) // 2
    first_i = tile * W2
    i = first_i + tl.arange(0, W2)
    if SLIP == "last query counted again":
        i = tl.minimum(i, s - 1)
    i_ok = (i < s)[:, None] & (c < d)
    q_at = i[:, None] * q_strides[2] + c * q_strides[3]
    dout_at = i[:, None] * dout_strides[2] + c * dout_strides[3]
    q = tl.load(q_ptr + q_at, mask=i_ok, other=0.0).to(tl.float32)
    dout = tl.load(dout_ptr + dout_at, mask=i_ok, other=0.0).to(tl.float32)
    lse = tl.load(lse_ptr + i * lse_strides[2], mask=i < s, other=0.0)[None, :]
    delta = tl.load(delta_ptr + i * delta_strides[2], mask=i < s, other=0.0)[None, :]

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
    if SLIP == "window w2 + 1":
        sees_k = (to_k >= 0) & (to_k <= W2)
    if SLIP == "window w2 - 1":
        sees_k = (to_k >= 0) & (to_k < W2 - 1)
    if SLIP == "second window missing":
        sees_k = to_k >= 0
    if SLIP == "previous tile left out":
        sees_k = sees_k & (k >= first_i)[:, None]
    if SLIP == "own tile left out":
        sees_k = sees_k & (k < first_i)[:, None]
    sees_k = sees_k & (k >= 0)[:, None] & (i < s)[None, :]

    dq = tl.zeros((W2, D), tl.float32)
    dk2 = tl.zeros((2 * W2, D), tl.float32)
    dv2 = tl.zeros((2 * W2, D), tl.float32)
    j_from, j_end = tl.maximum(first_i - w1 + 1, 0), tl.minimum(first_i + W2, s)
    if SLIP == "first keys before the tile left out":
        j_from = tl.minimum(first_i, s)
    if ALL:
        j_from, j_end = 0, s
    for j in range(j_from, j_end):
        k1 = tl.load(k1_ptr + j * k1_strides[2] + c * k1_strides[3], mask=c < d, other=0.0)
        v1 = tl.load(v1_ptr + j * v1_strides[2] + c * v1_strides[3], mask=c < d, other=0.0)
        k1, v1 = k1.to(tl.float32), v1.to(tl.float32)
        if SLIP == "accumulators begun anew for each j":
            dq, dk2, dv2 = dq * 0, dk2 * 0, dv2 * 0
        merged = q * k1 * scale
        score = merged
        if SLIP == "scale forgotten in the logits" or SLIP == "scale forgotten everywhere":
            score = q * k1
        if SLIP == "k1 forgotten in the logits":
            score = q * scale
        logits = tl.dot(k2, tl.trans(score), input_precision="ieee")  # (2 * W2, W2)

        to_j = i - j
        sees_j = (to_j >= 0) & (to_j < w1)
        if SLIP == "future first keys":
            sees_j = to_j < w1
        if SLIP == "window w1 + 1":
            sees_j = (to_j >= 0) & (to_j <= w1)
        if SLIP == "window w1 - 1":
            sees_j = (to_j >= 0) & (to_j < w1 - 1)
        if SLIP == "first window missing":
            sees_j = to_j >= 0
        visible = sees_k & sees_j[None, :]
        if SLIP == "only k up to j":
            visible = visible & (k <= j)[:, None]
        if SLIP == "only k from j on":
            visible = visible & (k >= j)[:, None]

        log_p = logits - lse
        if SLIP == "lse taken as base 2":
            log_p = logits - lse * 0.6931471805599453
        if SLIP == "logits taken as base 2":
            log_p = logits * 0.6931471805599453 - lse
        if SLIP == "exp2 of natural numbers":
            log_p = (logits - lse) * 0.6931471805599453
        if SLIP == "lse forgotten":
            log_p = logits
        p = tl.exp(log_p)
        if SLIP == "quotient of exponentials":
            p = tl.exp(logits) / tl.exp(lse)
        p = tl.where(visible, p, 0.0)

        merged_dout = dout * v1
        dp_dout, dv2_dout = merged_dout, merged_dout
        if SLIP == "v1 forgotten in dP" or SLIP == "v1 forgotten":
            dp_dout = dout
        if SLIP == "v1 forgotten in dv2" or SLIP == "v1 forgotten":
            dv2_dout = dout
        dp = tl.dot(v2, tl.trans(dp_dout), input_precision="ieee")
        ds = p * (dp - delta)
        if SLIP == "delta forgotten":
            ds = p * dp
        if SLIP == "delta added":
            ds = p * (dp + delta)
        if SLIP == "delta subtracted after the product":
            ds = p * dp - delta
        if SLIP == "dP in place of dS":
            ds = tl.where(visible, dp, 0.0)

        dk2_query, dq_key, p_dv2, ds_dk2 = merged, k1 * scale, p, ds
        if SLIP == "scale forgotten in dk2" or SLIP == "scale forgotten in dq and dk2":
            dk2_query = q * k1
        if SLIP == "scale forgotten in dq" or SLIP == "scale forgotten in dq and dk2":
            dq_key = k1
        if SLIP == "scale forgotten everywhere":
            dk2_query, dq_key = q * k1, k1
        if SLIP == "scale twice in dk2":
            dk2_query = merged * scale
        if SLIP == "scale twice in dq":
            dq_key = k1 * scale * scale
        if SLIP == "scale in dv2":
            dv2_dout = merged_dout * scale
        if SLIP == "k1 forgotten in dk2":
            dk2_query = q * scale
        if SLIP == "k1 forgotten in dq":
            dq_key = k1 * 0 + scale
        if SLIP == "P in place of dS in dk2":
            ds_dk2 = p
        if SLIP == "dS in place of P":
            p_dv2 = ds
        dv2 += tl.dot(p_dv2, dv2_dout, input_precision="ieee")
        dk2 += tl.dot(ds_dk2, dk2_query, input_precision="ieee")
        if SLIP == "k2 forgotten in dq":
            dq += tl.sum(ds, 0)[:, None] * dq_key
        else:
            dq += tl.dot(tl.trans(ds), k2, input_precision="ieee") * dq_key
        if SLIP == "half-precision accumulators":
            dq = dq.to(tl.float16).to(tl.float32)
            dk2, dv2 = dk2.to(tl.float16).to(tl.float32), dv2.to(tl.float16).to(tl.float32)

    if SLIP == "dk2 and dv2 exchanged":
        dk2, dv2 = dv2, dk2
    dq_at = i[:, None] * dq_strides[2] + c * dq_strides[3]
    dk2_at = k[:, None] * dk2_strides[2] + c * dk2_strides[3]
    dv2_at = k[:, None] * dv2_strides[2] + c * dv2_strides[3]
    if SLIP == "dq added to what is there":
        dq += tl.load(dq_ptr + dq_at, mask=i_ok, other=0.0)
    if SLIP == "dq of even tiles only":
        i_ok = i_ok & (STAGE == 0)
    tl.store(dq_ptr + dq_at, dq, mask=i_ok)
    keep = k_ok
    if SLIP == "own tile alone stored":
        keep = k_ok & (k >= first_i)[:, None]
    if SLIP == "own tile alone stored by odd tiles" and STAGE == 1:
        keep = k_ok & (k >= first_i)[:, None]
    if SLIP == "previous tile alone stored":
        keep = k_ok & (k < first_i)[:, None]
    if SLIP == "previous tile alone stored by odd tiles" and STAGE == 1:
        keep = k_ok & (k < first_i)[:, None]
    if SLIP == "atomics":
        tl.atomic_add(dk2_ptr + dk2_at, dk2, mask=keep)
        tl.atomic_add(dv2_ptr + dv2_at, dv2, mask=keep)
    else:
        if STAGE == 1 and SLIP != "odd tiles overwrite":
            if SLIP != "odd tiles overwrite dk2":
                dk2 += tl.load(dk2_ptr + dk2_at, mask=keep, other=0.0)
            if SLIP != "odd tiles overwrite dv2":
                dv2 += tl.load(dv2_ptr + dv2_at, mask=keep, other=0.0)
        tl.store(dk2_ptr + dk2_at, dk2, mask=keep)
        tl.store(dv2_ptr + dv2_at, dv2, mask=keep)


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
