"""The page of rules: what opens an incident, the limits that people set, and who is told."""

from dataclasses import asdict
from typing import Any

import flask
from werkzeug.wrappers import Response

from headrace_controller import clock
from headrace_controller.access import current
from headrace_controller.api.declared import DeclaredRoutes
from headrace_controller.api.permissions import on
from headrace_controller.health.shift import LEAST_ROWS
from headrace_controller.incidents import limits
from headrace_controller.incidents import rules as defaults
from headrace_controller.incidents.limits import LEVELS, LOOKS, WANTED, Limits
from headrace_controller.notify.targets import Target
from headrace_controller.service.notifications import Attempt
from headrace_controller.service.platform import Platform
from headrace_functions.errors import InvalidInput

_CHANGES = {"version": "versions", "alias": "aliases", "sequence": "sequences"}

Json = dict[str, Any]


def content(platform: Platform) -> Json:
    """The rules that every version is watched by, in words, from the numbers that they use."""
    shares = (
        ("moved", "an input or output lies elsewhere than in training", defaults.MOVED),
        ("checks", "rows of a field fail a check of the training data", defaults.CHECKS),
        ("errors", "requests are not answered", defaults.ERRORS),
        ("metric", "a metric finds rows unhealthy", defaults.METRIC),
    )
    found = [
        {
            "name": name,
            "sentence": f"{text}, in {WANTED} of the last {LOOKS} minutes with at least {LEAST_ROWS} rows",
            "target": "every version",
            "severity": ", ".join(f"{level} from {share:.0%}".replace("%", " %") for level, share in levels.items()),
        }
        for name, text, levels in shares
    ]
    found.append(
        {
            "name": "latency",
            "sentence": f"95 % of requests take longer than usual, by {defaults.LATENCY_LEAST:g} ms at least",
            "target": "every version",
            "severity": ", ".join(f"{level} from {times:g} times" for level, times in defaults.LATENCY.items()),
        }
    )
    found.append(
        {
            "name": "silence",
            "sentence": f"no request came for {defaults.QUIET_MINUTES} minutes where each such stretch of the hour before had some",
            "target": "every version",
            "severity": "medium",
        }
    )
    found += [
        {"name": name, "sentence": text, "target": "every version", "severity": severity}
        for name, text, severity in (
            ("drift, performance, quality", "the newest report is medium or severe", "that of the report"),
            ("build, job", "a build or an analysis failed within 24 hours, until a later one succeeds", "medium"),
            ("service", "a function does not start", "medium"),
        )
    ]
    return {
        "rules": found,
        "own": [_own(model, own) for model, own in platform.rules.select()],
        "models": [name for name in platform.catalog.models() if current.may("view", name)],
        "names": list(limits.RULES),
        "targets": _targets(platform) if current.may("view") else [],
    }


def _own(model: str, own: Limits) -> Json:
    unit = {"latency": "ms", "silence": "minutes"}.get(own.rule)
    levels = [f"{n} from {v:g} {unit}" if unit else f"{n} from {100 * v:g} %" for n, v in own.levels.items()]
    said = "switched off" if own.off else f"{', '.join(levels)}, in {own.wanted} of the last {own.looks} looks"
    return {"model": model, "rule": own.rule, "field": own.field, "said": said}


def actions(pages: DeclaredRoutes, platform: Platform) -> None:
    """Add the forms that set limits and take them back."""

    def put() -> Response:
        form = flask.request.form
        levels = {name: _level(name, form[name]) for name in LEVELS if form.get(name, "").strip()}
        own = Limits(form.get("rule", ""), form.get("field", "").strip(), levels, off="off" in form)
        platform.rules.put(form.get("model", ""), own)
        return flask.redirect("/rules", 303)

    def reset() -> Response:
        form = flask.request.form
        platform.rules.remove(form.get("model", ""), form.get("rule", ""), form.get("field", ""))
        return flask.redirect("/rules", 303)

    access = on("respond", "the model in `model`", lambda _platform, _arguments: [flask.request.form.get("model", "")])
    pages.serve("/rules", "put_rule", put, access, ["POST"])
    pages.serve("/rules/reset", "reset_rule", reset, access, ["POST"])


def _level(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InvalidInput(f"{name}: {text!r} is not a number", field=name, expected="a number such as 0.2") from error


def _targets(platform: Platform) -> list[Json]:
    """Who is told of what, with the newest delivery to each."""
    told = _newest_of_incidents(platform)
    found = []
    for state in platform.notifications.select():
        target = state.target
        attempts = [a for a in (told.get(target.name), platform.notifications.last_change(target)) if a is not None]
        newest = max(attempts, key=lambda a: a.at, default=None)
        found.append(
            {
                "name": target.name,
                "kind": target.way,
                "to": target.shown + (f" to {', '.join(target.to)}" if target.to else ""),
                "of": _told_of(target),
                "last": {**asdict(newest), "at": clock.show(newest.at)} if newest else None,
            }
        )
    return found


def _newest_of_incidents(platform: Platform) -> dict[str, Attempt]:
    """The newest attempt to tell each target of an incident."""
    found: dict[str, Attempt] = {}
    for incident in platform.incidents.lately(50):
        for d in incident.deliveries:
            if d.target not in found or found[d.target].at < d.at:
                found[d.target] = Attempt(d.at, f"incident {incident.number} {d.event}", d.delivered, d.text)
    return found


def _told_of(target: Target) -> str:
    """What a target is told of, in words."""
    changes = [_CHANGES[event] for event in target.events if event in _CHANGES]
    parts = [f"incidents that are {target.severity} or worse"] if "incident" in target.events else []
    parts += [f"changes of {', '.join(changes)}"] if changes else []
    return "; ".join(parts) + (f"; of {', '.join(target.models)} alone" if target.models else "")
