"""Which platform a command talks to: ``--url``, else ``HEADRACE_URL``, else the one that is up on the home."""

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import orjson

from headrace_controller.client import Client
from headrace_controller.settings import default_home
from headrace_functions.errors import NotFound


@dataclass(frozen=True, slots=True)
class Target:
    """A platform's URL and where it was found."""

    url: str
    source: str


def find_target(url: str | None, home: Path | None, environment: Mapping[str, str] = os.environ) -> Target:
    """The platform to talk to; ``NotFound`` where none is named and none is up on the home."""
    if url:
        return Target(url, "--url")
    if environment.get("HEADRACE_URL"):
        return Target(environment["HEADRACE_URL"], "HEADRACE_URL")
    folder = home or default_home(environment)
    file = folder / "run" / "up.lock"
    try:
        found = orjson.loads(file.read_bytes())["url"]
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        raise NotFound(
            f"no platform is up on {folder}", hint="start one with: headrace up, or name one with --url or HEADRACE_URL"
        ) from None
    return Target(found, str(file))


def connected(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--url`` and ``--home``, and call it with a ``Client`` as its first argument."""

    @click.option("--url", help="URL of the platform [HEADRACE_URL].")
    @click.option(
        "--home",
        type=click.Path(path_type=Path),
        help="Home of a platform on this machine [HEADRACE_HOME, ~/.headrace].",
    )
    @functools.wraps(command)
    def wrapped(*args: Any, url: str | None, home: Path | None, **kwargs: Any) -> Any:
        with Client(find_target(url, home).url) as client:
            return command(client, *args, **kwargs)

    return wrapped
