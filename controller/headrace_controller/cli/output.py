"""What commands print: tables for people, JSON for programs."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
import orjson
from pydantic import BaseModel

from headrace_functions.errors import InvalidInput

MAX_CELL = 60  # characters of a cell; JSON has the whole value

_COLOURS = {
    "released": "green",
    "ready": "green",
    "done": "green",
    "ok": "green",
    "failed": "red",
    "severe": "red",
    "assembling": "yellow",
    "starting": "yellow",
    "running": "yellow",
    "queued": "yellow",
}


def json_option(command: Any) -> Any:
    """``--json``: what a program reads."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def print_json(found: Any) -> None:
    click.echo(orjson.dumps(_plain(found), option=orjson.OPT_INDENT_2, default=str))


def print_table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, empty: str) -> None:
    """Rows under the upper-case names of columns; ``empty`` says on standard error that there are none."""
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    if not cells:
        click.echo(empty, err=True)
        return
    titles = [column.upper().replace("_", " ") for column in columns]
    widths = [max(len(line[i]) for line in [titles, *cells]) for i in range(len(columns))]
    click.echo(_line(titles, widths))
    for line in cells:
        click.echo(_line(line, widths))


def print_facts(facts: Mapping[str, Any]) -> None:
    """One thing: a name and a value on each line."""
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        click.echo(f"{name.replace('_', ' '):<{width}}  {_cell(value, limit=None)}")


def confirm(question: str, *, yes: bool) -> None:
    """Ask before what cannot be undone. ``InvalidInput`` where there is no terminal and ``--yes`` was not given."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInput(
            f"{question} There is no terminal for the question", field="yes", hint="add --yes to confirm"
        )
    click.confirm(question, abort=True)


def progress(text: str) -> None:
    """Something for the one who waits, on standard error."""
    click.echo(text, err=True, nl=not text.endswith("\n"))


def _plain(found: Any) -> Any:
    if isinstance(found, BaseModel):
        return found.model_dump()
    return [_plain(item) for item in found] if isinstance(found, list) else found


def _cell(value: Any, limit: int | None = MAX_CELL) -> str:
    if value is None or value == "" or value == [] or value == {}:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        value = ", ".join(f"{k}={_cell(v, None)}" for k, v in value.items())
    elif isinstance(value, list | tuple):
        value = ", ".join(_cell(v, None) for v in value)
    text = str(value).replace("\n", " ") if limit else str(value)
    return text if limit is None or len(text) <= limit else text[: limit - 1] + "…"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        click.style(cell, fg=_COLOURS.get(cell)) + " " * (width - len(cell))
        for cell, width in zip(cells, widths, strict=True)
    ]
    return "  ".join(padded).rstrip()
