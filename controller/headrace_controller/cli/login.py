"""``headrace login`` and ``headrace logout``: the key that commands show to a platform."""

import sys
from pathlib import Path

import click

from headrace_controller.cli import credentials
from headrace_controller.cli.connection import open_client
from headrace_functions.errors import InvalidInput

_url = click.option("--url", help="URL of the platform [HEADRACE_URL].")
_home = click.option(
    "--home",
    type=click.Path(path_type=Path),
    help="Home of a platform on this machine [HEADRACE_HOME, ~/.headrace].",
)
_ca = click.option(
    "--ca",
    type=click.Path(path_type=Path, dir_okay=False),
    help="PEM file with the certificate authority to trust [HEADRACE_CA_FILE].",
)


@click.command()
@_url
@_home
@_ca
def login(url: str | None, home: Path | None, ca: Path | None) -> None:
    """Store an API key for a platform, so that commands use it.

    The key is read from a prompt or from standard input, so that it does not appear in the shell history: headrace
    login < KEYFILE. It is verified, then stored in the system's keyring if there is one, else in a file that only
    you can read.
    """
    key = (click.prompt("API key", hide_input=True) if sys.stdin.isatty() else sys.stdin.read()).strip()
    if not key:
        raise InvalidInput("no key was given", field="key", hint="paste it, or: headrace login < KEYFILE")
    with open_client(url, home, ca, key) as client:
        who = client.who_am_i()
    if not who.authentication:
        raise InvalidInput(f"{client.url} asks nobody who they are, so no key is needed", field="url")
    place = credentials.keep(client.url, key)
    click.echo(f"logged in at {client.url} as {who.subject} ({', '.join(who.roles) or 'no role'})")
    click.echo(f"the key is kept in {place}", err=True)


@click.command()
@_url
@_home
@_ca
@click.option("--everywhere", is_flag=True, help="End the sessions of the same key on the pages, too.")
def logout(url: str | None, home: Path | None, ca: Path | None, *, everywhere: bool) -> None:
    """Forget the key of a platform. The key itself stays valid until it is revoked."""
    with open_client(url, home, ca) as client:
        if everywhere:
            click.echo(f"ended {client.end_sessions()} sessions")
    if not credentials.forget(client.url):
        raise InvalidInput(f"no key is kept for {client.url}", field="url")
    click.echo(f"forgot the key for {client.url}")
