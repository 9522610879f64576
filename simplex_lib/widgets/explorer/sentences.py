"""What one query's map shows, in words: the sentence above the picture and its alt text."""

from __future__ import annotations

import numpy as np

from simplex_lib.widgets.explorer.explaining import ROUNDING, Explained
from simplex_lib.widgets.explorer.recipes import ALL, FIRST, SECOND

OWN_UNIT = {"rows": ("first", "second"), "columns": ("second", "first")}

# While a logit is edited the view fills these in; {names} are numbers and keys.
EDITED = (
    "The logit of {first} with {second} is {after} instead of {before}: its probability goes from "
    "{was} to {now}. "
)
EFFECT = {
    ALL: "All other pairs give or take together, for they share one unit.",
    SECOND: "Only the row of this first key moves: the other rows cannot feel it.",
    FIRST: "Only the column of this second key moves: the other columns cannot feel it.",
}


def say(x: Explained, mode: str, tokens: tuple[str, ...]) -> str:
    """The sentence of one query in one mode."""
    query, rows = f"Query {name(x.query, tokens)}", x.rows[mode]
    if not x.visible.any():
        return f"{query} sees no pair at all: every entry is −inf."
    trouble = faults(x, tokens)
    body = {"asymmetry": _asymmetry, "difference": _difference}.get(mode, _reading)
    text = body(x, query, rows, tokens)
    if mode in ("logits", "difference"):
        text += _logits_apart(x, tokens)
    if mode in ("probs", "logits") and len(rows) > 1 and not trouble:
        text += " " + verdict(x)
    if mode == "probs":
        if x.kept is not None and x.kept < 0.9995:
            text += f" The window would keep {percent(x.kept)} of this."
        if x.drawn < 0.9995:
            text += f" Only {len(x.first)} keys are drawn; they hold {percent(x.drawn)}."
    return " ".join([*trouble, text])


def _reading(x: Explained, query: str, rows: tuple, tokens: tuple[str, ...]) -> str:
    if not rows:
        return f"{query} has no entry that could be drawn."
    r = rows[0]
    pair = f"first key {name(r.first, tokens)} with second key {name(r.second, tokens)}"
    total = float(np.nansum(x.probs))
    even = total / max(1, int(np.isfinite(x.probs).sum()))
    if total == 0:
        return f"{query} gives every pair 0."
    if len(rows) == 1:
        return f"{query} sees one pair only, {pair}: {number(r.prob)}."
    if (ties := int((x.probs > r.prob * (1 - 1e-6)).sum())) > 1:
        return f"{query} is undecided: {ties} pairs share the first place, {number(r.prob)} each."
    if r.prob < min(4 * even, 0.4 * total) and not x.faults.units:
        times = f"{r.prob / even:.1f} times an even share"
        return (
            f"{query} spreads its attention: its best pair, {pair}, gets {number(r.prob)}, {times}."
        )
    after = max((q.prob for q in rows[1:]), default=0.0)
    return f"{query} reads {pair}: {number(r.prob)}, the next pair {number(after)}."


def _asymmetry(x: Explained, query: str, rows: tuple, tokens: tuple[str, ...]) -> str:
    if x.swapped < 5e-4 or not rows:
        return f"{query} treats its two keys alike: swapping them changes nothing."
    r = rows[0]
    return (
        f"{query} tells its two keys apart: {percent(x.swapped)} of its attention moves when they "
        f"swap, most of all {name(r.first, tokens)} before {name(r.second, tokens)}, "
        f"{number(r.prob)} against {number(r.swapped)}."
    )


def _difference(x: Explained, query: str, rows: tuple, tokens: tuple[str, ...]) -> str:
    if x.difference is None or not rows or abs(rows[0].prob - rows[0].other) < ROUNDING:
        return f"{query} gives every pair the same probability in both tensors."
    r, gap = rows[0], float(np.nansum(np.abs(x.difference))) / 2
    return (
        f"{query} differs by {percent(gap)} of a unit, most of all at first key "
        f"{name(r.first, tokens)} with second key {name(r.second, tokens)}: {number(r.prob)} here, "
        f"{number(r.other)} in the other tensor."
    )


