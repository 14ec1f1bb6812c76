"""What a pod that runs users' code reaches of the store: its own version, its own records, and nothing else."""

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from function_support import wait_until
from headrace_functions.errors import Conflict, HeadraceError, NotFound, StorageFailed
from headrace_functions.gateway import store_proxy
from headrace_functions.names import VersionId
from headrace_functions.platform_secret import BUILD, FUNCTION, function_proof, proof_from, store_token
from headrace_functions.storage import layout, reach
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.storage.proxied import ProxiedStore
from headrace_functions.storage.releases import ReleaseKey
from headrace_functions.version import Runtime
from support.store_proxy import SECRET, Served, served
from support.stores import FaultyStore
from support.versions import version

CHURN, OTHER = VersionId("churn", 1), VersionId("churn", 12)
SEGMENT = layout.inbox_segment(CHURN.service, "a" * 32, 7)
FORBIDDEN_READS = (
    layout.version_document(OTHER),
    layout.artifact(OTHER),
    layout.training(CHURN),
    layout.definition(CHURN),
    layout.release_signature(CHURN),
    layout.PURPOSE,
    layout.layer("another"),
    layout.environment("e" * 20) + "lock.txt",
    "logs/churn/v1/_delta_log/00000000000000000000.json",
    SEGMENT,
    "models/churn/versions/1/../12/version.json",
    "",
    "/",
    "models/",
)
FORBIDDEN_WRITES = (
    layout.inbox_segment(OTHER.service, "a" * 32, 7),
    layout.inbox_segment("gateway", "a" * 32, 7),
    f"inbox/{CHURN.service}/external-abc/{7:012d}.seg",
    f"inbox/{CHURN.service}/a/b/{7:012d}.seg",
    f"inbox/{CHURN.service}/../{OTHER.service}/a/{7:012d}.seg",
    f"inbox/{CHURN.service}/{'a' * 32}/7.seg",
    f"inbox/{CHURN.service}/{'a' * 32}/{7:012d}.seg.reason.json",
    layout.version_document(VersionId("churn", 99)),
    layout.status(VersionId("churn", 99)) + "1.json",
    layout.version_document(CHURN),
    layout.artifact(CHURN),
    layout.CHANGES,
)


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    """Two versions, each with what pods read, and secrets of the platform."""
    found = ObjectStore(str(tmp_path / "store"))
    for it in (CHURN, OTHER):
        made = version(it.model, it.number, runtime=Runtime("image", "l" * 64, "f" * 64))
        found.put(layout.version_document(it), orjson.dumps(made.to_document()))
        found.put(layout.artifact(it), f"artifact of {it}".encode())
    found.put(layout.layer("e" * 20), b"layer")
    for key in (layout.training(CHURN), layout.layer("another"), layout.PURPOSE, layout.definition(CHURN)):
        found.put(key, b"secret")
    return found


@pytest.fixture
def proxy(objects: ObjectStore) -> Iterator[Served]:
    with served(objects) as found:
        yield found


def opened(proxy: Served, name: str = CHURN.service, kind: str = FUNCTION) -> ProxiedStore:
    return ProxiedStore(proxy.url, proxy.token(name, kind), patience=0)


def test_a_function_reads_its_version_its_artifact_and_its_layer(proxy: Served, tmp_path: Path) -> None:
    store = opened(proxy)

    assert store.get(layout.artifact(CHURN)) == b"artifact of churn:1"
    assert orjson.loads(store.get(layout.version_document(CHURN)))["number"] == 1
    assert len(b"layer") == store.size(layout.layer("e" * 20))
    assert hashlib.sha256(b"layer").hexdigest() == store.download(layout.layer("e" * 20), tmp_path / "layer")
    assert b"layer" == (tmp_path / "layer").read_bytes()


@pytest.mark.parametrize("key", FORBIDDEN_READS)
def test_a_function_reads_nothing_else(proxy: Served, key: str) -> None:
    with pytest.raises(HeadraceError) as caught:
        opened(proxy).get(key)

    assert "secret" not in caught.value.message
    with pytest.raises(HeadraceError):
        opened(proxy).size(key)


def test_records_are_in_the_inbox_once_they_are_taken_and_the_collector_is_told(
    proxy: Served, objects: ObjectStore
) -> None:
    opened(proxy).create(SEGMENT, b"records")

    assert b"records" == objects.get(SEGMENT)
    assert [None] == proxy.arrived


def test_the_same_segment_again_changes_nothing(proxy: Served, objects: ObjectStore) -> None:
    """A shipper that did not hear the answer sends it again."""
    opened(proxy).create(SEGMENT, b"records")

    with pytest.raises(Conflict):
        opened(proxy).create(SEGMENT, b"others")

    assert b"records" == objects.get(SEGMENT)


def test_a_segment_that_is_too_large_for_memory_goes_in_pieces(
    proxy: Served, objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_proxy, "_CREATED_WHOLE", 1000)
    data = bytes(range(256)) * 50_000

    opened(proxy).create(SEGMENT, data)

    assert data == objects.get(SEGMENT)


