"""Targets are told of incidents: each word once, tried again until it is taken, by real HTTP and real SMTP on loopback."""

import socket
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from click.testing import CliRunner

from controller_support import make_platform, serving
from fixtures_notifying import ENDPOINT, START, Receiver, Story, Time, receiver
from headrace_controller.cli.entrypoint import front
from headrace_controller.notify.targets import Target
from headrace_controller.service.notifications import ABANDONED
from headrace_functions.errors import Conflict, InvalidInput, NotFound
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore

__all__ = ["receiver"]


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def story(tmp_path: Path, time: Time) -> Story:
    return Story(tmp_path / "store", time)


def test_over_a_hundred_evaluations_and_a_restart_each_word_is_told_once(
    story: Story, receiver: Receiver, time: Time
) -> None:
    story.told.put(Target("team", "webhook", receiver.url + "/hook"))
    story.opens()
    for n in range(100):
        story.told.step()
        if n == 50:
            story.again()
    time.now += timedelta(minutes=20)
    story.resolves()
    for _ in range(5):
        story.told.step()
    assert ["org.headrace.incident.opened", "org.headrace.incident.resolved"] == [b["type"] for _, _, b in receiver.got]
    path, kind, event = receiver.got[0]
    assert ("/hook", "application/cloudevents+json", "1.0") == (path, kind, event["specversion"])
    assert "`x`: mean 64 → 6,400" == event["data"]["sentence"]
    assert f"{ENDPOINT}/incidents/1" == event["data"]["url"]
    assert 2 == len({b["id"] for _, _, b in receiver.got})
    assert [("opened", True), ("resolved", True)] == [(d.event, d.delivered) for d in story.incidents.get(1).deliveries]


def test_a_target_that_is_away_for_an_hour_is_told_when_it_is_back_and_once(
    story: Story, receiver: Receiver, time: Time
) -> None:
    receiver.status = 503
    story.told.put(Target("team", "webhook", receiver.url))
    story.opens()
    while time.now < START + timedelta(hours=1):
        story.told.step()
        time.now += timedelta(seconds=5)
    assert 8 <= len(receiver.got) <= 16  # after 5 s, 10 s, … at most 10 minutes
    receiver.status = 200
    before = len(receiver.got)
    for _ in range(300):
        time.now += timedelta(seconds=5)
        story.told.step()
    assert 1 == len(receiver.got) - before
    assert [(False, "503 ok"), (True, "200 ok")] == [(d.delivered, d.text) for d in story.incidents.get(1).deliveries]


def test_one_target_that_takes_nothing_keeps_no_other(story: Story, receiver: Receiver) -> None:
    story.told.put(Target("away", "webhook", "http://127.0.0.1:9/"))
    story.told.put(Target("here", "webhook", receiver.url))
    story.opens()
    assert 2 == story.told.step()
    assert 1 == len(receiver.got)


def test_of_two_controllers_one_tells(story: Story, receiver: Receiver) -> None:
    story.told.put(Target("team", "webhook", receiver.url))
    story.opens()
    first, second = story.told, story.again()
    real = second._documents.create

    def late(key: str, document: dict[str, Any]) -> None:
        second._documents.create = real  # type: ignore[method-assign]
        first.step()
        real(key, document)

    first._documents = Documents(ObjectStore(story.documents.objects.url))
    second._documents.create = late  # type: ignore[method-assign]
    second.step()
    second.step()
    assert 1 == len(receiver.got)


