"""``headrace model``"""

import click

from headrace_controller.cli.connection import connected
from headrace_controller.cli.groups import Commands
from headrace_controller.cli.inspection import inspect_model
from headrace_controller.cli.output import confirm, json_option, print_facts, print_json, print_table
from headrace_controller.client import Client


@click.group(cls=Commands)
def model() -> None:
    """List, show and delete models, and inspect model files."""


model.add_command(inspect_model)


@model.command("list")
@click.argument("text", default="")
@json_option
@connected
def list_models(client: Client, text: str, as_json: bool) -> None:
    """List models whose name contains TEXT."""
    found = [m.model_dump() for m in client.models(text)]
    if as_json:
        print_json(found)
        return
    print_table(
        found,
        ["name", "count", "latest", "state", "released", "aliases", "created"],
        empty="no model yet; make one with: headrace new",
    )


@model.command("show")
@click.argument("name")
@json_option
@connected
def show_model(client: Client, name: str, as_json: bool) -> None:
    """Show a model."""
    found = client.model(name)
    print_json(found) if as_json else print_facts(found.model_dump())


@model.command("delete")
@click.argument("name")
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@connected
def delete_model(client: Client, name: str, yes: bool) -> None:
    """Delete a model and all its versions, unless a sequence or schedule uses one of them.

    Its logs and reports are deleted too. Asks for confirmation; use --yes in scripts.
    """
    found = client.model(name)
    confirm(f"Delete {name} with its {found.count} versions, their logs and reports?", yes=yes)
    client.delete_model(name)
    click.echo(f"deleted {name}")
