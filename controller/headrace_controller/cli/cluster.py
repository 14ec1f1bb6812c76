"""``headrace cluster``"""

import importlib
import os
from dataclasses import asdict
from typing import Any

import click

from headrace_controller.cli.connection import DEFAULT_NAMESPACE, find_place, open_client
from headrace_controller.cli.groups import Commands
from headrace_controller.cli.output import json_option, print_json, progress
from headrace_functions.errors import HeadraceError, InvalidInput

_ROOM = "headrace_controller.backends.kserve"
_COLOURS = {"ok": "green", "note": "blue", "unknown": "yellow", "lacking": "red"}


@click.group(cls=Commands)
def cluster() -> None:
    """Check whether a cluster has what a platform needs."""


@cluster.command()
@json_option
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """Check a cluster for missing or outdated components, and say how to fix them.

    The cluster is the kubeconfig's current context, or the one of `headrace --context NAME [--namespace NAMESPACE]
    cluster check`. The check uses your own permissions and changes nothing; whatever you may not see is reported as
    unknown. The platform's controller checks the store, if it is running. Exit code 1 if something is missing.
    """
    place = find_place(None)
    given = ctx.find_root().params.get("namespace") or os.environ.get("HEADRACE_NAMESPACE") or DEFAULT_NAMESPACE
    namespace = place.namespace if place else given
    # Imported here alone, as in ``connection``: the Kubernetes client is heavy, and an extra.
    try:
        inspection = importlib.import_module(f"{_ROOM}.cluster_inspection")
    except ModuleNotFoundError as error:
        raise InvalidInput("this needs the Kubernetes client", hint="pip install 'headrace[cluster]'") from error
    cluster_check = importlib.import_module(f"{_ROOM}.cluster_check")
    seen = inspection.inspect(place.context if place else None, namespace)
    found = [*cluster_check.verdicts(seen), cluster_check.store_verdict(_store_error(place is not None))]
    _show([asdict(verdict) for verdict in found], as_json=as_json)
    if any(verdict.level == "lacking" for verdict in found):
        ctx.exit(1)


def _store_error(named: bool) -> HeadraceError | None:
    """Why the platform cannot read its store; None where it does. Listing reports goes to the store each time."""
    if not named:
        return InvalidInput("a running platform can be checked only with --context")
    try:
        with open_client(None, None) as client:
            next(client.reports(), None)
    except HeadraceError as error:
        return error
    return None


def _show(found: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        print_json({"lacking": sum(v["level"] == "lacking" for v in found), "checks": found})
        return
    for verdict in found:
        click.echo(f"{_marked(verdict['level'])}  {verdict['check']}: {verdict['says']}")
        if verdict["todo"]:
            click.echo(f"{'':<9}  {verdict['todo']}")
    lacking = sum(v["level"] == "lacking" for v in found)
    progress(f"{lacking} lacking" if lacking else "nothing is lacking")


def _marked(level: str) -> str:
    return click.style(f"{level:<9}", fg=_COLOURS[level])
