"""Mirrors simplex_lib/widgets/loop_steps*.py: the recording, states by loops, words, the view."""

import inspect
import math
import subprocess
import sys

import pytest

from simplex_lib import data
from simplex_lib.triton_mode import triton_mode
from simplex_lib.widgets.loop_steps import step_loop
from simplex_lib.widgets.loop_steps_looks import SIGNS, tile_text
from simplex_lib.widgets.loop_steps_payload import loop_payload, row_steps
from simplex_lib.widgets.loop_steps_recording import (
    INPUTS,
    KERNELS,
    TENSORS,
    TILE,
    W1,
    W2,
    S,
    load_run,
    record,
)
from simplex_lib.widgets.loop_steps_tables import lines

RUNS = [(kernel, inputs) for kernel in KERNELS for inputs in INPUTS]
LOG2_E = math.log2(math.e)
interpreted = pytest.mark.skipif(
    triton_mode() != "interpreter", reason="kernels are not interpreted here"
)


def same(found, wanted):
    """Nested lists, numbers to what float32 may round."""
    if isinstance(wanted, list | tuple):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same(found[n], wanted[n]) for n in wanted)
    if isinstance(wanted, float) and isinstance(found, float):
        return found == pytest.approx(wanted, rel=1e-5, abs=1e-6)
    return found == wanted


@interpreted
@pytest.mark.parametrize(("kernel", "inputs"), RUNS)
def test_the_kernels_give_what_was_recorded(kernel, inputs):
    found, shipped = record(kernel, inputs), load_run(kernel, inputs)
    assert found.tensors == shipped.tensors
    assert same(found, shipped)


@interpreted
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_table_repeats_lines_of_the_kernel_in_their_order(kernel):
    from simplex_lib.kernels import dot_product, trilinear_forward

    home = dot_product if kernel == "dot product" else trilinear_forward
    source = inspect.getsource(home.forward_kernel.fn)
    for line in lines(loop_payload(kernel)):
        for part in line.split("…"):
            assert part in source, line
            source = source[source.index(part) + len(part) :]


def test_what_ships_says_how_it_was_made():
    found = data.load("loop_steps")
    assert found["versions"].keys() == {"python", "torch", "triton", "numpy"}
    assert (found["s"], found["tile"], found["w1"], found["w2"]) == (S, TILE, W1, W2)


def pairs_by_hand(kernel, inputs, i):
    """What a query sees, as (j, k, logit in base 2, value) in the order of the kernel's loop."""
    x = load_run(kernel, inputs).tensors
    q = x["q"][i]
    found, first = [], i // TILE * TILE
    if kernel == "dot product":
        for j in range(i + 1):
            logit = sum(a * b for a, b in zip(q, x["k"][j], strict=True))
            found.append((j, None, logit / math.sqrt(3) * LOG2_E, x["v"][j]))
        return found
    for j0 in range(max(first - W1 + 1, 0), S, TILE):
        for k in range(max(i - W2 + 1, 0), i + 1):
            for j in range(max(j0, i - W1 + 1), min(j0 + TILE, i + 1)):
                logit = sum(a * b * c for a, b, c in zip(q, x["k1"][j], x["k2"][k], strict=True))
                value = [a * b for a, b in zip(x["v1"][j], x["v2"][k], strict=True)]
                found.append((j, k, logit / math.sqrt(3) * LOG2_E, value))
    return found


