"""Exercise 4.2: attention over the pairs inside the windows, without any long map.

Its wrong and right answers are in `ch04_windows.py`.
Axes: b batch, h head, i query, s sequence length, d head_dim, dv size of a value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch02_memory import MemoryMeter
from simplex_lib.checks.ch04_windows import (
    block,
    by_queries,
    finite,
    full_at_the_start,
    guessed,
    hidden_lengths,
    lengths,
    moved,
    multiplied,
    negative,
    no_maximum,
    no_nan,
    past,
    right_by_queries,
    right_online,
    right_pairs,
    right_unfolded,
    scaled_by_values,
    span,
    strict,
    wrong_ahead,
    wrong_both_sides,
    wrong_centred,
    wrong_clamped,
    wrong_clamped_cut,
    wrong_columns,
    wrong_cube,
    wrong_first_value,
    wrong_kept_rows,
    wrong_keys,
    wrong_longer,
    wrong_maps,
    wrong_marginals,
    wrong_one_window,
    wrong_one_window_cut,
    wrong_rows,
    wrong_scaled_twice,
    wrong_shorter,
    wrong_swapped,
    wrong_two_softmaxes,
    wrong_unscaled,
    wrong_values_added,
    wrong_values_exchanged,
    wrong_wrapped,
    wrong_wrapped_raises,
    wrong_wrapped_uncut,
    wrong_zero_keys,
    wrong_zero_keys_cut,
    zero_keys_of_one,
)
from simplex_lib.checks.exercise import Difference, Draw, Exercise, Rejected, Right, Wrong

LONG = 64  # from this length on, maps of all positions are told from windows


def windowed_inputs(
    draw: Draw, *, b: int, h: int, s: int, d: int, dv: int, w1: int, w2: int
) -> dict[str, Any]:
    """A second sentence has queries and keys of zeros, which are visible like any other.

    All logits of a third lie about 3e10 below 0, and no digit of them is lost.
    """
    keys = {name: draw.normal(b, h, s, d) for name in ("q", "k1", "k2")}
    values = {name: draw.normal(b, h, s, dv) for name in ("v1", "v2")}
    if (b, h, s, d, dv, w1, w2) == (1, 1, 3, 1, 1, 2, 1):  # by hand, in the statement
        keys["q"][:] = 0
        values["v1"][0, 0, :, 0] = torch.tensor([1.0, 3, 5])
        values["v2"][0, 0, :, 0] = torch.tensor([1.0, 10, 100])
    for name, first in (("q", 2), ("k1", 0), ("k2", 1)):
        keys[name][1:2, :, first::3] = 0
    for x in keys.values():
        x[2:] = (4 * x[2:]).round() / 4
    keys["q"][2:, ..., 0], keys["k1"][2:, ..., 0], keys["k2"][2:, ..., 0] = 2, 1, -(2.0**35)
    return keys | values | dict(w1=w1, w2=w2)


def ask_windowed(answer: Any, arguments: Mapping[str, Any]) -> Any:
    """Calls the answer, and refuses maps with two long axes where windows are short."""
    with MemoryMeter() as meter:
        found = answer(*arguments.values())
    b, h, s, _ = arguments["q"].shape
    if s >= LONG:
        refuse_long_maps(meter, b=b, h=h, s=s, w=min(arguments["w1"], arguments["w2"]))
    return found


def truth_windowed(
    q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor, w1: int, w2: int
) -> Tensor:
    b, h, s, d = q.shape
    out = torch.zeros(b, h, s, v1.shape[-1], dtype=torch.float64)
    for n in range(b):
        for m in range(h):
            qs, k1s, k2s, v1s, v2s = (x[n, m].tolist() for x in (q, k1, k2, v1, v2))
            for i in range(s):
                first = range(max(0, i - w1 + 1), i + 1)
                pairs = [(j, k) for j in first for k in range(max(0, i - w2 + 1), i + 1)]
                scores = [
                    sum(x * y * z for x, y, z in zip(qs[i], k1s[j], k2s[k], strict=True))
                    for j, k in pairs
                ]
                top = max(scores)
                weights = [math.exp((x - top) / math.sqrt(d)) for x in scores]
                for c in range(v1.shape[-1]):
                    values = (v1s[j][c] * v2s[k][c] for j, k in pairs)
                    mixed = sum(x * y for x, y in zip(weights, values, strict=True))
                    out[n, m, i, c] = mixed / sum(weights)
    return out


def refuse_long_maps(meter: MemoryMeter, *, b: int, h: int, s: int, w: int) -> None:
    made = (
        f"A tensor of shape {meter.largest} is made while your answer runs, "
        f"{meter.largest_numbers:,} numbers for s = {s}."
    )
    largest = meter.largest_numbers
    if largest >= s**3:
        raise Rejected(
            "cube",
            f"{made} The cube has {s**3:,}, and a mask as large is a cube as well. A query sees "
            "few pairs: only those need a number.",
        )
    if largest >= s * s * w:
        raise Rejected(
            "map with a window",
            f"{made} That is smaller than the cube, {s**3:,}, and still every query meets every "
            "position, in one of the two keys or in both. Both windows are short.",
        )
    if largest >= s * s:
        raise Rejected(
            "map",
            f"{made} A map of all queries over all positions has {s * s:,}, and a tensor as "
            "large, a mask for instance, is what this exercise does without. A query has few keys "
            "in a window, wherever it stands.",
        )
    if meter.most_held >= b * h * s * s * w:
        raise Rejected(
            "maps in pieces",
            f"No tensor of yours is as large as a map of all positions by all positions, and "
            f"still your answer held {meter.most_held:,} numbers at one time, in all its tensors "
            "together. What of them do you still need at the end of a step?",
        )


def _sizes(x: Difference) -> tuple[int, int]:
    return x.case.sizes["w1"], x.case.sizes["w2"]


def _says_lengths(first: int, second: int) -> Callable[[Difference], str]:
    """The sentence for windows that are too long or too short by so much."""

    def says(x: Difference) -> str:
        w1, w2 = _sizes(x)
        if first and second:
            word = "long" if first > 0 else "short"
            return (
                f"With w1 = {w1} and w2 = {w2} your query reads {w1 + first} first and "
                f"{w2 + second} second keys: each window is one position too {word}. A window of "
                "w counts the query's own position."
            )
        name, w, by = ("first", w1, first) if first else ("second", w2, second)
        other = "second" if first else "first"
        return (
            f"Your query reads {w + by} of its {name} keys where the window is {w} long; the "
            f"window of the {other} key is right."
        )

    return says


ZEROS = (
    "Near the start of the sequence, the places of a window that lie before position 0 take part, "
    "as keys of zeros. A key of zeros has the logit 0, and a logit of 0 has a weight."
)
LOGIT_0 = (
    "Pairs with a logit of 0 are hidden. Padding has the logit 0, and so have visible pairs: where "
    "q or one of the keys is all zeros, or happens to be orthogonal. Hide places by where they are."
)
KEY_0 = (
    "Places whose key is all zeros are hidden. Padding looks like that, and a real key may be all "
    "zeros too. Hide places by where they are."
)
TIMES_0 = (
    "The logits of hidden pairs were multiplied by 0 before the softmax. That makes them 0, and a "
    "logit of 0 has a weight."
)
TIMES_0_AFTER = (
    "The hidden pairs were multiplied by 0 after the softmax. They had their share of the sum "
    "already, so what is left adds up to less than 1."
)
CLAMPED = (
    "Near the start of the sequence your windows keep their length by reading position 0 several "
    "times, so that it gets several shares."
)
WRAPPED = (
    "Near the start of the sequence your windows go on at its end: places before position 0 are "
    "read from the last positions, the future."
)
FINITE = (
    "Hidden logits were set to some finite number, and −10,000, say, is an ordinary logit: where "
    "all visible logits lie lower, the hidden pairs get everything."
)
STRICT = (
    "Your windows have the right first position and stop one before the query: its own position "
    "is missing, and query 0 has nothing to read."
)
MOVED = (
    "Your windows have the right length and end one position too early, before the query's own. "
    "Query 0 has nothing to read."
)

WINDOWED = Exercise(
    id="4.2",
    title="Windows without the cube",
    minutes=20,
    inputs=windowed_inputs,
    sizes=(
        dict(b=1, h=1, s=3, d=1, dv=1, w1=2, w2=1),  # by hand, in the statement
        dict(b=1, h=1, s=3, d=2, dv=2, w1=2, w2=1),
        dict(b=1, h=2, s=4, d=3, dv=5, w1=6, w2=7),
        dict(b=2, h=3, s=1, d=4, dv=5, w1=2, w2=3),
        dict(b=1, h=2, s=5, d=3, dv=4, w1=9, w2=2),
        dict(b=1, h=2, s=5, d=4, dv=3, w1=1, w2=3),
        dict(b=1, h=1, s=120, d=3, dv=2, w1=5, w2=3),  # long enough to tell windows from maps
        dict(b=3, h=1, s=5, d=4, dv=2, w1=2, w2=3),  # with a third sentence, see windowed_inputs
        dict(b=2, h=3, s=7, d=4, dv=5, w1=4, w2=2),
    ),
    truth=truth_windowed,
    outputs=("out: b h i d",),
    wrong=(
        Wrong("cube", wrong_cube, "Refused by its memory."),
        Wrong("map with a window", wrong_one_window_cut, "Refused by its memory."),
        Wrong("map", wrong_maps, "Refused by its memory."),
        Wrong("maps in pieces", wrong_kept_rows, "Refused by its memory."),
        Wrong("window off by one", lengths(1, 1), _says_lengths(1, 1)),
        Wrong("first window off by one", lengths(1, 0), _says_lengths(1, 0)),
        Wrong("second window off by one", lengths(0, 1), _says_lengths(0, 1)),
        Wrong("window too short", hidden_lengths(-1, -1), _says_lengths(-1, -1)),
        Wrong("window too short, zeros", no_nan(hidden_lengths(-1, -1)), _says_lengths(-1, -1)),
        Wrong("first window too short", hidden_lengths(-1, 0), _says_lengths(-1, 0)),
        Wrong(
            "first window too short, zeros",
            no_nan(hidden_lengths(-1, 0)),
            _says_lengths(-1, 0),
        ),
        Wrong("second window too short", hidden_lengths(0, -1), _says_lengths(0, -1)),
        Wrong(
            "second window too short, zeros",
            no_nan(hidden_lengths(0, -1)),
            _says_lengths(0, -1),
        ),
        Wrong("own position hidden", strict, STRICT),
        Wrong("own position hidden, zeros", no_nan(strict), STRICT),
        Wrong("windows moved back", moved, MOVED),
        Wrong("windows moved back, zeros", no_nan(moved), MOVED),
        Wrong(
            "windows swapped",
            wrong_swapped,
            lambda x: (
                f"The first key may look back over w1 = {_sizes(x)[0]} positions and the second "
                f"over w2 = {_sizes(x)[1]}; yours do the opposite."
            ),
        ),
        Wrong(
            "one window for both",
            wrong_one_window,
            "Both keys have the window w1 in your numbers; the second key has its own, w2.",
        ),
        Wrong(
            "the shorter window for both",
            wrong_shorter,
            "Both keys have the shorter of the two windows in your numbers. Each has its own.",
        ),
        Wrong(
            "the longer window for both",
            wrong_longer,
            "Both keys have the longer of the two windows in your numbers. Each has its own.",
        ),
        Wrong(
            "second window missing",
            by_queries(span, past),
            "The first key is right. The second may be any position of the past: w2 changes "
            "nothing in your numbers.",
        ),
        Wrong(
            "first window missing",
            by_queries(past, span),
            "The second key is right. The first may be any position of the past: w1 changes "
            "nothing in your numbers.",
        ),
        Wrong(
            "negative slices",
            by_queries(negative, negative),
            "Some queries near the start read nothing, or too little. Where a window would begin "
            "before position 0, does a slice begin at a negative number? That counts from the end "
            "of the sequence.",
        ),
        Wrong(
            "full windows at the start",
            by_queries(full_at_the_start, full_at_the_start),
            "Near the start of the sequence your windows keep their length by reaching past the "
            "query, into the future. There are fewer keys to read there.",
        ),
        Wrong(
            "blocks",
            by_queries(block, block),
            "Your windows are fixed blocks of w positions: the first query of a block reads itself "
            "alone. A sliding window moves by one position with every query.",
        ),
        Wrong("padding takes part", wrong_zero_keys, ZEROS),
        Wrong("padding takes part, windows cut at s", wrong_zero_keys_cut, ZEROS),
        Wrong(
            "padding of the first key takes part",
            zero_keys_of_one(True, False),
            "The second key is right. Of the first, places before position 0 take part as keys of "
            "zeros: their pairs have the logit 0, and a logit of 0 has a weight.",
        ),
        Wrong(
            "padding of the first key takes part, windows cut at s",
            zero_keys_of_one(True, True),
            "The second key is right. Of the first, places before position 0 take part as keys of "
            "zeros: their pairs have the logit 0, and a logit of 0 has a weight.",
        ),
        Wrong(
            "padding of the second key takes part",
            zero_keys_of_one(False, False),
            "The first key is right. Of the second, places before position 0 take part as keys of "
            "zeros: their pairs have the logit 0, and a logit of 0 has a weight.",
        ),
        Wrong(
            "padding of the second key takes part, windows cut at s",
            zero_keys_of_one(False, True),
            "The first key is right. Of the second, places before position 0 take part as keys of "
            "zeros: their pairs have the logit 0, and a logit of 0 has a weight.",
        ),
        Wrong("logits of 0 hidden", guessed("logit"), LOGIT_0),
        Wrong("logits of 0 hidden, no NaN", no_nan(guessed("logit")), LOGIT_0),
        Wrong("keys of zeros hidden", guessed("key"), KEY_0),
        Wrong("keys of zeros hidden, no NaN", no_nan(guessed("key")), KEY_0),
        Wrong("mask multiplied before the softmax", multiplied(True, False), TIMES_0),
        Wrong("mask multiplied before the softmax, windows cut", multiplied(True, True), TIMES_0),
        Wrong("mask multiplied after the softmax", multiplied(False, False), TIMES_0_AFTER),
        Wrong(
            "mask multiplied after the softmax, windows cut",
            multiplied(False, True),
            TIMES_0_AFTER,
        ),
        Wrong("position 0 repeated", wrong_clamped, CLAMPED),
        Wrong("position 0 repeated, windows cut at s", wrong_clamped_cut, CLAMPED),
        Wrong("wrapped around", wrong_wrapped, WRAPPED),
        Wrong("wrapped around, windows not cut", wrong_wrapped_uncut, WRAPPED),
        Wrong("wrapped around, long windows raise", wrong_wrapped_raises, WRAPPED),
        Wrong(
            "both sides",
            wrong_both_sides,
            "Your windows reach as far after the query as before it. They should end at the "
            "query's own position.",
        ),
        Wrong(
            "windows ahead",
            wrong_ahead,
            "Your windows begin at the query and reach into the future. Was the sequence padded "
            "at the other end?",
        ),
        Wrong(
            "centred",
            wrong_centred,
            "Your windows have the right length and lie around the query. They should end at the "
            "query's own position.",
        ),
        Wrong(
            "unscaled",
            wrong_unscaled,
            "The logits lack the factor 1/√d of Eq. 5.",
        ),
        Wrong("scaled twice", wrong_scaled_twice, "The logits are divided by √d twice."),
        Wrong(
            "scaled by the values",
            scaled_by_values,
            "The logits are divided by the square root of dv, the length of a value. The scale is "
            "1/√d, with the length of q.",
        ),
        Wrong(
            "no maximum taken off",
            no_maximum,
            "The exponentials are taken of the logits as they are: far below 0 all of them are 0, "
            "and 0 divided by 0 is NaN; large ones are infinite.",
        ),
        Wrong(
            "two softmaxes",
            wrong_two_softmaxes,
            "Two softmaxes are multiplied, one over the first key and one over the second. There "
            "is one, over all pairs of a query.",
        ),
        Wrong(
            "second key only",
            wrong_rows,
            "The softmax runs over the second key alone, so every first key of the window gets a "
            "unit of its own.",
        ),
        Wrong(
            "first key only",
            wrong_columns,
            "The softmax runs over the first key alone, so every second key of the window gets a "
            "unit of its own.",
        ),
        Wrong("finite mask", finite(-1e4, False), FINITE),
        Wrong("finite mask, zeros", finite(-1e4, True), FINITE),
        Wrong(
            "marginals multiplied",
            wrong_marginals,
            "These are the numbers of (the mean of v1) times (the mean of v2), each under its own "
            "marginal. A mean of products is not the product of the means.",
        ),
        Wrong(
            "values added",
            wrong_values_added,
            "These are the numbers of v1_j + v2_k. The value of a pair is a product.",
        ),
        Wrong(
            "first value only",
            wrong_first_value,
            "v2 is missing: these are the first values, weighted by the marginal over j.",
        ),
        Wrong(
            "values swapped",
            wrong_values_exchanged,
            "v1 and v2 changed places, while k1, k2 and the windows did not.",
        ),
        Wrong(
            "keys swapped",
            wrong_keys,
            "k1 and k2 changed places, while v1, v2 and the windows did not.",
        ),
    ),
    right=(
        Right("one query at a time", right_by_queries),
        Right("windows unfolded", right_unfolded),
        Right("one distance at a time", right_online),
        Right("a list of pairs", right_pairs),
    ),
    hints=(
        "Query i reads w1 first keys and w2 second keys and no others. If they lay before you in "
        "two small tensors, what would be left of the cube for this query?",
        "Either loop over the queries and slice, or give every query its own window: pad w − 1 "
        "positions before the start, unfold, and there is an axis of length w. Which places of "
        "it must be hidden, and for which queries?",
        "k1 → (b, h, s, w1, d), k2 → (b, h, s, w2, d), v1 and v2 alike; logits (b, h, s, w1, w2) "
        "= Σ_d q k1 k2 / √d; −inf where i − w + 1 + place is below 0, in one of the two; one "
        "softmax over both places; Σ over both places of probs v1 v2.",
    ),
    why="A query has w1 · w2 pairs, wherever it stands, so time and memory grow with s and no "
    "longer with its cube. The padded places are hidden like a future.",
    another_way="one distance i − k at a time: shift k2 and v2 by it, ask an ordinary attention "
    "with the window w1 for out and lse, and merge the w2 parts as in exercise 2.4.",
    variants=("float32", "bfloat16", "strided", "large"),
    ask=ask_windowed,
)
