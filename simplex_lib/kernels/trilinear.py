"""Trilinear attention by fused kernels, as an operator of PyTorch.

Read from the top: `trilinear_attention_triton` is what `impl="triton"` runs. The operator tells
PyTorch what it needs to know of a function it cannot look into: the shapes of its results without
computing them (torch.compile, meta tensors), and its gradients, by a second operator.

The kernels are in trilinear_forward.py and trilinear_backward.py. For determinants the forward
kernel merges query and key in another way; the gradients are those of the longer trilinear vectors.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from simplex_lib.attention.determinant import as_trilinear, turn
from simplex_lib.kernels.tiles import announce_interpreter, check_kernel_inputs
from simplex_lib.kernels.trilinear_backward import trilinear_backward
from simplex_lib.kernels.trilinear_forward import trilinear_forward


def trilinear_attention_triton(
    q: Float[Tensor, "b h s d"],
    k1: Float[Tensor, "b g s d"],
    k2: Float[Tensor, "b g s d"],
    v1: Float[Tensor, "b g s dv"],
    v2: Float[Tensor, "b g s dv"],
    *,
    w1: int | None,
    w2: int | None,
    causal: bool,
    scale: float,
    determinant: bool = False,
) -> tuple[Float[Tensor, "b h s dv"], Float[Tensor, "b h s"]]:
    """Out and natural-log lse of `trilinear_attention_with_lse`, or with determinant those of
    `determinant_attention_with_lse`, which have checked the arguments.

    Memory is of the order of the inputs, whatever the windows; all products inside take factors
    of the dtype of q and sum in float32. Both results have gradients, to all five inputs; these
    have none of their own. Nothing is summed in an order that changes from run to run.

    Raises:
        TypeError: q is float64. ValueError: q is on a CPU while kernels are compiled for a GPU.
    """
    check_kernel_inputs(q=q)
    w1, w2 = (None if w is None else int(w) for w in (w1, w2))
    return _forward(q, k1, k2, v1, v2, w1, w2, causal, float(scale), determinant)


@torch.library.custom_op("simplex::trilinear_attention", mutates_args=())
def _forward(
    q: Tensor,
    k1: Tensor,
    k2: Tensor,
    v1: Tensor,
    v2: Tensor,
    w1: int | None,
    w2: int | None,
    causal: bool,
    scale: float,
    determinant: bool = False,
) -> tuple[Tensor, Tensor]:
    announce_interpreter()
    options: dict[str, Any] = dict(w1=w1, w2=w2, causal=causal, scale=scale)
    return trilinear_forward(q, k1, k2, v1, v2, **options, determinant=determinant)


@torch.library.custom_op("simplex::trilinear_attention_backward", mutates_args=())
def _backward(
    dout: Tensor,
    dlse: Tensor | None,
    q: Tensor,
    k1: Tensor,
    k2: Tensor,
    v1: Tensor,
    v2: Tensor,
    out: Tensor,
    lse: Tensor,
    w1: int | None,
    w2: int | None,
    causal: bool,
    scale: float,
    determinant: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    vectors = as_trilinear(q, k1, k2) if determinant else (q, k1, k2)
    options: dict[str, Any] = dict(w1=w1, w2=w2, causal=causal, scale=scale)
    found = trilinear_backward(dout, dlse, *vectors, v1, v2, out, lse, **options)
    return (*_folded(*found[:3]), *found[3:]) if determinant else found


def _folded(dq: Tensor, dk1: Tensor, dk2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of q, k1 and k2 from those of `as_trilinear(q, k1, k2)`."""
    each = []
    for x, first, second in ((dq, 0, None), (dk1, 1, 2), (dk2, 2, 1)):
        whole = x.shape[-1] // 6 * 3  # each chunk of three stands twice, coordinates left over once
        a, b, rest = x.tensor_split([whole, 2 * whole], -1)
        both = a - b if second is None else turn(a, 3 - first) + turn(b, 3 - second)
        each.append(torch.cat([both, rest], -1))
    return each[0], each[1], each[2]


@_forward.register_fake
def _forward_shapes(
    q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, *others: Any
) -> tuple[Tensor, Tensor]:
    b, h, s, _ = q.shape
    return q.new_empty(b, h, s, v1.shape[3]), q.new_empty(b, h, s, dtype=torch.float32)


@_backward.register_fake
def _backward_shapes(
    dout: Tensor,
    dlse: Tensor | None,
    q: Tensor,
    k1: Tensor,
    k2: Tensor,
    v1: Tensor,
    v2: Tensor,
    *others: Any,
) -> tuple[Tensor, ...]:
    return tuple(x.new_empty(x.shape) for x in (q, k1, k2, v1, v2))


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:5], *output)
    ctx.options = inputs[5:]  # w1, w2, causal, scale, determinant


def _gradients(ctx: Any, dout: Tensor, dlse: Tensor | None) -> tuple[Tensor | None, ...]:
    gradients = _backward(dout, dlse, *ctx.saved_tensors, *ctx.options)
    return *gradients, None, None, None, None, None


_forward.register_autograd(_gradients, setup_context=_save)
