"""``headrace schedule``"""

import click

from headrace_controller.cli.analyze import ENGINES
from headrace_controller.cli.connection import connected
from headrace_controller.cli.groups import Commands
from headrace_controller.cli.output import json_option, print_json, print_table
from headrace_controller.client import Client
from headrace_functions.errors import InvalidInput

KINDS = click.Choice(["drift", "performance", "quality", "outliers", "fairness", "attribution", "projection", "batch"])


@click.group(cls=Commands)
def schedule() -> None:
    """Schedule analyses by a cron expression or by a number of new rows."""


@schedule.command("add")
@click.argument("name")
@click.argument("model", metavar="MODEL[:NUMBER|@ALIAS]")
@click.option("--cron", default="", help="minute hour day month weekday in UTC, e.g. '0 * * * *' for every full hour.")
@click.option("--every-rows", default=0, help="Instead of --cron: run after this many new rows in the log.")
@click.option("--kind", type=KINDS, default="drift", show_default=True, help="Kind of analysis.")
@click.option("--window", default="24h", show_default=True, help="Length of the window that each run analyses.")
@click.option("--engine", type=ENGINES, default="native", show_default=True, help="Engine of the analysis.")
@click.option(
    "--missed",
    type=click.Choice(["skip", "catch-up"]),
    default="skip",
    show_default=True,
    help="Whether to skip runs that were due while the platform was down, or to catch up (at most the newest 24).",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="OPTION=VALUE",
    help="Option of the analysis, e.g. group=sex. Can be repeated.",
)
@connected
def add_schedule(client: Client, name: str, model: str, settings: tuple[str, ...], **body: str | int) -> None:
    """Run an analysis by a cron expression, or after a number of new rows, while the platform is up.

    An alias is resolved at each run. Each window runs once; a failed run is retried twice.
    """
    found = client.put_schedule(name, model=model, options=_options(settings), **body)
    click.echo(
        f"{found.name} runs next at {found.next}" if found.next else f"{found.name} runs every {found.every_rows} rows"
    )


@schedule.command("list")
@json_option
@connected
def list_schedules(client: Client, as_json: bool) -> None:
    """List schedules."""
    found = [s.model_dump() for s in client.schedules()]
    print_json(found) if as_json else print_table(
        found,
        ["name", "kind", "model", "cron", "every_rows", "window", "engine", "missed", "next"],
        empty="no schedule yet",
    )


@schedule.command("runs")
@click.argument("name")
@json_option
@connected
def list_runs(client: Client, name: str, as_json: bool) -> None:
    """List the newest runs of a schedule with their results."""
    found = [r.model_dump() for r in client.schedule_runs(name)]
    print_json(found) if as_json else print_table(
        found, ["slot", "state", "until", "attempt", "job", "reason", "retry"], empty="no run yet"
    )


@schedule.command("backfill")
@click.argument("name")
@click.option("--since", required=True, help="RFC 3339 time.")
@click.option("--until", help="End of the range, RFC 3339. Default: now.")
@connected
def backfill(client: Client, name: str, since: str, until: str | None) -> None:
    """Run every scheduled time of a range that has no run yet, a few at a time."""
    found = client.backfill(name, since, until)
    click.echo(f"{found.claimed} runs are queued; see: headrace schedule runs {name}")


@schedule.command("rm")
@click.argument("name")
@connected
def remove_schedule(client: Client, name: str) -> None:
    """Delete a schedule."""
    client.delete_schedule(name)
    click.echo(f"deleted {name}")


def _options(settings: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise InvalidInput(
                f"--set {setting!r} is not a setting", field="set", expected="OPTION=VALUE, e.g. group=sex"
            )
        found[name] = value
    return found
