"""The command line: arguments in, one job, one line of JSON out."""

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Container, Sequence
from pathlib import Path

import orjson

from headrace_functions.errors import HeadraceError, InvalidInput
from headrace_jobs.command import LOG, Answer, Call, Command, line

log = logging.getLogger(LOG)

DONE, FAILED, USAGE = 0, 1, 2

# kind: (package of the job, what it does in one line)
KINDS: dict[str, tuple[str, str]] = {
    "drift": ("drift", "compare a window of the log with the training data or another window"),
    "performance": ("performance", "metrics of a window, before labels are known and after"),
    "fairness": ("fairness", "how groups of a window are answered"),
    "quality": ("quality", "whether a window keeps the rules that people wrote for it"),
    "outliers": ("outliers", "learn what rows are usual, and report on the unusual ones"),
    "explain": ("explain", "SHAP values of one logged request, by asking the endpoint"),
    "attribution": ("attribution", "what the answers of a window depend on"),
    "projection": ("projection", "a map of a window's rows over those of training"),
    "batch": ("batch", "the rows of files through the version's endpoint, written with the answers"),
    "profile": ("profiles", "statistics of the training data, kept beside the version, or of a window beside them"),
}
ASKED_WRONG = frozenset(
    [
        "model",
        "window",
        "until",
        "where",
        "rules",
        "time",
        "against",
        "chunks",
        "method",
        "detector",
        "storage",
        "endpoint",
        "budget",
        "count",
        "rate",
        "in",
        "out",
    ]
)
"""Fields of ``InvalidInput`` that the command line itself is to blame for."""


def main(arguments: Sequence[str]) -> int:
    """Run one job; returns the exit code."""
    options = _parser(arguments[:1]).parse_args(arguments)  # exits with 2 on a wrong command line
    _log_to_stderr()
    # Threads of OpenMP that wait for each other in a busy loop triple the time of an analysis beside others.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
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


def _parser(asked: Container[str] = KINDS) -> argparse.ArgumentParser:
    """The parser of the command line, with the options of the kinds that are ``asked`` for."""
    parser = argparse.ArgumentParser(
        prog="python -m headrace_jobs", description="Analyse the request log of a model version."
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    for kind, (package, text) in KINDS.items():
        own = kinds.add_parser(kind, help=text, description=text)
        if kind not in asked:
            continue
        # Imported here and not at the top: an explanation would wait for the code of all other jobs.
        command: Command = importlib.import_module(f"headrace_jobs.{package}.command").COMMAND
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
