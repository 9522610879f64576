"""The explorer as one HTML file: the same view, precomputed queries, no kernel and no network."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable
from typing import Any

from simplex_lib.widgets.explorer.book import Book
from simplex_lib.widgets.explorer.bundle import script, style


def page(
    book: Book, options: dict[str, Any], fallback: str, queries: Iterable[int] | None = None
) -> str:
    """queries: those that can be chosen; None: all. fallback: HTML shown without scripts."""
    s = len(book.pairs.tokens)
    chosen = range(s) if queries is None else queries
    if bad := [q for q in chosen if not -s <= q < s]:
        raise ValueError(f"queries must be from {-s} to {s - 1}; got {bad[0]}.")
    chosen = sorted({q % s for q in chosen})
    if not chosen:
        raise ValueError("queries must name at least one query; got none.")
    if options["query"] not in chosen:
        options = options | dict(query=chosen[-1])
    packets = {}
    for h in range(len(book.pairs.heads)):
        for recipe in book.recipes:
            frames, cube = book.head(h, recipe, queries=chosen), book.cube(h, recipe)
            for want, (header, body) in dict(frames=frames, cube=cube).items():
                packet = dict(header=header, body=base64.b64encode(body).decode())
                packets[f"{want}:{h}:{recipe}"] = packet
    start: dict[str, Any] = book.start | dict(queries=chosen, chunk=0)
    data = json.dumps(dict(start=start, options=options, packets=packets), ensure_ascii=False)
    data = data.replace("<", "\\u003c")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{html.escape(start["title"])}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ margin: 24px auto; padding: 0 12px; max-width: 1120px;
  background: light-dark(#fff, #14161b) }}
{style()}</style></head>
<body><main id="at"><noscript>{fallback}</noscript></main>
<script type="application/json" id="numbers">{data}</script>
<script type="module">
{script(widget=False)}
const {{ start, options, packets }} = JSON.parse(document.getElementById("numbers").textContent);
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
const fetch = async ({{ want, head, recipe }}) => {{
  const {{ header, body }} = packets[`${{want}}:${{head}}:${{recipe}}`];
  return {{ header, buffer: bytes(body) }};
}};
mount(document.getElementById("at"), {{ start, options, fetch }});
</script></body></html>
"""
