"""``headrace apply``: definitions become versions, sequences and deployment configurations."""

import tempfile
from pathlib import Path
from typing import Any

import click

from headrace_controller.api.schemas import VersionView
from headrace_controller.cli import interrupts
from headrace_controller.cli.connection import connected
from headrace_controller.cli.output import json_option, print_json, print_table, progress
from headrace_controller.client import Client
from headrace_controller.definitions import (
    Definition,
    GrantDefinition,
    ModelDefinition,
    SequenceDefinition,
    Source,
    StreamDefinition,
    placed,
    read,
)
from headrace_controller.projects.packaging import package
from headrace_functions.errors import FunctionFailed

LOG_END = 20  # lines of the build log that a failed apply repeats where the log was not shown


@click.command()
@click.option(
    "-f", "--file", "path", required=True, help="YAML file, directory of YAML files, or - for standard input."
)
@click.option("--quiet", "-q", is_flag=True, help="Hide build logs; if a build fails, the end of its log is shown.")
@json_option
@connected
def apply(client: Client, path: str, quiet: bool, as_json: bool) -> None:
    """Create or update the models, sequences, streams, deployment configurations and grants of definition files.

    All documents are checked before the first is applied; they are applied in order and the first failure stops. The same
    content applied again changes nothing. A failed build is a failed apply.
    """
    results = []
    for definition, source in read(path):
        with placed(source):
            results.append(_apply(client, definition, source, quiet=quiet))
        if not as_json:
            print_table(results[-1:], ["kind", "name", "result", "state"], empty="")
    if as_json:
        print_json(results)


def _apply(client: Client, definition: Definition, source: Source, *, quiet: bool) -> dict[str, Any]:
    if isinstance(definition, ModelDefinition):
        return _apply_model(client, definition, source, quiet=quiet)
    if isinstance(definition, SequenceDefinition):
        applied = client.apply_sequence(definition)
        result = f"revision {applied.sequence.revision}" if applied.changed else "unchanged"
        return {"kind": "Sequence", "name": definition.name, "result": result, "state": "ready to call"}
    if isinstance(definition, GrantDefinition):
        granted = client.apply_grant(definition)
        fits = f"fits {granted.matches} name{'s' * (granted.matches != 1)} now"
        return {
            "kind": "Grant",
            "name": definition.name,
            "result": "changed" if granted.changed else "unchanged",
            "state": fits,
        }
    if isinstance(definition, StreamDefinition):
        made = client.apply_stream(definition)
        result = f"revision {made.stream.revision}" if made.changed else "unchanged"
        return {"kind": "Stream", "name": definition.name, "result": result, "state": made.stream.state}
    found = client.apply_deployment(definition)
    return {"kind": definition.kind, "name": definition.name, "result": f"revision {found.revision}", "state": "kept"}


def _apply_model(client: Client, definition: ModelDefinition, source: Source, *, quiet: bool) -> dict[str, Any]:
    version, created = build(client, definition, source, quiet=quiet)
    result = "created" if created else "unchanged"
    return {"kind": "Model", "name": version.id, "result": result, "state": version.state}


def build(client: Client, definition: ModelDefinition, source: Source, *, quiet: bool) -> tuple[VersionView, bool]:
    """Send a model and follow its build; the released version, and whether it is new. ``FunctionFailed`` where the build fails."""
    with tempfile.TemporaryDirectory(prefix="headrace-") as folder:
        submitted = client.apply_model(package(definition, source, Path(folder), progress))
    log: list[str] = []
    name = submitted.version.id
    going_on = f"the build of {name} goes on; follow it with: headrace version log {name}, or discard it with: headrace version delete {name}"
    with interrupts.goes_on(going_on):
        version = client.follow_build(name, lambda text: _tell(text, log, quiet=quiet or not submitted.created))
    if version.state == "failed":
        if quiet:
            progress("\n".join("".join(log).splitlines()[-LOG_END:]))
        raise FunctionFailed(
            f"{version.id} failed: {version.reason}", hint=f"for the complete log: headrace version log {version.id}"
        )
    return version, submitted.created


def _tell(text: str, log: list[str], *, quiet: bool) -> None:
    log.append(text)
    if text and not quiet:
        progress(text)
