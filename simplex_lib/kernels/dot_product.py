"""Dot-product attention by fused kernels: the step before pairs of keys.

Read from the top: `dot_product_attention_triton` is what `impl="triton"` runs, `forward_kernel` the
online softmax over tiles of keys, `dq_kernel` and `dkv_kernel` its gradients, and the last part
makes an operator of PyTorch out of them. trilinear_forward.py adds one loop to the forward kernel.

Axes: b batch, h query head, g key head, r row (a query in one head of a group, see tiles.py),
i query, j key, s sequence length, d head_dim.

Source: FlashAttention-2, arXiv:2307.08691, Algorithms 1 and 2. Its backward pass adds dq up with
atomics in one kernel; here a second kernel owns dq, so that the bits are the same each time.
"""

import math
from typing import Any

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from simplex_lib.kernels.tiles import (
    LN_2,
    LOG2_E,
    Blocks,
    announce_interpreter,
    check_kernel_inputs,
    choose_blocks,
    launch,
    load_tile,
    store_tile,
    stored_dtype,
)


def dot_product_attention_triton(
    q: Float[Tensor, "b h s d"],
    k: Float[Tensor, "b g s d"],
    v: Float[Tensor, "b g s dv"],
    *,
    causal: bool,
    scale: float,
) -> tuple[Float[Tensor, "b h s dv"], Float[Tensor, "b h s"]]:
    """Out and natural-log lse of `dot_product_attention_with_lse`, which has checked the arguments.

    Memory is of the order of the inputs. Both results have gradients, to all three inputs; these
    have none of their own. Nothing is summed in an order that changes from run to run.

    Raises:
        TypeError: q is float64. ValueError: q is on a CPU while kernels are compiled for a GPU.
    """
    check_kernel_inputs(q=q)
    return _forward(q, k, v, causal, float(scale))


