"""``headrace version``"""

from typing import Any

import click

from headrace_controller.api.schemas import VersionView
from headrace_controller.cli.connection import connected
from headrace_controller.cli.groups import Commands
from headrace_controller.cli.output import json_option, print_facts, print_json, print_table
from headrace_controller.client import Client


@click.group(cls=Commands)
def version() -> None:
    """List, show and delete versions of models, and read their build logs."""


@version.command("list")
@click.argument("model", required=False)
@click.option(
    "--status", type=click.Choice(["assembling", "released", "failed"]), help="Show only versions in this state."
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="KEY=VALUE",
    help="Show only versions with this metadata. Can be repeated.",
)
@json_option
@connected
def list_versions(
    client: Client, model: str | None, status: str | None, labels: tuple[str, ...], as_json: bool
) -> None:
    """List the versions of MODEL, or of all models, newest first."""
    for label in labels:
        if "=" not in label:
            raise click.BadParameter(f"{label!r} is not KEY=VALUE", param_hint="--label")
    wanted = dict(label.split("=", 1) for label in labels)
    found = [v.model_dump() for v in client.versions(model, status=status, labels=wanted)]
    if as_json:
        print_json(found)
        return
    print_table(found, ["id", "state", "framework", "aliases", "created", "reason"], empty="no version")


@version.command("show")
@click.argument("version_id", metavar="MODEL:NUMBER")
@json_option
@connected
def show_version(client: Client, version_id: str, as_json: bool) -> None:
    """Show a version's state, signature, runtime environment and metadata."""
    found = client.version(str(client.resolve(version_id)))
    if as_json:
        print_json(found)
        return
    print_facts(_facts(found))
    if found.signature:
        click.echo()
        fields = [
            {"side": side.removesuffix("s"), **f} for side in ("inputs", "outputs") for f in found.signature[side]
        ]
        print_table([_shown(f) for f in fields], ["side", "name", "type", "shape", "profile", "values"], empty="")


@version.command("log")
@click.argument("version_id", metavar="MODEL:NUMBER")
@click.option("--follow", is_flag=True, help="Keep printing until the build ends.")
@connected
def show_log(client: Client, version_id: str, follow: bool) -> None:
    """Show the build log of a version."""
    if follow:
        client.follow_build(version_id, lambda text: click.echo(text, nl=False))
    else:
        click.echo(client.build_log(version_id).text, nl=False)


@version.command("delete")
@click.argument("version_id", metavar="MODEL:NUMBER")
@connected
def delete_version(client: Client, version_id: str) -> None:
    """Delete a version that no alias, sequence or schedule uses. Its log and reports are kept."""
    client.delete_version(version_id)
    click.echo(f"deleted {version_id}")


@version.command("sign")
@click.argument("version_id", metavar="MODEL:NUMBER")
@connected
def sign_version(client: Client, version_id: str) -> None:
    """Sign a release that this platform did not sign, after you have looked at it (see: headrace version show).

    A platform in a cluster starts signed releases only. A release needs this if it was built by another platform, for example on one
    machine, or if the platform's keys were lost.
    """
    client.sign_version(version_id)
    click.echo(f"signed {version_id}")


def _facts(found: VersionView) -> dict[str, Any]:
    """The runtime in lines of its own: first what it is, then why."""
    facts = found.model_dump(exclude={"signature", "model", "number"})
    runtime = facts.pop("runtime")
    if runtime is None:
        return facts
    at = list(facts).index("environment") + 1
    shown = {
        "runtime": runtime["image"] or runtime["kind"],
        "layer": runtime["layer"],
        "requirements": runtime["requirements"],
        "lacking": runtime["lacking"],
        "why": runtime["why"],
    }
    kept = {name: value for name, value in shown.items() if value or name == "requirements"}
    return dict([*list(facts.items())[:at], *kept.items(), *list(facts.items())[at:]])


def _shown(field: dict[str, Any]) -> dict[str, Any]:
    values = field.get("range") or field.get("categories") or field.get("columns")
    shape = " x ".join(map(str, field["shape"])) if field["shape"] else "scalar"
    return {**field, "shape": shape, "values": values}
