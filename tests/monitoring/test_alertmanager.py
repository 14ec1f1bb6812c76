"""A real AlertManager is told of incidents: it groups, routes and silences what fires, and what is resolved ends there, too."""

import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from fixtures_notifying import ENDPOINT, Receiver, Story, receiver
from fixtures_platform import until
from headrace_controller.notify.targets import Target

__all__ = ["receiver"]

ALERTMANAGER = Path(__file__).parents[2] / ".cache" / "alertmanager" / "alertmanager"
CONFIG = """
route: {{receiver: team, group_by: [alertname, model], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}
receivers:
  - name: team
    webhook_configs: [{{url: "{url}/team", send_resolved: true}}]
"""


class Now:
    """AlertManager compares with its own clock, so this one goes with it."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def alertmanager(tmp_path: Path, receiver: Receiver) -> Iterator[str]:
    if not ALERTMANAGER.exists():
        pytest.fail("AlertManager is missing: run make test-monitoring, which builds it")
    (tmp_path / "alertmanager.yml").write_text(CONFIG.format(url=receiver.url))
    yield from started(tmp_path)


def started(folder: Path, port: int = 0) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", port))
        port = free.getsockname()[1]
    command = [
        str(ALERTMANAGER), f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
    ]  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with (folder / "alertmanager.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until(lambda: answers(url), "AlertManager answers", 30)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", timeout=2).is_success
    except httpx.TransportError:
        return False


def alerts(url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = httpx.get(f"{url}/api/v2/alerts").json()
    return found


def told(receiver: Receiver) -> list[tuple[str, str]]:
    """Status and incident of each alert in each notification of the team."""
    return [
        (alert["status"], alert["labels"]["incident"])
        for path, _, body in receiver.got
        if path == "/team"
        for alert in body["alerts"]
    ]


def test_an_incident_fires_once_however_often_it_is_evaluated_and_ends_when_it_is_resolved(
    alertmanager: str, receiver: Receiver, tmp_path: Path
) -> None:
    story = Story(tmp_path / "store", Now())
    story.told.put(Target("pager", "alertmanager", alertmanager))
    story.opens("monthly_charges")
    for n in range(100):
        story.told.step()
        if n == 50:
            story.again()
    (alert,) = until(lambda: alerts(alertmanager), "the alert fires")
    assert ("active", "monthly_charges", "severe") == (
        alert["status"]["state"],
        alert["labels"]["field"],
        alert["labels"]["severity"],
    )
    assert f"{ENDPOINT}/incidents/1" == alert["generatorURL"]
    assert "mean 64" in alert["annotations"]["summary"]
    until(lambda: ("firing", "1") in told(receiver), "the team is told")
    story.resolves()
    story.told.step()
    until(lambda: ("resolved", "1") in told(receiver), "the team is told that it has passed")
    until(lambda: not alerts(alertmanager), "nothing fires")
    assert [("firing", "1"), ("resolved", "1")] == told(receiver)


def test_incidents_of_one_model_are_one_notification_and_can_be_silenced_there(
    alertmanager: str, receiver: Receiver, tmp_path: Path
) -> None:
    story = Story(tmp_path / "store", Now())
    story.told.put(Target("pager", "alertmanager", alertmanager))
    silence = {
        "matchers": [{"name": "model", "value": "fraud", "isRegex": False, "isEqual": True}],
        "startsAt": datetime.now(UTC).isoformat(),
        "endsAt": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
        "createdBy": "anna",
        "comment": "known",
    }
    assert httpx.post(f"{alertmanager}/api/v2/silences", json=silence).is_success
    for field, version in (("x", "churn:3"), ("y", "churn:3"), ("z", "fraud:1")):
        story.opens(field, version=version)
    story.told.step()
    until(lambda: {("firing", "1"), ("firing", "2")} <= set(told(receiver)), "both of churn are told")
    states = {a["labels"]["model"]: a["status"]["state"] for a in alerts(alertmanager)}
    assert {"churn": "active", "fraud": "suppressed"} == states
    assert ("firing", "3") not in told(receiver)


def test_an_alertmanager_that_was_away_is_told_when_it_is_back(tmp_path: Path, receiver: Receiver) -> None:
    (tmp_path / "alertmanager.yml").write_text(CONFIG.format(url=receiver.url))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    now = Now()
    story = Story(tmp_path / "store", now)
    story.told.put(Target("pager", "alertmanager", f"http://127.0.0.1:{port}"))
    story.opens("x")
    for _ in range(6):
        story.told.step()
        now.ahead += timedelta(minutes=10)
    assert not any(d.delivered for d in story.incidents.get(1).deliveries)
    for url in started(tmp_path, port):
        story.told.step()
        until(lambda url=url: len(alerts(url)) == 1, "it fires")  # type: ignore[misc]
    assert [True] == [d.delivered for d in story.incidents.get(1).deliveries if d.delivered]
