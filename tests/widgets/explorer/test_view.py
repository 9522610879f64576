"""The view itself, as a page in a real browser: keys, choices, the slider, the cube, the size."""

import pytest
import torch

from simplex_lib.widgets import explore_pairs

pytestmark = pytest.mark.browser
WORDS = ["the", "white", "rabbit", "ran", "and", "the", "cat", "saw", "the", "rabbit", "run", "."]


@pytest.fixture
def opened(chromium, tmp_path):
    """Opens a widget's page; afterwards the console must be clean."""
    contexts, complaints = [], []

    def start(widget, **size):
        view = dict(width=1200, height=1000) | size
        context = chromium.new_context(viewport=view)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(5_000)
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: complaints.append(str(e)))
        path = tmp_path / f"{len(contexts)}.html"
        widget.page(path)
        page.goto(path.as_uri())
        page.locator(".x3[data-query]").wait_for(timeout=10_000)
        return page

    yield start
    for context in contexts:
        context.close()
    assert complaints == []


def logits(s=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(2, s, s, s, generator=generator)


def pick(page, text):
    page.get_by_role("radio", name=text, exact=True).first.check()
    page.wait_for_timeout(150)


def test_every_choice_draws_what_python_says_and_nothing_jumps(opened):
    widget = explore_pairs(logits(), tokens=WORDS, compare=logits(seed=1), w1=5, w2=3)
    page = opened(widget)
    root, size = page.locator(".x3"), page.locator(".x3").bounding_box()
    names = dict(
        probs="Probability", logits="Logit", asymmetry="Asymmetry", difference="Difference"
    )
    for mode, text in names.items():
        pick(page, text)
        widget.mode = mode
        assert page.locator(".x3-say").inner_text() == widget.sentence
    page.locator(".x3-chip[aria-selected=true]").press("ArrowLeft")
    page.locator(".x3[data-query='10']").wait_for()
    pick(page, "1")
    widget.query, widget.head = 10, 1
    assert page.locator(".x3-say").inner_text() == widget.sentence
    for text in ("Second map", "Cube", "Pairs"):
        pick(page, text)
        assert root.bounding_box() == size


def test_one_pair_is_lit_everywhere_and_held_by_keyboard(opened):
    page = opened(explore_pairs(logits(), tokens=WORDS))
    page.locator(".x3-table tbody tr").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    first, second = (page.locator(".x3-held td").nth(c).inner_text() for c in (1, 2))
    assert page.locator(".x3-read").inner_text().startswith(f"{first} with {second}: probability")
    page.keyboard.press("Escape")
    assert page.locator(".x3-held").count() == 0


def test_a_moved_logit_moves_its_row_alone_under_the_second_key_only(opened):
    table = torch.zeros(2, 2, 2)
    table[1, 0, 0] = 2
    recipes = ["all pairs", "second key only"]
    page = opened(explore_pairs(table, recipe=recipes, edit=True, causal=False))
    figures = lambda: page.locator(".x3-left .x3-figure").all_text_contents()  # noqa: E731
    assert figures() == ["0.711", "0.096", "0.096", "0.096"]
    page.locator(".x3-field").fill("4")
    page.wait_for_timeout(150)
    assert figures() == ["0.948", "0.017", "0.017", "0.017"]
    assert "All other pairs give or take together" in page.locator(".x3-say").inner_text()
    pick(page, "Second key only")
    assert figures() == ["0.982", "0.018", "0.500", "0.500"]
    assert page.locator(".x3-left .x3-bars-j .x3-sum").all_text_contents() == ["1.00", "1.00"]
    assert "map sums to 2.000" in page.locator(".x3-wrong").inner_text()
    page.get_by_role("button", name="Undo all").click()
    page.wait_for_timeout(150)
    assert figures() == ["0.881", "0.119", "0.500", "0.500"]


def test_the_cube_is_drawn_on_demand_and_sliced(opened):
    page = opened(explore_pairs(logits(), tokens=WORDS))
    assert page.locator("[data-points]").count() == 0
    pick(page, "Cube")
    page.locator("[data-points]").wait_for()
    say = page.locator(".x3-cube-say").first
    assert "query i = . (11): first key j down, second key k across" in say.inner_text()
    pick(page, "first key j")
    page.get_by_role("button", name="One slice on").click()
    page.wait_for_timeout(150)
    assert "first key j = white (1): query i down" in say.inner_text()
    before = page.locator(".x3-cube").screenshot()
    page.locator(".x3-cube").press("ArrowLeft")
    page.wait_for_timeout(200)
    assert page.locator(".x3-cube").screenshot() != before


def test_nothing_is_wider_than_its_place(opened):
    page = opened(explore_pairs(logits(), tokens=WORDS, compare=logits(seed=1)))
    for width in (1200, 900, 760, 600, 420):
        page.set_viewport_size(dict(width=width, height=900))
        for text in ("Pairs", "Second map", "Cube"):
            pick(page, text)
            wide = page.evaluate("() => document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, (width, text)


def test_faults_are_crossed_and_named(opened):
    probs = logits()[0].softmax(-1)
    probs[11, 3, 4] = float("nan")
    page = opened(explore_pairs(probs, kind="probs", tokens=WORDS))
    text = page.locator(".x3-say").inner_text()
    assert "1 entry is NaN, at first key “ran” (3), second key “and” (4)" in text
    assert page.locator(".x3-key", has_text="faulty").is_visible()
    assert "map sums to 11.99" in page.locator(".x3-wrong").inner_text()
