"""Exercise 5.5: the norm of each head, the factor of the depth, the gate.

Axes: b batch, h head, i query, s sequence length, d head_dim.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch05_common import Word, require_words
from simplex_lib.checks.exercise import Difference, Draw, Exercise, Right, Wrong

EPS = 1e-5
Gate = tuple[Tensor, Tensor] | None


NO_LAYER, NO_GATE, GATE = Word(100, "None"), Word(101, "None"), Word(102, "given")


def in_layer(n: int) -> Word:
    return Word(n, str(n))


def norm_inputs(
    draw: Draw, *, b: int, h: int, s: int, d: int, layer: int, gate: int
) -> dict[str, Any]:
    """Heads of many sizes: some so small that eps counts, and from h = 2 on one of zeros."""
    require_words(layer, gate, sizes=(b, h, s, d))
    if gate not in (NO_GATE, GATE) or layer in (NO_GATE, GATE):
        raise ValueError("layer and gate have changed places.")
    sizes = torch.tensor([3e-3, 1.0, 1e-3, 30.0, 1e-6], dtype=torch.float64)
    heads = draw.normal(b, h, s, d) + 0.7
    heads = heads * sizes[torch.arange(h * s).view(h, s, 1) % 5]
    if h > 1:
        heads[-1, -1, -1] = 0
    weight = draw.uniform(0.5, 2, d) * (1 - 2 * draw.integers(0, 2, d))
    w, bias = 2 * draw.normal(d), draw.uniform(-2, 2, 1)[0]
    return dict(
        heads=heads,
        weight=weight,
        layer=None if layer == NO_LAYER else layer - in_layer(0),
        w=w if gate == GATE else None,
        bias=bias if gate == GATE else None,
    )


def ask_norm(answer: Any, arguments: Mapping[str, Any]) -> Any:
    gate = None if arguments["w"] is None else (arguments["w"], arguments["bias"])
    return answer(arguments["heads"], arguments["weight"], layer=arguments["layer"], gate=gate)


def truth_norm(
    heads: Tensor, weight: Tensor, layer: int | None, w: Tensor | None, bias: Tensor | None
) -> Tensor:
    out = torch.zeros_like(heads)
    factor = 1.0 if layer is None else 1 - (0.8 - 0.6 * math.exp(-0.3 * layer))
    for at in torch.cartesian_prod(*(torch.arange(n) for n in heads.shape[:3])).tolist():
        x = heads[tuple(at)].tolist()
        root = math.sqrt(sum(number * number for number in x) / len(x) + EPS)
        y = [factor * number / root * p for number, p in zip(x, weight.tolist(), strict=True)]
        if w is not None and bias is not None:
            z = sum(a * c for a, c in zip(y, w.tolist(), strict=True)) + float(bias)
            y = [number / (1 + math.exp(-z)) for number in y]
        out[tuple(at)] = torch.tensor(y, dtype=torch.float64)
    return out


def rms(x: Tensor, weight: Tensor, eps: float = EPS, over: int | tuple[int, ...] = -1) -> Tensor:
    return x * (x.square().mean(over, keepdim=True) + eps).rsqrt() * weight


def start(layer: int) -> float:
    return 0.8 - 0.6 * math.exp(-0.3 * layer)


def one_minus_start(y: Tensor, layer: int) -> Tensor:
    return y * (1 - start(layer))


def sigmoid_gate(y: Tensor, w: Tensor, bias: Tensor) -> Tensor:
    return y * (y @ w + bias).sigmoid()[..., None]


def steps(
    norm: Callable[[Tensor, Tensor], Tensor] = rms,
    depth: Callable[[Tensor, int], Tensor] = one_minus_start,
    gating: Callable[[Tensor, Tensor, Tensor], Tensor] = sigmoid_gate,
    *,
    depth_last: bool = False,
    either: bool = False,
) -> Callable[..., Tensor]:
    """Norm, depth, gate, with one thing changed at a time."""

    def answer(
        heads: Tensor, weight: Tensor, layer: int | None = None, gate: Gate = None
    ) -> Tensor:
        y = norm(heads, weight)
        if layer is not None and not depth_last:
            y = depth(y, layer)
            if either:
                return y
        if gate is not None:
            y = gating(y, *gate)
        return depth(y, layer) if layer is not None and depth_last else y

    return answer


def _layer_norm(x: Tensor, weight: Tensor) -> Tensor:
    return rms(x - x.mean(-1, keepdim=True), weight)


def _length(x: Tensor, weight: Tensor) -> Tensor:
    return x * (x.square().sum(-1, keepdim=True) + EPS).rsqrt() * weight


def _eps_outside(x: Tensor, weight: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True).sqrt() + EPS) * weight


def _clamped(x: Tensor, weight: Tensor) -> Tensor:
    return x / x.square().mean(-1, keepdim=True).sqrt().clamp(min=EPS) * weight


def _no_root(x: Tensor, weight: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + EPS) * weight


def _weight_first(x: Tensor, weight: Tensor) -> Tensor:
    return rms(x * weight, torch.ones_like(weight))


def _one_more_weight(x: Tensor, weight: Tensor) -> Tensor:
    return rms(x, 1 + weight)


def _unnormalised(x: Tensor, weight: Tensor) -> Tensor:
    return x * weight


def _unweighted(x: Tensor, weight: Tensor) -> Tensor:
    return rms(x, torch.ones_like(weight))


def eps_of(eps: float) -> Callable[..., Tensor]:
    return steps(norm=lambda x, weight: rms(x, weight, eps))


def over(*axes: int) -> Callable[..., Tensor]:
    return steps(norm=lambda x, weight: rms(x, weight, over=axes))


def factor(depth: Callable[[int], float]) -> Callable[..., Tensor]:
    return steps(depth=lambda y, layer: y * depth(layer))


def gated(z: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    return steps(gating=lambda y, w, bias: y * z(y, w, bias))


def wrong_gate_of_raw(
    heads: Tensor, weight: Tensor, layer: int | None = None, gate: Gate = None
) -> Tensor:
    """The gate is computed from the heads as they come in."""
    y = steps()(heads, weight, layer)
    if gate is None:
        return y
    return y * (heads @ gate[0] + gate[1]).sigmoid()[..., None]


def wrong_gate_first(
    heads: Tensor, weight: Tensor, layer: int | None = None, gate: Gate = None
) -> Tensor:
    return steps()(heads if gate is None else sigmoid_gate(heads, *gate), weight, layer)


def right_by_torch(
    heads: Tensor, weight: Tensor, layer: int | None = None, gate: Gate = None
) -> Tensor:
    y = torch.nn.functional.rms_norm(heads, weight.shape, weight, EPS)
    y = y if layer is None else y * (0.2 + 0.6 * math.exp(-0.3 * layer))
    if gate is None:
        return y
    w, bias = gate
    return y * torch.nn.functional.linear(y, w[None], bias[None]).sigmoid()


def _factors(x: Difference) -> str:
    layer = x.case.arguments["layer"]
    return f"In layer {layer} the factor is {1 - start(layer):.3f}."


NORM = Exercise(
    id="5.5",
    title="Norm, depth and gate",
    minutes=8,
    inputs=norm_inputs,
    sizes=(
        dict(b=1, h=1, s=1, d=2, layer=NO_LAYER, gate=NO_GATE),
        dict(b=2, h=3, s=4, d=5, layer=NO_LAYER, gate=NO_GATE),
        dict(b=2, h=3, s=4, d=5, layer=in_layer(0), gate=NO_GATE),
        dict(b=1, h=2, s=5, d=3, layer=in_layer(3), gate=NO_GATE),
        dict(b=1, h=2, s=5, d=1, layer=NO_LAYER, gate=GATE),
        dict(b=2, h=4, s=5, d=3, layer=NO_LAYER, gate=GATE),
        dict(b=2, h=4, s=3, d=5, layer=in_layer(1), gate=GATE),
    ),
    truth=truth_norm,
    outputs=("heads: b h i d",),
    wrong=(
        Wrong(
            "layer norm",
            steps(norm=_layer_norm),
            "You subtracted the mean first: that is layer norm. RMSNorm divides by the root of the "
            "mean square and subtracts nothing.",
        ),
        Wrong(
            "length",
            steps(norm=_length),
            "You divided by the root of the sum of the squares. RMS has their mean in it: the sum "
            "divided by d.",
        ),
        Wrong(
            "no root",
            steps(norm=_no_root),
            "You divided by the mean square itself. Its root is missing.",
        ),
        Wrong(
            "all heads together",
            over(1, 3),
            "The mean square runs over all heads of a token. Each head is normalised alone, over "
            "its own d numbers.",
        ),
        Wrong(
            "all tokens together",
            over(2, 3),
            "The mean square runs over the tokens too, later ones included. Each token is "
            "normalised alone.",
        ),
        Wrong(
            "over tokens",
            over(2),
            "The mean square runs over the tokens and not over d. Each token is normalised alone, "
            "over the d numbers of a head.",
        ),
        Wrong(
            "over heads",
            over(1),
            "The mean square runs over the heads and not over d. Each head is normalised alone, "
            "over its own d numbers.",
        ),
        Wrong(
            "eps missing",
            eps_of(0.0),
            "No eps is added to the mean square: a head of zeros is divided by 0, and small heads "
            "become too large.",
        ),
        Wrong(
            "eps outside",
            steps(norm=_eps_outside),
            "eps is added to the root. It belongs under it: sqrt(mean square + 1e-5).",
        ),
        Wrong(
            "eps as a floor",
            steps(norm=_clamped),
            "eps is a lower limit of the root. It is added to the mean square, under the root.",
        ),
        Wrong(
            "eps 1e-6",
            eps_of(1e-6),
            "Your eps is 1e-6, and 1e-5 is asked. Heads as small as these show it.",
        ),
        Wrong(
            "eps 1e-8",
            eps_of(1e-8),
            "Your eps is 1e-8, and 1e-5 is asked. Heads as small as these show it.",
        ),
        Wrong(
            "eps of torch",
            steps(norm=lambda x, weight: rms(x, weight, torch.finfo(x.dtype).eps)),
            "Your eps is the smallest step of the dtype, as rms_norm takes where none is given. "
            "1e-5 is asked.",
        ),
        Wrong(
            "not normalised",
            steps(norm=_unnormalised),
            "The heads are not normalised: they are multiplied by the weight as they come in.",
        ),
        Wrong(
            "weight ignored",
            steps(norm=_unweighted),
            "The heads are normalised, and `weight` changes nothing in your numbers.",
        ),
        Wrong(
            "weight before",
            steps(norm=_weight_first),
            "The weight is multiplied before the mean square is taken. It belongs behind the norm.",
        ),
        Wrong(
            "one more than the weight",
            steps(norm=_one_more_weight),
            "The heads are multiplied by 1 + weight. It is weight alone.",
        ),
        Wrong(
            "lambda itself",
            factor(start),
            lambda x: f"You multiplied by λ. {_factors(x)} It is 1 − λ.",
        ),
        Wrong(
            "one plus lambda",
            factor(lambda layer: 1 + start(layer)),
            lambda x: f"You multiplied by 1 + λ. {_factors(x)} It is 1 − λ.",
        ),
        Wrong(
            "layers from 1",
            factor(lambda layer: 1 - start(layer + 1)),
            lambda x: f"You counted layers from 1. {_factors(x)} The first layer is layer 0.",
        ),
        Wrong(
            "one layer too early",
            factor(lambda layer: 1 - start(layer - 1)),
            lambda x: f"You took 1 off the layer. {_factors(x)} layer is counted from 0 already.",
        ),
        Wrong(
            "brackets lost",
            factor(lambda layer: 1 - 0.8 - 0.6 * math.exp(-0.3 * layer)),
            lambda x: (
                f"You multiplied by 1 − 0.8 − 0.6 e^(−0.3 · layer). {_factors(x)} λ is taken away "
                "as a whole, 1 − (0.8 − 0.6 e^(−0.3 · layer)), so its second term is added."
            ),
        ),
        Wrong(
            "lambda of layer 0",
            factor(lambda layer: 1 - start(0)),
            lambda x: f"Every layer gets the factor of layer 0 in yours. {_factors(x)}",
        ),
        Wrong(
            "lambda of 0.8",
            factor(lambda layer: 1 - 0.8),
            lambda x: f"You multiplied by 0.2 whatever the layer is. {_factors(x)}",
        ),
        Wrong(
            "exponent without minus",
            factor(lambda layer: 1 - (0.8 - 0.6 * math.exp(0.3 * layer))),
            lambda x: f"The exponent in λ lost its minus sign: exp(−0.3 · layer). {_factors(x)}",
        ),
        Wrong(
            "divided by one minus lambda",
            steps(depth=lambda y, layer: y / (1 - start(layer))),
            lambda x: f"You divided by 1 − λ, and multiplying is asked. {_factors(x)}",
        ),
        Wrong(
            "no depth",
            steps(depth=lambda y, layer: y),
            "`layer` changes nothing in your numbers. Where it is not None a factor 1 − λ follows "
            "the norm; layer 0 has one too.",
        ),
        Wrong(
            "layer 0 left out",
            steps(depth=lambda y, layer: one_minus_start(y, layer) if layer else y),
            "In layer 0 the factor is left out. `if layer:` is false for 0; ask whether layer is "
            "None.",
        ),
        Wrong(
            "depth or gate",
            steps(either=True),
            "Where both layer and gate are given your gate is left out. Each of the two stands for "
            "itself.",
        ),
        Wrong(
            "depth after the gate",
            steps(depth_last=True),
            "The factor of the depth comes after the gate in yours, so the gate was computed from "
            "another y. First the depth, then the gate.",
        ),
        Wrong(
            "gate from the raw heads",
            wrong_gate_of_raw,
            "Your gate is computed from the heads before the norm. It reads the normalised y.",
        ),
        Wrong(
            "gate before the norm",
            wrong_gate_first,
            "The heads are gated first and normalised afterwards. The norm divides by their size "
            "and so takes most of the gate away again; it comes first.",
        ),
        Wrong(
            "gate without bias",
            gated(lambda y, w, bias: (y @ w).sigmoid()[..., None]),
            "Your gate has no bias: the sigmoid is taken of y · w + bias.",
        ),
        Wrong(
            "bias outside",
            gated(lambda y, w, bias: (y @ w).sigmoid()[..., None] + bias),
            "The bias is added to the sigmoid. It belongs inside: sigmoid(y · w + bias).",
        ),
        Wrong(
            "gate of each number",
            gated(lambda y, w, bias: (y * w + bias).sigmoid()),
            "Your gate has d numbers for a head. y · w is a dot product: one number a token and "
            "head, and it scales all d.",
        ),
        Wrong(
            "gate without sigmoid",
            gated(lambda y, w, bias: (y @ w + bias)[..., None]),
            "The heads are multiplied by y · w + bias itself. A sigmoid of it is asked, between "
            "0 and 1.",
        ),
        Wrong(
            "tanh gate",
            gated(lambda y, w, bias: (y @ w + bias).tanh()[..., None]),
            "Your gate is a tanh, from −1 to 1. A sigmoid is asked, from 0 to 1.",
        ),
        Wrong(
            "softmax over heads",
            gated(lambda y, w, bias: (y @ w + bias).softmax(1)[..., None]),
            "Your gates of a token sum to 1 over its heads: that is a softmax. Each gate is a "
            "sigmoid of its own head alone.",
        ),
        Wrong(
            "gate alone",
            steps(
                gating=lambda y, w, bias: (y @ w + bias).sigmoid()[..., None].expand_as(y).clone()
            ),
            "You return the gate. It multiplies y.",
        ),
        Wrong(
            "one plus the gate",
            gated(lambda y, w, bias: 1 + (y @ w + bias).sigmoid()[..., None]),
            "The gated heads are added to the heads. The gate alone multiplies them.",
        ),
        Wrong(
            "no gate",
            steps(gating=lambda y, w, bias: y),
            "`gate` changes nothing in your numbers.",
        ),
    ),
    right=(Right("in three steps", steps()), Right("torch's functions", right_by_torch)),
    hints=(
        "One token of one head is d numbers. What do you divide them by, so that their mean square "
        "becomes 1?",
        "mean(−1, keepdim=True) of the squares, 1e-5 on it, root. `if layer is not None` and not "
        "`if layer`, since layer 0 is a layer. The gate reads y as it then is: one dot product a "
        "token and head.",
        "y = heads / sqrt(mean of squares + 1e-5) * weight; with a layer: times 1 − λ, λ = 0.8 − "
        "0.6 exp(−0.3 layer); with a gate: z = sum over d of y * w, plus bias; y times sigmoid(z), "
        "with an axis of size 1 at its end.",
    ),
    why="The weights of a row no longer sum to 1, so a head's output can have any size: the norm "
    "takes it out. The depth factor is DIFF's; the second version of the paper and its code "
    "have the gate in its place, which lets a head fall silent for a token.",
    another_way="torch.nn.functional.rms_norm(heads, weight.shape, weight, 1e-5), and nn.Linear(d, "
    "1) for the gate.",
    ask=ask_norm,
    smallest=dict(layer=NO_LAYER, gate=GATE),
)
