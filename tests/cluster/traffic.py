"""Bounded load with a name for each request, and what became of each: answered, failed, logged once, lost, doubled."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

from .installed import Installed, until


@dataclass
class Traffic:
    """Requests at a steady rate from a few connections until the block ends; each is sent once and never again."""

    url: str
    path: str
    body: Mapping[str, Any]
    per_second: float = 20.0
    connections: int = 8
    statuses: dict[str, int] = field(default_factory=dict)
    """Status by request id; 0 where no answer came."""
    reasons: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0

    def __enter__(self) -> "Traffic":
        self._client = httpx.Client(base_url=self.url, timeout=90, trust_env=False)
        self._senders = ThreadPoolExecutor(self.connections)
        self._stop = threading.Event()
        self._pace = threading.Thread(target=self._send_all)
        self._pace.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pace.join()
        self._senders.shutdown()
        self._client.close()

    def _send_all(self) -> None:
        while not self._stop.wait(1 / self.per_second):
            self._senders.submit(self._send, uuid.uuid4().hex)

    def _send(self, request_id: str) -> None:
        started = time.monotonic()
        try:
            answer = self._client.post(self.path, json=dict(self.body), headers={"x-request-id": request_id})
            self.statuses[request_id] = answer.status_code
            if answer.status_code != 200:
                self.reasons[f"{answer.status_code} {answer.json().get('detail', '')[:160]}"] += 1
        except httpx.HTTPError as error:
            self.statuses[request_id] = 0
            self.reasons[f"no answer: {type(error).__name__}"] += 1
        self.slowest = max(self.slowest, time.monotonic() - started)

    @property
    def sent(self) -> int:
        return len(self.statuses)

    @property
    def answered(self) -> set[str]:
        return {request for request, status in self.statuses.items() if status == 200}

    @property
    def failed(self) -> int:
        return self.sent - len(self.answered)


@dataclass(frozen=True)
class Fate:
    """Answered requests held against the log."""

    sent: int
    failed: int
    lost: int
    doubled: int
    reasons: Mapping[str, int]


def fate(platform: Installed, traffic: Traffic, versions: Sequence[str], seconds: float = 90.0) -> Fate:
    """Wait until every answered request is in the logs of the versions, or the time is over, and count."""
    logged: Counter[str] = Counter()

    def complete() -> bool:
        logged.clear()
        for version in versions:
            for row in _rows(platform, version):
                if row["outcome"] == "ok" and not row["shadow"]:
                    logged[row["request_id"]] += 1
        return traffic.answered <= logged.keys()

    _as_long_as(complete, seconds)
    lost = len(traffic.answered - logged.keys())
    doubled = sum(1 for request in traffic.answered if logged[request] > 1)
    return Fate(traffic.sent, traffic.failed, lost, doubled, dict(traffic.reasons))


def _as_long_as(condition: Callable[[], bool], seconds: float) -> None:
    try:
        until(condition, "every answered request is logged", seconds)
    except AssertionError:
        return  # what is missing is counted


def _rows(platform: Installed, version: str) -> list[dict[str, Any]]:
    from headrace_functions.names import VersionId

    columns = "request_id,outcome,shadow"
    with platform.client() as client:
        return list(client.logs(VersionId.parse(version), limit=10_000, columns=columns).rows)
