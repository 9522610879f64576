"""Mirrors simplex_lib/widgets/alice*.py: numbers, words for every verdict, bad input, the view."""

import pytest

from simplex_lib.tasks.alice import TEXT, TWICE
from simplex_lib.widgets import find_alice
from simplex_lib.widgets.alice import FAR
from simplex_lib.widgets.alice_shares import alice_payload, share


def test_numbers_are_those_of_the_heads():
    p = alice_payload(TEXT, "alice rabbit")
    assert p.key == 14 and p.sums[14] == 4 and p.parts == [2, 1, 1]
    assert p.read == [10, 11, 12, 13, 14] and p.taps == [[0, 0, 0, 0, 2], *[[1, 1, 1, 1, 0]] * 2]
    assert [round(p.shares[name][2], 5) for name in p.shares] == [0.99996, 0.25, 0.99972]
    for name in ("multi-token", "dot product"):
        assert sum(p.shares[name]) < 1  # the question's own tokens get the rest


@pytest.mark.parametrize("text", [TEXT, TWICE, FAR, "rabbit alice", "a. b alice. rabbit rabbit."])
@pytest.mark.parametrize("reach", [1, 4, 8])
def test_at_every_key_the_taps_add_up_to_the_sum(text, reach):
    size = len(alice_payload(text, "alice rabbit").story.words)
    for key in range(size):
        p = alice_payload(text, "alice rabbit", reach=reach, key=key)
        assert sum(p.parts) == p.sums[key]
        assert len(p.read) == reach + 1 and p.read[-1] == key


@pytest.mark.parametrize(
    ("text", "reach", "words"),
    [
        (TEXT, 4, "sum is 4 at its full stop, at most 3 at the others and at most 2 elsewhere."),
        (TWICE, 4, "and as much in sentence 8, where alice stands twice."),
        (FAR, 4, "is only 3 at its full stop: it reads 4 words back, and the sentence has 8."),
        (
            FAR,
            8,
            "and as much in sentences 2 and 4, where the taps reach back into another sentence.",
        ),
        ("rabbit alice. a cat.", 1, "sum is 3 at its full stop, at most 2 at the others"),
        ("rabbit alice. cat alice.", 1, "is only 3 at its full stop: it reads 1 word back"),
        ("Alice ran. Rabbit ran.", 4, "No sentence holds both alice and rabbit. The kernel's"),
        ("alice, rabbit. rabbit, alice.", 2, "Sentences 1 and 2 hold both alice and rabbit"),
        (
            "alice saw rabbit. alice alice alice.",
            4,
            "The kernel's sum is 4 there, and 5 in sentence 2, where alice stands 3 times",
        ),
    ],
)
def test_sentences(text, reach, words):
    assert words in alice_payload(text, "alice rabbit", reach=reach).sentence


def test_each_reason_for_a_tie_is_named_once():
    text = "rabbit alice cat. x alice alice. rabbit. alice alice."
    assert alice_payload(text, "alice rabbit", reach=3).sentence.endswith(
        "and as much in sentences 2 and 4, where alice stands twice, and in sentence 3, where the "
        "taps reach back into another sentence."
    )


def test_shares_next_to_one_show_their_digits():
    assert [share(x) for x in (0, 0.25, 0.9994, 0.99996, 0.999999, 1)] == [
        *("0.000", "0.250", "0.999", "0.99996", "1.000", "1.000")
    ]


@pytest.mark.errors
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(text=" . "), "text must be 1 to 10 sentences"),
        (dict(text="a " * 90), "got 1 sentence, 91 words"),
        (dict(question="alice"), "question must be two different words; got 'alice'"),
        (dict(beta=0), "beta must be a number from 0.5 to 50; got 0"),
        (dict(reach=9), "reach must be a whole number from 0 to 8, words .* got 9"),
        (dict(reach=0), "reach must be at least 1, or the kernel reads no word; got 0"),
        (dict(reach=1.5), "reach must be a whole number .* got float 1.5"),
    ],
)
def test_errors_name_the_argument(change, message):
    with pytest.raises(ValueError, match=message):
        find_alice(**change)


def test_still_form():
    for text in (TWICE, "$5 for a rabbit. alice"):
        widget = find_alice(text)
        assert widget.still().startswith(b"\x89PNG") and widget.still() == widget.still()
        assert widget.sentence == widget.seen.sentence
        assert widget.table().count("<tr") == 1 + len(widget.seen.rows)
        assert len(widget.table()) < 5000
        assert widget.table().count("white-space: normal") == 1 + len(widget.seen.rows)


def test_the_view_follows_controls_buttons_and_clicks():
    widget = find_alice()
    widget.live()
    view = widget._view
    view.controls["key"].value = 3
    assert "At key j = 3" in view.picture.value and view.table.value == widget.table()
    view.picture.clicked = "key:6"
    assert view.controls["key"].value == 6 and view.picture.clicked == ""
    _, question, sliders = (view.box.children[n].children[0].children for n in (1, 2, 3))
    seven, twice, far = question[1:]
    twice.click()
    assert view.controls["text"].value == TWICE and "sentence 8" in view.sentence.value
    view.controls["reach"].value = 2
    assert widget.seen.reach == 2
    far.click()
    assert widget.choices["reach"] == 4 == view.controls["reach"].value
    seven.click()
    assert widget.choices["key"] == 14 and len(sliders) == 3
    light = view.picture.value
    view.sentence.dark = True
    assert view.picture.value != light


def test_what_is_typed_wrong_is_said_and_the_last_good_state_stays():
    widget = find_alice()
    widget.live()
    view, before = widget._view, widget.seen
    view.controls["question"].value = "alice"
    assert "question must be two different words" in view.sentence.value
    assert "The picture has the question before." in view.sentence.value
    assert widget.seen is before
    view.controls["beta"].value = 3.0  # the others go on, what is typed stays
    assert widget.seen.beta == 3 and view.controls["question"].value == "alice"
    assert "⚠" in view.sentence.value and "multi-token" in view.sentence.value
    view.controls["question"].value = "the cat"
    assert widget.seen.story.asked == ("the", "cat") and "⚠" not in view.sentence.value


def test_a_button_repairs_what_is_typed_wrong():
    widget = find_alice()
    widget.live()
    view = widget._view
    for text in ("", TEXT):
        view.controls["text"].value = text
        assert ("⚠" in view.sentence.value) == (text == "")
    view.controls["text"].value = ""
    view.box.children[2].children[0].children[1].click()  # the text that it had before
    assert view.controls["text"].value == TEXT and "⚠" not in view.sentence.value


def test_typed_words_are_text_and_no_tags():
    widget = find_alice("<b>alice</b> & rabbit.")
    widget.live()
    assert "<b>alice" not in widget._view.picture.value


def test_another_text_brings_the_key_to_its_largest_sum():
    widget = find_alice()
    widget.change(text="the rabbit. alice and a rabbit.")
    assert widget.choices["key"] == 7
    widget.live()
    widget._view.controls["text"].value = "rabbit alice"
    assert widget.choices["key"] == 2 == widget._view.controls["key"].value
    widget.change(reach=1)
    assert widget.seen.sums[widget.choices["key"]] == max(widget.seen.sums)
