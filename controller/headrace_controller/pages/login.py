"""Logging in and out: an API key becomes a session in a cookie; a provider's login does where one is configured."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import flask
from werkzeug.wrappers import Response

from headrace_controller.access import current
from headrace_controller.api.declared import DeclaredRoutes
from headrace_controller.api.identity import clear_session, cookie_name, set_session
from headrace_controller.api.permissions import PUBLIC, SIGNED_IN
from headrace_controller.catalog import noting
from headrace_controller.service.platform import Platform
from headrace_functions.errors import InvalidInput, Unauthenticated

PATH = "/login"
LONGEST = 200
_LONGEST_NEXT = 2000

Render = Callable[[str, dict[str, Any]], Response]


def routes(pages: DeclaredRoutes, platform: Platform, render: Render) -> None:
    """Add the page that asks for a key, and the forms that log in and out."""
    trust = platform.trust

    def shown(error: str = "", status: int = 200) -> Response:
        after = local_path(flask.request.values.get("next", ""))
        response = render("login.html", {"next": after, "error": error, "host": flask.request.host})
        response.status_code = status
        return response

    def form() -> Response:
        return shown() if trust.required else flask.redirect("/", 303)

    def log_in() -> Response:
        if not trust.required:
            raise InvalidInput("this platform asks nobody who they are", hint="start it with: headrace up --auth")
        text = flask.request.form.get("key", "").strip()[:LONGEST]
        try:
            key = trust.authentication.policy.key_of(text, trust.control.source.clock())
        except Unauthenticated as error:
            flask.g.refused = error.message
            return shown(error.message, 401)
        trust.control.uses.note(key.name)
        _forget_old()
        token, _ = trust.sessions.begin(f"key:{key.name}", key=key.name)
        flask.g.logged_in = f"key:{key.name}"
        noting.note("session", f"key:{key.name}", None, {"subject": f"key:{key.name}"})
        response = flask.redirect(local_path(flask.request.form.get("next", "")), 303)
        set_session(response, trust, token)
        return response

    def log_out() -> Response:
        _forget_old()
        if flask.request.form.get("everywhere"):
            trust.sessions.end_all(current.caller().subject)
        response = flask.redirect(PATH, 303)
        clear_session(response, trust)
        return response

    def _forget_old() -> None:
        """End the session that the browser came with: none is carried over a login."""
        old = flask.request.cookies.get(cookie_name(trust))
        if old:
            trust.sessions.end(old)

    pages.serve(PATH, "login", form, PUBLIC)
    pages.serve(PATH, "log_in", log_in, PUBLIC, ["POST"])
    pages.serve("/logout", "log_out", log_out, SIGNED_IN, ["POST"])


def ask() -> Response:
    """Send a browser to the login page, from where it comes back."""
    wanted = flask.request.full_path.rstrip("?") if flask.request.method == "GET" else "/"
    return flask.redirect(f"{PATH}?next={quote(local_path(wanted), safe='')}", 303)


def local_path(text: str) -> str:
    """A path of this platform to go to after a login; ``/`` for whatever leads elsewhere."""
    harmless = text.startswith("/") and not text.startswith(("//", "/\\")) and len(text) <= _LONGEST_NEXT
    return text if harmless and all(" " < c < "\x7f" and c != "\\" for c in text) else "/"
