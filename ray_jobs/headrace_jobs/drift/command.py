"""The command of the drift job."""

import argparse
import logging
import time

from headrace_jobs.baseline import against_of
from headrace_jobs.command import LOG, Answer, Call, Command, progress, window_arguments
from headrace_jobs.detectors.engines import ENGINES, engine
from headrace_jobs.detectors.methods import Methods
from headrace_jobs.drift.job import DriftRun

log = logging.getLogger(LOG)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    window_arguments(parser)
    parser.add_argument(
        "--against",
        default="training",
        metavar="REFERENCE",
        help="training, previous (the window before this one) or START/END in RFC 3339 (default: %(default)s)",
    )
    parser.add_argument(
        "--method",
        default="",
        metavar="FIELD=TEST,…",
        help="test of a field, or of all numerical or categorical ones: cvm, ks; chi2, g, fisher (default: the engine's choice)",
    )
    parser.add_argument(
        "--detector",
        default="joint,relations,concept",
        metavar="NAME,…",
        help="tests of all fields together: joint, relations, concept (where labels came), mmd, reconstruction, uncertainty; with alibi also classifier, tabular, lsdd; "
        "or none (default: %(default)s)",
    )
    parser.add_argument(
        "--settings",
        default="",
        metavar="KEY=VALUE\\n…",
        help="settings of this run in place of the version's, a line each: monitoring.alpha, .effect, .exclude, .fields.NAME, .grouping",
    )
    parser.add_argument("--chunks", metavar="LENGTH", help="judge pieces of the window by themselves too, e.g. 1h")
    parser.add_argument("--engine", default="native", choices=ENGINES, help="who does the tests (default: %(default)s)")


def run(call: Call) -> Answer:
    options, window = call.options, call.window()
    drift = DriftRun(
        call.version,
        window,
        engine(options.engine),
        against=against_of(call.objects, call.version, options.against, window),
        chunks=window.chunks(options.chunks) if options.chunks else (),
        methods=Methods.parse(options.method),
        settings=tuple(line for line in options.settings.splitlines() if line.strip()),
        together=tuple(n for n in options.detector.split(",") if n and n != "none"),
    )
    if drift.detector.licence is not None:
        log.warning(drift.detector.licence)
    started = time.monotonic()
    with call.executor() as chosen:
        ready = time.monotonic()
        report = drift.report(call.objects, chosen, progress)
        log.info("analysed in %.2f s after %.2f s of starting", time.monotonic() - ready, ready - started)
    return {"report": call.keep(window.slug, report), "verdict": report.verdict, "severity": report.severity}


COMMAND = Command(add_arguments, run)