@pytest.mark.parametrize(("kernel", "inputs"), RUNS)
@pytest.mark.parametrize("query", range(S))
def test_every_state_is_a_sum_by_hand(kernel, inputs, query):
    seen = pairs_by_hand(kernel, inputs, query)
    steps, plain_l, plain_acc = row_steps(kernel, inputs, query), 0.0, [0.0] * 3
    in_order = []
    for step in steps[1:]:
        new = [x for x in seen if x[0] in step.keys and x[1] == step.k]
        in_order += new
        if not in_order:
            assert (step.m, step.l, step.out, step.largest) == (-math.inf, 0, None, None)
            continue
        m = max(x[2] for x in in_order)
        assert step.m == pytest.approx(m, abs=1e-5)
        assert (step.largest is None) == (not new)
        assert not new or step.largest == pytest.approx(max(x[2] for x in new), abs=1e-5)
        assert step.l == pytest.approx(sum(2 ** (x[2] - m) for x in in_order), rel=1e-5)
        for c in range(3):
            acc = sum(2 ** (x[2] - m) * x[3][c] for x in in_order)
            assert step.acc[c] == pytest.approx(acc, abs=2e-5)
            plain_acc[c] += sum(2 ** (x[2] - m) * x[3][c] for x in new)
        plain_l += sum(2 ** (x[2] - m) for x in new)
        assert step.plain_l == pytest.approx(plain_l, rel=1e-5)
        assert step.plain_acc == pytest.approx(plain_acc, abs=2e-5)
        lse = math.log(sum(math.exp(x[2] / LOG2_E) for x in in_order))
        assert step.lse == pytest.approx(lse, abs=1e-5)
    assert len(in_order) == len(seen)


@pytest.mark.parametrize(("kernel", "inputs"), RUNS)
@pytest.mark.parametrize("query", range(S))
def test_the_last_state_is_what_the_kernel_stores_and_the_definition(kernel, inputs, query):
    p = loop_payload(kernel, inputs, query=query)
    last = p.steps[-1]
    assert last.out == pytest.approx(p.out, abs=1e-6) and last.lse == pytest.approx(p.lse, abs=1e-6)
    assert p.error < 1e-6
    by_hand = len(pairs_by_hand(kernel, inputs, query))
    assert p.pairs == by_hand
    width = min(query + 1, W2) if kernel == "trilinear" else 1
    assert by_hand == width * min(query + 1, W1 if kernel == "trilinear" else S)


@pytest.mark.parametrize("kernel", KERNELS)
def test_where_the_largest_logits_come(kernel):
    for query in range(S):
        early, late = (
            [x for x in row_steps(kernel, inputs, query)[1:] if x.largest is not None]
            for inputs in ("early", "late")
        )
        assert all(x.rescale == 1 for x in early[1:])
        assert early[-1].plain_l == pytest.approx(early[-1].l)
        assert late[-1].largest == max(x.largest for x in late)
        rises = [x for x in late[1:] if x.rescale < 1]
        assert bool(rises) == (len(late) > 1)
    mixed = row_steps(kernel, "mixed", 9)
    assert {step.rescale == 1 for step in mixed if step.largest is not None} == {True, False}
    late = row_steps(kernel, "late", 9)[-1]
    apart = max(abs(a - b) for a, b in zip(late.out, late.plain_out, strict=True))
    assert apart > 0.2 and abs(late.lse - late.plain_lse) > 0.2


@pytest.mark.parametrize("query", range(S))
@pytest.mark.parametrize("kernel", KERNELS)
def test_maps_follow_the_steps(kernel, query):
    steps = row_steps(kernel, "mixed", query)
    for step in range(len(steps)):
        p = loop_payload(kernel, "mixed", query=query, step=step)
        rows = p.map if p.pairs_of_keys else [p.map[query % TILE]]
        fates = [fate for row in rows for fate in row]
        assert fates.count("now") + fates.count("done") == p.read
        assert fates.count("wait") == p.pairs - p.read
        new = [] if not step else [x for x in steps[step].tile[query % TILE] if x is not None]
        assert fates.count("now") == len(new)
        masked = sum(
            j < S for one in steps[1 : step + 1]
            for j, x in zip(one.keys, one.tile[query % TILE], strict=True) if x is None
        )  # fmt: skip
        assert fates.count("skipped") == masked
    assert p.read == p.pairs and len(set(SIGNS.values())) == len(SIGNS)


