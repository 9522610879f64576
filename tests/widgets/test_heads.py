"""Mirrors simplex_lib/widgets/heads*.py: maps against loops, words, bad input, still form."""

import base64
import io
import math
from types import SimpleNamespace

import matplotlib.image
import numpy as np
import pytest
import torch

from simplex_lib.widgets.heads import explore_heads
from simplex_lib.widgets.heads_maps import heads_payload, read_logits
from simplex_lib.widgets.heads_pixels import data_uri, pixels
from simplex_lib.widgets.kit import heat_scale

WORDS = ["Alice", "saw", "<the>", "$5", "rabbit"]


def make_inputs(b=2, h=4, g=2, s=5, d=3):
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(b, h, s, d, generator=generator)
    return q, torch.randn(b, g, s, d, generator=generator)


def row_by_hand(q, k, b, h, i, temperature, causal=True):
    """One row of probabilities, by loops; neighbouring query heads share a key head."""
    g = h // (q.shape[1] // k.shape[1])
    last = i + 1 if causal else q.shape[2]
    x = [sum(q[b, h, i] * k[b, g, j]).item() / math.sqrt(q.shape[3]) for j in range(last)]
    e = [math.exp(a / temperature) for a in x]
    return [a / sum(e) for a in e]


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1, 3, 10])
@pytest.mark.parametrize("causal", [True, False])
def test_maps_equal_a_softmax_by_hand(temperature, causal):
    q, k = make_inputs()
    p = heads_payload(read_logits(q, k, batch=1, causal=causal), temperature=temperature)
    for h in range(4):
        for i in range(5):
            row = row_by_hand(q, k, 1, h, i, temperature, causal)
            assert p.maps[h, i, : len(row)].tolist() == pytest.approx(row, abs=1e-5)
            assert p.maps[h, i, len(row) :].isnan().all()


def test_the_chosen_row_in_numbers():
    q, k = make_inputs()
    p = heads_payload(read_logits(q, k), head=2, query=3)
    rows = [row_by_hand(q, k, 0, h, 3, 1) for h in range(4)]
    assert p.weights == pytest.approx([*rows[2], 0.0], abs=1e-5)
    entropy = [-sum(x * math.log(x) for x in row) for row in rows]
    assert p.entropy == pytest.approx(entropy, abs=1e-5) and p.most == math.log(4)
    assert p.favourite == [row.index(max(row)) for row in rows]
    common = [[sum(map(min, a, b)) for b in rows] for a in rows]
    assert p.shared == pytest.approx(common[2], abs=1e-5)
    pairs = {(a, b): common[a][b] for a in range(4) for b in range(a + 1, 4)}
    assert p.apart == min(pairs, key=lambda ab: pairs[ab])
    assert p.apart_shared == pytest.approx(min(pairs.values()), abs=1e-5)
    assert [j for j, *_ in p.top] == sorted(range(4), key=lambda j: -rows[2][j])


def test_probs_give_the_same_as_q_and_k():
    q, k = make_inputs()
    logits = read_logits(q, k)
    probs = logits.softmax(-1)
    for given in (probs, probs[None], probs[None].float()):
        again = read_logits(None, None, probs=given)
        for temperature in (0.5, 1, 2):
            a, b = (heads_payload(x, temperature=temperature) for x in (logits, again))
            torch.testing.assert_close(a.maps, b.maps, equal_nan=True, atol=1e-5, rtol=1e-4)


def test_sentences():
    sharp = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [0.9, 0, 0.1]]] * 2).log()
    sharp[1, 2] = torch.tensor([0.05, 0.05, 0.9]).log()
    p = heads_payload(sharp, tokens=["Alice", "saw", "it"])
    assert p.sentence == (
        "Head 0, query 2 ‘it’, reads key 0 ‘Alice’ most, with weight 0.90; its entropy is "
        "0.33 nats (0: one key alone; 0.69: all 2 alike). Heads 0 and 1 differ most here: they "
        "share 15%."
    )
    first = heads_payload(sharp, query=0, temperature=0.5).sentence
    assert (
        first == "At T = 0.5, head 0, query 0, sees only key 0: every head gives it the weight 1."
    )
    alone = heads_payload(sharp[:1])
    assert alone.apart is None and "differ" not in alone.sentence


def test_temperature_moves_the_entropy():
    logits = read_logits(*make_inputs())
    spread = [heads_payload(logits, temperature=t).entropy[0] for t in (0.1, 0.5, 1, 2, 10)]
    assert spread == sorted(spread)


