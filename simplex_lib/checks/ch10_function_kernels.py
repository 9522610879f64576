"""What exercise 10.5 gives: three functions that behave like launches of kernels.

They are PyTorch inside, in the dtype of their inputs, and hide it from autograd. They want the
shapes that kernels want, and note when memory is not laid out row by row, where a kernel would
read other numbers than those of the tensor. Their two windows differ, so that the first key and
the second are not interchangeable.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.exercise import Rejected

KEYS, VALUES = ("q", "k1", "k2"), ("v1", "v2")
INPUTS = (*KEYS, *VALUES)
BACKWARD = ("dout", *INPUTS, "lse", "delta")


def windows(s: int) -> tuple[int, int]:
    """w1 and w2: how many first and second keys a query sees, itself included."""
    return max(1, s // 2), max(2, s - 1)


class Kernels:
    """launched: names in order. crooked: what was not contiguous, (kernel, tensor, strides)."""

    def __init__(self, b: int, h: int, s: int, d: int, dv: int) -> None:
        shapes = dict.fromkeys(KEYS, (b, h, s, d)) | dict.fromkeys(VALUES, (b, h, s, dv))
        self.shapes = shapes | dict(dout=(b, h, s, dv), lse=(b, h, s), delta=(b, h, s))
        self.launched: list[str] = []
        self.crooked: list[tuple[str, str, tuple[int, ...]]] = []

    def forward(
        self, q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor, scale: float
    ) -> tuple[Tensor, Tensor]:
        """out (b, h, s, dv) and lse (b, h, s), its natural logarithm."""
        self._launch("forward", INPUTS, (q, k1, k2, v1, v2), scale)
        with torch.no_grad():
            logits = masked_logits(q, k1, k2, scale)
            lse = logits.logsumexp((-2, -1))
            probs = (logits - lse[..., None, None]).exp()
            return torch.einsum("bhijk,bhjd,bhkd->bhid", probs, v1, v2).contiguous(), lse

    def first_key(
        self,
        dout: Tensor,
        q: Tensor,
        k1: Tensor,
        k2: Tensor,
        v1: Tensor,
        v2: Tensor,
        lse: Tensor,
        delta: Tensor,
        scale: float,
    ) -> tuple[Tensor, Tensor]:
        """dk1, dv1."""
        self._launch("first_key", BACKWARD, (dout, q, k1, k2, v1, v2, lse, delta), scale)
        with torch.no_grad():
            probs, dlogits = _again(dout, q, k1, k2, v1, v2, lse, delta, scale)
            dk1 = torch.einsum("bhijk,bhid,bhkd->bhjd", dlogits, q, k2)
            return dk1, torch.einsum("bhijk,bhid,bhkd->bhjd", probs, dout, v2)

    def second_key(
        self,
        dout: Tensor,
        q: Tensor,
        k1: Tensor,
        k2: Tensor,
        v1: Tensor,
        v2: Tensor,
        lse: Tensor,
        delta: Tensor,
        scale: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """dq, dk2, dv2."""
        self._launch("second_key", BACKWARD, (dout, q, k1, k2, v1, v2, lse, delta), scale)
        with torch.no_grad():
            probs, dlogits = _again(dout, q, k1, k2, v1, v2, lse, delta, scale)
            dq = torch.einsum("bhijk,bhjd,bhkd->bhid", dlogits, k1, k2)
            dk2 = torch.einsum("bhijk,bhid,bhjd->bhkd", dlogits, q, k1)
            return dq, dk2, torch.einsum("bhijk,bhid,bhjd->bhkd", probs, dout, v1)

    def _launch(
        self, kernel: str, names: tuple[str, ...], tensors: tuple[Any, ...], scale: Any
    ) -> None:
        self.launched.append(kernel)
        for name, x in zip(names, tensors, strict=True):
            if not isinstance(x, Tensor):
                raise Rejected(
                    "no tensor",
                    f"`kernels.{kernel}` wants a tensor for {name} and got {_short(x)}.",
                )
            if tuple(x.shape) != self.shapes[name]:
                raise Rejected(
                    "shape for a kernel",
                    f"`kernels.{kernel}` wants {name} with shape {self.shapes[name]} and got "
                    f"{tuple(x.shape)}.",
                )
            if not x.is_contiguous():
                self.crooked.append((kernel, name, x.stride()))
            if x.dtype != torch.float64:
                got = str(x.dtype).removeprefix("torch.")
                raise Rejected(
                    "converted",
                    f"`kernels.{kernel}` gets {name} in {got}, and apply was called with float64. "
                    "Something was converted on the way. What the kernels get keeps its dtype.",
                )
        if isinstance(scale, Tensor) or not isinstance(scale, (int, float)):
            raise Rejected(
                "no scale", f"`kernels.{kernel}` wants a number for scale and got {_short(scale)}."
            )


def masked_logits(q: Tensor, k1: Tensor, k2: Tensor, scale: float) -> Tensor:
    """Hidden outside i - w1 < j <= i and i - w2 < k <= i."""
    s = q.shape[2]
    w1, w2 = windows(s)
    past = torch.ones(s, s, dtype=torch.bool).tril()
    visible = past.triu(1 - w1)[:, :, None] & past.triu(1 - w2)[:, None]
    logits = scale * torch.einsum("bhid,bhjd,bhkd->bhijk", q, k1, k2)
    return logits.masked_fill(~visible, float("-inf"))


def _again(
    dout: Tensor,
    q: Tensor,
    k1: Tensor,
    k2: Tensor,
    v1: Tensor,
    v2: Tensor,
    lse: Tensor,
    delta: Tensor,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """Probabilities, and scale times the gradient of the logits."""
    probs = (masked_logits(q, k1, k2, scale) - lse[..., None, None]).exp()
    dprobs = torch.einsum("bhid,bhjd,bhkd->bhijk", dout, v1, v2)
    return probs, scale * probs * (dprobs - delta[..., None, None])


def _short(x: Any) -> str:
    if isinstance(x, Tensor):
        return f"a tensor of shape {tuple(x.shape)}"
    return "None" if x is None else f"a {type(x).__name__}"
