"""Exercise 3.6, choosing c: safe on the hardest input of a length, and not needlessly large.

Axes: s sequence length. M is called modulus.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from simplex_lib.checks.exercise import Draw, Exercise, Rejected, Right, Wrong

THRESHOLD = 0.3
TIMES = 2  # how many times the smallest safe factor is still not too large
# where known formulas are told from each other
PROBES = ((1, 2), (2, 5), (5, 11), (8, 37), (31, 64), (7, 100))


def choose_inputs(draw: Draw, *, s: int, m: int) -> dict[str, Any]:
    if m % 3 == 0 and (m == 3 or s < 3):
        raise ValueError("where 3 divides M, short inputs have misses that are less near")
    return dict(seq_len=s, modulus=m)


def truth_choose(seq_len: int, modulus: int) -> float:
    """Of a factor that passes: nothing is left to say."""
    return 0.0


def hardest(s: int, modulus: int) -> list[int]:
    """No query matches less clearly: query 0 has as many pairs that miss by one as there can be."""
    if modulus % 3:
        return [pow(3, -1, modulus)] * s
    return [1] + [modulus - 1] * (s - 1)  # only the query with itself misses by more


def blank_ratio(s: int, modulus: int, c: float) -> float:
    """What the misses of query 0 weigh together, with the blank pair as 1."""
    row, total = hardest(s, modulus), 0.0
    for y in set(row):
        for z in set(row):
            miss = (row[0] + y + z) % modulus
            weight = math.exp(min(700.0, -c * (1 - math.cos(2 * math.pi * miss / modulus))))
            total += row.count(y) * row.count(z) * weight
    return total


def smallest(s: int, modulus: int) -> float:
    """The smallest c whose share is not above the threshold, by halving an interval."""
    low, high = 0.0, 1.0
    limit = THRESHOLD / (1 - THRESHOLD)
    while blank_ratio(s, modulus, high) > limit:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if blank_ratio(s, modulus, middle) > limit else (low, middle)
    return high


def above(share: float) -> str:
    """With so many digits that it is seen to be above the threshold."""
    digits = 3
    while digits < 12 and float(f"{share:.{digits}f}") <= THRESHOLD:
        digits += 1
    return f"{share:.{digits}f}"


def number(found: Any) -> float:
    if found is None:
        raise Rejected("none", "Your answer returns None. Is a return statement missing?")
    if isinstance(found, Tensor) and found.numel() == 1 and not found.is_complex():
        found = found.item()
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise Rejected("type", f"c should be one number; yours is a {type(found).__name__}.")
    if not math.isfinite(found):
        raise Rejected("not finite", f"c should be finite; yours is {found}.")
    return float(found)


def ask_choose(answer: Any, arguments: Mapping[str, Any]) -> float:
    s, modulus = arguments.values()
    c, needed = number(answer(s, modulus)), smallest(s, modulus)
    here = f"For seq_len = {s} and modulus = {modulus} your c is {c:.4g}"
    if c <= 0:
        raise known(answer) or Rejected(
            "not positive",
            f"{here}. It must be positive, or a match scores no more than a miss.",
        )
    if c < needed * (1 - 1e-6):
        ratio = blank_ratio(s, modulus, c)
        row = hardest(s, modulus)
        shown = str(row) if s < 9 else f"[{row[0]}" + (f", {row[1]}" * 2) + ", ...]"
        raise known(answer) or Rejected(
            "too small",
            f"{here}. On the input {shown} query 0 has no match, and its share is "
            f"{above(ratio / (1 + ratio))}, above 0.3: each pair is a miss, and together they "
            "weigh too much.",
        )
    if c > TIMES * needed * (1 + 1e-6):
        raise known(answer) or Rejected(
            "too large",
            f"{here}. It makes no mistake, and {c / needed:.3g} times less would do.",
        )
    return 0.0


def gap(modulus: int) -> float:
    return 1 - math.cos(2 * math.pi / modulus)


def _odds() -> float:
    return math.log((1 - THRESHOLD) / THRESHOLD)


def wrong_half(s: int, modulus: int) -> float:
    return 2 * math.log(s) / gap(modulus)


def wrong_one_logarithm(s: int, modulus: int) -> float:
    return (math.log(s) + _odds()) / gap(modulus)


def wrong_one_logarithm_half(s: int, modulus: int) -> float:
    return math.log(s) / gap(modulus)


def wrong_one_miss(s: int, modulus: int) -> float:
    return _odds() / gap(modulus)


def wrong_unordered(s: int, modulus: int) -> float:
    return (math.log(s * (s + 1) / 2) + _odds()) / gap(modulus)


def wrong_odds_upside_down(s: int, modulus: int) -> float:
    return (2 * math.log(s) - _odds()) / gap(modulus)


def wrong_share_for_odds(s: int, modulus: int) -> float:
    return (2 * math.log(s) - math.log(1 - THRESHOLD)) / gap(modulus)


def wrong_small_angle(s: int, modulus: int) -> float:
    return (2 * math.log(s) + _odds()) * modulus**2 / (2 * math.pi**2)


def wrong_order(s: int, modulus: int) -> float:
    return modulus**2 * math.log(s) / math.pi**2


def wrong_order_bare(s: int, modulus: int) -> float:
    return modulus**2 * math.log(s)


def wrong_degrees(s: int, modulus: int) -> float:
    return (2 * math.log(s) + _odds()) / (1 - math.cos(360 / modulus))


def wrong_half_circle(s: int, modulus: int) -> float:
    return (2 * math.log(s) + _odds()) / (1 - math.cos(math.pi / modulus))


def wrong_half_gap(s: int, modulus: int) -> float:
    return (2 * math.log(s) + _odds()) / math.sin(math.pi / modulus) ** 2


def wrong_no_circle(s: int, modulus: int) -> float:
    return (2 * math.log(s) + _odds()) / (1 - math.cos(1 / modulus))


def wrong_cosine(s: int, modulus: int) -> float:
    return (2 * math.log(s) + _odds()) / math.cos(2 * math.pi / modulus)


def wrong_times_gap(s: int, modulus: int) -> float:
    return (2 * math.log(s) + _odds()) * gap(modulus)


def wrong_no_gap(s: int, modulus: int) -> float:
    return 2 * math.log(s) + _odds()


def wrong_log10(s: int, modulus: int) -> float:
    return (2 * math.log10(s) + math.log10(7 / 3)) / gap(modulus)


def wrong_no_logarithm(s: int, modulus: int) -> float:
    return s * s / gap(modulus)


def wrong_logarithm_of_modulus(s: int, modulus: int) -> float:
    return (2 * math.log(modulus) + _odds()) / gap(modulus)


def wrong_constant(s: int, modulus: int) -> float:
    return 1000.0


def right_bound(s: int, modulus: int) -> float:
    return (2 * math.log(s) + _odds()) / gap(modulus)


def right_margin(s: int, modulus: int) -> float:
    return (2 * math.log(s) + 1) / (2 * math.sin(math.pi / modulus) ** 2)


def right_doubling(s: int, modulus: int) -> float:
    """Tries larger and larger factors on the worst sum, without a logarithm."""
    c = 0.1
    while (total := s * s * math.exp(-c * gap(modulus))) / (1 + total) > THRESHOLD:
        c *= 1.1
    return c


def known(answer: Callable[[int, int], Any]) -> Rejected | None:
    """The formula that gives the answer's numbers for every length and modulus tried."""
    mine = [number(answer(s, m)) for s, m in PROBES]
    for wrong in WRONG:
        if wrong.answer is wrong_constant:
            if len(set(mine)) == 1:
                return Rejected(
                    wrong.name,
                    f"Your c is {mine[0]:.6g} for every length and every modulus. "
                    f"{wrong.sentence(None)}",
                )
            continue
        theirs = [wrong.answer(s, m) for s, m in PROBES]
        if all(abs(a - b) <= 1e-6 * abs(b) for a, b in zip(mine, theirs, strict=True)):
            return Rejected(wrong.name, wrong.sentence(None))
    return None


