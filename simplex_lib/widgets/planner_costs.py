"""Which two windows fit a budget: all numbers and words of `plan_windows`.

`plan_payload` is called with the learner's choices. Costs come from `simplex_lib.attention.costs`,
latencies from Table 1 of arXiv:2507.02754 as `simplex_lib/data/table1.json` holds it.

Axes: s sequence length; w1 and w2 how many positions the first and the second key may take.
"""

from dataclasses import dataclass
from functools import cache
from math import floor, log2
from typing import NamedTuple

from simplex_lib import data
from simplex_lib.attention import costs
from simplex_lib.widgets.kit import require_number
from simplex_lib.widgets.windows_counts import ITEMSIZE, require_whole

SHORTEST, LONGEST = 256, 2**20  # positions
WIDEST = (2**14, 2**12)  # of the plane: first and second window
FLOPS = (2**-6, 2**3)  # budgets, as shares of what dot-product attention takes
CACHE = (2**-9, 2.0)
Point = tuple[float, float]  # w1, w2


class Plan(NamedTuple):
    """Two windows and what they cost at the chosen length."""

    w1: int
    w2: int
    flops: int  # a query head and unit of head_dim
    share: float  # of dot-product attention's
    cache: int  # bytes a key head
    cache_share: float
    fits: bool
    latency_ms: float | None = None  # as the paper's Table 1 has it


@dataclass(frozen=True)
class PlanPayload:
    """The budgets at one length, the chosen windows in them, and the paper's."""

    s: int
    budget: float
    cache: float
    head_dim: int
    chosen: Plan
    paper: list[Plan]
    dot_flops: int
    dot_cache: int
    most_pairs: float  # w1 * w2 may be so much
    most_keys: float  # w1 + w2
    break_even: tuple[int, int]  # of the chosen windows: by the formula, and exact
    exact: tuple[int, int]  # FLOPs of visible pairs: the chosen windows, dot product

    @property
    def sentence(self) -> str:
        """What the chosen windows cost, whether that fits, and how wide w1 could be."""
        x = self.chosen
        words = (
            f"At s = {self.s:,}, windows of {x.w1:,} × {x.w2:,} take {_of_dot(x.share)} "
            f"dot-product attention and {x.cache_share:.2%} of its cache "
            f"({data_size(x.cache)}): {self.verdict} "
        )
        widest = self.widest(x.w2)
        room = f"w1 may be up to {widest:,}" if widest else "no w1 fits"
        words += f"With w2 = {x.w2:,}, {room}. "
        return f"{words}Beyond s = {self.break_even[0]:,} such windows take fewer FLOPs."

    @property
    def verdict(self) -> str:
        """Whether the chosen windows fit, and what stands against it."""
        x = self.chosen
        against = []
        if max(x.w1, x.w2) > self.s:
            against.append("wider than s")
        if x.flops > self.budget * self.dot_flops:
            against.append("too many FLOPs")
        if x.cache > self.cache * self.dot_cache:
            against.append("too much cache")
        return f"they do not fit ({', '.join(against)})." if against else "they fit both budgets."

    def widest(self, w2: int) -> int:
        """The widest first window that fits beside w2; 0 if there is none."""
        if w2 > self.s:
            return 0
        pairs, keys = floor(self.most_pairs / w2), floor(self.most_keys) - w2
        return max(min(pairs, keys, self.s), 0)


def plan_payload(
    seq_len: int = 49_152,
    budget: float = 1.0,
    cache: float = 2**-6,
    w1: int = 512,
    w2: int = 32,
    *,
    head_dim: int = 128,
) -> PlanPayload:
    """All numbers for these choices; ValueError names the one that cannot be drawn."""
    require_whole(SHORTEST, LONGEST, seq_len=seq_len)
    require_number(*FLOPS, budget=budget)
    require_number(*CACHE, cache=cache)
    require_whole(1, WIDEST[0], w1=w1)
    require_whole(1, WIDEST[1], w2=w2)
    require_whole(1, 4096, head_dim=head_dim)
    sizes = dict(d=head_dim, itemsize=ITEMSIZE)
    dot_flops = costs.dot_product_flops(seq_len)
    dot_cache = costs.cache_bytes(seq_len, None, **sizes)

    def plan(w1: int, w2: int, latency_ms: float | None = None) -> Plan:
        flops = costs.trilinear_flops(seq_len, w1, w2)
        held = costs.cache_bytes(seq_len, w1, w2, **sizes)
        fits = flops <= budget * dot_flops and held <= cache * dot_cache and max(w1, w2) <= seq_len
        shares = flops / dot_flops, held / dot_cache
        return Plan(w1, w2, flops, shares[0], held, shares[1], fits, latency_ms)

    paper = [plan(*row) for row in table1()]
    times_of = {(x.w1, x.w2): x.latency_ms for x in paper}
    return PlanPayload(
        s=seq_len,
        budget=budget,
        cache=cache,
        head_dim=head_dim,
        chosen=plan(w1, w2, times_of.get((w1, w2))),
        paper=paper,
        dot_flops=dot_flops,
        dot_cache=dot_cache,
        most_pairs=budget * dot_flops / costs.trilinear_flops(seq_len, 1, 1),
        most_keys=cache * seq_len,
        break_even=(costs.break_even_length(w1, w2), costs.exact_break_even_length(w1, w2)),
        exact=(
            costs.exact_trilinear_flops(seq_len, w1, w2),
            costs.exact_dot_product_flops(seq_len),
        ),
    )


