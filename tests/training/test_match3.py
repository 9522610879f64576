"""Mirrors simplex_lib/training/match3.py: what is recorded, and that an interrupt loses nothing."""

import json
from dataclasses import asdict

import pytest
import torch

from simplex_lib import data
from simplex_lib.training import match3
from simplex_lib.training.match3 import main, record, unfinished
from simplex_lib.training.match3_run import Run, Settings, majority_error_percent

SHORT = Settings(n=4, modulus=7, steps=6, every=2, batch=16, tested=50)


def test_every_kind_and_seed_is_recorded_once(tmp_path):
    out = tmp_path / "new" / "runs.json"
    record(out, command="first", kinds=["trilinear"], seeds=[1], settings=SHORT)
    trained = []
    found = record(
        *(out,),
        command="second",
        seeds=[1, 0],
        settings=SHORT,
        show=lambda run, _: trained.append(run),
    )
    assert ("trilinear", 1) not in {(run.kind, run.seed) for run in trained}
    assert [(run["kind"], run["seed"]) for run in found["runs"]] == [
        *[("dot product", 0), ("dot product", 1), ("trilinear", 0), ("trilinear", 1)]
    ]
    assert found == json.loads(out.read_text())
    assert found["command"] == "second" and found["seed"] == [0, 1]
    assert found["majority_error_percent"] == majority_error_percent(SHORT)
    assert [file.name for file in out.parent.iterdir()] == ["runs.json"]


@pytest.mark.parametrize("stop_at", [0, 2, 4])
def test_an_interrupted_run_goes_on_to_the_same_curve(tmp_path, stop_at):
    whole = record(
        *(tmp_path / "whole.json",), command="", kinds=["trilinear"], seeds=[0], settings=SHORT
    )

    def stop(run, point):
        if point.step == stop_at:
            raise KeyboardInterrupt

    out, use = tmp_path / "stopped.json", dict(kinds=["trilinear"], seeds=[0], settings=SHORT)
    with pytest.raises(KeyboardInterrupt):
        record(out, command="", **use, show=stop)
    assert not out.exists() and unfinished(out, "trilinear", 0).exists()
    seen = []
    found = record(out, command="", **use, show=lambda run, point: seen.append(point.step))
    assert seen == [step for step in (2, 4, 6) if step > stop_at]
    assert found["runs"][0]["curve"] == whole["runs"][0]["curve"]


def test_an_interrupt_between_two_measurements_goes_back_to_the_first(tmp_path, monkeypatch):
    out, use = tmp_path / "runs.json", dict(kinds=["dot product"], seeds=[0], settings=SHORT)
    one_step = Run.one_step

    def stop(run):
        if run.step == 3:
            raise KeyboardInterrupt
        return one_step(run)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "one_step", stop)
        with pytest.raises(KeyboardInterrupt):
            record(out, command="", **use)
    whole = Run("dot product", seed=0, settings=SHORT)
    list(whole.train())
    found = record(out, command="", **use)
    assert found["runs"][0]["curve"] == whole.result()["curve"]


def test_the_command_line(tmp_path, capsys, monkeypatch):
    out = tmp_path / "runs.json"
    given = f"--kind trilinear --seeds 0 --n 3 --modulus 5 --steps 2 --every 1 --out {out}"
    main(given.split())
    found = json.loads(out.read_text())
    assert found["command"] == f"python -m simplex_lib.training.match3 {given}"
    assert found["settings"] == asdict(Settings(n=3, modulus=5, steps=2, every=1))
    said = capsys.readouterr().out
    assert "trilinear, seed 0, step 1 of 2" in said and "| trilinear | 0 | 35,649 | 2 |" in said

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(match3, "record", interrupted)
    with pytest.raises(SystemExit, match="The same command goes on"):
        main([])


@pytest.mark.errors
def test_other_settings_and_broken_files_are_refused_and_kept(tmp_path):
    out = tmp_path / "runs.json"
    use = dict(command="", kinds=["trilinear"], seeds=[0])
    record(out, **use, settings=SHORT)
    before = out.read_text()
    with pytest.raises(ValueError, match=r"out must hold runs with the settings .*Name another"):
        record(out, **use, settings=Settings(n=3, modulus=7, steps=6))
    with pytest.raises(SystemExit, match="out must hold runs with the settings"):
        main(["--out", str(out)])
    assert out.read_text() == before
    out.write_text("[1, 2]")
    with pytest.raises(ValueError, match=r"runs\.json must hold a JSON object; got list"):
        record(out, **use, settings=SHORT)
    out.write_text("half of")
    with pytest.raises(ValueError, match=r"runs\.json must be JSON; got"):
        record(out, **use, settings=SHORT)
    other = tmp_path / "other.json"
    unfinished(other, "trilinear", 0).write_bytes(b"not a checkpoint")
    with pytest.raises(
        ValueError, match=r"must be an interrupted run of .*; it is none\. Remove it"
    ):
        record(other, **use, settings=SHORT)
    torch.save(Run("trilinear", seed=1, settings=SHORT).state(), unfinished(other, "trilinear", 0))
    with pytest.raises(ValueError, match=r"must be an interrupted run of .*'seed': 0"):
        record(other, **use, settings=SHORT)


@pytest.mark.errors
@pytest.mark.parametrize(
    ("arguments", "message"),
    [("--steps 0", "steps must be at least 1; got 0"), ("--modulus 1", "modulus must be at least")],
)
def test_the_command_line_names_the_argument(tmp_path, arguments, message):
    with pytest.raises(SystemExit, match=message):
        main([*arguments.split(), "--out", str(tmp_path / "runs.json")])


def test_the_recorded_runs_are_those_of_the_settings_here():
    found = data.load("match3_training")
    command = "python -m simplex_lib.training.match3 --out simplex_lib/data/match3_training.json"
    assert found["command"] == command
    assert found["settings"] == asdict(Settings())
    assert found["majority_error_percent"] == pytest.approx(majority_error_percent(Settings()))
    assert [(run["kind"], run["seed"]) for run in found["runs"]] == [
        (kind, seed) for kind in ("dot product", "trilinear") for seed in (0, 1, 2)
    ]
    for run in found["runs"]:
        assert run["curve"]["step"] == list(range(0, 801, 50))
        assert run["curve"]["error_percent"][-1] == run["final_error_percent"]
        assert run["final_error_percent"] < found["majority_error_percent"]


def test_the_recorded_trilinear_runs_make_fewer_errors_with_fewer_parameters():
    plain, pairs = (
        [run for run in data.load("match3_training")["runs"] if run["kind"] == kind]
        for kind in ("dot product", "trilinear")
    )
    assert {run["parameters"] for run in plain} == {40_945}
    assert {run["parameters"] for run in pairs} == {36_801}
    least = min(run["final_error_percent"] for run in plain)
    assert max(run["final_error_percent"] for run in pairs) < least / 3
