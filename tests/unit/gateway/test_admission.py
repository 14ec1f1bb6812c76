"""The gateway where callers are asked who they are: refused before a name is looked up, named to functions and in records."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop

from headrace_functions.access import keys
from headrace_functions.access.authentication import Authentication, Credentials
from headrace_functions.access.keys import Key, new_key
from headrace_functions.access.roles import RoleOn
from headrace_functions.access.source import PolicySource
from headrace_functions.errors import NotReady, StorageFailed
from headrace_functions.gateway.app import Gateway, GatewaySettings
from headrace_functions.gateway.exchange import Exchange
from headrace_functions.gateway.execution import SequenceRunner
from headrace_functions.gateway.metrics import GatewayMetrics
from headrace_functions.gateway.resolve import Resolver
from headrace_functions.gateway.upstream import Upstream
from headrace_functions.platform_secret import PlatformSecret, function_proof
from headrace_functions.record import Record, encode
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from support.stub_services import Answer, Asked, StubServices
from support.versions import version

BODY = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
ROUTES = ("/v2/models/{}", "/v2/models/{}/ready", "/v2/models/{}/versions/1", "/v1/models/{}")


class Kept:
    def __init__(self) -> None:
        self.records: list[Record] = []

    def append(self, record: Record) -> bool:
        self.records.append(record)
        return True


@dataclass
class Door:
    client: httpx.AsyncClient
    services: StubServices
    documents: Documents
    source: PolicySource
    kept: Kept

    def key(self, name: str, *roles: str) -> dict[str, str]:
        """Headers that show a new key."""
        text = new_key()
        kept = Key(name, keys.id_of(text) or "", keys.digest(text), "user:ann", tuple(map(RoleOn.parse, roles)), 0.0)
        self.documents.append(layout.access_key(name), kept.to_document())
        self.source.refresh()
        return {"authorization": f"Bearer {text}"}

    async def release(self, it: Version) -> None:
        self.documents.create(layout.version_document(it.id), it.to_document())
        self.documents.append(layout.status(it.id), {"state": "released", "reason": "", "at": ""})

        async def answer(_asked: Asked) -> Answer:
            return Answer(200, b"{}", [("content-type", "application/json")])

        await self.services.add(it, answer)

    async def infer(self, name: str, **headers: str) -> httpx.Response:
        return await self.client.post(f"/v2/models/{name}/infer", json=BODY, headers=headers)


@asynccontextmanager
async def open_door(folder: Path) -> AsyncIterator[Door]:
    services, kept, measures, upstream = StubServices(folder), Kept(), GatewayMetrics(), Upstream()
    documents, secret = Documents(ObjectStore(str(folder / "store"))), PlatformSecret("word")
    source, resolver = PolicySource(documents), Resolver(documents)
    source.refresh()
    exchange = Exchange(services, upstream, kept, measures, secret)
    runner = SequenceRunner(exchange, measures)
    settings = GatewaySettings("0", secret=secret, authentication=Authentication(source, secret))
    gateway = Gateway(settings, resolver, exchange, runner, upstream, measures)
    transport = httpx.ASGITransport(app=gateway)  # type: ignore[arg-type]
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            yield Door(client, services, documents, source, kept)
    finally:
        await runner.drain(1)
        upstream.close()
        await services.close()
        await resolver.close()


def at_the_door(test: Callable[[Door], Coroutine[Any, Any, None]]) -> Callable[[Path], None]:
    def wrapped(tmp_path: Path) -> None:
        async def run() -> None:
            async with open_door(tmp_path) as door:
                await test(door)

        uvloop.run(run())

    wrapped.__doc__ = test.__doc__
    wrapped.__name__ = test.__name__
    return wrapped


@at_the_door
async def test_without_credentials_nothing_tells_whether_a_name_is_there(door: Door) -> None:
    await door.release(version("adder", 1))
    answers = [await door.infer(name) for name in ("adder", "ghost", "adder@prod", "adder:1")]
    answers += [await door.client.get(route.format(name)) for route in ROUTES for name in ("adder", "ghost")]
    answers.append(await door.client.get("/metrics"))
    assert {401} == {a.status_code for a in answers}
    assert {"Bearer"} == {a.headers["www-authenticate"] for a in answers}
    assert 1 == len({a.json()["detail"] for a in answers})


@at_the_door
async def test_a_key_for_other_names_does_not_tell_whether_a_name_is_there(door: Door) -> None:
    await door.release(version("adder", 1))
    shown = door.key("web", "caller:other")
    for name in ("adder", "ghost"):
        answers = [await door.infer(name, **shown)]
        answers += [await door.client.get(route.format(name), headers=shown) for route in ROUTES]
        assert {403} == {a.status_code for a in answers}
    assert (await door.infer("other", **shown)).status_code == 404


@at_the_door
async def test_a_path_that_answered_one_caller_is_still_asked_of_the_next(door: Door) -> None:
    await door.release(version("adder", 1))
    ours, theirs = door.key("ours", "caller:adder"), door.key("theirs", "caller:other")
    assert 200 == (await door.infer("adder", **ours)).status_code
    assert 403 == (await door.infer("adder", **theirs)).status_code
    assert 401 == (await door.infer("adder")).status_code


@at_the_door
async def test_a_viewer_sees_metadata_and_asks_nothing(door: Door) -> None:
    await door.release(version("adder", 1))
    shown = door.key("seer", "viewer:adder")
    assert 403 == (await door.infer("adder", **shown)).status_code
    assert {200} == {(await door.client.get(r.format("adder"), headers=shown)).status_code for r in ROUTES}


@at_the_door
async def test_functions_are_told_who_asks_beside_the_proof(door: Door) -> None:
    it = version("adder", 1)
    await door.release(it)
    await door.infer("adder", **door.key("web", "caller:adder"), **{"x-headrace-caller": "user:forged"})
    asked = door.services.asked[it.id][0].headers
    assert "key:web" == asked["x-headrace-caller"]
    assert function_proof("word", it.id.service) == asked["x-headrace-proof"]
    assert "authorization" not in asked


@at_the_door
async def test_the_controller_may_ask_for_somebody(door: Door) -> None:
    it = version("adder", 1)
    await door.release(it)
    await door.infer("adder", **{"x-headrace-proof": "word", "x-headrace-caller": "user:ann"})
    assert "user:ann" == door.services.asked[it.id][0].headers["x-headrace-caller"]


@at_the_door
async def test_what_no_function_saw_is_recorded_with_its_caller(door: Door) -> None:
    it = version("adder", 1)
    await door.release(it)
    door.services.refusals[it.id] = NotReady("it backs off")
    assert 503 == (await door.infer("adder", **door.key("web", "caller:adder"))).status_code
    assert ["key:web"] == [r.header.caller for r in door.kept.records]


def test_a_gateway_that_never_read_who_may_do_what_lets_nobody_in(tmp_path: Path) -> None:
    unread = PolicySource(Documents(ObjectStore(str(tmp_path))))
    authentication = Authentication(unread, PlatformSecret("word"))
    with pytest.raises(StorageFailed):
        authentication.admit(Credentials(b"Bearer " + new_key().encode()), "adder", "call")


@at_the_door
async def test_only_who_may_analyze_a_name_leaves_a_request_out_of_its_log(door: Door) -> None:
    it = version("adder", 1)
    await door.release(it)
    caller, developer = door.key("web", "caller:adder"), door.key("maya", "developer:adder")
    off = {"x-headrace-log": "off"}
    statuses = [
        (await door.infer("adder", **shown)).status_code
        for shown in ({**caller, **off}, {**developer, **off}, {**developer, "x-headrace-log": "perhaps"}, caller)
    ]
    assert [403, 200, 400, 200] == statuses
    assert ["1", None] == [a.headers.get("x-headrace-unrecorded") for a in door.services.asked[it.id]]


@at_the_door
async def test_whatever_way_a_name_is_asked_its_log_is_left_out_alike(door: Door) -> None:
    it = version("adder", 1)
    await door.release(it)
    caller, developer = door.key("web", "caller:adder"), door.key("maya", "developer:adder")
    for path, asked in (
        ("/v2/models/adder/infer", BODY),
        ("/v2/models/adder/explain", BODY),
        ("/v2/models/adder/generate", {"x": 1.0}),
        ("/v1/models/adder:predict", {"instances": [1.0]}),
        ("/gateway/application/adder", {"x": [1.0]}),
    ):
        before = len(door.services.asked[it.id])
        refused = await door.client.post(path, json=asked, headers={**caller, "x-headrace-log": "off"})
        assert (403, before) == (refused.status_code, len(door.services.asked[it.id])), path
        await door.client.post(path, json=asked, headers={**developer, "x-headrace-log": "off"})
        assert ["1"] == [a.headers.get("x-headrace-unrecorded") for a in door.services.asked[it.id][before:]], path


@at_the_door
async def test_a_number_of_too_many_digits_is_no_number(door: Door) -> None:
    it = version("adder", 1)
    await door.release(it)
    shown, long = door.key("web", "caller:adder"), "9" * 5000
    assert 200 == (await door.infer("adder", **shown, **{"x-headrace-timeout": long})).status_code

    door.services.refusals[it.id] = NotReady("it backs off")
    for header in ("x-headrace-time", "inference-header-content-length"):
        for digits in (long, "9" * 25):
            assert 503 == (await door.infer("adder", **shown, **{header: digits})).status_code
    assert [(None, None)] * 4 == [(r.header.caller_time, r.header.request_json) for r in door.kept.records]
    assert all(encode(r) for r in door.kept.records)
