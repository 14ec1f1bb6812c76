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
from headrace_jobs.attribution.job import AttributionRun
from headrace_jobs.attribution.rows import CHOICES
from headrace_jobs.baseline import against_of
from headrace_jobs.detectors.engines import ENGINES, engine
from headrace_jobs.detectors.methods import Methods
from headrace_jobs.drift import DriftRun
from headrace_jobs.execution import executor
from headrace_jobs.explain import cache, methods
from headrace_jobs.explain.job import ExplainRun
from headrace_jobs.fairness.job import FairnessRun
from headrace_jobs.inputs import window_of
from headrace_jobs.outliers.job import OutlierRun
from headrace_jobs.performance import custom
from headrace_jobs.performance.job import PerformanceRun
from headrace_jobs.profiles.job import ProfileRun
from headrace_jobs.profiling import make_profile
from headrace_jobs.projection.job import ProjectionRun
from headrace_jobs.projection.layout import METHODS as LAYOUTS
from headrace_jobs.report.keep import encode, keep
from headrace_jobs.report.page import page

log = logging.getLogger("headrace.jobs")

DONE, FAILED, USAGE = 0, 1, 2


def main(arguments: Sequence[str]) -> int:
    """Run one job; returns the exit code."""
    options = _parser().parse_args(arguments)  # exits with 2 on a wrong command line
    _log_to_stderr()
    if options.id:
        log.info("job %s", options.id)
    try:
        answer = options.run(options)
    except InvalidInput as error:
        return _refused(error, USAGE if error.field in options.usage else FAILED)
    except HeadraceError as error:
        return _refused(error, FAILED)
    _print(answer)
    return DONE


def _drift(options: argparse.Namespace) -> dict[str, Any]:
    version = VersionId.parse(options.model, field="model")
    objects = ObjectStore(options.storage)
    window = window_of(objects, version, options.window, options.until)
    run = DriftRun(
        version,
        window,
        engine(options.engine),
        against=against_of(objects, version, options.against, window),
        chunks=window.chunks(options.chunks) if options.chunks else (),
        methods=Methods.parse(options.method),
        together=tuple(n for n in options.detector.split(",") if n and n != "none"),
    )
    if run.detector.licence is not None:
        log.warning(run.detector.licence)
    started = time.monotonic()
    with executor(options.address) as chosen:
        ready = time.monotonic()
        report = run.report(objects, chosen, _progress)
        log.info("analysed in %.2f s after %.2f s of starting", time.monotonic() - ready, ready - started)
    key = keep(objects, run.version, run.window.slug, report, page(report))
    _write(encode(report), options.out)
    return {"report": key, "verdict": report.verdict, "severity": report.severity}


def _explain(options: argparse.Namespace) -> dict[str, Any]:
    run = ExplainRun(
        VersionId.parse(options.model, field="model"),
        options.request_id,
        options.row,
        options.endpoint,
        options.budget,
        options.output,
    )
    objects = ObjectStore(options.storage)
    started = time.monotonic()
    known = cache.find(objects, run, options.method)
    if known is not None:
        _write(objects.get(known), options.out)
        return {"report": known, "cached": True}
    explained = methods.METHODS.get(options.method, ExplainRun.report)(run, objects, _progress)
    log.info("explained in %.2f s", time.monotonic() - started)
    key = keep(objects, run.version, _slug(run.request_id, run.row), explained, page(explained))
    cache.remember(objects, run, options.method, key)
    _write(encode(explained), options.out)
    return {"report": key, "sentence": explained.sentence}


def _performance(options: argparse.Namespace) -> dict[str, Any]:
    version = VersionId.parse(options.model, field="model")
    objects = ObjectStore(options.storage)
    own = custom.read(objects, options.metric_function) if options.metric_function else None
    run = PerformanceRun(version, window_of(objects, version, options.window, options.until), options.output, own)
    with executor(options.address) as chosen:
        started = time.monotonic()
        report = run.report(objects, chosen, _progress)
        log.info("estimated in %.2f s", time.monotonic() - started)
    key = keep(objects, run.version, run.window.slug, report, page(report))
    _write(encode(report), options.out)
    return {"report": key, "verdict": report.verdict, "severity": report.severity}


