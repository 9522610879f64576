"""The picture of a `PlanPayload` for a page without a live view."""

from math import floor

from simplex_lib.widgets.kit import COLOURS, png, still_figure
from simplex_lib.widgets.planner_costs import (
    WIDEST,
    PlanPayload,
    allowed_region,
    choices,
    same_product,
    same_sum,
    short,
)

LOW, RIGHT, UP = 0.7, WIDEST[0] * 1.43, WIDEST[1] * 1.43


def still(p: PlanPayload) -> bytes:
    colour = COLOURS[False]
    drawn = still_figure(8.2, 5.6)
    axes = drawn.subplots()
    axes.set(xscale="log", yscale="log", xlim=(LOW, RIGHT), ylim=(LOW, UP))
    if region := allowed_region(p, LOW, RIGHT, UP):
        axes.fill(*zip(*region, strict=True), color=colour["out"], alpha=0.16, lw=0)
    for points, look, words in (
        (same_product(p.most_pairs, LOW, RIGHT), dict(color=colour["out"], lw=2.4),
         f"FLOP budget: w1 · w2 = {floor(p.most_pairs):,}"),
        (same_sum(p.most_keys, LOW, RIGHT), dict(color=colour["key"], lw=2.4, ls="--"),
         f"cache budget: w1 + w2 = {floor(p.most_keys):,}"),
        (same_product(p.chosen.w1 * p.chosen.w2, LOW, RIGHT),
         dict(color=colour["query"], lw=1.8, ls=":"), "as many FLOPs as the chosen"),
    ):  # fmt: skip
        axes.plot([x for x, _ in points], [y for _, y in points], label=words, **look)
    dots = [(x, y) for x in choices(WIDEST[0]) for y in choices(WIDEST[1])]
    for fits, look, words in (
        (True, dict(marker="o", s=20, color=colour["out"]), "fits"),
        (False, dict(marker="x", s=12, color=colour["faint"], lw=0.7), None),
    ):
        shown = [(x, y) for x, y in dots if (x <= p.widest(y)) == fits]
        axes.scatter([x for x, _ in shown], [y for _, y in shown], label=words, **look)
    axes.scatter([x.w1 for x in p.paper], [x.w2 for x in p.paper], marker="D", s=46, zorder=3,
                 color=colour["ink"], label="the paper's Table 1, latency in ms")  # fmt: skip
    for x in p.paper:
        axes.annotate(f"{x.latency_ms:g}", (x.w1, x.w2), (0, 6), textcoords="offset points",
                      ha="center", fontsize=8)  # fmt: skip
    axes.scatter(p.chosen.w1, p.chosen.w2, marker="o", s=240, facecolor="none", lw=2.8, zorder=4,
                 edgecolor=colour["query"], label="chosen")  # fmt: skip
    for axis, name, widest in ((axes.xaxis, "first window w1", WIDEST[0]),
                               (axes.yaxis, "second window w2", WIDEST[1])):  # fmt: skip
        axis.set_ticks(choices(widest), [short(n) for n in choices(widest)], fontsize=8)
        axis.set_ticks([], minor=True)
        axis.set_label_text(name)
    axes.legend(fontsize=8, loc="upper right", framealpha=0.9)
    axes.spines[["top", "right"]].set_visible(False)
    return png(drawn)
