"""The audit: who changed what, and who was refused."""

from datetime import datetime
from itertools import islice

from pydantic import Field

from headrace_controller import clock
from headrace_controller.api import schemas
from headrace_controller.api.permissions import everywhere
from headrace_controller.api.routing import Query, Resource
from headrace_controller.api.running import moment
from headrace_controller.service.platform import Platform
from headrace_functions.access.audit import Entry, Head
from headrace_functions.errors import InvalidInput
from headrace_functions.names import natural

MOST = 1000
LOOKED_AT = 20_000
"""Entries that one question looks at, from the newest back."""

resource = Resource("audit")


class AuditQuery(Query):
    who: str = Field(default="", description="part of the subject, e.g. user:ann")
    what: str = Field(
        default="", description="part of the operation or of what it was done to, e.g. move_alias or churn"
    )
    since: str | None = Field(default=None, description="RFC 3339 time, or a duration back from now such as 1h")
    outcome: str = Field(default="", description="done, refused or failed; all where it is empty")
    limit: int = Field(default=100, ge=1, le=MOST, description="entries, the newest first")


class HeadQuery(Query):
    head: str = Field(default="", description="NUMBER:DIGEST that an earlier verification told, kept elsewhere")


@resource.route("GET", "/audit", answer=schemas.AuditList, query=AuditQuery, access=everywhere("administer"))
def list_audit(platform: Platform, query: AuditQuery) -> schemas.AuditList:
    """List changes and refusals with the caller of each, the newest first."""
    since = moment(query.since, "since") if query.since else None
    return schemas.AuditList(items=select(platform, query, since))


@resource.route("GET", "/audit/verify", answer=schemas.AuditVerdict, query=HeadQuery, access=everywhere("administer"))
def verify_audit(platform: Platform, query: HeadQuery) -> schemas.AuditVerdict:
    """Read the whole audit and check whether an entry was altered or removed."""
    known = _head(query.head) if query.head else platform.trust.known_head()
    found = platform.trust.audit.verify(known)
    return schemas.AuditVerdict(entries=found.head.number, head=str(found.head), fault=found.fault)


def select(platform: Platform, query: AuditQuery, since: datetime | None) -> list[schemas.AuditEntry]:
    found = []
    for number, entry in islice(platform.trust.audit.newest(), LOOKED_AT):
        if since is not None and clock.parse(entry.at, field="at") < since:
            break
        wanted = query.who in entry.who and (query.what in entry.what or query.what in entry.on)
        if wanted and query.outcome in ("", entry.outcome):
            found.append(view(number, entry))
            if len(found) >= query.limit:
                break
    return found


def view(number: int, entry: Entry) -> schemas.AuditEntry:
    return schemas.AuditEntry(number=number, **entry.to_document())


def _head(text: str) -> Head:
    said, colon, digest = text.partition(":")
    number = natural(said)
    if number is None or not colon or len(digest) != 64:
        raise InvalidInput(
            f"head: {text[:100]!r} is not an audit head",
            field="head",
            expected="NUMBER:DIGEST, as printed by headrace audit verify",
        )
    return Head(number, digest)
