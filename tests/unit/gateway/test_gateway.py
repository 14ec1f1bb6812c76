"""The gateway over services that do what the test says: names, sequences, shadows, failures and what is recorded of them."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import orjson
import pytest
import uvloop

from headrace_functions.errors import NotReady
from headrace_functions.gateway.app import Gateway, GatewaySettings
from headrace_functions.gateway.exchange import Exchange
from headrace_functions.gateway.execution import MAX_SHADOWS, SequenceRunner
from headrace_functions.gateway.metrics import GatewayMetrics
from headrace_functions.gateway.resolve import Resolver
from headrace_functions.gateway.upstream import NotSent, Upstream
from headrace_functions.platform_secret import PlatformSecret
from headrace_functions.protocol.codec import decode_request, encode_response
from headrace_functions.record import Record
from headrace_functions.sequence import Sequence, Stage, Variant, infer_signature
from headrace_functions.signature import Field, dtype
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Limits, Version
from support.stub_services import Answer, Asked, HangUp, StubServices
from support.versions import number, version

SLOPES = {"adder": 1.0, "double": 2.0}


@dataclass
class Kept:
    """A recorder that keeps what it is given."""

    records: list[Record] = field(default_factory=list)

    def append(self, record: Record) -> bool:
        self.records.append(record)
        return True


@dataclass
class House:
    client: httpx.AsyncClient
    services: StubServices
    kept: Kept
    measures: GatewayMetrics
    documents: Documents
    resolver: Resolver
    runner: SequenceRunner

    async def release(self, it: Version, function: Callable[..., Any] | None = None) -> Version:
        """Put a released version into the store and a service for it behind the gateway."""
        self.documents.create(layout.version_document(it.id), it.to_document())
        self.documents.append(layout.status(it.id), {"state": "released", "reason": "", "at": ""})
        await self.services.add(it, answering(it, function or (lambda **inputs: {"y": inputs["x"] + 1})))
        return it

    def compose(self, name: str, *stages: Stage, versions: list[Version], timeout: float = 5.0) -> None:
        signature = infer_signature(name, stages, {v.id: v.signature for v in versions})
        self.documents.append(layout.revisions(name), Sequence(name, stages, signature, timeout).to_document())
        self.resolver.forget()

    async def infer(self, name: str, x: list[float], **headers: str) -> httpx.Response:
        body = {"inputs": [{"name": "x", "shape": [len(x)], "datatype": "FP64", "data": x}]}
        return await self.client.post(
            f"/v2/models/{name}/infer", json=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )


def answering(it: Version, function: Callable[..., Any]) -> Callable[[Asked], Coroutine[Any, Any, Answer]]:
    """A handler that decodes, calls and encodes, as a function server does."""

    async def handler(asked: Asked) -> Answer:
        length = asked.headers.get("inference-header-content-length")
        protocol: Any = asked.path[1:3]
        told = (asked.body, asked.headers["content-type"], int(length) if length else None, it.signature)
        tensors, info = decode_request(*told, protocol=protocol, batch=it.batch)
        result = function(**tensors)
        if asyncio.iscoroutine(result):
            result = await result
        if isinstance(result, Answer):
            return result
        more: dict[str, Any] = {"model": it.id.model, "version": it.id.number, "protocol": protocol, "batch": it.batch}
        encoded = encode_response(result, it.signature, info, **more)
        headers = [("content-type", encoded.content_type)]
        if encoded.json_length is not None:
            headers.append(("inference-header-content-length", str(encoded.json_length)))
        return Answer(200, encoded.body, headers)

    return handler


@asynccontextmanager
async def house(tmp_path: Path) -> AsyncIterator[House]:
    services, kept, measures, upstream = StubServices(tmp_path), Kept(), GatewayMetrics(), Upstream()
    documents = Documents(ObjectStore(str(tmp_path / "store")))
    resolver = Resolver(documents)
    secret = PlatformSecret("secret")
    exchange = Exchange(services, upstream, kept, measures, secret)
    runner = SequenceRunner(exchange, measures)
    gateway = Gateway(GatewaySettings("0", secret=secret), resolver, exchange, runner, upstream, measures)
    transport = httpx.ASGITransport(app=gateway)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield House(client, services, kept, measures, documents, resolver, runner)
    await runner.drain(1)
    upstream.close()
    await services.close()


def in_house(test: Callable[[House], Coroutine[Any, Any, None]]) -> Callable[[Path], None]:
    def wrapped(tmp_path: Path) -> None:
        async def run() -> None:
            async with house(tmp_path) as h:
                await test(h)

        uvloop.run(run())

    wrapped.__doc__ = test.__doc__
    wrapped.__name__ = test.__name__
    return wrapped


@in_house
async def test_a_model_its_version_and_its_alias_answer_by_the_same_routes(h: House) -> None:
    await h.release(version("adder", 1))
    await h.release(version("adder", 2), lambda x: {"y": x + 100})
    h.documents.append(layout.alias("adder", "prod"), {"version": 1})
    for path, expected in (
        ("adder", 101),
        ("adder/versions/1", 2),
        ("adder/versions/2", 101),
        ("adder@prod", 2),
        ("adder:1", 2),
    ):
        reply = await h.infer(path, [1.0])

        assert (200, [expected]) == (reply.status_code, reply.json()["outputs"][0]["data"]), path


@in_house
async def test_the_reply_names_the_request_and_the_version_that_answered(h: House) -> None:
    await h.release(version("adder", 1))

    reply = await h.infer("adder", [1.0], x_request_id="mine-7")

    assert reply.headers["x-request-id"] == "mine-7"
    assert reply.headers["x-headrace-version"] == "adder:1"


@in_house
async def test_headers_of_the_platform_cannot_be_forged_from_outside(h: House) -> None:
    it = await h.release(version("adder", 1))

    await h.infer(
        "adder",
        [1.0],
        x_headrace_shadow="1",
        x_headrace_sequence="forged",
        x_headrace_unrecorded="1",
        x_headrace_time="5",
    )

    asked = h.services.asked[it.id][0].headers
    assert "x-headrace-shadow" not in asked
    assert "x-headrace-sequence" not in asked
    assert "x-headrace-unrecorded" not in asked
    assert asked["x-headrace-time"] == "5"


@in_house
async def test_only_the_platform_itself_may_ask_without_a_record(h: House) -> None:
    it = await h.release(version("adder", 1))

    await h.infer("adder", [1.0], x_headrace_purpose="explain guess")
    await h.infer("adder", [1.0], x_headrace_purpose="explain secret")

    assert ["x-headrace-unrecorded" in a.headers for a in h.services.asked[it.id]] == [False, True]


@in_house
async def test_an_unknown_name_is_404_with_what_to_do_next(h: House) -> None:
    reply = await h.infer("nobody", [1.0])

    assert reply.status_code == 404
    assert reply.headers["content-type"] == "application/problem+json"
    assert "headrace model list" in reply.json()["hint"]


@in_house
async def test_metadata_of_a_sleeping_model_does_not_wake_it(h: House) -> None:
    await h.release(version("adder", 1))

    document = (await h.client.get("/v2/models/adder")).json()
    ready = (await h.client.get("/v2/models/adder/ready")).json()

    assert document["inputs"] == [{"name": "x", "datatype": "FP64", "shape": [-1]}]
    assert ready["ready"] is True
    assert h.services.warmed == []
    assert h.services.asked == {version("adder", 1).id: []}


@in_house
async def test_a_version_that_cannot_start_is_503_with_the_reason_and_a_record(h: House) -> None:
    it = await h.release(version("adder", 1))
    h.services.refusals[it.id] = NotReady("its pickle raises", retry_after=7)

    reply = await h.infer("adder", [1.0], x_request_id="r1")

    assert (503, "7", "its pickle raises") == (reply.status_code, reply.headers["retry-after"], reply.json()["detail"])
    assert [("r1", "not-ready", 503)] == [
        (r.header.request_id, r.header.outcome, r.header.status) for r in h.kept.records
    ]


@in_house
async def test_a_service_that_dies_with_the_request_in_flight_is_502_with_the_id_and_a_record(h: House) -> None:
    async def dies(x: Any) -> Answer:
        raise HangUp

    it = await h.release(version("adder", 1), dies)

    reply = await h.infer("adder", [1.0], x_request_id="r2")

    assert (502, "r2") == (reply.status_code, reply.json()["request_id"])
    assert ["unreachable"] == [r.header.outcome for r in h.kept.records]
    assert len(h.services.asked[it.id]) == 1, "what was sent once is not sent again"


@in_house
async def test_the_callers_own_time_limit_ends_the_wait_with_504(h: House) -> None:
    async def never(x: Any) -> Answer:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    await h.release(version("adder", 1), never)

    reply = await h.infer("adder", [1.0], x_headrace_timeout="50")

    assert reply.status_code == 504
    assert h.services.open_leases == 0


@in_house
async def test_a_body_over_the_versions_limit_is_413(h: House) -> None:
    await h.release(version("adder", 1, limits=Limits(max_body=200)))

    assert (await h.infer("adder", [1.0])).status_code == 200
    assert (await h.infer("adder", [1.0] * 100)).status_code == 413


@in_house
async def test_a_sequence_carries_tensors_from_stage_to_stage(h: House) -> None:
    scale = await h.release(version("scale", 1, outputs=(number("x"),)), lambda x: {"x": x * 10})
    adder = await h.release(version("adder", 1))
    h.compose("chain", Stage((Variant(scale.id),)), Stage((Variant(adder.id),)), versions=[scale, adder])

    reply = await h.infer("chain", [1.0, 2.0], x_request_id="r3")

    assert [{"name": "y", "datatype": "FP64", "shape": [2], "data": [11.0, 21.0]}] == reply.json()["outputs"]
    assert ("chain", "1") == (reply.json()["model_name"], reply.json()["model_version"])
    second = h.services.asked[adder.id][0].headers
    assert ("r3", "chain", "1", "adder:1") == tuple(
        second[k] for k in ("x-request-id", "x-headrace-sequence", "x-headrace-stage", "x-headrace-variant")
    )


@in_house
async def test_columns_of_one_type_go_from_stage_to_stage_as_one_matrix(h: House) -> None:
    pair = (number("x"), number("z"))
    first = await h.release(version("first", 1, inputs=pair, outputs=pair), lambda x, z: {"x": x * 10, "z": z + 1})
    second = await h.release(version("second", 1, inputs=pair), lambda x, z: {"y": x + z})
    h.compose("chain", Stage((Variant(first.id),)), Stage((Variant(second.id),)), versions=[first, second])

    columns = [{"name": n, "shape": [2], "datatype": "FP64", "data": [1.0, 2.0]} for n in ("x", "z")]
    reply = await h.client.post("/v2/models/chain/infer", json={"inputs": columns})

    assert [12.0, 23.0] == reply.json()["outputs"][0]["data"]
    (asked,) = h.services.asked[second.id]
    head = json.loads(asked.body[: int(asked.headers["inference-header-content-length"])])
    assert [("rows", [2, 2])] == [(t["name"], t["shape"]) for t in head["inputs"]]


@in_house
async def test_a_matrix_is_not_taken_for_other_columns_of_the_bag(h: House) -> None:
    """The second stage wants the first one's columns in another order, the third an older and a newer one."""
    two, turned = (number("x"), number("z")), (number("z"), number("x"))
    first = await h.release(version("first", 1, inputs=two, outputs=two), lambda x, z: {"x": x + 1, "z": z + 10})
    second = await h.release(version("second", 1, inputs=turned, outputs=turned), lambda z, x: {"z": z + x, "x": x * 2})
    third = await h.release(version("third", 1, inputs=(number("z"), number("w"))), lambda z, w: {"y": z * 100 + w})
    stages = [Stage((Variant(v.id),)) for v in (first, second, third)]
    h.compose("chain", *stages, versions=[first, second, third])

    columns = [{"name": n, "shape": [1], "datatype": "FP64", "data": [v]} for n, v in (("x", 1), ("z", 2), ("w", 3))]
    reply = await h.client.post("/v2/models/chain/infer", json={"inputs": columns})

    assert [1403.0] == reply.json()["outputs"][0]["data"], "x: 1 -> 2, z: 2 -> 12, then z + x = 14"


