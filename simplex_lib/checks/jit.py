"""triton and tl for files of checks that hold kernels.

The real modules, imported after the choice between compiled and interpreted. Without triton (macOS,
Windows) stand-ins, so that the checks of all other chapters load; `run_kernel` then says why a
kernel cannot be checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simplex_lib.triton_mode import prepare_triton


class _Absent:
    """Every attribute is another one of these; as a decorator it changes nothing."""

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return arguments[0] if arguments else self


def _triton() -> tuple[Any, Any]:
    try:
        if prepare_triton() == "absent":
            return _Absent(), _Absent()
    except RuntimeError:  # imported in the other mode: kernels exist, and run_kernel refuses them
        pass
    import triton
    import triton.language as tl

    return triton, tl


if TYPE_CHECKING:
    import triton
    import triton.language as tl
else:
    triton, tl = _triton()

__all__ = ["tl", "triton"]
