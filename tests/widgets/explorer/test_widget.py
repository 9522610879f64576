"""Mirrors explore.py, widget.py, still.py and page.py of the explorer."""

import base64
import json
import re

import numpy as np
import pytest
import torch

from simplex_lib.widgets import explore_pairs
from simplex_lib.widgets.shown import BUILD

WORDS = ["alice", "<saw>", "the", "white", "rabbit", "."]


def logits(s=6, heads=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(heads, s, s, s, generator=generator)


class Line:
    """Stands for the front end: keeps what the widget sends."""

    def __init__(self, widget, monkeypatch):
        self.sent = []
        monkeypatch.setattr(widget, "send", lambda m, b=None: self.sent.append((m, b)))

    def ask(self, widget, **wish):
        widget._answer(None, dict(id="1", query=0, recipe="all pairs", head=0) | wish, None)
        return self.sent[-1]


def test_choices_can_be_read_and_set():
    widget = explore_pairs(
        logits(), tokens=WORDS, query=-2, recipe=["all pairs", "second key only"]
    )
    assert (widget.query, widget.head, widget.mode, widget.recipe, widget.pair) == (
        *(4, 0, "probs", "all pairs"),
        None,
    )
    before = widget.sentence
    widget.query, widget.head, widget.mode, widget.recipe = -1, 1, "asymmetry", "second key only"
    widget.pair = [2, 4]
    assert (widget.query, widget.pair) == (5, (2, 4)) and widget.sentence != before
    state = widget.get_state()
    for name in ("query", "head", "mode", "recipe", "pair"):
        assert name in state


@pytest.mark.parametrize("want", ["frames", "cube"])
def test_the_view_gets_the_packet_it_asks_for(want, monkeypatch):
    widget = explore_pairs(logits(), recipe=["all pairs", "first key only"])
    line = Line(widget, monkeypatch)
    message, (body,) = line.ask(widget, want=want, head=1, recipe="first key only")
    book = widget.book
    wish = book.cube(1, "first key only") if want == "cube" else book.head(1, "first key only")
    assert message == dict(id="1", header=json.loads(json.dumps(message["header"])))
    assert (message["header"], body) == wish


def test_a_long_text_travels_in_groups(monkeypatch):
    widget = explore_pairs(torch.zeros(70, 70, 70))
    message, _ = Line(widget, monkeypatch).ask(widget, want="frames", query=69)
    assert [f["query"] for f in message["header"]["frames"]] == list(range(64, 70))
    assert widget.start["chunk"] == 16 and message["header"]["frames"][-1]["origin"] == 6


def test_kept_state_draws_without_a_kernel():
    plain, kept = explore_pairs(logits()), explore_pairs(logits(), keep=True)
    assert plain.kept is None and plain.kept_bytes == b""
    state = kept.get_state()
    assert set(state["kept"]) == {f"{w}:{h}:all pairs" for w in ("frames", "cube") for h in (0, 1)}
    for name, packet in state["kept"].items():
        want, h, recipe = name.split(":")
        book = kept.book
        header, body = book.cube(int(h), recipe) if want == "cube" else book.head(int(h), recipe)
        start, end = packet["place"]
        assert packet["header"] == header and state["kept_bytes"][start:end] == body
    json.dumps(state["kept"])
    long = explore_pairs(torch.zeros(70, 70, 70), keep=True)
    assert len(long.kept["frames:0:all pairs"]["header"]["frames"]) == 70
    assert long.start["chunk"] == 0


def test_a_page_holds_everything_and_asks_for_nothing(tmp_path):
    widget = explore_pairs(logits(), tokens=WORDS, title="a </script> b", query=1)
    text = widget.page(tmp_path / "page.html", queries=[2, -1])
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == text
    assert not re.search(r"(src|href)=|@import|url\(|import ", text)
    data = re.search(r'id="numbers">(.*?)</script>', text, re.S).group(1)
    found = json.loads(data)
    assert found["start"]["queries"] == [2, 5] and found["options"]["query"] == 5
    packet = found["packets"]["frames:1:all pairs"]
    assert len(packet["header"]["frames"]) == 2 and base64.b64decode(packet["body"])
    assert "cube:0:all pairs" in found["packets"]
    assert "<noscript><p>Query" in text and "export" not in text.split("<script", 2)[2]


@pytest.mark.parametrize(
    "options",
    [
        dict(),
        dict(mode="logits", w1=3, w2=2),
        dict(recipe=["all pairs", "second key only"]),
        dict(compare=logits(seed=1), mode="difference"),
        dict(mode="asymmetry", scale="linear"),
    ],
)
def test_the_still_is_a_picture_with_a_sentence_and_a_table(options):
    widget = explore_pairs(logits(), tokens=WORDS, **options)
    assert widget.still().startswith(b"\x89PNG")
    assert widget.sentence.startswith(("Query", "Softmax over all pairs: Query"))
    table = widget.table()
    assert table.count("<table>") == len(widget.book.recipes)
    assert "&lt;saw&gt;" in table and "<saw>" not in table


@pytest.mark.parametrize(
    "tensor",
    [
        torch.full((3, 3, 3), float("nan")),
        torch.full((3, 3, 3), float("-inf")),
        torch.full((3, 3, 3), float("inf")),
        torch.full((3, 3, 3), -1e30),
    ],
)
@pytest.mark.parametrize("kind", ["logits", "probs"])
def test_whatever_a_learner_made_can_be_shown(tensor, kind, monkeypatch):
    widget = explore_pairs(tensor, kind=kind)
    for want in ("frames", "cube"):
        message, _ = Line(widget, monkeypatch).ask(widget, want=want)
        json.dumps(message, allow_nan=False)
    assert widget.sentence and widget.still() and widget.page()


def test_a_build_stores_a_picture_and_no_widget(monkeypatch):
    seen = []
    monkeypatch.setattr("IPython.display.display", lambda data, **_: seen.append(data))
    widget = explore_pairs(logits())
    monkeypatch.setenv(BUILD, "1")
    widget._ipython_display_()
    assert [sorted(d) for d in seen] == [["image/png", "text/plain"], ["text/html", "text/plain"]]
    monkeypatch.delenv(BUILD)
    widget._ipython_display_()
    assert "application/vnd.jupyter.widget-view+json" in seen[-1]
    assert "<table>" in seen[-1]["text/html"]


def test_arrays_lists_and_any_dtype_are_taken():
    x = logits(3, 1)
    for given in (x.numpy(), x.tolist(), x.bfloat16(), x.requires_grad_()):
        assert explore_pairs(given).start["tokens"] == ["0", "1", "2"]
    assert np.isfinite(explore_pairs(x[None]).book.explained(0, 2, "all pairs").mutual)


@pytest.mark.errors
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(query=6), "query must be from -6 to 5; got 6"),
        (dict(head=2), "head must be from -2 to 1; got 2"),
        (dict(mode="prob"), "mode must be one of 'probs', 'logits'.*got 'prob'"),
        (dict(mode="difference"), "mode 'difference' needs a second tensor in compare; got none"),
        (dict(recipe="pairs"), "recipe must be one of 'all pairs', 'second key only'.*got 'pairs'"),
        (dict(recipe=[]), "recipe must name at least one softmax; got none"),
        (dict(scale="cube"), "scale must be one of 'log', 'linear'; got 'cube'"),
        (dict(chunk=-1), "chunk must be at least 0 .* got -1"),
        (dict(compare=torch.zeros(5, 5, 5)), r"compare must have as many queries.*6; got \(5, 5"),
        (dict(compare=torch.zeros(3, 6, 6, 6)), "compare must have 1 or 2 heads; got 3"),
        (dict(compare=torch.zeros(6, 6)), r"compare must be \(s, s, s\).*got \(6, 6\)"),
    ],
)
def test_errors_name_the_argument(change, message):
    with pytest.raises(ValueError, match=message):
        explore_pairs(**(dict(tensor=logits()) | change))


