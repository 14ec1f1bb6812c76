"""``headrace retention``"""

import click

from headrace_controller.cli.connection import connected
from headrace_controller.cli.groups import Commands
from headrace_controller.cli.output import json_option, print_json, print_table, progress
from headrace_controller.client import Client


@click.group(cls=Commands)
def retention() -> None:
    """Set how long logs, metric values and reports are kept. Without a rule, for ever."""


@retention.command("list")
@json_option
@connected
def list_rules(client: Client, as_json: bool) -> None:
    """List rules."""
    found = [r.model_dump() for r in client.retention()]
    print_json(found) if as_json else print_table(
        found, ["name", "log", "metrics", "reports"], empty="all is kept for ever"
    )


@retention.command("set")
@click.argument("name", default="default")
@click.option("--log", help="Duration for request logs, e.g. 90d; at least 1d.")
@click.option("--metrics", help="Duration for metric values.")
@click.option("--reports", help="Duration for reports and explanations.")
@connected
def set_rule(client: Client, name: str, log: str | None, metrics: str | None, reports: str | None) -> None:
    """Set the rule of model NAME, or of all models (default). It replaces the rule that was set before."""
    found = client.set_retention(name, log=log, metrics=metrics, reports=reports)
    for warning in found.warnings:
        progress(f"note: {warning}")
    kept = {k: v for k, v in found.rule.model_dump(exclude={"name"}).items() if v}
    click.echo(f"{name}: {', '.join(f'{k} for {v}' for k, v in kept.items())}")


@retention.command("delete")
@click.argument("name", default="default")
@connected
def delete_rule(client: Client, name: str) -> None:
    """Delete the rule of model NAME, or of all models (default)."""
    client.delete_retention(name)
    click.echo(f"deleted the rule of {name}")


@retention.command("run")
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@json_option
@connected
def run(client: Client, *, dry_run: bool, as_json: bool) -> None:
    """Remove expired data now; the platform does this once a day."""
    found = client.run_retention(dry_run=dry_run)
    if as_json:
        print_json(found)
        return
    progress("removed:" if found.removed else "would be removed:")
    rows = [r.model_dump() for r in found.items]
    print_table(rows, ["version", "kind", "before", "rows", "bytes", "error"], empty="nothing is too old")
