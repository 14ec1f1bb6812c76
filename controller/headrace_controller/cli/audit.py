"""``headrace audit``"""

import click

from headrace_controller.cli.connection import connected
from headrace_controller.cli.groups import Commands
from headrace_controller.cli.output import json_option, print_json, print_table
from headrace_controller.client import Client
from headrace_functions.errors import Conflict

_COLUMNS = ["number", "at", "who", "what", "on", "outcome", "change"]


@click.group(cls=Commands)
def audit() -> None:
    """Show who changed what and who was refused, and verify that no entry was altered."""


@audit.command("list")
@click.option("--who", default="", help="Part of the subject, e.g. user:ann or key:web.")
@click.option("--what", default="", help="Part of the operation or of its object, e.g. move_alias or churn.")
@click.option("--since", help="RFC 3339 time, or a duration back from now such as 1h.")
@click.option("--outcome", type=click.Choice(["done", "refused", "failed"]), help="Only these.")
@click.option("--limit", default=100, show_default=True, help="Entries, newest first, up to 1000.")
@json_option
@connected
def list_audit(
    client: Client, who: str, what: str, since: str | None, outcome: str | None, limit: int, as_json: bool
) -> None:
    """List entries, newest first. JSON has the documents before and after each change."""
    found = [e.model_dump() for e in client.audit(who=who, what=what, since=since, outcome=outcome, limit=limit)]
    if as_json:
        print_json(found)
        return
    rows = [{**e, "change": ", ".join(f"{c['kind']} {c['name']}" for c in e["changes"]) or e["reason"]} for e in found]
    print_table(rows, _COLUMNS, empty="no entry")


@audit.command("verify")
@click.option("--head", default="", help="NUMBER:DIGEST that an earlier run printed and that you kept elsewhere.")
@json_option
@connected
def verify(client: Client, head: str, as_json: bool) -> None:
    """Read the whole audit and check whether an entry was altered or removed. Exit code 1 if so."""
    found = client.verify_audit(head)
    if as_json:
        print_json(found)
    if found.fault:
        raise Conflict(f"the audit is not intact: {found.fault}", hint="compare the store with a backup")
    if not as_json:
        click.echo(f"{found.entries} entries, none altered or removed; head {found.head}")
