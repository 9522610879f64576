"""What a trained model does on the block task: its kernels as they form, and where it looks.

`watch_mechanism` is what a notebook calls. Numbers and words are made in `mechanism_runs.py`, the
live picture is drawn by `mechanism_view.py`, the still one by `mechanism_still.py`.
"""

from typing import Any

from simplex_lib.widgets import mechanism_still, mechanism_view
from simplex_lib.widgets.frame import page
from simplex_lib.widgets.kit import signed, table
from simplex_lib.widgets.match3_view import buttons
from simplex_lib.widgets.mechanism_runs import MechanismPayload, a_text, mechanism_payload
from simplex_lib.widgets.typed import TypedWidget

TEXT = "fahdk.gahef.hifcd.eagjc.ghkel.dbckh.hfaec.dafgj.#gd"


def watch_mechanism(
    model: str = "last letter",
    *,
    seed: int = 0,
    frame: int | None = None,
    head: int = 0,
    text: str = TEXT,
) -> "Mechanism":
    """Watch the kernels of a recorded run form, and see where the trained head looks.

    Weights are kept of two models: those for the last and the first letter, seed 0, at the last
    measurement. Where the head looks is shown of these alone.

    Args:
        model: "last letter" or "first letter", by what it was trained to answer; or one of the
            variants "last letter, identity start", "last letter, c_q = 1", "last letter, c_k = 5".
        seed: of the recorded run.
        frame: which of its measurements, from 0. None: the last.
        head: 0 or 1, of which the sentence speaks.
        text: up to 12 blocks of five letters from a to l, and a question, as "abcde.fghij.#bd".
    """
    p = mechanism_payload(model, seed, frame, head, text, None)
    return Mechanism(model=model, seed=seed, frame=p.frame, head=head, text=text, key=p.key)


class Mechanism(TypedWidget):
    question = "What did the model learn, and when?"
    help = "Click the curve or a token, or arrow keys on a slider. Type a text of your own."
    lines = 4
    _drawn = 0
    _another: Any = None  # the button

    def payload(self, **choices: Any) -> MechanismPayload:
        return mechanism_payload(**choices)

    def change(self, **choices: Any) -> None:
        """Other choices; another run starts at its last measurement, another row at its peak."""
        new = self.choices | choices
        if new["model"] != self.choices["model"] and "seed" not in choices:
            new["seed"] = choices["seed"] = 0
        if "frame" not in choices and any(new[x] != self.choices[x] for x in ("model", "seed")):
            new["frame"] = None
        if "key" not in choices and any(
            new[x] != self.choices[x] for x in ("model", "head", "text")
        ):
            new["key"] = None
        found = self.payload(**new)
        super().change(**{**choices, "frame": found.frame, "key": found.key})

    def table(self) -> str:
        p: MechanismPayload = self.seen
        first = table(
            ["step", "errors, %"],
            [(step, f"{error:.1f}") for step, error in zip(p.steps, p.errors, strict=True)],
            caption=f"Recorded: {p.model}, seed {p.seed}",
            on=p.frame,
        )
        if not p.kept:
            return f'<div style="overflow-x: auto">{first}</div>'
        c_q, most = len(p.row.raw), sorted(range(len(p.row.probs)), key=lambda n: -p.row.probs[n])
        chosen = sorted({p.key, *most[:4]})
        rows = [
            (n, p.row.text[n], *(signed(row[n]) for row in p.row.raw), signed(p.row.logits[n]),
             f"{p.row.probs[n]:.3f}")
            for n in chosen
        ]  # fmt: skip
        raw = [f"raw, i − {n}" if n else "raw, i" for n in reversed(range(c_q))]
        second = table(
            ["key", "token", *raw, "convolved", "attention"],
            rows,
            caption="The keys with the most attention, and the chosen one",
            on=chosen.index(p.key),
        )
        return f'<div class="sx-row" style="overflow-x: auto">{first}{second}</div>'

    def controls(self) -> dict[str, Any]:
        return mechanism_view.controls(self.seen, self.choices)

    def rows(self, controls: dict[str, Any]) -> list[list[Any]]:
        import ipywidgets

        act = {"another text": ("A text drawn at random", self.another)}
        made = buttons(act)
        self._another = made[0]
        self.adapt(controls)
        wide = dict(width="100%", flex_flow="row wrap")
        lines = (
            [controls[name] for name in ("model", "seed", "frame")],
            [controls["text"], *made],
            [controls[name] for name in ("head", "key")],
        )
        return [[ipywidgets.HBox(line, layout=wide)] for line in lines]

    def another(self) -> None:
        self._drawn += 1
        self.change(text=a_text(self._drawn))

    def adapt(self, controls: dict[str, Any]) -> None:
        mechanism_view.adapt(controls, self.seen)
        for field in (controls["text"], controls["key"], self._another):
            if field is not None:
                field.disabled = not self.seen.kept

    def picture(self) -> Any:
        return page("")

    def draw(self, picture: Any, dark: bool) -> None:
        picture.value = mechanism_view.board(self.seen, dark)

    def bind(self, shown: Any) -> None:
        shown.observe(self._clicked, "clicked")

    def _clicked(self, event: Any) -> None:
        what, _, n = event["new"].partition(":")
        if what in ("frame", "key"):
            self.change(**{what: int(n)})
        event["owner"].clicked = ""  # so that the same spot can be clicked again

    def still(self) -> bytes:
        return mechanism_still.still(self.seen)
