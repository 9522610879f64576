"""The still form of an `AlicePayload`: the kernel's sums by sentence, attention of three heads."""

from simplex_lib.widgets.alice_shares import HEADS, AlicePayload, share
from simplex_lib.widgets.kit import COLOURS, maths_free, png, still_figure
from simplex_lib.widgets.match3_view import shade


def still(p: AlicePayload) -> bytes:
    n = len(p.rows)
    drawn = still_figure(8.4, 1.1 + 0.36 * n)
    left, *bars = drawn.subplots(1, 4, width_ratios=[2.6, 1, 1, 1], sharey=True)
    colour = COLOURS[False]
    for row, tokens in enumerate(p.rows):
        width = max(6, *(len(x) for x in p.rows))
        for at, j in enumerate(tokens):
            back, ink = shade(p.sums[j] / 2 - 1, False)
            left.fill([at, at + 0.94, at + 0.94, at], [row - 0.42] * 2 + [row + 0.42] * 2, back)
            word = maths_free(p.story.words[j])
            size = min(8.0, 200 / width / max(len(word), 3))
            weight = "bold" if p.story.words[j] in p.story.asked else "normal"
            left.text(at + 0.47, row - 0.16, word, ha="center", va="center", color=ink,
                      fontsize=size, fontweight=weight)  # fmt: skip
            left.text(at + 0.47, row + 0.22, str(p.sums[j]), ha="center", va="center",
                      color=ink, fontsize=8)  # fmt: skip
        left.set_xlim(-0.1, width)
    left.set(ylim=(n - 0.5, -0.5), xticks=[])
    left.set_yticks(range(n), [f"{'✓ ' * (k in p.story.right)}{k + 1}" for k in range(n)])
    left.set_title("words, and the kernel's sum at each", fontsize=9.5, loc="left")
    left.tick_params(length=0)
    left.spines[:].set_visible(False)
    for axes, name in zip(bars, HEADS, strict=True):
        inks = [colour["out" if k in p.story.right else "key"] for k in range(n)]
        axes.barh(range(n), p.shares[name], 0.6, color=inks)
        for k, x in enumerate(p.shares[name]):
            axes.text(min(x, 0.4) + 0.03 if x < 0.5 else 0.04, k, share(x), va="center",
                      fontsize=8, color="white" if x >= 0.5 else "black")  # fmt: skip
        axes.set(xlim=(0, 1), xticks=[0, 1])
        axes.set_title(name, fontsize=9.5, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8, left=False, labelleft=False)
    return png(drawn)
