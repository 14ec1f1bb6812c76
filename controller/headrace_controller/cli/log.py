"""``headrace log``"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from headrace_controller.cli.connection import connected
from headrace_controller.cli.groups import Commands
from headrace_controller.cli.output import json_option, print_facts, print_json, print_table, progress
from headrace_controller.client import Client

INTERRUPTED = 130  # exit code after Ctrl-C
POLL = 1.0  # seconds between two looks of `tail` that has caught up

_COLUMNS = [
    "received",
    "request_id",
    "row",
    "outcome",
    "status",
    "latency_ms",
    "sequence",
    "variant",
    "shadow",
    "error",
]


def _selection(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--columns",
            default="",
            help="Columns to show, separated by commas; inputs and outputs are in.NAME and out.NAME.",
        ),
        click.option(
            "--where",
            default="",
            help="Boolean SQL expression over the log's columns, e.g. 'latency_ms > 20 AND in.age < 30'.",
        ),
        click.option("--until", help="End: an RFC 3339 time, or a duration before now."),
        click.option("--since", help="Start: an RFC 3339 time, or a duration before now such as 1h."),
    ):
        command = option(command)
    return command


_EXCHANGE_TYPES = {".parquet": "application/vnd.apache.parquet", ".arrow": "application/vnd.apache.arrow.stream"}


@click.group(cls=Commands)
def log() -> None:
    """Query, follow and export request logs."""


@log.command("query")
@click.argument("version", metavar="MODEL:NUMBER")
@_selection
@click.option("--limit", default=20, show_default=True, help="Maximum number of rows.")
@json_option
@connected
def query_log(client: Client, version: str, limit: int, as_json: bool, **selection: str | None) -> None:
    """Show rows of a version's log, newest first."""
    found = client.logs(client.resolve(version), limit=limit, **selection)
    if as_json:
        print_json(found.rows)
        return
    print_table(found.rows, _shown(found.columns, selection["columns"]), empty="no row")


@log.command("show")
@click.argument("version", metavar="MODEL:NUMBER")
@click.argument("request_id")
@json_option
@connected
def show_request(client: Client, version: str, request_id: str, as_json: bool) -> None:
    """Show one logged request: its rows and their metric values."""
    found = client.logged_request(client.resolve(version), request_id)
    if as_json:
        print_json(found)
        return
    for row in found.rows:
        print_facts({k: v for k, v in row.items() if v is not None})
        click.echo()
    columns = ["metric", "row", "value", "healthy", "model", "error"]
    print_table(found.metrics, columns, empty="no metric has scored it")


@log.command("tail")
@click.argument("version", metavar="MODEL:NUMBER")
@click.option("--where", default="", help="Boolean SQL expression over the log's columns.")
@click.option("--for", "seconds", type=float, help="Stop after this many seconds. Default: run until Ctrl-C.")
@json_option
@connected
def tail_log(client: Client, version: str, where: str, seconds: float | None, as_json: bool) -> None:
    """Follow a version's log: show new rows as they arrive."""
    resolved = client.resolve(version)
    end = None if seconds is None else time.monotonic() + seconds
    try:
        position = client.follow_log(resolved, where=where).next
        while True:
            found = client.follow_log(resolved, position, where)
            position = found.next
            for row in found.rows:
                print_json(row) if as_json else click.echo("  ".join(str(row.get(c, "")) for c in _COLUMNS))
            if end is not None and time.monotonic() >= end:
                return
            if not found.behind:
                time.sleep(POLL)
    except KeyboardInterrupt:
        progress("logging goes on; only this view has ended")
        raise SystemExit(INTERRUPTED) from None


@log.command("export")
@click.argument("version", metavar="MODEL:NUMBER")
@click.option(
    "--to", "target", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Parquet file to write."
)
@_selection
@connected
def export_log(client: Client, version: str, target: Path, **selection: str | None) -> None:
    """Write all matching rows of a version's log to a Parquet file."""
    client.export_log(client.resolve(version), target, **selection)
    click.echo(f"wrote {target} ({target.stat().st_size} bytes)")


@log.command("push")
@click.argument("version", metavar="MODEL:NUMBER")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
@connected
def push_exchanges(client: Client, version: str, file: Path, as_json: bool) -> None:
    """Log exchanges of an external model: JSON lines (.jsonl), Parquet or an Arrow stream (.arrow).

    A line is {"request_id": …, "inputs": {…}, "outputs": {…}}, and optionally received, latency_ms and outcome. An
    id that is already in the log is not logged again, so a file may be sent twice.
    """
    kind = _EXCHANGE_TYPES.get(file.suffix, "application/x-ndjson")
    found = client.push_exchanges(client.resolve(version), file.read_bytes(), kind)
    if as_json:
        print_json(found)
        return
    click.echo(f"{found.accepted} exchanges for the log of {found.version}, {found.refused} refused")
    print_table(found.first_refused, ["row", "field", "reason"], empty="") if found.refused else None


@log.command("refused")
@click.option("--retry", is_flag=True, help="Try to log all of them again.")
@json_option
@connected
def refused(client: Client, retry: bool, as_json: bool) -> None:
    """List records that could not be logged, with the reasons."""
    if retry:
        retried = client.retry_refused_records()
        print_json({"retried": retried}) if as_json else click.echo(f"offered {retried} objects to the collector again")
        return
    found = client.refused_records()
    if as_json:
        print_json(found)
        return
    print_table([r.model_dump() for r in found], ["at", "size", "reason", "key"], empty="nothing was set aside")


def _shown(columns: list[str], asked: str | None) -> list[str]:
    """The columns of the table: the ones asked for, else the exchange's own and the tensors' until the line is full."""
    if asked:
        return [c.strip() for c in asked.split(",")]
    tensors = [c for c in columns if c.startswith(("in.", "out."))]
    return [*_COLUMNS[:6], *tensors[:4]]