def choices(most: int) -> list[int]:
    """The windows that can be picked on the plane: powers of two."""
    return [2**n for n in range(most.bit_length())]


def budgets(low: float, high: float) -> list[float]:
    """The budgets that can be picked: powers of two."""
    count = round(log2(high / low))
    return [low * 2**n for n in range(count + 1)]


@cache
def table1() -> list[tuple[int, int, float]]:
    """w1, w2 and the latency in ms of each row of the paper's Table 1."""
    rows = data.load("table1")["rows"]
    return [(row["w1"], row["w2"], row["latency_ms"]) for row in rows]


def data_size(n: int) -> str:
    """Bytes as people say them: 512 B, 272 KiB, 24 MiB."""
    for unit, step in (("B", 1), ("KiB", 2**10), ("MiB", 2**20)):
        if n < 1024 * step or unit == "MiB":
            break
    amount = n / step
    return f"{amount:,.0f} {unit}" if amount >= 100 or n % step == 0 else f"{amount:.3g} {unit}"


def short(n: int) -> str:
    """512, 48k, 1M: k is 1,024; 48.8k for 50,000, which a slider has no room for."""
    for sign, size in (("M", 2**20), ("k", 2**10)):
        if n >= size and n % size == 0:
            return f"{n // size}{sign}"
    return str(n) if n < 10_000 else f"{n / 1024:.1f}k"


def share_name(share: float) -> str:
    """1/64, 1/2, 2, and 0.3 for what is no power of two."""
    if share < 1 and (1 / share).is_integer():
        return f"1/{1 / share:.0f}"
    return f"{share:.3g}"


def allowed_region(p: PlanPayload, low: float, right: float, top: float) -> list[Point]:
    """Corners of the part of the plane, from `low` to right and top, that both budgets allow."""
    right, top = min(right, p.s), min(top, p.s)
    bend = [p.most_keys - w2 for w2 in steps(low, p.most_keys / 2)]  # steep there
    across = sorted([*steps(low, right), *(w1 for w1 in bend if low <= w1 <= right)])
    upper = [(w1, min(top, p.most_pairs / w1, p.most_keys - w1)) for w1 in across]
    upper = [(w1, w2) for w1, w2 in upper if w2 >= low * (1 - 1e-9)]
    return [(low, low), *upper, (upper[-1][0], low)] if upper else []


def same_product(product: float, low: float, right: float) -> list[Point]:
    """All windows with w1 * w2 = product: equally many FLOPs."""
    return [(w1, product / w1) for w1 in steps(low, right)]


def same_sum(total: float, low: float, right: float) -> list[Point]:
    """All windows with w1 + w2 = total: equally large caches."""
    bend = [total - w2 for w2 in steps(low, total / 2)]
    across = sorted([*steps(low, min(right, total)), *bend])
    points = [(w1, total - w1) for w1 in across if low <= w1 <= right]
    return [(w1, w2) for w1, w2 in points if w2 >= low * (1 - 1e-9)]


def steps(low: float, high: float, count: int = 97) -> list[float]:
    """From low to high, evenly in the logarithm; nothing if high is below low."""
    if high < low:
        return []
    return [low * (high / low) ** (n / (count - 1)) for n in range(count)]


def _of_dot(share: float) -> str:
    if share == 1:
        return "as many FLOPs as"
    return f"{share:.3g} times the FLOPs of" if share > 1 else f"{share:.2%} of the FLOPs of"
