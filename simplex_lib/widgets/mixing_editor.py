"""The heads of a group and the matrix that mixes them, before or after the softmax.

`edit_mixing` is what a notebook calls. The numbers and words are made in `mixing_editor_heads.py`;
the board is that of `kernel_editor_board.py`.
"""

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor

from simplex_lib.widgets.kernel_editor_board import Editor, Panel
from simplex_lib.widgets.kernel_editor_presets import with_tap
from simplex_lib.widgets.kernel_editor_view import OWN, map_panel, require_tap, short
from simplex_lib.widgets.kernel_editor_words import name, plain
from simplex_lib.widgets.kit import WIDTH, table
from simplex_lib.widgets.mixing_editor_heads import (
    PRESETS,
    WHEN,
    Group,
    MixingPayload,
    mixing_payload,
    preset_of,
    read_group,
)

GAP, LETTER = 10, 7.8  # pixels between maps; of a bold letter
STAGES = {
    "before": ("logits", "mixed logits", "softmax"),
    "after": ("logits", "softmax", "mixed weights"),
}


def edit_mixing(
    q: Tensor | None = None,
    k: Tensor | None = None,
    mixing: Any = "sum",
    *,
    when: Literal["before", "after"] = "before",
    tokens: Sequence[str] | None = None,
    group: int = 0,
    head: int = 0,
    entry: tuple[int, int] | None = None,
    scale: float | None = None,
) -> "MixingEditor":
    """Mix the maps of the heads of a group and see what each new head reads.

    Args:
        q, k: (1, h, s, d) and (1, g, s, d), up to 10 positions. None: seven things, of which one
            head asks for the white ones and the other for the animals.
        mixing: (c, c) or (n, c, c), [new head, old head], up to 4 heads a group; or a preset:
            "identity", "sum", "average", "contrast".
        when: "before" the softmax, on logits, or "after" it, on weights.
        tokens: a word for each position of q and k.
        group: which group of a mixing (n, c, c) with n * c = h.
        head, entry: the new head, and its query and key, looked at closely. entry None: the
            largest one of the last query.
        scale: factor on the logits of q and k. None: 1 / sqrt(d).
    """
    found, numbers = read_group(q, k, tokens, mixing, group, scale)
    if entry is None:
        last = len(found.words) - 1
        start = mixing_payload(found, numbers, when, head, (last, last))
        entry = last, int(start.stages[2][head, last].argmax())
    return MixingEditor(found, mixing=numbers, when=when, head=head, entry=entry)


