"""Match3 in one determinant head, with numbers that the learner types.

`explore_match3` is what a notebook calls. The numbers and words are made in `match3_pairs.py`, the
heads are run in `match3_heads.py`, the live picture is drawn by `match3_view.py` and
`match3_panels.py`, the still one by `match3_still.py`.
"""

from collections.abc import Sequence
from typing import Any

from simplex_lib.widgets import match3_still, match3_view
from simplex_lib.widgets.frame import Widget
from simplex_lib.widgets.kit import table
from simplex_lib.widgets.match3_heads import enough_c, hardest_numbers, random_numbers
from simplex_lib.widgets.match3_pairs import (
    Match3Payload,
    compact_c,
    match3_payload,
    read_numbers,
    write_numbers,
    yes_no,
)


def explore_match3(
    numbers: Sequence[int] | str = (3, 1, 4, 1, 5, 9, 2, 6),
    modulus: int = 17,
    *,
    token: int = 0,
    c: float | None = None,
    dtype: str = "float64",
) -> "Match3":
    """Which pairs complete a token to 0 modulo M, and whether a hand-built head finds it.

    Args:
        numbers: the tokens, up to 12 whole numbers from 0 to modulus - 1.
        modulus: M, from 2 to 9999.
        token: which one to start with.
        c: factor on the query, from 0.1 to 1e8. None: enough for every input of this size.
        dtype: of the head's arithmetic: 'float64', 'float32' or 'bfloat16'.
    """
    x = match3_payload(numbers, modulus, token=token, c=c, dtype=dtype)
    text = write_numbers(x.numbers)
    return Match3(numbers=text, modulus=modulus, token=token, c=x.c, dtype=dtype)


class Match3(Widget):
    question = "Which pairs make the sum 0, and does the head see it?"
    help = "Type numbers or M and press Enter. Click a bar or the curve, or arrow keys on a slider."
    lines = 4
    _seed = 0

    def payload(self, **choices: Any) -> Match3Payload:
        return match3_payload(choices.pop("numbers"), choices.pop("modulus"), **choices)

    def change(self, **choices: Any) -> None:
        """Other choices; fewer numbers bring the token along to the last one."""
        if "numbers" in choices:
            modulus = choices.get("modulus", self.choices["modulus"])
            numbers = read_numbers(choices["numbers"], modulus)
            choices["numbers"] = write_numbers(numbers)
            token = choices.get("token", min(self.choices["token"], len(numbers) - 1))
            choices["token"] = token
        super().change(**choices)

    def table(self) -> str:
        p: Match3Payload = self.seen
        paper, blank = p.layouts
        tokens = [
            (
                *(i, x, yes_no(p.answers[i])),
                *(
                    cell
                    for layout in p.layouts
                    for cell in (
                        f"{layout.shares[i]:.3f}",
                        f"{yes_no(layout.says[i])} {'✗ wrong' if i in layout.wrong else '✓ right'}",
                    )
                ),
            )
            for i, x in enumerate(p.numbers)
        ]
        head = ["token", "number", "answer", "share", paper.name, "share", blank.name]
        below = [
            (layout.name, f"{layout.threshold:g}", blank_score, compact_c(layout.enough))
            for layout, blank_score in zip(p.layouts, ("c", "c − ln 4"), strict=True)
        ]
        first = table(head, tokens, caption="Share of real pairs and what it says", on=p.token)
        second = table(
            ["head", "yes above", "blank pair scores", "enough c"],
            below,
            caption=f"A match scores c = {compact_c(p.c)}, a miss at most c cos(2π / M)",
        )
        return f'<div style="overflow-x: auto">{first}{second}</div>'

    def controls(self) -> dict[str, Any]:
        return match3_view.controls(self.seen, self.choices)

    def rows(self, controls: dict[str, Any]) -> list[list[Any]]:
        acts = {
            "random": ("Numbers drawn at random", self.random),
            "near misses": ("The hardest input: every pair misses by one", self.hardest),
            "one match": ("One pair fires among near misses", self.one_match),
            "enough c": ("The first c of the slider that suffices for both", self.enough),
        }
        return match3_view.rows(controls, match3_view.buttons(acts))

    def random(self) -> None:
        """As many numbers as now, drawn anew."""
        self._seed += 1
        self.change(numbers=random_numbers(len(self.seen.numbers), self.seen.modulus, self._seed))

    def hardest(self) -> None:
        """As many numbers as now, such that all pairs of some token miss by one."""
        self.change(numbers=hardest_numbers(len(self.seen.numbers), self.seen.modulus))

    def one_match(self) -> None:
        """The same with another last number, such that one pair of the first token fires."""
        numbers = hardest_numbers(len(self.seen.numbers), self.seen.modulus, single=True)
        self.change(numbers=numbers)

    def enough(self) -> None:
        self.change(c=enough_c(len(self.seen.numbers), self.seen.modulus))

    def adapt(self, controls: dict[str, Any]) -> None:
        match3_view.adapt(controls, self.seen)

    def picture(self) -> Any:
        return match3_view.picture()

    def draw(self, picture: Any, dark: bool) -> None:
        picture.value = match3_view.board(self.seen, dark)

    def bind(self, shown: Any) -> None:
        shown.observe(self._clicked, "clicked")

    def _clicked(self, event: Any) -> None:
        what, _, n = event["new"].partition(":")
        if what == "token":
            self.change(token=int(n))
        elif what == "c":
            self.change(c=self.seen.sweep[int(n)])
        event["owner"].clicked = ""  # so that the same spot can be clicked again

    def still(self) -> bytes:
        return match3_still.still(self.seen)
