"""Mirrors simplex_lib/widgets/online*.py: states against loops, words, bad input, still form."""

import math

import pytest
import torch

from simplex_lib.widgets.online import explore_online
from simplex_lib.widgets.online_steps import online_payload, read_row


def make_inputs(b=2, h=4, g=2, s=7, d=3, dv=2):
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(b, h, s, d, generator=generator, dtype=torch.float64)
    k, v = (
        torch.randn(b, g, s, n, generator=generator, dtype=torch.float64) for n in (d, dv)
    )  # fmt: skip
    return q, k, v


def row_by_hand(q, k, v, b, h, i):
    """Logits and values of one causal row; neighbouring query heads share a key head."""
    g = h // (q.shape[1] // k.shape[1])
    logits = [(q[b, h, i] @ k[b, g, j]).item() / math.sqrt(q.shape[3]) for j in range(i + 1)]
    return logits, v[b, g, : i + 1].tolist()


@pytest.mark.parametrize("block_size", [1, 2, 3, 7, 99])
@pytest.mark.parametrize("offset", [0, 150, -200])
def test_every_state_equals_a_sum_by_hand(block_size, offset):
    x = make_inputs()
    logits, values = row_by_hand(*x, 1, 3, 6)
    logits = [a + offset for a in logits]
    row = read_row(*x, batch=1, head=3)
    p = online_payload(row, block_size=block_size, offset=offset)
    assert p.logits == pytest.approx(logits, abs=1e-9)
    assert len(p.steps) == 1 + math.ceil(7 / block_size)
    before = -math.inf
    for step in p.steps[1:]:
        stop = step.keys.stop
        m = max(logits[:stop])
        assert step.m == pytest.approx(m)
        assert step.l == pytest.approx(sum(math.exp(a - m) for a in logits[:stop]))
        new = sum(math.exp(logits[j] - m) for j in step.keys)
        assert step.added == pytest.approx(new) and step.factor == pytest.approx(
            math.exp(before - m)
        )
        acc = [sum(math.exp(a - m) * u[c] for a, u in zip(logits, values[:stop])) for c in (0, 1)]  # noqa: B905
        assert step.acc == pytest.approx(acc)
        before = m
    assert p.out == pytest.approx(p.softmax_out) and p.lse == pytest.approx(p.softmax_lse)
    plain = online_payload(row, block_size=99)
    assert p.out == pytest.approx(plain.out) and p.lse == pytest.approx(plain.lse + offset)


def test_the_kept_numbers_are_those_of_the_keys_read():
    x = make_inputs()
    p = online_payload(read_row(*x, query=5), block_size=4, step=1)
    m = max(p.logits[:4])
    assert p.kept[:4] == pytest.approx([math.exp(a - m) for a in p.logits[:4]])
    assert p.kept[4:] == [None, None]
    assert online_payload(read_row(*x), step=0).kept == [None] * 7


def test_without_m_float32_overflows_and_underflows():
    row = read_row(*make_inputs())
    calm, over, under = (online_payload(row, offset=x, step=2) for x in (0, 100, -200))
    assert calm.plain_out == pytest.approx(calm.out, abs=1e-5) and "Without m" not in calm.sentence
    assert over.steps[-1].plain_l == math.inf and all(map(math.isnan, over.plain_out))
    assert "Without m, the sum of exp(logit) overflows to ∞ in float32" in over.sentence
    assert under.steps[-1].plain_l == 0 and "underflows to 0" in under.sentence


def test_sentences():
    q = torch.ones(1, 1, 5, 1)
    k = torch.tensor([1.0, 0, 2, -1, 0])[None, None, :, None]
    row = read_row(q, k, torch.ones(1, 1, 5, 1))
    words = [online_payload(row, block_size=2, step=n).sentence for n in range(4)]
    assert words[0] == "Nothing is read yet: m = −∞, l = 0, acc = 0. 5 keys wait in 3 blocks."
    assert words[1] == (
        "Block 1 of 3, keys 0 to 1: its largest logit 1.00 becomes m; there is nothing to rescale. "
        "Of 2 keys only m, l and the 1 number of acc are remembered."
    )
    assert "is above m = 1.00, so m rises, and the old l and acc are multiplied by" in words[2]
    assert "exp(1.00 − 2.00) = 0.368" in words[2]
    assert "Block 3 of 3, key 4: its largest logit 0.00 is not above m = 2.00" in words[3]
    assert "All keys are read: out = acc / l and lse = m + ln l are those" in words[3]


def test_the_example_shows_a_rise_and_a_rest():
    steps = explore_online().seen.steps
    assert steps[2].factor < 1 and steps[3].factor == 1 and steps[4].factor < 1


def test_tables_keep_their_size():
    widget = explore_online(*make_inputs(dv=5), block_size=3)
    sizes = set()
    for step in range(4):
        widget.change(step=step)
        sizes.add(widget.table().count("<tr"))
    assert sizes == {3 + 5 + 4 + 4}  # heads; m, l, three of acc; three of out, lse; four states
    assert "the first 3 of 5 coordinates" in widget.table()
    widget.change(offset=200)
    assert "∞" in widget.table() and "NaN" in widget.table()


Q, K, V = make_inputs()


@pytest.mark.errors
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(k=K[..., :2]), r"k must be \(b, g, s, d\) with d = 3 as in q; got"),
        (dict(q=Q[:, :3]), "n_kv_heads must divide n_heads = 3; got 2"),
        (dict(batch=2), "batch must be a whole number from 0 to 1, .* got 2"),
        (dict(head=-1), "head must be a whole number from 0 to 3, .* got -1"),
        (dict(query=7), "query must be a whole number from 0 to 6, .* got 7"),
        (dict(block_size=0), "block_size must be at least 1; got 0"),
        (dict(step=3), "step must be a whole number from 0 to 2, one of the states; got 3"),
        (dict(offset=1e4), "offset must be a number from -200 to 200; got 10000"),
        (dict(scale=0), "scale must not be 0"),
        (dict(q=Q * math.nan), "q must be finite; got nan"),
    ],
)
def test_errors_name_the_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        explore_online(**(dict(q=Q, k=K, v=V) | arguments))


@pytest.mark.errors
def test_too_many_keys_and_missing_tensors():
    long = torch.randn(3, 1, 1, 40, 2)
    with pytest.raises(ValueError, match=r"query must see at most 32 keys, .* got 40 keys"):
        explore_online(*long)
    assert len(explore_online(*long, query=31).seen.logits) == 32
    with pytest.raises(TypeError, match=r"k must be a torch.Tensor; got None"):
        explore_online(Q)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_still_form(step):
    widget = explore_online(Q, K, V, step=step)
    assert widget.still().startswith(b"\x89PNG") and widget.sentence == widget.seen.sentence


def test_the_view_follows_buttons_controls_and_code():
    widget = explore_online(Q, K, V, block_size=2)
    widget.live()
    view = widget._view
    back, forward, *_ = view.box.children[1].children
    for click, step in ((forward, 1), (forward, 2), (back, 1), (back, 0), (back, 0)):
        click.click()
        assert widget.choices["step"] == step == view.controls["step"].value
    view.controls["step"].value = 4
    forward.click()
    assert widget.choices["step"] == 4 and "All keys are read" in view.sentence.value
    view.controls["offset"].value = 100
    assert view.picture.data[0].base == pytest.approx(min(widget.seen.logits), abs=1)
    assert view.picture.data[2].y[0] == widget.seen.steps[-1].m
