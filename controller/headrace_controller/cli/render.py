"""``headrace render``"""

import click
import yaml

from headrace_controller.cli.connection import connected
from headrace_controller.cli.output import json_option, print_json
from headrace_controller.client import Client


@click.command()
@click.argument("name")
@json_option
@connected
def render(client: Client, name: str, as_json: bool) -> None:
    """Print the InferenceServices that a cluster would run for NAME as YAML.

    NAME is a version (churn:3), an alias (churn@prod), a model (its newest released version) or a sequence (all its versions,
    shadows included, with the deployment configurations that it names). Nothing is applied.
    """
    found = client.manifests(name)
    if as_json:
        print_json(found)
        return
    click.echo(yaml.safe_dump_all(found, sort_keys=False, allow_unicode=True), nl=False)
