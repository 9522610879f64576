"""Exercise 2.5: a 2-simplicial layer as nn.Module.

Axes: b batch, h head, s sequence length, d head_dim; d_model = h * d.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from simplex_lib.checks.exercise import Draw, Exercise, Rejected, Right, Wrong

MAPS = ("wq", "wk1", "wk2", "wv1", "wv2", "wo")


class NoWindow(int):
    """Among the sizes of a case it reads None; a size must be a number."""

    def __str__(self) -> str:
        return "None"


NONE = NoWindow(1)


def layer_inputs(draw: Draw, *, b: int, s: int, h: int, d: int, w1: int, w2: int) -> dict[str, Any]:
    d_model = h * d
    windows = {name: None if isinstance(w, NoWindow) else w for name, w in (("w1", w1), ("w2", w2))}
    weights = {name: 1.5 * draw.normal(d_model, d_model) / math.sqrt(d_model) for name in MAPS}
    return dict(x=draw.normal(b, s, d_model), n_heads=h) | windows | weights


def ask_layer(answer: Any, arguments: Mapping[str, Any]) -> Any:
    """Builds the layer, puts the six given matrices in, and calls it on x."""
    x, n_heads = arguments["x"], arguments["n_heads"]
    d_model = x.shape[-1]
    if isinstance(answer, nn.Module):
        raise Rejected(
            "an instance",
            "The check wants the class itself, without brackets, so that it can build layers of "
            "several sizes.",
        )
    layer = answer(d_model, n_heads, w1=arguments["w1"], w2=arguments["w2"])
    if not isinstance(layer, nn.Module):
        raise Rejected(
            "no module",
            f"The layer should be an nn.Module; yours is a {type(layer).__name__}. Does the class "
            "derive from nn.Module?",
        )
    for name in MAPS:
        _require_map(layer, name, d_model)
    _require_nothing_else(layer)
    layer = layer.to(x.dtype)
    with torch.no_grad():
        for name in MAPS:
            getattr(layer, name).weight.copy_(arguments[name])
        return layer(x)


def _require_map(layer: nn.Module, name: str, d_model: int) -> None:
    part = getattr(layer, name, None)
    if part is None:
        has = ", ".join(n for n, _ in layer.named_children()) or "none"
        raise Rejected(
            "missing",
            f"The layer has no `{name}`. It should have six linear maps, {', '.join(MAPS)}; yours "
            f"has {has}.",
        )
    if not isinstance(part, nn.Linear):
        raise Rejected(
            "not linear", f"`{name}` should be an nn.Linear; yours is a {type(part).__name__}."
        )
    if part.bias is not None:
        raise Rejected("bias", f"`{name}` has a bias, and the six maps of this layer have none.")
    if tuple(part.weight.shape) != (d_model, d_model):
        raise Rejected(
            "misshaped",
            f"`{name}` should map {d_model} features to {d_model}, for all heads at once; yours "
            f"maps {part.in_features} to {part.out_features}.",
        )


def _require_nothing_else(layer: nn.Module) -> None:
    for name, parameter in layer.named_parameters():
        if name.removesuffix(".weight") not in MAPS:
            raise Rejected(
                "extra",
                f"The layer has a parameter `{name}` {tuple(parameter.shape)} beyond the six maps.",
            )
    places: dict[int, str] = {}
    for name in MAPS:  # named_parameters lists a shared one only once
        place = id(getattr(layer, name).weight)
        if place in places:
            raise Rejected(
                "shared",
                f"`{name}` and `{places[place]}` are one and the same matrix; each of the six maps "
                "has its own.",
            )
        places[place] = name


def truth_layer(x: Tensor, n_heads: int, w1: int | None, w2: int | None, **maps: Tensor) -> Tensor:
    b, s, d_model = x.shape
    w1, w2 = w1 or s, w2 or s
    d = d_model // n_heads
    mixed = torch.zeros(b, s, d_model, dtype=torch.float64)
    for n in range(b):
        rows = {name: x[n] @ maps[name].T for name in MAPS[:5]}
        for m in range(n_heads):
            own = slice(m * d, (m + 1) * d)
            q, k1, k2, v1, v2 = (rows[name][:, own] for name in MAPS[:5])
            for i in range(s):
                pairs = [
                    (j, k)
                    for j in range(max(0, i - w1 + 1), i + 1)
                    for k in range(max(0, i - w2 + 1), i + 1)
                ]
                scores = [float((q[i] * k1[j] * k2[k]).sum()) / math.sqrt(d) for j, k in pairs]
                total = sum(math.exp(score - max(scores)) for score in scores)
                for (j, k), score in zip(pairs, scores, strict=True):
                    mixed[n, i, own] += math.exp(score - max(scores)) / total * v1[j] * v2[k]
    return mixed @ maps["wo"].T


class Layer(nn.Module):
    """The right layer, with places where a mistake can be made."""

    maps: tuple[str, ...] = MAPS
    bias = False
    wo: nn.Linear  # made with the five others, by name

    def __init__(self, d_model: int, n_heads: int, w1: int | None = None, w2: int | None = None):
        super().__init__()
        self.n_heads, self.w1, self.w2 = n_heads, w1, w2
        for name in self.maps:
            setattr(self, name, nn.Linear(d_model, d_model, bias=self.bias))

    def split(self, x: Tensor) -> Tensor:
        """(b, s, h * d) -> (b, h, s, d)."""
        return x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)

    def join(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2)

    def project(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.split(getattr(self, name)(x)) for name in MAPS[:5])

    def windows(self, s: int) -> tuple[int, int]:
        return self.w1 or s, self.w2 or s

    def scale(self, q: Tensor) -> float:
        return q.shape[-1] ** -0.5

    def finish(self, x: Tensor) -> Tensor:
        return self.wo(x)

    def forward(self, x: Tensor) -> Tensor:
        q, k1, k2, v1, v2 = self.project(x)
        s = q.shape[2]
        w1, w2 = self.windows(s)
        back = torch.arange(s)[:, None] - torch.arange(s)
        first, second = (back >= 0) & (back < w1), (back >= 0) & (back < w2)
        logits = torch.einsum("bhid,bhjd,bhkd->bhijk", q, k1, k2) * self.scale(q)
        visible = first[:, :, None] & second[:, None, :]
        probs = logits.masked_fill(~visible, -math.inf).flatten(-2).softmax(-1)
        probs = probs.unflatten(-1, (s, s))
        return self.finish(self.join(torch.einsum("bhijk,bhjd,bhkd->bhid", probs, v1, v2)))


class WrongHeadsFirst(Layer):
    def split(self, x: Tensor) -> Tensor:
        b, s, d_model = x.shape
        return x.reshape(b, self.n_heads, s, d_model // self.n_heads)


class WrongInterleaved(Layer):
    def split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.n_heads)).permute(0, 3, 1, 2)


class WrongInterleavedBothWays(WrongInterleaved):
    def join(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).flatten(2)


class WrongOverHeads(Layer):
    """Positions stand where heads belong: (b, s, h, d) goes into the attention."""

    def split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_heads, -1))

    def join(self, x: Tensor) -> Tensor:
        return x.flatten(2)


class WrongJoin(Layer):
    def join(self, x: Tensor) -> Tensor:
        b, h, s, d = x.shape
        return x.reshape(b, s, h * d)


class WrongNoOutput(Layer):
    def finish(self, x: Tensor) -> Tensor:
        return x


class WrongScale(Layer):
    def scale(self, q: Tensor) -> float:
        return (q.shape[-1] * self.n_heads) ** -0.5


class WrongNoWindows(Layer):
    def windows(self, s: int) -> tuple[int, int]:
        return s, s


class WrongWindowOfOne(Layer):
    def windows(self, s: int) -> tuple[int, int]:
        return self.w1 or 1, self.w2 or 1


class WrongWindowsSwapped(Layer):
    def windows(self, s: int) -> tuple[int, int]:
        return self.w2 or s, self.w1 or s


class WrongOneKey(Layer):
    def project(self, x: Tensor) -> tuple[Tensor, ...]:
        q, k1, _, v1, v2 = super().project(x)
        return q, k1, k1, v1, v2


class WrongOneValue(Layer):
    def project(self, x: Tensor) -> tuple[Tensor, ...]:
        q, k1, k2, v1, _ = super().project(x)
        return q, k1, k2, v1, v1


class WrongPairing(Layer):
    def project(self, x: Tensor) -> tuple[Tensor, ...]:
        q, k1, k2, v1, v2 = super().project(x)
        return q, k1, k2, v2, v1


class WrongKeys(Layer):
    def project(self, x: Tensor) -> tuple[Tensor, ...]:
        q, k1, k2, v1, v2 = super().project(x)
        return q, k2, k1, v1, v2


class WrongPlainNames(Layer):
    maps = ("wq", "wk", "wv", "wo")


class WrongBias(Layer):
    bias = True


class RightByHeads(Layer):
    """Each head from its slice of the weights, one second key at a time."""

    def forward(self, x: Tensor) -> Tensor:
        s, d_model = x.shape[1:]
        w1, w2 = self.windows(s)
        heads = []
        for rows in torch.arange(d_model).chunk(self.n_heads):
            q, k1, k2, v1, v2 = (x @ getattr(self, name).weight[rows].T for name in MAPS[:5])
            back = torch.arange(s)[:, None] - torch.arange(s)
            maps, values = [], []
            for k in range(s):
                logits = (q * k2[:, k : k + 1]) @ k1.transpose(1, 2) / math.sqrt(len(rows))
                late = (back < 0) | (back >= w1) | (back[:, k : k + 1] < 0)
                maps.append(logits.masked_fill(late | (back[:, k : k + 1] >= w2), -math.inf))
                values.append(v1 * v2[:, k : k + 1])
            heads.append(torch.cat(maps, -1).softmax(-1) @ torch.cat(values, 1))
        return torch.cat(heads, -1) @ self.wo.weight.mT


LAYER = Exercise(
    id="2.5",
    title="A 2-simplicial layer",
    minutes=8,
    inputs=layer_inputs,
    sizes=(
        dict(b=1, s=4, h=2, d=3, w1=5, w2=4),
        dict(b=1, s=4, h=2, d=3, w1=1, w2=3),
        dict(b=1, s=7, h=2, d=3, w1=NONE, w2=NONE),
        dict(b=3, s=5, h=2, d=4, w1=NONE, w2=2),
        dict(b=2, s=5, h=3, d=4, w1=4, w2=2),
    ),
    truth=truth_layer,
    outputs=("out: b i d_model",),
    wrong=(
        Wrong(
            "heads before positions",
            WrongHeadsFirst,
            "The features were reshaped to (b, h, s, d) in one go. That keeps the numbers in their "
            "order in memory, so a head's rows come from several positions at once.",
        ),
        Wrong(
            "interleaved heads",
            WrongInterleaved,
            "Head 0 took every n_heads-th feature of the projections. A head owns d neighbouring "
            "features: the first d belong to head 0.",
        ),
        Wrong(
            "interleaved heads, both ways",
            WrongInterleavedBothWays,
            "Head 0 took every n_heads-th feature of the projections, and its results went back "
            "to the same places. A head owns d neighbouring features: the first d belong to "
            "head 0.",
        ),
        Wrong(
            "attention over heads",
            WrongOverHeads,
            "Attention ran over the heads of one position, and no position reads another. It takes "
            "the second axis for heads and the third for positions, and yours were the other way "
            "round.",
        ),
        Wrong(
            "heads joined in the wrong order",
            WrongJoin,
            "The heads were split rightly. On the way back, (b, h, s, d) was reshaped to "
            "(b, s, h · d) while h still stood before s, so positions and heads are mixed.",
        ),
        Wrong(
            "no output map",
            WrongNoOutput,
            "The heads side by side are returned as they are; `wo` is never used.",
        ),
        Wrong(
            "scale of the whole width",
            WrongScale,
            lambda x: (
                "The logits are divided by the square root of d_model = "
                f"{x.case.sizes['h'] * x.case.sizes['d']}. A score is a sum over one head's "
                f"{x.case.sizes['d']} coordinates."
            ),
        ),
        Wrong(
            "no windows",
            WrongNoWindows,
            "Every query reads its whole past: w1 and w2 change nothing in your numbers.",
        ),
        Wrong(
            "windows swapped",
            WrongWindowsSwapped,
            "Either w1 limits your second key and w2 your first, or both pairs of maps, wk1 and "
            "wk2, wv1 and wv2, have changed places: the numbers are the same.",
        ),
        Wrong(
            "no window means one",
            WrongWindowOfOne,
            "w1 or w2 may be None, which means no window: the whole past. Yours then reads its own "
            "position only.",
        ),
        Wrong(
            "one key for both",
            WrongOneKey,
            "`wk2` is never used: both keys are made by `wk1`, so the pair (j, k) always scores "
            "what (k, j) scores.",
        ),
        Wrong(
            "one value for both",
            WrongOneValue,
            "`wv2` is never used: both values are made by `wv1`.",
        ),
        Wrong(
            "values crossed",
            WrongPairing,
            "`wv1` makes the value of the second key in your layer, and `wv2` that of the first.",
        ),
        Wrong(
            "keys crossed",
            WrongKeys,
            "`wk1` makes the second key in your layer, and `wk2` the first, while the values are "
            "where they belong.",
        ),
        Wrong(
            "missing",
            WrongPlainNames,
            "A map is missing.",
        ),
        Wrong("bias", WrongBias, "A map has a bias."),
    ),
    right=(
        Right("all heads at once", Layer),
        Right("head by head", RightByHeads),
    ),
    hints=(
        "Exercise 1.6 built this layer with one key and one value. What is different, and what is "
        "not?",
        "Five maps go in, one comes out. Each of the five results becomes (b, h, s, d): split the "
        "last axis in two, then move the heads forward. After the attention, the way back.",
        "in __init__: six nn.Linear(d_model, d_model, bias=False); keep n_heads, w1, w2. In "
        "forward: heads = lambda y: y.view(b, s, n_heads, −1).transpose(1, 2); attention of the "
        "five; transpose back, flatten the last two axes, wo.",
    ),
    why="Six square matrices where a plain layer has four: half as many parameters again, and the "
    "same shapes outside, so the layer fits wherever a plain one did.",
    another_way="one nn.Linear(d_model, 5 · d_model) can make all five, `.chunk(5, dim=-1)`; it is "
    "one large matrix product in place of five. Here they have names, so that the check can give "
    "them weights.",
    variants=("float32", "bfloat16", "strided"),
    uses=("trilinear_attention", "trilinear_attention_online", "trilinear_attention_with_lse"),
    ask=ask_layer,
    kind="module",
)