def _fairness(options: argparse.Namespace) -> dict[str, Any]:
    version = VersionId.parse(options.model, field="model")
    objects = ObjectStore(options.storage)
    window = window_of(objects, version, options.window, options.until)
    run = FairnessRun(version, window, options.group, options.positive, options.output)
    with executor(options.address) as chosen:
        report = run.report(objects, chosen, _progress)
    key = keep(objects, version, window.slug, report, page(report))
    _write(encode(report), options.out)
    return {"report": key, "verdict": report.verdict, "severity": report.severity}


def _outliers(options: argparse.Namespace) -> dict[str, Any]:
    version = VersionId.parse(options.model, field="model")
    objects = ObjectStore(options.storage)
    run = OutlierRun(version, window_of(objects, version, options.window, options.until), options.rate)
    with executor(options.address) as chosen:
        started = time.monotonic()
        report, function = run.report(objects, chosen, _progress)
        log.info("scored in %.2f s", time.monotonic() - started)
    key = keep(objects, version, run.window.slug, report, page(report))
    _write(encode(report), options.out)
    return {"report": key, "verdict": report.verdict, "severity": report.severity, "function": function}


def _attribution(options: argparse.Namespace) -> dict[str, Any]:
    version = VersionId.parse(options.model, field="model")
    objects = ObjectStore(options.storage)
    window = window_of(objects, version, options.window, options.until)
    asked = (options.rows, options.count, options.budget, options.output)
    run = AttributionRun(version, window, options.endpoint, *asked)
    with executor(options.address) as ready:
        report = run.report(objects, ready, _progress)
    key = keep(objects, run.version, run.window.slug, report, page(report))
    _write(encode(report), options.out)
    return {"report": key, "method": report.method, "sentence": report.sentence}


def _projection(options: argparse.Namespace) -> dict[str, Any]:
    version = VersionId.parse(options.model, field="model")
    objects = ObjectStore(options.storage)
    window = window_of(objects, version, options.window, options.until)
    chosen = (options.dimensions, options.layout, options.points, options.request_id, options.row)
    run = ProjectionRun(version, window, *chosen)
    with executor(options.address) as ready:
        report = run.report(objects, ready, _progress)
    key = keep(objects, run.version, run.window.slug, report, page(report))
    _write(encode(report), options.out)
    return {"report": key, "beyond": report.beyond, "sentence": report.sentence}


def _profile(options: argparse.Namespace) -> dict[str, Any]:
    objects = ObjectStore(options.storage)
    version = VersionId.parse(options.model, field="model")
    if options.window is not None:
        return _profile_of_window(options, objects, version)
    key = make_profile(objects, version)
    _write(objects.get(key), options.out)
    return {"report": key}


def _profile_of_window(options: argparse.Namespace, objects: ObjectStore, version: VersionId) -> dict[str, Any]:
    run = ProfileRun(version, window_of(objects, version, options.window, options.until))
    with executor(options.address) as chosen:
        report = run.report(objects, chosen, _progress)
    key = keep(objects, version, run.window.slug, report, page(report))
    _write(encode(report), options.out)
    return {"report": key, "rows": report.rows.window}