@in_house
async def test_all_stages_of_a_sequence_are_woken_before_the_first_answers(h: House) -> None:
    second = version("adder", 1)

    async def first(x: Any) -> dict[str, Any]:
        assert second.id in h.services.warmed
        return {"x": x}

    scale = await h.release(version("scale", 1, outputs=(number("x"),)), first)
    await h.release(second)
    h.compose("chain", Stage((Variant(scale.id),)), Stage((Variant(second.id),)), versions=[scale, second])

    assert (await h.infer("chain", [1.0])).status_code == 200


@in_house
async def test_a_stage_that_refuses_ends_the_sequence_with_its_own_problem(h: House) -> None:
    scale = await h.release(version("scale", 1, outputs=(number("x"),)), lambda x: Answer(422, b'{"detail": "no"}'))
    adder = await h.release(version("adder", 1))
    h.compose("chain", Stage((Variant(scale.id),)), Stage((Variant(adder.id),)), versions=[scale, adder])

    reply = await h.infer("chain", [1.0])

    assert (422, {"detail": "no"}) == (reply.status_code, reply.json())
    assert [] == h.services.asked[adder.id]


@in_house
async def test_a_shadow_that_hangs_dies_or_cannot_start_changes_nothing_for_the_caller(h: House) -> None:
    async def hang(x: Any) -> Answer:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async def die(x: Any) -> Answer:
        raise HangUp

    main = await h.release(version("adder", 1))
    limits = Limits(start_timeout=0.05, predict_timeout=0.05)
    hanging = await h.release(version("adder", 2, limits=limits), hang)
    dying = await h.release(version("adder", 3), die)
    asleep = await h.release(version("adder", 4))
    h.services.refusals[asleep.id] = NotReady("never")
    h.compose(
        "shadowed",
        Stage((Variant(main.id),), (hanging.id, dying.id, asleep.id)),
        versions=[main, hanging, dying, asleep],
    )

    reply = await h.infer("shadowed", [1.0])

    assert (200, [2.0]) == (reply.status_code, reply.json()["outputs"][0]["data"])
    await h.runner.drain(5)
    assert {(2, "timeout", True), (3, "unreachable", True), (4, "not-ready", True)} == {
        (r.header.version, r.header.outcome, r.header.shadow) for r in h.kept.records
    }


