"""What a notebook imports from the course: checks, hints, questions, the map, the report.

`simplex_lib.checks` knows what is right; this package knows the learner's folder, keeps the
progress and draws what a check says. Nothing in the library below knows that a notebook exists.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simplex_lib.course.check_cell import check
    from simplex_lib.course.doctor import doctor_report
    from simplex_lib.course.hints import hint, symptoms
    from simplex_lib.course.map import course_map
    from simplex_lib.course.predict_cell import predict

__all__ = ["check", "course_map", "doctor_report", "hint", "predict", "symptoms"]

# imported on first use: the terminal door must start quickly
_HOMES = {
    "check": "check_cell",
    "course_map": "map",
    "doctor_report": "doctor",
    "hint": "hints",
    "predict": "predict_cell",
    "symptoms": "hints",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