class MixingEditor(Editor):
    question = "What do heads find when their maps are mixed?"
    help = (
        "Click a number of the mixing: 0 or 1. Arrow keys move, + and − change it, digits or Enter "
        "type one. Click an entry to see its sum."
    )
    lines = 3

    def __init__(self, group: Group, **choices: Any) -> None:
        self.group = group
        super().__init__(**choices)

    def payload(self, **choices: Any) -> MixingPayload:
        return mixing_payload(self.group, **choices)

    def panels(self) -> list[Panel]:
        p: MixingPayload = self.seen
        reach = 2 * float(p.stages[0].abs().max()) or 1.0
        found = [self._mixing_panel(p)]
        for head, old in enumerate(p.heads):
            for stage, title in enumerate(STAGES[p.when]):
                new, logits = stage >= p.mixed, "logits" in title
                marks = {"now": [p.entry]} if new and head == p.head else {}
                if stage == p.mixed - 1 and p.mixing[p.head][head]:
                    marks = {"read": [p.entry]}
                whose = f"new head {head}" if new else old
                found.append(
                    map_panel(f"h{head}s{stage}", f"{title}, {whose}", p.stages[stage][head],
                              words=p.words, asked=p.asked, reach=reach if logits else 1.0,
                              kind="logits" if logits else "shares", at=p.entry, marks=marks,
                              cell=cell_width(p.words))
                )  # fmt: skip
        return found

    def _mixing_panel(self, p: MixingPayload) -> Panel:
        c, old = len(p.heads), [short(head) for head in p.heads]
        return Panel(
            "mixing", "mixing", [f"new head {o}" for o in range(c)], old, p.mixing, "logits", 2.0,
            note="Each row is a new head: how much it takes of every old one. "
            f"New head {p.head} at the frame: {plain(p.total)}.",
            edit=True, cell=30,
            at=(p.head, 0), marks={"read": [(p.head, e) for e in range(c)]},
        )  # fmt: skip

    def told(self, panel: str, row: int, column: int, new: Any) -> None:
        if panel != "mixing":
            head, stage = int(panel[1]), int(panel[3])
            self.change(entry=(row, column), **({"head": head} if stage >= self.seen.mixed else {}))
        elif new is not None:
            x = new(self.choices["mixing"][row][column])
            require_tap(x, f"(new head {row}, {self.seen.heads[column]})", what="number")
            self.change(head=row, mixing=with_tap(self.choices["mixing"], row, column, x))

    def table(self) -> str:
        p: MixingPayload = self.seen
        (i, j), what = p.entry, "logit" if p.when == "before" else "weight"
        rows = [
            (head, plain(m), plain(x), plain(m * x))
            for head, (m, x) in zip(p.heads, p.terms, strict=True)
        ]
        rows.append(("sum", "", "", plain(sum(m * x for m, x in p.terms)) if j <= i else "hidden"))
        caption = f"New head {p.head}: query {name(p.words, i)}, key {name(p.words, j)}"
        left = table(["head", "mixing", what, "product"], rows, caption=caption, on=len(p.heads))
        keys = [(name(p.words, n), *(plain(float(x)) for x in p.stages[2][:, i, n]))
                for n in _largest(p)]  # fmt: skip
        right = table(
            ["key", *(f"new head {o}" for o in range(len(p.heads)))], keys,
            caption=f"What query {name(p.words, i)} reads in the end",
        )  # fmt: skip
        return f'<div class="sx-row"><div>{left}</div><div>{right}</div></div>'

    def controls(self) -> dict[str, Any]:
        import ipywidgets

        options = [(f"{when} the softmax", when) for when in WHEN]
        style = dict(description_width="initial")
        return dict(
            when=ipywidgets.Dropdown(
                options=options, value=self.seen.when, description="mix", style=style,
                layout=dict(width="196px"),
            ),
            head=ipywidgets.IntSlider(
                self.seen.head, min=0, max=len(self.seen.heads) - 1, description="new head",
                style=style, layout=dict(width="204px", margin="2px 2px 2px 10px"),
            ),
        )  # fmt: skip

    def rows(self, controls: dict[str, Any]) -> list[list[Any]]:
        import ipywidgets

        self._preset = ipywidgets.Dropdown(
            options=[*PRESETS, OWN], value=preset_of(self.seen.mixing) or OWN,
            description="mixing", style=dict(description_width="initial"),
            layout=dict(width="186px", margin="2px 2px 2px 10px"),
        )  # fmt: skip
        self._preset.observe(self._preset_chosen, "value")
        row = [controls["when"], self._preset, controls["head"]]
        return [[ipywidgets.HBox(row, layout=dict(width="100%", flex_flow="row wrap"))]]

    def adapt(self, controls: dict[str, Any]) -> None:
        self._preset.value = preset_of(self.seen.mixing) or OWN

    def _preset_chosen(self, event: Any) -> None:
        if event["new"] != OWN:
            self.attempt(lambda: self.change(mixing=PRESETS[event["new"]](len(self.group.q))))

    def still(self) -> bytes:
        from simplex_lib.widgets.kernel_editor_still import still  # matplotlib

        return still(self.panels(), across=3)


def cell_width(words: Sequence[str]) -> int:
    """Of a cell, so that three maps and their labels stand in one line."""
    label = LETTER * max(len(short(word)) for word in words) + 6
    return min(20, int(((WIDTH - 2 * GAP) / 3 - label) / len(words)) - 1)


def _largest(p: MixingPayload) -> list[int]:
    """The keys that some new head reads most, at most as many as the left table has rows."""
    i = p.entry[0]
    strength = p.stages[2][:, i, : i + 1].abs().amax(0)
    return strength.argsort(descending=True, stable=True)[: len(p.heads) + 2].tolist()
