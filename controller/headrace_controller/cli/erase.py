"""``headrace erase`` and ``headrace erasure``"""

import sys
import time
from typing import Any

import click

from headrace_controller.api import schemas
from headrace_controller.cli.connection import connected
from headrace_controller.cli.groups import Commands
from headrace_controller.cli.output import confirm, json_option, print_facts, print_json, print_table, progress
from headrace_controller.client import Client
from headrace_functions.errors import InvalidInput
from headrace_functions.wording import counted

_POLL = 0.5
_THINGS = {
    "log_rows": ("log row", "log rows"),
    "refused_bodies": ("refused body", "refused bodies"),
    "metric_values": ("metric value", "metric values"),
    "labels": ("label", "labels"),
    "results": ("result", "results"),
    "deferred": ("deferred request", "deferred requests"),
    "set_aside": ("object set aside", "objects set aside"),
    "documents": ("document", "documents"),
    "process_logs": ("process log", "process logs"),
    "old_files": ("old file", "old files"),
}
"""What is counted: one, and many."""


@click.command()
@click.option("--field", required=True, help="Input or output that has the value, as named in contracts.")
@click.option(
    "--value",
    help="The value, in clear. - reads it from standard input, so that it does not appear in the shell history.",
)
@click.option("--model", default="", help="Only this model. Default: all models.")
@click.option("--dry-run", is_flag=True, help="Only show what would be erased and what would stay.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--no-wait", is_flag=True, help="Return once the erasure has begun.")
@json_option
@connected
def erase(client: Client, field: str, value: str | None, model: str, *, as_json: bool, **options: bool) -> None:
    """Erase everything the platform stores about one value of a field, such as a customer's id: rows of logs, metric values, labels, reports.

    The platform can keep serving. The erasure waits for anything that must end first, such as an analysis that
    reads the log. Afterwards no byte of the value is in the store, except in the objects that the command names.
    """
    value = _value(value)
    plan = client.plan_erasure(field, value, model)
    if options["dry_run"]:
        print_json(plan) if as_json else _show(plan, "would be erased")
        progress("this was a dry run: nothing was erased")
        return
    if not as_json:
        _show(plan, "to erase")
    confirm("Erase this? It cannot be undone.", yes=options["yes"])
    found = client.erase(field, value, model)
    said = ""
    while found.state == "running" and not options["no_wait"]:
        now = "; ".join(found.waits)
        if now and now != said:
            progress(f"waiting: {now}")
        said = now
        time.sleep(_POLL)
        found = client.erasure(found.id)
    print_json(found) if as_json else _show(found, "erased" if found.state == "done" else "erased so far")
    if options["no_wait"] and found.state == "running":
        progress(f"it goes on: headrace erasure show {found.id}")


@click.group(cls=Commands)
def erasure() -> None:
    """Show erasures. Start one with: headrace erase."""


@erasure.command("list")
@json_option
@connected
def list_erasures(client: Client, as_json: bool) -> None:
    """List erasures, newest first, with a digest instead of the value."""
    found = [_row(e) for e in client.erasures()]
    columns = ["id", "field", "digest", "model", "state", "erased", "waits"]
    print_json(client.erasures()) if as_json else print_table(found, columns, empty="no erasure yet")


@erasure.command("show")
@click.argument("erasure_id", metavar="ID")
@json_option
@connected
def show_erasure(client: Client, erasure_id: str, as_json: bool) -> None:
    """Show an erasure: what it erased, what it waits for, and what it does not touch."""
    found = client.erasure(erasure_id)
    print_json(found) if as_json else _show(found, "erased" if found.state == "done" else "erased so far")


def _value(given: str | None) -> str:
    value = sys.stdin.readline().rstrip("\n") if given == "-" else given
    if not value:
        raise InvalidInput(
            "--value is required: the value to erase", field="value", hint="give --value VALUE, or --value - to read it"
        )
    return value


def _row(found: schemas.ErasureView) -> dict[str, Any]:
    return {**found.model_dump(), "erased": _counts(found.counts)}


def _counts(counts: schemas.ErasureCounts) -> str:
    given = {name: count for name, count in counts.model_dump().items() if count}
    return ", ".join(counted(count, *_THINGS[name]) for name, count in given.items()) or "nothing"


def _show(found: schemas.ErasurePlan | schemas.ErasureView, word: str) -> None:
    facts: dict[str, Any] = {"field": found.field, "digest": found.digest, "models": found.model or "all"}
    if isinstance(found, schemas.ErasurePlan):
        facts["versions with it"] = found.versions
    print_facts({**facts, word: _counts(found.counts), "waits for": "; ".join(found.waits)})
    for key in found.kept:
        progress(f"not touched: {key}")
