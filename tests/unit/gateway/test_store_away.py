"""What a gateway serves while the store is away: names as they were last known, at once and said so; and again from the store after it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import orjson
import pytest
import uvloop

from headrace_controller.catalog.catalog import Catalog
from headrace_controller.catalog.snapshot import CatalogSnapshot
from headrace_controller.embedded.remembered_routes import RememberedRoutes
from headrace_functions.errors import NotFound, StorageFailed
from headrace_functions.gateway import resolve
from headrace_functions.gateway.app import Gateway, GatewaySettings
from headrace_functions.gateway.exchange import Exchange
from headrace_functions.gateway.execution import SequenceRunner
from headrace_functions.gateway.last_known import PATH, KnownByController, LastKnown
from headrace_functions.gateway.metrics import GatewayMetrics
from headrace_functions.gateway.resolve import PATIENCE, Resolver
from headrace_functions.gateway.routes import Route, SequenceRoute, route_document, route_from_document
from headrace_functions.gateway.upstream import Upstream
from headrace_functions.names import Reference, VersionId
from headrace_functions.platform_secret import PlatformSecret
from headrace_functions.sequence import Sequence, Stage, Variant, infer_signature
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from support.ingress import Ingress
from support.stores import FaultyStore
from support.stub_services import Answer, StubServices
from support.versions import version

AWAY: dict[str, Callable[[FaultyStore], None]] = {"refuses": FaultyStore.refuse, "hangs": FaultyStore.hang}
NAMES = ("adder", "adder:1", "adder:2", "adder@prod", "score")


class Store:
    """A catalogue of two versions, an alias and a sequence on a store that can be away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faulty = FaultyStore(ObjectStore(str(folder / "store")))
        self.documents = Documents(cast(ObjectStore, self.faulty))
        for number in (1, 2):
            self.release(version("adder", number))
        self.documents.append(layout.alias("adder", "prod"), {"version": 1})
        one = version("adder", 1)
        stages = (Stage((Variant(one.id),)),)
        signature = infer_signature("score", stages, {one.id: one.signature})
        self.documents.append(layout.revisions("score"), Sequence("score", stages, signature).to_document())

    def release(self, it: Version) -> None:
        given = {"schema": 1, "definition": {}, "content": "", "artifact": "", "created": ""}
        self.documents.create(layout.definition(it.id), given)
        self.documents.create(layout.version_document(it.id), it.to_document())
        self.documents.append(layout.status(it.id), {"state": "released", "reason": "", "at": ""})


def in_loop(test: Callable[[Store], Coroutine[Any, Any, None]]) -> Callable[[Path], None]:
    def wrapped(tmp_path: Path) -> None:
        store = Store(tmp_path)
        try:
            uvloop.run(test(store))
        finally:
            store.faulty.recover()

    wrapped.__doc__, wrapped.__name__ = test.__doc__, test.__name__
    return wrapped


async def routes(resolver: Resolver) -> dict[str, Route]:
    return {name: await resolver.resolve(Reference.parse(name)) for name in NAMES}


@in_loop
async def test_a_route_survives_its_document(store: Store) -> None:
    for name, route in (await routes(Resolver(store.documents))).items():
        document = orjson.loads(orjson.dumps(route_document(route)))
        assert route == route_from_document(document), name


@in_loop
async def test_the_controllers_snapshot_leads_every_name_where_the_gateway_does(store: Store) -> None:
    catalog = Catalog(store.documents)
    catalog.reload()
    snapshot = CatalogSnapshot.of(catalog)

    for name, route in (await routes(Resolver(store.documents))).items():
        assert route == snapshot.route(Reference.parse(name)), name
    for unknown in ("nobody", "adder:3", "adder@dev"):
        with pytest.raises(NotFound):
            snapshot.route(Reference.parse(unknown))


@in_loop
async def test_the_snapshot_follows_aliases_that_another_writer_moved(store: Store) -> None:
    catalog = Catalog(store.documents)
    catalog.reload()
    CatalogSnapshot.of(catalog)
    store.documents.append(layout.alias("adder", "prod"), {"version": 2})
    store.documents.append(layout.alias("adder", "new"), {"version": 1})

    catalog.reload()

    expected = {("adder", "prod"): VersionId("adder", 2), ("adder", "new"): VersionId("adder", 1)}
    assert expected == CatalogSnapshot.of(catalog).aliases


