"""``headrace ci``: pipelines that deliver a model."""

from pathlib import Path

import click

from headrace_controller.cli.evaluate import check_requirements
from headrace_controller.cli.groups import Commands
from headrace_controller.cli.output import json_option, print_json
from headrace_controller.definitions import ModelDefinition, read
from headrace_controller.projects import pipelines
from headrace_functions.errors import InvalidInput, NotFound

_NEXT = {
    "github": (
        "set the variable HEADRACE_URL of the repository: the platform's URL, as GitHub's machines reach it",
        "set the secret HEADRACE_API_KEY of the repository: {key}",
        "commit the file; it runs on each push to main",
    ),
    "airflow": (
        "put the file into Airflow's folder of DAGs, and the project where its workers read it (PROJECT in the file)",
        "make a connection 'headrace': the host is the platform's URL, the password an API key: {key}",
    ),
    "kubeflow": (
        "name your image with the command headrace (IMAGE in the file)",
        "kubectl create secret generic headrace --from-literal=api-key=KEY, where KEY is the output of: {key}",
        "pip install kfp kfp-kubernetes && python {file}, then upload what it writes",
    ),
}


@click.group(cls=Commands)
def ci() -> None:
    """Write pipelines that deliver a model."""


@ci.command("init")
@click.argument("folder", default=".", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--for",
    "kind",
    type=click.Choice(pipelines.KINDS),
    default="github",
    show_default=True,
    help="GitHub Actions, an Airflow DAG, or a Kubeflow pipeline.",
)
@click.option("--check", required=True, help="Labelled CSV or Parquet file, relative to FOLDER.")
@click.option("--require", multiple=True, help="A requirement such as accuracy>=0.9. Can be repeated; at least one.")
@click.option("--target", default="", help="Column of labels. Default: the version's own target.")
@json_option
def init(folder: Path, kind: str, check: str, require: tuple[str, ...], target: str, as_json: bool) -> None:
    """Write a pipeline that delivers the model of FOLDER, and say what else it needs.

    The pipeline releases the model, points the alias staging to it, evaluates it on the labelled file and moves the
    alias production, or stops with the reason. You may edit the file; existing files are not overwritten.
    """
    check_requirements(require)
    if not (folder / check).is_file():
        raise NotFound(
            f"check: {folder / check} does not exist", field="check", expected="a labelled file below FOLDER"
        )
    model = _model(folder)
    file = pipelines.write(
        pipelines.Pipeline(kind, model, folder, check, [r.replace(" ", "") for r in require], target)
    )
    key = f"headrace access key create ci-{model} --role developer:{model} --role operator:{model}"
    steps = [step.format(key=key, file=file) for step in _NEXT[kind]]
    if as_json:
        print_json({"file": str(file), "next": steps})
        return
    click.echo(str(file))
    for step in steps:
        click.echo(f"next: {step}", err=True)


def _model(folder: Path) -> str:
    models = [d.name for d, _ in read(str(folder)) if isinstance(d, ModelDefinition)]
    if len(models) != 1:
        raise InvalidInput(
            f"{folder} defines {', '.join(models) or 'no model'}",
            field="folder",
            expected="the definition of one model",
        )
    return models[0]
