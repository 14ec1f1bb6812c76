"""``headrace rule``"""

import click

from headrace_controller.cli.connection import connected
from headrace_controller.cli.groups import Commands
from headrace_controller.cli.output import json_option, print_json, print_table
from headrace_controller.client import Client
from headrace_controller.incidents.limits import RULES

_RULE = click.Choice(RULES)
_COLUMNS = ["model", "rule", "field", "low", "medium", "severe", "of the last looks"]


@click.group(cls=Commands)
def rule() -> None:
    """Rules of incidents: your own limits for a model instead of the defaults."""


@rule.command("list")
@json_option
@connected
def list_rules(client: Client, as_json: bool) -> None:
    """List the limits that you set; all other rules have their defaults (docs/incidents.md)."""
    found = client.rules()
    if as_json:
        print_json([r.model_dump() for r in found])
        return
    rows = [
        {
            "model": r.model,
            "rule": f"{r.rule} (off)" if r.off else r.rule,
            "field": r.field or "every",
            **r.levels,
            "of the last looks": f"{r.wanted} of {r.looks}",
        }
        for r in found
    ]
    print_table(rows, _COLUMNS, empty="nothing is set: every model has the defaults")


@rule.command("set")
@click.argument("model")
@click.argument("rule", type=_RULE)
@click.option("--field", default="", help="An input, output or metric. Default: all.")
@click.option(
    "--low", type=float, help="Limit for low severity: a share (0 to 1), milliseconds of latency, minutes of silence."
)
@click.option("--medium", type=float)
@click.option("--severe", type=float)
@click.option(
    "--wanted", default=2, show_default=True, type=click.IntRange(1, 60), help="How many checks must exceed the limit …"
)
@click.option(
    "--looks", default=3, show_default=True, type=click.IntRange(1, 60), help="… out of this many most recent checks."
)
@click.option("--off", is_flag=True, help="Switch the rule off.")
@json_option
@connected
def set_rule(client: Client, model: str, rule: str, as_json: bool, **limits: float | str | bool | None) -> None:
    """Set the limits of a rule for a model, or switch it off."""
    found = client.put_rule(model, rule, **limits)
    if as_json:
        print_json(found)
        return
    of = f" of {found.field}" if found.field else ""
    said = "is off" if found.off else ", ".join(f"{name} from {value:g}" for name, value in found.levels.items())
    click.echo(f"{found.model}: {found.rule}{of}: {said}")


@rule.command("reset")
@click.argument("model")
@click.argument("rule", type=_RULE)
@click.option("--field", default="", help="As it was set.")
@connected
def reset_rule(client: Client, model: str, rule: str, field: str) -> None:
    """Reset a rule to its default."""
    client.delete_rule(model, rule, field)
    click.echo(f"{model}: {rule} has its default limits again")
