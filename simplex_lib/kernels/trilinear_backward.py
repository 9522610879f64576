"""The backward kernels of trilinear attention: five gradients, no atomics, the same bits each time.

Start at `trilinear_backward`, then `dq_kernel` and `dkv_kernel`. With logits S, probabilities P and
one fixed k, the merged query m = scale * q * k2[k] and the merged gradient n = dout * v2[k] turn
every formula into that of dot-product attention (sums over the rows r that see j and k):

    dP = n @ v1^T      dS = P * (dP - delta)     delta = sum_d dout * out - dlse
    dv1 += P^T @ n     dk1 += dS^T @ m           dq += scale * k2[k] * (dS @ k1)

P is not kept from the forward pass: P = exp(S - lse), cut off at 1, since rounding moves a large S
by more than its distance from lse. Each gradient is summed by the one program
that owns it, in a fixed order: a tile of rows for dq, a tile of j for dk1 and dv1. The roles of the
two keys are alike, so the kernel for dk1 and dv1 runs a second time, with the roles exchanged, for
dk2 and dv2.

There is no kernel for determinants: their gradients are those of trilinear attention on the longer
vectors of `as_trilinear`, folded back (see trilinear.py).

Axes and rows: as in trilinear_forward.py. Source: arXiv:2507.02754, section 7; its kernels add up
some of the gradients with atomics.
"""

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from simplex_lib.kernels.tiles import (
    LOG2_E,
    Blocks,
    choose_blocks,
    launch,
    load_tile,
    load_vector,
    sees,
    store_tile,
    stored_dtype,
    window_of,
)


