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
    names = _names(columns)
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


def _names(columns: Sequence[str]) -> re.Pattern[str]:
    """Any of these names, as a whole."""
    longest_first = sorted(columns, key=len, reverse=True)
    return re.compile("|".join(rf"(?<![\w.]){re.escape(c)}(?![\w.])" for c in longest_first) or r"(?!)")


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
    r"^(?:[\w ]*?(?:error|planning|by)(?: during planning)?:? )+|\w*Error\((?=\")|\s*at Line: \d+, Column:? \d+|\. No function matches.*",
    re.IGNORECASE,
)
_PARSED = re.compile(
    r"Expected: (?P<wanted>.+?), found: (?P<found>.+?) at Line: (?P<line>\d+), Column:? (?P<column>\d+)"
)
_NO_TRUTH = re.compile(r"non-boolean predicate .* returning (?P<kind>\w+)")
_WORDS = (
    (re.compile(r"Divide by zero"), "it divides by zero in some row; write a / nullif(b, 0) instead of a / b"),
    (re.compile(r"regex parse error"), "a regular expression in it cannot be read"),
    (re.compile(r"Invalid function '(?P<name>[^'\n]+)'"), "there is no function '{name}'"),
)


def all_of(*conditions: str) -> str:
    """Conditions that all hold, as one; empty ones are left out. ``InvalidInput`` for one that leaves its own parentheses."""
    return " AND ".join(f"({boolean_expression(c, ())})" for c in conditions if c.strip())


def of_engine(said: str, sql: str = "", condition: str = "") -> str:
    """The query engine's words without its own names, and without places in a query that nobody wrote.

    With the query and the condition in it, what is missing at the condition's end is told from what is missing before some word of it.
    """
    unknown, no_truth = _UNKNOWN_COLUMN.search(said), _NO_TRUTH.search(said)
    if unknown:
        return f"there is no column {unknown[1]!r}; columns of inputs and outputs are in.NAME and out.NAME"
    if no_truth:
        kind = "text" if "Utf8" in no_truth["kind"] else "a list" if "List" in no_truth["kind"] else "a number"
        return f"it gives {kind}, not true or false"
    for pattern, words in _WORDS:
        if known := pattern.search(said):
            return words.format(**known.groupdict())
    parsed = _PARSED.search(said)
    if parsed:
        return _of_parser(parsed, sql, condition)
    line = said.strip().rpartition("caused by")[2].strip().splitlines()[0] if said.strip() else ""
    return _ENGINE.sub("", line).strip().strip("()\"'").strip() or "it is not a single boolean expression"


def _of_parser(parsed: re.Match[str], sql: str, condition: str) -> str:
    wanted = "a value or a column" if parsed["wanted"] == "an expression" else parsed["wanted"]
    place = place_in(parsed[0], sql, condition)
    if parsed["found"] == "EOF" or (place is not None and place >= len(condition)):
        return f"it ends where {wanted} is missing"
    if wanted == ")":
        return f"{parsed['found']!r} cannot follow what stands before it"
    return f"{wanted} is missing before {parsed['found']!r}"


def place_in(said: str, sql: str, condition: str) -> int | None:
    """Where in a condition the engine stopped to read the query that holds it; None where it does not say."""
    parsed = _PARSED.search(said)
    if parsed is None or not condition or condition not in sql:
        return None
    before = sum(len(line) + 1 for line in sql.split("\n")[: int(parsed["line"]) - 1])
    return max(0, before + int(parsed["column"]) - 1 - sql.rindex(condition))


def written_place(text: str, columns: Sequence[str], place: int) -> int:
    """The character of ``text``, from 1, that stands at ``place`` of its checked form, in which names are quoted."""
    names, left = _names(columns), place
    for match in _TOKEN.finditer(text):
        token, at = match[0], 0
        spans = [] if token[0] in _QUOTES else [m.span() for m in names.finditer(token)]
        for start, end in (*spans, (len(token), len(token))):
            if left < start - at:
                return match.start() + at + left + 1
            left -= start - at
            quoted = end - start + 2 if end > start else 0
            if left < quoted:
                return match.start() + start + min(max(left, 1), end - start)
            left, at = left - quoted, end
    return len(text)


def refusal(said: str, sql: str, written: str, columns: Sequence[str]) -> InvalidInput:
    """Why the engine refused a query with the condition ``written``, with the character at which it stopped to understand."""
    condition = boolean_expression(written, columns) if written.strip() else ""
    place = place_in(said, sql, condition)
    at = "" if place is None or place >= len(condition) else f", at character {written_place(written, columns, place)}"
    return not_boolean(of_engine(said, sql, condition) + at)
