"""``headrace evaluate``: a version held against a labelled file."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from headrace_controller.api.schemas import EvaluationView
from headrace_controller.cli.connection import connected
from headrace_controller.cli.output import json_option, print_json, print_table, progress
from headrace_controller.client import POLL, Client
from headrace_controller.definitions import ModelDefinition
from headrace_controller.evaluation import labelled
from headrace_controller.evaluation.requirements import Requirement
from headrace_functions.errors import Conflict, FunctionFailed, InvalidInput
from headrace_functions.names import VersionId

NOT_GOOD_ENOUGH = 3
"""Exit code where a requirement does not hold; 1 is left to what went wrong."""


@click.command()
@click.argument("reference", metavar="MODEL[:NUMBER|@ALIAS]")
@click.option(
    "--data",
    "file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV or Parquet file with a column for each input and one for labels.",
)
@click.option(
    "--require",
    multiple=True,
    help="A requirement such as accuracy>=0.9, mae<=3 or accuracy>=baseline-0.01. Can be repeated.",
)
@click.option(
    "--baseline", default="", metavar="MODEL@ALIAS", help="Version or alias of the same model to compare with."
)
@click.option("--target", default="", help="Column of labels. Default: the version's own target.")
@json_option
@connected
def evaluate(client: Client, reference: str, file: Path, require: tuple[str, ...], as_json: bool, **how: str) -> None:
    """Evaluate a version on a labelled file and check the figures against requirements.

    Figures for classes: accuracy, balanced_accuracy, precision, recall, f1, roc_auc; for numbers: mae, rmse, r2;
    for both: answered, the share of rows that were answered, which must be 1 unless you set another requirement for
    it. The requests are not logged or counted. Exits with 3 if a requirement is not met.
    """
    found = evaluated(client, client.resolve(reference), file, require, **how)
    if as_json:
        print_json(found)
    else:
        show(found)
    if not found.passed:
        sys.exit(NOT_GOOD_ENOUGH)


def evaluated(
    client: Client, version: VersionId, file: Path, require: Sequence[str], *, baseline: str = "", target: str = ""
) -> EvaluationView:
    """The evaluation once it is over; ``FunctionFailed`` where the version could not be asked, ``Conflict`` where it was interrupted."""
    found = client.start_evaluation(version, file, require=require, baseline=baseline, target=target)
    told = -1
    while found.state == "running":
        tenth = 10 * found.asked // max(found.rows, 1)
        if tenth != told:
            progress(f"{version}: asked {found.asked:,} of {found.rows:,} rows")
            told = tenth
        time.sleep(POLL)
        found = client.evaluation(version, found.id)
    if found.state == "done" and told != 10:
        progress(f"{version}: asked {found.asked:,} of {found.rows:,} rows")
    if found.state == "interrupted":
        raise Conflict(f"the evaluation of {version} was cut short by a restart of the platform", hint="run it again")
    if found.state == "failed":
        raise FunctionFailed(
            f"{version} could not be evaluated: {found.reason}", hint=f"see: headrace service log {version}"
        )
    return found


def check_requirements(require: Sequence[str]) -> None:
    """Before anything is built: ``InvalidInput`` naming the one that is none."""
    if not require:
        raise InvalidInput(
            "require: no requirement is given", field="require", expected="at least one, e.g. --require 'accuracy>=0.9'"
        )
    Requirement.several(require)


def check_target(definition: ModelDefinition, file: Path, given: str) -> None:
    """Before anything is built: ``InvalidInput`` where no column of labels is named, or the file has none of that name."""
    if not given and len(definition.target) != 1:
        has = f"has the targets {', '.join(definition.target)}" if definition.target else "has no target"
        raise InvalidInput(
            f"{definition.name} {has}", field="target", hint="name the label column of the file with --target COLUMN"
        )
    labelled.check_column(file, given or definition.target[0])


def show(found: EvaluationView) -> None:
    """Figures beside the baseline's, then what does not hold, then what was refused."""
    before: dict[str, Any] = found.baseline_figures
    rows = [{"figure": n, found.version: v, found.baseline or "": before.get(n)} for n, v in found.figures.items()]
    print_table(rows, ["figure", found.version, *([found.baseline] if found.baseline else [])], empty="no figure")
    for one in found.first_refused[:3]:
        progress(f"row {one['row']} was refused: {one['reason']}")
    for finding in found.requirements:
        beside = f" ({finding.note})" if finding.note else ""
        click.echo(f"{'met' if finding.held else 'NOT MET'}: {finding.requirement}{beside}")
