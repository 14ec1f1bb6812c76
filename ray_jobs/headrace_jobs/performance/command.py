"""The command of the performance job."""

import argparse
import contextlib
import logging
import time

from headrace_jobs.command import LOG, Answer, Call, Command, progress, window_arguments
from headrace_jobs.performance import custom
from headrace_jobs.performance.job import PerformanceRun

log = logging.getLogger(LOG)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    window_arguments(parser)
    parser.add_argument("--output", metavar="NAME", help="the output that predicts the target (default: the first)")
    parser.add_argument(
        "--metric-function", metavar="DIGEST:NAME", help="a metric of one's own: a function of a file in the store"
    )


def run(call: Call) -> Answer:
    asked = call.options.metric_function
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(custom.read(call.objects, asked)) if asked else None
        performance = PerformanceRun(call.version, call.window(), call.options.output, own)
        chosen = stack.enter_context(call.executor())
        started = time.monotonic()
        report = performance.report(call.objects, chosen, progress)
        log.info("estimated in %.2f s", time.monotonic() - started)
    key = call.keep(performance.window.slug, report)
    return {"report": key, "verdict": report.verdict, "severity": report.severity}


COMMAND = Command(add_arguments, run)
