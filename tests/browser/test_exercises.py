"""A learner's way through an exercise notebook: a wrong answer that is named, then a right one.

One exercise a chapter: run all with empty functions, answer wrongly, read the cause, look at the
failing case, take a hint, answer rightly, restart the kernel, and still have it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest

from .conftest import CHAPTERS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@dataclass(frozen=True)
class Wrong:
    """A body for the stub; the name of its mistake, and words that the learner must read."""

    exercise: str
    body: str
    cause: str
    says: str


WRONG = {
    "00": Wrong(
        "0.1",
        'return torch.einsum("hij,jd->hid", weights, values)',
        "order",
        "another order",
    ),
    "01": Wrong(
        "1.1",
        "return q @ k.transpose(-1, -2)",
        "no_scale",
        "scale",
    ),
    "02": Wrong(
        "2.2",
        """s = logits.shape[-1]
    past = torch.ones(s, s, dtype=torch.bool).tril()
    visible = past[:, :, None] & past[:, None, :]
    return logits.masked_fill(~visible, float("-inf")).softmax(-1).nan_to_num(0.0)""",
        "second key only, no NaN",
        "second key alone",
    ),
    "03": Wrong(
        "3.1",
        """angle = positions[:, None] * frequencies.double()
    cos, sin = angle.cos(), angle.sin()
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], -1).to(x.dtype)""",
        "halves for neighbours",
        "a plane holds two neighbours",
    ),
    "04": Wrong(
        "4.5",
        """for n, k, v in (("1", k1, v1), ("2", k2, v2)):
        place = caches["seen"] % caches["k" + n].shape[2]
        caches["k" + n][:, :, place], caches["v" + n][:, :, place] = k[:, :, 0], v[:, :, 0]
    caches["seen"] += 1
    k1, v1, k2, v2 = (caches[name] for name in ("k1", "v1", "k2", "v2"))
    logits = torch.einsum("bhid,bhjd,bhkd->bhijk", q, k1, k2) / math.sqrt(q.shape[-1])
    probs = logits.flatten(-2).softmax(-1).view_as(logits)
    return torch.einsum("bhijk,bhjd,bhkd->bhid", probs, v1, v2)""",
        "empty places take part",
        "that no token has filled yet",
    ),
    "05": Wrong(
        "5.1",
        """h, c_q, c_k = kernel.shape
    padded = F.pad(logits, (c_k // 2, c_k // 2, c_q - 1, 0))
    new = F.conv2d(padded, kernel[:, None], groups=h)
    return new.masked_fill(torch.ones_like(new, dtype=torch.bool).triu(1), float("-inf"))""",
        "no mask before",
        "Nothing was put to 0 before the convolution",
    ),
    "06": Wrong(
        "6.5",
        """letters = target[:, None] * (n + 1) + torch.arange(n + 1)
    last = weights[:, :, -1]
    return last.gather(2, letters[:, None].expand(-1, last.shape[1], -1)).sum(-1)""",
        "dot counted",
        "the dot behind the block as one of its letters",
    ),
    "09": Wrong(
        "9.2",
        """row = tl.program_id(0)
    column = tl.arange(0, BLOCK)
    inside = column < columns
    x = tl.load(x_ptr + row * x_row + column * x_column, mask=inside, other=0.0).to(tl.float32)
    p = tl.exp(x - tl.max(x, 0))
    tl.store(out_ptr + row * out_row + column * out_column, p / tl.sum(p, 0), mask=inside)""",
        "0 in the tail",
        "0 is an ordinary logit",
    ),
    "10": Wrong(
        "10.2",
        """probs = logits.exp() / lse.exp()[..., None, None]
    return probs, (out * dout).sum(-1)""",
        "a quotient of two exponentials",
        "Subtract before you exponentiate",
    ),
}


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_wrong_answer_is_named_and_a_right_one_counts(lab, name):
    assert name[:2] in WRONG, f"say in WRONG what a learner of {name} may write first"
    wrong = WRONG[name[:2]]
    with lab.open(f"exercises/{name}.ipynb", height=1400) as notebook:
        notebook.run_all(60)
        assert [(x.source, x.errors) for x in notebook.cells() if x.errors] == []
        checks = [x for x in notebook.cells() if x.simplex.get("role") == "check"]
        assert [x.source for x in checks if "Not written yet" not in x.text] == []

        stub = notebook.find(exercise=wrong.exercise, role="stub")
        check = notebook.find(exercise=wrong.exercise, role="check")
        answer = stub.source.replace("raise NotImplementedError", wrong.body)
        notebook.write(stub, answer)
        notebook.run(stub)
        assert wrong.says in notebook.run(check).text
        assert record(lab, wrong.exercise)["last_cause"] == wrong.cause
        area = notebook.area(check)
        notebook.shot(f"{name[:2]}_wrong", area)

        area.get_by_role("button", name="Show me my bug").click()
        shown = ".x3[data-query]" if name[:2] == "02" else "table"
        area.locator(shown).first.wait_for()
        notebook.shot(f"{name[:2]}_bug", area)
        area.get_by_role("button", name="Hint 1 of 3").click()
        area.get_by_role("button", name="Hint 2 of 3").wait_for()
        assert record(lab, wrong.exercise)["hints_seen"] == 1
        notebook.shot(f"{name[:2]}_hint", area)

        enter = notebook.type if name[:2] == "00" else notebook.write
        enter(stub, solution(lab, name, wrong.exercise))
        assert notebook.run(stub).errors == []
        assert "Passed." in notebook.run(check).text
        notebook.shot(f"{name[:2]}_right", area)
        kept = record(lab, wrong.exercise)
        assert kept["passed_at"] and kept["last_cause"] is None

        notebook.restart()
        assert record(lab, wrong.exercise) == kept
        notebook.write(check, "from simplex_lib.course import course_map\ncourse_map()")
        assert re.search(rf"^{name[:2]} .* 1 of \d+ done$", notebook.run(check).text, re.M)
        notebook.shot(f"{name[:2]}_map", area)
        assert not notebook.trouble, str(notebook.trouble)


def record(lab: Any, exercise: str) -> dict[str, Any]:
    return lab.progress()["exercises"][exercise]


def solution(lab: Any, name: str, exercise: str) -> str:
    """The answer that the solution notebook gives."""
    notebook = json.loads((lab.work / "solutions" / f"{name}.ipynb").read_bytes())
    wanted = {"exercise": exercise, "role": "stub"}
    (found,) = [x for x in notebook["cells"] if x["metadata"].get("simplex") == wanted]
    return "".join(found["source"])
