"""``headrace batch``: the rows of files through a model or sequence."""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from headrace_controller.batch import places
from headrace_controller.batch.requests import Asker
from headrace_controller.batch.running import BatchRun
from headrace_controller.cli import interrupts
from headrace_controller.cli.connection import connected
from headrace_controller.cli.output import json_option, print_json, progress
from headrace_controller.client import Client


@click.command()
@click.argument("name")
@click.option(
    "--in",
    "pattern",
    required=True,
    help="Parquet, CSV or JSON-lines file, a folder of them, or a quoted pattern; also s3://BUCKET/…",
)
@click.option("--out", required=True, help="Folder for the answers, a file for each; also s3://BUCKET/PREFIX.")
@click.option("--rows", default=1000, show_default=True, type=click.IntRange(1, 100_000), help="Rows in a request.")
@click.option("--parallel", default=4, show_default=True, type=click.IntRange(1, 64), help="Requests at once.")
@click.option("--restart", is_flag=True, help="Forget what an earlier run with this --out has answered.")
@click.option(
    "--no-log", "unlogged", is_flag=True, help="Leave these requests out of the log; needs the permission 'analyze'."
)
@json_option
@connected
def batch(
    client: Client, name: str, pattern: str, out: str, restart: bool, unlogged: bool, as_json: bool, **how: Any
) -> None:
    """Send the rows of files to a model or sequence and write them with the answers.

    NAME is a model, MODEL:NUMBER, MODEL@ALIAS or a sequence. Each file gets one of the same name and format in the folder OUT: its rows in their
    order, its columns as they were, and the answers as columns out.NAME. Rows that are refused go to FILE.refused.jsonl with the problem. A run that was
    killed goes on where it was when the same command is given again. Exits with 1 after an error, or where every row was refused.
    """
    work = places.working_folder(_cache(), name, pattern, out)
    found, target = places.inputs(pattern, work), places.destination(out, work)
    asker = Asker(partial(client.post_infer, name), client.endpoint_metadata(name), unlogged=unlogged)
    run = BatchRun(asker, name, target, progress=progress, **how)
    with interrupts.goes_on("what was answered is kept; give the same command again to go on"):
        totals = run.run(found, restart=restart)
    places.clear(work)
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


def _cache() -> Path:
    """Where a run that works on objects keeps what it has answered."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headrace"
