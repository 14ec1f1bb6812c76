"""The pages of incidents and rules, and what other pages show of incidents."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import flask

from headrace_controller.service.platform import Platform
from headrace_functions.names import VersionId

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class OpenIncident:
    """What a list or a call shows of an incident that is not over."""

    number: int
    severity: str
    sentence: str
    short: str
    detail: str
    versions: tuple[str, ...]

    @property
    def summary(self) -> Json:
        return {"number": self.number, "severity": self.severity, "sentence": self.sentence, "detail": self.detail}


def now() -> datetime:
    return datetime.now(UTC)


def open_incidents(platform: Platform) -> Sequence[OpenIncident]:
    """The worst first."""
    del platform
    return ()


def of_version(platform: Platform, version: VersionId) -> OpenIncident | None:
    return next((i for i in open_incidents(platform) if str(version) in i.versions), None)


def lately(platform: Platform, count: int) -> list[Json]:
    """What happened, the newest first: incidents, changes, reports."""
    del platform, count
    return []


def changes(platform: Platform, version: VersionId, since: datetime, until: datetime) -> list[Json]:
    """What changed around a version in a range: ``at``, ``text``, ``bad`` for an incident."""
    del platform, version, since, until
    return []


def listing(platform: Platform, arguments: Mapping[str, str]) -> Json:
    del platform, arguments
    return {"incidents": [], "open_count": 0, "states": [], "state": ""}


def one(platform: Platform, number: int) -> Json:
    del platform
    raise NotImplementedError(number)


def rules(platform: Platform) -> Json:
    del platform
    return {"rules": [], "targets": []}


def actions(pages: flask.Blueprint, platform: Platform, field: Callable[[str], str]) -> None:
    del pages, platform, field
