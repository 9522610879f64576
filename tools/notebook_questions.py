"""Predict cells: the author's call, read without running it, becomes an entry of a JSON file.

The source of chapter 02 says `predict("How many pairs?", {"4": "why not", "16": True, ...})`. The
notebook says `predict("02.1")`, and `simplex_lib/data/questions/02.json` holds

    {"02.1": {"question": "How many pairs?",
              "options": [{"text": "4", "right": false, "why": "why not"},
                          {"text": "16", "right": true, "why": ""}, ...]}}
"""

import ast
from typing import Any

from simplex_lib.course.predict_cell import predict

Entry = dict[str, Any]


class SourceError(Exception):
    """A chapter source that cannot be turned into notebooks."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}.")


def read_question(text: str, where: str) -> Entry:
    """Read `predict("question", {"option": "why it is wrong", "option": True, ...})`."""
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
    if not all(isinstance(option, str) for option in options):
        raise SourceError(where, "must give its options as strings")
    if isinstance(call.args[1], ast.Dict) and len(options) < len(call.args[1].keys):
        raise SourceError(where, "offers the same option twice")
    try:
        read = predict(question.strip(), options).question
    except ValueError as error:
        raise SourceError(where, str(error).rstrip(".")) from error
    answers = [{"text": o.text, "right": o.right, "why": o.why} for o in read.options]
    return {"question": read.text, "options": answers}
