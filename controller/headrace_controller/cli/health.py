"""``headrace health``"""

from typing import Any

import click

from headrace_controller.cli.connection import connected
from headrace_controller.cli.groups import Commands
from headrace_controller.cli.output import json_option, print_json, print_table
from headrace_controller.client import Client

MOVED = 0.1
"""Share of rows elsewhere than in training from which a field is named."""
_NAMED = 3


@click.group(cls=Commands)
def health() -> None:
    """Show requests, latency and fields of a version over time."""


@health.command("show")
@click.argument("version", metavar="MODEL[:NUMBER]")
@click.option(
    "--since", default="3h", show_default=True, help="Start: an RFC 3339 time, or a duration before now such as 1h."
)
@click.option("--until", help="End: an RFC 3339 time, or a duration before now.")
@click.option(
    "--step", type=int, help="Length of a period in seconds, a multiple of 60. Default: chosen to suit the time range."
)
@click.option(
    "--where",
    metavar="CONDITION",
    help="Count only rows of the log that satisfy this condition, e.g. \"in.region = 'north'\".",
)
@click.option("--sequence", metavar="NAME", help="Count only rows that came through this sequence.")
@click.option("--stage", type=int, help="Stage of the sequence, from 1.")
@click.option("--variant", metavar="VERSION", help="Variant of the stage, e.g. churn:2.")
@json_option
@connected
def show_health(
    client: Client,
    version: str,
    since: str,
    until: str | None,
    step: int | None,
    as_json: bool,
    **only: Any,
) -> None:
    """Show requests, errors, latency and shifted fields, one line for each period that has requests."""
    found = client.health(client.resolve(version), since=since, until=until, step=step, **only)
    if as_json:
        print_json(found)
        return
    rows = [
        {
            "start": b.start,
            "requests": b.requests,
            "errors": b.requests - b.outcomes.get("ok", 0),
            "p50_ms": b.p50_ms,
            "p95_ms": b.p95_ms,
            "failed_checks": sum(sum(f["checks"].values()) for f in b.fields.values()),
            "moved": _moved({name: f["moved"] or 0.0 for name, f in b.fields.items()}),
        }
        for b in found.buckets
        if b.rows
    ]
    columns = ["start", "requests", "errors", "p50_ms", "p95_ms", "failed_checks", "moved"]
    print_table(rows, columns, empty=f"no request of {found.version} in this period")


@health.command("rebuild")
@click.argument("version", metavar="MODEL:NUMBER")
@connected
def rebuild_health(client: Client, version: str) -> None:
    """Recompute the health of a version from its whole log."""
    click.echo(f"{client.rebuild_health(client.resolve(version)).rows} rows counted")


def _moved(shares: dict[str, float]) -> str:
    moved = sorted(((share, name) for name, share in shares.items() if share >= MOVED), reverse=True)
    more = f", {len(moved) - _NAMED} more" if len(moved) > _NAMED else ""
    return ", ".join(f"{name} {share:.0%}" for share, name in moved[:_NAMED]) + more
