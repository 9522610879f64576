"""Predict cells: the author's call, read without running it, becomes an entry of a JSON file.

The source of chapter 02 says `predict("How many pairs?", {"4": "why not", "16": True})`. The
notebook says `predict("02.1")`, and `simplex_lib/data/questions/02.json` holds

    {"02.1": {"question": "How many pairs?",
              "options": [{"text": "4", "right": false, "why": "why not"},
                          {"text": "16", "right": true, "why": ""}]}}
"""

import ast
from typing import Any

Question = dict[str, Any]


class SourceError(Exception):
    """A chapter source that cannot be turned into notebooks."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}.")


def read_question(text: str, where: str) -> Question:
    """Read `predict("question", {"option": "why it is wrong", "option": True})`."""
    try:
        statements = ast.parse(text).body
    except SyntaxError as error:
        raise SourceError(where, f"is not Python: {error}") from error
    call = statements[0].value if statements and isinstance(statements[0], ast.Expr) else None
    if len(statements) != 1 or not isinstance(call, ast.Call) or call.keywords:
        raise SourceError(where, "must hold one call, predict(question, options), and nothing else")
    if not isinstance(call.func, ast.Name) or call.func.id != "predict" or len(call.args) != 2:
        raise SourceError(where, "must call predict with two arguments, the question and a dict")
    try:
        question, options = (ast.literal_eval(argument) for argument in call.args)
    except ValueError as error:
        raise SourceError(where, "must be written with plain strings, no variables") from error
    if not isinstance(question, str) or not isinstance(options, dict):
        raise SourceError(where, "must give a string and a dict of options")
    read = [_read_option(option, verdict, where) for option, verdict in options.items()]
    if len(read) != len(call.args[1].keys):  # type: ignore[attr-defined]
        raise SourceError(where, "names an option twice")
    if len(read) < 2 or sum(option["right"] for option in read) != 1:
        raise SourceError(where, "needs two options or more, of which one is right")
    return {"question": question.strip(), "options": read}


def _read_option(option: Any, verdict: Any, where: str) -> dict[str, Any]:
    right, why = True, ""
    if isinstance(verdict, str):
        right, why = False, verdict.strip()
    elif isinstance(verdict, tuple) and len(verdict) == 2 and verdict[0] == "right":
        why = str(verdict[1]).strip()
    elif verdict is not True:
        raise SourceError(
            where, f'option {option!r} must say why it is wrong, True, or ("right", why)'
        )
    if not isinstance(option, str) or not option.strip():
        raise SourceError(where, f"option {option!r} must be a string")
    if not right and not why:
        raise SourceError(where, f"option {option!r} is wrong without a word on why")
    return {"text": option.strip(), "right": right, "why": why}
