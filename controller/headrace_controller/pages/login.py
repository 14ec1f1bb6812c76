"""Logging in and out: an API key, or an account at a login provider, becomes a session in a cookie."""

import hmac
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import flask
from werkzeug.wrappers import Response

from headrace_controller.access import current
from headrace_controller.access.trust import CALLBACK
from headrace_controller.api.declared import DeclaredRoutes
from headrace_controller.api.identity import clear_session, cookie_name, set_session
from headrace_controller.api.permissions import PUBLIC, SIGNED_IN
from headrace_controller.catalog import noting
from headrace_controller.service.platform import Platform
from headrace_functions.errors import HeadraceError, InvalidInput, NotFound, Unauthenticated
from headrace_functions.protocol.problems import status_of

PATH = "/login"
STATE = "headrace-login"
"""The cookie that binds a login at the provider to the browser that began it."""
LONGEST = 200
_LONGEST_NEXT = 2000

Render = Callable[[str, dict[str, Any]], Response]


def routes(pages: DeclaredRoutes, platform: Platform, render: Render) -> None:
    """Add the page that asks for credentials, and what logs in and out."""
    logins = _Logins(platform, render)
    pages.serve(PATH, "login", logins.ask, PUBLIC)
    pages.serve(PATH, "log_in", logins.log_in, PUBLIC, ["POST"])
    pages.serve(f"{PATH}/provider", "leave", logins.leave, PUBLIC)
    pages.serve(CALLBACK, "come_back", logins.come_back, PUBLIC)
    pages.serve("/logout", "log_out", logins.log_out, SIGNED_IN, ["POST"])


class _Logins:
    def __init__(self, platform: Platform, render: Render) -> None:
        self._trust = platform.trust
        self._render = render

    def ask(self) -> Response:
        return self._shown() if self._trust.required else flask.redirect("/", 303)

    def log_in(self) -> Response:
        """With an API key."""
        trust = self._trust
        if not trust.required:
            raise InvalidInput("this platform does not use authentication", hint="start it with: headrace up --auth")
        text = flask.request.form.get("key", "").strip()[:LONGEST]
        try:
            key = trust.authentication.policy.key_of(text, trust.control.source.clock())
        except Unauthenticated as error:
            return self._refused(error)
        trust.control.uses.note(key.name)
        return self._begun(flask.request.form.get("next", ""), f"key:{key.name}", key=key.name)

    def leave(self) -> Response:
        """Go to the provider, with the state of this login in a cookie of this browser."""
        if self._trust.people is None:
            raise NotFound("this platform has no login provider")
        try:
            url, state = self._trust.people.begin(local_path(flask.request.args.get("next", "")))
        except HeadraceError as error:
            return self._refused(error)
        response = flask.redirect(url, 303)
        response.set_cookie(
            STATE, state, path=PATH, httponly=True, samesite="Lax", secure=self._trust.secure, max_age=600
        )
        return response

    def come_back(self) -> Response:
        """From the provider."""
        try:
            person, after = self._returned()
        except HeadraceError as error:
            response = self._refused(error)
        else:
            response = self._begun(after, person.subject, groups=person.groups)
        response.delete_cookie(STATE, path=PATH, httponly=True, samesite="Lax", secure=self._trust.secure)
        return response

    def log_out(self) -> Response:
        self._forget_old()
        if flask.request.form.get("everywhere"):
            self._trust.sessions.end_all(current.caller().subject)
        response = flask.redirect(PATH, 303)
        clear_session(response, self._trust)
        return response

    def _returned(self) -> tuple[Any, str]:
        given, ours = flask.request.args, flask.request.cookies.get(STATE, "")
        if self._trust.people is None:
            raise NotFound("this platform has no login provider")
        if given.get("error"):
            said = given.get("error_description") or given["error"]
            raise Unauthenticated(f"the login provider refused the login: {said[:LONGEST]}")
        state = given.get("state", "")
        if not state or not hmac.compare_digest(state.encode(), ours.encode()):
            raise Unauthenticated("this login was not started in this browser", hint="log in again")
        person, after = self._trust.people.finish(state, given.get("code", ""))
        self._trust.authentication.policy.check_blocked(person.subject, *(f"group:{g}" for g in person.groups))
        return person, after

    def _begun(self, after: str, subject: str, *, groups: tuple[str, ...] = (), key: str = "") -> Response:
        self._forget_old()
        token, _ = self._trust.sessions.begin(subject, groups=groups, key=key)
        flask.g.logged_in = subject
        noting.note("session", subject, None, {"subject": subject, "groups": list(groups)})
        response = flask.redirect(local_path(after), 303)
        set_session(response, self._trust, token)
        return response

    def _refused(self, error: HeadraceError) -> Response:
        flask.g.refused = error.message
        return self._shown(f"{error.message}{f'; {error.hint}' if error.hint else ''}", status_of(error))

    def _shown(self, error: str = "", status: int = 200) -> Response:
        shown = {
            "next": local_path(flask.request.values.get("next", "")),
            "error": error,
            "host": flask.request.host,
            "provided": self._trust.people is not None,
        }
        response = self._render("login.html", shown)
        response.status_code = status
        return response

    def _forget_old(self) -> None:
        """End the session that the browser came with: none is carried over a login."""
        old = flask.request.cookies.get(cookie_name(self._trust))
        if old:
            self._trust.sessions.end(old)


def ask() -> Response:
    """Send a browser to the login page, from where it comes back."""
    wanted = flask.request.full_path.rstrip("?") if flask.request.method == "GET" else "/"
    return flask.redirect(f"{PATH}?next={quote(local_path(wanted), safe='')}", 303)


def local_path(text: str) -> str:
    """A path of this platform to go to after a login; ``/`` for whatever leads elsewhere."""
    harmless = text.startswith("/") and not text.startswith(("//", "/\\")) and len(text) <= _LONGEST_NEXT
    return text if harmless and all(" " < c < "\x7f" and c != "\\" for c in text) else "/"
