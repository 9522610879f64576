"""A planner: given a length and a budget, which two windows fit?

`plan_windows` is what a notebook calls. The numbers and words are made in `planner_costs.py`, the
picture in `planner_view.py`.
"""

from typing import Any

from simplex_lib.widgets import planner_view
from simplex_lib.widgets.frame import Widget
from simplex_lib.widgets.kit import table
from simplex_lib.widgets.planner_costs import PlanPayload, data_size, plan_payload


def plan_windows(
    seq_len: int = 49_152,
    budget: float = 1.0,
    cache: float = 2**-6,
    *,
    w1: int = 512,
    w2: int = 32,
    head_dim: int = 128,
) -> "Planner":
    """See which windows (w1, w2) fit two budgets, and what the chosen ones cost.

    Args:
        seq_len: positions, 256 to 1,048,576.
        budget: FLOPs, by 6 s w1 w2, as a share of dot-product attention's 2 s^2; 1/64 to 8.
        cache: bytes of both caches as a share of dot-product attention's; 1/512 to 2.
        w1, w2: the chosen windows, up to 16,384 and 4,096.
        head_dim: for the bytes of the caches, in 16 bits a number and for one key head.
    """
    chosen = dict(seq_len=seq_len, budget=budget, cache=cache, w1=w1, w2=w2)
    return Planner(head_dim, **chosen)


class Planner(Widget):
    question = "Which windows fit the budget?"
    help = "Tab to a slider, then arrow keys; or click a dot. Budgets: 1 is what dot products take."
    lines = 3

    def __init__(self, head_dim: int, **choices: Any) -> None:
        self.head_dim = head_dim
        self._fitting = False
        super().__init__(**choices)

    def payload(self, **choices: Any) -> PlanPayload:
        return plan_payload(**choices, head_dim=self.head_dim)

    def change(self, **choices: Any) -> None:
        """As everywhere; but what a slider says while its stops change is no choice."""
        if not self._fitting:
            super().change(**choices)

    def table(self) -> str:
        p: PlanPayload = self.seen
        x = p.chosen
        costs = [
            ("FLOPs, 6 s w1 w2 or 2 s²", f"{x.flops:,}", f"{p.dot_flops:,}"),
            ("FLOPs, visible pairs only", *(f"{n:,}" for n in p.exact)),
            ("bytes of the caches", f"{x.cache:,}", f"{p.dot_cache:,}"),
        ]
        equal, exact = p.break_even
        left = table(
            [f"s = {p.s:,}", f"{x.w1:,} × {x.w2:,}", "dot product"],
            costs,
            caption=f"Equal FLOPs at s = {equal:,} by the formulas, at {exact:,} counted exactly; "
            f"head_dim {p.head_dim}, 16 bits",
        )
        paper = [
            (
                *(f"{y.w1:,} × {y.w2}", f"{y.w1 * y.w2:,}", f"{y.share:.3g}"),
                *(data_size(y.cache), f"{y.latency_ms} ms", "yes" if y.fits else "no"),
            )
            for y in p.paper
        ]
        on = next((n for n, y in enumerate(p.paper) if (y.w1, y.w2) == (x.w1, x.w2)), None)
        right = table(
            ["windows", "w1 · w2", "FLOPs / dot product", "caches", "latency", "fits"],
            paper,
            caption="Latencies of Table 1, arXiv:2507.02754; machine, length, heads not stated",
            on=on,
        )
        return f'<div class="sx-row"><div>{left}</div><div>{right}</div></div>'

    def controls(self) -> dict[str, Any]:
        return planner_view.controls(self.choices)

    def rows(self, controls: dict[str, Any]) -> list[list[Any]]:
        pairs = (("seq_len",), ("budget", "cache"), ("w1", "w2"))
        return [[controls[name] for name in names] for names in pairs]

    def adapt(self, controls: dict[str, Any]) -> None:
        self._fitting = True
        try:
            planner_view.fit(controls, self.choices)
        finally:
            self._fitting = False

    def picture(self) -> Any:
        return planner_view.picture(self.seen)

    def draw(self, picture: Any, dark: bool) -> None:
        planner_view.draw(picture, self.seen, dark)

    def bind(self, shown: Any) -> None:
        def dot_clicked(trace: Any, points: Any, _: Any) -> None:
            if points.point_inds:
                n = points.point_inds[0]
                self.change(w1=int(trace.x[n]), w2=int(trace.y[n]))

        for name in ("dots", "paper"):
            next(shown.select_traces(dict(name=name))).on_click(dot_clicked)

    def still(self) -> bytes:
        from simplex_lib.widgets.planner_still import still  # matplotlib, which a lab does not need

        return still(self.seen)