@pytest.mark.parametrize("key", FORBIDDEN_WRITES)
def test_a_function_writes_nothing_else(proxy: Served, objects: ObjectStore, key: str) -> None:
    before = {info.key: objects.get(info.key) for info in objects.walk("")}
    store = opened(proxy)

    for write in (store.create, store.put):
        with pytest.raises(StorageFailed):
            write(key, b"forged")

    assert before == {info.key: objects.get(info.key) for info in objects.walk("")}


@pytest.mark.parametrize(
    "token",
    [
        "",
        "function.churn-v1.",
        "function.churn-v1." + "0" * 64,
        store_token("another secret", FUNCTION, "churn-v1"),
        store_token(SECRET, FUNCTION, "churn-v12").replace("churn-v12", "churn-v1"),
        store_token(SECRET, FUNCTION, "churn-v1").upper(),
        function_proof(SECRET, "churn-v1"),
        SECRET,
        "é" * 20,
    ],
)
def test_who_has_no_token_of_the_platform_gets_nothing(proxy: Served, token: str) -> None:
    shown = {"authorization": f"Bearer {token}".encode().strip()}
    answer = httpx.get(f"{proxy.url}/{layout.artifact(CHURN)}", headers=shown, trust_env=False)

    assert (401, "unauthenticated") == (answer.status_code, answer.json()["code"])


def test_what_the_gateway_proves_itself_by_opens_no_store_and_follows_from_the_token() -> None:
    token = store_token(SECRET, FUNCTION, "churn-v1")

    assert function_proof(SECRET, "churn-v1") == proof_from(token)
    assert function_proof(SECRET, "churn-v2") != proof_from(token)


def test_pods_that_run_go_on_while_the_platforms_secret_is_replaced(proxy: Served) -> None:
    old = opened(proxy)
    proxy.secret.value, proxy.secret.previous = "another secret", SECRET

    assert b"artifact of churn:1" == old.get(layout.artifact(CHURN))
    new = ProxiedStore(proxy.url, store_token("another secret", FUNCTION, CHURN.service), patience=0)
    assert b"artifact of churn:1" == new.get(layout.artifact(CHURN))
    proxy.secret.previous = ""
    with pytest.raises(StorageFailed):
        old.get(layout.artifact(CHURN))


def test_a_build_reaches_its_question_and_what_that_names(proxy: Served, objects: ObjectStore) -> None:
    question, result = reach.build_question("headrace-ask-1"), layout.exchange("headrace-ask-1", "result.json")
    objects.put(question, orjson.dumps({reach.READS: [layout.artifact(CHURN)], reach.WRITES: [result]}))
    store = opened(proxy, "headrace-ask-1", BUILD)

    assert store.get(layout.artifact(CHURN)) == b"artifact of churn:1"
    assert layout.artifact(CHURN) in store.get(question).decode()
    store.put(result, b"the answer")
    assert b"the answer" == objects.get(result)
    assert [] == proxy.arrived


def test_a_build_reaches_nothing_else(proxy: Served, objects: ObjectStore) -> None:
    question, result = reach.build_question("headrace-ask-1"), layout.exchange("headrace-ask-1", "result.json")
    objects.put(question, orjson.dumps({reach.READS: [], reach.WRITES: [result]}))
    objects.put(reach.build_question("headrace-ask-2"), b"{}")
    store = opened(proxy, "headrace-ask-1", BUILD)

    for key in (*FORBIDDEN_READS, reach.build_question("headrace-ask-2"), result):
        with pytest.raises(HeadraceError):
            store.get(key)
    for key in (*FORBIDDEN_WRITES, question, SEGMENT):
        with pytest.raises(StorageFailed):
            store.put(key, b"forged")


def test_a_build_that_is_over_reaches_nothing(proxy: Served) -> None:
    with pytest.raises(HeadraceError):
        opened(proxy, "headrace-ask-1", BUILD).put(layout.exchange("headrace-ask-1", "result.json"), b"late")


def test_a_version_that_is_not_signed_is_given_to_nobody(objects: ObjectStore) -> None:
    key = ReleaseKey("key")
    document = objects.get(layout.version_document(CHURN))
    objects.put(layout.release_signature(CHURN), key.sign(CHURN, document))
    objects.put(layout.release_signature(OTHER), key.sign(CHURN, document))
    with served(objects, key) as proxy:
        assert document == opened(proxy).get(layout.version_document(CHURN))
        with pytest.raises(StorageFailed, match="differs from what was signed"):
            opened(proxy, OTHER.service).get(layout.version_document(OTHER))


