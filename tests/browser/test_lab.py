"""The driver itself: it notices what nobody looks at."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]


def test_trouble_on_a_page_is_noticed(lab):
    with lab.page("lab") as (page, trouble):
        page.locator("#jp-top-bar, #jp-menu-panel").first.wait_for()
        assert not trouble, str(trouble)
        page.evaluate("fetch('http://course.invalid/x.js').catch(() => console.error('broken'))")
        page.evaluate("fetch('/no/such/page')")
        page.wait_for_timeout(100)
        assert trouble.foreign == ["http://course.invalid/x.js"]
        assert any("broken" in text for text in trouble.console)
        assert any(text.startswith("404") for text in trouble.failed)
