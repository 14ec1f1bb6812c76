"""``headrace service``"""

import click

from headrace_controller.cli.connection import connected
from headrace_controller.cli.groups import Commands
from headrace_controller.cli.output import json_option, print_facts, print_json, print_table
from headrace_controller.client import Client


@click.group(cls=Commands)
def service() -> None:
    """List services, wake them and put them to sleep."""


@service.command("list")
@json_option
@connected
def list_services(client: Client, as_json: bool) -> None:
    """List services with their states."""
    found = [s.model_dump() for s in client.services()]
    print_json(found) if as_json else print_table(
        found, ["name", "version", "state", "replicas", "reason"], empty="no service yet"
    )


@service.command("show")
@click.argument("version", metavar="MODEL:NUMBER")
@json_option
@connected
def show_service(client: Client, version: str, as_json: bool) -> None:
    """Show the service of a version."""
    found = client.service(str(client.resolve(version)))
    print_json(found) if as_json else print_facts(found.model_dump())


@service.command("log")
@click.argument("version", metavar="MODEL:NUMBER")
@click.option(
    "--request", default="", metavar="ID", help="Show only entries about this request, such as its traceback."
)
@json_option
@connected
def read_log(client: Client, version: str, request: str, as_json: bool) -> None:
    """Show the end of a version's service log, or the entries about one request."""
    text = client.service_log(str(client.resolve(version)), request)
    print_json({"text": text}) if as_json else click.echo(text, nl=False)


@service.command("wake")
@click.argument("version", metavar="MODEL:NUMBER")
@connected
def wake(client: Client, version: str) -> None:
    """Start the service of a version before its first request."""
    found = client.wake(str(client.resolve(version)))
    click.echo(f"waking {found.name}")


@service.command("sleep")
@click.argument("version", metavar="MODEL:NUMBER")
@connected
def put_to_sleep(client: Client, version: str) -> None:
    """Stop the service of a version if it is not in use. The next request wakes it."""
    found = client.put_to_sleep(str(client.resolve(version)))
    click.echo(f"putting {found.name} to sleep")
