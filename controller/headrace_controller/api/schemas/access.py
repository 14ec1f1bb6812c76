"""Logins, keys, grants, limits and the audit, as the API answers them."""

from typing import Literal

from pydantic import Field

from headrace_controller.api.schemas.answers import Answer, Json


class LimitsView(Answer):
    model: str
    rule: str
    field: str = Field(description="empty for every field")
    levels: dict[str, float] = Field(description="limits of low, medium and severe: a share, milliseconds or minutes")
    wanted: int
    looks: int
    off: bool


class LimitsList(Answer):
    items: list[LimitsView]


class LoginView(Answer):
    """The login provider for logins from a terminal; empty if there is none."""

    authentication: bool = Field(description="whether the platform authenticates its callers")
    issuer: str
    client_id: str
    scopes: str


class CallerView(Answer):
    subject: str = Field(description="key:NAME, user:NAME, machine:NAME; empty without authentication")
    owner: str
    groups: list[str]
    roles: list[str] = Field(description="ROLE:PATTERN, of the credential itself and by grants")
    authentication: bool = Field(description="whether the platform authenticates its callers")


class KeyView(Answer):
    name: str
    id: str = Field(description="the public part of the key, between hrk_ and the secret")
    owner: str
    roles: list[str] = Field(description="ROLE:PATTERN")
    state: Literal["active", "expired", "revoked"]
    created: str
    expires: str | None
    revoked: str | None
    last_used: str | None = Field(description="accurate to a minute; null for never")


class KeyList(Answer):
    items: list[KeyView]


class NewKeyView(KeyView):
    key: str = Field(description="the key; it is shown only this once")


class GrantView(Answer):
    name: str
    subjects: list[str]
    role: str
    names: list[str] = Field(description="names or patterns of names")


class GrantList(Answer):
    items: list[GrantView]


class GrantApplied(Answer):
    grant: GrantView
    changed: bool
    matches: int = Field(description="models and sequences that currently match the patterns")


class SubjectList(Answer):
    items: list[str]


class EndedView(Answer):
    ended: int = Field(description="sessions that were ended")


class AuditEntry(Answer):
    number: int
    at: str
    who: str = Field(description="key:NAME, user:NAME…; empty without authentication; hrk_… for an unknown key")
    what: str = Field(description="the operation, or the missing permission at the gateway")
    on: str = Field(description="the path of the request, or a name")
    outcome: Literal["done", "refused", "failed"]
    status: int
    request_id: str
    origin: str = Field(description="the address that the request came from")
    reason: str
    times: int = Field(description="how often the same request was refused within ten seconds")
    changes: list[Json] = Field(description="kind, name, before and after of each changed document")


class AuditList(Answer):
    items: list[AuditEntry]


class AuditVerdict(Answer):
    entries: int
    head: str = Field(
        description="NUMBER:DIGEST of the last entry; stored elsewhere, it proves that no entries were cut off at the end"
    )
    fault: str = Field(description="the first entry that was altered or removed; empty where there is none")


class RotatedSecret(Answer):
    old_taken_seconds: float = Field(description="seconds for which the old secret is still accepted; 0 for none")


class RotatedHashKey(Answer):
    versions: list[str] = Field(
        description="versions with hashed fields: equal values get different hashes from now on"
    )
