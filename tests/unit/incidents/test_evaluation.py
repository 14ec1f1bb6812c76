"""Findings to incidents: one a cause, opened once, grown, resolved after quiet, reopened where it comes again."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from headrace_controller.incidents.evaluation import QUIET, REOPENS, Step, evaluate
from headrace_controller.incidents.model import Incident, Movement, entry, folded, opening, told
from headrace_controller.incidents.store import IncidentStore
from headrace_functions.errors import NotFound
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore

START = datetime(2026, 11, 26, 14, tzinfo=UTC)


def minutes(n: float) -> datetime:
    return START + timedelta(minutes=n)


def moved(field: str, at: float = 0, **more: Any) -> Movement:
    given: dict[str, Any] = {
        "version": "churn:1", "what": "moved", "side": "input", "severity": "severe", "share": 1.0,
        "sentence": f"`{field}`: moved", "short": f"{field} moved",
    }  # fmt: skip
    return Movement(**{**given, **more}, field=field, first=minutes(at))


class Watched:
    """Evaluations one after another, over a store."""

    def __init__(
        self, folder: Path, linked: frozenset[str] = frozenset(), stages: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        self.store = IncidentStore(Documents(ObjectStore(str(folder))))
        self.active: dict[int, datetime] = {}
        self._linked = linked
        self._stages = stages

    def at(self, minute: float, *found: Movement) -> list[Step]:
        now = minutes(minute)
        steps, self.active = evaluate(
            self.store.all(now),
            found,
            self.active,
            lambda a, b: {a, b} <= self._linked,
            now,
            lambda version: self._stages.get(version, 0),
        )
        for step in steps:
            if step.incident is None:
                self.store.open(step.chain, now)
            else:
                more = told(step.chain) if step.chain else {}
                assert self.store.add(step.incident, {**entry(step.kind, now), **more})
        return steps

    def all(self, minute: float = 0) -> list[Incident]:
        return self.store.all(minutes(minute))


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "store")


def test_a_hundred_evaluations_of_the_same_make_one_incident_and_write_nothing_more(watched: Watched) -> None:
    for n in range(100):
        watched.at(n / 12, moved("x"))
    (incident,) = watched.all(9)
    assert ("churn:1/moved/x", 1, "open") == (incident.identity, incident.entries, incident.state)
    assert "`x`: moved" == incident.sentence


def test_a_restart_tells_nothing_anew(watched: Watched, tmp_path: Path) -> None:
    watched.at(0, moved("x"))
    assert [] == Watched(tmp_path / "store").at(1, moved("x"))


def test_what_moves_within_minutes_is_one_incident_with_a_chain_in_the_order_of_beginning(watched: Watched) -> None:
    watched.at(2, moved("b", 1), moved("score", 1, side="output"), moved("a", 0, share=0.5))
    watched.at(4, moved("b", 1), moved("late", 3), moved("", 2, what="errors", side=""))
    (incident,) = watched.all(4)
    assert ["a", "b", "score", "", "late"] == [m.field for m in incident.chain]
    assert ["opened", "grew"] == [e.kind for e in incident.events]
    assert "a moved and 4 more" == incident.short


def test_what_begins_later_is_an_incident_of_its_own(watched: Watched) -> None:
    watched.at(0, moved("a"))
    watched.at(20, moved("a"), moved("b", 19))
    assert ["churn:1/moved/b", "churn:1/moved/a"] == [i.identity for i in watched.all(20)]


def test_versions_in_stages_of_one_sequence_share_an_incident_and_others_do_not(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "store", frozenset({"churn:1", "price:2"}))
    watched.at(2, moved("a"), moved("b", 1, version="price:2"), moved("c", 1, version="other:1"))
    assert [("other:1",), ("churn:1", "price:2")] == [i.versions for i in watched.all(2)]


def test_a_failed_build_is_no_cause_of_what_moves(watched: Watched) -> None:
    watched.at(1, moved("a"), moved("", 0, what="build", side=""))
    assert 2 == len(watched.all(1))


def test_it_resolves_after_ten_quiet_minutes_and_not_before(watched: Watched) -> None:
    watched.at(0, moved("a"))
    watched.at(9)
    assert ["open"] == [i.state for i in watched.all(9)]
    watched.at(10)
    assert [("resolved", minutes(10))] == [(i.state, i.resolved) for i in watched.all(10)]


def test_what_comes_again_within_an_hour_reopens_it_and_later_is_another(watched: Watched) -> None:
    hour = REOPENS.total_seconds() / 60
    watched.at(0, moved("a"))
    watched.at(10)
    watched.at(20, moved("a", 19))
    assert [(1, "open")] == [(i.number, i.state) for i in watched.all(20)]
    watched.at(20 + QUIET.total_seconds() / 60)
    watched.at(40 + hour, moved("a", 39 + hour))
    assert [2, 1] == [i.number for i in watched.all(40 + hour)]


def test_what_a_person_resolved_stays_so_until_it_was_quiet(watched: Watched) -> None:
    watched.at(0, moved("a"))
    watched.store.append(1, entry("resolved", minutes(1), "anna", "known"))
    assert [] == watched.at(2, moved("a"))
    assert ["reopened"] == [s.kind for s in watched.at(8, moved("a", 7))]


def test_growing_worse_is_written_and_a_wavering_share_is_not(watched: Watched) -> None:
    watched.at(0, moved("a", severity="low", share=0.15))
    assert [] == watched.at(1, moved("a", severity="low", share=0.2))
    assert ["grew"] == [s.kind for s in watched.at(1.1, moved("a", severity="severe", share=0.9))]
    assert [] == watched.at(2, moved("a", severity="low", share=0.85))
    assert "severe" == watched.all(2)[0].severity


def test_a_silence_ends_by_itself_and_an_acknowledgement_stays() -> None:
    documents = [
        opening([moved("a")], minutes(0)),
        entry("acknowledged", minutes(1), "anna", "looking"),
        entry("silenced", minutes(2), "anna", until="2026-11-26T15:00:00Z"),
    ]
    assert "silenced" == folded(1, documents, minutes(30)).state
    later = folded(1, documents, minutes(61))
    assert ("acknowledged", None, "anna") == (later.state, later.silenced_until, later.acknowledged_by)


def test_of_two_controllers_one_opens(tmp_path: Path) -> None:
    first, second = Watched(tmp_path / "store"), Watched(tmp_path / "store")
    real = second.store._numbers
    second.store._numbers = lambda: (real(), first.at(0, moved("x")))[0]  # type: ignore[method-assign]
    second.at(0, moved("x"))
    second.store._numbers = real  # type: ignore[method-assign]
    assert [1] == [i.number for i in first.all()]
    assert [] == second.at(0, moved("x"))


def test_an_incident_that_cannot_be_read_is_set_aside_and_named(watched: Watched) -> None:
    watched.at(0, moved("a"))
    watched.at(20, moved("a"), moved("b", 19))
    store = Watched(Path(watched.store._documents.objects.url.removeprefix("file://")))
    store.store._documents.objects.put("incidents/1/1.json", b"{")
    assert [2] == [i.number for i in store.all(20)]
    assert [1] == list(store.store.damaged)


def test_an_incident_that_is_not_there_is_not_found(watched: Watched) -> None:
    with pytest.raises(NotFound, match="incident 9"):
        watched.store.get(9, START)


def test_what_began_at_once_stands_as_requests_go_through_the_stages(tmp_path: Path) -> None:
    """The first stage's inputs, its outputs, and only then what the next stage was given, however much of it."""
    watched = Watched(tmp_path / "store", frozenset({"churn:1", "scale:1"}), {"churn:1": 1})
    second = moved("scaled", version="churn:1", share=1.0)
    answer = moved("scaled", version="scale:1", side="output", share=0.9)
    cause = moved("amount", version="scale:1", share=0.4)
    (step,) = watched.at(1, second, answer, cause)
    assert [cause, answer, second] == list(step.chain)
    assert "scale:1/moved/amount" == watched.all(1)[0].identity


def test_what_concerns_few_rows_does_not_lead_what_concerns_many(watched: Watched) -> None:
    """A check that one row in twenty failed some minutes before is not why half of the rows moved."""
    few = moved("worst", at=0, what="checks", severity="low", share=0.05)
    watched.at(1, few)
    many = [moved("radius", at=4, share=0.5), moved("area", at=4, share=0.3)]
    (step,) = watched.at(5, few, *many)
    assert ("grew", [*many, few]) == (step.kind, list(step.chain))
    assert "`radius`: moved" == watched.all(5)[0].sentence
