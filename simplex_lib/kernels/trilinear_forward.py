"""The forward kernel of trilinear attention: out and lse without the (s, s, s) cube.

Start at `forward_kernel`. For one fixed k, scale * q * k2[k] is an ordinary query of the keys k1:
so the kernel is attention over j with an online softmax that runs on through all k.

Axes: b batch, h query head, g key head, r row (a query in one head of a group, see tiles.py),
i query, j first key, k second key, s sequence length, d head_dim.

Source: arXiv:2507.02754, section 7 (merge one operand elementwise, then a matrix product, then an
online softmax). Here j is the outer loop, so that a tile of k1 and v1 is loaded once for all k,
and v2[k] is multiplied after the product with v1; nothing is added to k2 and v2.
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from simplex_lib.kernels.tiles import (
    LN_2,
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


def trilinear_forward(
    q: Tensor,
    k1: Tensor,
    k2: Tensor,
    v1: Tensor,
    v2: Tensor,
    *,
    w1: int | None,
    w2: int | None,
    causal: bool,
    scale: float,
    blocks: Blocks | None = None,
) -> tuple[Tensor, Tensor]:
    """Launch the kernel: out (b, h, s, dv) in the dtype of q, natural-log lse (b, h, s)."""
    (b, h, s, d), g, dv = q.shape, k1.shape[1], v1.shape[3]
    window1, window2 = (window_of(w, s, causal=causal) for w in (w1, w2))
    if window1 < window2:  # the pairs are the same: tiles over the longer window, rows of the other
        k1, v1, window1, k2, v2, window2 = k2, v2, window2, k1, v1, window1
    groups = h // g
    blocks = choose_blocks(s * groups, window1[0], d, dv, q.dtype) if blocks is None else blocks
    out = torch.empty(b, h, s, dv, dtype=stored_dtype(q.dtype), device=q.device)
    lse = torch.empty(b, h, s, dtype=torch.float32, device=q.device)
    grid = (math.ceil(s * groups / blocks.rows), g, b)
    tensors = (q, k1, k2, v1, v2, out, lse)
    launch(forward_kernel, grid, tensors, (s, groups, d, dv, window1, window2, scale), blocks)
    return out.to(q.dtype), lse


@triton.jit
def forward_kernel(
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
    """One program: ROWS rows of one key head, all pairs they see."""
    g, b = tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    first_row = tl.program_id(0) * ROWS
    row = first_row + tl.arange(0, ROWS)
    row_ok = row < s * groups
    i = tl.minimum(row // groups, s - 1)  # rows too many repeat the last query and are not stored
    head = g * groups + row % groups
    q_at = b * q_strides[0] + head * q_strides[1] + i.to(tl.int64) * q_strides[2]
    q = load_tile(q_ptr, q_at, row_ok, d, q_strides[3], D).to(tl.float32)
    k1_ptr += b * k1_strides[0] + g * k1_strides[1]
    k2_ptr += b * k2_strides[0] + g * k2_strides[1]
    v1_ptr += b * v1_strides[0] + g * v1_strides[1]
    v2_ptr += b * v2_strides[0] + g * v2_strides[1]

    m = tl.full((ROWS,), float("-inf"), tl.float32)  # largest logit so far, times log2(e)
    l = tl.zeros((ROWS,), tl.float32)  # noqa: E741  # sum of exp2(logit - m)
    acc = tl.zeros((ROWS, DV), tl.float32)  # the same sum, each term with its value
    first_i = first_row // groups
    last_i = tl.minimum((first_row + ROWS - 1) // groups, s - 1)
    j_from = tl.maximum(first_i - window1[0] + 1, 0)
    j_to = tl.minimum(last_i + window1[1] + 1, s)
    k_from = tl.maximum(first_i - window2[0] + 1, 0).to(tl.int64)  # k * stride may pass 2 ** 31
    k_to = tl.minimum(last_i + window2[1] + 1, s)
    for j0 in tl.range(j_from, j_to, KEYS):
        j = j0 + tl.arange(0, KEYS)
        sees_j = sees(i[:, None], j[None, :], window1) & (j < s)[None, :]
        k1_at, v1_at = j.to(tl.int64) * k1_strides[2], j.to(tl.int64) * v1_strides[2]
        k1 = load_tile(k1_ptr, k1_at, j < s, d, k1_strides[3], D).to(DOT)
        v1 = load_tile(v1_ptr, v1_at, j < s, dv, v1_strides[3], DV).to(DOT)
        for k in tl.range(k_from, k_to):
            k2 = load_vector(k2_ptr + k * k2_strides[2], d, k2_strides[3], D)
            v2 = load_vector(v2_ptr + k * v2_strides[2], dv, v2_strides[3], DV)
            merged = (q * (k2 * scale)[None, :]).to(DOT)
            logits = tl.dot(merged, tl.trans(k1), input_precision="ieee") * LOG2_E
            visible = sees_j & sees(i, k, window2)[:, None]
            logits = tl.where(visible, logits, float("-inf"))

            m_new = tl.maximum(m, tl.max(logits, 1))
            base = tl.where(m_new == float("-inf"), 0.0, m_new)  # nothing seen yet: no inf - inf
            p = tl.exp2(logits - base[:, None])
            rescale = tl.exp2(m - base)
            l = l * rescale + tl.sum(p, 1)  # noqa: E741
            pv = tl.dot(p.to(DOT), v1, input_precision="ieee")
            acc = acc * rescale[:, None] + pv * v2[None, :]
            m = m_new

    out_at = b * out_strides[0] + head * out_strides[1] + i.to(tl.int64) * out_strides[2]
    store_tile(out_ptr, out_at, row_ok, dv, out_strides[3], acc / l[:, None], DV)
    lse_at = b * lse_strides[0] + head * lse_strides[1] + i.to(tl.int64) * lse_strides[2]
    tl.store(lse_ptr + lse_at, (m + tl.log2(l)) * LN_2, mask=row_ok)