@pytest.mark.parametrize("mode", AWAY)
def test_names_that_were_forgotten_are_served_as_they_were_known(mode: str, tmp_path: Path) -> None:
    async def run() -> None:
        resolver = Resolver(store.documents)
        before = await routes(resolver)
        resolver.forget()
        AWAY[mode](store.faulty)

        started = time.perf_counter()
        assert before == await routes(resolver)
        assert before == await routes(resolver)
        assert len(NAMES) == resolver.unconfirmed
        assert time.perf_counter() - started < PATIENCE + 0.5, "the store is waited for once, not a name"

    store = Store(tmp_path)
    try:
        uvloop.run(run())
    finally:
        store.faulty.recover()


@pytest.mark.parametrize("mode", AWAY)
def test_a_new_gateway_knows_what_the_disk_remembers(mode: str, tmp_path: Path) -> None:
    async def first() -> dict[str, Route]:
        remembered = RememberedRoutes(tmp_path / "definitions")
        known = await routes(Resolver(store.documents, remembered))
        remembered.close()
        return known

    async def second() -> dict[str, Route]:
        resolver = Resolver(store.documents, RememberedRoutes(tmp_path / "definitions"))
        started = time.perf_counter()
        known = await routes(resolver)
        assert time.perf_counter() - started < 1
        store.faulty.refuse()
        with pytest.raises(StorageFailed):
            await resolver.resolve(Reference("nobody"))
        return known

    store = Store(tmp_path)
    expected = uvloop.run(first())
    AWAY[mode](store.faulty)
    try:
        assert expected == uvloop.run(second())
    finally:
        store.faulty.recover()


@in_loop
async def test_what_the_store_says_is_gone_is_no_longer_remembered(store: Store) -> None:
    remembered = RememberedRoutes(store.folder / "definitions")
    resolver = Resolver(store.documents, remembered)
    await routes(resolver)
    store.documents.create(layout.version_tombstone(VersionId("adder", 2)), {"schema": 1})
    resolver.forget()
    with pytest.raises(NotFound):
        await resolver.resolve(Reference("adder", number=2))

    resolver.forget()
    store.faulty.refuse()

    with pytest.raises(StorageFailed):
        await resolver.resolve(Reference("adder", number=2))
    assert VersionId("adder", 1) == cast(Version, await resolver.resolve(Reference("adder", number=1))).id


@in_loop
async def test_once_the_store_is_back_names_mean_what_it_says(store: Store) -> None:
    remembered = RememberedRoutes(store.folder / "definitions")
    await routes(Resolver(store.documents, remembered))
    resolver = Resolver(store.documents, remembered)
    store.faulty.refuse()
    prod = Reference("adder", alias="prod")
    assert 1 == cast(Version, await resolver.resolve(prod)).id.number

    store.faulty.recover()
    store.documents.append(layout.alias("adder", "prod"), {"version": 2})
    resolver._ask_again = 0.0  # the pause is over

    assert 1 == cast(Version, await resolver.resolve(prod)).id.number, "nobody waits for the store"
    await resolver._reading[prod]
    assert 2 == cast(Version, await resolver.resolve(prod)).id.number
    assert not resolver.is_unconfirmed(prod)


@in_loop
async def test_while_it_is_away_the_store_is_asked_now_and_then_and_not_by_each_request(
    store: Store,
) -> None:
    remembered = RememberedRoutes(store.folder / "definitions")
    await routes(Resolver(store.documents, remembered))
    resolver = Resolver(store.documents, remembered)
    store.faulty.refuse()
    await resolver.resolve(Reference("adder"))
    before = store.faulty.reads

    for _ in range(1000):
        await resolver.resolve(Reference("adder"))

    assert before == store.faulty.reads
    assert resolve.AGAIN > PATIENCE


@in_loop
async def test_learning_a_name_makes_its_versions_and_aliases_known(store: Store) -> None:
    remembered = RememberedRoutes(store.folder / "definitions")
    await Resolver(store.documents, remembered).learn("adder")
    store.faulty.refuse()

    resolver = Resolver(store.documents, remembered)

    assert 2 == cast(Version, await resolver.resolve(Reference("adder"))).id.number
    assert 1 == cast(Version, await resolver.resolve(Reference("adder", alias="prod"))).id.number


