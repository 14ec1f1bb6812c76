"""The command of the projection job."""

import argparse

from headrace_jobs.command import Answer, Call, Command, progress, window_arguments
from headrace_jobs.projection.job import ProjectionRun
from headrace_jobs.projection.layout import METHODS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    window_arguments(parser)
    parser.add_argument("--dimensions", type=int, default=2, help="2 or 3 (default: %(default)s)")
    parser.add_argument(
        "--layout",
        default="tsne",
        choices=METHODS,
        help="near rows near, or principal components (default: %(default)s)",
    )
    parser.add_argument("--points", type=int, default=2000, help="rows of both sides (default: %(default)s)")
    parser.add_argument("--request-id", metavar="ID", help="show the neighbours of this request")
    parser.add_argument("--row", type=int, default=0, metavar="K", help="row of the request (default: 0)")


def run(call: Call) -> Answer:
    options, window = call.options, call.window()
    chosen = (options.dimensions, options.layout, options.points, options.request_id, options.row)
    projection = ProjectionRun(call.version, window, *chosen)
    with call.executor() as ready:
        report = projection.report(call.objects, ready, progress)
    return {"report": call.keep(window.slug, report), "beyond": report.beyond, "sentence": report.sentence}


COMMAND = Command(add_arguments, run)
