"""``headrace incident``"""

import getpass
from collections.abc import Callable
from typing import Any

import click

from headrace_controller.cli.connection import connected
from headrace_controller.cli.groups import Commands
from headrace_controller.cli.output import json_option, print_facts, print_json, print_table
from headrace_controller.client import Client

_COLUMNS = ["number", "state", "severity", "opened", "versions", "sentence"]


def _said(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--text", default="", help="Comment.")(command)
    return click.option("--by", default=getpass.getuser, show_default="your login", help="Who makes this entry.")(
        command
    )


@click.group(cls=Commands)
def incident() -> None:
    """List and handle incidents: one for each cause of a problem with a version."""


@incident.command("list")
@click.option(
    "--state",
    type=click.Choice(["open", "acknowledged", "silenced", "resolved", "all"]),
    help="Show only incidents in this state. Default: all that are not resolved.",
)
@click.option("--version", default="", metavar="MODEL:NUMBER")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1000))
@json_option
@connected
def list_incidents(client: Client, state: str | None, version: str, limit: int, as_json: bool) -> None:
    """List incidents, newest first."""
    wanted = "" if state in (None, "all") else state or ""
    found = [i for i in client.incidents(wanted, version, limit) if state is not None or i.state != "resolved"]
    if as_json:
        print_json([i.model_dump() for i in found])
        return
    rows = [{**i.model_dump(), "versions": ", ".join(i.versions)} for i in found]
    print_table(rows, _COLUMNS, empty="no incident")


@incident.command("show")
@click.argument("number", type=int)
@json_option
@connected
def show_incident(client: Client, number: int, as_json: bool) -> None:
    """Show an incident: its signals in order, the changes before it, and its history."""
    found = client.incident(number)
    if as_json:
        print_json(found)
        return
    click.echo(found.sentence + "\n")
    facts = {
        name: getattr(found, name) for name in ("number", "state", "severity", "opened", "resolved", "silenced_until")
    }
    print_facts({name: value for name, value in facts.items() if value} | {"versions": ", ".join(found.versions)})
    for title, rows, columns in (
        ("in the order of beginning", found.chain, ["first", "version", "severity", "sentence"]),
        ("what sets its rows apart", _segments(found.segments), ["condition", "of these", "of the others"]),
        ("changed before", found.changes_before, ["at", "sentence"]),
        ("what happened", found.events, ["at", "kind", "by", "text"]),
        ("told", found.deliveries, ["at", "target", "event", "delivered", "text"]),
    ):
        if rows:
            click.echo(f"\n{title}")
            print_table(rows, columns, empty="")


def _segments(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"condition": s["where"], "of these": f"{s['share']:.1%}", "of the others": f"{s['usual']:.1%}"} for s in found
    ]


@incident.command("acknowledge")
@click.argument("number", type=int)
@_said
@connected
def acknowledge_incident(client: Client, number: int, by: str, text: str) -> None:
    """Acknowledge an incident: you are working on it."""
    click.echo(f"incident {client.tell_incident(number, 'acknowledge', by=by, text=text).number} is acknowledged")


@incident.command("silence")
@click.argument("number", type=int)
@click.option(
    "--until",
    required=True,
    help="End of the silence: an RFC 3339 time, or a duration from now such as 2h.",
)
@_said
@connected
def silence_incident(client: Client, number: int, until: str, by: str, text: str) -> None:
    """Send no notifications about an incident until a given time."""
    found = client.tell_incident(number, "silence", by=by, text=text, until=until)
    click.echo(f"incident {found.number} is silenced until {found.silenced_until}")


@incident.command("resolve")
@click.argument("number", type=int)
@_said
@connected
def resolve_incident(client: Client, number: int, by: str, text: str) -> None:
    """Mark an incident as resolved."""
    click.echo(f"incident {client.tell_incident(number, 'resolve', by=by, text=text).number} is resolved")


@incident.command("note")
@click.argument("number", type=int)
@click.argument("text")
@click.option("--by", default=getpass.getuser, show_default="your login", help="Who makes this entry.")
@connected
def note_incident(client: Client, number: int, text: str, by: str) -> None:
    """Add a note to an incident."""
    client.tell_incident(number, "notes", by=by, text=text)
    click.echo("noted")