def trilinear_backward(
    dout: Tensor,
    dlse: Tensor | None,
    q: Tensor,
    k1: Tensor,
    k2: Tensor,
    v1: Tensor,
    v2: Tensor,
    out: Tensor,
    lse: Tensor,
    *,
    w1: int | None,
    w2: int | None,
    causal: bool,
    scale: float,
    blocks: Blocks | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Launch the kernels: dq, dk1, dk2, dv1, dv2, each like its input."""
    (b, h, s, d), g, dv = q.shape, k1.shape[1], v1.shape[3]
    first = (k1, v1, window_of(w1, s, causal=causal))
    second = (k2, v2, window_of(w2, s, causal=causal))
    groups = h // g
    blocks = choose_blocks(s * groups, s, d, dv, q.dtype) if blocks is None else blocks
    delta = (dout.float() * out.float()).sum(-1)
    delta = delta if dlse is None else delta - dlse
    dq, dk1, dk2, dv1, dv2 = (
        torch.empty(x.shape, dtype=stored_dtype(x.dtype), device=x.device)
        for x in (q, k1, k2, v1, v2)
    )

    def run(kernel: Any, n_tiles: int, tiled: tuple, single: tuple, *gradients: Tensor) -> None:
        tensors = (q, dout, lse, delta, *tiled[:2], *single[:2], *gradients)
        others = (s, groups, d, dv, tiled[2], single[2], scale)
        launch(kernel, (n_tiles, g, b), tensors, others, blocks)

    longer, shorter = (second, first) if first[2] < second[2] else (first, second)
    run(dq_kernel, math.ceil(s * groups / blocks.rows), longer, shorter, dq)
    run(dkv_kernel, math.ceil(s / blocks.keys), first, second, dk1, dv1)
    run(dkv_kernel, math.ceil(s / blocks.keys), second, first, dk2, dv2)
    dtype = q.dtype
    return dq.to(dtype), dk1.to(dtype), dk2.to(dtype), dv1.to(dtype), dv2.to(dtype)


@triton.jit
def dq_kernel(
    q_ptr,
    q_strides,
    dout_ptr,
    dout_strides,
    lse_ptr,
    lse_strides,
    delta_ptr,
    delta_strides,
    k1_ptr,
    k1_strides,
    v1_ptr,
    v1_strides,
    k2_ptr,
    k2_strides,
    v2_ptr,
    v2_strides,
    dq_ptr,
    dq_strides,
    s,
    groups,
    d,
    dv,
    window1,
    window2,
    scale,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
    D: tl.constexpr,
    DV: tl.constexpr,
    DOT: tl.constexpr,
):
    """One program: dq of ROWS rows of one key head, over all pairs they see."""
    g, b = tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    first_row = tl.program_id(0) * ROWS
    row = first_row + tl.arange(0, ROWS)
    row_ok = row < s * groups
    i = tl.minimum(row // groups, s - 1)
    head, i_at = g * groups + row % groups, i.to(tl.int64)
    q_at = b * q_strides[0] + head * q_strides[1] + i_at * q_strides[2]
    dout_at = b * dout_strides[0] + head * dout_strides[1] + i_at * dout_strides[2]
    lse_at = b * lse_strides[0] + head * lse_strides[1] + i_at * lse_strides[2]
    delta_at = b * delta_strides[0] + head * delta_strides[1] + i_at * delta_strides[2]
    q = load_tile(q_ptr, q_at, row_ok, d, q_strides[3], D).to(tl.float32)
    dout = load_tile(dout_ptr, dout_at, row_ok, dv, dout_strides[3], DV).to(tl.float32)
    lse = tl.load(lse_ptr + lse_at, mask=row_ok, other=0.0)
    delta = tl.load(delta_ptr + delta_at, mask=row_ok, other=0.0)
    k1_ptr += b * k1_strides[0] + g * k1_strides[1]
    k2_ptr += b * k2_strides[0] + g * k2_strides[1]
    v1_ptr += b * v1_strides[0] + g * v1_strides[1]
    v2_ptr += b * v2_strides[0] + g * v2_strides[1]

    dq = tl.zeros((ROWS, D), tl.float32)
    first_i = first_row // groups
    last_i = tl.minimum((first_row + ROWS - 1) // groups, s - 1)
    j_from = tl.maximum(first_i - window1[0] + 1, 0)
    j_to = tl.minimum(last_i + window1[1] + 1, s)
    k_from = tl.maximum(first_i - window2[0] + 1, 0).to(tl.int64)  # k * stride may pass 2 ** 31
    k_to = tl.minimum(last_i + window2[1] + 1, s)
    for j0 in tl.range(j_from, j_to, KEYS):
        j = j0 + tl.arange(0, KEYS)
        sees_j = sees(i[:, None], j[None, :], window1) & (j < s)[None, :] & row_ok[:, None]
        k1_at, v1_at = j.to(tl.int64) * k1_strides[2], j.to(tl.int64) * v1_strides[2]
        k1 = load_tile(k1_ptr, k1_at, j < s, d, k1_strides[3], D).to(DOT)
        v1 = load_tile(v1_ptr, v1_at, j < s, dv, v1_strides[3], DV).to(DOT)
        for k in tl.range(k_from, k_to):
            k2 = load_vector(k2_ptr + k * k2_strides[2], d, k2_strides[3], D)
            v2 = load_vector(v2_ptr + k * v2_strides[2], dv, v2_strides[3], DV)
            merged = (q * (k2 * scale)[None, :]).to(DOT)
            logits = tl.dot(merged, tl.trans(k1), input_precision="ieee")
            visible = sees_j & sees(i, k, window2)[:, None]
            logits = tl.where(visible, logits - lse[:, None], float("-inf"))
            p = tl.exp2(tl.minimum(logits, 0.0) * LOG2_E)
            dp = tl.dot((dout * v2[None, :]).to(DOT), tl.trans(v1), input_precision="ieee")
            ds = p * (dp - delta[:, None])
            dq += tl.dot(ds.to(DOT), k1, input_precision="ieee") * (k2 * scale)[None, :]

    dq_at = b * dq_strides[0] + head * dq_strides[1] + i_at * dq_strides[2]
    store_tile(dq_ptr, dq_at, row_ok, d, dq_strides[3], dq, D)


@triton.jit
def dkv_kernel(
    q_ptr,
    q_strides,
    dout_ptr,
    dout_strides,
    lse_ptr,
    lse_strides,
    delta_ptr,
    delta_strides,
    k1_ptr,
    k1_strides,
    v1_ptr,
    v1_strides,
    k2_ptr,
    k2_strides,
    v2_ptr,
    v2_strides,
    dk1_ptr,
    dk1_strides,
    dv1_ptr,
    dv1_strides,
    s,
    groups,
    d,
    dv,
    window1,
    window2,
    scale,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
    D: tl.constexpr,
    DV: tl.constexpr,
    DOT: tl.constexpr,
):
    """One program: dk1 and dv1 of KEYS positions j of one key head, over all rows and all k."""
    g, b = tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    j0 = tl.program_id(0) * KEYS
    j = j0 + tl.arange(0, KEYS)
    j_at = j.to(tl.int64)
    k1_ptr += b * k1_strides[0] + g * k1_strides[1]
    k2_ptr += b * k2_strides[0] + g * k2_strides[1]
    v1_ptr += b * v1_strides[0] + g * v1_strides[1]
    v2_ptr += b * v2_strides[0] + g * v2_strides[1]
    k1 = load_tile(k1_ptr, j_at * k1_strides[2], j < s, d, k1_strides[3], D).to(DOT)
    v1 = load_tile(v1_ptr, j_at * v1_strides[2], j < s, dv, v1_strides[3], DV).to(DOT)

    dk1 = tl.zeros((KEYS, D), tl.float32)
    dv1 = tl.zeros((KEYS, DV), tl.float32)
    i_from = tl.maximum(j0 - window1[1], 0)  # the queries that see some j of this tile
    i_to = tl.minimum(j0 + KEYS - 1 + window1[0], s)
    k_from = tl.maximum(i_from - window2[0] + 1, 0).to(tl.int64)
    k_to = tl.minimum(i_to + window2[1], s)
    for k in tl.range(k_from, k_to):
        k2 = load_vector(k2_ptr + k * k2_strides[2], d, k2_strides[3], D)
        v2 = load_vector(v2_ptr + k * v2_strides[2], dv, v2_strides[3], DV)
        if DOT == tl.float32:  # noqa: SIM300  # a sum for each k: one long sum loses digits
            dk1_before, dv1_before = dk1, dv1
            dk1 = tl.zeros((KEYS, D), tl.float32)
            dv1 = tl.zeros((KEYS, DV), tl.float32)
        row_from = tl.maximum(i_from, k - window2[1]) * groups  # and that see k as well
        row_to = tl.minimum(i_to, k + window2[0]) * groups
        for first_row in tl.range(row_from, row_to, ROWS):
            row = first_row + tl.arange(0, ROWS)
            row_ok = row < row_to
            i, head = row // groups, g * groups + row % groups
            q_at = b * q_strides[0] + head * q_strides[1] + i * q_strides[2]
            dout_at = b * dout_strides[0] + head * dout_strides[1] + i * dout_strides[2]
            lse_at = b * lse_strides[0] + head * lse_strides[1] + i * lse_strides[2]
            delta_at = b * delta_strides[0] + head * delta_strides[1] + i * delta_strides[2]
            q = load_tile(q_ptr, q_at, row_ok, d, q_strides[3], D).to(tl.float32)
            dout = load_tile(dout_ptr, dout_at, row_ok, dv, dout_strides[3], DV).to(tl.float32)
            lse = tl.load(lse_ptr + lse_at, mask=row_ok, other=0.0)
            delta = tl.load(delta_ptr + delta_at, mask=row_ok, other=0.0)

            merged = (q * (k2 * scale)[None, :]).to(DOT)
            logits = tl.dot(k1, tl.trans(merged), input_precision="ieee")  # (KEYS, ROWS)
            visible = sees(i[None, :], j[:, None], window1) & row_ok[None, :] & (j < s)[:, None]
            logits = tl.where(visible, logits - lse[None, :], float("-inf"))
            p = tl.exp2(tl.minimum(logits, 0.0) * LOG2_E)
            merged_dout = (dout * v2[None, :]).to(DOT)
            dv1 += tl.dot(p.to(DOT), merged_dout, input_precision="ieee")
            dp = tl.dot(v1, tl.trans(merged_dout), input_precision="ieee")
            ds = p * (dp - delta[None, :])
            dk1 += tl.dot(ds.to(DOT), merged, input_precision="ieee")
        if DOT == tl.float32:  # noqa: SIM300
            dk1 += dk1_before
            dv1 += dv1_before

    dk1_ptr += b * dk1_strides[0] + g * dk1_strides[1]
    dv1_ptr += b * dv1_strides[0] + g * dv1_strides[1]
    store_tile(dk1_ptr, j_at * dk1_strides[2], j < s, d, dk1_strides[3], dk1, D)
    store_tile(dv1_ptr, j_at * dv1_strides[2], j < s, dv, dv1_strides[3], dv1, DV)