@in_house
async def test_packed_rows_mean_the_same_to_a_shadow_that_orders_its_inputs_differently(h: House) -> None:
    seen: list[tuple[float, float]] = []

    def difference(x: Any, z: Any) -> dict[str, Any]:
        seen.append((float(x[0]), float(z[0])))
        return {"y": x - z}

    one = await h.release(version("order", 1, inputs=(number("x"), number("z"))), difference)
    two = await h.release(version("order", 2, inputs=(number("z"), number("x"))), difference)
    h.compose("ordered", Stage((Variant(one.id),), (two.id,)), versions=[one, two])

    body = {"inputs": [{"name": "rows", "shape": [1, 2], "datatype": "FP64", "data": [5.0, 3.0]}]}
    reply = await h.client.post("/v2/models/ordered/infer", json=body)
    await h.runner.drain(5)

    assert [2.0] == reply.json()["outputs"][0]["data"]
    assert [(5.0, 3.0), (5.0, 3.0)] == seen


@in_house
async def test_shadows_are_bounded_and_the_dropped_ones_counted(h: House) -> None:
    release = asyncio.Event()

    async def wait(x: Any) -> dict[str, Any]:
        await release.wait()
        return {"y": x}

    main = await h.release(version("adder", 1))
    slow = await h.release(version("adder", 2), wait)
    h.compose("shadowed", Stage((Variant(main.id),), (slow.id,)), versions=[main, slow])

    replies = await asyncio.gather(*(h.infer("shadowed", [1.0]) for _ in range(MAX_SHADOWS + 10)))
    release.set()

    assert {200} == {r.status_code for r in replies}
    assert 10 == h.measures.summary()["dropped_shadows"]


