"""The command of the attribution job."""

import argparse

from headrace_jobs.attribution.job import AttributionRun
from headrace_jobs.attribution.rows import CHOICES
from headrace_jobs.command import Answer, Call, Command, progress, window_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    window_arguments(parser)
    parser.add_argument("--endpoint", required=True, metavar="URL", help="the gateway, e.g. http://127.0.0.1:8080")
    parser.add_argument(
        "--rows",
        default="sample",
        choices=CHOICES,
        help="a sample of the window, its outliers, the rows least like training, or training itself (default: %(default)s)",
    )
    parser.add_argument("--count", type=int, default=100, help="rows that are explained (default: %(default)s)")
    parser.add_argument(
        "--budget", type=int, default=100_000, help="rows to ask the endpoint, together (default: %(default)s)"
    )
    parser.add_argument(
        "--output", metavar="NAME", help="what to explain, e.g. probabilities[yes] (default: the prediction)"
    )


def run(call: Call) -> Answer:
    options, window = call.options, call.window()
    asked = (options.rows, options.count, options.budget, options.output)
    attribution = AttributionRun(call.version, window, options.endpoint, *asked)
    with call.executor() as ready:
        report = attribution.report(call.objects, ready, progress)
    return {"report": call.keep(window.slug, report), "method": report.method, "sentence": report.sentence}


COMMAND = Command(add_arguments, run)
