"""Exercise 5.7: convolved logits from shifted queries and filtered keys.

Axes: b batch, h head, i query, j key, s sequence length, d head_dim, cq and ck taps of the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from simplex_lib.checks.ch05_common import correlate, require_odd
from simplex_lib.checks.exercise import Draw, Exercise, Rejected, Right, Wrong

PRODUCTS = frozenset(
    "mul mul_ multiply __mul__ __rmul__ __imul__ matmul __matmul__ __rmatmul__ mm bmm einsum "
    "tensordot conv1d conv2d conv3d inner".split()
)
WEIGHTED = (
    "Dot products of q and k are multiplied by taps in your answer: that convolves a map, however "
    "it is written. A dot product is linear in the key, so the taps can be applied to the keys, "
    "which are vectors, and the dot products taken afterwards."
)


class Traced(Tensor):
    """Knows which of q, k and the kernel its numbers come from."""

    sources: frozenset[str]
    weighted: list[str]

    @classmethod
    def of(cls, x: Tensor, name: str, weighted: list[str]) -> Traced:
        made = x.as_subclass(cls)
        made.sources, made.weighted = frozenset([name]), weighted
        return made

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = super().__torch_function__(func, types, args, kwargs or {})
        parts = [x for x in _tensors((*args, *(kwargs or {}).values())) if hasattr(x, "sources")]
        if not parts:
            return found
        name = getattr(func, "__name__", "")
        sources = [x.sources for x in parts]
        if name in PRODUCTS and _weighs_a_map(sources):
            parts[0].weighted.append(name)
        changed = args[0] if name == "__setitem__" else found
        for x in _tensors((changed,)):
            x.sources, x.weighted = frozenset().union(*sources), parts[0].weighted
        return found


def _weighs_a_map(sources: list[frozenset[str]]) -> bool:
    """Factor by factor, as they stand: an einsum may have more than two."""
    made = sources[0]
    for factor in sources[1:]:
        if any({"q", "k"} <= x and y == {"kernel"} for x, y in ((made, factor), (factor, made))):
            return True
        made = made | factor
    return False


def _tensors(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def filtered_inputs(draw: Draw, *, b: int, h: int, s: int, d: int, cq: int, ck: int) -> Any:
    require_odd(ck)
    return dict(q=draw.normal(b, h, s, d), k=draw.normal(b, h, s, d), kernel=draw.normal(h, cq, ck))


def ask_filtered(answer: Any, arguments: Mapping[str, Any]) -> Any:
    weighted: list[str] = []
    found = answer(*(Traced.of(x, name, weighted) for name, x in arguments.items()))
    if weighted:
        raise Rejected("map convolved", WEIGHTED)
    return found.as_subclass(Tensor) if isinstance(found, Traced) else found


def truth_filtered(q: Tensor, k: Tensor, kernel: Tensor) -> Tensor:
    """Tap by tap: all s * s entries, with nothing hidden."""
    (b, h, s, _), (rows, columns) = q.shape, kernel.shape[1:]
    new = torch.zeros(b, h, s, s, dtype=torch.float64)
    for n, m in torch.cartesian_prod(torch.arange(b), torch.arange(h)).tolist():
        dots = [[float(x @ y) for y in k[n, m]] for x in q[n, m]]
        taps = kernel[m].tolist()
        for i in range(s):
            for j in range(s):
                new[n, m, i, j] = sum(
                    taps[rows - 1 - back][columns // 2 + beside] * dots[i - back][j + beside]
                    for back in range(min(rows, i + 1))
                    for beside in range(-(columns // 2), columns // 2 + 1)
                    if 0 <= j + beside < s
                )
    return new


def moved(x: Tensor, by: int, mode: str = "zeros") -> Tensor:
    """x[p + by] at position p; outside zeros, the other end, or the nearest edge."""
    s = x.shape[2]
    at = torch.arange(s) + by
    inside = ((at >= 0) & (at < s))[:, None]
    found = x[:, :, at % s if mode == "round" else at.clamp(0, s - 1)]
    return found * inside if mode == "zeros" else found


Place = Callable[[int, int], int]  # row or column, how many there are -> how far it reads


def back(row: int, rows: int) -> int:
    return row - rows + 1


def beside(column: int, columns: int) -> int:
    return column - columns // 2


def sums(
    query: Place = back,
    key: Place = beside,
    *,
    queries: str = "zeros",
    keys: str = "zeros",
    kernel: Callable[[Tensor], Tensor] = lambda kernel: kernel,
    then: Callable[[Tensor], Tensor] = lambda new: new,
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """A sum over rows of shifted queries times filtered keys, with one thing changed at a time."""

    def answer(q: Tensor, k: Tensor, taps: Tensor) -> Tensor:
        taps = kernel(taps)
        _, rows, columns = taps.shape
        new = torch.zeros_like(q @ k.mT)
        for row in range(rows):
            filtered = torch.zeros_like(k)
            for column in range(columns):
                weight = taps[:, row, column, None, None]
                filtered = filtered + weight * moved(k, key(column, columns), keys)
            new = new + moved(q, query(row, rows), queries) @ filtered.mT
        return then(new)

    return answer


def wrong_map(q: Tensor, k: Tensor, kernel: Tensor) -> Tensor:
    return correlate(q @ k.mT, kernel)


def wrong_keys_shifted(q: Tensor, k: Tensor, kernel: Tensor) -> Tensor:
    """The rows of the kernel move the filtered key, and the query stays."""
    new = torch.zeros_like(q @ k.mT)
    _, rows, columns = kernel.shape
    for row in range(rows):
        for column in range(columns):
            key = moved(k, back(row, rows) + beside(column, columns))
            new = new + q @ (kernel[:, row, column, None, None] * key).mT
    return new


def wrong_filtered_shifted(q: Tensor, k: Tensor, kernel: Tensor) -> Tensor:
    """Keys are filtered first, and the filtered ones go back; zeros come in before the first."""
    new = torch.zeros_like(q @ k.mT)
    _, rows, columns = kernel.shape
    for row in range(rows):
        filtered = torch.zeros_like(k)
        for column in range(columns):
            weight = kernel[:, row, column, None, None]
            filtered = filtered + weight * moved(k, beside(column, columns))
        new = new + q @ moved(filtered, back(row, rows)).mT
    return new


def wrong_sums_first(q: Tensor, k: Tensor, kernel: Tensor) -> Tensor:
    """All shifted queries added, all filtered keys added, and one product of the two."""
    _, rows, columns = kernel.shape
    queries, keys = torch.zeros_like(q), torch.zeros_like(k)
    for row in range(rows):
        queries = queries + moved(q, back(row, rows))
        for column in range(columns):
            weight = kernel[:, row, column, None, None]
            keys = keys + weight * moved(k, beside(column, columns))
    return queries @ keys.mT


def right_filtered_queries(q: Tensor, k: Tensor, kernel: Tensor) -> Tensor:
    """One filtered query a column of the kernel, and shifted keys."""
    _, rows, columns = kernel.shape
    new = torch.zeros_like(q @ k.mT)
    for column in range(columns):
        filtered = torch.zeros_like(q)
        for row in range(rows):
            filtered = filtered + kernel[:, row, column, None, None] * moved(q, back(row, rows))
        new = new + filtered @ moved(k, beside(column, columns)).mT
    return new


def right_one_product(q: Tensor, k: Tensor, kernel: Tensor) -> Tensor:
    """Features of width c_q d, and one matrix product; keys filtered by a conv2d over (s, d)."""
    h, rows, columns = kernel.shape
    keys = pad(k, (0, 0, columns // 2, columns // 2))
    filtered = conv2d(keys, kernel.flatten(0, 1)[:, None, :, None], groups=h)
    filtered = filtered.unflatten(1, (h, rows)).transpose(2, 3).flatten(3)
    wide = pad(q, (0, 0, rows - 1, 0))
    shifted = torch.cat([wide[:, :, row : row + q.shape[2]] for row in range(rows)], -1)
    return shifted @ filtered.mT


FILTERED = Exercise(
    id="5.7",
    title="The convolution as dot products",
    minutes=15,
    inputs=filtered_inputs,
    sizes=(
        dict(b=1, h=1, s=1, d=1, cq=1, ck=1),
        dict(b=1, h=1, s=3, d=2, cq=2, ck=3),
        dict(b=1, h=2, s=5, d=3, cq=1, ck=3),
        dict(b=1, h=2, s=6, d=3, cq=3, ck=1),
        dict(b=2, h=1, s=3, d=4, cq=5, ck=9),
        dict(b=2, h=3, s=8, d=6, cq=4, ck=5),
    ),
    truth=truth_filtered,
    outputs=("logits: b h i j",),
    wrong=(
        Wrong("map convolved", wrong_map, WEIGHTED),
        Wrong(
            "kernel turned round",
            sums(kernel=lambda kernel: kernel.flip(1, 2)),
            "Your kernel is flipped in both axes: its last row belongs to query i, and the column "
            "on the left of the middle to key j − 1.",
        ),
        Wrong(
            "rows upside down",
            sums(kernel=lambda kernel: kernel.flip(1)),
            "Your rows are upside down: the last row of the kernel filters the keys that query i "
            "meets, the first row those that query i − c_q + 1 meets.",
        ),
        Wrong(
            "taps flipped",
            sums(kernel=lambda kernel: kernel.flip(2)),
            "Your keys are filtered with the taps from right to left: the column on the left of "
            "the middle weighs key j + 1, and should weigh key j − 1.",
        ),
        Wrong(
            "later queries",
            sums(query=lambda row, rows: rows - 1 - row),
            "Your queries are shifted the wrong way: at position i stands query i + a, a later "
            "one, where query i − a should stand.",
        ),
        Wrong(
            "queries on both sides",
            sums(query=lambda row, rows: row - (rows - 1) // 2),
            "Your queries are shifted both ways, as by a kernel with its middle on query i. The "
            "last row of the kernel belongs to query i, and the rows above it to earlier ones.",
        ),
        Wrong(
            "keys on the left",
            sums(key=lambda column, columns: column - columns + 1),
            "Your filter reads key j and the keys before it only. Its middle tap belongs to key j.",
        ),
        Wrong(
            "keys on the right",
            sums(key=lambda column, columns: column),
            "Your filter reads key j and the keys after it only. Its middle tap belongs to key j.",
        ),
        Wrong(
            "queries wrapped round",
            sums(queries="round"),
            "Queries before the first come in from the end, as with roll: the last queries stand "
            "at the first positions. There are zeros there.",
        ),
        Wrong(
            "keys wrapped round",
            sums(keys="round"),
            "Keys outside the sequence come in from its other end, as with roll. There are zeros "
            "there.",
        ),
        Wrong(
            "both wrapped round",
            sums(queries="round", keys="round"),
            "Queries and keys outside the sequence come in from its other end, as with roll. There "
            "are zeros there.",
        ),
        Wrong(
            "edges repeated",
            sums(queries="edge", keys="edge"),
            "Outside the sequence you read the query or key at its edge once more. There are "
            "zeros there.",
        ),
        Wrong(
            "only query i",
            sums(kernel=lambda kernel: kernel[:, -1:]),
            "Only the last row of the kernel is used: earlier queries change nothing.",
        ),
        Wrong(
            "only key j",
            sums(kernel=lambda x: x[..., x.shape[2] // 2, None]),
            "Only the middle column of the kernel is used: the neighbours of key j change nothing.",
        ),
        Wrong(
            "not filtered",
            sums(kernel=lambda kernel: torch.ones_like(kernel[:, :1, :1])),
            "These are the plain dot products of q and k: the kernel changes nothing.",
        ),
        Wrong(
            "one kernel",
            sums(kernel=lambda kernel: kernel[:1].expand_as(kernel)),
            "Every head got the kernel of head 0. Each head has a kernel of its own.",
        ),
        Wrong(
            "kernels summed",
            sums(kernel=lambda kernel: kernel.sum(0, keepdim=True).expand_as(kernel)),
            "Every head got the sum of all kernels. Each head has a kernel of its own.",
        ),
        Wrong(
            "keys shifted",
            wrong_keys_shifted,
            "The rows of your kernel shift the filtered keys and leave the query in its place. Row "
            "by row, the query is the one that goes back.",
        ),
        Wrong(
            "filtered keys shifted",
            wrong_filtered_shifted,
            "Your filtered keys go back, row by row, with zeros before the first, and the query "
            "stays in its place. The query is the one that goes back.",
        ),
        Wrong(
            "sums first",
            wrong_sums_first,
            "You added up the shifted queries, added up the filtered keys, and took one dot "
            "product of the two sums: every shifted query then meets every filter. Each meets "
            "the filter of its own row.",
        ),
        Wrong(
            "averaged",
            lambda q, k, kernel: sums()(q, k, kernel) / kernel.shape[1],
            "The sum over the rows is divided by their number. It is a plain sum.",
        ),
        Wrong(
            "scaled",
            lambda q, k, kernel: sums()(q, k, kernel) * q.shape[-1] ** -0.5,
            "The dot products are divided by the square root of d. They are asked as they are.",
        ),
        Wrong(
            "0 in the future",
            sums(then=torch.tril),
            "Entries above the diagonal were put to 0. All entries are asked, unmasked.",
        ),
        Wrong(
            "-inf in the future",
            sums(then=lambda new: new + torch.full_like(new, -torch.inf).triu(1)),
            "Entries above the diagonal are −inf. All entries are asked, unmasked.",
        ),
    ),
    right=(
        Right("filtered keys", sums()),
        Right("filtered queries", right_filtered_queries),
        Right("one product", right_one_product),
    ),
    hints=(
        "2 (q · x) + 3 (q · y) = q · (2 x + 3 y). Which vectors are x and y for one row of the "
        "kernel?",
        "Each row of the kernel gives one filtered key at every position, and meets one query: the "
        "last row query i, the row above it query i − 1. Pad before you slice; roll would bring "
        "in the other end.",
        "for each row r of the kernel, a = c_q − 1 − r: f[j] = sum over t of kernel[r, t] * "
        "k[j + t − c_k // 2], with zeros outside; u[i] = q[i − a], with zeros before 0; "
        "new += u fᵀ.",
    ),
    why="A map convolved with c_q rows is c_q ordinary dot products, so a matrix of rank c_q · d "
    "at most, and flash attention could compute it without holding it: features of width c_q · d. "
    "Near the diagonal Eq. 5 drops the taps that read later keys, and this sum keeps them: it is "
    "exact from i − j = c_q − 1 + c_k // 2 on.",
    another_way="filter the queries, once a column of the kernel, and shift the keys: rank "
    "c_k · d, the better choice where c_k is smaller than c_q.",
    ask=ask_filtered,
    smallest=dict(s=2),
)
