"""What attention costs, counted: operations, bytes, caches, and the useful share of a tile.

Read from the top: the two formulas of the paper and their break-even length, then exact counts of
the same, then bytes, then tiles. The widget, the exercises and the benchmarks use these functions.

Floating-point operations (FLOPs) are per unit of head_dim: times batch, query heads and head_dim
for a whole layer; one multiplication and one addition are two. They do not count the softmax.

Axes: b batch, h query head, g key head, i query, j first key, k second key, s sequence length,
d head_dim, dv width of a value.

Source: arXiv:2507.02754, section 6 (2 n^2 and 6 n w1 w2). Tiles: public code of the same authors,
pytorch/FBGEMM, fbgemm_gpu/experimental/simplicial_attention/scripts/swa_wasted_tflops.py; here
they are counted anew.
"""

from typing import Literal

from simplex_lib.errors import require_choice, require_count, require_window


def trilinear_flops(s: int, w1: int, w2: int) -> int:
    """The paper's 6 s w1 w2: three products of each pair, 2 FLOPs each, in full windows.

    The three: q with a key, that with the other key, probabilities with v1 * v2. Products that
    are shared, as v1 * v2 among query heads, are not counted.
    """
    s, w1, w2 = counts(s=s, w1=w1, w2=w2)
    return 6 * s * w1 * w2


def dot_product_flops(s: int) -> int:
    """The paper's 2 s^2: two products, 2 FLOPs each, over half of all s * s (causal)."""
    (s,) = counts(s=s)
    return 2 * s * s


def break_even_length(w1: int, w2: int) -> int:
    """The s at which 2 s^2 = 6 s w1 w2; beyond it trilinear attention in windows takes fewer.

    >>> break_even_length(512, 32)
    49152
    """
    w1, w2 = counts(w1=w1, w2=w2)
    return 3 * w1 * w2


def visible_pairs(s: int, w1: int | None, w2: int | None) -> int:
    """Pairs (j, k) that causal windows show, over all queries: sum_i min(i+1, w1) min(i+1, w2).

    >>> from simplex_lib.attention import pair_window
    >>> visible_pairs(40, 9, 4) == pair_window(40, 9, 4).sum().item()
    True
    """
    (s,) = counts(s=s)
    require_window(w1=w1, w2=w2)
    short, long = sorted(held_of(s, w) for w in (w1, w2))
    both_grow = short * (short + 1) * (2 * short + 1) // 6  # the first queries, sum of squares
    one_grows = short * (long * (long + 1) - short * (short + 1)) // 2
    return both_grow + one_grows + (s - long) * short * long


def visible_keys(s: int, w: int | None = None) -> int:
    """Keys that a causal window shows, over all queries: sum_i min(i + 1, w)."""
    return visible_pairs(s, w, 1)


def exact_trilinear_flops(
    s: int, w1: int | None, w2: int | None, *, products: Literal[2, 3] = 3
) -> int:
    """2 FLOPs for each product and visible pair, where the first queries see fewer pairs.

    products=2 leaves out q with a key, which is elementwise and no matrix product: 4 FLOPs a
    pair, as the public benchmark counts, in place of the paper's 6.
    """
    require_count(products=products)
    if products not in (2, 3):
        raise ValueError(f"products must be 2 or 3; got {products}.")
    return 2 * products * visible_pairs(s, w1, w2)


def exact_dot_product_flops(s: int, w: int | None = None) -> int:
    """4 FLOPs for each visible key: 2 s (s + 1) without a window."""
    return 4 * visible_keys(s, w)


def exact_break_even_length(w1: int, w2: int) -> int:
    """The smallest s at which exact counts of trilinear attention do not exceed dot product's.

    The first queries see shorter windows, so it is below `break_even_length`:

    >>> exact_break_even_length(512, 32)
    48894
    """
    low, high = 1, break_even_length(w1, w2)
    while low < high:
        s = (low + high) // 2
        if exact_trilinear_flops(s, w1, w2) <= exact_dot_product_flops(s):
            high = s
        else:
            low = s + 1
    return low


def stream_bytes(
    kind: Literal["dot product", "trilinear"],
    *,
    s: int,
    h: int,
    g: int,
    d: int,
    dv: int | None = None,
    b: int = 1,
    itemsize: int = 2,
) -> int:
    """Bytes of all inputs and of out, each moved once: the least that a forward pass can do."""
    dv = d if dv is None else dv
    s, h, g, d, dv, b, itemsize = counts(s=s, h=h, g=g, d=d, dv=dv, b=b, itemsize=itemsize)
    return itemsize * b * s * (h + _keys(kind) * g) * (d + dv)