def _logits_apart(x: Explained, tokens: tuple[str, ...]) -> str:
    """The two logits where they differ most: a softmax hides what all pairs have in common."""
    if x.other_logits is None:
        return ""
    gap = np.nan_to_num(np.abs(x.logits - x.other_logits))
    if gap.max() <= 1e-6 * max(1.0, float(np.nan_to_num(np.abs(x.logits)).max())):
        return ""
    j, k = np.unravel_index(gap.argmax(), gap.shape)
    mine, theirs, more = float(x.logits[j, k]), float(x.other_logits[j, k]), 2
    while more < 9 and f"{mine:.{more}f}" == f"{theirs:.{more}f}":
        more += 1
    here, there = (f"{v:.{more}f}".replace("-", "−") for v in (mine, theirs))
    first, second = (name(int(at) + x.origin, tokens) for at in (j, k))
    return (
        f" The logits differ, most of all at first key {first} with second key {second}: logit "
        f"{here} here, {there} in the other."
    )


def faults(x: Explained, tokens: tuple[str, ...]) -> list[str]:
    """What is wrong with the map, gravest first; empty for a right one."""
    f, said = x.faults, []
    if f.first_bad:
        marked = f.nan + f.infinite
        what = " or ".join(w for w, c in (("NaN", f.nan), ("infinite", f.infinite)) if c)
        noun = "entry is" if marked == 1 else "entries are"
        text = f"{marked} {noun} {what}, {_first(f.first_bad, marked, tokens)}"
        if x.lse is not None:
            text += "; a softmax over this gives NaN everywhere, so the others are shown without"
            text += " it" if marked == 1 else " them"
        said.append(text + ".")
    if f.first_negative:
        noun = "entry is" if f.negative == 1 else "entries are"
        where = _first(f.first_negative, f.negative, tokens)
        said.append(f"{f.negative} {noun} negative, {where}; a probability cannot be.")
    if abs(f.total - 1) > 5e-4:
        text = f"This map sums to {f.total:.3f}, not to 1"
        if f.units:
            own, over = OWN_UNIT[f.units]
            text += (
                f": each {own} key has a unit of its own, as after a softmax over the {over} key"
            )
            text += f" only. So the query cannot prefer one {own} key to another"
        said.append(text + ".")
    if f.future_pair:
        j, k, p = f.future_pair
        text = (
            f"It looks ahead: {percent(f.future)} lies on keys after the query, most of all first"
        )
        text += f" key {name(j, tokens)} with second key {name(k, tokens)}, {number(p)}"
        if f.future_keys != "both":
            held = "second" if f.future_keys == "first" else "first"
            text += f"; the {held} key is masked, the {f.future_keys} is not"
        said.append(text + ".")
    return said


def _first(pair: tuple[int, int], count: int, tokens: tuple[str, ...]) -> str:
    j, k = pair
    lead = "the first " if count > 1 else ""
    return f"{lead}at first key {name(j, tokens)}, second key {name(k, tokens)}"


def verdict(x: Explained) -> str:
    """Whether the pairs say more than the two keys alone."""
    if x.moved < 0.02:
        alone = ", as any map is that sits on one pair" if np.nanmax(x.probs) > 0.95 else ""
        return f"The map is the product of its marginals{alone}: they alone would give it."
    how = "a little" if x.moved < 0.15 else "" if x.moved < 0.4 else "much"
    return (
        f"The map is {f'{how} more'.strip()} than its marginals: {percent(x.moved)} of it would "
        "have to move to make it their product."
    )


def name(at: int, tokens: tuple[str, ...]) -> str:
    """A key: its number if all tokens are their own numbers, else the token and its number."""
    if tokens[at] == str(at) and all(token == str(n) for n, token in enumerate(tokens)):
        return str(at)
    return f"“{label(tokens[at])}” ({at})"


def label(token: str) -> str:
    """A token that can be seen."""
    return {"": "∅", " ": "␣", "\n": "↵", "\t": "⇥"}.get(token, token.strip() or "␣")


def percent(share: float) -> str:
    return "less than 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def number(p: float) -> str:
    if p == 0 or p >= 0.0995:
        return f"{p:.2f}"
    return f"{p:.3f}" if p >= 0.001 else "less than 0.001"
