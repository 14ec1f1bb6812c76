"""The pages of access and audit: keys, grants and what a role may do; who changed what and who was refused."""

from collections.abc import Callable, Mapping
from typing import Any

import flask
from werkzeug.wrappers import Response

from headrace_controller import clock
from headrace_controller.access import current
from headrace_controller.api import access, audit
from headrace_controller.api.declared import DeclaredRoutes
from headrace_controller.api.permissions import everywhere
from headrace_controller.definitions.fields import parse_duration
from headrace_controller.pages.permission_words import MEANINGS
from headrace_controller.service.platform import Platform
from headrace_functions.access.roles import PERMISSIONS, ROLES, RoleOn
from headrace_functions.errors import InvalidInput

Json = dict[str, Any]
Render = Callable[[str, Json], Response]
OUTCOMES = ("done", "refused", "failed")
SHOWN = 200


def keys_and_grants(platform: Platform) -> Json:
    control = platform.trust.control
    used = control.uses.last()
    return {
        "required": platform.trust.required,
        "keys": [access.key_view(key, used.get(key.name)).model_dump() for key in control.every_key()],
        "grants": [access.grant_view(grant).model_dump() for grant in control.grants()],
        "blocked": control.blocked(),
        "roles": list(ROLES),
        "permissions": [
            {"name": p, "means": MEANINGS[p], "of": [p in ROLES[role] for role in ROLES]} for p in PERMISSIONS
        ],
        "me": current.caller().subject,
        "made": None,
    }


def entries(platform: Platform, arguments: Mapping[str, str]) -> Json:
    outcome = arguments.get("outcome", "")
    if outcome and outcome not in OUTCOMES:
        raise InvalidInput(
            f"outcome: {outcome!r} is not an outcome", field="outcome", expected=f"one of {', '.join(OUTCOMES)}"
        )
    who, what = arguments.get("who", ""), arguments.get("what", "")
    query = audit.AuditQuery.model_validate({"who": who, "what": what, "outcome": outcome, "limit": SHOWN})
    found = [e.model_dump() for e in audit.select(platform, query, None)]
    head = platform.trust.known_head()
    return {
        "entries": found,
        "who": who,
        "what": what,
        "outcome": outcome,
        "head": head.number if head else 0,
        "at": clock.now(),
    }


def actions(pages: DeclaredRoutes, platform: Platform, render: Render) -> None:
    """Add the forms that make and revoke keys."""

    def create() -> Response:
        form = flask.request.form
        roles = tuple(RoleOn.parse(text, field="roles") for text in form.get("roles", "").split())
        seconds = parse_duration(form["expires"]) if form.get("expires", "").strip() else None
        owner = (
            form.get("owner", "").strip()
            or current.caller().owner
            or current.caller().subject
            or "user:owner-of-the-store"
        )
        made = platform.trust.control.create_key(form.get("name", ""), owner, roles, seconds)
        shown = {**keys_and_grants(platform), "made": {"name": made.key.name, "text": made.text}}
        return render("access.html", shown)

    def revoke(name: str) -> Response:
        platform.trust.control.revoke_key(name)
        return flask.redirect("/access", 303)

    pages.serve("/access/keys", "create_access_key", create, everywhere("administer"), ["POST"])
    pages.serve("/access/keys/<name>/revoke", "revoke_access_key", revoke, everywhere("administer"), ["POST"])
