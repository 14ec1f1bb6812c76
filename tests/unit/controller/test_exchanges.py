"""Exchanges of external models: what fits is logged once an id, what does not is refused by itself."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from controller_support import make_platform, release, serving
from headrace_controller import archive
from headrace_controller.cli.entrypoint import front
from headrace_controller.client import Client
from headrace_controller.collector.collect import Collector
from headrace_controller.collector.rows import to_table
from headrace_controller.definitions import check_document
from headrace_controller.definitions.model import ModelDefinition
from headrace_controller.health.writer import HealthWriter
from headrace_controller.requestlog.reader import LogQuery
from headrace_controller.service.assembly import Given
from headrace_controller.service.exchanges import record_of
from headrace_controller.service.kserve_events import (
    MAX_WAITING,
    PATIENCE,
    REQUEST,
    RESPONSE,
    EventJoin,
    exchanges_of,
    half_of,
)
from headrace_controller.service.platform import Platform
from headrace_functions.errors import InvalidInput, Malformed, NotFound, Overloaded
from headrace_functions.names import VersionId
from headrace_functions.recording.shipper import Shipper
from headrace_functions.signature import Field, Signature, dtype
from headrace_functions.version import Version

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
LOAN = VersionId("loan", 1)
DEFINITION = {
    "kind": "Model",
    "name": "loan",
    "external": {"inference-service": "models/loan"},
    "contract": {
        "inputs": {"amount": {"type": "float64"}, "plan": {"type": "string"}},
        "outputs": {"score": {"type": "float64"}, "p": {"type": "float64", "shape": [2]}},
    },
}


def exchange(request_id: str = "a", amount: Any = 1.5, **more: Any) -> dict[str, Any]:
    inputs = {"amount": amount, "plan": "basic"}
    return {"request_id": request_id, "inputs": inputs, "outputs": {"score": 0.5, "p": [0.5, 0.5]}, **more}


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """An external model, built by the path of every build."""
    found = make_platform(tmp_path / "home")
    definition = check_document(DEFINITION)
    assert isinstance(definition, ModelDefinition)
    folder = found.builds.new_folder()
    digest = archive.pack([], tmp_path, folder / "payload.tar.zst")
    found.builds.submit(definition, Given(folder, folder / "payload.tar.zst", digest))
    assert found.builds.wait(LOAN, 30)
    assert ("released", "external") == (found.catalog.get(LOAN).state, version_of(found).framework)
    return found


def version_of(platform: Platform) -> Version:
    found = platform.catalog.get(LOAN).version
    assert found is not None
    return found


def collected(platform: Platform) -> list[dict[str, Any]]:
    objects = platform.catalog.documents.objects
    Collector(objects, Shipper(platform.home / "spool", objects)).round()
    rows = platform.logs.rows(LOAN, LogQuery(limit=1000))
    return sorted(rows, key=lambda r: r["request_id"])


def test_an_exchange_is_logged_with_its_values_time_and_outcome(platform: Platform) -> None:
    sent = [
        exchange("a", received="2026-11-25T10:00:00Z", latency_ms=7.5),
        {"request_id": "b", "inputs": {"amount": None, "plan": None}, "outcome": "failed", "error": "no luck"},
    ]
    assert (2, 0) == ((taken := platform.exchanges.take(LOAN, sent)).accepted, taken.refused)
    first, second = collected(platform)
    assert (1.5, "basic", 0.5, [0.5, 0.5]) == tuple(first[c] for c in ("in.amount", "in.plan", "out.score", "out.p"))
    assert (datetime(2026, 11, 25, 10, tzinfo=UTC), 7.5, "ok") == (
        first["received"],
        first["latency_ms"],
        first["outcome"],
    )
    assert ("failed", "no luck", None) == (second["outcome"], second["error"], second["out.score"])


@pytest.mark.parametrize("given", [{}, {"latency_ms": None}])
def test_an_exchange_without_latency_is_one_whose_latency_is_unknown(platform: Platform, given: dict[str, Any]) -> None:
    platform.exchanges.take(LOAN, [exchange("a", **given), exchange("b", latency_ms=4.0)])
    assert [None, 4.0] == [row["latency_ms"] for row in collected(platform)]
    HealthWriter(platform.catalog.documents.objects).count(LOAN)
    now = datetime.now(UTC)
    counted = [b for b in platform.health.series(LOAN, now - timedelta(minutes=5), now) if b.requests]
    assert (2, 1) == (sum(b.requests for b in counted), sum(b.latency.requests for b in counted))
    with serving(platform) as url:
        assert (
            ">–<"
            in httpx.get(f"{url}/requests?version=loan:1&where=request_id+%3D+'a'").text.split('data-h="latency"')[1][
                :20
            ]
        )


def test_what_is_sent_twice_is_logged_once_at_once_and_later(platform: Platform) -> None:
    for batch in (["a", "b"], ["a", "b"], ["b", "c"]):
        platform.exchanges.take(LOAN, [exchange(i) for i in batch])
    assert ["a", "b", "c"] == [r["request_id"] for r in collected(platform)]
    platform.exchanges.take(LOAN, [exchange("c", 9.0), exchange("d"), exchange("d")])
    assert ["a", "b", "c", "d"] == [r["request_id"] for r in collected(platform)]


def test_rows_that_do_not_fit_are_named_and_the_others_kept(platform: Platform) -> None:
    lacking = {"request_id": "x", "inputs": {"amount": 1.0}, "outputs": {}}
    more = exchange("y")
    more["inputs"]["age"] = 3
    sent = [
        exchange("a"),
        exchange("b", "much"),
        lacking,
        more,
        exchange(""),
        exchange("c", outcome="fine"),
        "text",
        exchange("e"),
    ]
    taken = platform.exchanges.take(LOAN, sent)
    assert (2, 6) == (taken.accepted, taken.refused)
    assert [(2, "amount"), (3, "plan"), (4, "age"), (5, "request_id"), (6, "outcome"), (7, "")] == [
        (r.row, r.field) for r in taken.first_refused
    ]
    assert ["a", "e"] == [r["request_id"] for r in collected(platform)]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"received": "yesterday"}, "received"),
        ({"received": 5}, "received"),
        ({"received": "1901-01-01T00:00:00Z"}, "received"),
        ({"latency_ms": -1}, "latency_ms"),
        ({"latency_ms": True}, "latency_ms"),
        ({"request_id": "a\nb"}, "request_id"),
        ({"request_id": 7}, "request_id"),
        ({"outputs": {"score": 1.0, "p": [1.0]}}, "p"),
        ({"outputs": {"score": 1.0, "p": 3}}, "p"),
        ({"outputs": None}, "outputs"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_member_that_cannot_be_is_named(platform: Platform, change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        record_of(version_of(platform), exchange() | change, NOW)
    assert field == caught.value.field


def test_a_version_that_is_served_here_takes_none(platform: Platform) -> None:
    release(platform.catalog, "own")
    with pytest.raises(InvalidInput, match="logs its own exchanges"):
        platform.exchanges.take(VersionId("own", 1), [exchange()])


@pytest.fixture
def url(platform: Platform) -> Iterator[str]:
    with serving(platform) as found:
        yield found


def test_lines_parquet_and_arrow_say_the_same(platform: Platform, url: str, tmp_path: Path) -> None:
    table = pa.table(
        {
            "request_id": ["p", "q"],
            "received": pa.array([NOW, None], pa.timestamp("us", tz="UTC")),
            "in.amount": [1.0, 2.0],
            "in.plan": ["a", None],
            "out.score": [0.1, 0.2],
            "out.p": [[0.1, 0.9], [0.2, 0.8]],
        }
    )
    pq.write_table(table, tmp_path / "e.parquet")
    (tmp_path / "e.jsonl").write_bytes(orjson.dumps(exchange("l")) + b"\n\n" + orjson.dumps(exchange("m")) + b"\n")
    stream = BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table.set_column(0, "request_id", pa.array(["s", "t"])))
    (tmp_path / "e.arrow").write_bytes(stream.getvalue())
    for name in ("e.parquet", "e.jsonl", "e.arrow"):
        done = CliRunner().invoke(front, ["log", "push", "loan:1", str(tmp_path / name), "--url", url])
        assert "2 exchanges for the log of loan:1, 0 refused\n" == done.output
    rows = {r["request_id"]: r for r in collected(platform)}
    assert ["l", "m", "p", "q", "s", "t"] == sorted(rows)
    assert (NOW, [0.1, 0.9], None) == (rows["p"]["received"], rows["s"]["out.p"], rows["q"]["in.plan"])


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b'{"request_id": "a"}\n{oops\n', "application/x-ndjson", "line 2 is not JSON"),
        (b"PAR1 and nothing", "application/octet-stream", "not a Parquet file"),
        (b"nothing", "application/vnd.apache.arrow.stream", "not an Arrow stream"),
        (b"x", "image/png", "'image/png' is not supported"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_whole(url: str, body: bytes, kind: str, said: str) -> None:
    with Client(url) as client, pytest.raises(InvalidInput, match=said):
        client.push_exchanges(LOAN, body, kind)


@settings(max_examples=30, deadline=None)
@given(
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.text(max_size=20),
    st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2),
)
def test_the_log_has_what_was_sent(amount: float | None, plan: str | None, p: list[float]) -> None:
    signature = Signature(
        (Field("amount", dtype("float64")), Field("plan", dtype("string"))), (Field("p", dtype("float64"), (2,)),)
    )
    version = Version(LOAN, "external", signature, "", "", "")
    plan = plan.encode("utf-8", "replace").decode() if plan is not None else None
    sent = {"request_id": "r", "inputs": {"amount": amount, "plan": plan}, "outputs": {"p": p}}
    (row,) = to_table(version, [record_of(version, sent, NOW)], None).to_pylist()
    assert (plan, p) == (row["in.plan"], row["out.p"])
    assert row["in.amount"] == amount or (amount is None and row["in.amount"] != row["in.amount"])


# KServe's logger


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def event(kind: str, id_: str = "e1", service: str = "loan", **more: str) -> dict[str, str]:
    named = {"Ce-Type": kind, "Ce-Id": id_, "Ce-Inferenceservicename": service, "Ce-Namespace": "models"}
    return {"content-type": "application/json", **named, **more}


ASKED_V1 = orjson.dumps({"instances": [{"amount": 1.0, "plan": "a"}, {"amount": 2.0, "plan": "b"}]})
SAID_V1 = orjson.dumps({"predictions": [{"score": 0.1, "p": [0.1, 0.9]}, {"score": 0.2, "p": [0.2, 0.8]}]})


def v2(side: str, **columns: Any) -> bytes:
    kinds = {"plan": "BYTES"}
    tensors = [
        {"name": n, "datatype": kinds.get(n, "FP64"), "shape": [1, 2] if n == "p" else [1], "data": v}
        for n, v in columns.items()
    ]
    return orjson.dumps({"model_name": "loan", side: tensors})


ASKED_V2, SAID_V2 = v2("inputs", amount=[7.0], plan=["c"]), v2("outputs", score=[0.7], p=[0.3, 0.7])


@pytest.mark.parametrize("first", [REQUEST, RESPONSE])
def test_the_halves_of_an_exchange_are_joined_in_any_order_and_logged_once(platform: Platform, first: str) -> None:
    events = platform.events_of_kserve
    halves = {REQUEST: (ASKED_V1, ASKED_V2), RESPONSE: (SAID_V1, SAID_V2)}
    second = RESPONSE if first == REQUEST else REQUEST
    for kind in (first, first, second, first, second):  # KServe sends again what it is not sure of
        for place, id_ in enumerate(("one", "two")):
            events.take(event(kind, id_), halves[kind][place])
    events.flush()
    rows = collected(platform)
    assert [("one.0", 1.0, [0.1, 0.9]), ("one.1", 2.0, [0.2, 0.8]), ("two", 7.0, [0.3, 0.7])] == [
        (r["request_id"], r["in.amount"], r["out.p"]) for r in rows
    ]


@pytest.mark.parametrize(("answered", "latency"), [(100.5, 500.0), (99.0, None)])
def test_the_latency_is_unknown_where_the_answers_half_came_first(
    platform: Platform, answered: float, latency: float | None
) -> None:
    request, response = (
        half_of(event(kind), body, at) for kind, body, at in ((REQUEST, ASKED_V2, 100.0), (RESPONSE, SAID_V2, answered))
    )
    assert [latency] == [e["latency_ms"] for e in exchanges_of(version_of(platform), request, response)]


def test_an_event_by_http_reaches_the_log(platform: Platform, url: str) -> None:
    with Client(url) as client:
        for kind, body in ((REQUEST, ASKED_V2), (RESPONSE, SAID_V2)):
            client._request("POST", "/api/v1/cloudevents", content=body, headers=event(kind))
        document = {"specversion": "1.0", "id": "s", "inferenceservicename": "loan", "namespace": "models"}
        for kind, body in ((REQUEST, ASKED_V2), (RESPONSE, SAID_V2)):
            content = orjson.dumps({**document, "type": kind, "data": orjson.loads(body)})
            headers = {"content-type": "application/cloudevents+json"}
            client._request("POST", "/api/v1/cloudevents", content=content, headers=headers)
    platform.events_of_kserve.flush()
    assert ["e1", "s"] == [r["request_id"] for r in collected(platform)]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"Ce-Type": "org.example"}, "ce-type"),
        ({"Ce-Id": ""}, "ce-id"),
        ({"Ce-Id": "x" * 200}, "ce-id"),
        ({"Ce-Inferenceservicename": ""}, "ce-inferenceservicename"),
    ],
)
def test_an_event_that_lacks_something_is_refused_naming_it(change: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        half_of(event(REQUEST) | change, b"{}", 0.0)
    assert field == caught.value.field


STRUCTURED = {"content-type": "application/cloudevents+json"}


def structured(data: str) -> bytes:
    return f'{{"specversion": "1.0", "type": "{REQUEST}", "inferenceservicename": "loan", "id": "a", {data}}}'.encode()


@pytest.mark.parametrize("data", ['"data": {"instances":[1]}', '"data_base64": "eyJpbnN0YW5jZXMiOlsxXX0="'])
def test_the_data_of_an_event_in_one_document_is_json_or_base64(data: str) -> None:
    assert b'{"instances":[1]}' == half_of(STRUCTURED, structured(data), 0.0).body


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"5",
        structured('"data": ' + "[" * 300 + "]" * 300),
        structured('"data": ' + "[" * 2000 + "]" * 2000),
        structured('"data_base64": "%"'),
        structured('"data_base64": [1]'),
    ],
)
def test_a_document_that_is_no_event_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        half_of(STRUCTURED, body, 0.0)


def test_an_attribute_of_an_event_is_a_single_value() -> None:
    with pytest.raises(InvalidInput, match="ce-id"):
        half_of(STRUCTURED, structured('"data": {}').replace(b'"id": "a"', b'"id": ' + b"[" * 900 + b"]" * 900), 0.0)


def test_an_event_of_an_unknown_service_is_refused(platform: Platform) -> None:
    with pytest.raises(NotFound, match="models/nobody"):
        platform.events_of_kserve.take(event(REQUEST, service="nobody"), b"{}")


def join(platform: Platform, time: Time) -> EventJoin:
    return EventJoin(platform.exchanges.registered, platform.exchanges.take, time)


def test_a_pair_that_does_not_fit_is_refused_and_others_go_on(platform: Platform) -> None:
    events = join(platform, Time())
    events.take(event(REQUEST, "bad"), v2("inputs", amount=[7.0]))
    with pytest.raises(InvalidInput, match="plan"):
        events.take(event(RESPONSE, "bad"), SAID_V2)
    events.take(event(REQUEST, "good"), ASKED_V2)
    events.take(event(RESPONSE, "good"), SAID_V2)
    assert (1, 1) == (events.flush(), events.refused)


def test_a_half_waits_its_time_and_no_longer(platform: Platform) -> None:
    time = Time()
    events = join(platform, time)
    events.take(event(REQUEST, "early"), ASKED_V2)
    time.now += PATIENCE + 1
    events.take(event(REQUEST, "late"), ASKED_V2)
    events.take(event(RESPONSE, "early"), SAID_V2)
    assert (0, 1) == (events.flush(), events.unanswered)


def test_no_more_halves_wait_than_there_is_room_for(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_WAITING == 100_000
    monkeypatch.setattr("headrace_controller.service.kserve_events.MAX_WAITING", 2)
    events = join(platform, Time())
    for id_ in ("a", "b"):
        events.take(event(REQUEST, id_), ASKED_V2)
    with pytest.raises(Overloaded):
        events.take(event(REQUEST, "c"), ASKED_V2)
    events.take(event(RESPONSE, "a"), SAID_V2)
    events.take(event(REQUEST, "c"), ASKED_V2)


# The definition


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"payload": ["model.pkl"]}, "has no payload"),
        ({"framework": "sklearn"}, "has no framework"),
        ({"contract": {"inputs": {"x": {"type": "float64"}}}}, "contract.outputs are missing"),
        ({"contract": {"outputs": {"y": {"type": "float64"}}}}, "contract.inputs are missing"),
        ({"external": {"url": "models/churn"}}, "not the URL of a model"),
        ({"external": {"inference-service": "Loan"}}, "does not name an InferenceService"),
        ({"external": {"uri": "http://x"}}, "unknown key 'uri'"),
        ({"external": False}, "it is required"),
    ],
)
def test_a_definition_that_cannot_be_says_why(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        check_document(DEFINITION | change)
