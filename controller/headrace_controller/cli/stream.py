"""``headrace stream``"""

import click

from headrace_controller.api.schemas import StreamView
from headrace_controller.cli.connection import connected
from headrace_controller.cli.groups import Commands
from headrace_controller.cli.output import json_option, print_json, print_table
from headrace_controller.client import Client


@click.group(cls=Commands)
def stream() -> None:
    """List, pause, resume and reset streams between Kafka topics. Create them with: headrace apply."""


@stream.command("list")
@json_option
@connected
def list_streams(client: Client, as_json: bool) -> None:
    """List streams with state and lag."""
    found = client.streams()
    if as_json:
        print_json(found)
        return
    rows = [{**s.model_dump(), "model": s.definition["model"], "source": s.definition["source"]} for s in found]
    print_table(
        rows, ["name", "model", "source", "state", "lag", "answered", "refused", "reason"], empty="no stream yet"
    )


@stream.command("show")
@click.argument("name")
@json_option
@connected
def show_stream(client: Client, name: str, as_json: bool) -> None:
    """Show a stream with its lag by partition."""
    found = client.stream(name)
    if as_json:
        print_json(found)
        return
    said = found.definition
    click.echo(f"{found.name}  revision {found.revision}  {_state(found)}")
    click.echo(f"{said['source']} → {said['model']} → {said['destination']}, problems → {said['errors']}")
    click.echo(
        f"group {found.group} at {', '.join(said['brokers'])}, {found.answered} answered, {found.refused} refused"
        + ("\n" if found.replicas is None else f", {found.replicas} pods\n")
    )
    print_table(
        [{"partition": p, "lag": n} for p, n in found.partitions.items()],
        ["partition", "lag"],
        empty="no lag known yet",
    )


@stream.command("pause")
@click.argument("name")
@connected
def pause_stream(client: Client, name: str) -> None:
    """Stop reading after the current batch."""
    client.pause_stream(name)
    click.echo(f"{name} is paused; continue with: headrace stream resume {name}")


@stream.command("resume")
@click.argument("name")
@connected
def resume_stream(client: Client, name: str) -> None:
    """Resume a paused stream where it stopped."""
    client.resume_stream(name)
    click.echo(f"{name} is running again")


@stream.command("reset")
@click.argument("name")
@click.option("--to", required=True, help="earliest, latest, or a time such as 2026-11-01T00:00:00Z.")
@connected
def reset_stream(client: Client, name: str, to: str) -> None:
    """Read the source again from a given position. Messages from there on are answered and logged again."""
    found = client.reset_stream(name, to)
    click.echo(f"{name} reads from {to}, as group {found.group}")


@stream.command("rm")
@click.argument("name")
@connected
def remove_stream(client: Client, name: str) -> None:
    """Delete a stream. Topics and the consumer group are kept."""
    client.delete_stream(name)
    click.echo(f"deleted {name}")


def _state(found: StreamView) -> str:
    return f"{found.state}: {found.reason}" if found.reason else found.state
