"""Webhooks are told of versions, aliases and sequences: each change once, over restarts, from the target's time on, only what was asked for."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from controller_support import fail, make_platform, release, serving
from fixtures_notifying import ENDPOINT, Receiver, receiver
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.cli.entrypoint import front
from headrace_controller.notify.targets import Target
from headrace_controller.service.incidents import Incidents
from headrace_controller.service.notifications import GIVEN_UP, Notifications
from headrace_controller.service.recent_changes import RecentChanges
from headrace_functions.errors import InvalidInput
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from support.versions import version

__all__ = ["receiver"]
ALL = ("version", "alias", "sequence")
SEQUENCE = {
    "name": "offers",
    "stages": [],
    "signature": version("adder", 1).signature.to_document(),
    "timeout": 1.0,
    "metadata": {},
}


class Now:
    def __init__(self) -> None:
        self.later = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.later


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(Documents(ObjectStore(str(tmp_path / "store"))))


def telling(catalog: Catalog, now: Now) -> Notifications:
    """A controller on a store."""
    incidents = Incidents(catalog, lambda: None, now)
    return Notifications(catalog.documents, incidents, ENDPOINT, now, changes=RecentChanges(catalog).since)


def told_of(receiver: Receiver) -> list[tuple[str, str]]:
    return sorted((b["type"].removeprefix("org.headrace."), b["subject"]) for _, _, b in receiver.got)


def change_everything(catalog: Catalog) -> None:
    release(catalog, "churn")
    release(catalog, "churn")
    fail(catalog, "churn", "bad artifact")
    catalog.aliases("churn").append("prod", {"version": 1})
    catalog.aliases("churn").append("prod", {"version": 2})
    catalog.sequences.append("offers", SEQUENCE)
    catalog.sequences.append("offers", SEQUENCE)
    catalog.sequences.delete("offers")
    catalog.aliases("churn").delete("prod")


CHANGED = [
    ("alias.deleted", "churn@prod"),
    ("alias.moved", "churn@prod"),
    ("alias.set", "churn@prod"),
    ("sequence.created", "offers"),
    ("sequence.deleted", "offers"),
    ("sequence.revised", "offers"),
    ("version.failed", "churn:3"),
    ("version.released", "churn:1"),
    ("version.released", "churn:2"),
]


def test_each_change_is_told_once_over_many_looks_and_a_restart(catalog: Catalog, receiver: Receiver, now: Now) -> None:
    told = telling(catalog, now)
    told.put(Target("ci", "webhook", receiver.url + "/hook", events=ALL))
    change_everything(catalog)
    for _ in range(20):
        told.step()
    again = Catalog(Documents(ObjectStore(catalog.documents.objects.url)))
    telling(again, now).step()
    assert CHANGED == told_of(receiver)
    path, kind, event = next(g for g in receiver.got if g[2]["type"].endswith("alias.moved"))
    assert ("/hook", "application/cloudevents+json", "1.0") == (path, kind, event["specversion"])
    assert {"alias": "churn@prod", "from": "churn:1", "to": "churn:2"}.items() <= event["data"].items()
    assert "alias churn@prod moved to churn:2 from churn:1" == event["data"]["sentence"]
    assert len(CHANGED) == len({b["id"] for _, _, b in receiver.got})


def test_what_was_changed_while_no_controller_ran_is_told_when_one_does(
    catalog: Catalog, receiver: Receiver, now: Now
) -> None:
    telling(catalog, now).put(Target("ci", "webhook", receiver.url, events=ALL))
    change_everything(catalog)
    telling(catalog, now).step()
    assert CHANGED == told_of(receiver)


def test_a_deleted_version_is_told(catalog: Catalog, receiver: Receiver, now: Now) -> None:
    told = telling(catalog, now)
    told.put(Target("ci", "webhook", receiver.url, events=("version",)))
    made = release(catalog, "churn")
    told.step()
    catalog.delete_version(made)
    told.step()
    told.step()
    assert [("version.deleted", "churn:1"), ("version.released", "churn:1")] == told_of(receiver)


def test_a_target_is_told_of_its_events_and_models_alone_and_of_nothing_before_it(
    catalog: Catalog, receiver: Receiver, now: Now
) -> None:
    told = telling(catalog, now)
    told.put(Target("ci", "webhook", receiver.url, events=("alias",), models=("churn",)))
    release(catalog, "churn")
    release(catalog, "other")
    catalog.aliases("churn").append("prod", {"version": 1})
    catalog.aliases("other").append("prod", {"version": 1})
    now.later = timedelta(hours=1)
    told.put(Target("late", "webhook", receiver.url + "/late", events=ALL))
    told.step()
    assert [("alias.set", "churn@prod")] == told_of(receiver)
    assert "/late" not in [path for path, _, _ in receiver.got]


def test_a_target_that_is_away_is_told_when_it_is_back_but_not_of_what_is_older_than_a_day(
    catalog: Catalog, receiver: Receiver, now: Now
) -> None:
    told = telling(catalog, now)
    told.put(Target("ci", "webhook", receiver.url, events=("version",)))
    release(catalog, "churn")
    receiver.status = 503
    told.step()
    told.step()
    assert 1 == len(receiver.got), "the second look is too early"
    receiver.status = 200
    now.later = timedelta(minutes=1)
    told.step()
    assert 2 == len(receiver.got)
    now.later = GIVEN_UP + timedelta(minutes=1)
    telling(catalog, now).step()
    assert 2 == len(receiver.got)


def test_looks_without_a_change_list_no_history(catalog: Catalog, now: Now, monkeypatch: pytest.MonkeyPatch) -> None:
    change_everything(catalog)
    changes = RecentChanges(catalog)
    hour = now() - timedelta(hours=1)
    assert len(CHANGED) == len(list(changes.since(hour)))
    listed: list[str] = []
    real = catalog.documents.numbers
    monkeypatch.setattr(catalog.documents, "numbers", lambda folder: listed.append(folder) or real(folder))
    assert len(CHANGED) == len(list(changes.since(hour)))
    assert [] == listed
    catalog.sequences.append("offers", SEQUENCE)
    listed.clear()
    assert len(CHANGED) + 1 == len(list(changes.since(hour)))
    assert ["sequences/offers/revisions/"] == listed


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"way": "slack", "address": "https://h.example", "events": ("alias",)}, "slack receives only incidents"),
        ({"way": "webhook", "address": "https://h.example", "events": ("models",)}, "'models' is not an event"),
        ({"way": "webhook", "address": "https://h.example", "events": ()}, "'' is not an event"),
    ],
)
def test_events_that_cannot_be_told_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        Target("team", **given)  # type: ignore[arg-type]


def test_the_command_chooses_events_and_targets_of_earlier_releases_are_told_of_incidents(
    tmp_path: Path, receiver: Receiver
) -> None:
    document = Target("old", "webhook", "https://h.example").to_document()
    del document["events"]
    assert ("incident",) == Target.from_document(document).events
    platform = make_platform(tmp_path / "home")
    with serving(platform) as url:
        add = ["target", "add", "ci", "--way", "webhook", "--address", receiver.url, "--url", url]
        done = CliRunner().invoke(front, [*add, "--event", "version", "--event", "alias"], catch_exceptions=False)
        assert 0 == done.exit_code
        listed = CliRunner().invoke(front, ["target", "list", "--url", url], catch_exceptions=False)
    assert "version, alias" in listed.output
    release(platform.catalog, "churn")
    platform.notifications.step()
    assert [("version.released", "churn:1")] == told_of(receiver)


def test_the_page_of_targets_says_what_each_is_told_of_and_the_newest_delivery_of_a_change(
    tmp_path: Path, receiver: Receiver
) -> None:
    platform = make_platform(tmp_path / "home")
    release(platform.catalog, "churn")
    platform.notifications.put(Target("ci", "webhook", receiver.url, events=("alias", "version"), models=("churn",)))
    platform.notifications.put(Target("team", "webhook", receiver.url, severity="medium"))
    platform.aliases.move("churn", "prod", 1)
    platform.notifications.step()
    with serving(platform) as url:
        ci, team = httpx.get(f"{url}/rules.json").json()["targets"]
    assert "changes of aliases, versions; of churn alone" == ci["of"]
    assert ("alias churn@prod set to churn:1", True) == (ci["last"]["about"], ci["last"]["delivered"])
    assert ("incidents that are medium or worse", None) == (team["of"], team["last"])
