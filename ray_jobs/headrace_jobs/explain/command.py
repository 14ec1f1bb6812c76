"""The command of the explain job."""

import argparse
import logging
import time

from headrace_functions.errors import InvalidInput
from headrace_jobs.command import LOG, Answer, Call, Command, progress
from headrace_jobs.explain import alibi, anchors, cache, methods
from headrace_jobs.explain.job import BUDGET, ExplainRun

log = logging.getLogger(LOG)

ENGINES = ("native", "alibi")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--request-id", required=True, metavar="ID", help="the request, as its x-request-id says")
    parser.add_argument("--row", type=int, default=0, metavar="K", help="row of the request (default: 0)")
    parser.add_argument("--endpoint", required=True, metavar="URL", help="the gateway, e.g. http://127.0.0.1:8080")
    parser.add_argument(
        "--method",
        default="shap",
        choices=("shap", *methods.METHODS),
        help="shares of inputs, a rule, rows with another answer, or parts of an image (default: %(default)s)",
    )
    parser.add_argument(
        "--engine", default="native", choices=ENGINES, help="who looks for anchors (default: %(default)s)"
    )
    parser.add_argument(
        "--budget", type=int, help="rows to ask the endpoint (default: 2000; 5000 for anchors, 100000 with alibi)"
    )
    parser.add_argument(
        "--output", metavar="NAME", help="what to explain, e.g. probabilities[yes] (default: the prediction)"
    )
    parser.add_argument(
        "--sequence", default="", metavar="NAME", help="explain this sequence, of whose last stage the version is one"
    )


def run(call: Call) -> Answer:
    options = call.options
    usual = alibi.BUDGET if options.engine == "alibi" else anchors.BUDGET if options.method == "anchors" else BUDGET
    asked = ExplainRun(
        call.version,
        options.request_id,
        options.row,
        options.endpoint,
        usual if options.budget is None else options.budget,
        options.output,
        options.sequence,
        options.engine,
    )
    if options.engine == "alibi":
        if options.method != "anchors":
            message = f"engine: alibi explains by anchors, not by {options.method}"
            raise InvalidInput(message, field="engine", expected="--method anchors", hint="leave out --engine")
        log.warning(alibi.LICENCE)
    started = time.monotonic()
    known = cache.find(call.objects, asked, options.method)
    if known is not None:
        call.write(call.objects.get(known))
        return {"report": known, "cached": True}
    explained = methods.METHODS.get(options.method, ExplainRun.report)(asked, call.objects, progress)
    log.info("explained in %.2f s", time.monotonic() - started)
    key = call.keep(_slug(asked), explained)
    cache.remember(call.objects, asked, options.method, key)
    return {"report": key, "sentence": explained.sentence}


def _slug(asked: ExplainRun) -> str:
    """A request id as part of a key: only characters that every store takes as they are."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in asked.request_id[:64])
    return f"{asked.sequence}-{kept}-{asked.row}" if asked.sequence else f"{kept}-{asked.row}"


COMMAND = Command(add_arguments, run)
