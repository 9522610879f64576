"""Answers of exercise 10.5: the right one with places where a mistake can be made, and others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Answer = type[torch.autograd.Function]
once: Any = once_differentiable  # its own types do not fit those of Function.backward


def delta_of(dout: Tensor, out: Tensor, dlse: Tensor) -> Tensor:
    return (dout * out).sum(-1) - dlse


def five(dq: Any, dk1: Any, dk2: Any, dv1: Any, dv2: Any) -> Sequence[Any]:
    return dq, dk1, dk2, dv1, dv2


def function(
    *,
    straight: Callable[[Tensor], Tensor] = torch.Tensor.contiguous,
    straight_dout: Callable[[Tensor], Tensor] = torch.Tensor.contiguous,
    launch: Callable[..., Any] = lambda forward, *given: forward(*given),
    keep: Callable[..., None] = lambda ctx, *tensors: ctx.save_for_backward(*tensors),
    kept: Callable[[Any], Sequence[Tensor]] = lambda ctx: ctx.saved_tensors,
    after: Callable[..., None] = lambda *inputs: None,
    more: Callable[..., Sequence[Tensor]] = lambda *inputs: (),
    results: Callable[[Any, Tensor, Tensor], Any] = lambda ctx, out, lse: (out, lse),
    delta: Callable[[Tensor, Tensor, Tensor], Tensor] = delta_of,
    given: Callable[..., tuple[Any, ...]] = lambda *given: given,
    needs: Callable[[Any], Sequence[bool]] = lambda ctx: ctx.needs_input_grad,
    order: Callable[..., Sequence[Any]] = five,
    others: tuple[Any, ...] = (None, None),
    decorate: Callable[[Any], Any] = once,
) -> Answer:
    """The right answer, or one with a part changed."""

    class TrilinearFunction(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: Any,
            q: Tensor,
            k1: Tensor,
            k2: Tensor,
            v1: Tensor,
            v2: Tensor,
            scale: float,
            kernels: Any,
        ) -> Any:
            inputs = [straight(x) for x in (q, k1, k2, v1, v2)]
            out, lse = launch(kernels.forward, *inputs, scale)
            keep(ctx, *inputs, out, lse, *more(*inputs, scale))
            after(*inputs)
            ctx.scale, ctx.kernels = scale, kernels
            return results(ctx, out, lse)

        @staticmethod
        @decorate
        def backward(ctx: Any, dout: Tensor, dlse: Tensor) -> Any:
            q, k1, k2, v1, v2, out, lse, *_ = kept(ctx)
            dout = straight_dout(dout)
            now = given(
                dout, q, k1, k2, v1, v2, lse, delta(dout, out, dlse).contiguous(), ctx.scale
            )
            needs_q, needs_k1, needs_k2, needs_v1, needs_v2, *_ = needs(ctx)
            dq = dk1 = dk2 = dv1 = dv2 = None
            if needs_k1 or needs_v1:
                dk1, dv1 = ctx.kernels.first_key(*now)
            if needs_q or needs_k2 or needs_v2:
                dq, dk2, dv2 = ctx.kernels.second_key(*now)
            return *order(dq, dk1, dk2, dv1, dv2), *others

    return TrilinearFunction


def as_it_is(x: Any) -> Any:
    return x


def probabilities(q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor, scale: float) -> Any:
    s = q.shape[2]
    past = torch.ones(s, s, dtype=torch.bool).tril()
    logits = scale * torch.einsum("bhid,bhjd,bhkd->bhijk", q, k1, k2)
    logits = logits.masked_fill(~(past[:, :, None] & past[:, None]), float("-inf"))
    return [logits.flatten(-2).softmax(-1).view_as(logits)]


def on_ctx(ctx: Any, *tensors: Tensor) -> None:
    ctx.q, ctx.k1, ctx.k2, ctx.v1, ctx.v2, ctx.out, ctx.lse = tensors


def from_ctx(ctx: Any) -> Sequence[Tensor]:
    return ctx.q, ctx.k1, ctx.k2, ctx.v1, ctx.v2, ctx.out, ctx.lse


LAST: dict[str, Sequence[Tensor]] = {}


def in_a_global(ctx: Any, *tensors: Tensor) -> None:
    LAST["saved"] = tensors


def detached(ctx: Any, *tensors: Tensor) -> None:
    ctx.save_for_backward(*(x.data for x in tensors))


def marked(ctx: Any, out: Tensor, lse: Tensor) -> tuple[Tensor, Tensor]:
    ctx.mark_non_differentiable(lse)
    return out, lse


def marked_out(ctx: Any, out: Tensor, lse: Tensor) -> tuple[Tensor, Tensor]:
    ctx.mark_non_differentiable(out)
    return out, lse


def turned(dout: Tensor) -> Tensor:
    """Writes, and returns the right numbers all the same."""
    right = dout.clone(memory_format=torch.contiguous_format)
    if dout.is_contiguous():
        dout.mul_(-1)
    return right


def delta_in_place(dout: Tensor, out: Tensor, dlse: Tensor) -> Tensor:
    return out.data.mul_(dout).sum(-1) - dlse


def exchanged(*given: Any) -> tuple[Any, ...]:
    dout, q, k1, k2, v1, v2, lse, delta, scale = given
    return dout, q, k2, k1, v1, v2, lse, delta, scale


def values_exchanged(*given: Any) -> tuple[Any, ...]:
    dout, q, k1, k2, v1, v2, lse, delta, scale = given
    return dout, q, k1, k2, v2, v1, lse, delta, scale


def both_exchanged(*given: Any) -> tuple[Any, ...]:
    dout, q, k1, k2, v1, v2, lse, delta, scale = given
    return dout, q, k2, k1, v2, v1, lse, delta, scale


def forward_with_keys_exchanged(
    forward: Any, q: Any, k1: Any, k2: Any, v1: Any, v2: Any, scale: Any
) -> Any:
    return forward(q, k2, k1, v1, v2, scale)


def forward_with_values_exchanged(
    forward: Any, q: Any, k1: Any, k2: Any, v1: Any, v2: Any, scale: Any
) -> Any:
    return forward(q, k1, k2, v2, v1, scale)


def forward_with_both_exchanged(
    forward: Any, q: Any, k1: Any, k2: Any, v1: Any, v2: Any, scale: Any
) -> Any:
    return forward(q, k2, k1, v2, v1, scale)


def launched_twice(forward: Any, *given: Any) -> Any:
    return forward(*given)[0], forward(*given)[1]


def kept_on_kernels(forward: Any, *given: Any) -> Any:
    out, lse = forward(*given)
    forward.__self__.out = out
    return out, lse


def scale_in_place(q: Tensor, *_: Tensor) -> None:
    q.mul_(0.5)


def in_single(*given: Any) -> tuple[Any, ...]:
    """delta in float32."""
    *before, delta, scale = given
    return *before, delta.float(), scale


def lse_and_delta_exchanged(*given: Any) -> tuple[Any, ...]:
    *before, lse, delta, scale = given
    return *before, delta, lse, scale


def no_scale(*given: Any) -> tuple[Any, ...]:
    return *given[:-1], 1.0


def scaled_again(*given: Any) -> tuple[Any, ...]:
    dout, q, *others, scale = given
    return dout, scale * q, *others, scale


def scaled_instead(*given: Any) -> tuple[Any, ...]:
    dout, q, *others, scale = given
    return dout, scale * q, *others, 1.0


def no_dout(*given: Any) -> tuple[Any, ...]:
    return torch.ones_like(given[0]), *given[1:]


def each_for_itself() -> Answer:
    """A kernel launched for each gradient that it makes."""

    class TrilinearFunction(function()):
        @staticmethod
        @once
        def backward(ctx: Any, dout: Tensor, dlse: Tensor) -> Any:
            *inputs, out, lse = ctx.saved_tensors
            dout = dout.contiguous()
            now = (dout, *inputs, lse, delta_of(dout, out, dlse), ctx.scale)
            found: list[Any] = [None] * 7
            places = ((1, 0, "k1"), (3, 1, "v1"), (0, 0, "q"), (2, 1, "k2"), (4, 2, "v2"))
            for place, which, name in places:
                if ctx.needs_input_grad[place]:
                    kernel = "first_key" if name in ("k1", "v1") else "second_key"
                    found[place] = getattr(ctx.kernels, kernel)(*now)[which]
            return tuple(found)

    return TrilinearFunction


class Again(function()):
    """Keeps the inputs alone, and launches the forward kernel once more in backward."""

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k1: Tensor,
        k2: Tensor,
        v1: Tensor,
        v2: Tensor,
        scale: float,
        kernels: Any,
    ) -> Any:
        inputs = [x.contiguous() for x in (q, k1, k2, v1, v2)]
        ctx.save_for_backward(*inputs)
        ctx.scale, ctx.kernels = scale, kernels
        return kernels.forward(*inputs, scale)

    @staticmethod
    @once
    def backward(ctx: Any, dout: Tensor, dlse: Tensor) -> Any:
        inputs = ctx.saved_tensors
        out, lse = ctx.kernels.forward(*inputs, ctx.scale)
        dout = dout.contiguous()
        now = (dout, *inputs, lse, delta_of(dout, out, dlse), ctx.scale)
        dk1, dv1 = ctx.kernels.first_key(*now)
        dq, dk2, dv2 = ctx.kernels.second_key(*now)
        return dq, dk1, dk2, dv1, dv2, None, None


class Plain:
    """Derives from nothing."""


class WithSetup(torch.autograd.Function):
    """forward without ctx; delta only from out, since nobody differentiates lse."""

    @staticmethod
    def forward(
        q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor, scale: float, kernels: Any
    ) -> tuple[Tensor, Tensor]:
        return kernels.forward(*(x.contiguous() for x in (q, k1, k2, v1, v2)), scale)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs[:5], *output)
        ctx.options = inputs[5:]

    @staticmethod
    @once
    def backward(ctx: Any, dout: Tensor, _: None) -> Any:
        scale, kernels = ctx.options
        tensors = [x.contiguous() for x in (dout, *ctx.saved_tensors)]
        dout, *inputs, out, lse = tensors
        given = (dout, *inputs, lse, torch.einsum("bhid,bhid->bhi", dout, out), scale)
        needs = ctx.needs_input_grad
        dk1, dv1 = kernels.first_key(*given) if needs[1] or needs[3] else (None, None)
        second = needs[0] or needs[2] or needs[4]
        dq, dk2, dv2 = kernels.second_key(*given) if second else (None, None, None)
        return dq, dk1, dk2, dv1, dv2, None, None
