"""The forward kernel of trilinear attention: out and lse without the (s, s, s) cube.

Start at `forward_kernel`. For one fixed k, scale * q * k2[k] is an ordinary query of the keys k1:
so the kernel is attention over j with an online softmax that runs on through all k.

Axes: b batch, h query head, g key head, r row (a query in one head of a group, see tiles.py),
i query, j first key, k second key, s sequence length, d head_dim.

Source: arXiv:2507.02754, section 7 (merge one operand elementwise, then a matrix product, then an
online softmax). Here j is the outer loop, so that a tile of k1 and v1 is loaded once for all k,
and v2[k] is multiplied after the product with v1; nothing is added to k2 and v2.

Determinants (section 5) differ in the merged query alone: det[q; k1; k2] = k1 . (k2 x q), so it is
the cross product of k2 and q in each chunk of three: one term more, of turned copies.
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from simplex_lib.attention.determinant import chunks_and_rest, turn
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
    determinant: bool = False,
    blocks: Blocks | None = None,
) -> tuple[Tensor, Tensor]:
    """Launch the kernel: out (b, h, s, dv) in the dtype of q, natural-log lse (b, h, s)."""
    (b, h, s, d), g, dv = q.shape, k1.shape[1], v1.shape[3]
    window1, window2 = (window_of(w, s, causal=causal) for w in (w1, w2))
    exchanged = window1 < window2
    if exchanged:  # the pairs are the same: tiles over the longer window, rows of the other
        k1, v1, window1, k2, v2, window2 = k2, v2, window2, k1, v1, window1
    groups = h // g
    blocks = choose_blocks(s * groups, window1[0], d, dv, q.dtype) if blocks is None else blocks
    out = torch.empty(b, h, s, dv, dtype=stored_dtype(q.dtype), device=q.device)
    lse = torch.empty(b, h, s, dtype=torch.float32, device=q.device)
    grid = (math.ceil(s * groups / blocks.rows), g, b)
    merge = merged_factors(q, k2, exchanged=exchanged) if determinant else (q, k2, q, k2)
    tensors = (*merge, k1, v1, v2, out, lse)
    others = (s, groups, d, dv, window1, window2, scale)
    launch(forward_kernel, grid, tensors, others, blocks, TWO_TERMS=determinant)
    return out.to(q.dtype), lse


def merged_factors(q: Tensor, k2: Tensor, *, exchanged: bool) -> tuple[Tensor, ...]:
    """q, k2, q_other, k2_other: the merged query of determinants is q * k2 - q_other * k2_other.

    That is the cross product of k2 and q; with exchanged, of q and k2, since a determinant changes
    its sign with two of its rows. Coordinates left over stand in the first term only.
    """
    one, two = (2, 1) if exchanged else (1, 2)
    (a, a_rest), (c, c_rest) = chunks_and_rest(q), chunks_and_rest(k2)
    factors = (
        (turn(a, two), a_rest),
        (turn(c, one), c_rest),
        (turn(a, one), torch.zeros_like(a_rest)),
        (turn(c, two), c_rest),
    )
    # copies: a kernel that turned what it loads would load every number by itself
    return tuple(torch.cat(pair, -1) for pair in factors)


@triton.jit
def forward_kernel(
    q_ptr,
    q_strides,
    k2_ptr,
    k2_strides,
    q_other_ptr,
    q_other_strides,
    k2_other_ptr,
    k2_other_strides,
    k1_ptr,
    k1_strides,
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
    TWO_TERMS: tl.constexpr,
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
    if TWO_TERMS:
        q_at = b * q_other_strides[0] + head * q_other_strides[1] + i * q_other_strides[2]
        q_other = load_tile(q_other_ptr, q_at, row_ok, d, q_other_strides[3], D).to(tl.float32)
        k2_other_ptr += b * k2_other_strides[0] + g * k2_other_strides[1]
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
            merged = q * (k2 * scale)[None, :]
            if TWO_TERMS:
                k2_at = k2_other_ptr + k * k2_other_strides[2]
                k2_other = load_vector(k2_at, d, k2_other_strides[3], D)
                merged -= q_other * (k2_other * scale)[None, :]
            logits = tl.dot(merged.to(DOT), tl.trans(k1), input_precision="ieee") * LOG2_E
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
