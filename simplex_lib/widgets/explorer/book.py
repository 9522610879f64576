"""All queries of all heads, each explained when it is first asked for."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from simplex_lib.widgets.explorer.colours import PALETTE
from simplex_lib.widgets.explorer.cube import POINTS, top_points, wire_cube
from simplex_lib.widgets.explorer.explaining import TOP, WHOLE, Explained, explain
from simplex_lib.widgets.explorer.reading import Pairs
from simplex_lib.widgets.explorer.recipes import ALL
from simplex_lib.widgets.explorer.sentences import EDITED, EFFECT, faults
from simplex_lib.widgets.explorer.wire import join_ranges, ranges, wire

CHUNK = 16  # queries that travel at once, if there are more than WHOLE


class Book:
    """What one explorer can show, and the packets that its view asks for."""

    def __init__(
        self,
        pairs: Pairs,
        *,
        compare: Pairs | None,
        recipes: tuple[str, ...],
        title: str,
        w1: int | None,
        w2: int | None,
        chunk: int,
        edit: bool,
        scale: str,
        fit: bool,
    ):
        self.pairs, self.compare, self.recipes, self.chunk = pairs, compare, recipes, chunk
        self.given = dict(w1=w1, w2=w2)
        self.explained = lru_cache(1024)(self._explained)
        self.ranges = lru_cache(None)(self._ranges)
        self.cube = lru_cache(None)(self._cube)
        s = len(pairs.tokens)
        self.start: dict[str, Any] = dict(
            title=title,
            tokens=list(pairs.tokens),
            heads=list(pairs.heads),
            recipes=list(recipes),
            modes=self.modes,
            palette=PALETTE,
            whole=WHOLE,
            top=TOP,
            points=POINTS,
            causal=pairs.causal,
            chunk=chunk,
            scale=scale,
            fit=fit,
            window=None if w1 is None and w2 is None else f"window {w1 or s} × {w2 or s}",
            compare=compare is not None,
            edit=self._edit_range() if edit else None,
            tall=self._troubled(),
        )

    @property
    def modes(self) -> list[str]:
        modes = ["probs"] + ["logits"] * (self.pairs.kind == "logits") + ["asymmetry"]
        return modes + ["difference"] * (self.compare is not None)

    def _explained(self, h: int, i: int, recipe: str) -> Explained:
        return explain(self.pairs, h, i, recipe=recipe, compare=self.compare, **self.given)

    def sample(self) -> range:
        """Every query of a short text, 64 spread ones of a long one."""
        s = len(self.pairs.tokens)
        return range(s) if s <= WHOLE else range(s // 64, s, max(1, s // 64))

    def _ranges(self, h: int, recipe: str) -> dict:
        return join_ranges([ranges(self.explained(h, i, recipe)) for i in self.sample()])

    def head(self, h: int, recipe: str, query: int = 0, queries=None) -> tuple[dict, bytes]:
        """One packet of frames: the whole head, or the group of queries round this one."""
        s, c = len(self.pairs.tokens), self.chunk
        if queries is None:
            queries = range(query // c * c, min(s, query // c * c + c)) if c else range(s)
        frames = [self.explained(h, i, recipe) for i in queries]
        header, body = wire(frames, self.pairs.tokens, h)
        return header | dict(ranges=self.ranges(h, recipe)), body

    def _cube(self, h: int, recipe: str) -> tuple[dict, bytes]:
        s = len(self.pairs.tokens)
        frames = [self.explained(h, i, recipe) for i in range(s)]
        return wire_cube(top_points(frames))

    def _edit_range(self) -> dict:
        known = self.pairs.values[self.pairs.visible & np.isfinite(self.pairs.values)]
        lo, hi = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
        ends = dict(lo=int(np.floor(min(lo, 0))) - 4, hi=int(np.ceil(max(hi, 0))) + 4)
        return ends | dict(step=0.1, edited=EDITED, effect=EFFECT)

    def _troubled(self) -> bool:
        """Whether some sentence will be long; the view then gives every sentence more room."""
        if self.recipes != (ALL,):
            return True
        p, heads = self.pairs, range(len(self.pairs.heads))
        if self.compare is not None and p.kind == self.compare.kind == "logits":
            return True
        if p.kind == "logits":
            return bool((p.visible & ~np.isfinite(p.values)).any())
        queries = list(self.sample())[:: max(1, len(self.sample()) // 8)] or [0]
        asked = [self.explained(h, i, ALL) for h in heads for i in queries]
        return any(faults(x, p.tokens) for x in asked)
