"""Mirrors simplex_lib/widgets/programs*.py: recorded runs against real ones, cells, words, view."""

import itertools
import json
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from simplex_lib.triton_mode import triton_mode
from simplex_lib.widgets import programs_recording, programs_view
from simplex_lib.widgets.programs import FIRST, step_programs
from simplex_lib.widgets.programs_cells import areas, cells_of, programs_payload
from simplex_lib.widgets.programs_recording import PRESETS, pack, recorded, unpack

interpreted = pytest.mark.skipif(triton_mode() != "interpreter", reason="needs the interpreter")


def seen(recording, program, kind, name):
    """Positions, as a set."""
    return {
        int(n) for t in recording.by_program[program] if (t.kind, t.tensor) == (kind, name)
        for n in t.touched
    }  # fmt: skip


def box(shape, *axes):
    """Row-major positions of a product of ranges."""
    return {int(np.ravel_multi_index(at, shape)) for at in itertools.product(*axes)}


# the runs


@interpreted
@pytest.mark.parametrize("preset", PRESETS)
def test_what_ships_is_what_the_kernel_does_today(preset):
    from simplex_lib.widgets.programs_kernels import COMMAND, LAUNCHES

    again = json.loads(json.dumps(pack(LAUNCHES[preset]())))
    assert again == pack(recorded(preset)), f"the kernel of {preset!r} has changed: run {COMMAND}"


@pytest.mark.parametrize("preset", PRESETS)
def test_packed_and_back(preset):
    once = recorded(preset)
    twice = unpack(json.loads(json.dumps(pack(once))))
    assert (twice.tensors, twice.grids, twice.source) == (once.tensors, once.grids, once.source)
    for a, b in zip(once.touches, twice.touches, strict=True):
        assert a[:4] == b[:4] and np.array_equal(a.elements, b.elements)


def test_lanes_of_any_kind_are_packed():
    for lanes in (
        [-1],
        [5],
        [0, 0, 0],
        [3, 2, 1, -1, -1, 9],
        [-1, 0, 1, 2, -1],
        [0, 4, 8, 1, 5, 9],
    ):
        packed = programs_recording._runs(np.array(lanes))
        assert programs_recording._lanes(packed).tolist() == lanes


def test_a_vector_has_a_tail():
    r = recorded("vector")
    for program, owned in enumerate((range(16), range(16, 32), range(32, 42))):
        for kind, name in (("load", "x"), ("load", "y"), ("store", "out")):
            assert seen(r, program, kind, name) == set(owned)
    assert [int((t.elements < 0).sum()) for t in r.by_program[2]] == [6, 6, 6]


def test_a_row_of_a_transposed_tensor_is_a_column_of_memory():
    r = recorded("softmax")
    for row in range(6):
        assert seen(r, row, "load", "x.T") == box((13, 6), range(13), [row])
        assert seen(r, row, "store", "out") == box((6, 13), [row], range(13))


def test_a_tile_of_a_product_needs_a_band_of_each_factor():
    r = recorded("matmul")
    bands = (range(16), range(16, 32), range(32, 40))
    for n, (p, q) in enumerate(itertools.product(range(3), repeat=2)):
        rows = [i for i in bands[p] if i < 36]
        assert r.programs[n].id == (p, q, 0)
        assert seen(r, n, "load", "a") == box((36, 20), rows, range(20))
        assert seen(r, n, "load", "b") == box((20, 40), range(20), bands[q])
        assert seen(r, n, "store", "c") == box((36, 40), rows, bands[q])


def test_windows_of_pairs():
    r, all_d = recorded("trilinear"), range(12)
    for program, queries in enumerate((range(8), range(8, 16), range(16, 20))):
        assert seen(r, program, "load", "q") == box((2, 20, 12), range(2), queries, all_d)
        second = {k for i in queries for k in range(i + 1) if i - 3 < k}
        assert seen(r, program, "load", "k2") == box((20, 12), second, all_d)
        first = {j for i in queries for j in range(i + 1) if i - 8 < j}
        whole = range(min(first), min(min(first) + 16, 20))  # tiles of 16 from the first one on
        assert set(first) <= set(whole)
        assert seen(r, program, "load", "v1") == box((20, 12), whole, all_d)
        assert seen(r, program, "store", "lse") == box((2, 20), range(2), queries)


