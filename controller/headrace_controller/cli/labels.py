"""``headrace labels``"""

from pathlib import Path

import click

from headrace_controller.api import schemas
from headrace_controller.cli.connection import connected
from headrace_controller.cli.groups import Commands
from headrace_controller.cli.output import json_option, print_json, print_table
from headrace_controller.client import Client

_COLUMNS = ("number", "rows", "columns", "size", "pushed")


@click.group(cls=Commands)
def labels() -> None:
    """Push, list and remove labels that arrive after the predictions."""


@labels.command("push")
@click.argument("model", metavar="MODEL:NUMBER")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
@connected
def push_labels(client: Client, model: str, file: Path, as_json: bool) -> None:
    """Push the labels of requests: CSV or Parquet with request_id, the target column, and row (default 0).

    A label is a class of the version, however it is spelled (1, 1.0 and true are one class), or a number if the
    version predicts one. If a row has several labels, the last one pushed is used. Labels may be pushed before the
    log shows their requests.
    """
    found = client.push_labels(client.resolve(model), file)
    if as_json:
        print_json(found)
        return
    click.echo(f"{found.rows} labels for {found.version}, {found.logged} of them for answered rows of the log")
    for line in _aside(found):
        click.echo(line)
    click.echo(f"see: headrace analyze performance {found.version}")


@labels.command("list")
@click.argument("model", metavar="MODEL:NUMBER")
@json_option
@connected
def list_labels(client: Client, model: str, as_json: bool) -> None:
    """List the pushed label files, oldest first."""
    version = client.resolve(model)
    found = [{**kept.model_dump(), "columns": ", ".join(kept.columns)} for kept in client.label_files(version)]
    print_json(found) if as_json else print_table(found, _COLUMNS, empty=f"no labels were pushed for {version}")


@labels.command("remove")
@click.argument("model", metavar="MODEL:NUMBER")
@click.argument("number", type=click.IntRange(min=1))
@connected
def remove_labels(client: Client, model: str, number: int) -> None:
    """Remove label file NUMBER. Labels pushed earlier for the same rows apply again."""
    version = client.resolve(model)
    client.remove_labels(version, number)
    click.echo(f"removed file {number} of the labels of {version}")


def _aside(found: schemas.LabelsView) -> list[str]:
    """What somebody should know of labels that are not simply those of one row."""
    said = (
        (found.replaced, "were replaced by later rows of the file"),
        (found.repeated, "are of rows that were answered several times: the newest answer gets the label"),
        (found.assumed, "are without a row of requests that have several: they were kept for row 0"),
    )
    return [f"{count} {words}" for count, words in said if count]
