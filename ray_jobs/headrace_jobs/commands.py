"""The command line: arguments in, one job, one line of JSON out."""

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from headrace_functions.errors import HeadraceError, InvalidInput
from headrace_functions.names import VersionId
from headrace_functions.storage.objects import ObjectStore
from headrace_jobs.detectors.engines import ENGINES, engine
from headrace_jobs.drift import DriftRun
from headrace_jobs.execution import executor
from headrace_jobs.report.keep import encode, keep
from headrace_jobs.report.models import Report
from headrace_jobs.report.page import page
from headrace_jobs.window import Window

log = logging.getLogger("headrace.jobs")

DONE, FAILED, USAGE = 0, 1, 2


def main(arguments: Sequence[str]) -> int:
    """Run one job; returns the exit code."""
    options = _parser().parse_args(arguments)  # exits with 2 on a wrong command line
    _log_to_stderr()
    try:
        answer = options.run(options)
    except InvalidInput as error:
        return _refused(error, USAGE if error.field in options.usage else FAILED)
    except HeadraceError as error:
        return _refused(error, FAILED)
    _print(answer)
    return DONE


def _drift(options: argparse.Namespace) -> dict[str, Any]:
    run = DriftRun(
        VersionId.parse(options.model, field="model"),
        Window.parse(options.window, options.until),
        engine(options.engine),
    )
    if run.detector.licence is not None:
        log.warning(run.detector.licence)
    objects = ObjectStore(options.storage)
    started = time.monotonic()
    with executor(options.address) as chosen:
        ready = time.monotonic()
        report = run.report(objects, chosen, _progress)
        log.info("analysed in %.2f s after %.2f s of starting", time.monotonic() - ready, ready - started)
    key = keep(objects, run.version, run.window.slug, report, page(report))
    _write(report, options.out)
    return {"report": key, "verdict": report.verdict, "severity": report.severity}


def _write(report: Report, out: Path | None) -> None:
    if out is None:
        return
    try:
        out.write_bytes(encode(report))
    except OSError as error:
        raise InvalidInput(f"out: {out} cannot be written: {error.strerror}", field="out", got=str(out)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m headrace_jobs", description="Analyse the request log of a model version."
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    drift = _kind(kinds, "drift", _drift, "compare a window of the log with the training data")
    drift.add_argument("--window", default="24h", help="length of the window: 30m, 24h, 7d (default: %(default)s)")
    drift.add_argument("--until", help="end of the window, RFC 3339 (default: now)")
    drift.add_argument("--engine", default="native", choices=ENGINES, help="who does the tests (default: %(default)s)")
    drift.add_argument(
        "--address",
        default=os.environ.get("RAY_ADDRESS", "local"),
        help="a Ray cluster; 'local' starts one here, 'sync' does without (default: $RAY_ADDRESS or local)",
    )
    return parser


def _kind(
    kinds: Any, name: str, run: Callable[[argparse.Namespace], dict[str, Any]], text: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = kinds.add_parser(name, help=text, description=text)
    parser.set_defaults(run=run, usage=("model", "window", "until", "storage", "endpoint", "budget"))
    parser.add_argument("--model", required=True, metavar="MODEL:VERSION", help="the version, e.g. churn:1")
    parser.add_argument("--storage", required=True, metavar="URL", help="the platform's store: a directory or s3://…")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the report's JSON here too")
    parser.add_argument("--id", default="", metavar="JOB", help="the job's id, repeated in the log")
    return parser


def _progress(done: int, total: int, what: str) -> None:
    _line({"done": done, "total": total, "what": what})


def _refused(error: HeadraceError, code: int) -> int:
    sys.stderr.write(f"{error.message}" + (f" ({error.hint})" if error.hint else "") + "\n")
    _print({"error": {"code": error.code, "message": error.message, **error.details()}})
    return code


def _print(answer: dict[str, Any]) -> None:
    sys.stdout.write(orjson.dumps(answer).decode() + "\n")
    sys.stdout.flush()


def _line(message: dict[str, Any]) -> None:
    sys.stderr.write(orjson.dumps(message).decode() + "\n")
    sys.stderr.flush()


class _Lines(logging.Handler):
    """Log records as lines of JSON on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        _line({"level": record.levelname.lower(), "message": record.getMessage()})


def _log_to_stderr() -> None:
    log.handlers = [_Lines()]
    log.setLevel(logging.INFO)
    log.propagate = False
