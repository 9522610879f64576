"""One kernel twice: on the logits before the softmax, on the weights after it.

`compare_pre_post` is what a notebook calls. The numbers and words are made in `pre_post_maps.py`;
panels and controls of the kernel are those of `kernel_editor_view.py`.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from simplex_lib.widgets import kernel_editor_view as view
from simplex_lib.widgets.kernel_editor import KernelEditor
from simplex_lib.widgets.kernel_editor_board import Panel
from simplex_lib.widgets.kernel_editor_presets import preset, read_kernel
from simplex_lib.widgets.kernel_editor_words import name, plain, read_inputs
from simplex_lib.widgets.kit import table
from simplex_lib.widgets.pre_post_maps import PrePostPayload, Row, pre_post_payload

NARROW = 18  # pixels of a cell beside a column of sums


def compare_pre_post(
    q: Tensor | None = None,
    k: Tensor | None = None,
    kernel: Any = "two words",
    *,
    tokens: Sequence[str] | None = None,
    text: str | None = None,
    question: str | None = None,
    entry: tuple[int, int] | None = None,
    c_q: int = 4,
    c_k: int = 5,
    head: int = 0,
    scale: float | None = None,
) -> "PrePost":
    """The same kernel before and after the softmax: sums of rows, signs, and who leads.

    The arguments are those of `edit_kernel`.
    """
    inputs = read_inputs(q, k, tokens, text, question, head=head, scale=scale)
    taps = preset(kernel, c_q, c_k) if isinstance(kernel, str) else read_kernel(kernel, head)
    return PrePost(inputs, kernel=taps, entry=view.first_entry(inputs, taps, entry))


class PrePost(KernelEditor):
    question = "Does the same kernel do the same before and after the softmax?"
    lines = 4

    def payload(self, **choices: Any) -> Any:
        return pre_post_payload(self.inputs, **choices)

    def panels(self) -> list[Panel]:
        p: PrePostPayload = self.seen
        i, j = p.entry
        read = view.read_marks(p.terms["post"], p.entry)
        sums = {side: [plain(row.total) for row in p.rows[side]] for side in p.rows}
        now, negative = {"now": [p.entry]}, sum(row.negative for row in p.rows["post"])
        below = f"{negative} {'entry' if negative == 1 else 'entries'} below 0"
        named: dict[str, Any] = dict(words=p.words, asked=p.asked, kind="shares", at=p.entry)
        return [
            view.map_panel("alone", "softmax without a kernel", p.alone, **named, marks=read,
                           link="raw ", note="orange: what the taps read after the softmax"),
            view.kernel_panel(p.words, p.kernel, p.terms["pre"], p.entry),
            view.map_panel("pre", f"kernel, then softmax: {plain(float(p.pre[i, j]))} here", p.pre,
                           **named, marks=now, sums=sums["pre"], cell=NARROW,
                           note="logits add, so their exponentials multiply"),
            view.map_panel("post", f"softmax, then kernel: {plain(float(p.post[i, j]))} here",
                           p.post, **named, marks=now, sums=sums["post"], cell=NARROW,
                           note=f"weights add; {below if negative else 'none below 0'}"),
        ]  # fmt: skip

    def table(self) -> str:
        p: PrePostPayload = self.seen
        i = p.entry[0]

        def line(side: str, where: str) -> tuple[str, ...]:
            row: Row = p.rows[side][i]
            second = "–" if row.second is None else name(p.words, row.second)
            ahead = "–" if row.ahead is None else f"{plain(row.ahead)} times"
            return (
                where,
                plain(row.total),
                str(row.negative),
                name(p.words, row.best),
                second,
                ahead,
            )

        head = ["kernel", "sum", "below 0", "largest", "next", "largest to next"]
        rows = [line("pre", "before the softmax"), line("post", "after the softmax")]
        return table(head, rows, caption=f"The row of query {name(p.words, i)} on both sides")
