"""Exercise 4.3: floating-point operations, and the length at which both kinds cost the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.exercise import Draw, Exercise, Rejected, Right, Wrong

Counts = tuple[Any, Any, Any]  # trilinear, dot product, break-even length
NAMES = ("trilinear", "dot_product", "break_even")


def costs_inputs(draw: Draw, *, s: int, w1: int, w2: int) -> dict[str, Any]:
    return dict(seq_len=s, w1=w1, w2=w2)


def truth_costs(seq_len: int, w1: int, w2: int) -> Tensor:
    return torch.tensor(count_by_products(seq_len, w1, w2), dtype=torch.float64)


def count_by_products(seq_len: int, w1: int, w2: int) -> tuple[int, int, int]:
    """The truth, under a name that an exercise may use in its asking."""
    multiply_and_add = 2
    pair = sum(multiply_and_add for _ in ("q with k1", "with k2", "probabilities with v1 * v2"))
    key = sum(multiply_and_add for _ in ("q with k", "probabilities with v"))
    trilinear, dot_product = seq_len * w1 * w2 * pair, seq_len * seq_len * key // 2
    low, high = 1, 10 * w1 * w2  # where key * s * s / 2 - pair * s * w1 * w2 changes its sign
    while low < high:
        s = (low + high) // 2
        if s * s * key // 2 >= s * w1 * w2 * pair:
            high = s
        else:
            low = s + 1
    return trilinear, dot_product, low


def ask_costs(answer: Any, arguments: Mapping[str, Any]) -> Any:
    """Three numbers as one tensor. Wrong ones are named first; of right ones ints are asked."""
    found = answer(*arguments.values())
    if found is None:
        return None
    _require_three(found)
    probes = [tuple(arguments.values()), (3, 2, 1), (10, 4, 2), (7, 3, 11), (5, 9, 2)]
    if all(_equal(answer(*x), count_by_products(*x)) for x in probes):
        for name, got in zip(NAMES, found, strict=True):
            if not isinstance(got, int) or isinstance(got, bool):
                raise Rejected(
                    "not an int",
                    f"The numbers are right, and {name} = {got} is a {type(got).__name__}. What "
                    "is counted is whole, and should be an int: a float rounds beyond 2^53. A "
                    "single / gives a float even where the division leaves no rest.",
                )
    return torch.tensor([float(x) for x in found], dtype=torch.float64)


def _require_three(found: Any) -> None:
    wish = "It should return three ints: trilinear, dot_product, break_even."
    if not isinstance(found, (tuple, list)):
        raise Rejected("count", f"Your answer returns a {type(found).__name__}. {wish}")
    if len(found) != 3:
        things = "one thing" if len(found) == 1 else f"{len(found)} things"
        raise Rejected("count", f"Your answer returns {things}. {wish}")
    for name, x in zip(NAMES, found, strict=True):
        alone = isinstance(x, Tensor) and x.numel() == 1
        if not alone and not isinstance(x, Real):
            raise Rejected("type", f"{name} is a {type(x).__name__}, and should be an int.")


def _equal(found: Any, expected: tuple[int, int, int]) -> bool:
    return all(float(got) == want for got, want in zip(found, expected, strict=True))


def _count(
    *, pair: float = 6, key: float = 2, equal: float = 3, floor: bool = False
) -> Callable[[int, int, int], Counts]:
    """The same formulas with other factors."""

    def answer(s: int, w1: int, w2: int) -> Counts:
        length = int(equal * w1 * w2) if floor else _whole(equal * w1 * w2)
        return _whole(pair * s * w1 * w2), _whole(key * s * s), length

    return answer


def _whole(x: float) -> float:
    return int(x) if x == int(x) else x


def wrong_windows_added(s: int, w1: int, w2: int) -> Counts:
    return 6 * s * (w1 + w2), 2 * s * s, 3 * (w1 + w2)


def wrong_windows_added_flops(s: int, w1: int, w2: int) -> Counts:
    return 6 * s * (w1 + w2), 2 * s * s, 3 * w1 * w2


def wrong_windows_added_length(s: int, w1: int, w2: int) -> Counts:
    return 6 * s * w1 * w2, 2 * s * s, 3 * (w1 + w2)


def wrong_cut(s: int, w1: int, w2: int) -> Counts:
    return 6 * s * min(s, w1) * min(s, w2), 2 * s * s, 3 * w1 * w2


def _pairs(s: int, w1: int, w2: int) -> int:
    return sum(min(i + 1, w1) * min(i + 1, w2) for i in range(s))


def wrong_start(s: int, w1: int, w2: int) -> Counts:
    return 6 * _pairs(s, w1, w2), 2 * s * s, 3 * w1 * w2


def wrong_diagonal(s: int, w1: int, w2: int) -> Counts:
    return 6 * s * w1 * w2, 2 * s * (s + 1), 3 * w1 * w2


def wrong_exact(s: int, w1: int, w2: int) -> Counts:
    return 6 * _pairs(s, w1, w2), 2 * s * (s + 1), 3 * w1 * w2


def wrong_cube(s: int, w1: int, w2: int) -> Counts:
    return 6 * s * s * s, 2 * s * s, 3 * w1 * w2


def wrong_windowed_dot(s: int, w1: int, w2: int) -> Counts:
    return 6 * s * w1 * w2, 4 * s * w1, 3 * w1 * w2


def wrong_ratio(s: int, w1: int, w2: int) -> Counts:
    return 6 * s * w1 * w2, 2 * s * s, 6 * s * w1 * w2 / (2 * s * s)


def wrong_ratio_whole(s: int, w1: int, w2: int) -> Counts:
    return 6 * s * w1 * w2, 2 * s * s, 6 * s * w1 * w2 // (2 * s * s)


def wrong_other_ratio(s: int, w1: int, w2: int) -> Counts:
    return 6 * s * w1 * w2, 2 * s * s, 2 * s * s / (6 * s * w1 * w2)


def wrong_root(s: int, w1: int, w2: int) -> Counts:
    return 6 * s * w1 * w2, 2 * s * s, (3 * s * w1 * w2) ** 0.5


def wrong_order(s: int, w1: int, w2: int) -> Counts:
    trilinear, dot_product, length = count_by_products(s, w1, w2)
    return dot_product, trilinear, length


def right_formulas(s: int, w1: int, w2: int) -> Counts:
    return 6 * s * w1 * w2, 2 * s * s, 3 * w1 * w2


def right_through_a_ratio(s: int, w1: int, w2: int) -> Counts:
    """trilinear / dot_product is 1 at the break-even length and falls as 1 / s."""
    trilinear, dot_product = 3 * (2 * s * w1 * w2), 2 * (2 * s * s) // 2
    return trilinear, dot_product, trilinear * s // dot_product


COSTS = Exercise(
    id="4.3",
    title="FLOPs and the break-even length",
    minutes=6,
    inputs=costs_inputs,
    sizes=(
        dict(s=3, w1=2, w2=1),
        dict(s=1, w1=1, w2=1),
        dict(s=5, w1=9, w2=2),
        dict(s=7, w1=3, w2=11),
        dict(s=10, w1=4, w2=2),
        dict(s=49_152, w1=512, w2=32),
        dict(s=131, w1=5, w2=17),
    ),
    truth=truth_costs,
    outputs=("costs (0 trilinear, 1 dot_product, 2 break_even): number",),
    wrong=(
        Wrong(
            "two products",
            _count(pair=4),
            "Your trilinear count has 4 FLOPs for each pair, two products. Three are counted here: "
            "q with the first key, that with the second, the probability with the values.",
        ),
        Wrong(
            "two products, break-even too",
            _count(pair=4, equal=2),
            "Your trilinear count has 4 FLOPs for each pair, two products. Three are counted here: "
            "q with the first key, that with the second, the probability with the values.",
        ),
        Wrong(
            "halved",
            _count(pair=3),
            "Your trilinear count is half of it. Either a multiplication and an addition count as "
            "one there, or you take a causal half: a window has no future part to leave out.",
        ),
        Wrong(
            "halved, break-even too",
            _count(pair=3, equal=1.5),
            "Your trilinear count is half of it. Either a multiplication and an addition count as "
            "one there, or you take a causal half: a window has no future part to leave out.",
        ),
        Wrong(
            "halved, break-even rounded",
            _count(pair=3, equal=1.5, floor=True),
            "Your trilinear count is half of it. Either a multiplication and an addition count as "
            "one there, or you take a causal half: a window has no future part to leave out.",
        ),
        Wrong(
            "four products",
            _count(pair=8),
            "Your trilinear count has 8 FLOPs for each pair, four products. The product of the two "
            "values is shared and not counted here: three are left.",
        ),
        Wrong(
            "four products, break-even too",
            _count(pair=8, equal=4),
            "Your trilinear count has 8 FLOPs for each pair, four products. The product of the two "
            "values is shared and not counted here: three are left.",
        ),
        Wrong(
            "one product",
            _count(pair=2),
            "Your trilinear count has 2 FLOPs for each pair, one product of two numbers. A pair "
            "takes part in three.",
        ),
        Wrong(
            "one product, break-even too",
            _count(pair=2, equal=1),
            "Your trilinear count has 2 FLOPs for each pair, one product of two numbers. A pair "
            "takes part in three.",
        ),
        Wrong(
            "no causal half",
            _count(key=4),
            "Your dot-product count is 4 s², twice what is asked: two products of 2 FLOPs for all "
            "s · s pairs of query and key. A causal query sees about half of them.",
        ),
        Wrong(
            "no causal half, break-even too",
            _count(key=4, equal=1.5),
            "Your dot-product count is 4 s², twice what is asked: two products of 2 FLOPs for all "
            "s · s pairs of query and key. A causal query sees about half of them.",
        ),
        Wrong(
            "no causal half, break-even rounded",
            _count(key=4, equal=1.5, floor=True),
            "Your dot-product count is 4 s², twice what is asked: two products of 2 FLOPs for all "
            "s · s pairs of query and key. A causal query sees about half of them.",
        ),
        Wrong(
            "dot product halved",
            _count(key=1),
            "Your dot-product count is s², half of what is asked. There are two products, of "
            "2 FLOPs each, and one causal half.",
        ),
        Wrong(
            "dot product halved, break-even too",
            _count(key=1, equal=6),
            "Your dot-product count is s², half of what is asked. There are two products, of "
            "2 FLOPs each, and one causal half.",
        ),
        Wrong(
            "multiply and add as one",
            _count(pair=3, key=1),
            "Both counts are half of what is asked, and their ratio is right. A multiplication and "
            "an addition are two FLOPs.",
        ),
        Wrong(
            "doubled",
            _count(pair=12),
            "Your trilinear count is 12 s w1 w2, twice what is asked. Three products of 2 FLOPs "
            "each are 6 for a pair.",
        ),
        Wrong(
            "doubled, break-even too",
            _count(pair=12, equal=6),
            "Your trilinear count is 12 s w1 w2, twice what is asked. Three products of 2 FLOPs "
            "each are 6 for a pair.",
        ),
        Wrong(
            "two products and no causal half",
            _count(pair=4, key=4, equal=1),
            "Both counts are wrong. Your trilinear count has two products for each pair, and three "
            "are counted here; your dot-product count has all s · s pairs of query and key, and "
            "the causal half is counted.",
        ),
        Wrong(
            "both doubled",
            _count(pair=12, key=4),
            "Both counts are twice what is asked, and their ratio is right. Of the trilinear one, "
            "count the products again; of the other, take the causal half.",
        ),
        Wrong(
            "windows added",
            wrong_windows_added,
            "You add the two windows. A pair is one choice of w1 and one choice of w2, so their "
            "numbers multiply, in the FLOPs and in the break-even length.",
        ),
        Wrong(
            "windows added in the FLOPs",
            wrong_windows_added_flops,
            "In your trilinear count the two windows are added. A pair is one choice of w1 and one "
            "choice of w2, so their numbers multiply.",
        ),
        Wrong(
            "windows added in the length",
            wrong_windows_added_length,
            "Both counts are right. In your break-even length the two windows are added, although "
            "they multiply in the count that you set equal.",
        ),
        Wrong(
            "no windows",
            wrong_cube,
            "Your trilinear count is 6 s³, that of all pairs of all positions. With windows a "
            "query has w1 first keys and w2 second keys.",
        ),
        Wrong(
            "windows cut at s",
            wrong_cut,
            "A window longer than the sequence is cut to s in your trilinear count. The formula "
            "asked for counts full windows throughout.",
        ),
        Wrong(
            "start counted",
            wrong_start,
            "Your trilinear count leaves out what the first queries cannot see. That is the exact "
            "number of pairs; the formula asked for counts full windows for every query.",
        ),
        Wrong(
            "diagonal counted",
            wrong_diagonal,
            "Your dot-product count is 2 s (s + 1), which is exact: query i sees i + 1 keys. Asked "
            "for is the formula of the paper, which takes half of s · s.",
        ),
        Wrong(
            "exact counts",
            wrong_exact,
            "Both counts are exact, with the short windows of the first queries and the diagonal. "
            "Asked for are the two formulas of the paper: full windows, and half of s · s.",
        ),
        Wrong(
            "window for the dot product",
            wrong_windowed_dot,
            "The window w1 limits the dot product as well in your count. The comparison is with "
            "dot-product attention over the whole past.",
        ),
        Wrong(
            "not divided",
            _count(equal=6),
            "Both counts are right. Your break-even length is 6 w1 w2, twice the length at which "
            "they meet.",
        ),
        Wrong(
            "only the windows",
            _count(equal=1),
            "Both counts are right. Your break-even length is w1 w2, and at that length the "
            "trilinear count is still three times the other.",
        ),
        Wrong(
            "upside down",
            _count(equal=1 / 3),
            "Both counts are right. In your break-even length the two factors, 6 and 2, are "
            "divided the other way round.",
        ),
        Wrong(
            "ratio",
            wrong_ratio,
            "Both counts are right. Your third number is their ratio at this length; asked for is "
            "the length at which the ratio is 1.",
        ),
        Wrong(
            "ratio, rounded down",
            wrong_ratio_whole,
            "Both counts are right. Your third number is their ratio at this length; asked for is "
            "the length at which the ratio is 1.",
        ),
        Wrong(
            "ratio upside down",
            wrong_other_ratio,
            "Both counts are right. Your third number is the dot-product count over the trilinear "
            "one at this length; asked for is the length at which the two are equal.",
        ),
        Wrong(
            "root",
            wrong_root,
            "Both counts are right. For the break-even length you leave the trilinear count at "
            "this seq_len and take a root. But s stands on both sides and cancels once.",
        ),
        Wrong(
            "wrong order",
            wrong_order,
            "The counts are right and in the other order: trilinear comes first, then the dot "
            "product.",
        ),
    ),
    right=(Right("formulas", right_formulas), Right("from the ratio", right_through_a_ratio)),
    hints=(
        "Count for one pair of keys first, then for one query, then for all. How many products "
        "does a pair take part in, and how many pairs has a query?",
        "A multiplication and the addition that follows are 2 FLOPs. Trilinear: three products a "
        "pair. Dot product: two products a key, and half of all s · s keys.",
        "trilinear = products × 2 × queries × w1 × w2; dot product = products × 2 × s × s / 2. "
        "Set the two equal, divide by s, and solve for s.",
    ),
    why="One s cancels: the break-even length depends on the windows alone. With (512, 32) it is "
    "49,152, the 48k of the paper.",
    another_way="the ratio of the two counts falls as 1 / s, so the break-even length is s times "
    "the ratio at any s.",
    variants=(),
    ask=ask_costs,
    same_dtype=False,
)