@in_loop
async def test_in_a_cluster_the_controller_knows(store: Store) -> None:
    snapshot = CatalogSnapshot.of(Catalog(store.documents))
    expected = await routes(Resolver(store.documents))
    store.faulty.hang()

    async def controller(line: str) -> tuple[int, bytes, bool]:
        name = line.removeprefix(f"GET {PATH}").replace("%40", "@").replace("%3A", ":")
        try:
            return 200, orjson.dumps(route_document(snapshot.route(Reference.parse(name)))), True
        except NotFound:
            return 404, b"{}", True

    async with Ingress(controller) as ingress:
        upstream = Upstream()
        resolver = Resolver(store.documents, KnownByController(upstream, f"http://{ingress.host}", PlatformSecret("s")))
        started = time.perf_counter()
        assert expected == await routes(resolver)
        assert time.perf_counter() - started < 1
        unknown = asyncio.create_task(resolver.resolve(Reference("nobody")))
        await asyncio.sleep(0)  # it has been asked for
        store.faulty.recover()
        with pytest.raises((NotFound, StorageFailed)):  # by the store, which is back
            await unknown
        await resolver.close()
        upstream.close()
    await asyncio.sleep(0.01)  # transports and streams end in turns of the loop


@in_loop
async def test_a_controller_that_answers_nonsense_or_not_at_all_knows_nothing(store: Store) -> None:
    async def nonsense(_line: str) -> tuple[int, bytes, bool]:
        return 200, b'{"versions": []}', True

    upstream = Upstream()
    async with Ingress(nonsense) as ingress:
        assert (
            await KnownByController(upstream, f"http://{ingress.host}", PlatformSecret("s")).recall(Reference("adder"))
            is None
        )
    assert (
        await KnownByController(upstream, "http://127.0.0.1:9", PlatformSecret("s")).recall(Reference("adder")) is None
    )
    upstream.close()
    await asyncio.sleep(0.01)  # transports and streams end in turns of the loop


@asynccontextmanager
async def gateway(store: Store, folder: Path, last_known: LastKnown) -> AsyncIterator[httpx.AsyncClient]:
    services, measures, upstream = StubServices(folder), GatewayMetrics(), Upstream()

    async def sum_of(_: object) -> Answer:
        return Answer(200, b'{"outputs": []}')

    for number in (1, 2):
        await services.add(version("adder", number), sum_of)
    resolver = Resolver(store.documents, last_known)
    exchange = Exchange(services, upstream, cast(Any, None), measures)
    app = Gateway(GatewaySettings("0"), resolver, exchange, SequenceRunner(exchange, measures), upstream, measures)
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client
    upstream.close()
    await services.close()


@in_loop
async def test_answers_by_unconfirmed_definitions_say_so(store: Store) -> None:
    remembered = RememberedRoutes(store.folder / "definitions")
    await routes(Resolver(store.documents, remembered))
    asked = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}

    async with gateway(store, store.folder, remembered) as client:
        fresh = await client.post("/v2/models/adder:1/infer", json=asked)
        store.faulty.hang()
        started = time.perf_counter()
        old = await client.post("/v2/models/adder/infer", json=asked)
        described = await client.get("/v2/models/adder")
        seconds = time.perf_counter() - started
        metrics = (await client.get("/metrics")).text

    assert (200, None) == (fresh.status_code, fresh.headers.get("x-headrace-definitions"))
    assert (200, "last-known") == (old.status_code, old.headers["x-headrace-definitions"])
    assert (200, ["1", "2"]) == (described.status_code, described.json()["versions"])
    assert seconds < 1
    assert "\nheadrace_unconfirmed_definitions 1\n" in metrics


def test_a_sequence_is_remembered_with_its_versions(tmp_path: Path) -> None:
    store = Store(tmp_path)

    async def run() -> SequenceRoute:
        return cast(SequenceRoute, await Resolver(store.documents).resolve(Reference("score")))

    assert {VersionId("adder", 1)} == set(uvloop.run(run()).versions)
