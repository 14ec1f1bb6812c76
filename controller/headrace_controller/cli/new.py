"""``headrace new``"""

from pathlib import Path

import click

from headrace_controller.projects import scaffold


@click.command()
@click.option("--template", required=True, help="Template to use, see below.", metavar="NAME")
@click.option("--name", help="Name of the model. Default: the directory's name.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def new(template: str, name: str | None, folder: Path) -> None:
    """Start a project in FOLDER from a template.

    One for each framework: embedding, fastai, keras, kserve, lightgbm, mlflow, onnx, python, sklearn, skops, tensorflow, text, torch, xgboost. Run the project's train.py, then apply it.
    """
    files = scaffold.create(template, folder, name)
    for file in files:
        click.echo(str(file))
    steps = [scaffold.installation(template), f"python {folder / 'train.py'}", f"headrace apply -f {folder}"]
    click.echo(f"next: {' && '.join(step for step in steps if step)}", err=True)
