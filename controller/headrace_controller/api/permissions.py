"""What each route asks of its caller: declared beside the route, checked before its handler, shown in docs/permissions.md.

A route's ``Access`` names a permission and what it must hold on. Where that is in the body (``late``) it is checked once the body has
been read; all else is checked before anything is read. A route that declares nothing is never served.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import flask

from headrace_controller.access import current
from headrace_controller.service.platform import Platform
from headrace_functions.access.policy import refusal
from headrace_functions.access.roles import ROLES, Permission, Role
from headrace_functions.names import Reference, VersionId

Arguments = Mapping[str, Any]
Names = Callable[[Platform, Arguments], Iterable[str]]
Scope = Literal["anybody", "signed-in", "somewhere", "everywhere", "names", "optional", "report"]
"""``optional`` is ``names`` where there are some, else ``somewhere``."""

ROW_KINDS = ("explain", "outliers", "attribution", "projection")
"""Kinds of reports that show single rows of requests; the others show figures of many."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a route asks. ``words`` say on what, for the docs."""

    scope: Scope
    permission: Permission | None = None
    words: str = ""
    names: Names = lambda _platform, _arguments: ()
    late: bool = False

    def check(self, platform: Platform, arguments: Arguments) -> None:
        """``Forbidden`` where who asks may not."""
        if self.permission is None:
            return
        if self.scope == "report":
            for name in self.names(platform, arguments):
                current.require("read" if arguments["kind"] in ROW_KINDS else self.permission, name)
            return
        found = list(self.names(platform, arguments)) if self.scope in ("names", "optional") else []
        for name in found:
            current.require(self.permission, name)
        if found:
            return
        if self.scope in ("somewhere", "optional"):
            if not current.may_somewhere(self.permission):
                raise refusal(current.caller(), self.permission, "")
        else:
            current.require(self.permission)  # what is about no name is about the platform as a whole

    def allowed_to(self, role: Role) -> bool:
        """Whether somebody who has a role on all names may use the route."""
        return self.permission is None or self.permission in ROLES[role]


Requirement = Access | tuple[Access, ...]
PUBLIC = Access("anybody", words="without credentials")
SIGNED_IN = Access("signed-in", words="any credentials")


def somewhere(permission: Permission) -> Access:
    """The permission on any name: for lists, which then show only what may be seen."""
    return Access("somewhere", permission, "any name; shows only what may be seen")


def everywhere(permission: Permission) -> Access:
    return Access("everywhere", permission, "the platform as a whole (`*`)")


def on(permission: Permission, words: str, names: Names, *, late: bool = False) -> Access:
    """The permission on each of some names; on ``*`` where there are none."""
    return Access("names", permission, words, names, late)


def named(permission: Permission, parameter: str = "model") -> Access:
    """The permission on the name in the path."""
    return on(permission, f"the {parameter} in the path", lambda _, a: [str(a[parameter])])


def version_in(permission: Permission, *parameters: str) -> Access:
    """The permission on the models of versions that the query or the form names; where it names none, on any name."""

    def names(_platform: Platform, _arguments: Arguments) -> list[str]:
        given = {p: flask.request.values.get(p, "") for p in parameters}
        return [Reference.parse(text, field=p).name for p, text in given.items() if text]

    words = f"the model in {' and '.join(f'`{p}`' for p in parameters)}"
    return Access("optional", permission, words, names)


def every(requirement: Requirement) -> tuple[Access, ...]:
    return requirement if isinstance(requirement, tuple) else (requirement,)


def check(requirement: Requirement, platform: Platform, arguments: Arguments, *, late: bool) -> None:
    for access in every(requirement):
        if access.late == late:
            access.check(platform, arguments)


# What routes are about


def body_model(_platform: Platform, arguments: Arguments) -> list[str]:
    return [Reference.parse(arguments["body"].model).name]


def of_job(platform: Platform, arguments: Arguments) -> list[str]:
    return [VersionId.parse(platform.jobs.get(arguments["job"]).request["model"]).model]


def of_schedule(platform: Platform, arguments: Arguments) -> list[str]:
    return [Reference.parse(platform.schedules.get(arguments["name"]).model).name]


def of_incident(platform: Platform, arguments: Arguments) -> list[str]:
    return [VersionId.parse(v).model for v in platform.incidents.get(arguments["number"]).versions]


def of_replay(platform: Platform, arguments: Arguments) -> list[str]:
    found = platform.replays.get(arguments["id"]).request
    return [found.source.model, found.target.model]


def of_report(parameter: str = "model") -> Access:
    """``view`` on the model of a report of figures, ``read`` where it shows rows."""
    words = f"the model of the report; `read` for {', '.join(ROW_KINDS)}"
    return Access("report", "view", words, lambda _, a: [str(a[parameter])])


def body_and_schedule(platform: Platform, arguments: Arguments) -> list[str]:
    known = arguments["name"] in platform.catalog.schedules.names()
    return [*body_model(platform, arguments), *(of_schedule(platform, arguments) if known else ())]


def of_stream(platform: Platform, arguments: Arguments) -> list[str]:
    return [Reference.parse(platform.streams.get(arguments["name"]).definition.model).name]


def body_and_stream(platform: Platform, arguments: Arguments) -> list[str]:
    known = arguments["name"] in platform.catalog.streams.names()
    return [*body_model(platform, arguments), *(of_stream(platform, arguments) if known else ())]


def body_sides(_platform: Platform, arguments: Arguments) -> list[str]:
    return [Reference.parse(text).name for text in (arguments["body"].source, arguments["body"].target)]


def body_target(_platform: Platform, arguments: Arguments) -> list[str]:
    return [Reference.parse(arguments["body"].target).name]


def body_scorer(_platform: Platform, arguments: Arguments) -> list[str]:
    """The model that scores; for a formula the model itself, which is scored."""
    body = arguments["body"]
    return [Reference.parse(body.model).name if body.model else arguments["model"]]


def of_stages(_platform: Platform, arguments: Arguments) -> list[str]:
    return [Reference.parse(v.model).name for stage in arguments["body"].pipeline for v in stage.variants]


def path_reference(_platform: Platform, arguments: Arguments) -> list[str]:
    return [Reference.parse(arguments["name"]).name]
