"""Answers to exercise 5.2, wrong and right; the exercise is in `ch05_test.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

LEAK = 1e-5  # a move that is no rounding


def tokens(*sizes: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    return [torch.randn(*sizes, dtype=dtype) for _ in range(3)]


def changed(inputs: list[Tensor], cut: int, names: str = "qkv") -> list[Tensor]:
    """Other numbers from position cut on, in the tensors that are named."""
    return [
        torch.cat([x[:, :, :cut], torch.randn_like(x[:, :, cut:])], 2) if n in names else x
        for n, x in zip("qkv", inputs, strict=True)
    ]


def written(
    *,
    sizes: tuple[int, int, int, int] = (2, 3, 8, 4),
    cuts: Callable[[int], Any] = lambda s: range(1, s),
    names: str = "qkv",
    limit: float = LEAK,
    values: float = 1.0,
    dtype: torch.dtype = torch.float64,
    change: Callable[[list[Tensor], int, str], list[Tensor]] = changed,
    look: Callable[[Tensor, int], Tensor] = lambda moved, cut: moved[:, :, :cut],
    invert: bool = False,
) -> Callable[[Any], bool]:
    """A test with one thing changed at a time."""

    def test(attention: Any) -> bool:
        inputs = tokens(*sizes, dtype=dtype)
        inputs[2] *= values
        before = attention(*inputs)
        for cut in cuts(sizes[2]):
            moved = attention(*change(inputs, cut, names)) - before
            part = look(moved, cut)
            if part.numel() and float(part.abs().max()) > limit:
                return not invert
        return invert

    return test


def wrong_never(attention: Any) -> bool:
    return False


def wrong_nan(attention: Any) -> bool:
    return bool(attention(*tokens(2, 3, 8, 4)).isnan().any())


def wrong_no_clone(attention: Any) -> bool:
    inputs = tokens(2, 3, 8, 4)
    later = inputs
    for x in later:
        x[:, :, 4:] = 0
    return not torch.allclose(attention(*inputs)[:, :, :4], attention(*later)[:, :, :4])


def wrong_new_tokens(attention: Any) -> bool:
    one, two = attention(*tokens(2, 3, 8, 4)), attention(*tokens(2, 3, 8, 4))
    return bool((one - two)[:, :, :4].abs().max() > LEAK)


def wrong_shapes(attention: Any) -> bool:
    one, two = attention(*tokens(2, 3, 8, 4)), attention(*tokens(2, 2, 8, 4))
    return bool((one[:, :2] - two)[:, :, :4].isnan().any())


def wrong_no_abs(attention: Any) -> bool:
    inputs = tokens(1, 2, 8, 4)
    before = attention(*inputs)
    return any(
        bool((attention(*changed(inputs, cut)) - before)[:, :, :cut].max() > LEAK)
        for cut in range(1, 8)
    )


def wrong_asserts(attention: Any) -> bool:
    assert not written()(attention), "it sees the future"
    return False


def wrong_count(attention: Any) -> int:
    return int(written()(attention))


def wrong_nothing_returned(attention: Any) -> None:
    written()(attention)


def to_nan(inputs: list[Tensor], cut: int, _: str) -> list[Tensor]:
    return [torch.cat([x[:, :, :cut], x[:, :, cut:] * torch.nan], 2) for x in inputs]


def right_truncated(attention: Any) -> bool:
    """Later tokens are not changed but cut off."""
    q, k, v = tokens(1, 2, 7, 3)
    whole = attention(q, k, v)
    short = [attention(*(x[:, :, :s] for x in (q, k, v))) for s in range(1, 7)]
    return not all(torch.allclose(x, whole[:, :, : x.shape[2]], atol=LEAK) for x in short)


def by_gradients(*names: str, positions: Callable[[int], Any]) -> Callable[[Any], bool]:
    """An output of the past has no gradient in tokens of the future."""

    def test(attention: Any) -> bool:
        inputs = tokens(1, 2, 8, 3)
        asked = [x.requires_grad_() for n, x in zip("qkv", inputs, strict=True) if n in names]
        out = attention(*inputs)
        for i in positions(8):
            row = (out[:, :, i] * torch.randn_like(out[:, :, i])).sum()
            if not row.requires_grad:
                continue
            grads = torch.autograd.grad(row, asked, retain_graph=True, allow_unused=True)
            if any(g is not None and g[:, :, i + 1 :].abs().max() > LEAK for g in grads):
                return True
        return False

    return test


def right_gradients(attention: Any) -> bool:
    return by_gradients("q", "k", "v", positions=lambda s: range(s - 1))(attention)


def right_last_token_of_each_length(attention: Any) -> bool:
    """One token at a time is changed; all positions before it have to stand still."""
    return written(change=_one_token)(attention)


def _one_token(inputs: list[Tensor], cut: int, names: str) -> list[Tensor]:
    return [x + torch.randn_like(x) * (torch.arange(x.shape[2]) == cut)[:, None] for x in inputs]


def nan_before(moved: Tensor, cut: int) -> Tensor:
    return moved[:, :, :cut].isnan().double()
