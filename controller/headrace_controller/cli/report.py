"""``headrace report``"""

import tempfile
from pathlib import Path

import click

from headrace_controller.cli.connection import connected
from headrace_controller.cli.groups import Commands
from headrace_controller.cli.output import json_option, print_json, print_table
from headrace_controller.cli.report_diff import differences
from headrace_controller.cli.report_view import show_document
from headrace_controller.client import Client
from headrace_functions.errors import NotFound

_ID = "MODEL:NUMBER/KIND/NAME"


@click.group(cls=Commands)
def report() -> None:
    """List, show, compare and open reports."""


@report.command("list")
@click.argument("model", required=False, metavar="[MODEL[:NUMBER]]")
@click.option("--kind", help="Show only this kind: drift, outliers, performance, explain, …")
@json_option
@connected
def list_reports(client: Client, model: str | None, kind: str | None, as_json: bool) -> None:
    """List reports, newest first."""
    found = [r.model_dump() for r in client.reports(model, kind=kind)]
    print_json(found) if as_json else print_table(
        found, ["id", "verdict", "severity", "engine", "written"], empty="no report yet"
    )


@report.command("show")
@click.argument("report_id", metavar=f"[{_ID}]", required=False)
@json_option
@connected
def show_report(client: Client, report_id: str | None, as_json: bool) -> None:
    """Show a report's findings. Default: the newest report."""
    found = client.report(report_id or _newest(client))
    if as_json:
        print_json(found)
        return
    show_document(found)


@report.command("open")
@click.argument("report_id", metavar=f"[{_ID}]", required=False)
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the page to this file instead.",
)
@connected
def open_report(client: Client, report_id: str | None, target: Path | None) -> None:
    """Open a report in the browser. Default: the newest one."""
    report_id = report_id or _newest(client)
    if target is None:
        folder = Path(tempfile.mkdtemp(prefix="headrace-report-"))
        target = folder / f"{report_id.replace('/', '-').replace(':', '-')}.html"
        target.write_text(client.report_page(report_id), encoding="utf-8")
        click.launch(target.as_uri())
    else:
        target.write_text(client.report_page(report_id), encoding="utf-8")
    click.echo(str(target))


def _newest(client: Client) -> str:
    newest = next(client.reports(), None)
    if newest is None:
        raise NotFound("there are no reports yet", hint="create one with: headrace analyze drift MODEL:NUMBER")
    return newest.id


@report.command("diff")
@click.argument("before", metavar=_ID)
@click.argument("after", metavar=_ID)
@json_option
@connected
def diff_reports(client: Client, before: str, after: str, as_json: bool) -> None:
    """Compare two reports of the same kind: verdicts, rows, and each field or metric."""
    found = differences(client.report(before), client.report(after))
    print_json(found) if as_json else print_table(
        found, ["name", "member", "before", "after"], empty="the reports say the same"
    )
