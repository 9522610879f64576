"""Argument checks that all ops share: which argument, what it must be, what it got.

Start at `check_inputs`: one call gives an operation its sizes and refuses tensors it cannot use.
TypeError: the wrong kind of thing (not a tensor, a dtype, a bool for a window). ValueError: the
right kind with a wrong value (a shape, a device, NaN, a window below 1).
"""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_inputs(**arguments: tuple[Tensor, str]) -> dict[str, int]:
    """All checks of an operation's tensors, as in check_inputs(q=(q, "b h s d")).

    Shapes agree, no axis is empty, dtypes and devices are one, every number is finite.

    >>> check_inputs(q=(torch.ones(1, 2, 5, 4), "b h s d"), k=(torch.ones(1, 2, 5, 4), "b g s d"))
    {'b': 1, 'h': 2, 's': 5, 'd': 4, 'g': 2}
    """
    sizes = bind_axes(**arguments)
    tensors = {name: tensor for name, (tensor, _) in arguments.items()}
    require_alike(**tensors)
    require_finite(**tensors)
    return sizes


def bind_axes(**arguments: tuple[Tensor, str]) -> dict[str, int]:
    """Match tensors to their axes, as in bind_axes(q=(q, "b h s d")); return the sizes."""
    sizes: dict[str, int] = {}
    seen_in: dict[str, str] = {}
    for name, (tensor, axes) in arguments.items():
        require_tensor(**{name: tensor})
        wanted, shape = f"{name} must be ({', '.join(axes.split())})", tuple(tensor.shape)
        if tensor.ndim != len(axes.split()):
            raise ValueError(f"{wanted}; got {shape}.")
        for axis, size in zip(axes.split(), shape, strict=True):
            if size == 0:
                raise ValueError(f"{wanted} with {axis} at least 1; got {shape}.")
            if sizes.setdefault(axis, size) != size:
                raise ValueError(
                    f"{wanted} with {axis} = {sizes[axis]} as in {seen_in[axis]}; got {shape}."
                )
            seen_in.setdefault(axis, name)
    return sizes


def require_tensor(**arguments: Any) -> None:
    for name, value in arguments.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor; got {kind(value)}.")


def require_alike(**tensors: Tensor) -> None:
    """One floating dtype and one device for all; the first tensor sets them."""
    first, model = next(iter(tensors.items()))
    for name, x in tensors.items():
        if x.dtype not in DTYPES:
            wanted = "float16, bfloat16, float32 or float64"
            raise TypeError(f"{name} must be {wanted}; got {plain(x.dtype)}.")
        if x.dtype != model.dtype:
            wanted = f"{plain(model.dtype)} as {first} is"
            raise TypeError(f"{name} must be {wanted}; got {plain(x.dtype)}.")
    require_same_device(**tensors)


def require_same_device(**tensors: Tensor) -> None:
    first, model = next(iter(tensors.items()))
    for name, x in tensors.items():
        if x.device != model.device:
            raise ValueError(f"{name} must be on {model.device} as {first} is; got {x.device}.")


def require_finite(**tensors: Tensor) -> None:
    """No NaN and no infinity; a meta tensor has no numbers and passes.

    It reads the numbers, one pass over each tensor: a GPU is waited for, and vmap cannot go
    through. While torch.compile traces or a CUDA graph is captured there are none to read.
    """
    if torch.compiler.is_compiling():
        return
    for name, x in tensors.items():
        if x.is_cuda and torch.cuda.is_current_stream_capturing():
            continue
        if x.is_meta:
            continue
        finite = x.detach().isfinite()
        if not finite.all():
            where = tuple(finite.logical_not().nonzero()[0].tolist())
            raise ValueError(f"{name} must be finite; got {x[where].item()} at {where}.")


def require_groups(*, n_heads: int, n_kv_heads: int, tensor: str | None = None) -> int:
    """How many query heads share one key head; tensor names where n_kv_heads was read."""
    require_int(n_heads=n_heads, n_kv_heads=n_kv_heads)
    require_count(n_heads=n_heads)
    if n_kv_heads < 1 or n_heads % n_kv_heads:
        found = f"{n_kv_heads}, the axis g of {tensor}" if tensor else n_kv_heads
        raise ValueError(f"n_kv_heads must divide n_heads = {n_heads}; got {found}.")
    return n_heads // n_kv_heads


def require_window(**windows: int | None) -> None:
    for name, w in windows.items():
        if w is None:
            continue
        if isinstance(w, bool) or not isinstance(w, Integral):
            raise TypeError(f"{name} must be an int or None; got {kind(w)}.")
        if w < 1:
            raise ValueError(
                f"{name} counts the query's own position, so it is at least 1; got {w}."
            )


def require_int(**numbers: int) -> None:
    for name, n in numbers.items():
        if isinstance(n, bool) or not isinstance(n, Integral):
            raise TypeError(f"{name} must be an int; got {kind(n)}.")


def require_count(**counts: int) -> None:
    require_int(**counts)
    for name, n in counts.items():
        if n < 1:
            raise ValueError(f"{name} must be at least 1; got {n}.")


def require_scale(scale: float | None) -> None:
    if scale is None:
        return
    if isinstance(scale, bool) or not isinstance(scale, Real):
        raise TypeError(f"scale must be a number or None; got {kind(scale)}.")
    if not math.isfinite(scale):
        raise ValueError(f"scale must be finite; got {scale}.")


def require_flag(**flags: bool) -> None:
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            raise TypeError(f"{name} must be True or False; got {kind(flag)}.")


def require_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}.")


def plain(dtype: torch.dtype) -> str:
    """float32, not torch.float32."""
    return str(dtype).removeprefix("torch.")


def kind(value: object) -> str:
    """How a message calls a value of the wrong type: None, True, 'int 3', 'numpy.ndarray'."""
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, int | float | complex | str):
        return f"{type(value).__name__} {value!r}"
    module = type(value).__module__
    name = type(value).__qualname__
    return name if module == "builtins" else f"{module}.{name}"
