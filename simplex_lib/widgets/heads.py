"""The attention maps of all heads side by side, with a temperature.

`explore_heads` is what a notebook calls. The numbers and words are made in `heads_maps.py`, the
picture in `heads_view.py`.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from simplex_lib.widgets import heads_view
from simplex_lib.widgets.frame import Widget
from simplex_lib.widgets.heads_maps import TOP, HeadsPayload, heads_payload, read_logits
from simplex_lib.widgets.kit import signed, table


def explore_heads(
    q: Tensor | None = None,
    k: Tensor | None = None,
    *,
    probs: Tensor | None = None,
    tokens: Sequence[str] | None = None,
    temperature: float = 1.0,
    head: int = 0,
    query: int | None = None,
    batch: int = 0,
    causal: bool = True,
    scale: float | None = None,
) -> "Heads":
    """The attention maps of all heads, with a temperature that divides their logits.

    Args:
        q, k: (b, h, s, d) and (b, g, s, d); g divides h. Up to 16 heads and 64 positions.
        probs: (b, h, s, s) in place of q and k, every row summing to 1.
        tokens: a word for each position.
        temperature: from 0.1 to 10; 1 is the model itself.
        head, query: which row to read closely. query None: the last one.
        batch: which sequence of the batch.
        causal, scale: as in `dot_product_attention`; not used with probs.
    """
    logits = read_logits(q, k, probs=probs, batch=batch, causal=causal, scale=scale)
    query = logits.shape[-1] - 1 if query is None else query
    return Heads(logits, tokens, temperature=temperature, head=head, query=query)


class Heads(Widget):
    question = "Do heads look at different things?"
    help = "Tab to a slider, then arrow keys; or click a row of a map. T = 1 is the model itself."

    def __init__(self, logits: Tensor, tokens: Sequence[str] | None, **choices: Any) -> None:
        self.logits, self.tokens = logits, tokens
        super().__init__(**choices)

    def payload(self, **choices: Any) -> HeadsPayload:
        return heads_payload(self.logits, tokens=self.tokens, **choices)

    def table(self) -> str:
        p: HeadsPayload = self.seen
        shared = ["–" if n == p.head else f"{x:.0%}" for n, x in enumerate(p.shared)]
        heads = [
            (n, f"{entropy:.2f}", p.reads(n), f"{p.maps[n, p.query, best]:.2f}", share)
            for n, (entropy, best, share) in enumerate(
                zip(p.entropy, p.favourite, shared, strict=True)
            )
        ]
        keys = [(p.key(j), f"{weight:.3f}", signed(logit)) for j, weight, logit in p.top]
        keys += [("–", "", "")] * (min(TOP, len(p.tokens)) - len(keys))  # the table keeps its size
        of = f"query {p.key(p.query)}"
        left = table(
            ["head", "entropy", "reads most", "weight", f"shared with head {p.head}"],
            heads,
            caption=f"Every head, {of}; entropy in nats: 0 = one key, {p.most:.2f} = all alike",
            on=p.head,
        )
        right = table(["key", "weight", "logit"], keys, caption=f"Top keys of head {p.head}", on=0)
        return f'<div class="sx-row"><div>{left}</div><div>{right}</div></div>'

    def controls(self) -> dict[str, Any]:
        return heads_view.controls(self.seen, self.choices)

    def picture(self) -> Any:
        return heads_view.picture(self.seen)

    def draw(self, picture: Any, dark: bool) -> None:
        heads_view.draw(picture, self.seen, dark)

    def bind(self, shown: Any) -> None:
        def row_clicked(trace: Any, points: Any, _: Any) -> None:
            if points.point_inds:
                head, query = divmod(points.point_inds[0], len(self.seen.tokens))
                self.change(head=head, query=query)

        shown.data[0].on_click(row_clicked)

    def still(self) -> bytes:
        return heads_view.still(self.seen)
