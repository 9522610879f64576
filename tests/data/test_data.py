"""Mirrors simplex_lib/data/__init__.py: what ships says where it comes from."""

import doctest
import tomllib
from pathlib import Path

import pytest

from simplex_lib import data
from simplex_lib.attention import costs

ROOT = Path(__file__).resolve().parents[2]


def test_examples_hold():
    assert doctest.testmod(data).failed == 0


@pytest.mark.parametrize("name", data.names())
def test_every_file_names_its_source_or_how_it_was_made(name):
    found = data.load(name)
    made = {"command", "machine", "date", "versions", "seed"}
    records = [found] if "runs" not in found or made <= set(found) else found["runs"]
    assert records and all("source" in record or made <= set(record) for record in records)


def test_data_is_packaged():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "data/**/*" in project["tool"]["setuptools"]["package-data"]["simplex_lib"]


def test_each_call_gives_a_copy():
    data.load("table1")["rows"].clear()
    assert len(data.load("table1")["rows"]) == 7


def test_labels_of_table_1_are_the_products_of_its_windows():
    table = data.load("table1")
    for row in table["rows"]:
        assert row["label"] == f"{row['w1'] * row['w2'] // 1024}k"
    assert {"w1", "w2", "latency_ms"} == set(table["units"])


def test_the_windows_chosen_are_in_table_1_and_break_even_at_48k():
    table = data.load("table1")
    (row,) = (r for r in table["rows"] if {k: r[k] for k in ("w1", "w2")} == table["chosen"])
    assert row["latency_ms"] == min(r["latency_ms"] for r in table["rows"] if r["label"] == "16k")
    assert costs.break_even_length(**table["chosen"]) == 48 * 1024


def test_what_the_paper_does_not_state_is_no_key_of_the_table():
    table = data.load("table1")
    assert len(table["not_stated"]) == 6 and not table["measured_here"]
    assert not {"machine", "date", "head_dim", "seq_len", "batch"} & set(table)


@pytest.mark.errors
@pytest.mark.parametrize("name", ["table9", "questions", "../data/table1", None])
def test_a_name_that_is_not_there_is_told_what_is(name):
    with pytest.raises(ValueError, match=r"name must be one of .*'table1'"):
        data.load(name)
