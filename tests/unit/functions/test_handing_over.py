"""Records of several versions in one pod go each by the version's own token; and the collector is woken without anybody waiting."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from function_support import wait_until
from headrace_functions.errors import InvalidInput, StorageFailed
from headrace_functions.recording import shipping
from headrace_functions.recording.shipping import CollectorBell
from headrace_functions.standby.kept_tokens import KeptTokens
from headrace_functions.startup import switched_on
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.storage.proxied import ProxiedStore
from support.store_proxy import Served, served


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(str(tmp_path / "store"))


@pytest.fixture
def proxy(store: ObjectStore) -> Iterator[Served]:
    with served(store) as found:
        yield found


def kept(proxy: Served, folder: Path) -> KeptTokens:
    return KeptTokens(folder, lambda token: ProxiedStore(proxy.url, token, patience=0))


def test_each_versions_records_go_by_its_own_token(proxy: Served, store: ObjectStore, tmp_path: Path) -> None:
    tokens = kept(proxy, tmp_path / "tokens")
    for service in ("churn-v1", "other-v2"):
        tokens.keep(service, proxy.token(service))
    for service in ("churn-v1", "other-v2"):
        tokens.create(layout.inbox_segment(service, "a" * 32, 0), service.encode())

    assert {b"churn-v1", b"other-v2"} == {store.get(info.key) for info in store.walk(layout.INBOX)}


def test_the_next_container_of_the_pod_knows_them_too(proxy: Served, store: ObjectStore, tmp_path: Path) -> None:
    """What a container that was killed had not handed over is still there, and nobody else hands it over."""
    kept(proxy, tmp_path / "tokens").keep("churn-v1", proxy.token("churn-v1"))
    kept(proxy, tmp_path / "tokens").create(layout.inbox_segment("churn-v1", "a" * 32, 0), b"records")

    assert 1 == len(list(store.walk(layout.INBOX)))
    assert 0o600 == (tmp_path / "tokens" / "churn-v1").stat().st_mode & 0o777
    assert 0o700 == (tmp_path / "tokens").stat().st_mode & 0o777


def test_records_of_a_version_without_a_token_wait(proxy: Served, store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="churn-v1"):
        kept(proxy, tmp_path / "tokens").create(layout.inbox_segment("churn-v1", "a" * 32, 0), b"records")


class Collector(ThreadingHTTPServer):
    """Counts what it hears, and answers when it may."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Heard)
        self.heard = 0
        self.may_answer = threading.Event()
        self.may_answer.set()


class Heard(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.heard += 1
        self.server.may_answer.wait(20)
        self.send_response(202)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """The test's own output is enough."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.may_answer.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_collector_is_woken_and_nobody_waits_for_it(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that sleeps answers when it is up; what arrives meanwhile is told once it has."""
    monkeypatch.setattr(shipping, "EVERY", 0.001)
    collector.may_answer.clear()
    bell = CollectorBell(f"http://127.0.0.1:{collector.server_port}")
    bell.start()
    bell.ring()
    wait_until(lambda: collector.heard == 1)
    for _ in range(1000):
        bell.ring()
    collector.may_answer.set()
    wait_until(lambda: collector.heard == 2)
    bell.close()

    assert collector.heard <= 3


def test_a_collector_that_is_away_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "EVERY", 0.001)
    bell = CollectorBell("http://127.0.0.1:9")
    bell.start()
    for _ in range(3):
        bell.ring()
    bell.close()


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("true", True), ("Yes", True), ("", False), ("0", False)])
def test_a_switch_is_on_or_off(value: str, expected: bool) -> None:
    assert switched_on({"HEADRACE_AUTH": value}, "HEADRACE_AUTH") is expected


def test_a_switch_that_says_neither_is_refused() -> None:
    """Somebody who wrote 'on' must not get a platform that asks nobody."""
    with pytest.raises(InvalidInput, match="HEADRACE_AUTH"):
        switched_on({"HEADRACE_AUTH": "on please"}, "HEADRACE_AUTH")
