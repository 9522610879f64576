"""Mirrors simplex_lib/widgets/shown.py."""

import subprocess
import sys

import ipywidgets
import pytest

from simplex_lib.widgets.shown import BUILD, Shown


class Still:
    sentence = "Query 3 reads a < b."

    def still(self):
        return b"\x89PNG"

    def table(self):
        return "<table><tr><td>1</td></tr></table>"


class Composite(Still, Shown, ipywidgets.VBox):
    pass


class Holder(Still, Shown):
    def live(self):
        return "the held widget"


@pytest.fixture
def outputs(monkeypatch):
    seen = []
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: seen.append((a, k)))
    return seen


@pytest.mark.parametrize("make", [Composite, Holder])
def test_a_build_leaves_a_picture_then_sentence_and_table(make, outputs, monkeypatch):
    monkeypatch.setenv(BUILD, "1")
    make()._ipython_display_()
    (picture, also), (text, _) = outputs
    assert picture[0]["image/png"] == b"\x89PNG"
    assert also["metadata"]["image/png"]["alt"] == "Query 3 reads a < b."
    assert text[0]["text/html"].startswith("<p>Query 3 reads a &lt; b.</p>")
    assert "<table>" in text[0]["text/html"] and also["raw"]
    assert not any("widget" in mime for a, _ in outputs for mime in a[0])


def test_a_lab_shows_the_widget_itself(outputs, monkeypatch):
    monkeypatch.delenv(BUILD, raising=False)
    Composite()._ipython_display_()
    ((data,), _) = outputs[0]
    assert "application/vnd.jupyter.widget-view+json" in data
    Holder()._ipython_display_()
    assert outputs[1][0] == ("the held widget",)


def test_importing_the_widgets_costs_nothing_heavy():
    code = "import sys, simplex_lib.widgets as w; dir(w); print([m for m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for heavy in ("ipywidgets", "anywidget", "matplotlib", "plotly", "IPython"):
        assert f"'{heavy}'" not in run.stdout
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        import simplex_lib.widgets

        _ = simplex_lib.widgets.nothing
