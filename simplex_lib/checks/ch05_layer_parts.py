"""What exercise 5.6 asks of a layer before it is called: its parameters, and how they begin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from simplex_lib.checks.exercise import Rejected

MAPS = ("wq", "wk", "wv", "wo")


def part(layer: nn.Module, name: str) -> Tensor:
    if name in MAPS:
        return layer.get_parameter(f"{name}.weight")
    return layer.get_parameter(name.replace("gate_", "gate."))


def require_linear(layer: nn.Module, name: str, wide: int, out: int, *, bias: bool) -> None:
    part = getattr(layer, name, None)
    if part is None:
        raise missing(layer, name)
    if not isinstance(part, nn.Linear):
        raise Rejected(
            "not linear", f"`{name}` should be an nn.Linear; yours is a {type(part).__name__}."
        )
    if (part.bias is not None) != bias:
        has = "no bias, and the gate has one" if bias else "a bias, and the four maps have none"
        raise Rejected("bias", f"`{name}` has {has}.")
    if tuple(part.weight.shape) != (out, wide):
        raise Rejected(
            "misshaped",
            f"`{name}` should map {wide} features to {out}; yours maps {part.in_features} to "
            f"{part.out_features}.",
        )


def missing(layer: nn.Module, name: str) -> Rejected:
    has = ", ".join(n for n, _ in layer.named_parameters()) or "none"
    return Rejected("missing", f"The layer has no `{name}`. Its parameters are: {has}.")


def require_parameter(layer: nn.Module, name: str, shape: tuple[int, ...]) -> None:
    part = getattr(layer, name, None)
    if part is None:
        raise missing(layer, name)
    if not isinstance(part, nn.Parameter):
        raise Rejected(
            "no parameter",
            f"`{name}` should be an nn.Parameter, so that it is learned; yours is a "
            f"{type(part).__name__}.",
        )
    if tuple(part.shape) != shape:
        raise Rejected(
            "misshaped", f"`{name}` should have shape {shape}; yours has {tuple(part.shape)}."
        )
    if any(n > 1 and step == 0 for n, step in zip(part.shape, part.stride(), strict=True)):
        raise Rejected(
            "expanded",
            f"Along one axis all numbers of `{name}` are one and the same in memory, as expand "
            "leaves them: they could not learn different values. repeat or clone makes them real.",
        )


def require_nothing_else(layer: nn.Module, given: Mapping[str, Any]) -> None:
    places: dict[int, str] = {}
    allowed = {f"{n}.weight" if n in MAPS else n.replace("gate_", "gate.") for n in given}
    for name, parameter in layer.named_parameters():
        if name not in allowed:
            raise Rejected(
                "extra",
                f"The layer has a parameter `{name}` {tuple(parameter.shape)} that was not asked "
                "for.",
            )
    for name in given:
        place = part(layer, name).data_ptr()
        if place in places:
            raise Rejected(
                "shared",
                f"`{name}` and `{places[place]}` hold the same memory: what one of them learns, "
                "the other gets. nn.Parameter does not copy; clone() does.",
            )
        places[place] = name


def require_identity_kernel(name: str, kernel: Tensor) -> None:
    rows, columns = kernel.shape[1:]
    asked = torch.zeros_like(kernel)
    asked[:, -1, columns // 2] = 1
    if torch.equal(kernel, asked):
        return
    wish = (
        f"At the start `{name}` should be 1 for query i and key j, in the last row and the middle "
        f"column, [{rows - 1}, {columns // 2}], and 0 elsewhere; yours"
    )
    taps = kernel[0].nonzero().tolist()
    if not kernel.any():
        raise Rejected(
            "zeros at the start",
            f"{wish} is 0 everywhere: all logits are then 0, or all weights.",
        )
    if bool((kernel == kernel[0, 0, 0]).all()):
        raise Rejected("constant at the start", f"{wish} is {kernel[0, 0, 0]:.3g} everywhere.")
    if len(taps) == 1 and bool((kernel == kernel[:1]).all()) and kernel.max() == 1:
        row, column = taps[0]
        place = f"{wish} has its 1 at [{row}, {column}]."
        if column == columns // 2:
            name = "tap in the first row" if row == 0 else "tap in the middle row"
            raise Rejected(name, f"{place} That tap belongs to query i − {rows - 1 - row}.")
        if row == rows - 1:
            side = "first" if column == 0 else "last"
            raise Rejected(f"tap in the {side} column", f"{place} That tap is another key than j.")
        raise Rejected("tap elsewhere", place)
    raise Rejected("kernel start", f"{wish} is not.")


def require_identity_mixing(name: str, mixing: Tensor) -> None:
    asked = torch.eye(mixing.shape[-1]).expand_as(mixing)
    if torch.equal(mixing, asked):
        return
    wish = f"At the start each matrix of `{name}` should be the identity; yours"
    if bool((mixing == mixing[0, 0, 0]).all()):
        text = f"{wish} is {mixing[0, 0, 0]:.3g} everywhere, so that all heads of a group are equal"
        raise Rejected("constant mixing", f"{text} at the start.")
    raise Rejected("mixing start", f"{wish} is not.")
