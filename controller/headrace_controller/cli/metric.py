"""``headrace metric``"""

import click

from headrace_controller.cli.connection import connected
from headrace_controller.cli.groups import Commands
from headrace_controller.cli.output import json_option, print_facts, print_json, print_table
from headrace_controller.client import Client


@click.group(cls=Commands)
def metric() -> None:
    """Metrics: models or formulas that score a version's requests and predictions."""


@metric.command("list")
@click.argument("version", metavar="MODEL:NUMBER")
@json_option
@connected
def list_metrics(client: Client, version: str, as_json: bool) -> None:
    """List the metrics of a version with their current status."""
    found = client.metrics(client.resolve(version))
    if as_json:
        print_json([m.model_dump() for m in found])
        return
    rows = [
        {
            "name": m.name,
            "by": m.model or "formula",
            "healthy": m.condition,
            "rows": m.health.rows,
            "unhealthy": m.health.unhealthy,
            "errors": m.health.errors,
            "last": m.last.get("value") if m.last else None,
        }
        for m in found
    ]
    print_table(rows, ["name", "by", "healthy", "rows", "unhealthy", "errors", "last"], empty="no metric")


@metric.command("show")
@click.argument("version", metavar="MODEL:NUMBER")
@click.argument("name")
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="Maximum number of values."
)
@json_option
@connected
def show_metric(client: Client, version: str, name: str, limit: int, as_json: bool) -> None:
    """Show a metric's newest values and the share of unhealthy rows by hour."""
    found = client.metric(client.resolve(version), name, limit)
    if as_json:
        print_json(found)
        return
    print_facts({"metric": found.name, "by": found.model or "formula", "healthy": found.condition})
    click.echo()
    print_table([h.model_dump() for h in found.history], ["start", "rows", "unhealthy", "errors", "share"], empty="")
    click.echo()
    print_table(found.values, ["received", "request_id", "row", "value", "healthy", "error"], empty="no value yet")


@metric.command("add")
@click.argument("version", metavar="MODEL:NUMBER")
@click.argument("name")
@click.option(
    "--model",
    metavar="MODEL:NUMBER|MODEL@ALIAS",
    help="Version that computes the score; its output must be named 'value'.",
)
@click.option(
    "--expression",
    default="",
    metavar="SQL",
    help="Instead of a model: a formula over inputs and outputs, e.g. 'amount / income > 0.4'.",
)
@click.option("--threshold", type=float, help="Omit it for an expression that is true or false: true is unhealthy.")
@click.option(
    "--operator",
    default="<=",
    show_default=True,
    type=click.Choice(["<=", "<", ">=", ">", "==", "!="]),
    help="A row is healthy if value OPERATOR threshold holds.",
)
@connected
def add_metric(
    client: Client, version: str, name: str, model: str | None, expression: str, threshold: float | None, operator: str
) -> None:
    """Score a version, including its log, with another model or a formula."""
    body = {"model": model, "expression": expression, "threshold": threshold, "operator": operator}
    found = client.put_metric(client.resolve(version), name, **body)
    click.echo(f"{found.name}: healthy iff {found.condition}" + (f", by {found.model}" if found.model else ""))


@metric.command("rm")
@click.argument("version", metavar="MODEL:NUMBER")
@click.argument("name")
@connected
def remove_metric(client: Client, version: str, name: str) -> None:
    """Stop scoring a version with a metric; its values are kept."""
    client.delete_metric(client.resolve(version), name)
    click.echo(f"{name} is no longer scored")