WRONG = (
    Wrong(
        "share of 0.3 forgotten",
        wrong_half,
        "With your c the misses together weigh as much as the blank pair in the worst case: their "
        "share is 1/2 then, and it may be 0.3 at most.",
    ),
    Wrong(
        "one logarithm",
        wrong_one_logarithm,
        "Your c would do for s misses. A query has s² pairs, and on the hardest input each of them "
        "misses by one.",
    ),
    Wrong(
        "one logarithm and a share of 1/2",
        wrong_one_logarithm_half,
        "Two things at once. Your c would do for s misses, and a query has s² pairs; and it allows "
        "them a share of 1/2, where 0.3 is the limit.",
    ),
    Wrong(
        "one miss",
        wrong_one_miss,
        "Your c keeps one near miss below 0.3. There may be s² of them, and their weights add up.",
    ),
    Wrong(
        "each pair once",
        wrong_unordered,
        "Your c counts the pairs (j, k) and (k, j) as one. In the softmax they are two.",
    ),
    Wrong(
        "share upside down",
        wrong_odds_upside_down,
        "The number that turns the share of 0.3 into a weight enters with the wrong sign: it makes "
        "your c smaller, and a limit below 1/2 should make it larger.",
    ),
    Wrong(
        "share of what",
        wrong_share_for_odds,
        "Your c allows the misses a weight of 0.7 beside the blank pair's 1. Their share is then "
        "0.7 of 1.7, which is more than 0.3.",
    ),
    Wrong(
        "small angle",
        wrong_small_angle,
        "The cosine is replaced by the parabola 1 − x²/2. That makes the gap look larger than it "
        "is, so your c is a little too small, most of all for small moduli.",
    ),
    Wrong(
        "order of growth",
        wrong_order,
        "This is M² times ln s over π², which says how c grows. It leaves out what the share of "
        "0.3 adds, and is 0 for a single token.",
    ),
    Wrong(
        "order of growth, without its constant",
        wrong_order_bare,
        "This is M² times ln s. It grows as c must grow, and the constant in front is another; for "
        "a single token it is 0.",
    ),
    Wrong(
        "degrees",
        wrong_degrees,
        "The angle of a near miss is 360 degrees over M, and your cosine takes it for radians.",
    ),
    Wrong(
        "half a circle",
        wrong_half_circle,
        "A near miss is a whole circle over M away from a match, and you take half of that: your "
        "gap is about four times too small, and c as much too large.",
    ),
    Wrong(
        "half the gap",
        wrong_half_gap,
        "Your c is twice what s² near misses ask for, as with half the gap: 1 − cos x is twice the "
        "square of the sine of x/2. Where 3 divides M fewer pairs can miss by one, a little less "
        "is enough, and your c is more than twice that.",
    ),
    Wrong(
        "no circle",
        wrong_no_circle,
        "The angle of a near miss is taken as 1/M, without 2π: your gap is about forty times too "
        "small, and c as much too large.",
    ),
    Wrong(
        "score for gap",
        wrong_cosine,
        "You divide by what a near miss scores. What counts is how far below a match that is.",
    ),
    Wrong(
        "times the gap",
        wrong_times_gap,
        "You multiply by the gap between a match and a near miss. The smaller the gap, the larger "
        "c has to be.",
    ),
    Wrong(
        "no gap",
        wrong_no_gap,
        "Your c does not depend on the modulus. The more numbers there are on the circle, the "
        "closer a near miss comes to a match.",
    ),
    Wrong(
        "base 10",
        wrong_log10,
        "The logarithm has base 10, and the softmax works with e: your c is 2.3 times too small.",
    ),
    Wrong(
        "no logarithm",
        wrong_no_logarithm,
        "Your c grows like s². The weight of a miss falls exponentially with c, so a logarithm of "
        "the number of misses is enough.",
    ),
    Wrong(
        "logarithm of the modulus",
        wrong_logarithm_of_modulus,
        "Your c counts M² misses. There is one for each pair of tokens, and the length decides how "
        "many that are.",
    ),
    Wrong(
        "the same everywhere",
        wrong_constant,
        "What is enough depends on both.",
    ),
)

