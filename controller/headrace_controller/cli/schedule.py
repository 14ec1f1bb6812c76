"""``headrace schedule``"""

import click

from headrace_controller.cli.analyze import ENGINES
from headrace_controller.cli.connection import connected
from headrace_controller.cli.output import json_option, print_json, print_table
from headrace_controller.client import Client


@click.group()
def schedule() -> None:
    """Schedules: analyses on a cron expression."""


@schedule.command("add")
@click.argument("name")
@click.argument("model", metavar="MODEL[:NUMBER|@ALIAS]")
@click.option("--cron", required=True, help="minute hour day month weekday, UTC, e.g. '0 * * * *' for every full hour.")
@click.option("--window", default="24h", show_default=True, help="How far back each run looks.")
@click.option("--engine", type=ENGINES, default="native", show_default=True, help="Engine of the drift analysis.")
@connected
def add_schedule(client: Client, name: str, model: str, cron: str, window: str, engine: str) -> None:
    """Run a drift analysis on a cron expression while the platform is up.

    An alias is followed at each run. Ticks that pass while the platform is down are skipped.
    """
    found = client.put_schedule(name, cron=cron, model=model, window=window, engine=engine)
    click.echo(f"{found.name} runs next at {found.next}")


@schedule.command("list")
@json_option
@connected
def list_schedules(client: Client, as_json: bool) -> None:
    """List schedules."""
    found = [s.model_dump() for s in client.schedules()]
    print_json(found) if as_json else print_table(
        found, ["name", "kind", "model", "cron", "window", "engine", "next"], empty="no schedule yet"
    )


@schedule.command("rm")
@click.argument("name")
@connected
def remove_schedule(client: Client, name: str) -> None:
    """Delete a schedule."""
    client.delete_schedule(name)
    click.echo(f"deleted {name}")
