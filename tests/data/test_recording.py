"""Mirrors simplex_lib/data/recording.py."""

import doctest

import pytest

from simplex_lib.data import recording
from simplex_lib.data.recording import read_json, write_json


def test_examples_hold():
    assert doctest.testmod(recording).failed == 0


def test_what_is_written_is_read_and_lists_of_numbers_stand_on_one_line(tmp_path):
    path = tmp_path / "new" / "a.json"
    content = {"a": [1, -2.5, 1e-9, None], "b": ["[ 1,  2 ]"], "c": {"d": []}, "e": [[1], [2, 3]]}
    write_json(path, content)
    assert read_json(path) == content
    assert '"a": [1, -2.5, 1e-09, null]' in path.read_text()
    assert [file.name for file in path.parent.iterdir()] == ["a.json"]


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert read_json(path) == {"a": 1}
