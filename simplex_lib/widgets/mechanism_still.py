"""The still form of a `MechanismPayload`: error curve, kernels beside their start, one row."""

from typing import Any

from simplex_lib.widgets.kit import COLOURS, png, signed, still_figure
from simplex_lib.widgets.mechanism_runs import MechanismPayload, Row
from simplex_lib.widgets.mechanism_view import OF_WHICH, diverging


def still(p: MechanismPayload) -> bytes:
    drawn = still_figure(8.4, 5.4 if p.kept else 3.1)
    upper, lower = drawn.subfigures(2, 1, height_ratios=[1.15, 1]) if p.kept else (drawn, None)
    left, right = upper.subfigures(1, 2, width_ratios=[1, 1.5])
    _curve(left.subplots(), p)
    heads = len(p.now)
    size = max(abs(tap) for head in (*p.start, *p.now) for row in head for tap in row)
    step = p.steps[p.frame]
    panels = right.subplots(heads, 2, squeeze=False)
    for n in range(heads):
        for axes, kernel, name in (
            (panels[n][0], p.start[n], "start"),
            (panels[n][1], p.now[n], f"step {step}"),
        ):
            _kernel(axes, kernel, size, f"head {n}, {name}")
    if lower is None:
        drawn.supxlabel(OF_WHICH, fontsize=8)
        return png(drawn)
    _row(lower.subplots(len(p.row.raw) + 2, 1, sharex=True), p.row, p.head)
    return png(drawn)


def _curve(axes: Any, p: MechanismPayload) -> None:
    colour = COLOURS[False]
    for line in p.others:
        axes.plot(*zip(*line, strict=True), color=colour["key"], lw=0.8, alpha=0.5)
    axes.plot(p.steps, p.errors, "o-", ms=4, color=colour["key"], lw=2)
    axes.plot([p.steps[p.frame]], [p.errors[p.frame]], "o", ms=8, color=colour["query"])
    axes.set(ylim=(-3, 103), xlabel="step", ylabel="error, %")
    axes.set_title(f"{p.model}; thick: seed {p.seed}", fontsize=9, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def _kernel(axes: Any, kernel: list[list[float]], size: float, title: str) -> None:
    middle, last = len(kernel[0]) // 2, len(kernel) - 1
    for n, row in enumerate(kernel):
        for m, tap in enumerate(row):
            back, ink = diverging(tap / size, False)
            axes.fill(
                [m - 0.48, m + 0.48, m + 0.48, m - 0.48], [n - 0.48] * 2 + [n + 0.48] * 2, back
            )
            axes.text(m, n, signed(tap, 1), ha="center", va="center", fontsize=6.5, color=ink)
    axes.set(xlim=(-0.6, len(kernel[0]) - 0.4), ylim=(last + 0.6, -0.6))
    names = [
        "j" if m == middle else f"{m - middle:+d}".replace("-", "−") for m in range(len(kernel[0]))
    ]
    axes.set_xticks(range(len(names)), names, fontsize=7)
    rows = [f"i − {last - n}" if n < last else "i" for n in range(last + 1)]
    axes.set_yticks(range(last + 1), rows, fontsize=7)
    axes.set_title(title, fontsize=8, loc="left", pad=3)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _row(panels: Any, row: Row, head: int) -> None:
    from matplotlib.colors import to_rgb

    colour, c_q = COLOURS[False], len(row.raw)
    names = [f"raw, i − {c_q - 1 - n}" if n < c_q - 1 else "raw, i" for n in range(c_q)]
    for axes, values in zip(panels, [*row.raw, row.logits], strict=False):
        size = max(abs(v) for v in values) or 1.0
        cells = [[to_rgb(diverging(v / size, False)[0]) for v in values]]
        axes.imshow(cells, extent=(0, len(values), 0, 1), aspect="auto", interpolation="nearest")
        axes.set(ylim=(0, 1), yticks=[])
        axes.tick_params(length=0)
    last = panels[-1]
    last.bar([n + 0.5 for n in range(len(row.probs))], row.probs, 0.85, color=colour["out"])
    last.set(ylim=(0, 1.05), yticks=[0, 1], xlim=(0, len(row.text)))
    last.set_xticks([n + 0.5 for n in range(len(row.text))], list(row.text), fontsize=7.5)
    last.tick_params(length=0, labelsize=7.5)
    for axes, name in zip(panels, [*names, "convolved", "attention"], strict=True):
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
        axes.spines[:].set_visible(False)
        for n in (row.block[0], row.block[-1] + 1):
            axes.axvline(n, color=colour["query"], lw=1.6)
        for n, letter in enumerate(row.text):
            if letter == ".":
                axes.axvline(n + 1, color=colour["faint"], lw=0.5)
    panels[0].set_title(
        f"the last query, head {head}; orange: the right block",
        fontsize=9, loc="left",
    )  # fmt: skip