@in_house
async def test_a_request_id_lands_on_the_same_variant_again(h: House) -> None:
    one = await h.release(version("adder", 1))
    two = await h.release(version("adder", 2))
    h.compose("split", Stage((Variant(one.id, 50), Variant(two.id, 50))), versions=[one, two])

    first = [(await h.infer("split", [1.0], x_request_id=f"r{i}")).headers["x-headrace-version"] for i in range(40)]
    again = [(await h.infer("split", [1.0], x_request_id=f"r{i}")).headers["x-headrace-version"] for i in range(40)]

    assert first == again
    assert {"adder:1", "adder:2"} == set(first)


@in_house
async def test_a_new_revision_is_used_by_the_next_request_while_open_ones_finish_on_the_old(h: House) -> None:
    release = asyncio.Event()

    async def wait(x: Any) -> dict[str, Any]:
        await release.wait()
        return {"y": x}

    old = await h.release(version("adder", 1), wait)
    new = await h.release(version("adder", 2))
    h.compose("live", Stage((Variant(old.id),)), versions=[old])
    held = asyncio.ensure_future(h.infer("live", [1.0]))
    while not h.services.asked[old.id]:
        await asyncio.sleep(0)

    h.compose("live", Stage((Variant(new.id),)), versions=[new])
    now = await h.infer("live", [1.0])
    release.set()

    assert "adder:2" == now.headers["x-headrace-version"]
    assert (200, "adder:1") == ((await held).status_code, (await held).headers["x-headrace-version"])


