"""The tables of the online softmax: one block's update, the end, and all states."""

import math

from simplex_lib.widgets.kit import compact, table
from simplex_lib.widgets.online_steps import OnlinePayload, span

SHOWN = 3  # coordinates of acc and out


def tables(p: OnlinePayload) -> str:
    beside = f"<div>{_update_table(p)}</div><div>{_result_table(p)}</div>"
    return f'<div class="sx-row">{beside}</div>{_states_table(p)}'


def _update_table(p: OnlinePayload) -> str:
    """m, l and acc before the block, rescaled, and after it."""
    now = p.steps[p.step]
    old = p.steps[p.step - 1] if p.step else now
    kept = [("l", old.l, now.l)]
    kept += [(f"acc[{c}]", *pair) for c, pair in enumerate(zip(old.acc, now.acc, strict=True))]
    rows: list[tuple[str, ...]] = [("m", compact(old.m), "", "", compact(now.m))]
    for name, before, after in kept[: 1 + SHOWN]:
        scaled = before * now.factor
        change = (compact(scaled), compact(after - scaled)) if p.step else ("", "")
        rows.append((name, compact(before), *change, compact(after)))
    factor = "" if not p.step else f": factor = exp(m before − m after) = {compact(now.factor)}"
    caption = "This block" + factor + _cut(p)
    return table(["kept", "before", "× factor", "+ block", "after"], rows, caption=caption)


def _result_table(p: OnlinePayload) -> str:
    """The end: online, ordinary, and without m."""
    names = [f"out[{c}]" for c in range(len(p.out))][:SHOWN]
    total = p.steps[-1].plain_l
    plain_lse = math.log(total) if total else -math.inf
    rows = [
        (name, compact(a) if p.done else "…", compact(b), compact(c))
        for name, a, b, c in zip(
            [*names, "lse"], [*p.out[:SHOWN], p.lse], [*p.softmax_out[:SHOWN], p.softmax_lse],
            [*p.plain_out[:SHOWN], plain_lse], strict=True,
        )
    ]  # fmt: skip
    head = ["result", "online", "softmax", "without m"]
    return table(head, rows, caption="At the end: out = acc / l, lse = m + ln l")


def _states_table(p: OnlinePayload) -> str:
    """One line a block; those not read yet are still empty, so that nothing moves."""
    size = len(p.out[:SHOWN])
    rows = []
    for n, step in enumerate(p.steps):
        read = span(step.keys) if n else "none"
        numbers = ["…"] * (size + 4)
        if n <= p.step:
            kept = [step.m, step.factor, step.l, *step.acc[:SHOWN], step.plain_l]
            numbers = [compact(x) for x in kept]
            numbers[1] = numbers[1] if n > 1 else "–"  # nothing was kept before the first block
        rows.append((n, read, *numbers))
    head = ["after block", "read", "m", "factor", "l", *(f"acc[{c}]" for c in range(size))]
    caption = "All states; the last column is the sum of exp(logit) in float32, without m"
    return table([*head, "without m"], rows, caption=caption, on=p.step)


def _cut(p: OnlinePayload) -> str:
    return f"; the first {SHOWN} of {len(p.out)} coordinates" if len(p.out) > SHOWN else ""
