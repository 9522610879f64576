"""Exercise 4.1: which pairs of keys a query may see.

Axes: i query, j first key, k second key, s sequence length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.exercise import Difference, Draw, Exercise, Rejected, Right, Wrong


def mask_inputs(draw: Draw, *, s: int, w1: int, w2: int) -> dict[str, Any]:
    return dict(seq_len=s, w1=w1, w2=w2)


def ask_mask(answer: Any, arguments: Mapping[str, Any]) -> Any:
    found = answer(*arguments.values())
    if isinstance(found, Tensor) and found.dtype != torch.bool:
        kind = str(found.dtype).removeprefix("torch.")
        raise Rejected(
            "dtype",
            f"Your mask has the dtype {kind}, and it should be bool: yes or no for each pair. "
            "Comparisons give bool, and & joins two of them.",
        )
    return found


def truth_mask(seq_len: int, w1: int, w2: int) -> Tensor:
    visible = torch.zeros(seq_len, seq_len, seq_len, dtype=torch.bool)
    for i in range(seq_len):
        for j in range(max(0, i - w1 + 1), i + 1):
            for k in range(max(0, i - w2 + 1), i + 1):
                visible[i, j, k] = True
    return visible


def _back(s: int) -> Tensor:
    """i - j."""
    return torch.arange(s)[:, None] - torch.arange(s)


def _inside(s: int, w: int) -> Tensor:
    return (_back(s) >= 0) & (_back(s) < w)


def _both(first: Tensor, second: Tensor) -> Tensor:
    return first[:, :, None] & second[:, None, :]


def _map(rule: Callable[[Tensor, int], Tensor]) -> Callable[[int, int, int], Tensor]:
    """A mistake that both keys share: rule(i - j, w)."""
    return lambda s, w1, w2: _both(rule(_back(s), w1), rule(_back(s), w2))


def wrong_no_causal(s: int, w1: int, w2: int) -> Tensor:
    return _both(_back(s) < w1, _back(s) < w2)


def wrong_past(s: int, w1: int, w2: int) -> Tensor:
    return _both(_inside(s, s), _inside(s, s))


def wrong_k_up_to_j(s: int, w1: int, w2: int) -> Tensor:
    return truth_mask(s, w1, w2) & (_back(s) >= 0)


def wrong_j_up_to_k(s: int, w1: int, w2: int) -> Tensor:
    return truth_mask(s, w1, w2) & (_back(s) <= 0)


def wrong_from_j(s: int, w1: int, w2: int) -> Tensor:
    return _inside(s, w1)[:, :, None] & _inside(s, w2)


def wrong_around_j(s: int, w1: int, w2: int) -> Tensor:
    return truth_mask(s, w1, s) & (_back(s).abs() < w2)


def wrong_either(s: int, w1: int, w2: int) -> Tensor:
    return _inside(s, w1)[:, :, None] | _inside(s, w2)[:, None, :]


def wrong_second_free(s: int, w1: int, w2: int) -> Tensor:
    return _inside(s, w1)[:, :, None].expand(s, s, s)


def wrong_first_free(s: int, w1: int, w2: int) -> Tensor:
    return _inside(s, w2)[:, None, :].expand(s, s, s)


def wrong_second_future(s: int, w1: int, w2: int) -> Tensor:
    return _both(_inside(s, w1), _back(s) < w2)


def wrong_first_future(s: int, w1: int, w2: int) -> Tensor:
    return _both(_back(s) < w1, _inside(s, w2))


def wrong_queries_last(s: int, w1: int, w2: int) -> Tensor:
    return truth_mask(s, w1, w2).permute(1, 2, 0)


def wrong_negative(s: int, w1: int, w2: int) -> Tensor:
    visible = torch.zeros(s, s, s, dtype=torch.bool)
    for i in range(s):
        visible[i, i - w1 + 1 : i + 1, i - w2 + 1 : i + 1] = True
    return visible


def right_intervals(s: int, w1: int, w2: int) -> Tensor:
    i, j, k = torch.meshgrid(*[torch.arange(s)] * 3, indexing="ij")
    return (i - w1 < j) & (j <= i) & (i - w2 < k) & (k <= i)


def right_triangles(s: int, w1: int, w2: int) -> Tensor:
    """A window is a triangle less another triangle."""
    past = torch.ones(s, s, dtype=torch.bool).tril()
    return _both(past.triu(1 - w1), past.triu(1 - w2))


def _sizes(x: Difference) -> tuple[int, int]:
    return x.case.sizes["w1"], x.case.sizes["w2"]


def _keys(n: int) -> str:
    return f"{n} {'key' if n == 1 else 'keys'}"


def _lengths(first: int, second: int) -> Callable[[Difference], str]:
    """The sentence for windows that are too long or too short by so much."""

    def says(x: Difference) -> str:
        w1, w2 = _sizes(x)
        if first and second:
            word = "long" if first > 0 else "short"
            return (
                f"With w1 = {w1} and w2 = {w2} your windows hold {_keys(w1 + first)} and "
                f"{_keys(w2 + second)}: each is one position too {word}. A window of w counts the "
                "query's own position."
            )
        name, w, by = ("first", w1, first) if first else ("second", w2, second)
        other = "second" if first else "first"
        return (
            f"The window of the {name} key should hold {_keys(w)}, and yours holds "
            f"{_keys(w + by)}. The window of the {other} key is right."
        )

    return says


def _longer(first: int, second: int) -> Callable[[int, int, int], Tensor]:
    return lambda s, w1, w2: _both(_inside(s, w1 + first), _inside(s, w2 + second))


MASK = Exercise(
    id="4.1",
    title="The pair mask",
    minutes=5,
    inputs=mask_inputs,
    sizes=(
        dict(s=1, w1=1, w2=1),
        dict(s=3, w1=2, w2=1),
        dict(s=4, w1=1, w2=3),
        dict(s=5, w1=9, w2=2),
        dict(s=5, w1=2, w2=7),
        dict(s=4, w1=8, w2=6),
        dict(s=7, w1=3, w2=5),
        dict(s=8, w1=5, w2=4),
    ),
    truth=truth_mask,
    outputs=("mask: i j k",),
    wrong=(
        Wrong("window off by one", _longer(1, 1), _lengths(1, 1)),
        Wrong("first window off by one", _longer(1, 0), _lengths(1, 0)),
        Wrong("second window off by one", _longer(0, 1), _lengths(0, 1)),
        Wrong("window too short", _longer(-1, -1), _lengths(-1, -1)),
        Wrong("first window too short", _longer(-1, 0), _lengths(-1, 0)),
        Wrong("second window too short", _longer(0, -1), _lengths(0, -1)),
        Wrong(
            "own position hidden",
            _map(lambda back, w: (back > 0) & (back < w)),
            "The farthest position of each window is right, and the query's own position is "
            "missing. It belongs to the window, so a window of 1 is the query alone.",
        ),
        Wrong(
            "windows moved back",
            _map(lambda back, w: (back > 0) & (back <= w)),
            "Your windows have the right length and end one position too early: the last position "
            "of a window is the query's own.",
        ),
        Wrong(
            "own position hidden in the first window",
            lambda s, w1, w2: _both(_inside(s, w1) & (_back(s) > 0), _inside(s, w2)),
            "The second key is right. The first may not be the query's own position in your mask. "
            "It belongs to the window.",
        ),
        Wrong(
            "own position hidden in the second window",
            lambda s, w1, w2: _both(_inside(s, w1), _inside(s, w2) & (_back(s) > 0)),
            "The first key is right. The second may not be the query's own position in your mask. "
            "It belongs to the window.",
        ),
        Wrong(
            "negative slices",
            wrong_negative,
            "Some queries near the start see nothing in your mask, or too little. Where a window "
            "would begin before position 0, does a slice begin at a negative number? That counts "
            "from the end of the axis.",
        ),
        Wrong(
            "equal keys hidden",
            lambda s, w1, w2: truth_mask(s, w1, w2) & (_back(s) != 0),
            "Pairs with j = k are hidden in your mask. The same position may serve as both keys.",
        ),
        Wrong(
            "windows swapped",
            lambda s, w1, w2: truth_mask(s, w2, w1),
            "The two windows changed places, or the axes j and k did: w1 rules the second key in "
            "your mask, and w2 the first.",
        ),
        Wrong(
            "one window for both",
            lambda s, w1, w2: truth_mask(s, w1, w1),
            "Both keys have the window w1 in your mask. The second has a window of its own, w2.",
        ),
        Wrong(
            "second window for both",
            lambda s, w1, w2: truth_mask(s, w2, w2),
            "Both keys have the window w2 in your mask. The first has a window of its own, w1.",
        ),
        Wrong(
            "the shorter window for both",
            lambda s, w1, w2: truth_mask(s, min(w1, w2), min(w1, w2)),
            "Both keys have the shorter of the two windows in your mask. Each has its own.",
        ),
        Wrong(
            "the longer window for both",
            lambda s, w1, w2: truth_mask(s, max(w1, w2), max(w1, w2)),
            "Both keys have the longer of the two windows in your mask. Each has its own.",
        ),
        Wrong(
            "k up to j",
            wrong_k_up_to_j,
            "Pairs with k > j are hidden in your mask. Nothing orders the two keys: each only has "
            "to be in its own window.",
        ),
        Wrong(
            "j up to k",
            wrong_j_up_to_k,
            "Pairs with j > k are hidden in your mask. Nothing orders the two keys: each only has "
            "to be in its own window.",
        ),
        Wrong(
            "second window from j",
            wrong_from_j,
            "Your second window is counted back from the first key: j − w2 < k ≤ j. Both windows "
            "are counted from the query.",
        ),
        Wrong(
            "second window around j",
            wrong_around_j,
            "Your second window is counted from the first key, on both sides: |j − k| < w2. Both "
            "windows are counted from the query.",
        ),
        Wrong(
            "no causal part",
            wrong_no_causal,
            "Your windows end nowhere: everything after the query is visible as well. A window "
            "also has an upper end, the query's own position.",
        ),
        Wrong(
            "future first keys",
            wrong_first_future,
            "The second key is right. The first key may lie anywhere after the query in your "
            "mask: its window has a lower end and no upper one.",
        ),
        Wrong(
            "future second keys",
            wrong_second_future,
            "The first key is right. The second key may lie anywhere after the query in your "
            "mask: its window has a lower end and no upper one.",
        ),
        Wrong(
            "both sides",
            _map(lambda back, w: back.abs() < w),
            "Your windows reach as far after the query as before it. They should end at the "
            "query's own position.",
        ),
        Wrong(
            "centred",
            _map(lambda back, w: (back <= w // 2) & (back > w // 2 - w)),
            "Your windows have the right length and lie around the query, half of each after it. "
            "They should end at the query's own position.",
        ),
        Wrong(
            "windows ahead",
            _map(lambda back, w: (back <= 0) & (back > -w)),
            "Your windows begin at the query and reach into the future. Is i − j taken the other "
            "way round, or are the axes of query and key swapped?",
        ),
        Wrong(
            "no windows",
            wrong_past,
            "Every query sees all pairs of its past: w1 and w2 change nothing in your mask.",
        ),
        Wrong(
            "first key only",
            wrong_second_free,
            "The first key is right. The second may be any of the positions, future and far past "
            "included: no condition on k is left in your mask.",
        ),
        Wrong(
            "second key only",
            wrong_first_free,
            "The second key is right. The first may be any of the positions, future and far past "
            "included: no condition on j is left in your mask.",
        ),
        Wrong(
            "second window missing",
            lambda s, w1, w2: truth_mask(s, w1, s),
            "The first key is right. The second may be any position of the past: w2 changes "
            "nothing in your mask.",
        ),
        Wrong(
            "first window missing",
            lambda s, w1, w2: truth_mask(s, s, w2),
            "The second key is right. The first may be any position of the past: w1 changes "
            "nothing in your mask.",
        ),
        Wrong(
            "either key",
            wrong_either,
            "A pair is visible in your mask as soon as one of its keys is in its window. Both "
            "have to be.",
        ),
        Wrong(
            "inverted",
            lambda s, w1, w2: ~truth_mask(s, w1, w2),
            "Your mask is the right one inverted: True should mean that a pair is visible.",
        ),
        Wrong(
            "from the start",
            lambda s, w1, w2: _both(
                (_inside(s, s)) & (torch.arange(s) < w1), (_inside(s, s)) & (torch.arange(s) < w2)
            ),
            "Your windows stand still at the start of the sequence: the first w positions of the "
            "past are visible. They should move along with the query, and end at it.",
        ),
        Wrong(
            "blocks",
            lambda s, w1, w2: _both(
                _inside(s, s) & (torch.arange(s)[:, None] // w1 == torch.arange(s) // w1),
                _inside(s, s) & (torch.arange(s)[:, None] // w2 == torch.arange(s) // w2),
            ),
            "Your windows are fixed blocks of w positions: the first query of a block sees itself "
            "alone. A sliding window moves by one position with every query.",
        ),
        Wrong(
            "queries last",
            wrong_queries_last,
            "The right pairs with the axes in another order: the query should come first, and "
            "comes last in yours.",
        ),
    ),
    right=(Right("intervals", right_intervals), Right("triangles", right_triangles)),
    hints=(
        "Take one key alone. Which distances i − j from the query may it have, the smallest and "
        "the largest? The query itself is at distance 0.",
        "Make one (i, j) table for the first key and one (i, k) table for the second. A pair is "
        "visible where both say yes; an axis of size 1 in each lets them meet.",
        "back = i − j for all i, j; first = back at least 0 and back below w1; second the same "
        "with w2; mask[i, j, k] = first[i, j] and second[i, k].",
    ),
    why="Two conditions for each key and none between the keys. A query far from the start sees "
    "w1 · w2 pairs, whatever s is: that is all that the rest of this chapter counts on.",
    another_way="a window is a lower triangle less a smaller one: tril, then triu from the "
    "diagonal 1 − w on.",
    variants=(),
    ask=ask_mask,
)
