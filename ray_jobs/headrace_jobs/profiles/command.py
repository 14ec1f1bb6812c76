"""The command of the profile job: of the training data, kept beside the version, or of a window beside them."""

import argparse

from headrace_jobs.command import Answer, Call, Command, progress, window_arguments
from headrace_jobs.profiles.job import ProfileRun
from headrace_jobs.profiles.profiling import make_profile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    window_arguments(parser)
    parser.set_defaults(window=None)


def run(call: Call) -> Answer:
    if call.options.window is None and not call.options.where:
        key = make_profile(call.objects, call.version)
        call.write(call.objects.get(key))
        return {"report": key}
    window = call.window()
    with call.executor() as chosen:
        report = ProfileRun(call.version, window).report(call.objects, chosen, progress)
    return {"report": call.keep(window.slug, report), "rows": report.rows.window}


COMMAND = Command(add_arguments, run)
