"""Reading a report: its JSON held whole against the model of its kind."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from headrace_functions.errors import Malformed
from headrace_jobs.report.models import Report

REPORTS: TypeAdapter[Any] = TypeAdapter(
    Annotated[Report, Field(discriminator="kind")], config=ConfigDict(defer_build=True)
)
"""All kinds; ``kind`` says which one a report is, so what is wrong is said of that one alone."""


def read(body: bytes) -> Report:
    """The report; ``Malformed`` naming the member that is not as the schema says, such as ``metrics[2].low``."""
    try:
        report: Report = REPORTS.validate_json(body, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        member = _member(first["loc"])
        message = f"report: {member or 'the document'}: {first['msg']}"
        raise Malformed(message, field=member or "report", hint="run its analysis again") from error
    return report


def _member(path: Sequence[int | str]) -> str:
    """The path of a member as people write it; the first part is the kind, which pydantic puts before it."""
    parts = [f"[{p}]" if isinstance(p, int) else f".{p}" for p in path[1:]]
    return "".join(parts).removeprefix(".")
