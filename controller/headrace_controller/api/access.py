"""API keys, grants, blocks and sessions: who may do what."""

from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from headrace_controller import clock
from headrace_controller.access import current
from headrace_controller.api import schemas
from headrace_controller.api.permissions import PUBLIC, SIGNED_IN, everywhere
from headrace_controller.api.routing import Body, Resource
from headrace_controller.definitions import GrantDefinition
from headrace_controller.definitions.fields import parse_duration
from headrace_controller.service.platform import Platform
from headrace_functions.access.keys import Key
from headrace_functions.access.roles import MAX_SUBJECT, Grant, RoleOn
from headrace_functions.errors import InvalidInput

resource = Resource("access")

_GRANT = "/access/grants/<name>"


class KeyBody(Body):
    name: str
    owner: str = Field(default="", description="user:NAME whose key it is; who asks where it is left out")
    roles: list[str] = Field(description="ROLE or ROLE:PATTERN, e.g. caller:churn-*", max_length=50)
    expires: str | None = Field(default=None, description="a duration such as 90d; never where it is left out")


class SubjectBody(Body):
    subject: str = Field(description="user:NAME, group:NAME, key:NAME or machine:NAME", max_length=MAX_SUBJECT + 10)


@resource.route("GET", "/access/whoami", answer=schemas.CallerView, access=SIGNED_IN)
def who_am_i(platform: Platform) -> schemas.CallerView:
    """Show the identity and the permissions of the caller."""
    caller, roles = current.caller(), current.roles()
    return schemas.CallerView(
        subject=caller.subject,
        owner=caller.owner,
        groups=list(caller.groups),
        roles=[str(role) for role in roles],
        authentication=platform.trust.required,
    )


@resource.route("GET", "/access/login", answer=schemas.LoginView, access=PUBLIC)
def how_to_log_in(platform: Platform) -> schemas.LoginView:
    """Show the login provider for logins from a terminal."""
    settings = platform.trust.login
    offered = bool(settings.oidc_issuer and settings.oidc_cli_client_id)
    return schemas.LoginView(
        authentication=platform.trust.required,
        issuer=settings.oidc_issuer if offered else "",
        client_id=settings.oidc_cli_client_id if offered else "",
        scopes=settings.oidc_scopes if offered else "",
    )


class RotateBody(Body):
    at_once: bool = Field(
        default=False, description="the old secret is not taken any longer, also of analyses that are on"
    )


@resource.route(
    "POST", "/access/secret/rotate", answer=schemas.RotatedSecret, body=RotateBody, access=everywhere("administer")
)
def rotate_secret(platform: Platform, body: RotateBody) -> schemas.RotatedSecret:
    """Replace the secret that the platform's own processes share; functions are restarted with it."""
    return schemas.RotatedSecret(old_taken_seconds=platform.rotation.rotate_secret(at_once=body.at_once))


@resource.route("POST", "/access/hash-key/rotate", answer=schemas.RotatedHashKey, access=everywhere("administer"))
def rotate_hash_key(platform: Platform) -> schemas.RotatedHashKey:
    """Hash sensitive fields with a new key from now on; returns the versions that have such fields."""
    return schemas.RotatedHashKey(versions=platform.rotation.rotate_hash_key())


@resource.route("GET", "/access/keys", answer=schemas.KeyList, access=everywhere("administer"))
def list_keys(platform: Platform) -> schemas.KeyList:
    """List API keys, including revoked ones; the keys themselves are not stored."""
    control = platform.trust.control
    used = control.uses.last()
    return schemas.KeyList(items=[key_view(key, used.get(key.name)) for key in control.every_key()])


@resource.route(
    "POST", "/access/keys", answer=schemas.NewKeyView, body=KeyBody, status=201, access=everywhere("administer")
)
def create_key(platform: Platform, body: KeyBody) -> schemas.NewKeyView:
    """Create an API key; the response shows it, and it is never shown again."""
    seconds = parse_duration(body.expires) if body.expires else None
    roles = tuple(RoleOn.parse(text, field="roles") for text in body.roles)
    made = platform.trust.control.create_key(body.name, body.owner or _owner(), roles, seconds)
    return schemas.NewKeyView(**key_view(made.key, None).model_dump(), key=made.text)


