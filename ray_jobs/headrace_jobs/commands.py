"""The command line: arguments in, one job, one line of JSON out."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson

from headrace_functions.errors import HeadraceError, InvalidInput
from headrace_jobs.attribution import command as attribution
from headrace_jobs.command import LOG, Answer, Call, line
from headrace_jobs.drift import command as drift
from headrace_jobs.explain import command as explain
from headrace_jobs.fairness import command as fairness
from headrace_jobs.outliers import command as outliers
from headrace_jobs.performance import command as performance
from headrace_jobs.profiles import command as profiles
from headrace_jobs.projection import command as projection

log = logging.getLogger(LOG)

DONE, FAILED, USAGE = 0, 1, 2

COMMANDS = (
    drift.COMMAND,
    performance.COMMAND,
    fairness.COMMAND,
    outliers.COMMAND,
    explain.COMMAND,
    attribution.COMMAND,
    projection.COMMAND,
    profiles.COMMAND,
)
ASKED_WRONG = frozenset(
    [
        "model",
        "window",
        "until",
        "against",
        "chunks",
        "method",
        "detector",
        "storage",
        "endpoint",
        "budget",
        "count",
        "rate",
    ]
)
"""Fields of ``InvalidInput`` that the command line itself is to blame for."""


def main(arguments: Sequence[str]) -> int:
    """Run one job; returns the exit code."""
    options = _parser().parse_args(arguments)  # exits with 2 on a wrong command line
    _log_to_stderr()
    if options.id:
        log.info("job %s", options.id)
    try:
        answer = options.run(Call.of(options))
    except InvalidInput as error:
        return _refused(error, USAGE if error.field in ASKED_WRONG else FAILED)
    except HeadraceError as error:
        return _refused(error, FAILED)
    _print(answer)
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m headrace_jobs", description="Analyse the request log of a model version."
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    for command in COMMANDS:
        own = kinds.add_parser(command.kind, help=command.text, description=command.text)
        own.set_defaults(run=command.run)
        own.add_argument("--model", required=True, metavar="MODEL:VERSION", help="the version, e.g. churn:1")
        own.add_argument("--storage", required=True, metavar="URL", help="the platform's store: a directory or s3://…")
        own.add_argument("--out", type=Path, metavar="FILE", help="write the report's JSON here too")
        own.add_argument("--id", default="", metavar="JOB", help="the job's id, repeated in the log")
        command.add_arguments(own)
    return parser


def _refused(error: HeadraceError, code: int) -> int:
    sys.stderr.write(f"{error.message}" + (f" ({error.hint})" if error.hint else "") + "\n")
    _print({"error": {"code": error.code, "message": error.message, **error.details()}})
    return code


def _print(answer: Answer) -> None:
    sys.stdout.write(orjson.dumps(answer).decode() + "\n")
    sys.stdout.flush()


class _Lines(logging.Handler):
    """Log records as lines of JSON on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        line({"level": record.levelname.lower(), "message": record.getMessage()})


def _log_to_stderr() -> None:
    log.handlers = [_Lines()]
    log.setLevel(logging.INFO)
    log.propagate = False
