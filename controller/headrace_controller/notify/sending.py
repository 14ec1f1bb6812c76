"""One attempt to tell one target: HTTP for all ways but mail."""

import smtplib
import ssl
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from headrace_controller.incidents.model import Event, Incident
from headrace_controller.notify import messages
from headrace_controller.notify.changes import Change, cloud_event
from headrace_controller.notify.targets import Target

SECONDS = 10.0
_ANSWER = 200
"""Characters of an answer that are kept."""


class NotTold(Exception):
    """The target did not take it; the text says why."""


def send(target: Target, incident: Incident, event: Event, endpoint: str) -> str:
    """Tell a target; what it answered. Raises ``NotTold``."""
    try:
        if target.way == "email":
            return _mail(target, incident, event, endpoint)
        return _post(*_body(target, incident, event, endpoint))
    except (httpx.HTTPError, smtplib.SMTPException, OSError) as error:
        raise NotTold(f"{type(error).__name__}: {error}"[:_ANSWER]) from error


def send_change(target: Target, change: Change, endpoint: str) -> str:
    """Tell a target that is a webhook; what it answered. Raises ``NotTold``."""
    try:
        return _post(target.address, cloud_event(change, endpoint), "application/cloudevents+json")
    except (httpx.HTTPError, OSError) as error:
        raise NotTold(f"{type(error).__name__}: {error}"[:_ANSWER]) from error


def _body(target: Target, incident: Incident, event: Event, endpoint: str) -> tuple[str, Any, str]:
    """URL, JSON and its type."""
    if target.way == "slack":
        return target.address, messages.slack(incident, event, endpoint), "application/json"
    if target.way == "alertmanager":
        url = target.address.rstrip("/").removesuffix("/api/v2/alerts") + "/api/v2/alerts"
        return url, messages.alerts(incident, event, endpoint), "application/json"
    return target.address, messages.cloud_event(incident, event, endpoint), "application/cloudevents+json"


def _post(url: str, body: Any, kind: str) -> str:
    answer = httpx.post(url, json=body, headers={"content-type": kind}, timeout=SECONDS, follow_redirects=False)
    said = f"{answer.status_code} {answer.text[:_ANSWER].strip()}".strip()
    if not answer.is_success:
        raise NotTold(said)
    return said


def _mail(target: Target, incident: Incident, event: Event, endpoint: str) -> str:
    parts = urlsplit(target.address)
    host, message = parts.hostname or "", messages.mail(target, incident, event, endpoint)
    if parts.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            host, parts.port or 465, timeout=SECONDS, context=ssl.create_default_context()
        )
    else:
        server = smtplib.SMTP(host, parts.port or 25, timeout=SECONDS)
    with server:
        if parts.scheme == "smtp" and server.has_extn("starttls"):
            server.starttls(context=ssl.create_default_context())
        if parts.username:
            server.login(unquote(parts.username), unquote(parts.password or ""))
        refused = server.send_message(message)
    return "taken" + (f", but not for {', '.join(refused)}" if refused else "")
