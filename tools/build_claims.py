"""Render claims/*.toml as claims/README.md.

python tools/build_claims.py            write the page
python tools/build_claims.py --check    write nothing; exit 1 if the page is stale
"""

import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
STATUSES = {
    "reproduced": "a test shows it",
    "corrected": "it does not hold as printed; a test shows what does",
    "not reproducible": "what is published does not suffice to repeat it",
    "not tested here": "quoted, and no more than that",
}
INTRO = """# The claims ledger

Every claim of the papers that the course repeats, tests or corrects: where it stands, what it says,
what we found. Reproduced and corrected claims carry a test in the folder `tests/claims`, marked
with the claim's name; it runs with all others, so that a claim which stops to hold fails the
suite. This page is rendered from the `.toml` files beside it by `tools/build_claims.py`.

"""


def read_claims(root: Path = ROOT) -> dict[str, list[dict[str, Any]]]:
    """Claims by file, in the order of the chapters."""
    files = sorted((root / "claims").glob("*.toml"))
    return {f.stem: tomllib.loads(f.read_text(encoding="utf-8"))["claim"] for f in files}


def render(claims: dict[str, list[dict[str, Any]]]) -> str:
    everything = [claim for chapter in claims.values() for claim in chapter]
    lines = [INTRO, "| status | claims | meaning |\n|:--|--:|:--|"]
    for status, meaning in STATUSES.items():
        count = sum(claim["status"] == status for claim in everything)
        lines.append(f"| {status} | {count} | {meaning} |")
    for stem, chapter in claims.items():
        number, _, topic = stem.partition("_")
        title = topic.replace("_", " ").capitalize()
        lines.append(f"\n## {number} {title}\n")
        lines.append(
            "| claim | where | what it says | status | what we found |\n|:--|:--|:--|:--|:--|"
        )
        for c in chapter:
            where = f"{c['source']}, {c['where']}"
            lines.append(
                f"| <a id='{c['id']}'></a>`{c['id']}` | {where} | {c['says']} "
                f"| **{c['status']}** | {c['ours']} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    page, text = ROOT / "claims" / "README.md", render(read_claims())
    if "--check" in sys.argv[1:]:
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            sys.exit("claims/README.md is stale; run python tools/build_claims.py")
        return
    page.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
