"""The command of the outliers job."""

import argparse
import logging
import time

from headrace_jobs.command import LOG, Answer, Call, Command, progress, window_arguments
from headrace_jobs.outliers.engines import ENGINES, outlier_engine
from headrace_jobs.outliers.job import OutlierRun

log = logging.getLogger(LOG)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    window_arguments(parser)
    parser.add_argument("--rate", type=float, default=0.01, help="wanted share of false alarms (default: %(default)s)")
    parser.add_argument("--engine", default="native", choices=ENGINES, help="whose detectors (default: %(default)s)")


def run(call: Call) -> Answer:
    engine = outlier_engine(call.options.engine)
    if engine.licence is not None:
        log.warning(engine.licence)
    outliers = OutlierRun(call.version, call.window(), call.options.rate, engine)
    with call.executor() as chosen:
        started = time.monotonic()
        report, function = outliers.report(call.objects, chosen, progress)
        log.info("scored in %.2f s", time.monotonic() - started)
    key = call.keep(outliers.window.slug, report)
    return {"report": key, "verdict": report.verdict, "severity": report.severity, "function": function}


COMMAND = Command(add_arguments, run)
