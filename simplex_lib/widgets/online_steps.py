"""Online softmax for one query, block by block: what is kept, and how it is rescaled.

Read from the bottom: `read_row` picks the query, `online_payload` makes all numbers, the payload
says them in words. The steps are those of `simplex_lib.attention.online_softmax_states`.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from simplex_lib.attention import (
    dot_product_attention_with_lse,
    dot_product_logits,
    online_softmax_states,
)
from simplex_lib.errors import (
    check_inputs,
    require_flag,
    require_groups,
    require_scale,
)
from simplex_lib.widgets.kit import require_index, require_number, signed

MOST_KEYS = 32  # more bars would be too thin to read
FARTHEST = 200.0  # offset, beyond what exp can take in float32 on both sides


@dataclass(frozen=True)
class Row:
    """One query with the keys it sees: q (1, 1, n, d) holds it in its last row."""

    q: Tensor
    k: Tensor
    v: Tensor
    scale: float


@dataclass(frozen=True)
class Step:
    """The state after one block, and what led to it."""

    keys: range
    m: float
    l: float  # noqa: E741  # the letter of the paper
    acc: list[float]
    factor: float  # exp(m before - m), on the old l and acc
    added: float  # what the block brought to l
    plain_l: float  # sum of exp(logit) in float32, without m


@dataclass(frozen=True)
class OnlinePayload:
    """All steps, and the chosen one looked at closely; steps[0] is the empty state."""

    step: int
    offset: float
    steps: list[Step]
    logits: list[float]  # with the offset
    kept: list[float | None]  # exp(logit - m) for the keys read so far, None for the others
    out: list[float]  # acc / l after the last block
    lse: float
    softmax_out: list[float]  # the ordinary softmax over all keys at once
    softmax_lse: float
    plain_out: list[float]  # without m, in float32

    @property
    def done(self) -> bool:
        return self.step == len(self.steps) - 1

    @property
    def sentence(self) -> str:
        """What this block did to m, l and acc, and at the end whether the result is right."""
        if self.step == 0:
            return (
                "Nothing is read yet: m = −∞, l = 0, acc = 0. "
                f"{len(self.logits)} keys wait in {len(self.steps) - 1} blocks."
            )
        old, new = self.steps[self.step - 1], self.steps[self.step]
        largest = max(self.logits[new.keys.start : new.keys.stop])
        text = f"Block {self.step} of {len(self.steps) - 1}, {span(new.keys)}: "
        if self.step == 1:
            text += f"its largest logit {signed(largest)} becomes m; there is nothing to rescale."
        elif new.m > old.m:
            text += (
                f"its largest logit {signed(largest)} is above m = {signed(old.m)}, so m rises, and"
                f" the old l and acc are multiplied by exp({signed(old.m)} − {bracket(new.m)}) = "
                f"{new.factor:.3f}."
            )
        else:
            text += (
                f"its largest logit {signed(largest)} is not above m = {signed(old.m)}: m stays, "
                "the factor is 1."
            )
        return f"{text} {self._result if self.done else self._kept}"

    @property
    def _kept(self) -> str:
        read, size = self.steps[self.step].keys.stop, len(self.out)
        start = f"Of {read} key{'s' * (read > 1)} only m, l and the {size} number{'s' * (size > 1)}"
        return f"{start} of acc are remembered."

    @property
    def _result(self) -> str:
        pairs = zip([*self.out, self.lse], [*self.softmax_out, self.softmax_lse], strict=True)
        apart = max(abs(a - b) for a, b in pairs)
        text = "All keys are read: out = acc / l and lse = m + ln l are those of the ordinary "
        text += f"softmax (largest difference {apart:.0e})." if apart else "softmax."
        if not all(map(math.isfinite, self.plain_out)):
            why = "overflows to ∞" if self.steps[-1].plain_l else "underflows to 0"
            text += f" Without m, the sum of exp(logit) {why} in float32 and out is NaN."
        return text


def online_payload(
    row: Row, *, block_size: int = 4, step: int = 0, offset: float = 0.0
) -> OnlinePayload:
    """Every state of the online softmax over one row, with offset added to all its logits.

    Raises:
        ValueError: block_size is below 1, step is not one of the states, or offset is not from
            -200 to 200.
    """
    require_number(-FARTHEST, FARTHEST, offset=offset)
    # one more coordinate adds the offset to every logit: scale * (1 / scale) * offset
    q = torch.cat([row.q, torch.full_like(row.q[..., :1], 1 / row.scale)], -1)
    k = torch.cat([row.k, torch.full_like(row.k[..., :1], float(offset))], -1)
    logits = dot_product_logits(q, k)[0, 0, -1] * row.scale
    plain = logits.float().exp()

    steps = [Step(range(0), -math.inf, 0.0, [0.0] * row.v.shape[-1], 0.0, 0.0, 0.0)]
    states = online_softmax_states(
        q, k, row.v, block_size=block_size, causal=False, scale=row.scale
    )
    state = None
    for keys, state in states:
        m, total = state.m[0, 0, -1].item(), state.l[0, 0, -1].item()
        factor = math.exp(steps[-1].m - m)
        steps.append(
            Step(
                keys=keys,
                m=m,
                l=total,
                acc=state.acc[0, 0, -1].tolist(),
                factor=factor,
                added=total - steps[-1].l * factor,
                plain_l=plain[: keys.stop].sum().item(),
            )
        )
    assert state is not None
    require_index(len(steps), "one of the states", step=step)

    out, lse = dot_product_attention_with_lse(q, k, row.v, causal=False, scale=row.scale)
    now = steps[step]
    weights = (logits - now.m).exp().tolist() if step else []
    return OnlinePayload(
        step=step,
        offset=float(offset),
        steps=steps,
        logits=logits.tolist(),
        kept=[weights[j] if j < now.keys.stop else None for j in range(len(logits))],
        out=state.out[0, 0, -1].tolist(),
        lse=state.lse[0, 0, -1].item(),
        softmax_out=out[0, 0, -1].tolist(),
        softmax_lse=lse[0, 0, -1].item(),
        plain_out=(plain @ row.v[0, 0].float() / plain.sum()).tolist(),
    )


def read_row(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    batch: int = 0,
    head: int = 0,
    query: int | None = None,
    causal: bool = True,
    scale: float | None = None,
) -> Row:
    """One query of q (b, h, s, d) and the keys and values it sees, in float64.

    Raises:
        ValueError, TypeError: as `dot_product_attention`; batch, head or query does not exist, the
            query sees more than 32 keys, or scale is 0.
    """
    size = check_inputs(q=(q, "b h s d"), k=(k, "b g s d"), v=(v, "b g s dv"))
    groups = require_groups(n_heads=size["h"], n_kv_heads=size["g"], tensor="k")
    require_flag(causal=causal)
    require_scale(scale)
    query = size["s"] - 1 if query is None else query
    require_index(size["b"], "one of the batch", batch=batch)
    require_index(size["h"], "one of the heads", head=head)
    require_index(size["s"], "one of the positions", query=query)
    if scale == 0:
        raise ValueError("scale must not be 0: all logits would be equal; got 0.")
    n = query + 1 if causal else size["s"]
    if n > MOST_KEYS:
        wish = f"query must see at most {MOST_KEYS} keys, or the bars are too thin to read"
        raise ValueError(f"{wish}; got {n} keys. Choose an earlier query or a shorter part.")
    q, k, v = (x.detach().cpu().double()[batch] for x in (q, k, v))
    return Row(
        q=q[head, query].expand(1, 1, n, -1),
        k=k[head // groups, :n][None, None],
        v=v[head // groups, :n][None, None],
        scale=float(size["d"] ** -0.5 if scale is None else scale),
    )


def span(keys: range) -> str:
    return f"key {keys[0]}" if len(keys) == 1 else f"keys {keys[0]} to {keys[-1]}"


def bracket(x: float) -> str:
    """A negative number after a minus stands in brackets."""
    return f"({signed(x)})" if x < 0 else signed(x)
