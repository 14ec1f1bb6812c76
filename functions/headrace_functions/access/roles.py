"""Roles, what each allows, and on which names: the pure part of every decision."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, cast, get_args

from headrace_functions.errors import InvalidInput
from headrace_functions.names import MAX_NAME

Permission = Literal["call", "view", "read", "analyze", "respond", "diagnose", "develop", "operate", "administer"]
"""What a route asks for.

``call`` ask a model or sequence · ``view`` definitions, health, verdicts, incidents · ``read`` rows: requests, samples, labels ·
``analyze`` start analyses, push labels · ``respond`` answer incidents, set rules · ``diagnose`` logs of builds, services and jobs ·
``develop`` build versions, attach metrics · ``operate`` aliases, sequences, services, deployments · ``administer`` keys, grants, audit.
"""
Role = Literal["viewer", "caller", "analyst", "developer", "operator", "admin"]

PERMISSIONS: tuple[Permission, ...] = get_args(Permission)
ROLES: Mapping[Role, frozenset[Permission]] = {
    "viewer": frozenset({"view"}),
    "caller": frozenset({"call"}),
    "analyst": frozenset({"view", "read", "analyze", "respond"}),
    "developer": frozenset({"view", "call", "read", "analyze", "respond", "diagnose", "develop"}),
    "operator": frozenset({"view", "call", "respond", "diagnose", "operate"}),
    "admin": frozenset(PERMISSIONS),
}
EVERYTHING = "*"
"""The pattern of every name, and of what is about no name at all."""
MAX_SUBJECT = 200
SUBJECT_KINDS = ("user", "group", "key", "machine")

_PATTERN = re.compile(r"[a-z0-9*]([a-z0-9*-]*[a-z0-9*])?")
_SUBJECT = re.compile(rf"({'|'.join(SUBJECT_KINDS)}):[!-~]{{1,{MAX_SUBJECT}}}")


@dataclass(frozen=True, slots=True)
class RoleOn:
    """A role on the names that fit a pattern: ``*`` stands for any characters, ``team-a-*`` for one team's names."""

    role: Role
    pattern: str = EVERYTHING

    def __str__(self) -> str:
        return f"{self.role}:{self.pattern}"

    def allows(self, permission: Permission, name: str) -> bool:
        """Whether it allows something on a model or sequence; the name ``*`` is what is about no name or all."""
        return permission in ROLES[self.role] and (
            self.pattern == EVERYTHING or (name != EVERYTHING and _compiled(self.pattern).fullmatch(name) is not None)
        )

    def to_document(self) -> dict[str, str]:
        return {"role": self.role, "names": self.pattern}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "RoleOn":
        return cls(check_role(document["role"]), check_pattern(document["names"]))

    @classmethod
    def parse(cls, text: str, *, field: str = "role") -> "RoleOn":
        """``analyst`` or ``analyst:churn-*``."""
        role, colon, pattern = text.partition(":")
        return cls(check_role(role, field=field), check_pattern(pattern, field=field) if colon else EVERYTHING)


def check_role(role: Any, *, field: str = "role") -> Role:
    if not isinstance(role, str) or role not in ROLES:
        raise InvalidInput(
            f"{field}: {role!r} is not a role", field=field, expected=f"one of {', '.join(ROLES)}", got=str(role)
        )
    return cast(Role, role)


def check_pattern(pattern: Any, *, field: str = "names") -> str:
    if not isinstance(pattern, str) or len(pattern) > MAX_NAME or not _PATTERN.fullmatch(pattern):
        raise InvalidInput(
            f"{field}: {pattern!r} is not a pattern of names",
            field=field,
            expected=f"the name of a model or sequence, in which * matches any characters, e.g. churn or team-a-*, at most {MAX_NAME} characters",
            got=str(pattern)[:100],
        )
    return pattern


def check_subject(subject: Any, *, field: str = "subject") -> str:
    if not isinstance(subject, str) or not is_subject(subject):
        raise InvalidInput(
            f"{field}: {str(subject)[:100]!r} is not a subject",
            field=field,
            expected=f"user:NAME, group:NAME, key:NAME or machine:NAME, visible ASCII characters, at most {MAX_SUBJECT}",
        )
    return subject


def is_subject(subject: str) -> bool:
    return _SUBJECT.fullmatch(subject) is not None


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", ".*"))


@dataclass(frozen=True, slots=True)
class Grant:
    """A role on patterns of names for subjects, as a definition has it."""

    name: str
    subjects: tuple[str, ...]
    role: Role
    names: tuple[str, ...]
    """Names or patterns of names."""

    @property
    def roles(self) -> tuple[RoleOn, ...]:
        return tuple(RoleOn(self.role, pattern) for pattern in self.names)

    def to_document(self) -> dict[str, Any]:
        return {"name": self.name, "subjects": list(self.subjects), "role": self.role, "names": list(self.names)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Grant":
        return cls(
            str(document["name"]),
            tuple(check_subject(s, field="subjects") for s in document["subjects"]),
            check_role(document["role"]),
            tuple(check_pattern(p) for p in document["names"]),
        )


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. ``own`` are the roles that the credential itself bears; those of grants to ``subjects`` come on top."""

    subject: str
    """``key:NAME``, ``user:NAME``, ``machine:NAME``; empty where nobody is asked who they are."""
    groups: tuple[str, ...] = ()
    own: tuple[RoleOn, ...] = ()
    owner: str = ""
    """Of a key, whose it is, e.g. ``user:ann@example.org``."""

    @property
    def subjects(self) -> tuple[str, ...]:
        return (self.subject, *(f"group:{g}" for g in self.groups))


ANYBODY = Caller("", own=(RoleOn("admin"),))
"""The caller of a platform that asks nobody who they are: everything is allowed."""
PLATFORM = Caller("platform", own=(RoleOn("admin"),))
"""One of the platform's own processes."""
