"""Draws a `KernelPayload`: four panels, the controls of a kernel, the table of one sum."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from simplex_lib.widgets.kernel_editor_board import Panel
from simplex_lib.widgets.kernel_editor_presets import (
    FAR,
    PRESETS,
    TALLEST,
    WIDEST,
    Taps,
    key_shift,
    preset_of,
)
from simplex_lib.widgets.kernel_editor_taps import KernelPayload, kernel_payload
from simplex_lib.widgets.kernel_editor_words import Inputs, name, plain
from simplex_lib.widgets.kit import table

OWN = "your own"
LONGEST_LABEL = 8  # letters of a word beside a grid
ROOMY = 7  # key taps that may be wide cells


def first_entry(inputs: Inputs, kernel: Taps, entry: tuple[int, int] | None) -> tuple[int, int]:
    """The one asked for, or the largest new logit of the last query."""
    last = len(inputs.words) - 1
    if entry is not None:
        return entry
    return last, int(kernel_payload(inputs, kernel, (last, last)).logits[last].argmax())


def panels(p: KernelPayload) -> list[Panel]:
    reach = 2 * float(p.raw.abs().max()) or 1.0
    at, now = p.entry, {"now": [p.entry]}
    named: dict[str, Any] = dict(words=p.words, asked=p.asked)
    new, share = plain(float(p.logits[at])), f"{float(p.probs[at]):.1%}"
    cut = "no tap would read the future"
    if p.cut.any():
        cut = f"◥ a tap would read the future (i\u00a0−\u00a0j\u00a0<\u00a0{p.band})"
    return [
        map_panel("raw", "raw logits", p.raw, **named, reach=reach, at=at, link="raw ",
                  marks=read_marks(p.terms, at),
                  note="orange: what the taps read; hatched: the future"),
        kernel_panel(p.words, p.kernel, p.terms, at),
        map_panel("logits", f"logits after the kernel: {new} here", p.logits, **named, reach=reach,
                  at=at, marks=now | {"cut": cells(p.cut)}, note=cut),
        map_panel("probs", f"softmax of each row: {share} here", p.probs, **named, kind="shares",
                  at=at, marks=now, note="the shares of a query, which sum to 1"),
    ]  # fmt: skip


def map_panel(
    which: str,
    title: str,
    numbers: Tensor,
    *,
    words: Sequence[str],
    asked: int | None,
    marks: dict[str, list[tuple[int, int]]],
    **options: Any,
) -> Panel:
    """A map over queries (down) and keys (across), hatched above its diagonal."""
    s, labels = len(words), [short(word) for word in words]
    future = [(i, j) for i in range(s) for j in range(i + 1, s)]
    options = dict(kind="logits") | options
    if "link" in options:
        options["links"] = [[f"{i},{j}" for j in range(s)] for i in range(s)]
    return Panel(which, title, labels, labels, numbers.tolist(), split=asked,
                 marks=marks | {"off": future}, **options)  # fmt: skip


def kernel_panel(
    words: Sequence[str], kernel: Taps, terms: list[list[Any]], entry: tuple[int, int]
) -> Panel:
    """The taps, with the words that they read for this entry."""
    (i, j), s = entry, len(words)
    c_q, c_k = len(kernel), len(kernel[0])
    down, across = [], []
    for row in range(c_q):
        back = c_q - 1 - row
        at = f"i−{back}" if back else "i"
        down.append(f"{short(words[i - back])} {at}" if i - back >= 0 else f"– {at}")
    for column in range(c_k):
        off = column - c_k // 2
        word = short(words[j + off]) if 0 <= j + off < s else "–"
        across.append(f"{key_shift(off)} {word}")
    links = [
        [f"{i - t.back},{j + t.off}" if t.fate != "outside" else "" for t in row] for row in terms
    ]
    spots = [(r, c) for r in range(c_q) for c in range(c_k)]
    marks = {
        "read": [(r, c) for r, c in spots if terms[r][c].product],
        "cut": [(r, c) for r, c in spots if terms[r][c].fate == "future" and kernel[r][c]],
    }
    note = f"taps of query {name(words, i)}, key {name(words, j)}; orange: a logit other than 0"
    title = f"kernel, {c_q} × {c_k}"
    return Panel("kernel", title, down, across, kernel, "logits", 2.0, note, True,
                 cell=27 if c_k <= ROOMY else 22,
                 at=(c_q - 1, c_k // 2), marks=marks, links=links, link="raw ")  # fmt: skip


def read_marks(terms: list[list[Any]], entry: tuple[int, int]) -> dict[str, list[tuple[int, int]]]:
    """On the raw logits: what taps meet, what lies in their window, and the entry itself."""
    i, j = entry
    inside = [t for row in terms for t in row if t.fate == "read"]
    return {
        "read": [(i - t.back, j + t.off) for t in inside if t.tap],
        "near": [(i - t.back, j + t.off) for t in inside if not t.tap],
        "now": [entry],
    }


def cells(map_: Tensor) -> list[tuple[int, int]]:
    return [(int(i), int(j)) for i, j in map_.nonzero().tolist()]


def short(word: str) -> str:
    return word if len(word) <= LONGEST_LABEL else f"{word[: LONGEST_LABEL - 1]}…"


def table_of(p: KernelPayload) -> str:
    """Tap times logit, as the kernel lies; and row by row what they add up to."""
    (i, j), s = p.entry, len(p.words)
    c_q, c_k = len(p.kernel), len(p.kernel[0])
    sign = {"outside": "–", "future": "◥ 0"}
    rows = []
    for row in p.terms:
        back = row[0].back
        word = p.words[i - back] if i >= back else "–"
        products = [plain(t.product) if t.fate == "read" else sign[t.fate] for t in row]
        rows.append((f"{'i' if not back else f'i−{back}'} {short(word)}", *products,
                     plain(sum(t.product for t in row))))  # fmt: skip
    total = plain(float(torch.tensor([t.product for row in p.terms for t in row]).sum()))
    rows.append(("sum", *[""] * c_k, total if j <= i else "hidden"))
    keys = [j + column - c_k // 2 for column in range(c_k)]
    head = ["tap × logit", *(short(p.words[n]) if 0 <= n < s else "–" for n in keys), "sum"]
    caption = (
        f"What query {name(p.words, i)} reads for key {name(p.words, j)}; ◥ the future, "
        "– outside the text"
    )
    return f'<div style="overflow-x: auto">{table(head, rows, caption=caption, on=c_q)}</div>'


def require_tap(tap: Any, where: str, *, what: str = "tap") -> None:
    if isinstance(tap, bool) or not isinstance(tap, int | float) or not -FAR <= tap <= FAR:
        got = repr(tap) if isinstance(tap, str) else plain(tap) if tap == tap else "NaN"
        raise ValueError(f"The {what} {where} must lie between −{FAR:g} and {FAR:g}; got {got}.")


class KernelControls:
    """Preset and size of a kernel; they follow the taps as much as they set them."""

    def __init__(self, kernel: Taps) -> None:
        import ipywidgets

        style = dict(description_width="initial")
        self.preset = ipywidgets.Dropdown(
            options=[*PRESETS, OWN], value=preset_of(kernel) or OWN, description="kernel",
            style=style, layout=dict(width="180px"),
        )  # fmt: skip
        self.c_q = ipywidgets.IntSlider(
            len(kernel), min=1, max=TALLEST, description="c_q queries", style=style,
            layout=dict(width="212px", margin="2px 2px 2px 12px"),
        )  # fmt: skip
        self.c_k = ipywidgets.IntSlider(
            len(kernel[0]), min=1, max=WIDEST, step=2, description="c_k keys", style=style,
            layout=dict(width="204px", margin="2px 2px 2px 8px"),
        )  # fmt: skip
        self.row = [
            ipywidgets.HBox(
                [self.preset, self.c_q, self.c_k], layout=dict(width="100%", flex_flow="row wrap")
            )
        ]
        self._showing = False

    def observe(self, chosen: Callable[[str], None], sized: Callable[[int, int], None]) -> None:
        def preset_changed(event: Any) -> None:
            if not self._showing and event["new"] != OWN:
                chosen(event["new"])

        def size_changed(_: Any) -> None:
            if not self._showing:
                sized(self.c_q.value, self.c_k.value)

        self.preset.observe(preset_changed, "value")
        self.c_q.observe(size_changed, "value")
        self.c_k.observe(size_changed, "value")

    def show(self, kernel: Taps) -> None:
        self._showing = True
        self.preset.value = preset_of(kernel) or OWN
        self.c_q.value, self.c_k.value = len(kernel), len(kernel[0])
        self._showing = False
