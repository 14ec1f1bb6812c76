"""The command of the fairness job."""

import argparse

from headrace_jobs.command import Answer, Call, Command, progress, window_arguments
from headrace_jobs.fairness.job import FairnessRun


def add_arguments(parser: argparse.ArgumentParser) -> None:
    window_arguments(parser)
    parser.add_argument("--group", required=True, metavar="FIELD", help="the input whose values are the groups")
    parser.add_argument("--positive", metavar="VALUE", help="the good answer (default: the last of two classes)")
    parser.add_argument("--output", metavar="NAME", help="the output that holds the answer (default: the first)")


def run(call: Call) -> Answer:
    options, window = call.options, call.window()
    fairness = FairnessRun(call.version, window, options.group, options.positive, options.output)
    with call.executor() as chosen:
        report = fairness.report(call.objects, chosen, progress)
    return {"report": call.keep(window.slug, report), "verdict": report.verdict, "severity": report.severity}


COMMAND = Command(add_arguments, run)
