"""Mirrors simplex_lib/course/map.py."""

import struct
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

from simplex_lib.course import course_map, progress
from simplex_lib.course.chapters import CHAPTERS, exercise_id
from simplex_lib.course.map import CourseMap, map_payload
from simplex_lib.course.map_picture import HEIGHT, PLACES, SIZE, WIDTH, as_svg, corner

FILES = {n: Path(f"chapters/{n}_t.ipynb") for n in ("00", "01", "02")}


def test_the_payload_counts_what_is_done(fake):
    progress.record_check("2.1", passed=True, cause=None)
    progress.record_check("2.2", passed=False, cause="mask")
    stops = {stop.chapter.number: stop for stop in map_payload(files=FILES)}
    assert list(stops) == [f"{n:02d}" for n in range(13)]
    assert stops["02"].state == "1 of 3 done" and stops["01"].state == "0 of 2 done"
    assert stops["00"].state == "to read"  # here, without exercises of its own in this set
    assert stops["03"].state == "to come" and not stops["03"].here


def test_while_notebooks_are_built_nobody_has_done_anything(fake, monkeypatch):
    progress.record_check("2.1", passed=True, cause=None)
    monkeypatch.setenv("SIMPLEX_BUILD", "1")
    assert sum(stop.done for stop in map_payload(files=FILES)) == 0


def test_the_picture_is_well_formed_and_the_table_says_the_same(fake):
    progress.record_check("1.1", passed=True, cause=None)
    progress.record_check("1.2", passed=True, cause=None)
    shown = CourseMap(map_payload(files=FILES))
    picture = xml.fromstring(as_svg(shown.stops, shown.sentence))
    assert picture.get("aria-label") == shown.sentence
    assert (
        "done 2 of 5 exercises" in shown.sentence and "3 of them in this release" in shown.sentence
    )
    assert any("✓ 2 of 2 done" in (element.text or "") for element in picture.iter("text"))
    drawn = [
        box for box in picture.iter("rect") if "success" in box.get("style").split("stroke")[0]
    ]
    assert len(drawn) == 2  # one filled piece of the bar for each exercise done
    html = shown._repr_html_()
    assert html.count("<tr>") == 14 and "<a href='01_t.ipynb'>Dot-product attention</a>" in html
    assert "03_" not in html
    assert "12  A kernel nobody has published" in str(shown)


def test_cards_do_not_overlap_and_needs_come_before(fake):
    corners = sorted(corner(stop) for stop in map_payload(files=FILES))
    for n, (x, y) in enumerate(corners):
        for other_x, other_y in corners[n + 1 :]:
            assert abs(x - other_x) >= WIDTH or abs(y - other_y) >= HEIGHT
    for chapter in CHAPTERS:
        for before in chapter.needs:
            assert before < chapter.number
            assert PLACES[before][0] <= PLACES[chapter.number][0]


def test_the_still_form_is_a_picture_a_sentence_and_a_table(fake, monkeypatch):
    monkeypatch.setenv("SIMPLEX_BUILD", "1")
    still, text = (data for data, _ in CourseMap(map_payload(files=FILES)).outputs())
    width, height = struct.unpack(">II", still["image/png"][16:24])
    assert (width, height) == SIZE and len(still["image/png"]) < 60_000
    assert "<svg" not in text["text/html"] and text["text/html"].count("<tr>") == 14


def test_the_map_of_the_course_itself_is_drawn():
    assert len(course_map().stops) == 13


@pytest.mark.parametrize(
    ("given", "wanted"), [("2.1", "2.1"), ("02.1", "2.1"), (" 12.10 ", "12.10")]
)
def test_an_exercise_has_one_name(given, wanted):
    assert exercise_id(given) == wanted
