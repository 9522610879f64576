"""Mirrors simplex_lib/widgets/kernel_editor*.py: maps against loops, words, edits, bad input."""

import json
import math

import pytest
import torch

from simplex_lib.widgets.kernel_editor import edit_kernel
from simplex_lib.widgets.kernel_editor_board import (
    Panel,
    cell_text,
    contrast,
    panel_text,
    scene,
    shade,
)
from simplex_lib.widgets.kernel_editor_presets import PRESETS, preset, preset_of, resized
from simplex_lib.widgets.kernel_editor_taps import cut_map, kernel_payload
from simplex_lib.widgets.kernel_editor_words import Inputs, equals, plain, read_words

# all sizes differ; taps beyond the sequence, one tap, one token
CASES = [(9, 3, 5), (4, 6, 11), (7, 1, 3), (5, 2, 1), (1, 3, 7)]


def draw(s, c_q, c_k, d=3):
    generator = torch.Generator().manual_seed(s)
    q, k = torch.randn(2, s, d, generator=generator, dtype=torch.float64)
    kernel = torch.randn(c_q, c_k, generator=generator, dtype=torch.float64)
    return Inputs(q, k, 0.7, tuple(map(str, range(s)))), tuple(map(tuple, kernel.tolist()))


def loops(inputs, kernel):
    """Raw logits, logits and shares entry by entry, from the definition; None in the future."""
    s, c_q, c_k = len(inputs.words), len(kernel), len(kernel[0])
    raw = [[0.7 * float(inputs.q[i] @ inputs.k[j]) if j <= i else 0 for j in range(s)]
           for i in range(s)]  # fmt: skip
    new = [[None] * s for _ in range(s)]
    for i in range(s):
        for j in range(i + 1):
            new[i][j] = 0.0
            for a in range(c_q):
                for b in range(-(c_k // 2), c_k // 2 + 1):
                    if i - a >= 0 and 0 <= j + b < s:
                        new[i][j] += kernel[c_q - 1 - a][c_k // 2 + b] * raw[i - a][j + b]
    shares = []
    for i in range(s):
        powers = [math.exp(new[i][j]) for j in range(i + 1)]
        shares.append([x / sum(powers) for x in powers])
    return raw, new, shares


@pytest.mark.parametrize(("s", "c_q", "c_k"), CASES)
def test_maps_equal_loops(s, c_q, c_k):
    inputs, kernel = draw(s, c_q, c_k)
    p = kernel_payload(inputs, kernel, (s - 1, 0))
    raw, new, shares = loops(inputs, kernel)
    for i in range(s):
        assert p.raw[i].tolist() == pytest.approx(raw[i])
        assert p.logits[i, : i + 1].tolist() == pytest.approx(new[i][: i + 1])
        assert p.probs[i, : i + 1].tolist() == pytest.approx(shares[i])
        assert not p.logits[i, i + 1 :].any() and not p.probs[i, i + 1 :].any()


@pytest.mark.parametrize(("s", "c_q", "c_k"), CASES)
def test_terms_add_up_to_the_logit(s, c_q, c_k):
    inputs, kernel = draw(s, c_q, c_k)
    for i in range(s):
        for j in range(i + 1):
            p = kernel_payload(inputs, kernel, (i, j))
            assert len(p.terms) == c_q and {len(row) for row in p.terms} == {c_k}
            total = sum(term.product for row in p.terms for term in row)
            assert total == pytest.approx(float(p.logits[i, j]))
            for row in p.terms:
                for t in row:
                    query, key = i - t.back, j + t.off
                    inside = query >= 0 and 0 <= key < s
                    fate = "outside" if not inside else "future" if key > query else "read"
                    assert t.fate == fate
                    assert t.raw == (float(p.raw[query, key]) if fate == "read" else 0)


@pytest.mark.parametrize(("s", "c_q", "c_k"), CASES)
def test_the_cut_lies_in_the_band_and_is_where_taps_meet_the_future(s, c_q, c_k):
    inputs, kernel = draw(s, c_q, c_k)
    sparse = [
        [x if (r + c) % 2 else 0.0 for c, x in enumerate(row)] for r, row in enumerate(kernel)
    ]
    for taps in (kernel, sparse):
        cut = cut_map(torch.tensor(taps), s)
        for i in range(s):
            for j in range(s):
                p = kernel_payload(inputs, taps, (i, j))
                meets = any(t.fate == "future" and t.tap for row in p.terms for t in row)
                assert bool(cut[i, j]) == (meets and j <= i)
                assert not cut[i, j] or i - j < p.band


def test_the_example_finds_both_words():
    widget = edit_kernel()
    p = widget.seen
    assert p.entry == (11, 2) and p.words[2] == "the"
    assert p.logits[11].max() == p.logits[11, 2] == 8
    assert float(p.probs[11, 2]) == pytest.approx(math.exp(8) / (math.exp(8) + 6 * math.exp(4) + 5))
    assert widget.sentence == (
        "Query 11 ‘rabbit’, key 2 ‘the’: 1 × 4 (alice, alice) + 1 × 4 (rabbit, rabbit) = 8; the "
        "dot product alone was 0. Share of the attention: 90.0%, without the kernel 1.5%."
    )


def test_sentences_of_the_mask():
    hidden = edit_kernel(entry=(3, 7)).sentence
    assert hidden.startswith("Key 7 ‘tree’ comes after query 3 ‘white’: the entry is hidden by −∞")
    one = edit_kernel(kernel=[[0, 1, 1]], entry=(4, 4)).sentence
    assert one.endswith("One tap would read a key later than its query; that logit counts as 0.")
    assert (
        "5 taps would read keys later"
        in edit_kernel(kernel="constant", c_q=2, entry=(9, 9)).sentence
    )
    none = edit_kernel(kernel="identity", entry=(9, 4)).sentence
    assert "no tap meets a logit other than 0" in none and "as without the kernel" in none
    many = edit_kernel(kernel=[[1] * 11] * 6, entry=(11, 3)).sentence
    assert "+ 1 more term = 16" in many
    rounded = edit_kernel(kernel=[[1 / 3]], entry=(11, 4)).sentence
    assert "0.333 × 4 (rabbit, rabbit) ≈ 1.33" in rounded


def test_words_that_agree_have_a_logit_of_4():
    x = read_words("Alice saw alice", "where alice")
    raw = x.q @ x.k.T * x.scale
    for i in range(5):
        for j in range(5):
            same = x.words[i].lower() == x.words[j].lower()
            assert raw[i, j] == (4 if same and i >= 3 and j < 3 else 0)


@pytest.mark.parametrize("c_q", range(1, 7))
@pytest.mark.parametrize("c_k", range(1, 12, 2))
def test_presets_of_every_size(c_q, c_k):
    for which in PRESETS:
        taps = preset(which, c_q, c_k)
        assert len(taps) == c_q and {len(row) for row in taps} == {c_k}
        assert preset(preset_of(taps), c_q, c_k) == taps
    assert sum(map(sum, preset("identity", c_q, c_k))) == 1
    assert sum(x * x for row in preset("constant", c_q, c_k) for x in row) == pytest.approx(1)
    for a in range(c_q):
        row = preset("diagonal", c_q, c_k)[c_q - 1 - a]
        assert [n - c_k // 2 for n, x in enumerate(row) if x] == ([-a] if a <= c_k // 2 else [])
    assert all(row[c_k // 2] == 1 == sum(row) for row in preset("look back", c_q, c_k))
    assert sum(map(sum, preset("edge", c_q, c_k))) == (0 if c_q * c_k > 1 else 1)


def test_resizing_keeps_the_preset_or_what_is_left():
    assert resized(preset("diagonal", 4, 5), 2, 9) == preset("diagonal", 2, 9)
    own = ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    assert resized(own, 1, 1) == ((5.0,),)
    assert resized(own, 3, 5) == ((0,) * 5, (0, 1, 2, 3, 0), (0, 4, 5, 6, 0))


def test_tensors_with_heads():
    generator = torch.Generator().manual_seed(0)
    q, k = (
        torch.randn(1, 4, 6, 3, generator=generator),
        torch.randn(1, 2, 6, 3, generator=generator),
    )
    kernel = torch.randn(4, 2, 3, generator=generator)
    widget = edit_kernel(q, k, kernel, head=3, tokens="a b c d e f".split())
    raw = (q[0, 3].double() @ k[0, 1].double().T / math.sqrt(3)).tril()
    torch.testing.assert_close(widget.seen.raw, raw)
    assert widget.seen.kernel == tuple(map(tuple, kernel[3].tolist()))
    assert edit_kernel(q[0, 3], k[0, 1], kernel[3]).seen.logits.equal(widget.seen.logits)


@pytest.mark.errors
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(kernel="box"), "kernel must be one of 'two words', 'identity', .*; got 'box'"),
        (dict(kernel="edge", c_k=4), "c_k odd, .* got c_q = 4, c_k = 4"),
        (dict(kernel="edge", c_q=7), "c_q must be a whole number from 0 to 6"),
        (dict(kernel=[[1, 1]]), "c_k odd, .* got c_q = 1, c_k = 2"),
        (dict(kernel=[[1] * 13]), "kernel must have 1 to 6 rows of 1 to 11 .*; got 1 rows of 13"),
        (dict(kernel=[[1], [1, 2, 3]]), "got 2 rows of 1 or 3"),
        (dict(kernel=[[99]]), "a tap must be a number from -9 to 9; got 99"),
        (dict(kernel=[[math.nan]]), "a tap must be a number from -9 to 9; got nan"),
        (dict(kernel=[["1"]]), "a tap must be a number from -9 to 9; got str '1'"),
        (dict(kernel=3), r"kernel must be rows of taps, \(c_q, c_k\); got int 3"),
        (dict(entry=(12, 0)), r"entry\[0\] must be a whole number from 0 to 11, a query; got 12"),
        (dict(entry=3), r"entry must be two positions, \(query, key\); got 3"),
        (dict(text="a " * 9), "text and question must have 12 positions at most; got 13"),
        (dict(text=" "), "text must hold a word at least"),
        (dict(question=5), "question must be words; got int 5"),
        (dict(tokens=["a"]), "tokens name the positions of q and k; got tokens alone"),
        (dict(q=torch.zeros(3, 2)), "q and k belong together; got q alone"),
        (dict(q=torch.zeros(3, 2), k=torch.zeros(3, 2), text="a"), "stand in place of q and k"),
        (dict(q=torch.zeros(13, 2), k=torch.zeros(13, 2)), "q must have 12 positions at most"),
        (dict(q=torch.zeros(2, 1, 3, 2), k=torch.zeros(2, 1, 3, 2)), "q must be one sequence"),
        (
            dict(q=torch.ones(3, 2) * 99, k=torch.ones(3, 2)),
            "must lie between −100 and 100; got 14",
        ),
        (dict(q=torch.zeros(3, 2), k=torch.zeros(3, 2), tokens=["a"]), "3 positions; got 1 words"),
        (dict(q=torch.zeros(3, 2), k=torch.zeros(3, 2), head=1), "head must be .* from 0 to 0"),
    ],
)
def test_errors_name_the_argument(change, message):
    with pytest.raises(ValueError, match=message):
        edit_kernel(**change)


def heard(widget, panel, row, column, **what):
    """As a message from the board."""
    widget._heard(None, dict(panel=panel, row=row, column=column, **what), None)


def test_the_board_edits_and_chooses():
    widget = edit_kernel()
    widget.live()
    view, controls = widget._view, widget._kernel
    heard(widget, "kernel", 0, 1, turn=True)
    assert widget.seen.kernel[0] == (1, 0, 1, 1, 1) and controls.preset.value == "your own"
    heard(widget, "kernel", 0, 1, steps=-3)
    heard(widget, "kernel", 1, 0, typed="−2,25")
    assert widget.seen.kernel[0][1] == -1.5 and widget.seen.kernel[1][0] == -2.25
    heard(widget, "logits", 10, 6)
    assert widget.choices["entry"] == (10, 6) and "Query 10 ‘the’, key 6" in view.sentence.value
    assert view.table.value == widget.table()
    heard(widget, "kernel", 9, 9, turn=True)  # of a grid that was larger
    heard(widget, "nothing", 0, 0)
    assert widget.choices["entry"] == (10, 6)
    controls.preset.value = "diagonal"
    assert widget.seen.kernel == preset("diagonal", 4, 5)
    controls.c_k.value = 7
    assert widget.seen.kernel == preset("diagonal", 4, 7) and controls.preset.value == "diagonal"
    light = view.picture.scene
    view.sentence.dark = True
    assert view.picture.scene["looks"] != light["looks"]


@pytest.mark.errors
@pytest.mark.parametrize(
    ("typed", "got"), [("abc", "'abc'"), ("", "''"), ("12", "12"), ("nan", "NaN"), ("inf", "inf")]
)
def test_a_refused_tap_is_named_and_the_last_good_state_kept(typed, got):
    widget = edit_kernel()
    widget.live()
    before = widget.seen
    heard(widget, "kernel", 1, 4, typed=typed)
    said = widget._view.sentence.value
    assert f"⚠ The tap (i−2, j+2) must lie between −9 and 9; got {got}." in said.replace(
        "&#x27;", "'"
    )
    assert widget.seen is before
    heard(widget, "kernel", 1, 4, typed="3")
    assert "⚠" not in widget._view.sentence.value and widget.seen.kernel[1][4] == 3


def test_the_scene_is_small_and_every_number_can_be_read():
    for widget in (edit_kernel(), edit_kernel(kernel=[[-9, 0.3, 9]] * 6)):
        for dark in (False, True):
            drawn = scene(widget.panels(), dark)
            assert len(json.dumps(drawn)) < 20_000
            for paper, ink in drawn["looks"]:
                assert contrast(paper, ink) >= 4.5
            for panel in drawn["panels"]:
                assert len(panel["texts"]) == len(panel["down"]) * len(panel["across"])


def test_numbers_of_cells():
    shown = {0: "0", 4: "4", -1.5: "−1.5", 0.224: ".22", -0.006: "−.01", 0.004: "0", 11.6: "12",
             0.997: "1", 1.04: "1.0", 1234: "1e3", 9.96: "10"}  # fmt: skip
    assert {x: cell_text(x) for x in shown} == shown
    assert (plain(4.0), plain(-1.5), plain(0.22360), plain(1234.5), plain(2.5e7)) == (
        *("4", "−1.5", "0.224", "1,234", "2.5e7"),
    )
    assert equals(0.5, 2) == "=" and equals(1 / 3) == "≈"
    wide = Panel("k", "", [], [], [], "logits", edit=True, cell=27)
    assert panel_text(2.25, wide) == "2.25" and panel_text(-2.0, wide) == "−2"


def test_colours_of_cells():
    shares, logits = (Panel("p", "", [], [], [], kind) for kind in ("shares", "logits"))
    assert shade(1, shares, False) == shade(3, shares, False)
    assert shade(-1, shares, False)[0] == shade(-1, logits, False)[0] != shade(1, logits, False)[0]


@pytest.mark.parametrize("kernel", [*PRESETS, [[0.5] * 11] * 6])
def test_still_form_is_small(kernel):
    widget = edit_kernel(kernel=kernel)
    picture = widget.still()
    assert picture.startswith(b"\x89PNG") and len(picture) < 8_000 and picture == widget.still()
    assert widget.sentence == widget.seen.sentence
    assert widget.table().count("<tr") == 1 + len(widget.seen.kernel) + 1
