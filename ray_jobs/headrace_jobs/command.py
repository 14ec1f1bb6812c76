"""What the commands of all jobs are made of: the shape of one, options over a window, and what becomes of a report.

Each job has its own in a ``command`` module beside it, with the arguments that it takes; ``commands`` has the table of them.
"""

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from headrace_functions.errors import InvalidInput
from headrace_functions.names import VersionId
from headrace_functions.storage.objects import ObjectStore
from headrace_jobs import execution
from headrace_jobs.inputs import read_version, window_of
from headrace_jobs.report.models import Report
from headrace_jobs.report.page import page
from headrace_jobs.report.report_store import encode, keep
from headrace_jobs.window import Window

LOG = "headrace.jobs"
"""Name of the logger whose records people see."""

Answer = dict[str, Any]
"""What the last line of standard output says: where the report is, and the most important of it."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a job: the store, the version, and what else was asked for."""

    objects: ObjectStore
    version: VersionId
    options: argparse.Namespace

    @classmethod
    def of(cls, options: argparse.Namespace) -> "Call":
        """``InvalidInput`` where the version or the store's URL cannot be read."""
        version = VersionId.parse(options.model, field="model")
        return cls(ObjectStore(options.storage), version, options)

    def window(self) -> Window:
        """The window that is asked for by ``window_arguments``, by the version's rules where nothing was asked."""
        version, asked = read_version(self.objects, self.version), self.options
        rules = version.drift.with_settings((getattr(asked, "settings", None) or "").splitlines())
        if asked.time:
            rules = replace(rules, time=asked.time)
        length = asked.window or rules.window
        return window_of(
            self.objects, self.version, length, asked.until, asked.where, rules.time_column(version.signature)
        )

    def executor(self) -> AbstractContextManager[execution.Executor]:
        """Who runs the plan, as ``window_arguments`` say."""
        return execution.executor(self.options.address)

    def keep(self, slug: str, report: Report) -> str:
        """Store a report with its page, write its JSON where the caller wants it too, and return its key."""
        key = keep(self.objects, self.version, slug, report, page(report))
        self.write(encode(report))
        return key

    def write(self, document: bytes) -> None:
        """Write a document to the file of ``--out``, if there is one."""
        out: Path | None = self.options.out
        if out is None:
            return
        try:
            out.write_bytes(document)
        except OSError as error:
            raise InvalidInput(f"out: {out} cannot be written: {error.strerror}", field="out", got=str(out)) from error


@dataclass(frozen=True, slots=True)
class Command:
    """A job as the command line knows it; ``commands`` says what it is called."""

    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Call], Answer]


def window_arguments(parser: argparse.ArgumentParser) -> None:
    """What jobs over a window of the log have in common."""
    parser.add_argument(
        "--window", help="length of the window: 30m, 24h, 7d or 10000rows (default: the definition's, else 24h)"
    )
    parser.add_argument("--until", help="end of the window, RFC 3339 (default: now)")
    parser.add_argument("--where", default="", help='only rows that satisfy this condition, e.g. "in.age > 30"')
    parser.add_argument(
        "--time",
        help="when a row happened: received, caller_time, or an input or output (default: the definition's, else received)",
    )
    parser.add_argument(
        "--address",
        default=os.environ.get("RAY_ADDRESS", "auto"),
        help="a Ray cluster; 'local' starts one here, 'sync' does without, 'auto' starts one where the log is large (default: $RAY_ADDRESS or auto)",
    )


def progress(done: int, total: int, what: str) -> None:
    """Tell people how far the job is."""
    line({"done": done, "total": total, "what": what})


def line(message: Answer) -> None:
    """A line of JSON on standard error."""
    sys.stderr.write(orjson.dumps(message).decode() + "\n")
    sys.stderr.flush()
