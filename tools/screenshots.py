"""The README's pictures, taken from the running course: python tools/screenshots.py

Opens JupyterLab as the browser tests do, in a work folder of its own, and writes docs/*.png.
"""

import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.browser.lab import Lab  # noqa: E402

WIDTH, LIMIT_KB = 1200, 250
SECOND_KEY_ONLY = """s = logits.shape[-1]
    past = torch.ones(s, s, dtype=torch.bool).tril()
    visible = past[:, :, None] & past[:, None, :]
    logits = logits.masked_fill(~visible, float("-inf"))
    return logits.softmax(-1).nan_to_num(0)"""


def start_page(lab: Lab) -> bytes:
    """The map of the course, on the page that the lab opens with."""
    with lab.open(notebook("chapters/00_*"), width=WIDTH, height=900) as page:
        page.run_all()
        return look(page, next(x for x in page.cells() if x.source == "course_map()"), above=1)


def explorer(lab: Lab) -> bytes:
    """All pairs of keys that one query reads, in chapter 02."""
    with lab.open(notebook("chapters/02_*"), width=WIDTH, height=1220) as page:
        page.run_all()
        page.page.locator(".x3[data-query]").first.wait_for()
        return look(page, next(x for x in page.widgets() if "explore_pairs" in x.source))


def failed_check(lab: Lab) -> bytes:
    """A softmax over one key where both were meant: the check says so."""
    with lab.open(notebook("exercises/02_*"), width=WIDTH, height=880) as page:
        stub, check = (page.find(exercise="2.2", role=role) for role in ("stub", "check"))
        page.write(stub, stub.source.replace("raise NotImplementedError", SECOND_KEY_ONLY))
        page.run_all()
        area = page.area(check)
        area.get_by_role("button", name="Hint 1 of 3").click()
        area.get_by_role("button", name="Hint 2 of 3").wait_for()
        area.get_by_role("button", name="Show me my bug").click()
        area.locator(".x3[data-query]").wait_for()
        return look(page, check)  # the cell above holds most of an answer


PICTURES: dict[str, Callable[[Lab], bytes]] = {
    "start_page": start_page,
    "explorer": explorer,
    "check": failed_check,
}


def look(page: Any, cell: Any, *, above: int = 0) -> bytes:
    """The window with a cell at its top; cells that come into view may still grow."""
    for _ in range(3):
        page.show(cell, above=above)
        page.page.wait_for_timeout(300)
    return page.page.screenshot()


def notebook(pattern: str) -> str:
    (found,) = ROOT.glob(f"{pattern}.ipynb")
    return str(found.relative_to(ROOT))


def small(picture: bytes) -> bytes:
    """The same picture with as many colours as fit into the limit."""
    full: Any = Image.open(io.BytesIO(picture)).convert("RGB")
    for colours in (256, 128, 64, 32):
        file = io.BytesIO()
        full.quantize(colours, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
        if len(file.getvalue()) <= 1000 * LIMIT_KB:
            break
    return file.getvalue()


def main(names: list[str]) -> None:
    docs = ROOT / "docs"
    docs.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Lab(Path(folder), docs) as lab:
        for name in names or PICTURES:
            picture = small(PICTURES[name](lab))
            (docs / f"{name}.png").write_bytes(picture)
            print(f"docs/{name}.png: {len(picture) / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
