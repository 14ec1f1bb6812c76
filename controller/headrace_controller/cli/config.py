"""``headrace config``"""

from pathlib import Path

import click

from headrace_controller.cli.connection import find_place, find_target
from headrace_controller.cli.output import json_option, print_facts, print_json
from headrace_controller.settings import default_home
from headrace_functions.errors import NotFound


@click.command()
@click.option("--url", help="URL of the platform [HEADRACE_URL].")
@click.option(
    "--home", type=click.Path(path_type=Path), help="Home of a platform on this machine [HEADRACE_HOME, ~/.headrace]."
)
@json_option
def config(url: str | None, home: Path | None, as_json: bool) -> None:
    """Show which platform commands talk to, and how it was chosen."""
    found = _found(url, home)
    found["home"] = str(home or default_home())
    print_json(found) if as_json else print_facts(found)


def _found(url: str | None, home: Path | None) -> dict[str, str]:
    place = find_place(url)
    if place is not None:
        return {"url": "", "from": f"context {place.context}", "context": place.context, "namespace": place.namespace}
    try:
        target = find_target(url, home)
    except NotFound as error:
        return {"url": "", "from": error.message}
    return {"url": target.url, "from": target.source}
