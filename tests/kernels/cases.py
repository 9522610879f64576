"""Inputs for the kernels, the exact answer, and how far from it an answer may be.

The tolerance comes from data. `rounded` computes the plain formulas in the dtype of the inputs, as
a few lines of PyTorch without a kernel would; a kernel may be twice as far from float64 as that.
"""

import math
from functools import partial
from typing import NamedTuple

import torch

from simplex_lib.attention import (
    causal_mask,
    dot_product_attention_with_lse,
    pair_window,
    trilinear_attention_with_lse,
)
from simplex_lib.kernels.tiles import Blocks

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
RESULTS = ("out", "lse", "dq", "dk1", "dk2", "dv1", "dv2")
SMALL = Blocks(rows=16, keys=16, d=32, dv=32)  # several tiles in small cases


def make_case(device, *, b=1, h=2, g=1, s=7, d=16, dv=None, dtype=torch.float32, pairs=True):
    """Inputs and gradients (dout, dlse), no two axes of one size where the caller does not ask."""
    dv = d if dv is None else dv
    shapes = [(b, h, s, d), (b, g, s, d), (b, g, s, d), (b, g, s, dv), (b, g, s, dv)]
    shapes = shapes if pairs else [shapes[0], shapes[1], shapes[3]]
    generator = torch.Generator().manual_seed(s + 31 * d + 7 * h)
    inputs = [torch.randn(shape, generator=generator) for shape in shapes]
    dout = torch.randn(b, h, s, dv, generator=generator)
    dlse = torch.randn(b, h, s, generator=generator)
    return [x.to(device, dtype) for x in inputs], (dout.to(device, dtype), dlse.to(device))


def results(attend, inputs, gradients):
    """out, lse and the gradient of every input."""
    inputs = [x.detach().requires_grad_() for x in inputs]
    out, lse = attend(*inputs)
    dout, dlse = gradients
    dout, dlse = dout.to(out.dtype), dlse.to(lse.dtype)
    return [out.detach(), lse.detach(), *torch.autograd.grad((out, lse), inputs, (dout, dlse))]


class Exact(NamedTuple):
    """The reference in float64, and the size of the numbers that were added up for each result."""

    values: list
    sizes: list


def exact(inputs, gradients, attend=None, **options):
    """A gradient holds P * (dP - delta); without delta it shows how much of it cancels."""
    inputs = [x.double() for x in inputs]
    reference = trilinear_attention_with_lse if len(inputs) == 5 else dot_product_attention_with_lse
    attend = partial(reference if attend is None else attend, **options)
    values = results(attend, inputs, gradients)
    dout, dlse = gradients
    uncancelled = dout, dlse + (dout.double() * values[0]).sum(-1)
    parts = results(attend, inputs, uncancelled)
    sizes = [max(x.norm(), y.norm()).item() for x, y in zip(values, parts, strict=True)]
    return Exact(values, sizes)


def rounded(inputs, gradients, **options):
    """The plain formulas, every product and sum kept in the dtype of the inputs."""
    plain = plain_trilinear if len(inputs) == 5 else plain_dot_product
    return results(lambda *x: plain(*x, **options), inputs, gradients)


def plain_trilinear(q, k1, k2, v1, v2, *, w1=None, w2=None, causal=True, scale=None):
    groups = q.shape[1] // k1.shape[1]
    k1, k2, v1, v2 = (x.repeat_interleave(groups, 1) for x in (k1, k2, v1, v2))
    merged = q[:, :, :, None] * k2[:, :, None] * scale_of(q, scale)  # (b, h, i, k, d)
    logits = torch.einsum("bhikd,bhjd->bhijk", merged, k1)
    hidden = ~pair_window(q.shape[2], w1, w2, causal=causal, device=q.device)
    flat = logits.masked_fill(hidden, -torch.inf).flatten(-2)
    probs = flat.softmax(-1).view_as(logits)
    out = torch.einsum("bhijk,bhjkd->bhid", probs, v1[:, :, :, None] * v2[:, :, None])
    return out, flat.float().logsumexp(-1)


def plain_dot_product(q, k, v, *, causal=True, scale=None):
    k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], 1) for x in (k, v))
    logits = q @ k.mT * scale_of(q, scale)
    if causal:
        logits = logits.masked_fill(~causal_mask(q.shape[2], device=q.device), -torch.inf)
    return logits.softmax(-1) @ v, logits.float().logsumexp(-1)


def scale_of(q, scale):
    return 1 / math.sqrt(q.shape[-1]) if scale is None else scale


def assert_close_enough(found, wanted, plain, *, times=2.0):
    """Each result at most `times` as far from `wanted` as `plain` is, give or take a rounding.

    In float32 a few, and since P is exp(logit - lse), two more for each unit of lse.
    """
    names = RESULTS if len(found) == 7 else ("out", "lse", "dq", "dk", "dv")
    rounding = torch.finfo(plain[0].dtype).eps / 2
    if plain[0].dtype == torch.float32:
        rounding *= 6 + 2 * wanted.values[1].abs().max().item()
    rows = zip(names, found, *wanted, plain, strict=True)
    for name, x, exact_x, size, plain_x in rows:
        assert x.shape == exact_x.shape and not x.isnan().any(), name
        error, allowed = ((y.double() - exact_x).norm().item() for y in (x, plain_x))
        assert error <= times * allowed + rounding * size, (name, error, allowed, rounding * size)
