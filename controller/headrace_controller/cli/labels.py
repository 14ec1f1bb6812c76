"""``headrace labels``"""

from pathlib import Path

import click

from headrace_controller.cli.connection import connected
from headrace_controller.cli.groups import Commands
from headrace_controller.cli.output import json_option, print_json
from headrace_controller.client import Client


@click.group(cls=Commands)
def labels() -> None:
    """Labels that come late: push them, to measure performance."""


@labels.command("push")
@click.argument("model", metavar="MODEL:NUMBER")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
@connected
def push_labels(client: Client, model: str, file: Path, as_json: bool) -> None:
    """Push the labels of requests: CSV or Parquet with request_id, the target column, and row (0 where it is left out).

    Of several labels of a row the last one pushed counts. Labels may come before the log shows their requests.
    """
    found = client.push_labels(client.resolve(model), file)
    if as_json:
        print_json(found)
        return
    click.echo(f"{found.rows} labels for {found.version}, {found.logged} of them for answered rows of the log")
    click.echo(f"see: headrace analyze performance {found.version}")
