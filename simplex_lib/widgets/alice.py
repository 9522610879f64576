"""Which sentence holds both words? Three heads with weights set by hand, and a text to type.

`find_alice` is what a notebook calls. Numbers and words are made in `alice_shares.py`, the live
picture is drawn by `alice_view.py`, the still one by `alice_still.py`; the heads are those of
simplex_lib/tasks/alice.py.
"""

import re
from typing import Any

from simplex_lib.tasks.alice import QUESTION, TEXT, TWICE
from simplex_lib.widgets import alice_still, alice_view
from simplex_lib.widgets.alice_shares import HEADS, AlicePayload, alice_payload, share
from simplex_lib.widgets.frame import page
from simplex_lib.widgets.kit import table
from simplex_lib.widgets.match3_view import buttons
from simplex_lib.widgets.typed import TypedWidget

FAR = (  # the right sentence is longer than four words
    "the rabbit with the white gloves saw alice . alice met the queen . one rabbit was late . "
    "a cat saw alice ."
)


def find_alice(
    text: str = TEXT, question: str = QUESTION, *, beta: float = 12.0, reach: int = 4
) -> "Alice":
    """Find the sentence with both words, by a kernel, a single query, and pairs of keys.

    Args:
        text: up to 10 sentences, each ended by a full stop; 80 words and full stops at most.
        question: two different words.
        beta: sharpness of all three heads, from 0.5 to 50.
        reach: words before a key that the kernel reads, from 1 to 8.
    """
    key = alice_payload(text, question, beta=beta, reach=reach).key
    return Alice(text=text, question=question, beta=beta, reach=reach, key=key)


class Alice(TypedWidget):
    question = "Which sentence holds both words, and which head finds it?"
    help = "Type your own text. Click a word, or arrow keys on a slider, to see its taps."
    lines = 4

    def payload(self, **choices: Any) -> AlicePayload:
        return alice_payload(choices.pop("text"), choices.pop("question"), **choices)

    def change(self, **choices: Any) -> None:
        """Other choices; another text or kernel brings the key to the largest sum."""
        new = self.choices | choices
        others = ("text", "question", "reach")
        if "key" not in choices and any(new[name] != self.choices[name] for name in others):
            choices["key"] = self.payload(**{**new, "key": None}).key
        super().change(**choices)

    def table(self) -> str:
        p: AlicePayload = self.seen
        rows = []
        for n, tokens in enumerate(p.rows):
            sums = [p.sums[j] for j in tokens]
            elsewhere = max(sums[:-1], default=0)
            given = [share(p.shares[name][n]) for name in HEADS]
            rows.append((n + 1, p.text(n), sums[-1], elsewhere, *given))
        head = ["", "sentence", "sum at .", "before", *HEADS]
        on = p.story.right[0] if p.story.right else None
        caption = (
            "The kernel's sum at the full stop and the largest before it; attention of three heads "
            f"at beta = {p.beta:g}"
        )
        made = table(head, rows, caption=caption, on=on)
        look = "white-space: normal; overflow-wrap: anywhere; min-width: 170px; text-align: left"
        made = re.sub(r'(<th scope="row">\d+</th><td)>', rf'\1 style="{look}">', made)
        made = made.replace("<caption>", '<caption style="white-space: normal">')
        return f'<div style="overflow-x: auto">{made}</div>'

    def controls(self) -> dict[str, Any]:
        return alice_view.controls(self.seen, self.choices)

    def rows(self, controls: dict[str, Any]) -> list[list[Any]]:
        import ipywidgets

        acts = {
            "seven sentences": ("One holds both words", lambda: self.tell(TEXT)),
            "alice twice": (
                "A sentence that holds one of the words twice",
                lambda: self.tell(TWICE),
            ),
            "too far": ("A sentence longer than the kernel reaches", lambda: self.tell(FAR)),
        }
        wide = dict(width="100%", flex_flow="row wrap")
        lines = (
            [controls["text"]],
            [controls["question"], *buttons(acts)],
            [controls["reach"], controls["beta"], controls["key"]],
        )
        return [[ipywidgets.HBox(line, layout=wide)] for line in lines]

    def tell(self, text: str) -> None:
        """Another text, with the words and the kernel of the start."""
        self.change(text=text, question=QUESTION, reach=4)

    def adapt(self, controls: dict[str, Any]) -> None:
        alice_view.adapt(controls, self.seen)

    def picture(self) -> Any:
        return page("")

    def draw(self, picture: Any, dark: bool) -> None:
        picture.value = alice_view.board(self.seen, dark)

    def bind(self, shown: Any) -> None:
        shown.observe(self._clicked, "clicked")

    def _clicked(self, event: Any) -> None:
        what, _, n = event["new"].partition(":")
        if what == "key":
            self.change(key=int(n))
        event["owner"].clicked = ""  # so that the same word can be clicked again

    def still(self) -> bytes:
        return alice_still.still(self.seen)
