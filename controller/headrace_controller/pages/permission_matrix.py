"""The table of routes and roles in docs/permissions.md, made from what the routes declare.

python -m headrace_controller.pages.permission_matrix > docs/permissions.md
"""

import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import flask

from headrace_controller import pages
from headrace_controller.api.application import create_app
from headrace_controller.api.identity import Gate
from headrace_controller.api.permissions import Access, Requirement, every
from headrace_controller.pages.permission_words import MEANINGS
from headrace_controller.service.platform import create_platform
from headrace_controller.settings import Settings
from headrace_functions.access.roles import PERMISSIONS, ROLES

HEAD = """# Permissions

What each route asks of its caller where callers are asked who they are ([security.md](security.md)). The tables are generated from the code that checks
it. A role is held on names of models and sequences, or on patterns of names such as `churn-*`; ✓ means that the role may use the route for such a name. What is
about the platform as a whole needs the role on `*`. Lists, pages, metrics and events show only what the caller may see.

## Roles

"""
INFERENCE = (
    ("POST /v2/models/NAME/infer, POST /v1/models/NAME:predict", ("call",), "the name"),
    ("POST /v2/models/NAME/generate, POST /v2/models/NAME/generate_stream", ("call",), "the name"),
    ("GET /v2/requests/ID, DELETE /v2/requests/ID", (), "the credentials that the request was sent with"),
    ("GET /v2/models/NAME, GET /v2/models/NAME/ready, GET /v1/models/NAME", ("call", "view"), "the name"),
    ("GET /metrics", ("view",), "the platform as a whole (`*`)"),
    ("GET /v2, GET /v2/health/live, GET /v2/health/ready", (), "without credentials"),
)


class _Nothing:
    """The running side of a platform that runs nothing."""

    def observe(self) -> list[dict[str, Any]]:
        return []

    def summary(self) -> dict[str, Any]:
        return {}

    def changed(self, name: str) -> None:
        del name

    wake = sleep = changed


def application(home: Path) -> flask.Flask:
    """The application of a platform on a home, as it declares its routes."""
    platform = create_platform(Settings(home), _Nothing(), "http://127.0.0.1:8080", lambda *_: {})
    return create_app(platform, pages.blueprint(platform))


def routes(app: flask.Flask) -> Iterator[tuple[str, Requirement]]:
    """Every route of the application, ``METHOD /path``, with what it asks; ``KeyError`` for one that declares nothing."""
    gate: Gate = app.extensions["headrace-gate"]
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            path = rule.rule
            for kind in ("int:", "path:"):
                path = path.replace(f"<{kind}", "<")
            yield f"{method} {path.replace('<', '{').replace('>', '}')}", gate.declared[rule.endpoint]


def document(app: flask.Flask) -> str:
    lines = [HEAD + _row("permission", "", ROLES), "|---|---|" + "---|" * len(ROLES)]
    lines += [_row(f"`{p}`", MEANINGS[p], [_mark(p in ROLES[r]) for r in ROLES]) for p in PERMISSIONS]
    lines += ["", "## Inference", "", _row("route", "on", ROLES), "|---|---|" + "---|" * len(ROLES)]
    for route, wanted, words in INFERENCE:
        marks = [_mark(not wanted or any(w in ROLES[r] for w in wanted)) for r in ROLES]
        asked = f"{' or '.join(f'`{w}`' for w in wanted)} on {words}" if wanted else words
        lines.append(_row(f"`{route.replace(', ', '`, `')}`", asked, marks))
    found = dict(sorted(routes(app), key=lambda r: (r[0].split(" ", 1)[1], r[0])))
    lines += [
        "",
        "## Management API and pages",
        "",
        _row("route", "permission", ROLES),
        "|---|---|" + "---|" * len(ROLES),
    ]
    lines += [_line(route, wanted) for route, wanted in found.items() if not _is_twin(route)]
    lines += ["", "Each page has a twin `.json`, which asks the same."]
    return "\n".join(lines) + "\n"


def _is_twin(route: str) -> bool:
    return route.endswith(".json") and not route.endswith("openapi.json")


def _line(route: str, requirement: Requirement) -> str:
    wanted = every(requirement)
    marks = [_mark(all(a.allowed_to(role) for a in wanted)) for role in ROLES]
    return _row(f"`{route}`", "; ".join(_said(a) for a in wanted), marks)


def _said(access: Access) -> str:
    return f"`{access.permission}` on {access.words}" if access.permission else access.words


def _mark(allowed: bool) -> str:
    return "✓" if allowed else ""


def _row(first: str, second: str, rest: Iterable[str]) -> str:
    return f"| {first} | {second} | {' | '.join(rest)} |"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(document(application(Path(folder))))


if __name__ == "__main__":
    main()
