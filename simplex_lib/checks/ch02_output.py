"""Exercise 2.3: the output of attention over pairs, with windows.

Axes: b batch, h head, i query, j first key, k second key, s sequence length, d head_dim, dv size
of a value.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from simplex_lib.checks.ch02_logits import raw
from simplex_lib.checks.ch02_probs import hide, joint
from simplex_lib.checks.exercise import Difference, Draw, Exercise, Right, Wrong


def attention_inputs(
    draw: Draw, *, b: int, h: int, s: int, d: int, dv: int, w1: int, w2: int
) -> dict[str, Any]:
    keys = {name: draw.normal(b, h, s, d) for name in ("q", "k1", "k2")}
    values = {name: draw.normal(b, h, s, dv) for name in ("v1", "v2")}
    shift_third(**keys)
    return keys | values | dict(w1=w1, w2=w2)


def shift_third(q: Tensor, k1: Tensor, k2: Tensor) -> None:
    """Takes 300,000 off all logits of a third sentence, so that a finite number hides none."""
    q[2:, ..., 0], k1[2:, ..., 0], k2[2:, ..., 0] = math.sqrt(q.shape[-1]), 1, -300_000


def truth_attention(
    q: Tensor, k1: Tensor, k2: Tensor, v1: Tensor, v2: Tensor, w1: int, w2: int
) -> Tensor:
    b, h, s, d = q.shape
    out = torch.zeros(b, h, s, v1.shape[-1], dtype=torch.float64)
    for n in range(b):
        for m in range(h):
            for i in range(s):
                pairs = [
                    (j, k) for j in range(i + 1) for k in range(i + 1) if i - w1 < j and i - w2 < k
                ]
                scores = [float((q[n, m, i] * k1[n, m, j] * k2[n, m, k]).sum()) for j, k in pairs]
                top = max(scores)
                weights = [math.exp((x - top) / math.sqrt(d)) for x in scores]
                for (j, k), weight in zip(pairs, weights, strict=True):
                    out[n, m, i] += weight / sum(weights) * v1[n, m, j] * v2[n, m, k]
    return out


def _steps_back(s: int) -> Tensor:
    return torch.arange(s)[:, None] - torch.arange(s)


def _inside(s: int, w: int) -> Tensor:
    return (_steps_back(s) >= 0) & (_steps_back(s) < w)


def _pairs(s: int, w1: int, w2: int) -> Tensor:
    return _inside(s, w1)[:, :, None] & _inside(s, w2)[:, None, :]


def _scaled(q: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
    return raw(q, k1, k2) / math.sqrt(q.shape[-1])


def _mix(probs: Tensor, v1: Tensor, v2: Tensor) -> Tensor:
    return torch.einsum("bhijk,bhjd,bhkd->bhid", probs, v1, v2)


def _attend(q: Any, k1: Any, k2: Any, v1: Any, v2: Any, visible: Tensor) -> Tensor:
    return _mix(joint(hide(_scaled(q, k1, k2), visible)), v1, v2)


def _probs_of(x: dict[str, Any]) -> Tensor:
    visible = _pairs(x["q"].shape[2], x["w1"], x["w2"])
    return joint(hide(_scaled(x["q"], x["k1"], x["k2"]), visible))


def _named(arguments: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(("q", "k1", "k2", "v1", "v2", "w1", "w2"), arguments, strict=True))


def wrong_attention_unscaled(*arguments: Any) -> Tensor:
    x = _named(arguments)
    visible = _pairs(x["q"].shape[2], x["w1"], x["w2"])
    return _mix(joint(hide(raw(x["q"], x["k1"], x["k2"]), visible)), x["v1"], x["v2"])


def wrong_attention_rows(*arguments: Any) -> Tensor:
    x = _named(arguments)
    visible = _pairs(x["q"].shape[2], x["w1"], x["w2"])
    probs = hide(_scaled(x["q"], x["k1"], x["k2"]), visible).softmax(-1).nan_to_num(0.0)
    return _mix(probs, x["v1"], x["v2"])


def wrong_values_added(*arguments: Any) -> Tensor:
    x = _named(arguments)
    probs = _probs_of(x)
    return probs.sum(-1) @ x["v1"] + probs.sum(-2) @ x["v2"]


def wrong_v2_at_j(*arguments: Any) -> Tensor:
    x = _named(arguments)
    return torch.einsum("bhijk,bhjd,bhjd->bhid", _probs_of(x), x["v1"], x["v2"])


def wrong_values_swapped(*arguments: Any) -> Tensor:
    x = _named(arguments)
    return _mix(_probs_of(x), x["v2"], x["v1"])


def wrong_marginals(*arguments: Any) -> Tensor:
    x = _named(arguments)
    probs = _probs_of(x)
    return (probs.sum(-1) @ x["v1"]) * (probs.sum(-2) @ x["v2"])


def wrong_first_value(*arguments: Any) -> Tensor:
    x = _named(arguments)
    return _probs_of(x).sum(-1) @ x["v1"]


def wrong_attention_keys(q: Any, k1: Any, k2: Any, v1: Any, v2: Any, w1: int, w2: int) -> Tensor:
    return _attend(q, k2, k1, v1, v2, _pairs(q.shape[2], w1, w2))


def wrong_one_more(q: Any, k1: Any, k2: Any, v1: Any, v2: Any, w1: int, w2: int) -> Tensor:
    return _attend(q, k1, k2, v1, v2, _pairs(q.shape[2], w1 + 1, w2 + 1))


def wrong_first_longer(q: Any, k1: Any, k2: Any, v1: Any, v2: Any, w1: int, w2: int) -> Tensor:
    return _attend(q, k1, k2, v1, v2, _pairs(q.shape[2], w1 + 1, w2))


def wrong_second_longer(q: Any, k1: Any, k2: Any, v1: Any, v2: Any, w1: int, w2: int) -> Tensor:
    return _attend(q, k1, k2, v1, v2, _pairs(q.shape[2], w1, w2 + 1))


def wrong_windows_swapped(q: Any, k1: Any, k2: Any, v1: Any, v2: Any, w1: int, w2: int) -> Tensor:
    return _attend(q, k1, k2, v1, v2, _pairs(q.shape[2], w2, w1))


def wrong_no_windows(q: Any, k1: Any, k2: Any, v1: Any, v2: Any, w1: int, w2: int) -> Tensor:
    return _attend(q, k1, k2, v1, v2, _pairs(q.shape[2], 10**6, 10**6))


def wrong_one_window(q: Any, k1: Any, k2: Any, v1: Any, v2: Any, w1: int, w2: int) -> Tensor:
    return _attend(q, k1, k2, v1, v2, _pairs(q.shape[2], w1, w1))


def wrong_window_from_j(q: Any, k1: Any, k2: Any, v1: Any, v2: Any, w1: int, w2: int) -> Tensor:
    s = q.shape[2]
    return _attend(q, k1, k2, v1, v2, _inside(s, w1)[:, :, None] & _inside(s, w2)[None])


def wrong_both_sides(q: Any, k1: Any, k2: Any, v1: Any, v2: Any, w1: int, w2: int) -> Tensor:
    away = _steps_back(q.shape[2]).abs()
    return _attend(q, k1, k2, v1, v2, (away < w1)[:, :, None] & (away < w2)[:, None, :])


def wrong_window_after(q: Any, k1: Any, k2: Any, v1: Any, v2: Any, w1: int, w2: int) -> Tensor:
    s = q.shape[2]
    probs = joint(hide(_scaled(q, k1, k2), _pairs(s, s, s)))
    return _mix(probs * _pairs(s, w1, w2), v1, v2)


def _attend_shortened(arguments: tuple[Any, ...], first: int, second: int) -> Tensor:
    q, k1, k2, v1, v2, w1, w2 = arguments
    return _attend(q, k1, k2, v1, v2, _pairs(q.shape[2], w1 - first, w2 - second))


def wrong_one_less(*arguments: Any) -> Tensor:
    return _attend_shortened(arguments, 1, 1)


def wrong_first_shorter(*arguments: Any) -> Tensor:
    return _attend_shortened(arguments, 1, 0)


def wrong_second_shorter(*arguments: Any) -> Tensor:
    return _attend_shortened(arguments, 0, 1)


def _strict(arguments: tuple[Any, ...], more: int) -> Tensor:
    q, k1, k2, v1, v2, w1, w2 = arguments
    back = _steps_back(q.shape[2])
    first, second = (back > 0) & (back < w1 + more), (back > 0) & (back < w2 + more)
    return _attend(q, k1, k2, v1, v2, first[:, :, None] & second[:, None, :])


def wrong_strict(*arguments: Any) -> Tensor:
    return _strict(arguments, 0)


def wrong_strict_moved(*arguments: Any) -> Tensor:
    return _strict(arguments, 1)


def _finite(arguments: tuple[Any, ...], future: float, outside: float) -> Tensor:
    x = _named(arguments)
    s = x["q"].shape[2]
    logits = hide(_scaled(x["q"], x["k1"], x["k2"]), _pairs(s, x["w1"], x["w2"]), outside)
    return _mix(joint(hide(logits, _pairs(s, s, s), future)), x["v1"], x["v2"])


def wrong_finite_mask(*arguments: Any) -> Tensor:
    return _finite(arguments, -1e4, -1e4)


def wrong_finite_windows(*arguments: Any) -> Tensor:
    return _finite(arguments, -math.inf, -1e4)


def wrong_finite_future(*arguments: Any) -> Tensor:
    x = _named(arguments)
    s, w1, w2 = x["q"].shape[2], x["w1"], x["w2"]
    logits = hide(_scaled(x["q"], x["k1"], x["k2"]), _pairs(s, s, s), -1e4)
    back = _steps_back(s)
    near = (back < w1)[:, :, None] & (back < w2)[:, None, :]
    return _mix(joint(hide(logits, near)), x["v1"], x["v2"])


def right_flat_pairs(q: Any, k1: Any, k2: Any, v1: Any, v2: Any, w1: int, w2: int) -> Tensor:
    probs = _probs_of(_named((q, k1, k2, v1, v2, w1, w2)))
    values = v1[:, :, :, None] * v2[:, :, None]
    return probs.flatten(-2) @ values.flatten(2, 3)


def right_by_windows(q: Any, k1: Any, k2: Any, v1: Any, v2: Any, w1: int, w2: int) -> Tensor:
    rows = []
    for i in range(q.shape[2]):
        j, k = slice(max(0, i - w1 + 1), i + 1), slice(max(0, i - w2 + 1), i + 1)
        merged = (q[:, :, i : i + 1] * k1[:, :, j]) @ k2[:, :, k].transpose(-1, -2)
        probs = joint(merged * q.shape[-1] ** -0.5)
        rows.append(((probs @ v2[:, :, k]) * v1[:, :, j]).sum(2))
    return torch.stack(rows, dim=2)


def _says_one_more(x: Difference) -> str:
    w1, w2 = x.case.sizes["w1"], x.case.sizes["w2"]
    return (
        f"With w1 = {w1} and w2 = {w2} your query reads {w1 + 1} first keys and {w2 + 1} second "
        "keys: each window is one position too long. A window of w counts the query itself."
    )


ATTENTION = Exercise(
    id="2.3",
    title="The output, with windows",
    minutes=12,
    inputs=attention_inputs,
    sizes=(
        dict(b=1, h=2, s=4, d=3, dv=5, w1=6, w2=7),
        dict(b=1, h=2, s=4, d=3, dv=5, w1=3, w2=1),
        dict(b=1, h=2, s=5, d=3, dv=4, w1=9, w2=2),
        dict(b=3, h=1, s=5, d=4, dv=2, w1=2, w2=3),  # with a third sentence, see shift_third
        dict(b=2, h=3, s=6, d=4, dv=5, w1=2, w2=4),
    ),
    truth=truth_attention,
    outputs=("out: b h i d",),
    wrong=(
        Wrong(
            "unscaled",
            wrong_attention_unscaled,
            "The logits were not divided by √d before the softmax, so your maps are sharper than "
            "those of Eq. 5.",
        ),
        Wrong(
            "second key only",
            wrong_attention_rows,
            "The softmax runs over the second key alone, so every first key gets a unit of its "
            "own and all of them are added up.",
        ),
        Wrong(
            "values added",
            wrong_values_added,
            "These are the numbers of v1_j + v2_k. A sum splits into what the first key brings and "
            "what the second brings; the value of a pair is a product, and does not split.",
        ),
        Wrong(
            "v2 read at j",
            wrong_v2_at_j,
            "v2 is read at position j in your sum. The second value belongs to the second key.",
        ),
        Wrong(
            "values swapped",
            wrong_values_swapped,
            "v1 is read at the second key and v2 at the first: the two values changed places.",
        ),
        Wrong(
            "marginals multiplied",
            wrong_marginals,
            "These are the numbers of (the mean of v1) times (the mean of v2), each under its own "
            "marginal. A mean of products is not the product of the means, unless the map is the "
            "product of its marginals.",
        ),
        Wrong(
            "first value only",
            wrong_first_value,
            "v2 is missing: these are the first values, weighted by the marginal over j.",
        ),
        Wrong(
            "keys swapped",
            wrong_attention_keys,
            "k1 and k2 changed places, while v1 and v2 did not: the weight of the pair (j, k) "
            "meets the values of the pair (k, j).",
        ),
        Wrong("window off by one", wrong_one_more, _says_one_more),
        Wrong(
            "first window off by one",
            wrong_first_longer,
            lambda x: (
                f"With w1 = {x.case.sizes['w1']} your query reads {x.case.sizes['w1'] + 1} first "
                "keys; the second window is right."
            ),
        ),
        Wrong(
            "second window off by one",
            wrong_second_longer,
            lambda x: (
                f"With w2 = {x.case.sizes['w2']} your query reads {x.case.sizes['w2'] + 1} second "
                "keys; the first window is right."
            ),
        ),
        Wrong(
            "window too short",
            wrong_one_less,
            lambda x: (
                f"With w1 = {x.case.sizes['w1']} and w2 = {x.case.sizes['w2']} your query reads "
                f"{x.case.sizes['w1'] - 1} first keys and {x.case.sizes['w2'] - 1} second keys: "
                "each window is one position too short."
            ),
        ),
        Wrong(
            "first window too short",
            wrong_first_shorter,
            lambda x: (
                f"With w1 = {x.case.sizes['w1']} your query reads {x.case.sizes['w1'] - 1} first "
                "keys, one too few; the second window is right."
            ),
        ),
        Wrong(
            "second window too short",
            wrong_second_shorter,
            lambda x: (
                f"With w2 = {x.case.sizes['w2']} your query reads {x.case.sizes['w2'] - 1} second "
                "keys, one too few; the first window is right."
            ),
        ),
        Wrong(
            "own position hidden",
            wrong_strict,
            "A query may read its own position, and in your windows it may not. Query 0 has "
            "nothing left to read, and a softmax over nothing is NaN.",
        ),
        Wrong(
            "own position hidden, windows moved back",
            wrong_strict_moved,
            "Your windows have the right length and end one position too early: a query may read "
            "its own position. Query 0 has nothing left to read, and a softmax over nothing is "
            "NaN.",
        ),
        Wrong(
            "finite mask",
            wrong_finite_mask,
            "Hidden logits were set to some finite number, and −10,000, say, is an ordinary "
            "logit: where all visible logits lie lower, the hidden pairs get everything.",
        ),
        Wrong(
            "finite mask, windows",
            wrong_finite_windows,
            "Logits outside the windows were set to some finite number, and −10,000, say, is an "
            "ordinary logit: where all logits inside lie lower, the pairs outside get everything.",
        ),
        Wrong(
            "finite mask, future",
            wrong_finite_future,
            "Logits of the future were set to some finite number, and −10,000, say, is an "
            "ordinary logit: where all logits of the past lie lower, the future gets everything.",
        ),
        Wrong(
            "windows swapped",
            wrong_windows_swapped,
            lambda x: (
                f"The first key may look back over w1 = {x.case.sizes['w1']} positions and the "
                f"second over w2 = {x.case.sizes['w2']}; yours do the opposite."
            ),
        ),
        Wrong(
            "no windows",
            wrong_no_windows,
            "Every query reads its whole past: w1 and w2 change nothing in your numbers.",
        ),
        Wrong(
            "one window for both",
            wrong_one_window,
            "Both keys use w1 in your numbers; the second key has a window of its own, w2.",
        ),
        Wrong(
            "second window from j",
            wrong_window_from_j,
            "Your second window is counted from the first key: j − w2 < k ≤ j. Both windows are "
            "counted from the query, and nothing ties k to j.",
        ),
        Wrong(
            "windows on both sides",
            wrong_both_sides,
            "Your windows reach forward as well as back: query 0 already reads what comes after "
            "it.",
        ),
        Wrong(
            "window after the softmax",
            wrong_window_after,
            "The windows are applied to the probabilities, so the share that pairs outside them "
            "had received is lost and the weights of a query sum to less than 1.",
        ),
    ),
    right=(
        Right("pairs as one axis", right_flat_pairs),
        Right("query by query, only its windows", right_by_windows),
    ),
    hints=(
        "Three steps: score the triples, turn each query's map into probabilities, mix the values. "
        "You wrote the first two already; what is new are the windows and the values.",
        "A pair that lies outside a window is hidden like a pair of the future: before the "
        "softmax. The distances i − j, for all i and j at once, are one subtraction of two "
        "aranges. In the last step, which letters are summed?",
        "back = i − j for all pairs of positions; for every triple (i, j, k), hide it if "
        "back[i, j] or back[i, k] is outside its window; probabilities from what is left; for "
        "every i, add up probability × first value × second value over all (j, k).",
    ),
    why="One weight for each pair, and the pair's value is v1_j ∘ v2_k: einsum sums over j and k "
    "and nothing else.",
    another_way="make the pairs one axis, `probs.flatten(-2) @ (v1[:, :, :, None] * v2[:, :, None])"
    ".flatten(2, 3)`: ordinary attention over s² values. That is a good way to think and a bad "
    "way to compute, for it holds s² values in memory.",
    variants=("float32", "bfloat16", "strided", "large"),
)
