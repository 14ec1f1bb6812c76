"""``headrace deliver``: release, stage, evaluate, and move an alias or stop with the reason. What every pipeline calls."""

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
import orjson

from headrace_controller.api.schemas import EvaluationView
from headrace_controller.cli.apply import build
from headrace_controller.cli.connection import connected
from headrace_controller.cli.evaluate import NOT_GOOD_ENOUGH, check_requirements, check_target, evaluated, show
from headrace_controller.cli.output import json_option, print_json, progress
from headrace_controller.client import Client
from headrace_controller.definitions import ModelDefinition, Source, placed, read
from headrace_functions.errors import InvalidInput
from headrace_functions.names import VersionId, check_name


@dataclass(slots=True)
class Delivery:
    """What became of it. ``before`` is where the alias pointed, None where it was not there."""

    model: str
    version: str
    created: bool
    staging: str
    alias: str
    before: str | None
    delivered: bool = False
    reason: str = ""
    evaluation: dict[str, Any] = field(default_factory=dict)


@click.command()
@click.option(
    "-f", "--file", "path", required=True, help="YAML file or directory with the definition of one model; - reads it."
)
@click.option(
    "--check",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Labelled CSV or Parquet file: a column for each input and one for labels.",
)
@click.option(
    "--require",
    multiple=True,
    help="A requirement such as accuracy>=0.9, mae<=3 or accuracy>=baseline-0.01. Can be repeated; at least one.",
)
@click.option("--staging", default="staging", show_default=True, help="Alias for the version to check.")
@click.option(
    "--alias",
    default="production",
    show_default=True,
    help="Alias to move; the version it points to now is the baseline.",
)
@click.option("--target", default="", help="Column of labels. Default: the version's own target.")
@click.option(
    "--result",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write what --json prints to, delivered or not.",
)
@click.option("--quiet", "-q", is_flag=True, help="Hide the build log; if the build fails, its end is shown.")
@json_option
@connected
def deliver(
    client: Client,
    path: str,
    check: Path,
    require: tuple[str, ...],
    result: Path | None,
    as_json: bool,
    **how: Any,
) -> None:
    """Release a version, stage and evaluate it, and move an alias to it or say why not.

    The steps are those of headrace apply, alias set, evaluate and alias set. If a requirement is not met, only the
    staging alias has moved and the exit code is 3. If you run it again with the same files, it builds nothing and
    repeats the check.
    """
    check_requirements(require)
    _check_aliases(how["staging"], how["alias"])
    definition, source = _model(path)
    check_target(definition, check, how["target"])
    made = _staged(client, definition, source, staging=how["staging"], alias=how["alias"], quiet=how["quiet"])
    version = VersionId.parse(made.version)
    baseline = f"{made.model}@{made.alias}"
    found = evaluated(client, version, check, require, baseline=baseline, target=how["target"])
    made.evaluation, made.delivered, made.reason = found.model_dump(), bool(found.passed), found.reason
    if made.delivered:
        client.move_alias(made.model, made.alias, version.number)
    if result is not None:
        result.parent.mkdir(parents=True, exist_ok=True)
        result.write_bytes(orjson.dumps(asdict(made), option=orjson.OPT_INDENT_2))
    _tell(made, found, as_json=as_json)
    if not made.delivered:
        sys.exit(NOT_GOOD_ENOUGH)


def _model(path: str) -> tuple[ModelDefinition, Source]:
    """The one model that the files define."""
    found = read(path)
    models = [(d, s) for d, s in found if isinstance(d, ModelDefinition)]
    if len(models) != 1 or len(found) != 1:
        names = ", ".join(f"{d.kind} {d.name}" for d, _ in found)
        raise InvalidInput(
            f"{path} defines {names or 'nothing'}",
            field="file",
            expected="one document of kind Model",
            hint="apply other documents with: headrace apply",
        )
    return models[0]


def _check_aliases(staging: str, alias: str) -> None:
    check_name(staging, field="staging")
    check_name(alias, field="alias")
    if staging == alias:
        raise InvalidInput(
            f"staging: {staging!r} is the alias that the version is delivered to",
            field="staging",
            expected="another one",
        )


def _staged(
    client: Client, definition: ModelDefinition, source: Source, *, staging: str, alias: str, quiet: bool
) -> Delivery:
    with placed(source):
        version, created = build(client, definition, source, quiet=quiet)
    model = version.model
    before = next((f"{model}:{a.version}" for a in client.aliases(model) if a.name == alias and a.version), None)
    client.move_alias(model, staging, version.number)
    progress(f"{version.id} is {'released' if created else 'released already'} and is {model}@{staging}")
    return Delivery(model, version.id, created, staging, alias, before)


def _tell(made: Delivery, found: EvaluationView, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(made))
        return
    show(found)
    name = f"{made.model}@{made.alias}"
    if not made.delivered:
        stays = f"stays {made.before}" if made.before else "is not made"
        click.echo(f"not delivered: {made.reason}; {name} {stays}")
    elif made.before == made.version:
        click.echo(f"{name} is already {made.version}")
    else:
        click.echo(f"delivered: {name} is {made.version}{f', it was {made.before}' if made.before else ''}")
