"""``headrace dev``: serve a model of a folder while it is written."""

import asyncio
import time
from pathlib import Path

import click

from headrace_controller.cli.output import progress
from headrace_controller.development.session import Session, develop, listener
from headrace_controller.settings import Settings, default_home
from headrace_functions.errors import InvalidInput


@click.command()
@click.argument("path", default=".", type=click.Path(path_type=Path, exists=True))
@click.option("--model", help="Model to serve, if there are several definitions.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8081, show_default=True, help="Port to listen on; 0 takes any free one.")
@click.option("--verbose", "-v", is_flag=True, help="Show the lines of builds.")
@click.option(
    "--home", type=click.Path(path_type=Path), help="Home whose environments are shared [HEADRACE_HOME, ~/.headrace]."
)
def dev(path: Path, model: str | None, host: str, port: int, verbose: bool, home: Path | None) -> None:
    """Serve a model while you develop it: reload on save, show requests, checks and errors.

    Signature, environment and function are the same as with apply, but nothing is kept, no version is created and
    no platform is needed. A change to the payload is served within a second; after a change to the definition, the
    requirements or the data everything is rebuilt. If something fails, the previous function stays in place. Press
    Ctrl-C to stop.
    """
    environments = Settings(home or default_home()).environments
    try:
        sock = listener(host, port)
    except OSError as error:
        raise InvalidInput(
            f"{host}:{port} cannot be used to listen on: {error.strerror}",
            field="port",
            hint="choose another with --port",
        ) from error
    progress("building …")

    async def run() -> None:
        session = Session(path, model, environments, _tell, _tell if verbose else lambda _text: None)
        await develop(session, sock, _served)

    asyncio.run(run())


def _served(url: str, name: str) -> None:
    progress(f"{url}/v2/models/{name}/infer\nwatching; Ctrl-C ends it, headrace apply makes a version")


def _tell(text: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {text}")
