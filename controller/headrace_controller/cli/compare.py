"""``headrace compare`` and ``headrace replay``: two versions on the same requests."""

import time
from typing import Any

import click

from headrace_controller.api.schemas import ComparisonView, EstimateView, FigureView, ReplayView
from headrace_controller.cli.connection import connected
from headrace_controller.cli.log import INTERRUPTED
from headrace_controller.cli.output import json_option, print_json, print_table, progress
from headrace_controller.client import Client
from headrace_functions.errors import FunctionFailed

POLL = 0.5  # seconds


@click.command()
@click.argument("first", metavar="FIRST")
@click.argument("second", metavar="SECOND")
@click.option(
    "--since", default="7d", show_default=True, help="Start: an RFC 3339 time, or a duration before now such as 1h."
)
@click.option("--until", help="Like --since. Default: now.")
@json_option
@connected
def compare(client: Client, first: str, second: str, since: str, until: str | None, as_json: bool) -> None:
    """Compare two versions on the requests that both have answered, e.g. as variant and shadow of a sequence.

    FIRST and SECOND are MODEL:NUMBER or MODEL@ALIAS. To compare versions without common requests, use a replay:
    headrace replay FIRST --to SECOND.
    """
    found = client.compare(first, second, since=since, until=until)
    print_json(found) if as_json else show(found)


@click.command()
@click.argument("source", metavar="SOURCE")
@click.option("--to", "target", required=True, metavar="TARGET", help="The version to send the requests to.")
@click.option(
    "--since", default="7d", show_default=True, help="Start: an RFC 3339 time, or a duration before now such as 1h."
)
@click.option("--until", help="Like --since. Default: now.")
@click.option("--rows", default=1000, show_default=True, type=click.IntRange(1, 10_000), help="The newest rows.")
@click.option("--rate", default=50.0, show_default=True, help="Rows per second, at most 500.")
@json_option
@connected
def replay(client: Client, source: str, target: str, as_json: bool, **options: Any) -> None:
    """Send logged requests of one version to another and compare the predictions.

    SOURCE and TARGET are MODEL:NUMBER or MODEL@ALIAS. The requests are not logged or counted. Ctrl-C ends the
    replay; the rows answered so far are compared.
    """
    started = client.start_replay(source, target, **options)
    try:
        found = _followed(client, started)
    except KeyboardInterrupt:
        client.cancel_replay(started.id)
        progress(f"replay {started.id} was cancelled; see: GET /api/v1/replays/{started.id}")
        raise SystemExit(INTERRUPTED) from None
    if as_json:
        print_json(found)
        return
    if found.result is None:
        raise FunctionFailed(f"replay {found.id} {found.state}: {found.reason or 'no responses were compared'}")
    if found.failed:
        click.echo(f"{found.target} answered {found.failed} of {found.asked} rows with an error; they are left out\n")
    show(found.result)


def _followed(client: Client, started: ReplayView) -> ReplayView:
    found, told = started, -1
    while found.state == "running":
        tenth = 10 * found.asked // max(found.total, 1)
        if tenth != told:
            progress(f"asked {found.asked:,} of {found.total:,} rows")
            told = tenth
        time.sleep(POLL)
        found = client.replay(started.id)
    return found


def show(found: ComparisonView) -> None:
    """The sentence first, then the figures, then the rows that differ most."""
    click.echo(found.sentence + "\n")
    print_table(
        [_output(o.model_dump()) for o in found.outputs],
        ["output", "agreement", "mean difference", "correlation"],
        empty="",
    )
    figures = [f for f in (found.quality, *found.metrics, found.latency) if f is not None]
    if figures:
        click.echo()
        columns = ["figure", "first", "second", "difference", "rows", "better", "rows needed"]
        print_table([_figure(f) for f in figures], columns, empty="")
    if found.differing:
        click.echo("\nrows that differ most")
        rows = [
            {"request_id": d["request_id"], "row": d["row"], "first": _said(d["first"]), "second": _said(d["second"])}
            for d in found.differing[:10]
        ]
        print_table(rows, ["request_id", "row", "first", "second"], empty="")


def _output(found: dict[str, Any]) -> dict[str, Any]:
    mean = found["mean_difference"]
    return {
        "output": found["name"],
        "agreement": _interval(EstimateView(**found["agreement"])),
        "mean difference": _interval(EstimateView(**mean)) if mean else "",
        "correlation": f"{found['correlation']:.4f}" if found["correlation"] is not None else "",
    }


def _figure(found: FigureView) -> dict[str, Any]:
    return {
        "figure": found.name,
        "first": f"{found.first:.4g}",
        "second": f"{found.second:.4g}",
        "difference": _interval(found.difference),
        "rows": found.rows,
        "better": found.better or "not told",
        "rows needed": found.needed or "",
    }


def _interval(found: EstimateView) -> str:
    return f"{found.value:.4g} ({found.low:.4g} to {found.high:.4g})"


def _said(row: dict[str, Any]) -> str:
    """The outputs of a row, the time left out."""
    return ", ".join(f"{name.removeprefix('out.')}={value}" for name, value in row.items() if name != "latency_ms")[:60]
