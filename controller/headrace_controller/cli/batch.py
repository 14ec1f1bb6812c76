"""``headrace batch``: the rows of files through a model or sequence."""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from headrace_controller.api.schemas import JobView
from headrace_controller.cli import interrupts
from headrace_controller.cli.connection import connected
from headrace_controller.cli.job_progress import wait_for
from headrace_controller.cli.output import json_option, print_json, progress
from headrace_controller.client import Client
from headrace_functions.batch import places
from headrace_functions.batch.requests import Asker
from headrace_functions.batch.running import BatchRun, Totals

_JOB_SECONDS = 86_400
"""A job's time at most; a run that needs more goes on when it is submitted again."""


@click.command()
@click.argument("name")
@click.option(
    "--in",
    "pattern",
    required=True,
    help="Parquet, CSV or JSON lines file, a folder of them, or a quoted pattern; also s3://BUCKET/…",
)
@click.option("--out", required=True, help="Folder for the output files, one per input file; also s3://BUCKET/PREFIX.")
@click.option("--rows", default=1000, show_default=True, type=click.IntRange(1, 100_000), help="Rows in a request.")
@click.option("--parallel", default=4, show_default=True, type=click.IntRange(1, 64), help="Requests at once.")
@click.option("--restart", is_flag=True, help="Discard the results of an earlier run with this --out.")
@click.option(
    "--no-log", "unlogged", is_flag=True, help="Leave these requests out of the log; needs the permission 'analyze'."
)
@click.option(
    "--submit",
    is_flag=True,
    help="Run it as a job of the platform, which must allow both locations; see also 'headrace analyze list'.",
)
@click.option("--no-wait", is_flag=True, help="With --submit: start the job and return without waiting for it.")
@json_option
@connected
def batch(client: Client, name: str, out: str, submit: bool, no_wait: bool, as_json: bool, **asked: Any) -> None:
    """Send the rows of files to a model or sequence and write files with the predictions.

    NAME is a model, MODEL:NUMBER, MODEL@ALIAS or a sequence. For each file, a file of the same name and format is
    written to the folder OUT: the same rows in the same order, the original columns, and the predictions as columns
    out.NAME. Rows that are refused go to FILE.refused.jsonl with the problem. An interrupted run resumes when you
    run the same command again. Exits with 1 after an error, or if every row was refused.
    """
    if no_wait and not submit:
        raise click.UsageError("--no-wait goes with --submit.")
    if submit:
        job = _submitted(client, name, out, **asked)
        if no_wait:
            print_json(job) if as_json else click.echo(job.id)
        else:
            _tell(Totals(**wait_for(client, job).result), out, as_json=as_json)
        return
    _tell(_run(client, name, out, **asked), out, as_json=as_json)


def _submitted(
    client: Client, name: str, out: str, *, pattern: str, restart: bool, unlogged: bool, **how: int
) -> JobView:
    options = {"log": "off" if unlogged else None, "restart": "yes" if restart else None}
    told = {"part_rows": how["rows"], "parallel": how["parallel"], "timeout": _JOB_SECONDS}
    return client.start_job("batch", name, files=_absolute(pattern), to=_absolute(out), **options, **told)


def _run(client: Client, name: str, out: str, *, pattern: str, restart: bool, unlogged: bool, **how: int) -> Totals:
    work = places.working_folder(_cache(), name, pattern, out)
    found, target = places.inputs(pattern, work), places.destination(out, work)
    asker = Asker(partial(client.post_infer, name), client.endpoint_metadata(name), unlogged=unlogged)
    run = BatchRun(asker, name, target, progress=progress, **how)
    with interrupts.goes_on("what was answered is kept; give the same command again to go on"):
        totals = run.run(found, restart=restart)
    places.clear(work)
    return totals


def _tell(totals: Totals, out: str, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "files": totals.files,
                "rows": totals.rows,
                "refused": totals.refused,
                "already": totals.already,
                "versions": sorted(totals.versions),
            }
        )
    else:
        refused = f", {totals.refused:,} refused (see *.refused.jsonl)" if totals.refused else ""
        before = f", {totals.already:,} asked before" if totals.already else ""
        click.echo(f"{totals.rows - totals.refused:,} rows answered{before}{refused}, in {out}")
    if totals.refused and totals.refused == totals.rows:
        progress(f"error: every row was refused; *.refused.jsonl in {out} says why")
        sys.exit(1)


def _absolute(place: str) -> str:
    """A place as the platform finds it: a folder of this machine may be one of its own."""
    return place if place.startswith(places.S3) else str(Path(place).absolute())


def _cache() -> Path:
    """Where a run that works on objects keeps what it has answered."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headrace"
