"""Mirrors wire.py, cube.py, colours.py and the arithmetic in view/ of the explorer."""

import json
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from simplex_lib.widgets.explorer import bundle
from simplex_lib.widgets.explorer.colours import PALETTE
from simplex_lib.widgets.explorer.cube import top_points, wire_cube
from simplex_lib.widgets.explorer.explaining import explain
from simplex_lib.widgets.explorer.reading import read_pairs
from simplex_lib.widgets.explorer.recipes import ALL, RECIPES
from simplex_lib.widgets.explorer.sentences import say
from simplex_lib.widgets.explorer.wire import NUMBERS, join_ranges, ranges, unwire, wire

needs_node = pytest.mark.skipif(
    not shutil.which("node"), reason="node runs the formulas of the view; it is not installed"
)


def logits(s=6, seed=0, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(s, s, s, generator=generator, dtype=torch.float64)


def faulty(s=9):
    x = logits(s)
    x[7, 2, 3] = float("nan")
    x[7, 4, :] = float("-inf")
    return x


@pytest.mark.parametrize("s", [1, 2, 16, 64])
def test_the_wire_keeps_every_number(s):
    pairs, other = read_pairs(logits(s)), read_pairs(logits(s, seed=1))
    explained = [explain(pairs, 0, i, compare=other) for i in range(s)]
    for x, seen in zip(explained, unwire(*wire(explained, pairs.tokens, 0)), strict=True):
        np.testing.assert_array_equal(np.isnan(seen["probs"]), np.isnan(x.probs))
        np.testing.assert_allclose(seen["probs"], x.probs, rtol=2e-4)
        np.testing.assert_allclose(seen["asymmetry"], x.asymmetry, atol=1e-4)
        np.testing.assert_allclose(seen["difference"], x.difference, atol=2e-4)


def test_ranges_hold_every_query():
    pairs = read_pairs(logits())
    each = [ranges(explain(pairs, 0, i)) for i in range(6)]
    joined = join_ranges(each)
    for x in (explain(pairs, 0, i) for i in range(6)):
        assert np.nanmax(x.probs) <= joined["probs"][1] * (1 + 1e-4)
        assert joined["asymmetry"][0] == -joined["asymmetry"][1]
        assert np.nanmax(np.abs(x.asymmetry)) <= joined["asymmetry"][1] * (1 + 1e-4)


# the view's own arithmetic, run in node -----------------------------------------------------------


def in_node(folder: Path, body: str, **packets: tuple[dict, bytes]) -> dict:
    """Run a script that sees the formulas as f and each packet as [header, buffer]."""
    (folder / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    lines = ['import fs from "node:fs";']
    for module in ("formulas", "editing", "space"):
        shutil.copy(bundle.VIEW / f"{module}.js", folder)
        lines.append(f'import * as {module} from "./{module}.js";')
    lines.append("const f = { ...formulas, ...editing, ...space };")
    for name, (header, buffer) in packets.items():
        (folder / f"{name}.json").write_text(json.dumps(header), encoding="utf-8")
        (folder / name).write_bytes(buffer)
        lines.append(f'const {name} = [JSON.parse(fs.readFileSync("{name}.json")), (() => {{')
        lines.append(f'const b = fs.readFileSync("{name}");')
        lines.append("return b.buffer.slice(b.byteOffset, b.byteOffset + b.length); })()];")
    lines.append(f"const answer = (() => {{ {body} }})();")
    lines.append("const list = (_, v) => (ArrayBuffer.isView(v) ? [...v] : v);")
    lines.append("console.log(JSON.stringify(answer, list));")
    run = subprocess.run(
        ["node", "--input-type=module", "-e", "\n".join(lines)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def grid(numbers, n):
    return np.array([np.nan if v is None else v for v in numbers], dtype=float).reshape(n, n)


@needs_node
@pytest.mark.parametrize("recipe", RECIPES)
def test_the_view_decodes_what_python_encoded(tmp_path, recipe):
    pairs, other = read_pairs(faulty()), read_pairs(logits(9, seed=1))
    x = explain(pairs, 0, 7, compare=other, recipe=recipe)
    modes = ("probs", "logits", "asymmetry", "product", "difference")
    body = f"""const x = f.decode(...packet).get(7), maps = {{}};
        for (const m of {json.dumps(modes)}) maps[m] = f.mapOf(x, m);
        return {{ maps, marks: f.marksOf(x), rows: x.rows, says: x.says, total: x.total,
                 sums: f.sums(f.mapOf(x, "probs"), 9) }};"""
    seen = in_node(tmp_path, body, packet=wire([x], pairs.tokens, 0))
    for mode in modes:
        got = grid(seen["maps"][mode], 9)
        np.testing.assert_allclose(got, getattr(x, mode), rtol=2e-4, atol=2e-4, err_msg=mode)
    np.testing.assert_array_equal(grid(seen["marks"], 9), x.marks)
    np.testing.assert_allclose(seen["sums"]["first"], x.first, rtol=2e-4)
    np.testing.assert_allclose(seen["sums"]["second"], x.second, rtol=2e-4)
    assert seen["total"] == pytest.approx(x.faults.total, rel=1e-5)
    assert seen["says"] == {mode: say(x, mode, pairs.tokens) for mode in x.rows}
    for mode, rows in x.rows.items():
        for got, row in zip(seen["rows"][mode], rows, strict=True):
            for key in NUMBERS:
                wish = getattr(row, key)
                assert got[key] == (wish and pytest.approx(wish, rel=1e-5, abs=1e-7))


@needs_node
@pytest.mark.parametrize("recipe", RECIPES)
def test_an_edited_logit_gives_the_numbers_that_python_gives(tmp_path, recipe):
    before, after, other = logits(9), logits(9), read_pairs(logits(9, seed=1))
    after[7, 2, 5] = 4.5
    given = dict(recipe=recipe, compare=other, w1=4, w2=3)
    old, new = (explain(read_pairs(x), 0, 7, **given) for x in (before, after))
    body = """const x = f.decode(...packet).get(7);
        const y = f.editFrame(x, new Map([[2 * 9 + 5, 4.5]]), 24), maps = {};
        for (const m of ["probs", "logits", "asymmetry", "product", "difference"])
            maps[m] = f.mapOf(y, m);
        return { ...y, codes: 0, maps };"""
    seen = in_node(tmp_path, body, packet=wire([old], other.tokens, 0))
    for mode, numbers in seen["maps"].items():
        wish = getattr(new, mode)
        np.testing.assert_allclose(grid(numbers, 9), wish, rtol=1e-3, atol=1e-3, err_msg=mode)
    numbers = dict(mutual=new.mutual, mutualMax=new.mutual_max, moved=new.moved)
    numbers |= dict(swapped=new.swapped, kept=new.kept, total=new.faults.total)
    for key, value in numbers.items():
        assert seen[key] == pytest.approx(value, abs=1e-3), key
    for mode, rows in new.rows.items():
        found = [(r["first"], r["second"]) for r in seen["rows"][mode][:5]]
        assert found == [(r.first, r.second) for r in rows[:5]], mode
        assert seen["rows"][mode][0]["share"] == pytest.approx(rows[0].share, abs=1e-3)
    lses = np.array([-np.inf if v is None else v for v in seen["lses"]])  # None: an empty row
    wish = np.where(np.isnan(new.lse), -np.inf, new.lse).ravel()
    np.testing.assert_allclose(lses, wish, atol=1e-3)


@needs_node
def test_slices_and_the_turned_cube(tmp_path):
    s, pairs = 5, read_pairs(logits(5))
    explained = [explain(pairs, 0, i) for i in range(s)]
    cube = np.stack([x.probs for x in explained])
    body = """const frames = f.decode(...packet), m = f.turn(0.7, 0.4), o = f.turn(0, 0);
        return { j: f.sliceOf(frames, "j", 2, 5), k: f.sliceOf(frames, "k", 1, 5), m,
                 cube: f.decodeCube(...points),
                 middle: f.project([0, 0, 0], m, 100, 50, 60),
                 right: f.project([1, 0, 0], o, 100, 50, 60),
                 down: f.project([0, 1, 0], o, 100, 50, 60),
                 near: f.project([1, 0, -1], o, 100, 50, 60),
                 far: f.project([1, 0, 1], o, 100, 50, 60) };"""
    found = top_points(explained)
    seen = in_node(tmp_path, body, packet=wire(explained, pairs.tokens, 0), points=wire_cube(found))
    np.testing.assert_allclose(grid(seen["j"], s), cube[:, 2, :], rtol=2e-4)
    np.testing.assert_allclose(grid(seen["k"], s), cube[:, :, 1], rtol=2e-4)
    turn = np.array(seen["m"])
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
    assert seen["middle"] == [50, 60, 0]
    assert seen["right"][0] > 50 and seen["down"][1] > 60
    assert seen["near"][0] > seen["far"][0] and seen["near"][2] < seen["far"][2]
    np.testing.assert_array_equal(np.reshape(seen["cube"]["points"], (-1, 3)), found.points)
    np.testing.assert_allclose(seen["cube"]["probs"], found.probs, rtol=1e-6)


@needs_node
@pytest.mark.parametrize("widget", [True, False])
def test_the_joined_script_is_one_valid_module(tmp_path, widget):
    (tmp_path / "all.mjs").write_text(bundle.script(widget=widget), encoding="utf-8")
    subprocess.run(["node", "--check", "all.mjs"], cwd=tmp_path, check=True)
    names = {path.stem for path in bundle.VIEW.glob("*.js")}
    assert names == {*bundle.MODULES, "widget"}


# the cube -----------------------------------------------------------------------------------------


def test_the_cube_holds_the_largest_entries():
    pairs = read_pairs(logits(7))
    explained = [explain(pairs, 0, i) for i in range(7)]
    cube = np.nan_to_num(np.stack([x.probs for x in explained]))
    found = top_points(explained, most=20)
    np.testing.assert_allclose(found.probs, np.sort(cube.ravel())[::-1][:20])
    np.testing.assert_allclose(found.probs, cube[tuple(found.points.T)])
    assert found.entries == sum((i + 1) ** 2 for i in range(7))
    assert found.share == pytest.approx(found.probs.sum() / 7)
    assert "The 20 largest of 140 entries hold" in found.says
    assert "All 140 entries hold 100 %" in top_points(explained).says
    nothing = read_pairs(torch.zeros(2, 2, 2), kind="probs")
    empty = top_points([explain(nothing, 0, i) for i in range(2)])
    assert empty.says == "No entry of this head is above 0." and wire_cube(empty)[1] == b""


# colours ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_are_even_in_lightness_and_centred(theme):
    def lightness(colour):
        c = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        c = np.where(c > 0.04045, ((c + 0.055) / 1.055) ** 2.4, c / 12.92)
        m = np.array(
            [
                [0.41222147, 0.53633254, 0.05144599],
                [0.2119035, 0.68069955, 0.10739696],
                [0.08830246, 0.28171884, 0.62997870],
            ]
        )
        return float(np.cbrt(m @ c) @ [0.21045426, 0.79361779, -0.00407205])

    steps = np.diff([lightness(c) for c in PALETTE[theme]["sequential"]])
    assert (steps < 0).all() if theme == "light" else (steps > 0).all()
    assert np.abs(steps).max() < 1.8 * np.abs(steps).min()
    arms = np.array([lightness(c) for c in PALETTE[theme]["diverging"]])
    np.testing.assert_allclose(arms, arms[::-1], atol=0.05)


def test_a_log_scale_spans_two_decades_at_least():
    x = explain(read_pairs(torch.zeros(4, 4, 4)), 0, 3, recipe=ALL)
    lo, hi = ranges(x)["probs"]
    assert math.isclose(hi / lo, 100, rel_tol=1e-3)