def test_an_attempt_that_was_cut_short_is_made_again_after_a_while(
    story: Story, receiver: Receiver, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    story.told.put(Target("team", "webhook", receiver.url))
    story.opens()

    def cut(*_: Any) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(story.told, "_send", cut)
    with pytest.raises(KeyboardInterrupt):
        story.told.step()
    assert 0 == story.again().step()
    time.now += ABANDONED
    assert 1 == story.again().step()


def test_nothing_is_told_while_silenced_nor_of_what_was_before_the_target(
    story: Story, receiver: Receiver, time: Time
) -> None:
    story.opens("old")
    time.now += timedelta(minutes=10)
    story.told.put(Target("team", "webhook", receiver.url))
    story.opens("loud")
    story.incidents.silence(2, time.now + timedelta(hours=1), "anna")
    assert 0 == story.told.step()


def test_a_target_is_told_of_its_models_and_severities_alone(story: Story, receiver: Receiver) -> None:
    story.told.put(Target("team", "webhook", receiver.url, severity="medium", models=("churn",)))
    story.opens("low", severity="low")
    story.opens("other", version="price:1")
    story.opens("wanted", severity="medium")
    story.told.step()
    assert ["churn:3/moved/wanted"] == [b["data"]["identity"] for _, _, b in receiver.got]


def test_slack_gets_a_message_without_markup_of_names(story: Story, receiver: Receiver) -> None:
    story.told.put(Target("team", "slack", receiver.url))
    story.opens("<!channel> & <http://evil|x>")
    story.told.step()
    _, _, body = receiver.got[0]
    assert "[severe] churn:3: &lt;!channel&gt; &amp; &lt;http://evil|x&gt; × 100" == body["text"]
    assert f"{ENDPOINT}/incidents/1" == body["attachments"][0]["title_link"]


def test_alertmanager_gets_an_alert_that_ends_when_it_is_resolved(story: Story, receiver: Receiver, time: Time) -> None:
    story.told.put(Target("pager", "alertmanager", receiver.url + "/"))
    story.opens()
    story.told.step()
    time.now += timedelta(minutes=20)
    story.resolves()
    story.told.step()
    (path, _, (firing,)), (_, _, (over,)) = receiver.got
    assert "/api/v2/alerts" == path
    assert firing["labels"] == over["labels"]
    assert ("churn", "3", "x", "severe") == tuple(
        firing["labels"][n] for n in ("model", "version", "field", "severity")
    )
    assert (True, "2026-11-26T14:20:00.000Z") == (firing["endsAt"] > over["endsAt"], over["endsAt"])


class Mailbox:
    def __init__(self) -> None:
        self.got: list[Any] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        self.got.append((envelope.rcpt_tos, message_from_bytes(envelope.content)))
        return "250 taken"


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    box = Mailbox()
    with socket.socket() as free:  # its own look at whether it listens does not know port 0
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    yield box, port
    server.stop()


def test_mail_says_it_in_its_subject_and_text(story: Story, mailbox: tuple[Mailbox, int]) -> None:
    box, port = mailbox
    to = ("ml@example.org", "ops@example.org")
    story.told.put(Target("mail", "email", f"smtp://127.0.0.1:{port}", to=to, sender="headrace@example.org"))
    story.opens()
    assert (1, 0) == (story.told.step(), story.told.step())
    ((recipients, message),) = box.got
    assert list(to) == recipients
    text = message.get_payload(decode=True).decode().replace("\r\n", "\n")
    assert text.startswith("`x`: mean 64 → 6,400\n")
    assert f"{ENDPOINT}/incidents/1" in text


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("address", {"address": "ftp://x"}),
        ("address", {"address": "http://"}),
        ("address", {"way": "email", "address": "http://x"}),
        ("way", {"way": "pigeon"}),
        ("severity", {"severity": "loud"}),
        ("to", {"way": "email", "address": "smtp://x"}),
        ("sender", {"way": "email", "address": "smtp://x", "to": ("a@b.c",), "sender": "a@b.c\nBcc: d@e.f"}),
    ],
)
def test_a_target_that_cannot_be_is_refused_by_the_field(field: str, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        Target(**{"name": "t", "way": "webhook", "address": "http://x", **given})
    assert field == refused.value.field


def test_people_add_try_list_and_remove_targets(tmp_path: Path, receiver: Receiver) -> None:
    with serving(make_platform(tmp_path / "home")) as url:

        def headrace(*arguments: str) -> Any:
            return CliRunner().invoke(front, ["target", *arguments, "--url", url])

        headrace("add", "team", "--way", "webhook", "--address", receiver.url + "/secret?token=1")
        assert "team answered: 200 ok" == headrace("test", "team").output.strip()
        listed = headrace("list").output
        assert ("secret" not in listed, receiver.url + "/…" in listed) == (True, True)
        receiver.status = 500
        failed = headrace("test", "team")
        assert isinstance(failed.exception, SystemExit | Conflict)
        assert "team did not receive the message: 500 ok" in failed.output + failed.stderr
        headrace("rm", "team")
        gone = headrace("test", "team")
        assert "there is no target 'team'" in gone.output + gone.stderr


def test_a_target_that_is_not_there_is_not_found(story: Story) -> None:
    with pytest.raises(NotFound, match="no target 'x'"):
        story.told.remove("x")
