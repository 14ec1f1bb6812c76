"""``headrace login`` and ``headrace logout``: what commands show to a platform, a key or a person's token."""

import sys
from pathlib import Path

import click
import httpx

from headrace_controller.api.schemas import CallerView
from headrace_controller.cli import credentials
from headrace_controller.cli.connection import open_client
from headrace_controller.cli.device_login import DeviceLogin
from headrace_functions.errors import InvalidInput

_NOTHING = "none"
"""Shown where a request needs no credentials, so that none that ended is renewed for it."""

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
@click.option("--provider", is_flag=True, help="Log in with the platform's login provider, in a browser.")
def login(url: str | None, home: Path | None, ca: Path | None, *, provider: bool) -> None:
    """Store an API key for a platform, or log in with its login provider, so that commands use it.

    The key is read from a prompt or from standard input, so that it does not appear in the shell history: headrace
    login < KEYFILE. With --provider the command prints a page to open and a code, and waits until you have logged in there. The
    key or login is verified, then stored in the system's keyring if there is one, else in a file that only you can read.
    """
    if provider:
        _at_provider(url, home, ca)
        return
    key = (click.prompt("API key", hide_input=True) if sys.stdin.isatty() else sys.stdin.read()).strip()
    if not key:
        raise InvalidInput("no key was given", field="key", hint="paste it, or: headrace login < KEYFILE")
    with open_client(url, home, ca, key) as client:
        who = client.who_am_i()
    if not who.authentication:
        raise InvalidInput(f"{client.url} does not use authentication, so no key is needed", field="url")
    _keep(client.url, key, who)


def _at_provider(url: str | None, home: Path | None, ca: Path | None) -> None:
    with open_client(url, home, ca, _NOTHING) as client:
        found = client.how_to_log_in()
    if not found.authentication:
        raise InvalidInput(f"{client.url} does not use authentication, so no login is needed", field="url")
    if not found.issuer:
        raise InvalidInput(
            f"{client.url} does not accept logins from a terminal through a login provider",
            field="provider",
            hint="that requires headrace up with --oidc-issuer and --oidc-cli-client-id; or log in with an API key",
        )
    with httpx.Client() as http:
        flow = DeviceLogin(http)
        asked = flow.begin(found.issuer, found.client_id, found.scopes)
        click.echo(f"open {asked.url}\nand check that it shows the code {asked.user_code}", err=True)
        got = flow.wait(asked)
    with open_client(url, home, ca, got.id_token) as client:
        who = client.who_am_i()
    _keep(client.url, got.to_text(), who)


def _keep(url: str, text: str, who: CallerView) -> None:
    place = credentials.keep(url, text)
    click.echo(f"logged in at {url} as {who.subject} ({', '.join(who.roles) or 'no role'})")
    click.echo(f"the login is stored in {place}", err=True)


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
        raise InvalidInput(f"no key is stored for {client.url}", field="url")
    click.echo(f"forgot the key for {client.url}")
