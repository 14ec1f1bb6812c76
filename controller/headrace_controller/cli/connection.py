"""Which platform a command talks to: ``--context``, else ``--url``, else their variables, else the one that is up on the home."""

import functools
import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import orjson

from headrace_controller.authorities import CA_FILE, pinned
from headrace_controller.cli import credentials
from headrace_controller.client import Client
from headrace_controller.settings import default_home
from headrace_functions.errors import InvalidInput, NotFound

DEFAULT_NAMESPACE = "headrace"


@dataclass(frozen=True, slots=True)
class Place:
    """A platform in a cluster: a context of the kubeconfig and a namespace."""

    context: str
    namespace: str = DEFAULT_NAMESPACE


@dataclass(frozen=True, slots=True)
class Target:
    """A platform's URL and where it was found."""

    url: str
    source: str
    certificate: str = ""
    """PEM file that the platform of a home on this machine shows; empty where it is not known, or where it speaks plain HTTP."""

    def client(self, key: str, ca: Path | None = None) -> Client:
        """``InvalidInput`` where ``ca`` holds no authority."""
        if ca is None and self.certificate and not os.environ.get(CA_FILE):
            return Client(self.url, key=key, tls=pinned(self.certificate))
        return Client(self.url, key=key, ca=ca)


def find_place(url: str | None, environment: Mapping[str, str] = os.environ) -> Place | None:
    """The cluster that ``headrace --context`` or ``HEADRACE_CONTEXT`` names; None where the platform has a URL."""
    given = click.get_current_context().find_root().params if click.get_current_context(silent=True) else {}
    context = given.get("context")
    if context and url:
        raise InvalidInput("--context and --url name two different platforms", field="context", expected="one of them")
    if not context and (url or environment.get("HEADRACE_URL")):
        return None
    context = context or environment.get("HEADRACE_CONTEXT")
    if not context:
        return None
    return Place(context, given.get("namespace") or environment.get("HEADRACE_NAMESPACE") or DEFAULT_NAMESPACE)


def find_target(url: str | None, home: Path | None, environment: Mapping[str, str] = os.environ) -> Target:
    """The platform to talk to by URL; ``NotFound`` where none is named and none is up on the home."""
    if url:
        return Target(url, "--url")
    if environment.get("HEADRACE_URL"):
        return Target(environment["HEADRACE_URL"], "HEADRACE_URL")
    folder = home or default_home(environment)
    file = folder / "run" / "up.lock"
    try:
        document = orjson.loads(file.read_bytes())
        return Target(document["url"], str(file), document.get("certificate", ""))
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        raise NotFound(
            f"no platform is up on {folder}",
            hint="start one with: headrace up; or name one with --url, or with --context for one in a cluster",
        ) from None


def open_client(url: str | None, home: Path | None, ca: Path | None = None, key: str | None = None) -> Client:
    """A client of the platform that the options, variables and the home lead to, with ``key`` or the one that is kept for it."""
    place = find_place(url)
    if place is None:
        target = find_target(url, home)
        return target.client(key or credentials.shown_to(target.url) or "", ca)
    try:
        # Imported here alone: the Kubernetes client costs half a second, and most commands talk to a URL.
        access = importlib.import_module("headrace_controller.backends.kserve.access")
    except ModuleNotFoundError as error:
        raise InvalidInput(
            "--context needs the Kubernetes client", field="context", hint="pip install 'headrace[cluster]'"
        ) from error
    found = access.access(place.context, place.namespace)
    shown = key or credentials.shown_to(found.url) or ""
    return Client(found.url, tls=found.tls, authorization=found.authorization, key=shown)


def connected(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--url`` and ``--home``, and call it with a ``Client`` as its first argument."""

    @click.option("--url", help="URL of the platform [HEADRACE_URL].")
    @click.option(
        "--home",
        type=click.Path(path_type=Path),
        help="Home of a platform on this machine [HEADRACE_HOME, ~/.headrace].",
    )
    @click.option(
        "--ca",
        type=click.Path(path_type=Path, dir_okay=False),
        help="PEM file with the certificate authority to trust [HEADRACE_CA_FILE].",
    )
    @functools.wraps(command)
    def wrapped(*args: Any, url: str | None, home: Path | None, ca: Path | None, **kwargs: Any) -> Any:
        with open_client(url, home, ca) as client:
            return command(client, *args, **kwargs)

    return wrapped