CHOOSE = Exercise(
    id="3.6",
    title="How large must c be?",
    minutes=8,
    inputs=choose_inputs,
    sizes=(
        dict(s=2, m=5),
        dict(s=8, m=5),
        dict(s=5, m=9),
        dict(s=1, m=7),
        dict(s=32, m=97),
        dict(s=64, m=2),
        dict(s=4, m=997),
    ),
    truth=truth_choose,
    outputs=("what is left to say",),
    wrong=WRONG,
    right=(
        Right("the bound", right_bound),
        Right("the bound with a margin, and a sine", right_margin),
        Right("larger and larger factors", right_doubling),
    ),
    hints=(
        "Take the worst case: no pair of a query matches, and every pair misses by as little as "
        "possible. What does each of them score, and how many are there?",
        "Divide the whole softmax by the weight of the blank pair. A near miss then weighs e to "
        "the power of −c times a gap. How much may all of them weigh together, if their share is "
        "to be 0.3?",
        "share = r / (1 + r) with r = s² e^(−c · gap), and gap = 1 minus the cosine of a circle "
        "over M. Solve share = 0.3 for r, then r for c. A small margin does no harm.",
    ),
    why="c grows with the logarithm of the length and, since 1 − cos x is nearly x²/2, with the "
    "square of the modulus: M² ln s. Precision has to keep up with it.",
    another_way="without a formula: start with a small c and double it until the share of the "
    "hardest input is below 0.3. That takes few steps, since doubling reaches any size quickly.",
    variants=(),
    ask=ask_choose,
    smallest=dict(m=2),
    same_dtype=False,
)
