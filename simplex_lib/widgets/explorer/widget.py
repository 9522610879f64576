"""The live explorer: what is chosen travels as traits, numbers as messages, each packet once."""

from __future__ import annotations

import html
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from simplex_lib.errors import require_choice
from simplex_lib.widgets.explorer import page as pages
from simplex_lib.widgets.explorer import still as stills
from simplex_lib.widgets.explorer.book import Book
from simplex_lib.widgets.explorer.bundle import script, style
from simplex_lib.widgets.explorer.recipes import ALL
from simplex_lib.widgets.explorer.sentences import say
from simplex_lib.widgets.shown import Shown

MODES = ("probs", "logits", "asymmetry", "difference")


class Explorer(Shown, anywidget.AnyWidget):
    """The live explorer. query, head, mode, recipe and pair follow the reader, and can be set."""

    _esm = script(widget=True)
    _css = style()
    start = traitlets.Dict().tag(sync=True)
    kept = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    kept_bytes = traitlets.Bytes(b"").tag(sync=True)
    query = traitlets.Int(0).tag(sync=True)
    head = traitlets.Int(0).tag(sync=True)
    mode = traitlets.Unicode("probs").tag(sync=True)
    recipe = traitlets.Unicode(ALL).tag(sync=True)
    pair = traitlets.Any(None, allow_none=True).tag(sync=True)

    def __init__(self, book: Book, *, query: int, head: int, mode: str, keep: bool = False):
        self.book = book
        state: dict[str, Any] = dict(start=book.start, recipe=book.recipes[0])
        state |= dict(query=query, head=head, mode=mode)
        if keep:
            state |= _keep(book)
        super().__init__(**state)
        self.on_msg(self._answer)

    @traitlets.validate("query")
    def _valid_query(self, proposal: Any) -> int:
        s = len(self.book.pairs.tokens)
        return _index("query", proposal["value"], s)

    @traitlets.validate("head")
    def _valid_head(self, proposal: Any) -> int:
        return _index("head", proposal["value"], len(self.book.pairs.heads))

    @traitlets.validate("mode")
    def _valid_mode(self, proposal: Any) -> str:
        modes = self.book.modes
        if proposal["value"] == "difference" and "difference" not in modes:
            raise ValueError("mode 'difference' needs a second tensor in compare; got none.")
        if proposal["value"] == "logits" and "logits" not in modes:
            raise ValueError("mode 'logits' needs logits; tensor holds probabilities.")
        require_choice("mode", proposal["value"], MODES)
        return proposal["value"]

    @traitlets.validate("recipe")
    def _valid_recipe(self, proposal: Any) -> str:
        require_choice("recipe", proposal["value"], self.book.recipes)
        return proposal["value"]

    @traitlets.validate("pair")
    def _valid_pair(self, proposal: Any) -> tuple[int, int] | None:
        pair, s = proposal["value"], len(self.book.pairs.tokens)
        if pair is None:
            return None
        try:
            j, k = (int(x) for x in pair)
        except (TypeError, ValueError) as error:
            raise ValueError(f"pair must be None or (j, k); got {pair!r}.") from error
        return _index("pair's first key", j, s), _index("pair's second key", k, s)

    def _answer(self, _: Any, wish: dict, __: Any) -> None:
        h, recipe = wish["head"], wish["recipe"]
        cube = wish["want"] == "cube"
        header, body = (
            self.book.cube(h, recipe) if cube else self.book.head(h, recipe, wish["query"])
        )
        self.send(dict(id=wish["id"], header=header), [body])

    @property
    def sentence(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What is seen now, in words; with several recipes, under each."""
        book = self.book
        told = [
            say(book.explained(self.head, self.query, r), self.mode, book.pairs.tokens)
            for r in book.recipes
        ]
        if len(told) == 1:
            return told[0]
        return " ".join(
            f"Softmax over {r}: {text}" for r, text in zip(book.recipes, told, strict=True)
        )

    def still(self) -> bytes:
        return stills.still(self.book, self.head, self.query, self.mode)

    def table(self, rows: int = 8) -> str:
        return stills.table(self.book, self.head, self.query, self.mode, rows)

    def _repr_mimebundle_(self, **kwargs: Any):
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        # for readers of a saved notebook in which no widget can be drawn
        return {**data, "text/html": self._in_words()}, metadata

    def _in_words(self) -> str:
        return f"<p>{html.escape(self.sentence)}</p>\n{self.table()}"

    def page(self, path: str | Path | None = None, queries: Iterable[int] | None = None) -> str:
        """One HTML file that needs no kernel and no network; written to path if one is given."""
        options = {
            name: getattr(self, name) for name in ("query", "head", "mode", "recipe", "pair")
        }
        text = pages.page(self.book, options, self._in_words(), queries)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text


def _keep(book: Book) -> dict:
    """All packets in the widget's own state: headers by name, and one run of bytes."""
    kept, bodies, at = {}, [], 0
    for h in range(len(book.pairs.heads)):
        for recipe in book.recipes:
            packets = dict(
                frames=book.head(h, recipe, queries=range(len(book.pairs.tokens))),
                cube=book.cube(h, recipe),
            )
            for want, (header, body) in packets.items():
                kept[f"{want}:{h}:{recipe}"] = dict(header=header, place=[at, at + len(body)])
                bodies.append(body)
                at += len(body)
    return dict(kept=kept, kept_bytes=b"".join(bodies))


def _index(name: str, value: int, count: int) -> int:
    if not -count <= value < count:
        raise ValueError(f"{name} must be from {-count} to {count - 1}; got {value}.")
    return value % count
