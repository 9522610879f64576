"""Windows that slide over pairs of keys: what a query sees, what is kept, what tiles waste.

`explore_windows` is what a notebook calls. The numbers and words are made in `windows_counts.py`,
the picture in `windows_view.py`.
"""

from typing import Any, Literal

from simplex_lib.widgets import windows_view
from simplex_lib.widgets.frame import Widget
from simplex_lib.widgets.kit import fit_slider, table
from simplex_lib.widgets.windows_counts import ITEMSIZE, PAPER, WindowsPayload, windows_payload


def explore_windows(
    seq_len: int = 24,
    w1: int = 8,
    w2: int = 4,
    query: int = 13,
    *,
    tiling: Literal["sequence", "heads"] = "sequence",
    tile: int = 4,
    kv_block: int = 4,
    head_dim: int = 128,
) -> "Windows":
    """Slide two windows over a sequence and count what they show, keep, cost and waste.

    Args:
        seq_len: positions, up to 48.
        w1, w2: how many of the latest positions the first and the second key may take, up to 48;
            one that is longer than the sequence hides nothing.
        query: the position looked at closely.
        tiling: what the rows of a tile are: "sequence", neighbouring queries of one head, or
            "heads", query heads of one position.
        tile: queries in a tile, if it is tiled over the sequence, up to 16.
        kv_block: keys of the longer window that a tile takes at a time, up to 16.
        head_dim: for the bytes of the caches, in 16 bits a number and for one key head.
    """
    sizes = dict(kv_block=kv_block, head_dim=head_dim)
    choices = dict(seq_len=seq_len, query=query, w1=w1, w2=w2, tiling=tiling, tile=tile)
    return Windows(sizes, **choices)


class Windows(Widget):
    question = "Which pairs do two windows leave, and what do they cost?"
    help = "Tab to a slider, then arrow keys; or click a row of the lower maps to choose its query."
    lines = 4

    def __init__(self, sizes: dict[str, Any], **choices: Any) -> None:
        self.sizes = sizes
        super().__init__(**choices)

    def payload(self, **choices: Any) -> WindowsPayload:
        return windows_payload(**choices, **self.sizes)

    def change(self, **choices: Any) -> None:
        """A shorter sequence takes the query along, unless that is chosen too."""
        s = choices.get("seq_len")
        if type(s) is int and s >= 1 and "query" not in choices:
            choices["query"] = min(self.choices["query"], s - 1)
        super().change(**choices)

    def table(self) -> str:
        p: WindowsPayload = self.seen
        rows = [(c.name, *(f"{n:,}" for n in c[1:])) for c in p.counts]
        caption = (
            "FLOPs a query head and unit of head_dim; caches a key head, "
            f"head_dim {self.sizes['head_dim']}, {8 * ITEMSIZE} bits; logits in float32"
        )
        head = ["counted", f"windows {p.w1} × {p.w2}", "no windows", "dot product"]
        shares = [
            (f"useful in tiles of {name}", f"{p.useful[key]:.2%}", f"{p.paper_useful[key]:.2%}")
            for key, name in (("sequence", "queries"), ("heads", "query heads"))
        ]
        pairs = zip(p.break_even, p.paper_break_even, strict=True)
        for name, (here, paper) in zip(("by the formulas", "counted"), pairs, strict=True):
            shares.append((f"equal FLOPs at s, {name}", f"{here:,}", f"{paper:,}"))
        beside = table(
            ["tiles, break-even", "here", "512 × 32"], shares,
            caption=f"Blocks of {p.kv_block} keys; for the paper's windows tiles of 64, "
            f"blocks of 128, s = {PAPER['s']:,}",
        )  # fmt: skip
        left = table(head, rows, caption=caption)
        return f'<div class="sx-row"><div>{left}</div><div>{beside}</div></div>'

    def controls(self) -> dict[str, Any]:
        return windows_view.controls(self.seen)

    def rows(self, controls: dict[str, Any]) -> list[list[Any]]:
        named = [controls[name] for name in ("seq_len", "w1", "tile", "query", "w2", "tiling")]
        return [named[:3], named[3:]]

    def adapt(self, controls: dict[str, Any]) -> None:
        fit_slider(controls["query"], self.seen.s)
        controls["tile"].disabled = self.seen.tiling == "heads"

    def picture(self) -> Any:
        return windows_view.picture()

    def draw(self, picture: Any, dark: bool) -> None:
        windows_view.draw(picture, self.seen, dark)

    def bind(self, shown: Any) -> None:
        def row_clicked(trace: Any, points: Any, _: Any) -> None:
            if points.ys and 0 <= (query := int(points.ys[0])) < self.seen.s:
                self.change(query=query)

        for map_ in shown.data[3:5]:
            map_.on_click(row_clicked)

    def still(self) -> bytes:
        from simplex_lib.widgets.windows_still import still  # matplotlib, which a lab does not need

        return still(self.seen)