def test_a_row_of_no_query_is_computed_and_not_used():
    p = loop_payload("dot product", query=9, step=2)
    assert p.queries[3] is None
    assert p.map[3] == ["skipped"] * 8 + ["off"] * 3
    assert p.map[2] == ["done"] * 4 + ["now"] * 4 + ["wait"] * 3


def test_the_tile_shows_masked_cells_in_words():
    assert tile_text(loop_payload("trilinear", step=1))[1:] == [["−∞"] * 4] * 3
    text = tile_text(loop_payload("dot product", step=3))
    assert [[cell == "−∞" for cell in row] for row in text[:3]] == [
        [False, True, True, True], [False, False, True, True], [False, False, False, True]
    ]  # fmt: skip


def test_sentences():
    words = [loop_payload(query=9, step=n, without_rescale=n > 1).sentence for n in range(4)]
    assert words[0] == (
        "Program 2 owns queries 8 to 10. Before its loop, each of them has m = −∞, l = 0 and "
        "acc = 0. The loop takes 3 steps; query 9 sees 10 keys in them."
    )
    assert words[1] == (
        "Step 1 of 3, keys 0 to 3: the largest logit that query 9 sees here, 2.34, becomes m, and "
        "l = 2.889. There was nothing to rescale. 4 of 10 keys are in."
    )
    assert words[2] == (
        "Step 2 of 3, keys 4 to 7: the largest logit that query 9 sees here, 4.34, is above m = "
        "2.34. l and acc are multiplied by rescale = exp2(2.34 − 4.34) ≈ 0.250, and l = 2.889 × "
        "0.250 + 2.717 ≈ 3.438. 8 of 10 keys are in. Without the rescale l would be 5.606, acc / l "
        "off by up to 0.486."
    )
    assert "All 10 keys are in: out = acc / l and lse = (m + log₂ l) · ln 2 = 4.957" in words[3]
    assert "as by the definition (largest difference " in words[3]


def test_sentences_of_masks_and_of_no_rescale():
    nothing = loop_payload("trilinear", query=9, step=1, without_rescale=True).sentence
    assert "query 9 sees no pair of the tile, nor did before. m stays −∞" in nothing
    assert "0 of 24 pairs are in. Without the rescale nothing would differ so far." in nothing
    later = loop_payload("trilinear", query=9, step=5).sentence
    assert later.endswith("every p is 0, rescale is 1, nothing changes. 9 of 24 pairs are in.")
    early = loop_payload("dot product", "early", step=3, without_rescale=True).sentence
    assert "is not above m = 5.72. m stays, rescale is 1, l = 3.480 + 0.142 ≈ 3.622." in early
    assert early.endswith("Without the rescale nothing differs: the largest logit came first.")
    one = loop_payload("trilinear", query=0, step=1).sentence
    assert "1 of 1 pair is in." in one
    assert "The loop takes 1 step; query 3 sees 4 keys in it." in loop_payload(query=3).sentence
    tail = loop_payload("trilinear", query=10, step=14).sentence
    assert tail.startswith("Step 14 of 15, j = 9 to 10, k = 9:")


@pytest.mark.parametrize(("kernel", "rows"), [("dot product", 7), ("trilinear", 8)])
def test_tables_keep_their_size(kernel, rows):
    widget = step_loop(kernel)
    sizes = set()
    for step in range(len(widget.seen.steps)):
        for without in (False, True):
            widget.change(step=step, without_rescale=without)
            sizes.add(widget.table().count("<tr"))
    shown = 4 if kernel == "dot product" else 6
    assert sizes == {3 + rows + 4 + shown}  # heads; lines; out and lse; steps
    assert widget.table().count("sx-on") == 1


def test_tables_say_what_is_wrong_without_the_rescale():
    right = step_loop("dot product", step=3).table()
    both = step_loop("dot product", step=3, without_rescale=True).table()
    p = loop_payload("dot product", step=3)
    wrong = f"<td>{p.now.plain_l:.3f}</td>"
    assert wrong in both and wrong not in right
    assert f"<td>{p.now.plain_lse:.3f}</td>" in both