@in_house
async def test_v1_asks_sequences_too(h: House) -> None:
    scale = await h.release(version("scale", 1, outputs=(number("x"),)), lambda x: {"x": x * 10})
    adder = await h.release(version("adder", 1))
    h.compose("chain", Stage((Variant(scale.id),)), Stage((Variant(adder.id),)), versions=[scale, adder])

    reply = await h.client.post("/v1/models/chain:predict", json={"instances": [{"x": 1.0}, {"x": 2.0}]})

    assert 200 == reply.status_code, reply.text
    assert 2 == len(reply.json()["predictions"])


@in_house
async def test_a_record_that_was_not_kept_is_counted_and_its_caller_is_told(h: House) -> None:
    async def unlogged(x: Any) -> Answer:
        return Answer(
            200, orjson.dumps({"outputs": []}), [("content-type", "application/json"), ("x-headrace-unlogged", "1")]
        )

    await h.release(version("adder", 1), unlogged)

    reply = await h.infer("adder", [1.0])

    assert "1" == reply.headers["x-headrace-unlogged"]
    assert 1 == h.measures.summary()["unlogged_records"]
    assert 'headrace_unlogged_records_total{model="adder",version="1"} 1' in h.measures.prometheus()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_caller_of_a_sequence_is_told_whichever_stage_was_not_logged(tmp_path: Path, place: int) -> None:
    async def run() -> None:
        async with house(tmp_path) as h:
            versions = [
                version("first", 1),
                version("second", 1, inputs=(number("y"),)),
                version("third", 1, inputs=(number("y"),)),
            ]
            for n, it in enumerate(versions):
                kept = answering(it, lambda **given: {"y": next(iter(given.values())) + 1})

                async def unlogged(asked: Asked, kept: Any = kept) -> Answer:
                    answer = await kept(asked)
                    return replace(answer, headers=[*answer.headers, ("x-headrace-unlogged", "1")])

                h.documents.create(layout.version_document(it.id), it.to_document())
                h.documents.append(layout.status(it.id), {"state": "released", "reason": "", "at": ""})
                await h.services.add(it, unlogged if n == place else kept)
            h.compose("chain", *(Stage((Variant(it.id),)) for it in versions), versions=versions)
            told = await h.infer("chain", [1.0])
            assert (200, "1") == (told.status_code, told.headers.get("x-headrace-unlogged")), told.text
            assert [4.0] == told.json()["outputs"][0]["data"]

    uvloop.run(run())


