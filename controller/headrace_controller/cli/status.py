"""``headrace status``"""

import click

from headrace_controller.cli.connection import connected
from headrace_controller.cli.output import json_option, print_facts, print_json, print_table
from headrace_controller.client import Client


@click.command()
@json_option
@connected
def status(client: Client, as_json: bool) -> None:
    """Show the platform's address, counts, services and problems."""
    found = client.status()
    if as_json:
        print_json(found)
        return
    print_facts(found.model_dump(exclude={"services", "problems"}))
    for problem in found.problems:
        click.echo(f"PROBLEM: {problem}")
    click.echo()
    services = [s.model_dump() for s in found.services]
    print_table(services, ["name", "version", "state", "replicas", "reason"], empty="no service yet")