@resource.route("DELETE", "/access/keys/<name>", access=everywhere("administer"))
def revoke_key(platform: Platform, name: str) -> None:
    """Revoke an API key permanently, effective within five seconds; refused (409) for the key of the last administrator."""
    platform.trust.control.revoke_key(name)


@resource.route("GET", "/access/grants", answer=schemas.GrantList, access=everywhere("administer"))
def list_grants(platform: Platform) -> schemas.GrantList:
    """List grants."""
    return schemas.GrantList(items=[grant_view(g) for g in platform.trust.control.grants()])


@resource.route("GET", _GRANT, answer=schemas.GrantView, access=everywhere("administer"))
def get_grant(platform: Platform, name: str) -> schemas.GrantView:
    """Show a grant."""
    return grant_view(platform.trust.control.grant(name))


@resource.route("PUT", _GRANT, answer=schemas.GrantApplied, body=GrantDefinition, access=everywhere("administer"))
def apply_grant(platform: Platform, name: str, body: GrantDefinition) -> schemas.GrantApplied:
    """Create or change a grant; refused (409) if nobody could administer the platform afterwards."""
    if body.name != name:
        raise InvalidInput(
            f"name: the path says {name!r} and the body {body.name!r}", field="name", expected="the same name in both"
        )
    grant = body.to_grant()
    changed = platform.trust.control.put_grant(grant)
    return schemas.GrantApplied(grant=grant_view(grant), changed=changed, matches=_matches(platform, grant))


@resource.route("DELETE", _GRANT, access=everywhere("administer"))
def delete_grant(platform: Platform, name: str) -> None:
    """Delete a grant; refused (409) if nobody could administer the platform afterwards."""
    platform.trust.control.delete_grant(name)


@resource.route("GET", "/access/blocks", answer=schemas.SubjectList, access=everywhere("administer"))
def list_blocks(platform: Platform) -> schemas.SubjectList:
    """List the subjects that are blocked."""
    return schemas.SubjectList(items=platform.trust.control.blocked())


@resource.route("POST", "/access/blocks", body=SubjectBody, status=204, access=everywhere("administer"))
def block_subject(platform: Platform, body: SubjectBody) -> None:
    """Refuse a subject's credentials and the keys that it owns, and end its sessions."""
    platform.trust.control.block(body.subject)
    platform.trust.sessions.end_all(body.subject)


@resource.route("POST", "/access/blocks/remove", body=SubjectBody, status=204, access=everywhere("administer"))
def unblock_subject(platform: Platform, body: SubjectBody) -> None:
    """Accept a subject's credentials again."""
    platform.trust.control.unblock(body.subject)


@resource.route("POST", "/access/sessions/end", answer=schemas.EndedView, access=SIGNED_IN)
def end_own_sessions(platform: Platform) -> schemas.EndedView:
    """Log out everywhere: end every session of the caller."""
    return schemas.EndedView(ended=platform.trust.sessions.end_all(current.caller().subject))


def key_view(key: Key, used: float | None) -> schemas.KeyView:
    now = datetime.now(UTC).timestamp()
    state: Literal["active", "expired", "revoked"] = (
        "revoked" if key.revoked is not None else "active" if key.usable(now) else "expired"
    )
    return schemas.KeyView(
        name=key.name,
        id=key.id,
        owner=key.owner,
        roles=[str(role) for role in key.roles],
        state=state,
        created=_time(key.created) or "",
        expires=_time(key.expires),
        revoked=_time(key.revoked),
        last_used=_time(used),
    )


def grant_view(grant: Grant) -> schemas.GrantView:
    return schemas.GrantView(name=grant.name, subjects=list(grant.subjects), role=grant.role, names=list(grant.names))


def _matches(platform: Platform, grant: Grant) -> int:
    """How many models and sequences the patterns fit now."""
    names = {*platform.catalog.models(), *platform.catalog.sequences.names()}
    return sum(any(RoleOn("admin", pattern).allows("view", name) for pattern in grant.names) for name in names)


def _owner() -> str:
    caller = current.caller()
    return caller.owner or caller.subject or "user:owner-of-the-store"


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else clock.show(clock.from_seconds(seconds))
