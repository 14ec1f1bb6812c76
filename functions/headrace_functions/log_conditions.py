"""Conditions over the rows of a log: one boolean expression in SQL, checked before an engine sees it, and the engine's words for people.

``outcome = 'ok' AND in.age > 30`` may name every column of a log table (``logtable``). What could end the expression or open another query is
refused, so that it can be put between parentheses after ``WHERE``.
"""

import re
from collections.abc import Sequence

from headrace_functions.errors import InvalidInput

MAX_WHERE = 4000
"""Characters of a condition."""

_TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--|/\*|[();]|[^\s'"();]+|\s+|['"]""")
_QUOTES = ("'", '"')
_FORBIDDEN = {
    "select",
    "with",
    "values",
    "table",
    "union",
    "intersect",
    "except",
    "insert",
    "update",
    "delete",
    "create",
    "drop",
    "copy",
    "order",
    "limit",
}


def boolean_expression(text: str, columns: Sequence[str]) -> str:
    """``text`` as one SQL expression with the names of known ``columns`` quoted, e.g. ``in.age > 3`` as ``"in.age" > 3``.

    Raises ``InvalidInput`` for a semicolon, a comment, a sub-query, an open quote or parentheses that do not pair.
    """
    if len(text) > MAX_WHERE:
        raise not_boolean(f"at most {MAX_WHERE} characters")
    names = re.compile(
        "|".join(rf"(?<![\w.]){re.escape(c)}(?![\w.])" for c in sorted(columns, key=len, reverse=True)) or r"(?!)"
    )
    result, depth, before, previous = [], 0, "", ""
    for match in _TOKEN.finditer(text):
        token = match[0]
        if len(token) > 1 and token[0] in _QUOTES:
            if before and (before[-1].isalnum() or before[-1] in "_&"):
                raise not_boolean(
                    f"{before}{token[0]}…{token[0]} is a kind of text that is not taken: put a blank before it"
                )
            result.append(token)
        else:
            depth += {"(": 1, ")": -1}.get(token, 0)
            _check_token(token, previous, depth)
            result.append(names.sub(lambda m: f'"{m[0]}"', token))
        before, previous = token, token if token.strip() else previous
    if depth:
        raise not_boolean("its parentheses do not pair")
    return "".join(result)


def _check_token(token: str, previous: str, depth: int) -> None:
    """Refuse what could end the expression or open another query; ``token`` is outside of quotes."""
    word = token.lower()
    if token in (";", *_QUOTES) or any(mark in token for mark in ("--", "/*", "$$")) or depth < 0:
        raise not_boolean(f"{token.strip()!r} cannot be part of it")
    if word in _FORBIDDEN or (word == "from" and previous == "("):
        raise not_boolean(f"{token!r} would be a statement or sub-query")


def not_boolean(why: str) -> InvalidInput:
    return InvalidInput(
        f"where: {why}",
        field="where",
        expected="one boolean expression over the log's columns, e.g. latency_ms > 20 AND in.age < 30",
    )


_UNKNOWN_COLUMN = re.compile(r"No field named (?:rows\.)?\"?([^\"\n]+?)\"?\.(?:\s|$)")
_ENGINE = re.compile(
    r"^(?:[\w ]*?(?:error|planning|by)(?: during planning)?:? )+|\w*Error\((?=\")|\s*at Line: \d+, Column:? \d+",
    re.IGNORECASE,
)


def of_engine(said: str) -> str:
    """The query engine's words without its own names, and without places in a query that nobody wrote."""
    unknown = _UNKNOWN_COLUMN.search(said)
    if unknown:
        return f"there is no column {unknown[1]!r}; columns of inputs and outputs are in.NAME and out.NAME"
    line = said.strip().rpartition("caused by")[2].strip().splitlines()[0] if said.strip() else ""
    text = _ENGINE.sub("", line).strip().strip("()\"'").strip()
    if text.startswith("Expected: an expression, found"):
        return "it ends where a value or a column is missing"
    return text or "it is not a single boolean expression"
