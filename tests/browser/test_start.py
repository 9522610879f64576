"""What a learner sees first: the lab's own start page."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]


def test_the_lab_opens_on_the_start_page(lab):
    with lab.page("") as (page, trouble):
        page.locator(".jp-Notebook").first.wait_for()
        page.get_by_role("heading", name="Start here").wait_for()
        page.screenshot(path=lab.artifacts / "start_page.png")
        assert not trouble, str(trouble)