@in_house
async def test_a_method_that_a_path_does_not_take_is_405_with_the_one_it_takes(h: House) -> None:
    await h.release(version("adder", 1))

    reply = await h.client.get("/v2/models/adder/infer")
    other = await h.client.post("/v2/models/adder", json={})

    assert [(405, "POST"), (405, "GET")] == [(r.status_code, r.headers["allow"]) for r in (reply, other)]


@pytest.mark.parametrize("path", ["/v2/models/adder/nothing", "/v2/nothing", "/nothing"])
def test_an_unknown_path_is_404(path: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with house(tmp_path) as h:
            await h.release(version("adder", 1))
            assert 404 == (await h.client.get(path)).status_code

    uvloop.run(run())


@in_house
async def test_a_call_that_nobody_saw_is_sent_again_until_the_dead_replica_is_known(h: House) -> None:
    adder = await h.release(version("adder", 1))
    h.services.refusals[adder.id] = NotSent("connection refused")
    asyncio.get_running_loop().call_later(0.03, h.services.refusals.clear)
    answer = await h.infer("adder", [1.0])
    assert 200 == answer.status_code, answer.text
    assert 1 == len(h.services.asked[adder.id])


@in_house
async def test_a_shadow_does_not_get_the_platforms_own_questions(h: House) -> None:
    main, shadow = await h.release(version("adder", 1)), await h.release(version("adder", 2))
    h.compose("shadowed", Stage((Variant(main.id),), (shadow.id,)), versions=[main, shadow])

    await h.infer("shadowed", [1.0], x_headrace_purpose="explain secret")
    await h.infer("shadowed", [2.0])
    await h.runner.drain(5)

    assert (2, 1) == (len(h.services.asked[main.id]), len(h.services.asked[shadow.id]))


TEXT = Field("text", dtype("string"), profile="text")


def embedder(name: str = "sentences", width: int = 3) -> Version:
    return version(name, 1, inputs=(TEXT,), outputs=(number("embedding", "float64", (width,)),))


def lengths(text: Any) -> dict[str, Any]:
    return {"embedding": np.array([[len(t), 0.5, -1.0] for t in text])}


@in_house
async def test_texts_become_vectors_as_clients_of_openai_ask_for_them(h: House) -> None:
    it = await h.release(embedder(), lengths)
    reply = await h.client.post("/v1/embeddings", json={"model": "sentences", "input": ["a", "für"]})
    assert 200 == reply.status_code, reply.text
    found = reply.json()
    assert [[1.0, 0.5, -1.0], [3.0, 0.5, -1.0]] == [d["embedding"] for d in found["data"]]
    assert ("list", "sentences", [0, 1]) == (found["object"], found["model"], [d["index"] for d in found["data"]])
    assert reply.headers["x-headrace-version"] == "sentences:1"
    packed = await h.client.post(
        "/v1/embeddings", json={"model": "sentences:1", "input": "abcd", "encoding_format": "base64"}
    )
    (one,) = packed.json()["data"]
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(one["embedding"]), "<f4"), [4.0, 0.5, -1.0])
    assert ["/v2/models/sentences/infer"] * 2 == [a.path for a in h.services.asked[it.id]]


