"""What exercise 10.5 asks beyond one right pass; each `require_...` is one property.

All are asked of answers whose first pass is right, so that every sentence is about what it says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.gradcheck import GradcheckError

from simplex_lib.checks.ch10_function_kernels import INPUTS, Kernels
from simplex_lib.checks.ch10_function_pass import (
    Pass,
    all_near,
    apply_to,
    gradients_of,
    in_a_row,
    near,
    reference,
    require_right,
    tensors_in,
    wanted_gradients,
)
from simplex_lib.checks.exercise import Rejected

LAUNCHED = dict(first_key=("k1", "v1"), second_key=("q", "k2", "v2"))
NEEDED = (
    *((name,) for name in INPUTS),
    ("q", "k1"),
    ("k1", "v1"),
    ("k2", "v2"),
    ("k1", "k2"),
)


def require_inputs_unchanged(made: Pass, before: Mapping[str, Tensor]) -> None:
    for name, x in made.inputs.items():
        if not torch.equal(x.detach(), before[name]):
            raise Rejected(
                "forward changes its input",
                f"After forward {name} has other numbers than before. It belongs to whoever "
                "called, and contiguous() returns the very same tensor where nothing is to be "
                "done. Make a new tensor: q * scale, not q *= scale.",
            )


def require_unchanged(made: Pass, before: Mapping[str, Tensor]) -> None:
    for name, x in (dict(made.inputs, out=made.out, lse=made.lse)).items():
        if not torch.equal(x.detach(), before[name]):
            raise Rejected(
                "backward changes what it reads",
                f"After backward {name} has other numbers than before. It belongs to whoever "
                "called, who may go on with it.",
            )


def require_contiguous(kernels: Kernels) -> None:
    for kernel, name, strides in kernels.crooked:
        cause = "inputs not contiguous" if name in INPUTS else f"{name} not contiguous"
        story = ""
        if name in INPUTS:
            story = "Heads that were split by a transpose are not contiguous."
        elif name == "dout":
            story = (
                "The gradient of a sum is one number, expanded to the shape of out."
                if 0 in strides
                else "It comes like this where the heads of out are joined by a transpose."
            )
        raise Rejected(
            cause,
            f"`kernels.{kernel}` gets {name} as it lies, with strides {strides}: not contiguous. A "
            "kernel counts on rows that follow one another in memory, and would read other "
            f"numbers. {story}".rstrip(),
        )


def require_launches(made: Pass) -> None:
    """One launch of each kernel that is needed, none of any other."""
    if made.launched.count("forward") > 1:
        raise Rejected(
            "forward launched twice",
            f"`kernels.forward` is launched {made.launched.count('forward')} times in one forward; "
            "one launch returns out and lse together.",
        )
    if made.kernels.launched.count("forward") > 1:
        raise Rejected(
            "forward launched again",
            "`kernels.forward` is launched once more in backward. out and lse together are no "
            "larger than the inputs: keep them, and no kernel is launched twice.",
        )
    for kernel, of in LAUNCHED.items():
        times = made.kernels.launched.count(kernel)
        wanted = bool(set(of) & set(made.leaves))
        if times > 1:
            raise Rejected(
                "launched twice",
                f"`kernels.{kernel}` is launched {times} times in one backward; it makes all of "
                f"{in_a_row(f'd{x}' for x in of)} at once.",
            )
        if times and not wanted:
            raise Rejected(
                "launched for nothing",
                f"Only {in_a_row(made.leaves)} {'needs' if len(made.leaves) == 1 else 'need'} a "
                f"gradient here, and `kernels.{kernel}` is launched all the same, for "
                f"{in_a_row(f'd{x}' for x in of)}. ctx.needs_input_grad says what is needed.",
            )
        if wanted and not times:
            raise Rejected(
                "not launched",
                f"`kernels.{kernel}` is not launched, and the gradients come from elsewhere. Use "
                "the kernels that are given.",
            )


def require_one_each(answer: Any, inputs: Mapping[str, Tensor], scale: float, dout: Tensor) -> None:
    """PyTorch drops None at the end without a word, so the things are counted here."""
    counted: list[int] = []
    if answer.backward is torch.autograd.Function.backward:
        return  # it stands under another name, vjp

    class Counted(answer):
        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            found = answer.backward(ctx, *gradients)
            counted.append(len(found) if isinstance(found, tuple) else 1)
            return found

    made = apply_to(Counted, inputs, scale)
    gradients_of(made, (made.out * dout).sum())
    if any(n > 7 for n in counted):
        raise Rejected(
            "more gradients than arguments",
            f"apply was called with 7 arguments, and backward returns {max(counted)} things. "
            "PyTorch lets None beyond the last argument pass; asked is one thing for each.",
        )


def require_any_dout(answer: Any, inputs: Mapping[str, Tensor], scale: float) -> None:
    """A dout with strides 0, as a sum makes it, and one that lies the other way round."""
    for turn in (lambda out: out.sum(), lambda out: (out.transpose(1, 2).flatten(2) ** 2).sum()):
        made = apply_to(answer, inputs, scale)
        loss = turn(made.out)
        found = gradients_of(made, loss, retain_graph=True)
        require_contiguous(made.kernels)
        (dout,) = torch.autograd.grad(loss, made.out)
        layout = f"shape {tuple(dout.shape)}, strides {dout.stride()}"
        says = "The gradients are right for one dout and wrong for another, contiguous as well."
        if not dout.is_contiguous():
            says = (
                "The gradients are right for a dout that is contiguous and wrong for one that is "
                f"not: {layout}."
            )
        wanted = wanted_gradients(inputs, scale, dout, None)
        require_right(found, wanted, "dout laid out otherwise", says)


def require_dout_unchanged(
    answer: Any, inputs: Mapping[str, Tensor], scale: float, dout: Tensor
) -> None:
    """What arrives may go to others as well."""
    made = apply_to(answer, inputs, scale)
    arrived: list[tuple[Tensor, Tensor]] = []
    made.out.register_hook(lambda x: arrived.append((x, x.clone())))
    gradients_of(made, (made.out * dout.contiguous()).sum())
    if any(not torch.equal(x, before) for x, before in arrived):
        raise Rejected(
            "dout changed in place",
            "backward writes into the dout that it gets. contiguous() returns the very same tensor "
            "where nothing is to be done, and autograd may hand that tensor to others as well.",
        )


def require_any_layout(
    answer: Any, inputs: Mapping[str, Tensor], scale: float, dout: Tensor
) -> None:
    """Inputs of which only every other number in memory is one."""
    spread = {name: torch.stack([x, -x], -1)[..., 0] for name, x in inputs.items()}
    made = apply_to(answer, spread, scale)
    found = gradients_of(made, (made.out * dout).sum())
    require_contiguous(made.kernels)
    require_right(
        found,
        wanted_gradients(inputs, scale, dout, None),
        "inputs laid out otherwise",
        "The gradients are right for inputs that are contiguous and wrong for others.",
    )


def require_only_what_is_needed(
    answer: Any, inputs: Mapping[str, Tensor], scale: float, dout: Tensor
) -> None:
    all_wanted = dict(zip(INPUTS, wanted_gradients(inputs, scale, dout, None), strict=True))
    for needed in NEEDED:
        made = apply_to(answer, inputs, scale, needed)
        found = gradients_of(made, (made.out * dout).sum())
        require_right(
            found,
            [all_wanted[name] for name in made.leaves],
            "some gradients needed",
            "The gradients are right where all five are needed. Where only those of "
            f"{in_a_row(needed)} are, they are wrong.",
        )
        require_launches(made)
    apply_to(answer, inputs, scale, ())


def require_lse(
    answer: Any, inputs: Mapping[str, Tensor], scale: float, dout: Tensor, dlse: Tensor
) -> None:
    """Right gradients through lse, or none and said so."""
    made = apply_to(answer, inputs, scale)
    if not made.lse.requires_grad:
        return
    found = gradients_of(made, (made.lse * dlse).sum(), none=True)
    wanted = wanted_gradients(inputs, scale, None, dlse)
    if not any(bool(x.any()) for x in found) and any(bool(x.any()) for x in wanted):
        raise Rejected(
            "lse without its gradient",
            "lse comes back with a graph, so it looks as if one could differentiate it, and every "
            "gradient through it is 0: dlse is not used. Use it, or say with "
            "ctx.mark_non_differentiable that lse has none.",
        )
    if all_near([-x for x in found], wanted):
        raise Rejected(
            "sign of dlse",
            "The gradients through lse have the wrong sign. dS = P (dP − delta) from out, and "
            "P · dlse from lse: as a part of delta, dlse is subtracted.",
        )
    both = apply_to(answer, inputs, scale)
    together = gradients_of(both, (both.out * dout).sum() + (both.lse * dlse).sum())
    require_right(
        [*found, *together],
        [*wanted, *wanted_gradients(inputs, scale, dout, dlse)],
        "gradient through lse",
        "The gradients through out are right, and those through lse are not. Its own gradient, "
        "dlse, belongs into delta; or ctx.mark_non_differentiable says that lse has none.",
    )


def require_separate_calls(
    answer: Any, inputs: Mapping[str, Tensor], scale: float, dout: Tensor
) -> None:
    """Two forwards, then their backwards; then one backward twice."""
    others = {name: 0.5 * x + 1 for name, x in inputs.items()}
    theirs = wanted_gradients(others, 2 * scale, dout, None)
    alone = apply_to(answer, others, 2 * scale)
    found = gradients_of(alone, (alone.out * dout).sum())
    require_right(
        found,
        theirs,
        "other numbers",
        f"It is right with scale = {scale:.3g}; with scale = {2 * scale:.3g} and other inputs "
        "of the same shapes the gradients are wrong.",
    )
    first = apply_to(answer, inputs, scale)
    second = apply_to(answer, others, 2 * scale, kernels=first.kernels)
    wanted = wanted_gradients(inputs, scale, dout, None)
    found = gradients_of(first, (first.out * dout).sum(), retain_graph=True)
    more = gradients_of(second, (second.out * dout).sum())
    if not all_near(found, wanted) or not all_near(more, theirs):
        raise Rejected(
            "two calls mixed",
            "One call by itself is right. After two calls, as in a model of two layers, the "
            "gradients of one of them are made with what the other has left: something is kept "
            "where all calls share it, on the class, in a global or in kernels. ctx belongs to one "
            "call.",
        )
    again = gradients_of(first, (first.out * dout).sum())
    if not all_near(again, wanted):
        raise Rejected(
            "second backward",
            "A second backward through the same call (retain_graph=True) gives other numbers than "
            "the first: the first one has changed what was kept.",
        )


def require_nothing_shared(
    answer: Any, inputs: Mapping[str, Tensor], scale: float, dout: Tensor
) -> None:
    """No tensor is left where all calls share it."""
    made = apply_to(answer, inputs, scale)
    gradients_of(made, (made.out * dout).sum())
    places = {"kernels": vars(made.kernels), answer.__name__: vars(answer)}
    for place, attributes in places.items():
        for name, value in attributes.items():
            if tensors_in(value):
                raise Rejected(
                    f"tensor on {'kernels' if place == 'kernels' else 'the class'}",
                    f"`{place}.{name}` holds a tensor after the call. All calls share that place: "
                    "the next one overwrites it, and the last one's stays in memory. ctx belongs "
                    "to one call, and its tensors go through ctx.save_for_backward.",
                )


def require_watched(answer: Any, inputs: Mapping[str, Tensor], scale: float, dout: Tensor) -> None:
    """An input changed before backward: an error, or the gradients of the old numbers."""
    wanted = wanted_gradients(inputs, scale, dout, None)
    for name in INPUTS:
        made = apply_to(answer, inputs, scale)
        with torch.no_grad():
            made.inputs[name].mul_(0.5).add_(1)
        loss = (made.out * dout).sum()
        try:
            found = torch.autograd.grad(loss, list(made.leaves.values()), allow_unused=True)
        except RuntimeError:
            continue
        if any(g is None or not near(g, x) for g, x in zip(found, wanted, strict=True)):
            raise Rejected(
                "saved past autograd",
                f"Between forward and backward {name} was changed in place, and backward used the "
                "new numbers without a word. What goes through ctx.save_for_backward as it is, "
                "without .data, is watched: autograd then raises an error.",
            )


def require_once(answer: Any, inputs: Mapping[str, Tensor], scale: float) -> None:
    """The kernels' gradients have no gradients, and asking for them is an error.

    once_differentiable sees to it only where dout itself has a graph, as that of a square has.
    """
    made = apply_to(answer, inputs, scale)
    loss = made.out.square().sum()
    found = gradients_of(made, loss, create_graph=True)
    lost = [name for name, x in zip(made.leaves, found, strict=True) if not x.requires_grad]
    try:
        if not lost:
            total = torch.stack([x.square().sum() for x in found]).sum()
            torch.autograd.grad(total, list(made.leaves.values()))
    except RuntimeError:
        return
    which = f"that of {lost[0]} comes back as a constant" if lost else "some numbers come back"
    raise Rejected(
        "second derivative",
        "The gradients of (out ** 2).sum() were asked for with create_graph=True, to be "
        f"differentiated again: {which}, though autograd has not seen into the kernels. A loss "
        "that contains them would get a wrong gradient. once_differentiable makes it an error.",
    )


class _Layer(nn.Module):
    """A 2-simplicial layer; heads are split and joined by transposes."""

    def __init__(self, h: int, width: int, scale: float, run: Any) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        shape = (6, h * width, h * width)
        weight = torch.randn(shape, dtype=torch.float64, generator=generator)
        self.maps = nn.Parameter(weight / math.sqrt(h * width))
        self.h, self.scale, self.run = h, scale, run

    def forward(self, x: Tensor) -> Tensor:
        heads = [(x @ w).unflatten(-1, (self.h, -1)).transpose(1, 2) for w in self.maps[:5]]
        return self.run(*heads, self.scale).transpose(1, 2).flatten(2) @ self.maps[5]


def require_training(answer: Any, inputs: Mapping[str, Tensor], scale: float) -> None:
    b, h, s, d = inputs["q"].shape
    kernels = Kernels(b, h, s, d, d)
    x = inputs["q"].detach().double().transpose(1, 2).flatten(2)

    def asked(*heads: Any) -> Tensor:
        return answer.apply(*heads, kernels)[0]

    def plain(*heads: Any) -> Tensor:
        return reference(*heads)[0]

    trained = []
    for run in (asked, plain):
        layer = _Layer(h, d, scale, run)
        (layer(x) - 1).square().mean().backward()
        step = torch.zeros_like(layer.maps) if layer.maps.grad is None else layer.maps.grad
        trained.append(layer.maps.detach() - 0.1 * step)
    require_contiguous(kernels)
    if not near(*trained):
        raise Rejected(
            "training",
            "The function by itself is right. A layer that is built on it, whose heads are split "
            "by a transpose, has other weights after one step than it should have.",
        )


def require_gradcheck(answer: Any, inputs: Mapping[str, Tensor], scale: float) -> None:
    """Finite differences, where there are few numbers; the first use loads a part of PyTorch."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs.values()]
    if sum(x.numel() for x in leaves) > 20:
        return
    b, h, s, d = inputs["q"].shape
    kernels = Kernels(b, h, s, d, inputs["v1"].shape[-1])

    def run(*leaves: Tensor) -> Any:
        return answer.apply(*leaves, scale, kernels)

    try:
        torch.autograd.gradcheck(run, leaves, check_undefined_grad=False)
    except GradcheckError as error:
        text = " ".join(str(error).split())[:300]
        raise Rejected("gradcheck", f"torch.autograd.gradcheck says: {text}") from error