@triton.jit
def forward_kernel(
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
    groups,
    d,
    dv,
    scale,
    CAUSAL: tl.constexpr,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
    D: tl.constexpr,
    DV: tl.constexpr,
    DOT: tl.constexpr,
):
    """One program: ROWS rows of one key head, all keys they see."""
    g, b = tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    first_row = tl.program_id(0) * ROWS
    row = first_row + tl.arange(0, ROWS)
    row_ok = row < s * groups
    i = tl.minimum(row // groups, s - 1)  # rows too many repeat the last query and are not stored
    head = g * groups + row % groups
    q_at = b * q_strides[0] + head * q_strides[1] + i.to(tl.int64) * q_strides[2]
    q = load_tile(q_ptr, q_at, row_ok, d, q_strides[3], D).to(DOT)
    k_ptr += b * k_strides[0] + g * k_strides[1]
    v_ptr += b * v_strides[0] + g * v_strides[1]

    m = tl.full((ROWS,), float("-inf"), tl.float32)  # largest logit so far, times log2(e)
    l = tl.zeros((ROWS,), tl.float32)  # noqa: E741  # sum of exp2(logit - m)
    acc = tl.zeros((ROWS, DV), tl.float32)  # the same sum, each term with its value
    j_to = tl.minimum((first_row + ROWS - 1) // groups + 1, s) if CAUSAL else s
    for j0 in tl.range(0, j_to, KEYS):
        j = j0 + tl.arange(0, KEYS)
        j_at = j.to(tl.int64)
        k = load_tile(k_ptr, j_at * k_strides[2], j < s, d, k_strides[3], D).to(DOT)
        v = load_tile(v_ptr, j_at * v_strides[2], j < s, dv, v_strides[3], DV).to(DOT)
        logits = tl.dot(q, tl.trans(k), input_precision="ieee") * (scale * LOG2_E)
        visible = (j < s)[None, :]
        if CAUSAL:
            visible = visible & (j[None, :] <= i[:, None])
        logits = tl.where(visible, logits, float("-inf"))

        m_new = tl.maximum(m, tl.max(logits, 1))  # finite: key 0, in the first tile, is seen by all
        p = tl.exp2(logits - m_new[:, None])
        rescale = tl.exp2(m - m_new)
        l = l * rescale + tl.sum(p, 1)  # noqa: E741
        acc = acc * rescale[:, None] + tl.dot(p.to(DOT), v, input_precision="ieee")
        m = m_new

    out_at = b * out_strides[0] + head * out_strides[1] + i.to(tl.int64) * out_strides[2]
    store_tile(out_ptr, out_at, row_ok, dv, out_strides[3], acc / l[:, None], DV)
    lse_at = b * lse_strides[0] + head * lse_strides[1] + i.to(tl.int64) * lse_strides[2]
    tl.store(lse_ptr + lse_at, (m + tl.log2(l)) * LN_2, mask=row_ok)


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
    k_ptr,
    k_strides,
    v_ptr,
    v_strides,
    dq_ptr,
    dq_strides,
    s,
    groups,
    d,
    dv,
    scale,
    CAUSAL: tl.constexpr,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
    D: tl.constexpr,
    DV: tl.constexpr,
    DOT: tl.constexpr,
):
    """One program: dq of ROWS rows of one key head.

    dq = scale * sum_j dS k with dS = P (dP - delta) and P = exp(logit - lse), which is cut off at
    1: rounding moves a large logit by more than its distance from lse.
    """
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
    q = load_tile(q_ptr, q_at, row_ok, d, q_strides[3], D).to(DOT)
    dout = load_tile(dout_ptr, dout_at, row_ok, dv, dout_strides[3], DV).to(DOT)
    lse = tl.load(lse_ptr + lse_at, mask=row_ok, other=0.0)
    delta = tl.load(delta_ptr + delta_at, mask=row_ok, other=0.0)
    k_ptr += b * k_strides[0] + g * k_strides[1]
    v_ptr += b * v_strides[0] + g * v_strides[1]

    dq = tl.zeros((ROWS, D), tl.float32)
    j_to = tl.minimum((first_row + ROWS - 1) // groups + 1, s) if CAUSAL else s
    for j0 in tl.range(0, j_to, KEYS):
        j = j0 + tl.arange(0, KEYS)
        j_at = j.to(tl.int64)
        k = load_tile(k_ptr, j_at * k_strides[2], j < s, d, k_strides[3], D).to(DOT)
        v = load_tile(v_ptr, j_at * v_strides[2], j < s, dv, v_strides[3], DV).to(DOT)
        logits = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        visible = row_ok[:, None] & (j < s)[None, :]
        if CAUSAL:
            visible = visible & (j[None, :] <= i[:, None])
        logits = tl.where(visible, logits - lse[:, None], float("-inf"))
        p = tl.exp2(tl.minimum(logits, 0.0) * LOG2_E)
        dp = tl.dot(dout, tl.trans(v), input_precision="ieee")
        ds = p * (dp - delta[:, None])
        dq += tl.dot(ds.to(DOT), k, input_precision="ieee")

    dq_at = b * dq_strides[0] + head * dq_strides[1] + i_at * dq_strides[2]
    store_tile(dq_ptr, dq_at, row_ok, d, dq_strides[3], dq * scale, D)


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
    k_ptr,
    k_strides,
    v_ptr,
    v_strides,
    dk_ptr,
    dk_strides,
    dv_ptr,
    dv_strides,
    s,
    groups,
    d,
    dv,
    scale,
    CAUSAL: tl.constexpr,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
    D: tl.constexpr,
    DV: tl.constexpr,
    DOT: tl.constexpr,
):
    """One program: dk and dv of KEYS keys of one key head, summed over all rows that see them."""
    g, b = tl.program_id(1).to(tl.int64), tl.program_id(2).to(tl.int64)
    j0 = tl.program_id(0) * KEYS
    j = j0 + tl.arange(0, KEYS)
    j_at = j.to(tl.int64)
    k_ptr += b * k_strides[0] + g * k_strides[1]
    v_ptr += b * v_strides[0] + g * v_strides[1]
    k = load_tile(k_ptr, j_at * k_strides[2], j < s, d, k_strides[3], D).to(DOT)
    v = load_tile(v_ptr, j_at * v_strides[2], j < s, dv, v_strides[3], DV).to(DOT)

    dk = tl.zeros((KEYS, D), tl.float32)
    dv_sum = tl.zeros((KEYS, DV), tl.float32)
    row_from = j0 * groups if CAUSAL else 0
    for first_row in tl.range(row_from, s * groups, ROWS):
        row = first_row + tl.arange(0, ROWS)
        row_ok = row < s * groups
        i, head = row // groups, g * groups + row % groups
        i_at = i.to(tl.int64)
        q_at = b * q_strides[0] + head * q_strides[1] + i_at * q_strides[2]
        dout_at = b * dout_strides[0] + head * dout_strides[1] + i_at * dout_strides[2]
        lse_at = b * lse_strides[0] + head * lse_strides[1] + i_at * lse_strides[2]
        delta_at = b * delta_strides[0] + head * delta_strides[1] + i_at * delta_strides[2]
        q = load_tile(q_ptr, q_at, row_ok, d, q_strides[3], D).to(DOT)
        dout = load_tile(dout_ptr, dout_at, row_ok, dv, dout_strides[3], DV).to(DOT)
        lse = tl.load(lse_ptr + lse_at, mask=row_ok, other=0.0)
        delta = tl.load(delta_ptr + delta_at, mask=row_ok, other=0.0)

        logits = tl.dot(k, tl.trans(q), input_precision="ieee") * scale  # (KEYS, ROWS)
        visible = row_ok[None, :] & (j < s)[:, None]
        if CAUSAL:
            visible = visible & (j[:, None] <= i[None, :])
        logits = tl.where(visible, logits - lse[None, :], float("-inf"))
        p = tl.exp2(tl.minimum(logits, 0.0) * LOG2_E)
        dv_sum += tl.dot(p.to(DOT), dout, input_precision="ieee")
        dp = tl.dot(v, tl.trans(dout), input_precision="ieee")
        ds = p * (dp - delta[None, :])
        dk += tl.dot(ds.to(DOT), q, input_precision="ieee")

    dk_ptr += b * dk_strides[0] + g * dk_strides[1]
    dv_ptr += b * dv_strides[0] + g * dv_strides[1]
    store_tile(dk_ptr, j_at * dk_strides[2], j < s, d, dk_strides[3], dk * scale, D)
    store_tile(dv_ptr, j_at * dv_strides[2], j < s, dv, dv_strides[3], dv_sum, DV)


def dot_product_forward(
    q: Tensor, k: Tensor, v: Tensor, *, causal: bool, scale: float, blocks: Blocks | None = None
) -> tuple[Tensor, Tensor]:
    """Launch the kernel: out (b, h, s, dv) in the dtype of q, natural-log lse (b, h, s)."""
    (b, h, s, d), g, dv = q.shape, k.shape[1], v.shape[3]
    groups = h // g
    blocks = choose_blocks(s * groups, s, d, dv, q.dtype) if blocks is None else blocks
    out = torch.empty(b, h, s, dv, dtype=stored_dtype(q.dtype), device=q.device)
    lse = torch.empty(b, h, s, dtype=torch.float32, device=q.device)
    grid = (math.ceil(s * groups / blocks.rows), g, b)
    sizes = (s, groups, d, dv, scale)
    launch(forward_kernel, grid, (q, k, v, out, lse), sizes, blocks, CAUSAL=causal)
    return out.to(q.dtype), lse


def dot_product_backward(
    dout: Tensor,
    dlse: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    *,
    causal: bool,
    scale: float,
    blocks: Blocks | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Launch the kernels: dq, dk, dv, each like its input."""
    (b, h, s, d), g, dv = q.shape, k.shape[1], v.shape[3]
    groups = h // g
    blocks = choose_blocks(s * groups, s, d, dv, q.dtype) if blocks is None else blocks
    delta = (dout.float() * out.float()).sum(-1)
    delta = delta if dlse is None else delta - dlse
    dq, dk, dv_sum = (
        torch.empty(x.shape, dtype=stored_dtype(x.dtype), device=x.device) for x in (q, k, v)
    )
    tensors, sizes = (q, dout, lse, delta, k, v), (s, groups, d, dv, scale)
    grid = (math.ceil(s * groups / blocks.rows), g, b)
    launch(dq_kernel, grid, (*tensors, dq), sizes, blocks, CAUSAL=causal)
    grid = (math.ceil(s / blocks.keys), g, b)
    launch(dkv_kernel, grid, (*tensors, dk, dv_sum), sizes, blocks, CAUSAL=causal)
    return dq.to(q.dtype), dk.to(q.dtype), dv_sum.to(q.dtype)


@torch.library.custom_op("simplex::dot_product_attention", mutates_args=())
def _forward(q: Tensor, k: Tensor, v: Tensor, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
    announce_interpreter()
    return dot_product_forward(q, k, v, causal=causal, scale=scale)


@torch.library.custom_op("simplex::dot_product_attention_backward", mutates_args=())
def _backward(
    dout: Tensor,
    dlse: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    causal: bool,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    return dot_product_backward(dout, dlse, q, k, v, out, lse, causal=causal, scale=scale)


@_forward.register_fake
def _forward_shapes(q: Tensor, k: Tensor, v: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    b, h, s, _ = q.shape
    return q.new_empty(b, h, s, v.shape[3]), q.new_empty(b, h, s, dtype=torch.float32)


@_backward.register_fake
def _backward_shapes(
    dout: Tensor, dlse: Tensor | None, q: Tensor, k: Tensor, v: Tensor, *others: Any
) -> tuple[Tensor, ...]:
    return tuple(x.new_empty(x.shape) for x in (q, k, v))


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:3], *output)
    ctx.options = inputs[3:]  # causal, scale


def _gradients(ctx: Any, dout: Tensor, dlse: Tensor | None) -> tuple[Tensor | None, ...]:
    return *_backward(dout, dlse, *ctx.saved_tensors, *ctx.options), None, None


_forward.register_autograd(_gradients, setup_context=_save)
