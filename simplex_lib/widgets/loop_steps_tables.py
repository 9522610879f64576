"""The tables of `step_loop`: the kernel's lines with the row's numbers, the end, the last steps."""

import math

from simplex_lib.widgets.kit import compact, signed, table
from simplex_lib.widgets.loop_steps_payload import LoopPayload, Step
from simplex_lib.widgets.loop_steps_words import bracket

ROWS = 6  # steps shown
MAX = "m_new = tl.maximum(m, tl.max(logits, 1))"
BASE = "base = tl.where(…, 0.0, m_new)"  # … stands for what is too long for a table
SUM = "l = l * rescale + tl.sum(p, 1)"
ACC = "acc = acc * rescale[:, None] + …"
# what is subtracted from logits: m_new, or base where a row may have seen nothing
POWERS = "p = tl.exp2(logits - {}[:, None])"
RESCALE = "rescale = tl.exp2(m - {})"


def tables(p: LoopPayload) -> str:
    return f"{_lines_table(p)}{_result_table(p)}{_steps_table(p)}"


def lines(p: LoopPayload) -> list[str]:
    """The statements of the kernel's loop that the first table repeats."""
    base = "base" if p.pairs_of_keys else "m_new"
    first = [MAX, BASE] if p.pairs_of_keys else [MAX]
    return [*first, POWERS.format(base), RESCALE.format(base), SUM, ACC]


def _lines_table(p: LoopPayload) -> str:
    old, now = p.steps[max(p.step - 1, 0)], p.now
    width = len(now.acc)
    nothing = [("", "", "")] * (len(lines(p)) - 1 + width)
    cells = _cells(p, old, now) if p.step else nothing
    names = [*lines(p), *(f"acc[{c}]" for c in range(1, width))]
    rows = [(name, *three) for name, three in zip(names, cells, strict=True)]
    head = ["line of the loop", f"query {p.query}", "result", "no rescale"]
    return table(head, rows, caption="What the loop computes in this step")


def _cells(p: LoopPayload, old: Step, now: Step) -> list[tuple[str, str, str]]:
    """With which numbers, what comes out, and what would without the rescale."""
    base = 0.0 if math.isinf(now.m) else now.m
    largest = -math.inf if now.largest is None else now.largest
    powers = [0.0 if x is None else 2 ** (x - now.m) for x in now.tile[p.query % len(now.tile)]]
    shown = " ".join("0" if not x else "1" if x == 1 else signed(x) for x in powers)
    first = [(f"max({_short(old.m)}, {_short(largest)})", compact(now.m))]
    if p.pairs_of_keys:
        first.append(("m_new is −∞: 0" if math.isinf(now.m) else "m_new", compact(base)))
    update = [
        *first,
        (shown, f"sum {compact(now.added)}"),
        (f"exp2({_short(old.m)} − {bracket(base)})", compact(now.rescale)),
    ]
    found = [(*pair, "") for pair in update]
    found[-1] = (*update[-1], _if(p, "1"))
    sums = [(old.l, now.l, now.plain_l), *zip(old.acc, now.acc, now.plain_acc, strict=True)]
    for before, after, plain in sums:
        brought = compact(after - before * now.rescale)
        brought = f"− {brought[1:]}" if brought.startswith("−") else f"+ {brought}"
        words = f"{compact(before)} × {compact(now.rescale)} {brought}"
        found.append((words, compact(after), _if(p, compact(plain))))
    return found


def _result_table(p: LoopPayload) -> str:
    now, width = p.now, len(p.out)
    so_far = now.out or [math.nan] * width
    plain = now.plain_out or [math.nan] * width
    names = [*(f"out[{c}]" for c in range(width)), "lse"]
    columns = ([*so_far, now.lse], [*p.out, p.lse], [*p.true_out, p.true_lse])
    rows = [
        (
            name,
            compact(a) if now.l else "…",
            compact(b) if p.done else "…",
            compact(c),
            _if(p, compact(d)) if now.l else "",
        )
        for name, a, b, c, d in zip(names, *columns, [*plain, now.plain_lse], strict=True)
    ]
    head = ["result", "so far", "kernel stores", "definition", "no rescale"]
    return table(head, rows, caption="out = acc / l and lse = (m + log₂ l) · ln 2")


def _steps_table(p: LoopPayload) -> str:
    """Some steps round this one; those to come are still empty, so that nothing moves."""
    first = min(max(p.step - ROWS + 2, 0), max(len(p.steps) - ROWS, 0))
    rows = []
    for n in range(first, min(first + ROWS, len(p.steps))):
        one, width = p.steps[n], len(p.out)
        place = (f"{one.keys[0]} to {one.keys[-1]}" if n else "–",)
        place += ("–" if one.k is None else str(one.k),) if p.pairs_of_keys else ()
        if n > p.step:
            numbers = ["…"] * (4 + width)
        else:
            largest = "masked" if one.largest is None else compact(one.largest)
            out = [compact(x) for x in one.out] if one.out else ["–"] * width
            numbers = [largest if n else "–", compact(one.m), compact(one.rescale) if n else "–"]
            numbers += [compact(one.l), *out]
        rows.append((n, *place, *numbers))
    names = ["step", "tile of j", *(["k"] if p.pairs_of_keys else [])]
    head = [*names, "largest logit", "m", "rescale", "l", *(f"out[{c}]" for c in range(len(p.out)))]
    caption = f"Steps {rows[0][0]} to {rows[-1][0]} of {len(p.steps) - 1}; out is acc / l so far"
    return table(head, rows, caption=caption, on=p.step - first)


def _short(x: float) -> str:
    return compact(x) if math.isinf(x) else signed(x)


def _if(p: LoopPayload, text: str) -> str:
    return text if p.without_rescale else ""
