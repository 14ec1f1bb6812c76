"""``headrace sequence``"""

from typing import Any

import click

from headrace_controller.api.schemas import RevisionView
from headrace_controller.cli.connection import connected
from headrace_controller.cli.groups import Commands
from headrace_controller.cli.output import json_option, print_json, print_table
from headrace_controller.client import Client

_COLUMNS = ["name", "revision", "stages", "timeout", "at", "note"]


@click.group(cls=Commands)
def sequence() -> None:
    """List, show, roll back and delete sequences."""


@sequence.command("list")
@click.argument("text", default="")
@json_option
@connected
def list_sequences(client: Client, text: str, as_json: bool) -> None:
    """List sequences whose name contains TEXT."""
    found = list(client.sequences(text))
    print_json(found) if as_json else print_table(map(_shown, found), _COLUMNS[:-1], empty="no sequence yet")


@sequence.command("show")
@click.argument("name")
@json_option
@connected
def show_sequence(client: Client, name: str, as_json: bool) -> None:
    """Show the current revision of a sequence."""
    found = client.sequence(name)
    if as_json:
        print_json(found)
        return
    click.echo(f"{found.name}  revision {found.revision}  timeout {found.timeout} s\n")
    variants = [{"stage": n, **v, "role": "variant"} for n, s in enumerate(found.stages, 1) for v in s["variants"]]
    shadows = [{"stage": n, "model": v, "role": "shadow"} for n, s in enumerate(found.stages, 1) for v in s["shadows"]]
    print_table(sorted([*variants, *shadows], key=lambda r: r["stage"]), ["stage", "model", "weight", "role"], empty="")
    if found.signature:
        click.echo()
        fields = [
            {"side": side.removesuffix("s"), **f} for side in ("inputs", "outputs") for f in found.signature[side]
        ]
        print_table(fields, ["side", "name", "type", "shape", "profile"], empty="")


@sequence.command("revisions")
@click.argument("name")
@json_option
@connected
def list_revisions(client: Client, name: str, as_json: bool) -> None:
    """List all revisions of a sequence, oldest first."""
    found = client.revisions(name)
    print_json(found) if as_json else print_table(map(_shown, found), _COLUMNS, empty="")


@sequence.command("rollback")
@click.argument("name")
@click.option(
    "--to", type=click.IntRange(min=1), help="Revision to restore. Default: the one before the current revision."
)
@connected
def roll_back(client: Client, name: str, to: int | None) -> None:
    """Restore an earlier revision of a sequence without losing requests."""
    found = client.rollback(name, to)
    click.echo(f"{name} is at revision {found.revision}, a copy of {found.rolled_back_to}")


@sequence.command("delete")
@click.argument("name")
@connected
def delete_sequence(client: Client, name: str) -> None:
    """Delete a sequence. Its revisions are kept as history."""
    client.delete_sequence(name)
    click.echo(f"deleted {name}")


def _shown(found: RevisionView) -> dict[str, Any]:
    stages = [
        " + ".join([f"{v['model']} {v['weight']}%" for v in s["variants"]] + [f"{v} shadow" for v in s["shadows"]])
        for s in found.stages
    ]
    note = "deleted" if found.deleted else f"back to {found.rolled_back_to}" if found.rolled_back_to else ""
    return {**found.model_dump(), "stages": " → ".join(stages), "note": note}