def _slug(request_id: str, row: int) -> str:
    """A request id as part of a key: only characters that every store takes as they are."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in request_id[:64]) + f"-{row}"


def _write(document: bytes, out: Path | None) -> None:
    if out is None:
        return
    try:
        out.write_bytes(document)
    except OSError as error:
        raise InvalidInput(f"out: {out} cannot be written: {error.strerror}", field="out", got=str(out)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m headrace_jobs", description="Analyse the request log of a model version."
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    drift = _kind(kinds, "drift", _drift, "compare a window of the log with the training data or another window")
    _window(drift)
    drift.add_argument(
        "--against",
        default="training",
        metavar="REFERENCE",
        help="training, previous (the window before this one) or START/END in RFC 3339 (default: %(default)s)",
    )
    drift.add_argument(
        "--method",
        default="",
        metavar="FIELD=TEST,…",
        help="test of a field, or of all numerical or categorical ones: cvm, ks; chi2, g, fisher (default: the engine's choice)",
    )
    drift.add_argument(
        "--detector",
        default="joint,concept",
        metavar="NAME,…",
        help="tests of all fields together: joint, concept (where labels came), mmd, reconstruction, uncertainty; with alibi also classifier, tabular, lsdd; "
        "or none (default: %(default)s)",
    )
    drift.add_argument("--chunks", metavar="LENGTH", help="judge pieces of the window by themselves too, e.g. 1h")
    drift.add_argument("--engine", default="native", choices=ENGINES, help="who does the tests (default: %(default)s)")
    performance = _kind(kinds, "performance", _performance, "metrics of a window, before labels are known and after")
    _window(performance)
    performance.add_argument(
        "--output", metavar="NAME", help="the output that predicts the target (default: the first)"
    )
    performance.add_argument(
        "--metric-function", metavar="DIGEST:NAME", help="a metric of one's own: a function of a file in the store"
    )
    fairness = _kind(kinds, "fairness", _fairness, "how groups of a window are answered")
    _window(fairness)
    fairness.add_argument("--group", required=True, metavar="FIELD", help="the input whose values are the groups")
    fairness.add_argument("--positive", metavar="VALUE", help="the good answer (default: the last of two classes)")
    fairness.add_argument("--output", metavar="NAME", help="the output that holds the answer (default: the first)")
    outliers = _kind(kinds, "outliers", _outliers, "learn what rows are usual, and report on the unusual ones")
    _window(outliers)
    outliers.add_argument(
        "--rate", type=float, default=0.01, help="wanted share of false alarms (default: %(default)s)"
    )
    explain = _kind(kinds, "explain", _explain, "SHAP values of one logged request, by asking the endpoint")
    explain.add_argument("--request-id", required=True, metavar="ID", help="the request, as its x-request-id says")
    explain.add_argument("--row", type=int, default=0, metavar="K", help="row of the request (default: 0)")
    explain.add_argument("--endpoint", required=True, metavar="URL", help="the gateway, e.g. http://127.0.0.1:8080")
    explain.add_argument(
        "--method",
        default="shap",
        choices=("shap", *methods.METHODS),
        help="shares of inputs, a rule, rows with another answer, or parts of an image (default: %(default)s)",
    )
    explain.add_argument("--budget", type=int, default=2000, help="rows to ask the endpoint (default: %(default)s)")
    explain.add_argument(
        "--output", metavar="NAME", help="what to explain, e.g. probabilities[yes] (default: the prediction)"
    )
    attribution = _kind(kinds, "attribution", _attribution, "what the answers of a window depend on")
    _window(attribution)
    attribution.add_argument("--endpoint", required=True, metavar="URL", help="the gateway, e.g. http://127.0.0.1:8080")
    attribution.add_argument(
        "--rows",
        default="sample",
        choices=CHOICES,
        help="a sample of the window, its outliers, or the rows least like training (default: %(default)s)",
    )
    attribution.add_argument("--count", type=int, default=100, help="rows that are explained (default: %(default)s)")
    attribution.add_argument(
        "--budget", type=int, default=100_000, help="rows to ask the endpoint, together (default: %(default)s)"
    )
    attribution.add_argument(
        "--output", metavar="NAME", help="what to explain, e.g. probabilities[yes] (default: the prediction)"
    )
    projection = _kind(kinds, "projection", _projection, "a map of a window's rows over those of training")
    _window(projection)
    projection.add_argument("--dimensions", type=int, default=2, help="2 or 3 (default: %(default)s)")
    projection.add_argument(
        "--layout",
        default="tsne",
        choices=LAYOUTS,
        help="near rows near, or principal components (default: %(default)s)",
    )
    projection.add_argument("--points", type=int, default=2000, help="rows of both sides (default: %(default)s)")
    projection.add_argument("--request-id", metavar="ID", help="show the neighbours of this request")
    projection.add_argument("--row", type=int, default=0, metavar="K", help="row of the request (default: 0)")
    profile = _kind(
        kinds,
        "profile",
        _profile,
        "statistics of the training data, kept beside the version, or of a window beside them",
    )
    _window(profile)
    profile.set_defaults(window=None)
    return parser


def _window(parser: argparse.ArgumentParser) -> None:
    """What jobs over a window of the log have in common."""
    parser.add_argument(
        "--window", default="24h", help="length of the window: 30m, 24h, 7d or 10000rows (default: %(default)s)"
    )
    parser.add_argument("--until", help="end of the window, RFC 3339 (default: now)")
    parser.add_argument(
        "--address",
        default=os.environ.get("RAY_ADDRESS", "local"),
        help="a Ray cluster; 'local' starts one here, 'sync' does without (default: $RAY_ADDRESS or local)",
    )


def _kind(
    kinds: Any, name: str, run: Callable[[argparse.Namespace], dict[str, Any]], text: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = kinds.add_parser(name, help=text, description=text)
    parser.set_defaults(
        run=run,
        usage=(
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
        ),
    )
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