@pytest.mark.parametrize(
    ("document", "status", "field"),
    [
        ({"input": "a"}, 400, "model"),
        ({"model": "sentences"}, 400, "input"),
        ({"model": "sentences", "input": []}, 400, "input"),
        ({"model": "sentences", "input": [[1, 2]]}, 400, "input"),
        ({"model": "sentences", "input": ["a"] * 2049}, 413, "input"),
        ({"model": "sentences", "input": "a", "encoding_format": "int8"}, 400, "encoding_format"),
        ({"model": "sentences", "input": "a", "dimensions": 4}, 400, "dimensions"),
        ({"model": "sentences", "input": "a", "dimensions": True}, 400, "dimensions"),
        ({"model": "sentences", "input": "a", "stream": True}, 400, "stream"),
        ({"model": "adder", "input": "a"}, 400, "model"),
        ({"model": "nobody", "input": "a"}, 404, None),
    ],
)
def test_what_asks_for_no_vectors_is_refused_naming_the_member(
    document: dict[str, Any], status: int, field: str | None, tmp_path: Path
) -> None:
    async def test(h: House) -> None:
        await h.release(embedder(), lengths)
        await h.release(version("adder", 1))
        reply = await h.client.post("/v1/embeddings", json=document)
        assert status == reply.status_code, reply.text
        assert reply.json()["detail"] == reply.json()["error"]["message"]
        if field is not None:
            assert (field, field) == (reply.json()["field"], reply.json()["error"]["param"])
        assert not h.services.asked[embedder().id]

    in_house(test)(tmp_path)


@in_house
async def test_a_sequence_may_give_vectors_and_failures_come_as_they_are(h: House) -> None:
    it = await h.release(embedder(), lengths)
    h.compose("searching", Stage((Variant(it.id, 100),)), versions=[it])
    reply = await h.client.post("/v1/embeddings", json={"model": "searching", "input": "ab"})
    assert [2.0, 0.5, -1.0] == reply.json()["data"][0]["embedding"]
    h.services.refusals[it.id] = NotReady("its pickle raises", retry_after=7)
    refused = await h.client.post("/v1/embeddings", json={"model": "sentences", "input": "ab"})
    assert (503, "its pickle raises") == (refused.status_code, refused.json()["detail"])
    assert 405 == (await h.client.get("/v1/embeddings")).status_code


FIELDS = (
    Field("age", dtype("int64"), profile="numerical", range=(20.0, 60.0)),
    Field("plan", dtype("string"), profile="categorical", categories=("free", "paid"), strict=True),
    Field("image", dtype("float32"), (2, -1), "image"),
)
OUTPUTS = (number("risk"), Field("label", dtype("string")))


def scored(age: Any, plan: Any, image: Any) -> dict[str, Any]:
    return {"risk": age * 1.0, "label": plan}


@in_house
async def test_a_model_describes_itself_by_openapi_and_its_examples_are_answered(h: House) -> None:
    await h.release(version("loan", 3, inputs=FIELDS, outputs=OUTPUTS), scored)
    found = (await h.client.get("/v2/models/loan/openapi.json")).json()
    assert ("3.1.0", "loan", "3") == (found["openapi"], found["info"]["title"], found["info"]["version"])
    row = found["components"]["schemas"]["Row"]
    assert ["age", "plan", "image"] == row["required"]
    assert {"type": "string", "enum": ["free", "paid"]} == row["properties"]["plan"]
    assert {
        "type": "array",
        "minItems": 2,
        "maxItems": 2,
        "items": {"type": "array", "items": {"type": "number", "format": "float"}},
    } == row["properties"]["image"]
    await examples_are_answered(h, found)


async def examples_are_answered(h: House, found: dict[str, Any]) -> None:
    """Examples fit the schemas that they stand beside and are answered, and so do the answers."""
    for path, methods in found["paths"].items():
        operation = methods["post"]
        content = operation["requestBody"]["content"]["application/json"]
        answered = operation["responses"]["200"]["content"]["application/json"]["schema"]
        reply = await h.client.post(path, json=content["example"])
        assert 200 == reply.status_code, reply.text
        for schema, instance in ((content["schema"], content["example"]), (answered, reply.json())):
            validator = jsonschema.Draft202012Validator({**schema, "components": found["components"]})
            assert [] == list(validator.iter_errors(instance)), (path, instance)


