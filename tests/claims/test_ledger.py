"""The ledger itself: complete entries, a live test behind each that needs one, a fresh page."""

import ast
from pathlib import Path

import pytest
from build_claims import ROOT, STATUSES, read_claims, render

CLAIMS = [claim for chapter in read_claims().values() for claim in chapter]
FIELDS = {"id", "source", "where", "says", "status", "ours"}


def claimed_by_tests() -> set[str]:
    """The ids in all @pytest.mark.claim("...") of the suite."""
    found = set()
    for file in Path(ROOT, "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.claim":
                found.add(ast.literal_eval(node.args[0]))
    return found


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c["id"])
def test_an_entry_is_complete(claim):
    assert set(claim) == FIELDS
    assert all(isinstance(v, str) and v.strip() for v in claim.values())
    assert claim["status"] in STATUSES


def test_ids_are_unique():
    assert len({c["id"] for c in CLAIMS}) == len(CLAIMS)


def test_reproduced_and_corrected_claims_have_a_test_and_no_test_lacks_a_claim():
    needed = {c["id"] for c in CLAIMS if c["status"] in ("reproduced", "corrected")}
    assert claimed_by_tests() == needed


def test_the_page_is_fresh():
    assert (ROOT / "claims" / "README.md").read_text(encoding="utf-8") == render(read_claims())
