"""``headrace new``"""

from pathlib import Path

import click

from headrace_controller.projects import scaffold


@click.command()
@click.option("--template", required=True, help="Which template; --list shows them.", metavar="NAME")
@click.option("--name", help="Name of the model; the folder's name by default.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def new(template: str, name: str | None, folder: Path) -> None:
    """Start a project in FOLDER from a template: sklearn or python.

    The project applies as it is once its train.py has run.
    """
    files = scaffold.create(template, folder, name)
    for file in files:
        click.echo(str(file))
    click.echo(f"next: python {folder / 'train.py'} && headrace apply -f {folder}", err=True)
