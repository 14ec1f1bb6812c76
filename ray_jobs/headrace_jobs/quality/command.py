"""The command of the data-quality job."""

import argparse

import orjson

from headrace_functions.errors import InvalidInput
from headrace_functions.quality_rules import QualityRule
from headrace_jobs.command import Answer, Call, Command, progress, window_arguments
from headrace_jobs.quality.job import QualityRun


def add_arguments(parser: argparse.ArgumentParser) -> None:
    window_arguments(parser)
    parser.add_argument(
        "--rules", default="", metavar="JSON", help="a list of rules in place of the version's, as in its definition"
    )


def run(call: Call) -> Answer:
    window = call.window()
    quality = QualityRun(call.version, window, _rules(call.options.rules))
    with call.executor() as chosen:
        report = quality.report(call.objects, chosen, progress)
    return {"report": call.keep(window.slug, report), "verdict": report.verdict, "severity": report.severity}


def _rules(text: str) -> tuple[QualityRule, ...]:
    try:
        return tuple(QualityRule.from_document(one) for one in (orjson.loads(text) if text else ()))
    except (orjson.JSONDecodeError, TypeError) as error:
        raise InvalidInput(f"rules: {error}", field="rules", expected="a JSON list of rules") from error


COMMAND = Command(add_arguments, run)
