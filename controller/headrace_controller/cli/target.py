"""``headrace target``"""

import click

from headrace_controller.cli.connection import connected
from headrace_controller.cli.groups import Commands
from headrace_controller.cli.output import json_option, print_json, print_table
from headrace_controller.client import Client


@click.group(cls=Commands)
def target() -> None:
    """Manage notification targets, which are notified of incidents and changes."""


@target.command("list")
@json_option
@connected
def list_targets(client: Client, as_json: bool) -> None:
    """List targets. Addresses that may contain a secret are reduced to their host."""
    found = [t.model_dump() for t in client.targets()]
    if as_json:
        print_json(found)
        return
    rows = [
        {**t, "models": ", ".join(t["models"]) or "all", "to": ", ".join(t["to"]), "events": ", ".join(t["events"])}
        for t in found
    ]
    print_table(rows, ["name", "way", "address", "severity", "models", "events", "to"], empty="no target")


@target.command("add")
@click.argument("name")
@click.option("--way", required=True, type=click.Choice(["webhook", "slack", "alertmanager", "email"]))
@click.option(
    "--address",
    required=True,
    help="URL of the target; for email, smtp://HOST:PORT or smtps://USER:PASSWORD@HOST:PORT.",
)
@click.option(
    "--severity",
    default="low",
    show_default=True,
    type=click.Choice(["low", "medium", "severe"]),
    help="Minimum severity to notify about.",
)
@click.option(
    "--model", "models", multiple=True, help="Notify about this model only. Can be repeated. Default: all models."
)
@click.option(
    "--event",
    "events",
    multiple=True,
    type=click.Choice(["incident", "version", "alias", "sequence"]),
    help="What it is notified of; others than incident by webhook only. Can be repeated. Default: incident.",
)
@click.option("--to", multiple=True, help="Recipient of emails. Can be repeated.")
@click.option("--sender", default="", help="Sender address of emails.")
@connected
def add_target(
    client: Client, name: str, models: tuple[str, ...], events: tuple[str, ...], to: tuple[str, ...], **more: str
) -> None:
    """Add or change a target. It is notified of events from then on."""
    found = client.put_target(name, models=list(models), events=list(events or ["incident"]), to=list(to), **more)
    click.echo(f"{found.name} is notified by {found.way}; try it with: headrace target test {found.name}")


@target.command("test")
@click.argument("name")
@connected
def test_target(client: Client, name: str) -> None:
    """Send a test notification to a target."""
    click.echo(f"{name} answered: {client.test_target(name).answer}")


@target.command("rm")
@click.argument("name")
@connected
def remove_target(client: Client, name: str) -> None:
    """Remove a target."""
    client.delete_target(name)
    click.echo(f"{name} no longer receives notifications")
