"""One call of exercise 10.5's function and its gradients, and the same by plain PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from simplex_lib.checks.ch10_function_kernels import INPUTS, Kernels, masked_logits
from simplex_lib.checks.exercise import Rejected


class Pass(NamedTuple):
    """One call of apply. leaves: those inputs that need a gradient. launched: in forward."""

    out: Tensor
    lse: Tensor
    leaves: dict[str, Tensor]
    inputs: dict[str, Tensor]
    kernels: Kernels
    launched: tuple[str, ...]


def apply_to(
    answer: Any,
    inputs: Mapping[str, Tensor],
    scale: float,
    needed: Sequence[str] = INPUTS,
    kernels: Kernels | None = None,
) -> Pass:
    leaves = {
        name: torch.empty_strided(x.shape, x.stride(), dtype=x.dtype).copy_(x).requires_grad_()
        for name, x in inputs.items()
    }
    for name in set(INPUTS) - set(needed):
        leaves[name].requires_grad_(False)
    b, h, s, d = inputs["q"].shape
    kernels = kernels or Kernels(b, h, s, d, inputs["v1"].shape[-1])
    before = len(kernels.launched)
    found = answer.apply(*leaves.values(), scale, kernels)
    if isinstance(found, list):
        raise Rejected(
            "list of results",
            "forward returns a list. Autograd looks for tensors in a tuple, and one in a list gets "
            "no graph: return out, lse.",
        )
    if not isinstance(found, tuple) or len(found) != 2:
        some = f"{len(found)} things" if isinstance(found, tuple) else "one thing"
        some = "nothing" if found is None else some
        raise Rejected(
            "results", f"forward should return two tensors, out and lse; yours returns {some}."
        )
    out, lse = found
    for name, x, shape in (("out", out, inputs["v1"].shape), ("lse", lse, (b, h, s))):
        if not isinstance(x, Tensor) or x.shape != shape:
            got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise Rejected("shape", f"{name} should have shape {tuple(shape)}; yours has {got}.")
    launched = tuple(kernels.launched[before:])
    if "forward" not in launched:
        raise Rejected(
            "not launched", "`kernels.forward` is not launched in your forward; it is given to be."
        )
    if bool(needed) != out.requires_grad:
        raise Rejected(
            "out without a gradient",
            "out comes back without a graph, so nothing below it would ever learn. Was it marked "
            "as non-differentiable, in the place of lse?"
            if needed
            else "No input needs a gradient, and out carries a graph all the same.",
        )
    wanting = {name: leaves[name] for name in INPUTS if name in needed}
    return Pass(out, lse, wanting, leaves, kernels, launched)


def gradients_of(made: Pass, loss: Tensor, *, none: bool = False, **how: Any) -> list[Tensor]:
    """Of the inputs that need one. none: None counts as 0."""
    try:
        found = torch.autograd.grad(loss, list(made.leaves.values()), allow_unused=True, **how)
    except RuntimeError as error:
        raise _in_words(error) from error
    for name, x in zip(made.leaves, found, strict=True):
        if x is None and not none:
            need = "needs" if len(made.leaves) == 1 else "need"
            only = f"Only {in_a_row(made.leaves)} {need} one here. " if len(made.leaves) < 5 else ""
            raise Rejected(
                "None for a needed gradient",
                f"backward returns None for {name}, which needs a gradient. {only}"
                "None means that nothing comes back, and nobody complains: the parameter behind "
                "it never learns.",
            )
    shapes = made.leaves.values()
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, shapes, strict=True)]


def _in_words(error: RuntimeError) -> Exception:
    """What autograd says about the results of backward, in the words of this exercise."""
    text = str(error)
    if "incorrect number of gradients" in text:
        got = text.rsplit("got ", 1)[-1].rstrip(") ")
        counted = "one thing (a list is one, and so is None)" if got == "1" else f"{got} things"
        return Rejected(
            "number of gradients",
            f"apply was called with 7 arguments, and backward returns {counted}. It owes one "
            "thing to each argument: None to those that are no tensors, scale and kernels.",
        )
    if "invalid gradient at index" in text:
        at, shapes = text.split("at index ")[1].split(" - got ")
        got, want = shapes.split(" but expected shape compatible with ")
        name = INPUTS[int(at)]
        return Rejected(
            "order of the gradients",
            f"The thing that backward returns for {name} has shape {got}, and {name} has shape "
            f"{want}. Gradients are returned in the order of the arguments of apply.",
        )
    if "different than None" in text or "expected Variable or None" in text:
        return Rejected(
            "gradient of what is no tensor",
            "backward returns something for scale or kernels that is not None, or a gradient that "
            "is no tensor. What is no tensor has no gradient, and None says so.",
        )
    if "modified by an inplace operation" in text:
        return Rejected(
            "changed after it was kept",
            "A tensor that went through ctx.save_for_backward was changed in place afterwards, by "
            "forward itself or by a backward before this one. Autograd noticed and stopped. Make "
            "a new tensor where numbers are to change: q * scale, not q *= scale or q.mul_(scale).",
        )
    return error


def reference(*inputs: Any) -> tuple[Tensor, Tensor]:
    """out and lse of q, k1, k2, v1, v2 and scale."""
    q, k1, k2, v1, v2, scale = inputs
    logits = masked_logits(q, k1, k2, scale)
    probs = logits.flatten(-2).softmax(-1).view_as(logits)
    return torch.einsum("bhijk,bhjd,bhkd->bhid", probs, v1, v2), logits.logsumexp((-2, -1))


def wanted_gradients(
    inputs: Mapping[str, Tensor], scale: float, dout: Tensor | None, dlse: Tensor | None
) -> list[Tensor]:
    """The gradients by autograd through plain PyTorch."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs.values()]
    out, lse = reference(*leaves, scale)
    loss = torch.zeros((), dtype=out.dtype)
    if dout is not None:
        loss = loss + (out * dout.detach()).sum()
    if dlse is not None:
        loss = loss + (lse * dlse).sum()
    found = torch.autograd.grad(loss, leaves, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, leaves, strict=True)]


def near(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    limit = 1e-6 * max(1.0, float(b.abs().max()))
    return bool(((a - b).abs() <= limit).all())


def digits_of(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> int:
    """To how many digits all gradients are right, against the largest number of each."""
    errors = [
        float((a - b).abs().max()) / max(1e-300, float(b.abs().max()))
        for a, b in zip(found, wanted, strict=True)
        if a.shape == b.shape and bool(b.any())
    ]
    worst = max(errors, default=0.0)
    return round(-math.log10(max(worst, 1e-16))) if math.isfinite(worst) else 0


def all_near(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> bool:
    return all(near(a, b) for a, b in zip(found, wanted, strict=True))


def require_right(found: Sequence[Tensor], wanted: Sequence[Tensor], cause: str, says: str) -> None:
    """Wrong by a rounding is not wrong for the reason that a rule looks at."""
    if all_near(found, wanted):
        return
    digits = digits_of(found, wanted)
    if digits >= 3:
        raise Rejected(
            "rounded",
            f"The gradients are right to about {digits} digits and not beyond. Something was "
            "rounded on the way, as by another dtype.",
        )
    raise Rejected(cause, says)


def in_a_row(names: Any) -> str:
    first, *others = list(names)[::-1]
    return f"{', '.join(others[::-1])} and {first}" if others else first


def tensors_in(x: Any) -> list[Tensor]:
    if isinstance(x, Tensor):
        return [x]
    parts = x.values() if isinstance(x, dict) else x if isinstance(x, (tuple, list, set)) else ()
    return [t for part in parts for t in tensors_in(part)]