@in_house
async def test_a_sequence_and_a_version_describe_themselves_too_and_nobody_else(h: House) -> None:
    it = await h.release(version("adder", 1))
    h.compose("chain", Stage((Variant(it.id, 100),)), versions=[it])
    chain = (await h.client.get("/v2/models/chain/openapi.json")).json()
    assert ["/v1/models/chain:predict", "/v2/models/chain/infer"] == list(chain["paths"])
    first = (await h.client.get("/v2/models/adder/versions/1/openapi.json")).json()
    assert ["/v1/models/adder:1:predict", "/v2/models/adder/versions/1/infer"] == list(first["paths"])
    await examples_are_answered(h, first)
    await examples_are_answered(h, chain)
    assert 404 == (await h.client.get("/v2/models/nobody/openapi.json")).status_code


@in_house
async def test_clients_of_hydrosphere_send_inputs_by_name_and_get_outputs_by_name(h: House) -> None:
    await h.release(version("adder", 1))
    await h.release(version("loan-1", 1, inputs=(number("x"),), outputs=OUTPUTS, batch=False), one_row)
    reply = await h.client.post("/gateway/application/adder", json={"x": [1.0, 2.0]})
    assert (200, {"y": [2.0, 3.0]}) == (reply.status_code, reply.json())
    alone = await h.client.post("/gateway/application/loan_1", json={"x": 4.0})
    assert (200, {"risk": 8.0, "label": "high"}) == (alone.status_code, alone.json())
    assert "adder:1" == reply.headers["x-headrace-version"]


@in_house
async def test_what_is_no_request_of_hydrosphere_is_refused(h: House) -> None:
    await h.release(version("adder", 1))
    assert 400 == (await h.client.post("/gateway/application/adder", content=b"[1]")).status_code
    assert 404 == (await h.client.post("/gateway/application/nobody", json={"x": [1.0]})).status_code
    assert 405 == (await h.client.get("/gateway/application/adder")).status_code
    assert 404 == (await h.client.post("/gateway/application/adder/more", json={"x": [1.0]})).status_code


def one_row(x: Any) -> dict[str, Any]:
    return {"risk": np.asarray(x * 2.0), "label": np.array("high", object)}


@in_house
async def test_a_question_why_reaches_the_version_as_one(h: House) -> None:
    adder = await h.release(version("adder", 1))

    for path in ("/v2/models/adder/explain", "/v2/models/adder/versions/1/explain", "/v1/models/adder:explain"):
        await h.client.post(path, json={"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]})

    asked = [one.path for one in h.services.asked[adder.id]]
    assert ["/v2/models/adder/explain", "/v2/models/adder/explain", "/v1/models/adder:explain"] == asked


@in_house
async def test_a_sequence_is_not_explained_in_a_request_whichever_way_it_is_asked(h: House) -> None:
    scale = await h.release(version("scale", 1, outputs=(number("x"),)), lambda x: {"x": x * 10})
    adder = await h.release(version("adder", 1))
    h.compose("chain", Stage((Variant(scale.id),)), Stage((Variant(adder.id),)), versions=[scale, adder])
    tensors = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
    rows = {"instances": [{"x": 1.0}]}

    replies = [
        await h.client.post("/v2/models/chain/explain", json=tensors),
        await h.client.post("/v2/models/chain/infer", json={**tensors, "parameters": {"explain": True}}),
        await h.client.post("/v1/models/chain:explain", json=rows),
        await h.client.post("/v1/models/chain:predict", json={**rows, "explain": True}),
    ]

    assert [(400, "explain")] * 4 == [(r.status_code, r.json()["field"]) for r in replies]


def test_starts_are_counted_by_stage_with_bounds_that_add_up() -> None:
    measures = GatewayMetrics()
    for seconds in (0.02, 0.03, 70.0):
        measures.woke("load", seconds)
    measures.woke("total", 0.04)
    text = measures.prometheus()
    for line in (
        'headrace_wake_seconds_bucket{stage="load",le="0.025"} 1',
        'headrace_wake_seconds_bucket{stage="load",le="60.0"} 2',
        'headrace_wake_seconds_bucket{stage="load",le="+Inf"} 3',
        'headrace_wake_seconds_sum{stage="load"} 70.050000',
        'headrace_wake_seconds_count{stage="total"} 1',
    ):
        assert f"\n{line}\n" in text
