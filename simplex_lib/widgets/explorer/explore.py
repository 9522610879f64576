"""`explore_pairs`: look at attention over pairs of keys, in a notebook, a page or a still."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simplex_lib.errors import require_choice
from simplex_lib.widgets.explorer.book import CHUNK, Book
from simplex_lib.widgets.explorer.explaining import WHOLE
from simplex_lib.widgets.explorer.reading import read_pairs
from simplex_lib.widgets.explorer.recipes import ALL, RECIPES
from simplex_lib.widgets.explorer.widget import Explorer


def explore_pairs(
    tensor: Any,
    *,
    tokens: Sequence[str] | None = None,
    compare: Any = None,
    recipe: str | Sequence[str] = ALL,
    w1: int | None = None,
    w2: int | None = None,
    heads: Sequence[str] | None = None,
    query: int = -1,
    head: int = 0,
    mode: str = "probs",
    kind: str | None = None,
    causal: bool = True,
    edit: bool = False,
    scale: str | None = None,
    fit: bool = False,
    batch: int = 0,
    keep: bool = False,
    chunk: int | None = None,
    title: str = "Which pair of keys does each query read?",
) -> Explorer:
    """Show A[i, j, k]: one query's map of pairs, its marginals, triangles, table and the cube.

    Args:
        tensor: logits or probabilities, (s, s, s), (h, s, s, s), (b, h, s, s, s), or compact
            (..., s, w1, w2). Your own, right or wrong: NaN, sums that are not 1 and pairs of the
            future are drawn and named.
        tokens: one text for each position. None: its number.
        compare: a second tensor of the same tokens; adds the mode "difference" and a second map.
        recipe: how logits become probabilities: "all pairs", "second key only", "first key only",
            or a list of these to switch between. Logits of compare are taken over all pairs.
        w1, w2: a window to outline and measure, i - w < key <= i; it is not applied.
        heads: a name for each head.
        query, head, mode: what is shown first; they and `pair` can be read and set later.
        kind: "logits" or "probs". None: probabilities if they look like the result of a softmax.
        causal: if True, logits of keys after the query are masked. Probabilities are never masked.
        edit: let the reader move the logit of a pair with a slider; up to 64 tokens.
        scale: "log" or "linear" colours. None: linear up to 8 tokens, where numbers fit too.
        fit: let the colours span the shown query instead of all queries.
        batch: which sequence of (b, h, s, s, s) is shown.
        keep: store the numbers with the notebook, so that it draws without a kernel.
        chunk: how many queries travel at once. None: all up to 64 tokens, else 16.
        title: the question that the picture answers.

    Raises:
        ValueError: a shape, a name or an index cannot be shown; the message says which and why.
    """
    given: dict[str, Any] = dict(tokens=tokens, w1=w1, w2=w2, causal=causal, batch=batch)
    pairs = read_pairs(tensor, heads=heads, kind=kind, **given)
    s, n_heads = len(pairs.tokens), len(pairs.heads)
    other = None
    if compare is not None:
        found = getattr(compare, "shape", None)
        if found is not None and len(found) >= 3 and found[-3] != s:
            wish = f"compare must have as many queries as tensor, {s}"
            raise ValueError(f"{wish}; got {tuple(found)}.")
        other = read_pairs(compare, name="compare", kind=None, **given)
        if len(other.heads) not in (1, n_heads):
            raise ValueError(f"compare must have 1 or {n_heads} heads; got {len(other.heads)}.")
    recipes = (recipe,) if isinstance(recipe, str) else tuple(recipe)
    if not recipes:
        raise ValueError("recipe must name at least one softmax; got none.")
    for r in recipes:
        require_choice("recipe", r, tuple(RECIPES))
    if recipes != (ALL,) and pairs.kind == "probs":
        raise ValueError(
            "recipe turns logits into probabilities, so tensor must hold logits; got probabilities."
        )
    if edit and (pairs.kind == "probs" or s > WHOLE):
        got = "probabilities" if pairs.kind == "probs" else f"{s} tokens"
        raise ValueError(f"edit needs logits of at most {WHOLE} tokens; got {got}.")
    scale = scale or ("linear" if s <= 8 else "log")
    require_choice("scale", scale, ("log", "linear"))
    if chunk is not None and chunk < 0:
        raise ValueError(f"chunk must be at least 0 (0: all queries at once); got {chunk}.")
    chunk = 0 if keep else chunk if chunk is not None else 0 if s <= WHOLE else CHUNK
    book = Book(
        pairs,
        compare=other,
        recipes=tuple(dict.fromkeys(recipes)),
        title=title,
        w1=w1,
        w2=w2,
        chunk=chunk,
        edit=edit,
        scale=scale,
        fit=fit,
    )
    return Explorer(book, query=query, head=head, mode=mode, keep=keep)
