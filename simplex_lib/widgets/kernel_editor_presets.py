"""Kernels to start from, and how one that is typed or resized is read.

Read from the top: `read_kernel` takes a kernel, `PRESETS` makes one of any size.
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from simplex_lib.attention.multi_token import constant_kernel, identity_kernel
from simplex_lib.errors import kind, require_choice
from simplex_lib.widgets.kit import require_index, require_number, signed

TALLEST, WIDEST = 6, 11  # taps over queries and keys: the paper's kernel of its language models
FAR = 9.0  # the largest tap

Taps = tuple[tuple[float, ...], ...]


def read_kernel(kernel: Any, head: int = 0) -> Taps:
    """(c_q, c_k), or that of one head of (h, c_q, c_k), as nested tuples of numbers."""
    if isinstance(kernel, Tensor):
        if kernel.ndim == 3:
            require_index(len(kernel), "a head of the kernel", head=head)
            kernel = kernel[head]
        kernel = kernel.detach().cpu().tolist()
    if not _is_rows(kernel) or not all(_is_rows(row) for row in kernel):
        raise ValueError(f"kernel must be rows of taps, (c_q, c_k); got {kind(kernel)}.")
    c_q, widths = len(kernel), {len(row) for row in kernel}
    if len(widths) != 1 or not 1 <= c_q <= TALLEST or not 1 <= max(widths) <= WIDEST:
        shape = f"{c_q} rows of {' or '.join(map(str, sorted(widths)))}"
        raise ValueError(
            f"kernel must have 1 to {TALLEST} rows of 1 to {WIDEST} taps each; got {shape}."
        )
    require_sizes(c_q, *widths)
    for row in kernel:
        for tap in row:
            require_number(-FAR, FAR, **{"a tap": tap})
    return tuple(tuple(float(tap) for tap in row) for row in kernel)


def require_sizes(c_q: int, c_k: int) -> None:
    require_index(TALLEST + 1, "queries that a kernel covers", c_q=c_q)
    require_index(WIDEST + 1, "keys that a kernel covers", c_k=c_k)
    if c_q < 1 or c_k % 2 == 0:
        raise ValueError(
            "c_q must be 1 at least and c_k odd, so that one tap is (query i, key j) itself; "
            f"got c_q = {c_q}, c_k = {c_k}."
        )


def _is_rows(found: Any) -> bool:
    return isinstance(found, Sequence) and not isinstance(found, str) and len(found) > 0


def _rows(kernel: Tensor) -> Taps:
    return tuple(tuple(row) for row in kernel.double().tolist())


def _diagonal(c_q: int, c_k: int) -> Taps:
    """Query i - a with key j - a: an order of words meets the same order."""
    return tuple(
        tuple(float(column - c_k // 2 == row - (c_q - 1)) for column in range(c_k))
        for row in range(c_q)
    )


def _back(c_q: int, c_k: int) -> Taps:
    """What earlier queries found at the same key."""
    return tuple(tuple(float(column == c_k // 2) for column in range(c_k)) for _ in range(c_q))


def _edge(c_q: int, c_k: int) -> Taps:
    """A logit less the one at the key before, or, with one key, at the query before."""
    rows = [[0.0] * c_k for _ in range(c_q)]
    rows[-1][c_k // 2] = 1.0
    if c_k > 1:
        rows[-1][c_k // 2 - 1] = -1.0
    elif c_q > 1:
        rows[-2][0] = -1.0
    return tuple(tuple(row) for row in rows)


def _ends(c_q: int, c_k: int) -> Taps:
    """The first and the last query of the window, each at any key of it."""
    return tuple(tuple(float(row in (0, c_q - 1)) for _ in range(c_k)) for row in range(c_q))


PRESETS: dict[str, Callable[[int, int], Taps]] = {
    "two words": _ends,
    "identity": lambda c_q, c_k: _rows(identity_kernel(1, c_q=c_q, c_k=c_k)[0]),
    "constant": lambda c_q, c_k: _rows(constant_kernel(1, c_q=c_q, c_k=c_k).double()[0]),
    "diagonal": _diagonal,
    "look back": _back,
    "edge": _edge,
}


def preset(which: str, c_q: int, c_k: int) -> Taps:
    require_choice("kernel", which, tuple(PRESETS))
    require_sizes(c_q, c_k)
    return PRESETS[which](c_q, c_k)


def preset_of(kernel: Taps) -> str:
    """The first preset that is this kernel; "" if none is."""
    size = len(kernel), len(kernel[0])
    return next((which for which, make in PRESETS.items() if make(*size) == kernel), "")


def resized(kernel: Taps, c_q: int, c_k: int) -> Taps:
    """The same preset in another size; of other kernels what is left round (query i, key j)."""
    if which := preset_of(kernel):
        return preset(which, c_q, c_k)
    old_q, old_k = len(kernel), len(kernel[0])

    def tap(row: int, column: int) -> float:
        r, c = row - c_q + old_q, column - c_k // 2 + old_k // 2
        return kernel[r][c] if 0 <= r < old_q and 0 <= c < old_k else 0.0

    return tuple(tuple(tap(row, column) for column in range(c_k)) for row in range(c_q))


def with_tap(kernel: Taps, row: int, column: int, tap: Any) -> Taps:
    """The kernel with one other tap, which `read_kernel` judges."""
    rows = [list(taps) for taps in kernel]
    rows[row][column] = tap
    return tuple(tuple(taps) for taps in rows)


def tap_name(kernel: Taps, row: int, column: int) -> str:
    """Where a tap reads: (i−1, j+2)."""
    back, off = len(kernel) - 1 - row, column - len(kernel[0]) // 2
    return f"({'i' if not back else f'i−{back}'}, {key_shift(off)})"


def key_shift(off: int) -> str:
    return "j" if not off else f"j{signed(off, 0) if off < 0 else f'+{off}'}"
