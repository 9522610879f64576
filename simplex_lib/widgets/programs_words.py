"""The words of `step_programs`: its sentence and its table."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from simplex_lib.widgets.kit import table
from simplex_lib.widgets.programs_cells import (
    ProgramsPayload,
    element_text,
    shape_text,
    short_name,
)
from simplex_lib.widgets.programs_recording import Recording, Touch

DOES = {"load": "loads", "store": "stores", "atomic": "adds to"}
ROWS = 16  # of a table, at most


def sentence(p: ProgramsPayload) -> str:
    """What is touched, what is masked, who else stores it; then the element looked at."""
    if p.show == "all programs":
        words = _of_all(p.recording)
    else:
        words = _of_access(p, p.now) if p.now else _of_program(p)
    return " ".join([words, *_of_element(p)])


def _of_program(p: ProgramsPayload) -> str:
    if not p.touches:
        return f"{_upper(program_name(p.recording, p.program))} loads and stores nothing."
    parts = []
    for kind, verb in DOES.items():
        sets = {name: x[p.program] for (k, name), x in p.recording.maps.items() if k == kind}
        regions = {n: np.flatnonzero(x) for n, x in sets.items() if x.any()}
        if regions:
            parts.append(f"{verb} {and_(_alike(p.recording, regions))}")
    words = f"{_upper(program_name(p.recording, p.program))} {and_(parts)}."
    off = sum(int((t.elements < 0).sum()) for t in p.touches)
    lanes = sum(t.elements.size for t in p.touches)
    if not off:
        words += f" No lane of its {_accesses(len(p.touches))} is masked."
    elif len(sizes := {(t.elements.size, int((t.elements < 0).sum())) for t in p.touches}) == 1:
        ((size, masked),) = sizes
        words += f" In each of its {_accesses(len(p.touches))} {masked} of the {size} lanes "
        words += "are masked." if masked > 1 else "is masked."
    else:
        words += f" Of all lanes of its {_accesses(len(p.touches))}, {off / lanes:.0%} are masked."
    return f"{words} {_race(p)}".rstrip()


def _of_access(p: ProgramsPayload, touch: Touch) -> str:
    where = f"Access {p.access} of {len(p.touches)}, line {touch.line}: "
    who = program_name(p.recording, p.program)
    size, off = touch.elements.size, int((touch.elements < 0).sum())
    if off == size:
        return f"{where}{who} touches nothing, as all {size} lanes are masked."
    what = region(touch.tensor, p.recording.tensors[touch.tensor], np.unique(touch.touched))
    words = f"{where}{who} {DOES[touch.kind]} {what}"
    if off:
        words += f"; {off} of its {size} lanes {'are' if off > 1 else 'is'} masked."
    else:
        words += f", with {'one lane' if size == 1 else f'all {size} lanes'}."
    rivals = p.recording.rivals(touch.tensor, p.program)[:, touch.touched]
    written = p.recording.written(touch.tensor)[:, touch.touched]
    for n in np.flatnonzero(rivals.any(1)).tolist():
        who = program_name(p.recording, n, p.recording.programs[p.program].launch)
        verb = "stores" if (rivals[n] & written[n]).any() else "loads"
        words += f" {_upper(who)} of the same launch {verb} {_some(rivals[n])} too."
    return words


def _race(p: ProgramsPayload) -> str:
    """Who races with this program; or who stored the same in a launch before or after."""
    recording, launch = p.recording, p.recording.programs[p.program].launch
    racing, lost = [], False
    apart: dict[int, list[str]] = {}  # by launch
    for name, shape in recording.tensors.items():
        mine, rivals = recording.written(name)[p.program], recording.rivals(name, p.program)
        for n, (other, written) in enumerate(zip(rivals, recording.written(name), strict=True)):
            who = program_name(recording, n, launch)
            if other.any():
                verb = "stores" if (written & other).any() else "loads"
                lost |= bool((written & mine & other).any())
                racing.append(f"{who} {verb} {region(name, shape, np.flatnonzero(other))}")
            elif recording.programs[n].launch != launch and (written & mine).any():
                its_launch = recording.programs[n].launch
                who = program_name(recording, n, its_launch)
                where = region(name, shape, np.flatnonzero(written & mine))
                apart.setdefault(its_launch, []).append(f"{who} stores {where}")
    if racing:
        danger = "what one of them stores can be lost" if lost else "it is open who comes first"
        return (
            f"In the same launch {and_(racing)} too: at once, as on a GPU, {danger}. "
            "The interpreter runs one program after the other, which hides it."
        )
    alone = "No other program of its launch stores what it touches."
    if apart:
        parts = []
        for its_launch, stores in apart.items():
            when = "before" if its_launch < launch else "after"
            parts.append(f"{when} it, in the {_nth(its_launch)} launch, {and_(stores)}")
        alone += f" {_upper(and_(parts))}, which is safe: a launch waits for the one before."
    return alone


def _of_all(recording: Recording) -> str:
    """Of each stored tensor who stores it, of the others how often they are loaded."""
    n = len(recording.programs)
    launches = "" if len(recording.grids) == 1 else f" in {len(recording.grids)} launches"
    words = [f"{n} {'program' if n == 1 else 'programs'}{launches}."]
    loads: dict[str, list[str]] = {}
    alone: list[str] = []  # each element of these is stored by one program
    for name, shape in recording.tensors.items():
        written, count = recording.written(name), math.prod(shape)
        if not written.any():
            times = recording.maps["load", name].sum(0)
            low, high = int(times.min()), int(times.max())
            often = _number(low, high)
            loads.setdefault(often, []).append(name)
            continue
        racing = np.zeros(count, dtype=bool)
        for program in range(n):
            racing |= recording.rivals(name, program).any(0)
        once, more = int((written.sum(0) == 1).sum()), int((written.sum(0) > 1).sum())
        if once == count:
            alone.append(name)
            continue
        text = f"Of the {count} elements of {name}, {once} are stored by one program"
        if more:
            text += f", {more} by two or more"
        if missing := count - once - more:
            text += f", {missing} by none"
        if racing.any():
            text += f"; {int(racing.sum())} of them in one launch, a race (×)"
        elif more:
            text += ", in different launches, one after the other"
        words.append(f"{text}.")
    if alone:
        words.insert(1, f"Each element of {and_(alone)} is stored by one program.")
    if loads:
        said = [f"each element of {and_(names)} by {often}" for often, names in loads.items()]
        words.append(f"{_upper(', '.join(said)).replace(' by ', ' is loaded by ', 1)}.")
    return " ".join(words)


def _of_element(p: ProgramsPayload) -> list[str]:
    if p.element is None:
        return []
    name, position = p.element
    said: dict[str, list[str]] = {}  # by who does it
    for kind, verb in (("load", "loaded"), ("store", "stored"), ("atomic", "added to")):
        who = np.flatnonzero(p.recording.maps[kind, name][:, position]).tolist()
        if who:
            said.setdefault(and_([program_name(p.recording, n) for n in who]), []).append(verb)
    found = [f"{and_(verbs)} by {who}" for who, verbs in said.items()]
    return [f"{element_text(p.recording, name, position)} is {and_(found or ['touched by none'])}."]


def table_of(p: ProgramsPayload) -> str:
    return _programs_table(p.recording) if p.show == "all programs" else _lines_table(p)


def _lines_table(p: ProgramsPayload) -> str:
    """By line and tensor, what the program touches and how often."""
    groups: dict[tuple[int, str, str], list[Touch]] = {}
    for touch in p.touches:
        groups.setdefault((touch.line, touch.kind, touch.tensor), []).append(touch)
    on, rows = None, []
    for n, ((line, kind, name), touches) in enumerate(groups.items()):
        if p.now is not None and (line, kind, name) == (p.now.line, p.now.kind, p.now.tensor):
            on = n
        where = np.unique(np.concatenate([t.touched for t in touches]))
        what = region(name, p.recording.tensors[name], where) if name else "nothing"
        lanes = sum(t.elements.size for t in touches)
        off = sum(int((t.elements < 0).sum()) for t in touches)
        rows.append((line, f"{DOES[kind]} {what}", len(touches), f"{lanes:,}", f"{off:,}"))
    caption = f"{_upper(program_name(p.recording, p.program))}, line by line"
    head = ["line", "what it does", "times", "lanes", "masked"]
    return table(head, rows, caption=caption, on=on)


def _programs_table(recording: Recording) -> str:
    rows = []
    for n in range(min(len(recording.programs), ROWS)):
        loads, stores, shared = 0, [], []
        for name, shape in recording.tensors.items():
            loads += int(recording.maps["load", name][n].sum())
            if (mine := recording.written(name)[n]).any():
                stores.append(region(name, shape, np.flatnonzero(mine)))
            rivals = np.flatnonzero(recording.rivals(name, n).any(1)).tolist()
            shared += [short_name(recording, r) for r in rivals]
        who = short_name(recording, n) + _owned(recording, n)
        rows.append((who, f"{loads:,}", ", ".join(stores) or "–",
                     ", ".join(dict.fromkeys(shared)) or "–"))  # fmt: skip
    caption = "All programs, in the order in which they run"
    if len(recording.programs) > ROWS:
        caption += f": the first {ROWS} of {len(recording.programs)}"
    if len(recording.grids) > 1:
        caption += "; a the first launch, b the second"
    head = ["program", "elements loaded", "stores", "races with"]
    return table(head, rows, caption=caption)


def region(name: str, shape: Sequence[int], elements: np.ndarray) -> str:
    """x[32..41]; k1[1..16, :]; and what is no box, by its number and the box round it."""
    if not shape:
        return name
    axes = [np.unique(x) for x in np.unravel_index(elements, tuple(shape))]
    spans = [(int(x[0]), int(x[-1])) for x in axes]
    box = math.prod(high - low + 1 for low, high in spans)
    words = [
        ":"
        if (low, high) == (0, n - 1) and n > 1
        else str(low)
        if low == high
        else f"{low}..{high}"
        for (low, high), n in zip(spans, shape, strict=True)
    ]
    if set(words) == {":"}:
        return f"all of {name}"
    text = f"{name}[{', '.join(words)}]"
    return text if box == len(elements) else f"{len(elements)} elements of {text}"


def _alike(recording: Recording, regions: dict[str, np.ndarray]) -> list[str]:
    """Tensors of one shape that are touched in the same places, in one word."""
    groups: dict[str, list[str]] = {}
    for name, elements in regions.items():
        shape = recording.tensors[name]
        groups.setdefault(f"{shape}{region('', shape, elements)}", []).append(name)
    found = []
    for names in groups.values():
        *rest, last = names
        text = region(last, recording.tensors[last], regions[last])
        if "elements of" in text:
            found += [region(name, recording.tensors[name], regions[name]) for name in names]
        elif text.startswith("all of"):
            found.append(f"all of {and_(names)}")
        else:
            found.append(and_([*rest, text]))
    return found


def program_name(recording: Recording, program: int, launch: int | None = None) -> str:
    """program 2; program (1, 0); program 1 of the second launch, unless `launch` is that.

    And what it owns, where its number does not say it: program 1 (tile 3).
    """
    its_launch, id = recording.programs[program]
    axes = max((n for n, size in enumerate(recording.grids[its_launch], 1) if size > 1), default=1)
    name = f"program {id[0]}" if axes == 1 else f"program {shape_text(id[:axes])}"
    if len(recording.grids) > 1 and its_launch != launch:
        name += f" of the {_nth(its_launch)} launch"
    return name + _owned(recording, program)


def _nth(launch: int) -> str:
    return ("first", "second", "third")[launch] if launch < 3 else f"{launch + 1}th"


def _owned(recording: Recording, program: int) -> str:
    return f" ({recording.owns[program]})" if recording.owns else ""


def and_(parts: Iterable[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def _accesses(n: int) -> str:
    return "one access" if n == 1 else f"{n} accesses"


def _number(low: int, high: int) -> str:
    if low == high:
        return "no program" if low == 0 else "one program" if low == 1 else f"{low} programs"
    if (low, high) == (0, 1):
        return "at most one program"
    return f"{low} {'or' if high == low + 1 else 'to'} {high} programs"


def _some(shared: np.ndarray) -> str:
    return "the same elements" if shared.all() else "some of them"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