@pytest.mark.errors
def test_probabilities_have_no_logits_to_work_on():
    probs = torch.full((2, 2, 2), 0.25)
    for change in (dict(recipe="second key only"), dict(edit=True), dict(mode="logits")):
        with pytest.raises(ValueError, match=r"logits.*probabilities"):
            explore_pairs(probs, kind="probs", **change)
    with pytest.raises(ValueError, match="edit needs logits of at most 64 tokens; got 65 tokens"):
        explore_pairs(torch.zeros(65, 65, 65), edit=True)


@pytest.mark.errors
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("query", -7, "query must be from -6 to 5; got -7"),
        ("pair", (0, 6), "pair's second key must be from -6 to 5; got 6"),
        ("pair", 3, r"pair must be None or \(j, k\); got 3"),
        ("recipe", "first key only", "recipe must be one of 'all pairs'; got 'first key only'"),
    ],
)
def test_a_wrong_choice_is_refused_and_nothing_changes(name, value, message):
    widget = explore_pairs(logits())
    before = getattr(widget, name)
    with pytest.raises(ValueError, match=message):
        setattr(widget, name, value)
    assert getattr(widget, name) == before


@pytest.mark.errors
def test_a_page_names_queries_that_are_not_there():
    with pytest.raises(ValueError, match="queries must be from -6 to 5; got 9"):
        explore_pairs(logits()).page(queries=[9])
    with pytest.raises(ValueError, match="queries must name at least one"):
        explore_pairs(logits()).page(queries=[])
