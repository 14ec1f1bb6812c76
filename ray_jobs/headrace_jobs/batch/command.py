"""The command of the batch job."""

import argparse
import os

from headrace_functions.batch import places
from headrace_functions.errors import FunctionFailed
from headrace_jobs import execution
from headrace_jobs.batch.job import Batch, merged
from headrace_jobs.command import Answer, Call, Command, progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--endpoint", required=True, metavar="URL", help="the gateway, e.g. http://127.0.0.1:8080")
    parser.add_argument("--files", required=True, metavar="PLACE", help="file, folder or pattern of rows; also s3://…")
    parser.add_argument("--to", required=True, metavar="PLACE", help="folder for the answers; also s3://…")
    parser.add_argument("--part-rows", type=int, default=1000, help="rows in a request (default: %(default)s)")
    parser.add_argument("--parallel", type=int, default=4, help="requests at once (default: %(default)s)")
    parser.add_argument("--log", choices=("on", "off"), default="on", help="whether requests are logged")
    parser.add_argument("--restart", choices=("yes", "no"), default="no", help="forget what was answered before")
    parser.add_argument(
        "--within", default="", metavar="PLACES", help="what files and answers must lie below, separated by commas"
    )
    parser.add_argument(
        "--address",
        default=os.environ.get("RAY_ADDRESS", "sync"),
        help="a Ray cluster, whose workers take a file each; 'sync' does without (default: $RAY_ADDRESS or sync)",
    )
    # A schedule names the window of each run; a batch reads all of its files.
    for name in ("--window", "--until"):
        parser.add_argument(name, help=argparse.SUPPRESS)


def run(call: Call) -> Answer:
    """Answer the files; a run that was stopped or killed goes on where it was when it is started again."""
    asked = call.options
    batch = Batch(
        str(call.version),
        asked.endpoint,
        asked.files,
        asked.to,
        asked.part_rows,
        asked.parallel,
        unlogged=asked.log == "off",
        restart=asked.restart == "yes",
        within=tuple(filter(None, asked.within.split(","))),
    )
    names = places.inputs(asked.files, batch.work, batch.within)
    graph: dict[str, tuple[object, ...]] = {f"file {i}": (batch.answer, i) for i in range(len(names))}
    graph["all"] = (merged, *graph)
    done = 0

    def tell(key: str) -> None:
        nonlocal done
        done += key != "all"
        progress(done, len(names), "files")

    with execution.executor(asked.address) as ready:
        totals = ready.run(graph, "all", tell)
    places.clear(batch.work)
    if totals.refused and totals.refused == totals.rows:
        raise FunctionFailed(f"every row was refused; *.refused.jsonl in {asked.to} says why")
    return {
        "files": totals.files,
        "rows": totals.rows,
        "refused": totals.refused,
        "already": totals.already,
        "versions": sorted(totals.versions),
    }


COMMAND = Command(add_arguments, run)
