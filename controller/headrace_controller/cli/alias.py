"""``headrace alias``"""

import click

from headrace_controller.cli.connection import connected
from headrace_controller.cli.groups import Commands
from headrace_controller.cli.output import json_option, print_json, print_table
from headrace_controller.client import Client
from headrace_functions.errors import InvalidInput
from headrace_functions.names import Reference, VersionId

_COLUMNS = ["model", "name", "version", "at"]


@click.group(cls=Commands)
def alias() -> None:
    """Manage aliases: names that point to a version and can be moved."""


@alias.command("list")
@click.argument("model")
@json_option
@connected
def list_aliases(client: Client, model: str, as_json: bool) -> None:
    """List the aliases of MODEL."""
    found = [a.model_dump() for a in client.aliases(model)]
    print_json(found) if as_json else print_table(found, _COLUMNS, empty=f"{model} has no alias")


@alias.command("set")
@click.argument("reference", metavar="MODEL@ALIAS")
@click.argument("version", metavar="[MODEL:]NUMBER")
@connected
def set_alias(client: Client, reference: str, version: str) -> None:
    """Point MODEL@ALIAS to a released version. The alias is created if it does not exist."""
    model, name = _parse(reference)
    target = VersionId.parse(f"{model}:{version}" if version.isdigit() else version)
    if target.model != model:
        raise InvalidInput(f"an alias of {model} cannot point at {target}", field="version", expected=f"{model}:NUMBER")
    moved = client.move_alias(model, name, target.number)
    click.echo(f"{model}@{name} is {model}:{moved.version}")


@alias.command("history")
@click.argument("reference", metavar="MODEL@ALIAS")
@json_option
@connected
def show_history(client: Client, reference: str, as_json: bool) -> None:
    """List every version that an alias has pointed to, oldest first."""
    found = [a.model_dump() for a in client.alias_history(*_parse(reference))]
    print_json(found) if as_json else print_table(found, _COLUMNS, empty="")


@alias.command("delete")
@click.argument("reference", metavar="MODEL@ALIAS")
@connected
def delete_alias(client: Client, reference: str) -> None:
    """Delete an alias that no schedule uses."""
    client.delete_alias(*_parse(reference))
    click.echo(f"deleted {reference}")


def _parse(text: str) -> tuple[str, str]:
    reference = Reference.parse(text)
    if reference.alias is None:
        raise InvalidInput(f"{text!r} is not an alias", field="alias", expected="MODEL@ALIAS, e.g. churn@prod")
    return reference.name, reference.alias