def test_the_table_keeps_its_size_and_escapes_words():
    widget = explore_heads(*make_inputs(), tokens=WORDS)
    sizes = set()
    for query in range(5):
        widget.change(query=query)
        sizes.add(widget.table().count("<tr"))
    assert sizes == {2 + 4 + 5}  # two heads of tables, four heads, five keys
    widget.change(query=2)
    assert "&lt;the&gt;" in widget.table() and "<the>" not in widget.table()


Q, K = make_inputs()


@pytest.mark.errors
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(q=Q, k=K[:, :, :4]), r"k must be \(b, g, s, d\) with s = 5 as in q; got"),
        (dict(q=Q[:, :3], k=K), "n_kv_heads must divide n_heads = 3; got 2"),
        (dict(q=Q.expand(2, 4, 5, 3).repeat(1, 5, 1, 1), k=K), "q must have h at most 16"),
        (dict(q=Q.repeat(1, 1, 20, 1), k=K.repeat(1, 1, 20, 1)), "q must have s at most 64"),
        (dict(q=Q, k=K, probs=torch.eye(5)[None]), "probs must stand alone"),
        (dict(probs=torch.ones(1, 5, 5)), "probs must be at least 0 and sum to 1"),
        (
            dict(probs=torch.ones(5, 5)),
            r"probs must be \(b, h, s, s\) or \(h, s, s\); got \(5, 5\)",
        ),
        (dict(probs=torch.full((1, 2, 2), math.nan)), "probs must be finite; got nan"),
        (dict(q=Q, k=K, batch=2), "batch must be a whole number from 0 to 1, .* got 2"),
        (dict(q=Q, k=K, head=4), "head must be a whole number from 0 to 3, .* got 4"),
        (dict(q=Q, k=K, query=-1), "query must be a whole number from 0 to 4, .* got -1"),
        (dict(q=Q, k=K, temperature=0), "temperature must be a number from 0.1 to 10; got 0"),
        (dict(q=Q, k=K, tokens=["a"]), "tokens must be 5 strings, one a position; got 1"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        explore_heads(**arguments)


@pytest.mark.errors
def test_a_missing_tensor_is_named():
    with pytest.raises(TypeError, match=r"k must be a torch.Tensor; got None"):
        explore_heads(Q)


@pytest.mark.parametrize("shape", [dict(h=1, g=1, s=1), dict(h=5, g=1, s=30), dict()])
def test_still_form(shape):
    widget = explore_heads(*make_inputs(**shape), tokens=None if shape else WORDS)
    assert widget.still().startswith(b"\x89PNG")
    assert widget.sentence == widget.seen.sentence


def test_the_view_follows_controls_and_clicks():
    widget = explore_heads(*make_inputs(), tokens=WORDS)
    widget.live()
    view = widget._view
    view.controls["temperature"].value = 2.0
    assert widget.seen.temperature == 2 and "At T = 2" in view.sentence.value
    sources = [image.source for image in view.picture.layout.images]
    assert len(set(sources)) == 4 and sources[0].startswith("data:image/png;base64,")
    clicked = SimpleNamespace(point_inds=[1 * 5 + 3])
    view.picture.data[0]._click_callbacks[0](view.picture.data[0], clicked, None)
    assert (widget.choices["head"], widget.choices["query"]) == (1, 3)
    assert view.controls["head"].value == 1 and view.controls["query"].value == 3
    assert "▸" in view.picture.layout.annotations[1].text
    view.sentence.dark = True
    assert sources[0] != view.picture.layout.images[0].source


@pytest.mark.parametrize("dark", [True, False])
def test_pixels_of_a_map(dark):
    scale = dict(heat_scale(dark))
    found = pixels(np.array([[0, 1.0], [(3 / 7) ** 2, math.nan]]), dark=dark)
    for at, cell in ((0.0, (0, 0)), (1.0, (0, 1)), ((3 / 7) ** 2, (1, 0))):
        assert bytes(found[cell][:3]).hex() == scale[at].lstrip("#") and found[cell][3] == 255
    assert found[1, 1, 3] == 0


def test_a_map_is_a_picture_that_others_can_read():
    map_ = read_logits(*make_inputs()).softmax(-1)[0].numpy()
    coded = data_uri(map_, dark=False).removeprefix("data:image/png;base64,")
    image = matplotlib.image.imread(io.BytesIO(base64.b64decode(coded)))
    np.testing.assert_array_equal((image * 255).round(), pixels(map_, dark=False))
