"""Widgets: a pure payload function each, and a view that only draws. Imported on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simplex_lib.widgets.alice import find_alice
    from simplex_lib.widgets.einsum import explore_einsum
    from simplex_lib.widgets.explorer.explore import explore_pairs
    from simplex_lib.widgets.explorer.widget import Explorer
    from simplex_lib.widgets.heads import explore_heads
    from simplex_lib.widgets.kernel_editor import edit_kernel
    from simplex_lib.widgets.live_training import train_blocks
    from simplex_lib.widgets.loop_steps import step_loop
    from simplex_lib.widgets.match3 import explore_match3
    from simplex_lib.widgets.mechanism import watch_mechanism
    from simplex_lib.widgets.mixing_editor import edit_mixing
    from simplex_lib.widgets.online import explore_online
    from simplex_lib.widgets.plane import explore_plane
    from simplex_lib.widgets.planner import plan_windows
    from simplex_lib.widgets.pre_post import compare_pre_post
    from simplex_lib.widgets.programs import step_programs
    from simplex_lib.widgets.rotation import explore_rotation
    from simplex_lib.widgets.shown import Shown
    from simplex_lib.widgets.windows import explore_windows

__all__ = [
    "Explorer",
    "Shown",
    "compare_pre_post",
    "edit_kernel",
    "edit_mixing",
    "explore_einsum",
    "explore_heads",
    "explore_match3",
    "explore_online",
    "explore_pairs",
    "explore_plane",
    "explore_rotation",
    "explore_windows",
    "find_alice",
    "plan_windows",
    "step_loop",
    "step_programs",
    "train_blocks",
    "watch_mechanism",
]

_HOMES = {
    "Explorer": "explorer.widget",
    "Shown": "shown",
    "compare_pre_post": "pre_post",
    "edit_kernel": "kernel_editor",
    "edit_mixing": "mixing_editor",
    "explore_einsum": "einsum",
    "explore_heads": "heads",
    "explore_online": "online",
    "explore_pairs": "explorer.explore",
    "explore_plane": "plane",
    "explore_rotation": "rotation",
    "explore_match3": "match3",
    "explore_windows": "windows",
    "find_alice": "alice",
    "step_loop": "loop_steps",
    "train_blocks": "live_training",
    "watch_mechanism": "mechanism",
    "plan_windows": "planner",
    "step_programs": "programs",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
