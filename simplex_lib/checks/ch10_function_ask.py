"""How exercise 10.5 is asked: one pass that the engine compares, then what a pass does not show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks import ch10_function_rules as rules
from simplex_lib.checks.ch10_function_kernels import INPUTS
from simplex_lib.checks.ch10_function_pass import (
    Pass,
    apply_to,
    gradients_of,
    near,
    reference,
    tensors_in,
    wanted_gradients,
)
from simplex_lib.checks.exercise import Rejected


def ask_function(answer: Any, arguments: Mapping[str, Any]) -> Any:
    """out, lse and the gradients of (out * dout).sum()."""
    if not (isinstance(answer, type) and issubclass(answer, torch.autograd.Function)):
        got = f"the class {answer.__name__}" if isinstance(answer, type) else type(answer).__name__
        raise Rejected(
            "no function",
            "The check wants a class that derives from torch.autograd.Function, the class itself; "
            f"it got {got}.",
        )
    inputs = {name: arguments[name] for name in INPUTS}
    scale, dout, dlse = (arguments[name] for name in ("scale", "dout", "dlse"))
    saved: list[Tensor] = []

    def note(x: Tensor) -> Tensor:
        saved.append(x)
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        first = apply_to(answer, inputs, scale)
    rules.require_inputs_unchanged(first, inputs)
    _require_little(first, saved)
    results = first.out.detach().clone(), first.lse.detach().clone()
    results += tuple(gradients_of(first, (first.out * dout).sum()))
    wanted = (*reference(*inputs.values(), scale), *wanted_gradients(inputs, scale, dout, None))
    if not all(near(a, b) for a, b in zip(results, wanted, strict=True)):
        return results
    rules.require_unchanged(first, dict(inputs, out=results[0], lse=results[1]))
    rules.require_contiguous(first.kernels)
    rules.require_launches(first)
    rules.require_one_each(answer, inputs, scale, dout)
    rules.require_any_dout(answer, inputs, scale)
    rules.require_dout_unchanged(answer, inputs, scale, dout)
    rules.require_any_layout(answer, inputs, scale, dout)
    rules.require_only_what_is_needed(answer, inputs, scale, dout)
    rules.require_lse(answer, inputs, scale, dout, dlse)
    rules.require_separate_calls(answer, inputs, scale, dout)
    rules.require_nothing_shared(answer, inputs, scale, dout)
    rules.require_watched(answer, inputs, scale, dout)
    rules.require_once(answer, inputs, scale)
    rules.require_training(answer, inputs, scale)
    rules.require_gradcheck(answer, inputs, scale)
    return results


def _require_little(made: Pass, saved: list[Tensor]) -> None:
    """Nothing as large as the cube is kept, and no tensor where autograd does not see it."""
    on_ctx = getattr(made.out.grad_fn, "__dict__", {})
    kept = {name: x for name, x in on_ctx.items() if tensors_in(x)}
    limit = sum(x.numel() for x in (*made.inputs.values(), made.out, made.lse))
    for x in (*saved, *(t for value in kept.values() for t in tensors_in(value))):
        if x.numel() > limit:
            raise Rejected(
                "too much kept",
                f"A tensor of shape {tuple(x.shape)} is kept for backward, with more numbers than "
                "the five inputs, out and lse have together. Memory that grows faster than the "
                "inputs is what the kernels are there to avoid: probabilities come back from lse.",
            )
    if kept:
        name = next(iter(kept))
        raise Rejected(
            "tensor on ctx",
            f"`ctx.{name}` holds a tensor. There autograd does not notice if it is changed before "
            "backward, and an output kept there keeps its own graph alive. Tensors go through "
            "ctx.save_for_backward.",
        )
