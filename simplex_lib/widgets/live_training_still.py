"""The still form of a `TrainingPayload`: recorded curves, curves of now, floors of guessing."""

from simplex_lib.widgets.kit import COLOURS, maths_free, png, still_figure
from simplex_lib.widgets.live_training_curves import TrainingPayload
from simplex_lib.widgets.live_training_view import LOOKS

DASHES = ("-", (0, (5, 3)), (0, (1.5, 2)), (0, (7, 2, 1, 2)))
MARKS = ("o", "s", "^", "D")


def still(p: TrainingPayload) -> bytes:
    drawn = still_figure(7.6, 3.5)
    axes, colour = drawn.subplots(), COLOURS[False]
    named: set[int] = set()
    for lines, width, clear in ((p.recorded, 1.4, 0.75), (p.earlier, 1.2, 0.5), (p.live, 2.6, 1)):
        for line in lines:
            if not line.points:
                continue
            name = maths_free(line.name) if line.look not in named else None
            named.add(line.look)
            steps, errors = zip(*line.points, strict=True)
            axes.plot(
                steps, errors, ls=DASHES[line.look], marker=MARKS[line.look], ms=3.5, lw=width,
                color=colour[LOOKS[line.look][0]], alpha=clear, label=name,
            )  # fmt: skip
    for n, (name, error) in enumerate(sorted(p.floors.items(), key=lambda item: -item[1])):
        axes.axhline(error, color=colour["faint"], lw=1.2, ls=":")
        axes.text(
            p.steps * 1.01, error, f"{error:.1f} guessing\n{name}", fontsize=7.5,
            va="bottom" if n == 0 else "top",
        )  # fmt: skip
    axes.set(xlim=(0, p.steps), ylim=(-2, 102), xlabel="step", ylabel="error, %")
    axes.set_title(f"held-out texts; answer: {p.answer}", fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    if named:
        axes.legend(fontsize=8, frameon=False, loc="center right", bbox_to_anchor=(1, 0.36))
    return png(drawn)
