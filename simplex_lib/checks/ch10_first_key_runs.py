"""What exercises 10.3 and 10.4 share: inputs, the truth, and kernels with a slip in them.

Axes: b batch, h head, i query, j first key, k second key, s sequence length, d head_dim.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.exercise import Draw
from simplex_lib.checks.kernel_runs import Again, Output, Strides

SCALE = 0.75  # 1 / sqrt(d) for no d, so that an answer has to take what it is given
READ = ("q", "k1", "k2", "v1", "v2", "dout")
# how tensors lie in memory, axes from the outermost in; odd d gets the second way. In none do
# columns follow each other, and no two tensors share the stride of an axis in both ways.
ORDERS = (
    dict(q="hdsb", k1="bhds", k2="bsdh", v1="shdb", v2="bdhs", dout="sdhb"),
    dict(q="hbds", k1="dbhs", k2="bdsh", v1="sdhb", v2="hsdb", dout="dbsh"),
)
SHORT_ORDERS = (dict(lse="sbh", delta="hsb"), dict(lse="hsb", delta="sbh"))
OUTPUT_ORDERS = (("dshb", "dhbs", "dbsh"), ("bhds", "bsdh", "dshb"))
LARGEST = dict(b=3, h=3, s=64, d=32, w1=64, w2=64)


class Logits(int):
    """How the logits of a case are drawn, in words."""

    def __str__(self) -> str:
        return {0: "as drawn", 120: "120 away from 0", 100: "100 higher where hidden"}[int(self)]


AS_DRAWN, HIGH_IF_HIDDEN, FAR = map(Logits, (0, 100, 120))  # exp(100) is inf in float32


class InTorch:
    """A slip whose numbers are known without a kernel: called with the arguments of a case."""

    def __call__(self, arguments: Mapping[str, Any]) -> Any:
        raise NotImplementedError


def pair_inputs(draw: Draw, *, b: int, h: int, s: int, d: int, logits: int) -> dict[str, Tensor]:
    """Numbers that float32 can hold, with logits as drawn or FAR from 0."""
    require_small(b=b, h=h, s=s, d=d)
    found = {name: draw.normal(b, h, s, d) for name in READ}
    for name in ("q", "k1", "k2"):  # small logits, so that wrong ones give no huge numbers
        found[name] *= 0.5
    found["dout"] *= 2
    if logits == FAR:
        _move_away(found)
    return {name: x.float().double() for name, x in found.items()}


def _move_away(found: dict[str, Tensor]) -> None:
    """Up for odd queries and down for even ones, but for query 0: its dS is 0, and rounding times
    e^40 where an exponent is wrong."""
    s = found["q"].shape[2]
    way = torch.tensor([-1.0, 1.0], dtype=torch.float64).repeat(s)[:s]
    way[0] = 0
    found["q"][..., 0] = way * FAR / SCALE
    for name in ("k1", "k2"):  # near 1, and not all alike: the sum of dS over all pairs is 0
        found[name][..., 0] = 1 + found[name][..., 0] / 100
    found["dout"] /= 1000  # dk1 is as large as q, and so are its errors


def raise_hidden(found: dict[str, Tensor], w1: int, w2: int) -> dict[str, Tensor]:
    """Two keys of each kind give logits of 100 to queries that do not see them, and to no other.

    Column 0 is for first keys and column 1 for second ones; what is visible stays as it is.
    """
    s, d = found["q"].shape[2:]
    if d < 2:
        raise ValueError("d = 1 has no room for both")
    at = torch.arange(s)
    high = (at == s // 3) | (at == s // 3 + 1)
    past = at[:, None] - at  # i - j
    for column, (name, other, w) in enumerate((("k1", "k2", w1), ("k2", "k1", w2))):
        sees = ((past >= 0) & (past < w) & high).any(1)
        found["q"][..., column] = torch.where(sees, 0.0, HIGH_IF_HIDDEN / SCALE)
        found[name][..., column] = high.double()
        found[other][..., column] = 1
    return {name: x.float().double() for name, x in found.items()}


def attention(x: Mapping[str, Tensor], w1: int, w2: int, scale: float) -> tuple[Tensor, Tensor]:
    """out (b, h, s, d) and lse (b, h, s), in PyTorch that autograd can follow."""
    q, k1, k2, v1, v2 = (x[name] for name in READ[:5])
    at = torch.arange(q.shape[2])
    past = at[:, None] - at  # i - j
    first, second = ((past >= 0) & (past < w) for w in (w1, w2))
    logits = torch.einsum("bhid,bhjd,bhkd->bhijk", q, k1, k2) * scale
    logits = logits.masked_fill(~(first[:, :, None] & second[:, None, :]), -math.inf)
    lse = logits.flatten(-2).logsumexp(-1)
    probs = (logits - lse[..., None, None]).exp()
    return torch.einsum("bhijk,bhjd,bhkd->bhid", probs, v1, v2), lse


def gradients(x: Mapping[str, Tensor], w1: int, w2: int, scale: float) -> dict[str, Tensor]:
    """dq, dk1, dk2, dv1, dv2 by autograd."""
    with torch.enable_grad():
        leaves = {name: x[name].detach().requires_grad_() for name in READ[:5]}
        out, _ = attention(leaves, w1, w2, scale)
        found = torch.autograd.grad(out, list(leaves.values()), x["dout"])
    return {f"d{name}": gradient for name, gradient in zip(leaves, found, strict=True)}


def given_tensors(arguments: Mapping[str, Any]) -> dict[str, Tensor]:
    """The inputs of both kernels: strides that differ, and lse and delta in float32."""
    exact = {name: arguments[name].double() for name in READ}
    out, lse = attention(exact, arguments["w1"], arguments["w2"], arguments["scale"])
    given = {name: arguments[name] for name in READ}
    given |= dict(lse=lse.float(), delta=(out * exact["dout"]).sum(-1).float())
    way = out.shape[3] % 2
    orders = ORDERS[way] | SHORT_ORDERS[way]
    return {name: laid_out(x, in_memory(orders[name])) for name, x in given.items()}


def output_orders(d: int) -> list[tuple[int, ...]]:
    """Of up to three outputs: none lies as an input does, or as another."""
    return [in_memory(order) for order in OUTPUT_ORDERS[d % 2]]


def in_memory(order: str) -> tuple[int, ...]:
    """The numbers of the axes of (b, h, s, d), or (b, h, s), from the outermost in."""
    return tuple("bhsd".index(axis) for axis in order)


def laid_out(x: Tensor, order: tuple[int, ...]) -> Tensor:
    """The same tensor; in memory, its axes follow each other in this order."""
    back = [order.index(axis) for axis in range(x.ndim)]
    return x.permute(order).contiguous().permute(back)


def with_strides(tensors: Mapping[str, Tensor | Output | Again]) -> dict[str, Any]:
    """As the kernels take them: each followed by its strides."""
    found: dict[str, Any] = {}
    for name, x in tensors.items():
        found |= {name: x, f"{name}_strides": Strides(name)}
    return found


def comparable(arguments: Mapping[str, Any], *found: Tensor) -> tuple[Tensor, ...]:
    """The answer; with far logits, cut off at 100, a hundred times what is right. A wrong exponent
    makes e^40 of them, and two orders of adding such numbers agree in no digit after the first."""
    return tuple(x.clamp(-100, 100) if arguments["logits"] == FAR else x for x in found)


def width_of(d: int) -> int:
    """D: a power of two, and at least 16, the least that tl.dot takes."""
    return max(16, 1 << (d - 1).bit_length())


def require_small(**sizes: int) -> None:
    """Not what takes long. One token is left out: its one probability is 1, and dS is 0 always."""
    for name, size in sizes.items():
        if not (2 if name == "s" else 1) <= size <= LARGEST[name]:
            raise ValueError(f"{name} = {size} is not asked")


def require_known(cases: Sequence[Mapping[str, int]], **sizes: int) -> None:
    """A failing case is tried again with fewer tokens, heads or texts. Nothing else: a kernel takes
    its time here, and what is said must not depend on how far the search came."""
    for case in cases:
        free = {"b": {1, case["b"]}, "h": {1, case["h"]}, "s": {2, 3, 5, 17, 18, 19, case["s"]}}
        alike = all(size in free.get(name, {case[name]}) for name, size in sizes.items())
        if alike and sizes["s"] <= case["s"]:
            return
    raise ValueError(f"{sizes} is not asked")


def require_tile(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 16 or size & (size - 1):
            raise ValueError(f"{name} is a power of two from 16 on")