def logits_bytes(
    s: int, w1: int | None, w2: int | None, *, h: int = 1, b: int = 1, itemsize: int = 4
) -> int:
    """Bytes of the logits of all queries, in full windows: the cube where both are None."""
    s, h, b, itemsize = counts(s=s, h=h, b=b, itemsize=itemsize)
    require_window(w1=w1, w2=w2)
    first, second = (held_of(s, w) for w in (w1, w2))
    return itemsize * b * h * s * first * second


def cache_bytes(
    s: int,
    *windows: int | None,
    g: int = 1,
    d: int,
    dv: int | None = None,
    b: int = 1,
    itemsize: int = 2,
) -> int:
    """Bytes of keys and values that decoding keeps after s tokens, one window a kind of key.

    >>> cache_bytes(49_152, None, g=1, d=128) // cache_bytes(49_152, 512, 32, g=1, d=128)
    90
    """
    dv = d if dv is None else dv
    s, g, d, dv, b, itemsize = counts(s=s, g=g, d=d, dv=dv, b=b, itemsize=itemsize)
    require_window(**{f"window {n}": w for n, w in enumerate(windows, start=1)})
    held = sum(held_of(s, w) for w in windows)
    return itemsize * b * g * held * (d + dv)


def tiled_pairs(
    s: int,
    w1: int,
    w2: int,
    *,
    tiling: Literal["sequence", "heads"],
    tile: int = 64,
    kv_block: int = 128,
) -> int:
    """Pairs that matrix tiles compute for one query head, over all queries, hidden ones included.

    A tile has `tile` rows. It takes the keys of the shorter window one by one, and those of the
    longer window in blocks of kv_block, counted from the first key that any of its rows sees.
    tiling="sequence": the rows are neighbouring queries of one head; every row computes what the
    first to the last of them see together. tiling="heads": the rows are query heads of one
    position, which share keys and windows, so their number does not matter.
    """
    s, w1, w2, tile, kv_block = counts(s=s, w1=w1, w2=w2, tile=tile, kv_block=kv_block)
    require_choice("tiling", tiling, ("sequence", "heads"))
    short, long = sorted((w1, w2))
    rows = tile if tiling == "sequence" else 1
    pairs = 0
    for start in range(0, s, rows):
        end = min(start + rows, s)
        singles = end - max(start - short + 1, 0)
        blocks = -(-(end - max(start - long + 1, 0)) // kv_block)
        pairs += rows * singles * blocks * kv_block
    return pairs


def useful_share(
    s: int,
    w1: int,
    w2: int,
    *,
    tiling: Literal["sequence", "heads"],
    tile: int = 64,
    kv_block: int = 128,
    count: Literal["exact", "published"] = "exact",
) -> float:
    """Visible pairs over the pairs that `tiled_pairs` computes; 1 minus it is wasted.

    count="published" takes the visible pairs of `published_pairs`, which are too few.

    >>> for tiling in ("sequence", "heads"):
    ...     share = useful_share(8192, 32, 512, tiling=tiling, count="published")
    ...     print(f"{1 - share:.2%}", f"{1 - useful_share(8192, 32, 512, tiling=tiling):.2%}")
    73.20% 73.04%
    1.35% 0.75%
    """
    require_choice("count", count, ("exact", "published"))
    useful = visible_pairs if count == "exact" else published_pairs
    return useful(s, w1, w2) / tiled_pairs(s, w1, w2, tiling=tiling, tile=tile, kv_block=kv_block)


def published_pairs(s: int, w1: int, w2: int) -> float:
    """The visible pairs as the public code estimates them, for s of at least w1 + w2.

    With w1 the shorter window: the first w1 queries at a quarter of full windows w1 * w1 (exactly
    it is about a third), the next w2 - w1 at half of w1 * w2, and then s - w1 - w2 at the whole,
    which drops w1 queries.
    """
    s, w1, w2 = counts(s=s, w1=w1, w2=w2)
    short, long = sorted((w1, w2))
    if s < short + long:
        raise ValueError(f"s must be at least w1 + w2 = {short + long}; got {s}.")
    return short**3 / 4 + (long - short) * short * long / 2 + (s - short - long) * short * long


def counts(**numbers: int) -> tuple[int, ...]:
    """The numbers, each at least 1, as Python's own ints, which do not overflow as NumPy's do."""
    require_count(**numbers)
    return tuple(int(n) for n in numbers.values())


def held_of(s: int, w: int | None) -> int:
    """How many positions a full window of w holds of s."""
    return s if w is None else min(int(w), s)


def _keys(kind: str) -> int:
    """How many kinds of key, each with its value, an attention has."""
    require_choice("kind", kind, ("dot product", "trilinear"))
    return 1 if kind == "dot product" else 2
