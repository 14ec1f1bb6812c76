"""Telling a story on a terminal: titles, sentences, commands as they are typed, and checks that end it where they fail."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

_SHOWN = 14  # lines of a command's output
_WIDTH = 118
_COMMAND_SECONDS = 600.0
_SIGN_SECONDS = 10.0


class CheckFailedError(Exception):
    """A step did not do what it should."""


class Narrator:
    """Runs ``headrace`` commands on one home and tells what they do."""

    def __init__(self, home: Path) -> None:
        self._command = [sys.executable, "-m", "headrace_controller.cli"]
        hidden = ("HEADRACE_URL", "HEADRACE_HOME")
        self._environment = {k: v for k, v in os.environ.items() if k not in hidden} | {"HEADRACE_HOME": str(home)}
        self._step = 0
        self._started = time.monotonic()

    def step(self, title: str) -> None:
        self._step += 1
        click.echo()
        click.secho(f"{self._step:2}  {title}", bold=True)

    def say(self, text: str) -> None:
        click.echo(f"    {text}")

    def check(self, what: str, holds: object) -> None:
        """Print the sentence with a tick; ``CheckFailedError`` if it does not hold."""
        if not holds:
            click.secho(f"    ✗ {what}", fg="red")
            raise CheckFailedError(what)
        click.echo(click.style("    ✓ ", fg="green") + what)

    def run(self, *arguments: str, shown: int = _SHOWN, stdin: str | None = None) -> str:
        """Type a command, show the end of what it says, return its standard output. It has to succeed."""
        click.secho(f"    $ headrace {' '.join(_quoted(a) for a in arguments)}", fg="cyan")
        with _signs_of_life():
            done = self._call(arguments, stdin)
        lines = (done.stdout or done.stderr).rstrip().splitlines()
        for line in lines[:shown]:
            click.echo(f"      {line[:_WIDTH]}")
        if len(lines) > shown:
            click.echo(f"      … {len(lines) - shown} more lines")
        if done.returncode != 0:
            click.echo(done.stderr, err=True)
            raise CheckFailedError(f"headrace {arguments[0]} exited with {done.returncode}")
        return done.stdout

    def ask(self, *arguments: str) -> Any:
        """What a command says as JSON, without showing it."""
        done = self._call([*arguments, "--json"], None)
        if done.returncode != 0:
            raise CheckFailedError(f"headrace {' '.join(arguments)}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def elapsed(self) -> float:
        return time.monotonic() - self._started

    def _call(self, arguments: Sequence[str], stdin: str | None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._command, *arguments],
            input=stdin,
            text=True,
            capture_output=True,
            env=self._environment,
            timeout=_COMMAND_SECONDS,
            check=False,
        )


@contextmanager
def _signs_of_life() -> Iterator[None]:
    """Say every ten seconds that a long step goes on."""
    over, began = threading.Event(), time.monotonic()

    def speak() -> None:
        while not over.wait(_SIGN_SECONDS):
            click.secho(f"      … {time.monotonic() - began:.0f} s", fg="bright_black")

    speaker = threading.Thread(target=speak, name="signs of life", daemon=True)
    speaker.start()
    try:
        yield
    finally:
        over.set()
        speaker.join()


def _quoted(argument: str) -> str:
    return f"'{argument}'" if " " in argument or ">" in argument else argument
