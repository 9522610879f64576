"""Step through the key blocks of an online softmax.

`explore_online` is what a notebook calls. The numbers and words are made in `online_steps.py`, the
tables in `online_tables.py`, the picture in `online_view.py`.
"""

from typing import Any

import torch
from torch import Tensor

from simplex_lib.errors import require_count, require_tensor
from simplex_lib.widgets import online_tables, online_view
from simplex_lib.widgets.frame import Widget
from simplex_lib.widgets.kit import fit_step
from simplex_lib.widgets.online_steps import OnlinePayload, Row, online_payload, read_row


def explore_online(
    q: Tensor | None = None,
    k: Tensor | None = None,
    v: Tensor | None = None,
    *,
    block_size: int = 4,
    step: int = 0,
    offset: float = 0.0,
    batch: int = 0,
    head: int = 0,
    query: int | None = None,
    causal: bool = True,
    scale: float | None = None,
) -> "Online":
    """Step through the key blocks of one query and see m, l and acc before and after each.

    Args:
        q, k, v: (b, h, s, d), (b, g, s, d) and (b, g, s, dv); g divides h. None, all three: a
            small seeded example of 14 keys.
        block_size: how many keys are read at a time.
        step: after how many blocks to start; 0 is before the first.
        offset: added to every logit, -200 to 200; the result does not depend on it.
        batch, head, query: which row of logits. query None: the last one, at most 32 keys.
        causal, scale: as in `dot_product_attention`.
    """
    if q is None and k is None and v is None:
        q, k, v = _example()
    require_tensor(q=q, k=k, v=v)
    assert q is not None and k is not None and v is not None
    row = read_row(q, k, v, batch=batch, head=head, query=query, causal=causal, scale=scale)
    require_count(block_size=block_size)
    return Online(row, block_size, step=step, offset=offset)


def _example() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(196)  # m rises in blocks 2 and 4, not in 3
    q, k, v = torch.randn(3, 1, 1, 14, 4, generator=generator, dtype=torch.float64)
    return 1.6 * q, k, v[..., :2]


class Online(Widget):
    question = "What must be remembered between blocks?"
    help = "Next and back, or arrow keys on a slider. The offset is added to every logit."
    lines = 4

    def __init__(self, row: Row, block_size: int, **choices: Any) -> None:
        self.row, self.block_size = row, block_size
        super().__init__(**choices)

    def payload(self, **choices: Any) -> OnlinePayload:
        return online_payload(self.row, block_size=self.block_size, **choices)

    def go(self, by: int) -> None:
        """Forward or back by some blocks, as far as there are any."""
        last = len(self.seen.steps) - 1
        self.change(step=min(max(self.choices["step"] + by, 0), last))

    def table(self) -> str:
        return online_tables.tables(self.seen)

    def controls(self) -> dict[str, Any]:
        return online_view.controls(self.seen)

    def rows(self, controls: dict[str, Any]) -> list[list[Any]]:
        back, forward = online_view.buttons(self.go)
        return [[back, forward, controls["step"], controls["offset"]]]

    def adapt(self, controls: dict[str, Any]) -> None:
        fit_step(controls["offset"], self.choices["offset"], 10)

    def picture(self) -> Any:
        return online_view.picture(self.seen)

    def draw(self, picture: Any, dark: bool) -> None:
        online_view.draw(picture, self.seen, dark)

    def still(self) -> bytes:
        return online_view.still(self.seen)