def test_part_of_a_body_is_not_taken_for_the_whole(proxy: Served, objects: ObjectStore) -> None:
    """A pod that dies while it hands records over; what it did not finish its next container sends again."""
    for length in (1000, 100_000_000):
        where = urlsplit(proxy.url)
        with socket.create_connection((str(where.hostname), int(where.port or 0))) as connection:
            head = f"PUT /{SEGMENT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {proxy.token('churn-v1')}\r\n"
            connection.sendall(f"{head}if-none-match: *\r\ncontent-length: {length}\r\n\r\n".encode() + b"half")
        opened(proxy).get(layout.artifact(CHURN))

    assert not objects.exists(SEGMENT)
    assert [] == proxy.arrived


def test_while_the_store_is_away_records_wait_and_reading_does_too(objects: ObjectStore) -> None:
    faulty = FaultyStore(objects)
    with served(cast(Any, faulty)) as proxy:
        faulty.refuse()
        with pytest.raises(StorageFailed):
            opened(proxy).create(SEGMENT, b"records")
        assert not objects.exists(SEGMENT)
        found: list[bytes] = []
        patient = ProxiedStore(proxy.url, proxy.token("churn-v1"), patience=30)
        waiting = threading.Thread(target=lambda: found.append(patient.get(layout.artifact(CHURN))))
        reads = faulty.reads
        waiting.start()
        wait_until(lambda: faulty.reads > reads)
        faulty.recover()
        waiting.join(30)

        assert [b"artifact of churn:1"] == found
        opened(proxy).create(SEGMENT, b"records")
        assert b"records" == objects.get(SEGMENT)


def test_a_gateway_that_does_not_answer_is_waited_for(objects: ObjectStore) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(StorageFailed, match="does not answer"):
        ProxiedStore(f"http://127.0.0.1:{port}", "token", patience=0.2).get("key")


def test_one_pod_cannot_keep_all_others_from_starting(proxy: Served, objects: ObjectStore) -> None:
    """It opens as many requests as it may and reads none of them."""
    objects.put(layout.artifact(CHURN), b"x" * 50_000_000)
    where = urlsplit(proxy.url)
    greedy = [socket.create_connection((str(where.hostname), int(where.port or 0))) for _ in range(40)]
    head = (
        f"GET /{layout.artifact(CHURN)} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {proxy.token('churn-v1')}\r\n\r\n"
    )
    statuses = []
    for connection in greedy:
        connection.sendall(head.encode())
        statuses.append(connection.recv(12))

    assert [b"HTTP/1.1 200"] * store_proxy.TOGETHER == statuses[: store_proxy.TOGETHER]
    assert {b"HTTP/1.1 429"} == set(statuses[store_proxy.TOGETHER :])
    assert b"artifact of churn:12" == opened(proxy, OTHER.service).get(layout.artifact(OTHER))
    for connection in greedy:
        connection.close()
    assert 50_000_000 == len(ProxiedStore(proxy.url, proxy.token("churn-v1"), patience=20).get(layout.artifact(CHURN)))


def test_a_key_that_is_not_there_is_not_found(proxy: Served, objects: ObjectStore) -> None:
    objects.delete(layout.artifact(CHURN))

    with pytest.raises(NotFound, match="no object models/churn/versions/1/artifact"):
        opened(proxy).get(layout.artifact(CHURN))


def test_what_is_in_memory_is_bounded_and_who_is_refused_comes_again(
    objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_proxy, "OPEN_BYTES", 2_000_000)
    with served(objects) as proxy:
        where = urlsplit(proxy.url)
        head = f"PUT /{SEGMENT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {proxy.token('churn-v1')}\r\n"
        other = opened(proxy, OTHER.service)
        with socket.create_connection((str(where.hostname), int(where.port or 0))) as slow:
            slow.sendall(f"{head}if-none-match: *\r\ncontent-length: 1500000\r\n\r\n".encode() + b"begun")
            wait_until(
                lambda: fails(lambda: other.create(layout.inbox_segment(OTHER.service, "a", 0), bytes(1_000_000)))
            )
        wait_until(
            lambda: not fails(lambda: other.create(layout.inbox_segment(OTHER.service, "a", 1), bytes(1_000_000)))
        )


def fails(act: Callable[[], object]) -> bool:
    """Whether it is refused; what is there already is not."""
    try:
        act()
    except StorageFailed:
        return True
    except Conflict:
        return False
    return False


def test_a_pod_that_reads_too_slowly_is_hung_up_on(
    proxy: Served, objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_proxy, "PATIENCE", 0.2)
    monkeypatch.setattr(store_proxy, "SLOWEST", 1e12)
    objects.put(layout.artifact(CHURN), b"x" * 50_000_000)
    where = urlsplit(proxy.url)
    head = (
        f"GET /{layout.artifact(CHURN)} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {proxy.token('churn-v1')}\r\n\r\n"
    )
    with socket.create_connection((str(where.hostname), int(where.port or 0))) as slow:
        slow.sendall(head.encode())
        assert b"HTTP/1.1 200" == slow.recv(12)
        threading.Event().wait(0.5)  # longer than it may take; nothing is read meanwhile
        slow.settimeout(20)
        read = 0
        while piece := slow.recv(1 << 20):
            read += len(piece)
    assert read < 50_000_000