@pytest.mark.parametrize("preset", PRESETS)
def test_who_races(preset):
    """By sets: two programs of one launch, one element, and one of the two stores it."""
    r = recorded(preset)
    for name, (n, a), (m, b) in itertools.product(r.tensors, *[list(enumerate(r.programs))] * 2):
        found = set(np.flatnonzero(r.rivals(name, n)[m]).tolist())
        sets = [{k: seen(r, x, k, name) for k in ("load", "store")} for x in (n, m)]
        (load1, store1), (load2, store2) = (x.values() for x in sets)
        shared = ((load1 | store1) & store2) | ((load2 | store2) & store1)
        assert found == (shared if n != m and a.launch == b.launch else set())
        assert preset == "race" or not found


def test_query_tiles_meet_in_the_tiles_of_their_keys():
    at_once, apart = recorded("race"), recorded("even odd")
    for n in range(3):
        shared = np.flatnonzero(at_once.rivals("dk2", n)[n + 1])
        assert set(shared.tolist()) == box((28, 8), range(8 * n, 8 * n + 8), range(8))
    assert [p.launch for p in apart.programs] == [0, 0, 1, 1]
    for stage in (0, 1):
        first, second = (seen(apart, 2 * stage + n, "store", "dk2") for n in (0, 1))
        assert not first & second


@interpreted
def test_the_small_kernels_are_right():
    from simplex_lib.widgets import programs_kernels as k

    torch.manual_seed(0)
    x, y, out = torch.randn(42), torch.randn(42), torch.full((42,), float("nan"))
    k.add_kernel[(3,)](x, y, out, 42, 16)
    torch.testing.assert_close(out, x + y)
    x, out = torch.randn(13, 6).T, torch.full((6, 13), float("nan"))
    k.softmax_kernel[(6,)](x, out, 13, *x.stride(), 13, 16)
    torch.testing.assert_close(out, x.softmax(1))
    a, b, c = torch.randn(36, 20), torch.randn(20, 40), torch.full((36, 40), float("nan"))
    k.matmul_kernel[(3, 3)](a, b, c, 36, 40, 20, 16, 16, 16)
    torch.testing.assert_close(c, a @ b)
    merged, ds, wanted = torch.randn(28, 8), torch.randn(28, 8), torch.zeros(28, 8)
    for i in range(28):
        for key in range(max(i - 7, 0), i + 1):
            wanted[key] += ds[i, key - i + 7] * merged[i]
    for stages, programs in (([(0, 1)], 4), ([(0, 2), (1, 2)], 2)):
        dk2 = torch.zeros(28, 8)
        for first, step in stages:
            k.add_to_keys_kernel[(programs,)](merged, ds, dk2, 28, first, step, 8, 8)
        torch.testing.assert_close(dk2, wanted)


# cells


def painted(grid):
    """The states again, from the areas that cover them; each cell once."""
    found = np.full((grid.rows, grid.columns), "", dtype="<U80")
    for a in grid.areas:
        part = found[a.row : a.row + a.height, a.column : a.column + a.width]
        assert (part == "").all() and a.row // grid.part == (a.row + a.height - 1) // grid.part
        part[:] = a.state
    return found


def test_areas_cover_each_cell_once():
    draw = np.random.default_rng(0)
    for _ in range(30):
        states = draw.choice(list(" ab"), size=draw.integers(1, 9, 2))
        found = np.full(states.shape, " ")
        for a in areas(states):
            assert (found[a.row : a.row + a.height, a.column : a.column + a.width] == " ").all()
            found[a.row : a.row + a.height, a.column : a.column + a.width] = a.state
        assert (found == states).all()
    assert len(areas(np.full((5, 7), "L"))) == 1


