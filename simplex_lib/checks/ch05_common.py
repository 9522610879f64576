"""What the exercises with a key-query convolution share: the sum by loops, and its mistakes.

A kernel (h, c_q, c_k) lies as on the page: last row query i, middle column key j.
Axes: b batch, h head, i query, j key, s sequence length, c_q and c_k taps (cq, ck in the sizes).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from simplex_lib.checks.exercise import Wrong

Convolve = Callable[[Tensor, Tensor], Tensor]  # maps, kernel -> maps


class Word(int):
    """Among the sizes of a case it reads as a word; a size must be a number.

    The numbers are such that no factor between two answers can be taken for one of them.
    """

    word: str

    def __new__(cls, number: int, word: str) -> Word:
        made = super().__new__(cls, 10_007 + number)
        made.word = word
        return made

    def __str__(self) -> str:
        return self.word


def require_words(*words: int, sizes: tuple[int, ...]) -> None:
    """No case is tried with a number in the place of a word, or the other way round."""
    if not all(isinstance(x, Word) for x in words) or any(isinstance(x, Word) for x in sizes):
        raise ValueError("words and numbers have changed places.")


def past(s: int) -> Tensor:
    return torch.ones(s, s, dtype=torch.bool).tril()


def require_odd(ck: int) -> None:
    """For the sizes of a case, which shrinking tries one by one."""
    if ck % 2 == 0:
        raise ValueError(f"ck must be odd; got {ck}.")


def truth_convolved(maps: Tensor, kernel: Tensor) -> Tensor:
    """Entries with j > i count as 0, and so does what lies outside; all s * s new entries."""
    h, rows, columns = kernel.shape
    out = torch.zeros_like(maps)
    for n, m in torch.cartesian_prod(torch.arange(len(maps)), torch.arange(h)).tolist():
        old, taps = maps[n, m].tolist(), kernel[m].tolist()
        for i in range(len(old)):
            for j in range(len(old)):
                out[n, m, i, j] = sum(
                    taps[rows - 1 - a][columns // 2 + b] * old[i - a][j + b]
                    for a in range(min(rows, i + 1))
                    for b in range(-(columns // 2), columns // 2 + 1)
                    if 0 <= j + b <= i - a
                )
    return out


def correlate(
    maps: Tensor, kernel: Tensor, *, down: int = 0, right: int = 0, mode: str = "constant"
) -> Tensor:
    """The right sum over all that stands in maps, or one that reads so many entries further."""
    _, rows, columns = kernel.shape
    above, left = rows - 1 - down, columns // 2 - right
    padded = pad(maps, (left, columns - 1 - left, above, rows - 1 - above), mode=mode)
    return conv2d(padded, kernel[:, None], groups=len(kernel))


def by_taps(maps: Tensor, kernel: Tensor) -> Tensor:
    """One tap at a time: a slice of the map, padded on one side of each axis."""
    _, rows, columns = kernel.shape
    s, middle = maps.shape[-1], columns // 2
    wide = pad(maps, (middle, middle, rows - 1, 0))
    new = torch.zeros_like(maps)
    for row in range(rows):
        for column in range(columns):
            part = wide[:, :, row : row + s, column : column + s]
            new = new + kernel[:, row, column, None, None] * part
    return new


def by_windows(maps: Tensor, kernel: Tensor) -> Tensor:
    _, rows, columns = kernel.shape
    wide = pad(maps, (columns // 2, columns // 2, rows - 1, 0))
    windows = wide.unfold(2, rows, 1).unfold(3, columns, 1)
    return torch.einsum("bhijxy,hxy->bhij", windows, kernel)


def wrapped(maps: Tensor, kernel: Tensor) -> Tensor:
    """Taps outside the map come back in at the other end."""
    _, rows, columns = kernel.shape
    new = torch.zeros_like(maps)
    for row in range(rows):
        for column in range(columns):
            part = maps.roll((rows - 1 - row, columns // 2 - column), (2, 3))
            new = new + kernel[:, row, column, None, None] * part
    return new


def edges_repeated(maps: Tensor, kernel: Tensor) -> Tensor:
    return correlate(maps, kernel, mode="replicate")


def both_sides(maps: Tensor, kernel: Tensor) -> Tensor:
    """What padding="same" does to the query axis."""
    return correlate(maps, kernel, down=kernel.shape[1] // 2)


def both_sides_cut(maps: Tensor, kernel: Tensor) -> Tensor:
    """c_q // 2 zeros on both sides, and the rows that are too many cut off at the end."""
    rows = kernel.shape[1]
    return correlate(maps, kernel, down=rows - 1 - rows // 2)


def later_queries(maps: Tensor, kernel: Tensor) -> Tensor:
    return correlate(maps, kernel, down=kernel.shape[1] - 1)


def keys_on_the_left(maps: Tensor, kernel: Tensor) -> Tensor:
    return correlate(maps, kernel, right=-(kernel.shape[2] // 2))


def keys_on_the_right(maps: Tensor, kernel: Tensor) -> Tensor:
    return correlate(maps, kernel, right=kernel.shape[2] // 2)


def flipped(*dims: int) -> Convolve:
    return lambda maps, kernel: correlate(maps, kernel.flip(dims))


def axes_swapped(maps: Tensor, kernel: Tensor) -> Tensor:
    """Rows of the kernel taken for keys: the past of the keys, queries on both sides."""
    turned = maps.transpose(-1, -2)
    return correlate(turned, kernel).transpose(-1, -2)


def heads_together(change: Callable[[Tensor], Tensor]) -> Convolve:
    """One kernel, made of those of all heads, for every head."""
    return lambda maps, kernel: correlate(maps, change(kernel).expand_as(kernel))


def all_heads_read(maps: Tensor, kernel: Tensor) -> Tensor:
    """A convolution without groups: the kernel of a new head reads every old head."""
    return correlate(maps.sum(1, keepdim=True).expand_as(maps), kernel)


def added(maps: Tensor, kernel: Tensor) -> Tensor:
    return maps + correlate(maps, kernel)


def averaged(maps: Tensor, kernel: Tensor) -> Tensor:
    return correlate(maps, kernel) / kernel[0].numel()


def only_this_query(maps: Tensor, kernel: Tensor) -> Tensor:
    return correlate(maps, kernel[:, -1:])


def only_this_key(maps: Tensor, kernel: Tensor) -> Tensor:
    middle = kernel.shape[2] // 2
    return correlate(maps, kernel[..., middle : middle + 1])


def convolution_mistakes(answer: Callable[[Convolve], Callable[..., Tensor]]) -> tuple[Wrong, ...]:
    """What goes wrong in the sum itself, with everything round it right."""
    return tuple(Wrong(name, answer(convolve), says) for name, convolve, says in MISTAKES)


MISTAKES: tuple[tuple[str, Convolve, str], ...] = (
    (
        "queries on both sides",
        both_sides,
        "The query axis is padded on both sides, as for a picture: your kernel reads rows of later "
        "queries too. All c_q − 1 rows of padding belong before query 0, none behind the last.",
    ),
    (
        "queries on both sides, cut",
        both_sides_cut,
        "The query axis is padded by c_q // 2 on both sides. Your kernel then reads rows of later "
        "queries too, as soon as it has three rows; c_q − 1 rows belong before query 0.",
    ),
    (
        "later queries",
        later_queries,
        "Your kernel reads query i and the ones after it: the query axis is padded behind the last "
        "query, and the padding belongs before the first.",
    ),
    (
        "keys on the left",
        keys_on_the_left,
        "Your kernel reads key j and the keys before it only. The key axis is padded on both sides "
        "by the same number: the middle column belongs to key j.",
    ),
    (
        "keys on the right",
        keys_on_the_right,
        "Your kernel reads key j and the keys after it only. The key axis is padded on both sides "
        "by the same number: the middle column belongs to key j.",
    ),
    (
        "kernel turned round",
        flipped(1, 2),
        "Your kernel is flipped in both axes: that is a convolution as mathematicians write it. "
        "Here the kernel lies on the map as it is, last row on query i, which is called "
        "cross-correlation, and is what torch's conv2d computes.",
    ),
    (
        "queries flipped",
        flipped(1),
        "Your kernel is upside down: its first row weighs query i, and the last one should.",
    ),
    (
        "keys flipped",
        flipped(2),
        "Your kernel is flipped from left to right: the column on the left of the middle weighs "
        "key j + 1, and should weigh key j − 1.",
    ),
    (
        "axes swapped",
        axes_swapped,
        "The axes of queries and keys have changed places under your kernel: its rows (c_q) belong "
        "to queries, its columns (c_k) to keys.",
    ),
    (
        "one kernel",
        heads_together(lambda kernel: kernel[:1]),
        "Every head got the kernel of head 0. Each head has a kernel of its own.",
    ),
    (
        "kernels summed",
        heads_together(lambda kernel: kernel.sum(0, keepdim=True)),
        "Every head got the sum of all kernels. Each head has a kernel of its own.",
    ),
    (
        "kernels averaged",
        heads_together(lambda kernel: kernel.mean(0, keepdim=True)),
        "Every head got the mean of all kernels. Each head has a kernel of its own.",
    ),
    (
        "all heads read",
        all_heads_read,
        "Each of your new heads adds up what its kernel finds in every old head. A head's kernel "
        "reads that head alone: a depthwise convolution, with as many groups as heads.",
    ),
    (
        "wrapped round",
        wrapped,
        "Taps that lie outside the map come back in at its other end, as with roll. Outside the "
        "map everything is 0.",
    ),
    (
        "edges repeated",
        edges_repeated,
        "Outside the map you read the entry at its edge once more. Outside the map everything "
        "is 0.",
    ),
    (
        "map added",
        added,
        "The map itself is added to the convolved one. If entry (i, j) is to be kept, the kernel's "
        "own tap there does it.",
    ),
    (
        "averaged",
        averaged,
        "The sum is divided by the number of taps. It is a plain weighted sum.",
    ),
    (
        "only query i",
        only_this_query,
        "Only the last row of the kernel is used: the rows above it, which weigh earlier queries, "
        "change nothing in your numbers.",
    ),
    (
        "only key j",
        only_this_key,
        "Only the middle column of the kernel is used: the columns beside it, which weigh the "
        "neighbours of key j, change nothing in your numbers.",
    ),
)