@pytest.mark.errors
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(kernel="pairs"), ValueError, "kernel must be one of 'dot product', 'trilinear'; got"),
        (dict(inputs="first"), ValueError, "inputs must be one of 'late', 'early', 'mixed'; got"),
        (dict(query=11), ValueError, "query must be a whole number from 0 to 10, .*; got 11"),
        (dict(step=4), ValueError, "step must be .* from 0 to 3, the steps of program 2; got 4"),
        (dict(query=0, step=2), ValueError, "from 0 to 1, the steps of program 0; got 2"),
        (dict(without_rescale=1), TypeError, "without_rescale must be True or False; got int 1"),
    ],
)
def test_errors_name_the_argument(arguments, error, message):
    with pytest.raises(error, match=message):
        step_loop(**arguments)
    widget = step_loop()
    before = widget.choices
    with pytest.raises(error, match=message):
        widget.change(**arguments)
    assert widget.choices == before


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("without", [False, True])
def test_still_form(kernel, without):
    for step in (0, 1, 3):
        widget = step_loop(kernel, step=step, without_rescale=without)
        picture = widget.still()
        assert picture.startswith(b"\x89PNG") and len(picture) < 40_000
        assert widget.sentence == widget.seen.sentence


def test_the_view_follows_buttons_controls_and_code():
    widget = step_loop()
    widget.live()
    view = widget._view
    controls, traces = view.controls, {trace.name: trace for trace in view.picture.data}
    back, forward, *_ = view.box.children[2].children
    for click, step in ((forward, 1), (forward, 2), (back, 1), (back, 0), (back, 0)):
        click.click()
        assert widget.choices["step"] == step == controls["step"].value
    assert not traces["out"].x and not traces["plain l"].x
    controls["kernel"].value = "trilinear"
    assert controls["step"].max == 15 and len(traces["map"].z) == S
    controls["step"].value = 12
    assert "Step 12 of 15" in view.sentence.value
    assert tuple(traces["out"].y) == tuple(widget.seen.now.out)
    controls["query"].value = 2  # of a program with a shorter loop
    assert widget.choices["step"] == controls["step"].value == controls["step"].max == 4
    controls["without_rescale"].value = True
    assert len(traces["plain l"].x) == 5 and "Without the rescale" in view.sentence.value
    widget.change(kernel="dot product", query=10)
    assert widget.choices["step"] == 3 and controls["kernel"].value == "dot product"
    light = traces["tile"].colorscale
    view.sentence.dark = True
    assert traces["tile"].colorscale != light
    assert view.table.value == widget.table()


def test_no_cell_of_the_picture_has_an_empty_text():
    """plotly loses track of texts that are empty, and leaves cells out when others come."""
    widget = step_loop("trilinear")
    widget.live()
    for step in range(4):
        widget.change(step=step)
        texts = [x for x in widget._view.picture.data if x.name in ("logits", "signs")]
        assert [len(x.text) for x in texts] == [TILE**2, S**2]
        assert all(text for x in texts for text in x.text)


def test_the_widget_needs_no_triton():
    code = """
import sys
sys.modules["triton"] = None
from simplex_lib.widgets import step_loop
widget = step_loop("trilinear", step=7)
widget.live()
widget.change(kernel="dot product")
print(widget.sentence, len(widget.still()) > 1000)
"""
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100
    )
    assert told.stdout.startswith("Step 3 of 3") and told.stdout.endswith("True\n")


def test_every_tensor_ships():
    for kernel, inputs in RUNS:
        tensors = load_run(kernel, inputs).tensors
        assert tuple(tensors) == TENSORS[kernel]
        assert {(len(x), len(x[0])) for x in tensors.values()} == {(S, 3)}