@pytest.mark.parametrize("preset", PRESETS)
def test_cells_of_one_program_at_each_access(preset):
    r = recorded(preset)
    for program in range(len(r.programs)):
        touches = r.by_program[program]
        for access in {0, 1, len(touches) // 2, len(touches)}:
            p = programs_payload(r, program, access)
            for grid in itertools.chain(*p.grids):
                cells, earlier = painted(grid), touches[: access or None]
                now = {n for t in (earlier if not access else [touches[access - 1]])
                       if t.tensor == grid.name for n in t.touched}  # fmt: skip
                before = set()
                for n in range(program):
                    before |= seen(r, n, "store", grid.name)
                for element in range(r.size(grid.name)):
                    kinds = {t.kind for t in earlier if t.tensor == grid.name
                             and element in t.touched}  # fmt: skip
                    letter = {"load": "l", "store": "s"}.get("".join(kinds), "b" if kinds else "")
                    letter = letter or ("o" if element in before else "")
                    wanted = letter.upper() if element in now else letter
                    assert cells[divmod(element, grid.columns)] == wanted


def test_cells_of_all_programs():
    r = recorded("matmul")
    grids = {g.name: g for g in itertools.chain(*programs_payload(r, show="all programs").grids)}
    assert {a.label for a in grids["a"].areas} == {"3"} == {a.label for a in grids["b"].areas}
    assert len(grids["c"].areas) == 9
    assert painted(grids["c"])[20, 35] == "w1,2" and painted(grids["c"])[0, 0] == "w0,0"
    race = programs_payload(recorded("race"), show="all programs").grids[-1][0]
    assert [a.label for a in race.areas] == ["0+1", "1+2", "2+3", "3"]
    assert sum(a.height * a.width for a in race.crosses) == 192
    apart = programs_payload(recorded("even odd"), show="all programs").grids[-1][0]
    assert [a.label for a in apart.areas] == ["a0+b0", "a1+b0", "a1+b1", "b1"]
    assert not apart.crosses


def test_how_a_tensor_lies():
    r = recorded("attention")
    assert cells_of(r, "q") == (40, 12, 40) and cells_of(r, "lse") == (40, 1, 40)
    assert cells_of(recorded("trilinear"), "q") == (40, 12, 20)
    assert cells_of(recorded("trilinear"), "lse") == (40, 1, 20)
    assert cells_of(recorded("vector"), "x") == (3, 16, 3)


def test_a_number_for_each_column_lies_above_them():
    shapes = {"a": (3,), "b": (4,), "c": (3, 4)}
    layout = programs_recording._columns(shapes)
    r = programs_recording.Recording("outer", ["pass"], shapes, [(1, 1, 1)], [], layout)
    assert layout == [["a"], ["b", "c"]]
    assert [cells_of(r, name)[:2] for name in shapes] == [(3, 1), (1, 4), (3, 4)]


def test_lanes_of_an_access():
    p = programs_payload(recorded("vector"), 2, 3)
    assert [(a.state, a.width) for a in p.lanes.areas] == [("S", 10), ("m", 6)]
    assert p.lanes.note == "6 of 16 off" and p.line == 7
    whole = programs_payload(recorded("vector"), 0, 0)
    assert (
        whole.lanes.note == "all on" and whole.line == 0 and whole.marks == {5: "L", 6: "L", 7: "S"}
    )
    masked = programs_payload(recorded("matmul"), 4)  # shows the first access that masks lanes
    assert masked.lanes_of.line == 13 and masked.lanes.note == "192 of 256 off"


# words


def test_sentences():
    assert step_programs().sentence == (
        "Program 2 loads x and y[32..41] and stores out[32..41]. In each of its 3 accesses 6 of "
        "the 16 lanes are masked. No other program of its launch stores what it touches."
    )
    assert step_programs(access=1).sentence == (
        "Access 1 of 3, line 5: program 2 loads x[32..41]; 6 of its 16 lanes are masked."
    )
    assert step_programs("trilinear").sentence.startswith(
        "Program 1 loads q[:, 8..15, :], k1 and v1[1..16, :] and k2 and v2[6..15, :] and stores"
    )
    assert step_programs("race", 1).sentence.endswith(
        "In the same launch program 0 stores dk2[0..7, :] and program 2 stores dk2[8..15, :] too: "
        "at once, as on a GPU, what one of them stores can be lost. The interpreter runs one "
        "program after the other, which hides it."
    )
    assert "Program 2 of the same launch stores the same" in step_programs("race", 1, 7).sentence
    assert step_programs("even odd", 3).sentence.endswith(
        "No other program of its launch stores what it touches. Before it, in the first launch, "
        "program 1 (tile 2) stores dk2[16..23, :], which is safe: a launch waits for the one "
        "before."
    )
    assert step_programs("even odd", 2).sentence.startswith(
        "Program 0 of the second launch (tile 1) loads"
    )
    assert "(tile" not in step_programs("race", 1).sentence
    assert step_programs("matmul", show="all programs").sentence == (
        "9 programs. Each element of c is stored by one program. Each element of a and b is "
        "loaded by 3 programs."
    )
    assert (
        "192 of them in one launch, a race" in step_programs("race", show="all programs").sentence
    )


def test_an_element_is_asked_for():
    widget = step_programs("race", 1, element="dk2[12, 3]")
    assert widget.sentence.endswith("dk2[12, 3] is loaded and stored by program 1 and program 2.")
    assert widget.seen.grids[-1][0].chosen == (12, 3)
    widget.change(element="ds[0, 0]")
    assert widget.sentence.endswith("ds[0, 0] is touched by none.")
    assert step_programs("softmax", element="x.T[2, 1]").sentence.endswith("loaded by program 1.")


def test_tables():
    table = step_programs("dkv", 1, 9).table()
    assert "loads k2[14..19, :]" in table and table.count("sx-on") == 1
    assert step_programs("race", show="all programs").table().count("<tr>") == 1 + 4
    assert step_programs("even odd", show="all programs").table().count("–") == 4


@pytest.mark.errors
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(preset="sum"), "preset must be one of 'vector', 'softmax'.*; got 'sum'"),
        (dict(program=3), "program must be a whole number from 0 to 2, a program in the order"),
        (dict(program=True), "program must be a whole number .*; got True"),
        (dict(access=4), "access must be a whole number from 0 to 3, an access, or 0 for all"),
        (dict(show="all"), "show must be one of 'one program', 'all programs'; got 'all'"),
        (dict(element="z[1]"), r"element must be one of x, y, out, such as out\[0\]; got 'z\[1\]'"),
        (dict(element="x[42]"), r"element must lie in x \(42,\); got 'x\[42\]'"),
        (dict(element="x[1, 2]"), r"element must lie in x \(42,\); got"),
        (dict(element=3), r"element must be a text such as 'x\[3\]'; got int 3"),
        (dict(grid=(3,)), "grid and arguments belong to a kernel; got no kernel"),
        (dict(kernel=len), "kernel must come with its grid and its arguments"),
        (dict(presets="vector"), "presets must be some of 'vector', .*, in a tuple; got str"),
        (dict(presets=()), "presets must be some of 'vector', .*, in a tuple; got"),
        (dict(presets=("sum",)), "presets must be one of 'vector', .*; got 'sum'"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(change, message):
    with pytest.raises(ValueError, match=message):
        step_programs(**change)


# the view


def test_every_state_has_a_look_and_a_move_is_quick():
    slowest = 0.0
    for preset in PRESETS:
        r = recorded(preset)
        for program in range(len(r.programs)):
            for access, show in ((0, "one program"), (1, "one program"), (0, "all programs")):
                start = time.perf_counter()
                p = programs_payload(r, program, access, show)
                scene = programs_view.scene(p, dark=False)
                assert p.sentence
                slowest = max(slowest, time.perf_counter() - start)
                json.dumps(scene)
                names = {look[0] for look in scene["looks"]}
                drawn = [g for column in scene["columns"] for g in column]
                drawn += [scene["lanes"]] if scene["lanes"] else []
                assert {a[0] for g in drawn for a in g["areas"]} <= names
                assert {look for look, *_ in scene["legend"] if look} <= names
    assert slowest < 0.2
    assert set(programs_view.LOOKS[False]) == set(programs_view.LOOKS[True])


def test_the_view_follows_controls_keys_clicks_and_theme():
    widget = step_programs("race", 1)
    widget.live()
    view = widget._view
    controls = view.controls
    controls["access"].value = 3
    assert widget.seen.access == 3 and view.picture.scene["code"]["line"] == 22
    hear = widget._heard
    hear(None, dict(step="program", by=-1), None)
    assert (widget.seen.program, widget.seen.access) == (0, 3) and controls["program"].value == 0
    hear(None, dict(step="program", by=-1), None)
    assert widget.seen.program == 0
    hear(None, dict(step="access", by=1), None)
    assert widget.seen.access == 4 == controls["access"].max
    hear(None, dict(step="whole", by=0), None)
    assert widget.seen.access == 0 == controls["access"].value
    hear(None, dict(tensor="dk2", row=12, column=3), None)
    assert controls["element"].value == "dk2[12, 3]" and "dk2[12, 3] is" in view.sentence.value
    hear(None, dict(tensor="dk2", row=12, column=3), None)  # again: no more
    assert controls["element"].value == ""
    hear(None, dict(tensor="dk2", row=28, column=3), None)  # outside
    assert widget.choices["element"] == ""
    controls["element"].value = "dk2[99, 0]"
    assert "⚠ element must lie in dk2" in view.sentence.value and widget.choices["element"] == ""
    light = view.picture.scene["looks"]
    view.sentence.dark = True
    assert view.picture.scene["looks"] != light
    assert view.table.value == widget.table()


def test_another_kernel_starts_anew():
    widget = step_programs("matmul", 8, 5, element="c[0, 0]")
    widget.live()
    controls = widget._view.controls
    for preset in [*PRESETS, "matmul"]:
        controls["preset"].value = preset
        assert widget.choices["preset"] == preset and widget.choices["element"] == ""
        assert widget.choices["program"] == FIRST[preset] == controls["program"].value
        assert widget.choices["access"] == 0 == controls["access"].value
        assert controls["program"].max == len(recorded(preset).programs) - 1
    controls["show"].value = "all programs"
    controls["preset"].value = "softmax"
    assert widget.choices["show"] == "all programs"
    controls["program"].value = 4  # one program is shown alone
    assert widget.choices["show"] == "one program" == controls["show"].value


def test_the_menu_offers_what_it_is_given():
    widget = step_programs("matmul", presets=("vector", "matmul"))
    widget.live()
    controls = widget._view.controls
    assert [name for _, name in controls["preset"].options] == ["vector", "matmul"]
    with pytest.raises(ValueError, match="preset must be one of 'vector', 'matmul'; got 'dkv'"):
        widget.change(preset="dkv")
    assert widget.choices["preset"] == "matmul"
    with pytest.raises(ValueError, match="preset must be one of 'matmul'; got 'vector'"):
        step_programs(presets=["matmul"])


def test_the_slider_says_the_programs_name():
    widget = step_programs("matmul", 6)
    widget.live()
    assert widget.id_label.value == "(2, 0)" and widget.sentence.startswith("Program (2, 0) loads")
    widget._view.controls["program"].value = 1
    assert widget.id_label.value == "(0, 1)"
    widget.change(preset="even odd", program=2)
    assert widget.id_label.value == "b0"
    widget.change(preset="vector", program=2)
    assert widget.id_label.value == "2"


@pytest.mark.parametrize("preset", ["vector", "trilinear", "race"])
def test_still_form(preset):
    widget = step_programs(preset, access=2)
    picture = widget.still()
    assert picture.startswith(b"\x89PNG") and len(picture) < 60_000
    assert picture == step_programs(preset, access=2).still()
    assert step_programs(preset, show="all programs").still() != picture


# one's own kernel


@interpreted
def test_a_kernel_of_ones_own():
    from simplex_lib.widgets.programs_kernels import add_kernel

    tensors = dict(x=torch.ones(5), y=torch.ones(5), out=torch.zeros(5))
    widget = step_programs(kernel=add_kernel, grid=(2,), arguments=tensors | dict(n=5, BLOCK=4))
    assert widget.sentence.startswith("Program 0 loads x and y[0..3] and stores out[0..3].")
    assert torch.equal(tensors["out"], torch.full((5,), 2.0))
    assert widget.seen.recording.layout == [["x", "y", "out"]]
    widget.change(program=1)
    assert "3 of the 4 lanes are masked" in widget.sentence
    widget.live()
    assert [len(row.children) for row in widget._view.box.children[1:3]] == [1, 4]  # no menu
    more = dict(presets=["race"], kernel=add_kernel, grid=(2,))
    widget = step_programs(**more, arguments=tensors | dict(n=5, BLOCK=4))
    widget.live()
    controls = widget._view.controls
    assert controls["preset"].options[0] == ("add_kernel", controls["preset"].value)
    controls["preset"].value = "race"
    controls["preset"].value = "your own kernel"
    assert widget.seen.recording.kernel == "add_kernel"


@interpreted
def test_a_kernel_that_leaves_its_tensors_is_not_drawn():
    from simplex_lib.triton_trace import OutsideAccess
    from simplex_lib.widgets.programs_kernels import add_kernel

    x, y, out = torch.ones(5), torch.ones(5), torch.zeros(5)
    arguments = dict(x=x, y=y, out=out, n=8, BLOCK=4)  # there are 5, no 8
    with pytest.raises(OutsideAccess, match="reads outside x"):
        step_programs(kernel=add_kernel, grid=(2,), arguments=arguments)


@interpreted
@pytest.mark.errors
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(kernel=len), "kernel must be a function with @triton.jit; got builtin"),
        (dict(grid=(0,)), r"grid must be one to three whole numbers from 1 on; got \(0,\)"),
        (dict(grid=(9, 9)), "grid must have 64 programs at most; got 81"),
        (dict(arguments=dict(x=torch.zeros(5000))), "x must have 1 to 4,096 elements; got 5,000"),
        (dict(arguments=dict(n=3)), "arguments must hold a tensor at least"),
    ],
)
def test_what_cannot_be_recorded(change, message):
    from simplex_lib.widgets.programs_kernels import add_kernel

    fine = dict(kernel=add_kernel, grid=(1,), arguments=dict(x=torch.zeros(4)))
    with pytest.raises(ValueError, match=message):
        step_programs(**(fine | change))


def test_presets_need_no_triton():
    script = (
        "import sys; sys.modules['triton'] = None\n"
        "from simplex_lib.widgets import step_programs\n"
        "assert step_programs('dkv').still() and step_programs('race').table()\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_areas_of_a_payload_that_touches_nothing():
    r = programs_recording.Recording("nothing", ["pass"], {"x": (3,)}, [(1, 1, 1)], [], [["x"]])
    p = programs_payload(r)
    assert p.sentence == "Program 0 loads and stores nothing."
    assert programs_view.scene(p, True)["lanes"] is None
    everything = SimpleNamespace(**vars(programs_payload(r, show="all programs")))
    assert not everything.grids[0][0].areas


@pytest.mark.parametrize("preset, line", [("race", 24), ("even odd", 24), ("vector", 5)])
def test_whole_program_opens_at_a_store_that_another_makes_too(preset: str, line: int):
    from simplex_lib.widgets.programs_still import _source

    seen = step_programs(preset).seen
    assert seen.lanes_of is not None and seen.lanes_of.line == line
    assert line in [number for _, number, *_ in _source(seen)]
    store = max(number for number, mark in seen.marks.items() if mark == "S")
    assert preset == "vector" or store == line
