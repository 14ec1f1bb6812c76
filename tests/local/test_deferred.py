"""Requests that are answered later, on a real platform whose processes are killed, and callbacks to a real receiver."""

import hashlib
import hmac
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from fixtures_platform import RunningPlatform, body, until
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore

SLOW = """
import pathlib, time

def predict(model, x):
    if (x < 0).any():
        raise ValueError("below zero")
    while (x == 7).any() and not pathlib.Path(GATE).exists():
        time.sleep(0.01)
    return {"y": x + 1}
"""


@dataclass
class Receiver:
    """Takes callbacks; ``answers`` are the statuses that it gives, the last one again and again."""

    url: str
    answers: list[int] = field(default_factory=lambda: [200])
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"]))
            found.got.append(({k.lower(): v for k, v in self.headers.items()}, data))
            status = found.answers.pop(0) if len(found.answers) > 1 else found.answers[0]
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Not into the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Receiver(f"http://127.0.0.1:{server.server_port}/done")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory, shared_environments: Path) -> Iterator[RunningPlatform]:
    """A platform that may call this machine, with ``slow:1``, which waits for the file ``gate`` of the home where x is 7."""
    home = tmp_path_factory.mktemp("home")
    (home / "environments").symlink_to(shared_environments)
    running = RunningPlatform(home, "--callback-host", "127.0.0.1", "--unconfined").start()  # for the gate in the home
    running.apply_python("slow", SLOW.replace("GATE", repr(str(home / "gate"))), home / "slow")
    yield running
    (home / "gate").touch()
    running.stop()


def ask(platform: RunningPlatform, x: float, **headers: str) -> httpx.Response:
    more = {"prefer": "respond-async", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return httpx.post(f"{platform.url}/v2/models/slow/infer", json=body(x), headers=more, timeout=30)


def answered(platform: RunningPlatform, place: str) -> httpx.Response:
    def look() -> httpx.Response | None:
        reply = httpx.get(f"{platform.url}{place}", timeout=30)
        return None if reply.status_code == 202 else reply

    found: httpx.Response = until(look, f"{place} has a result")
    return found


def test_a_request_is_accepted_and_its_answer_is_what_it_would_have_been(later: RunningPlatform) -> None:
    accepted = ask(later, 1.0, x_request_id="deferred-1")
    found = answered(later, accepted.headers["location"])

    assert (202, "respond-async") == (accepted.status_code, accepted.headers["preference-applied"])
    assert accepted.json()["location"] == accepted.headers["location"]
    assert (200, [2.0], "slow:1") == (
        found.status_code,
        found.json()["outputs"][0]["data"],
        found.headers["x-headrace-version"],
    )
    assert until(lambda: [r for r in later.logged("slow:1") if r["request_id"] == "deferred-1"], "it is logged")


def test_a_refusal_is_a_result_too(later: RunningPlatform) -> None:
    found = answered(later, ask(later, -1.0).headers["location"])

    assert (500, "function-failed") == (found.status_code, found.json()["code"])


def test_a_request_that_is_cancelled_is_not_answered_any_more(later: RunningPlatform) -> None:
    (later.home / "gate").unlink(missing_ok=True)
    place = ask(later, 7.0).headers["location"]
    waiting = httpx.get(f"{later.url}{place}")
    cancelled = httpx.delete(f"{later.url}{place}")
    found = answered(later, place)
    (later.home / "gate").touch()

    assert (202, "waiting", "1") == (waiting.status_code, waiting.json()["status"], waiting.headers["retry-after"])
    assert (200, "cancelled") == (cancelled.status_code, cancelled.json()["status"])
    assert (499, "cancelled") == (found.status_code, found.json()["code"])
    assert "cancelled" == httpx.delete(f"{later.url}{place}").json()["status"]


def test_a_request_that_is_answered_cannot_be_cancelled_and_who_tries_is_told(later: RunningPlatform) -> None:
    place = ask(later, 1.0).headers["location"]
    before = answered(later, place)

    assert "answered" == httpx.delete(f"{later.url}{place}").json()["status"]
    assert before.content == answered(later, place).content


@pytest.mark.parametrize("request_id", ["x", "0" * 33, "00000000000000000001-abcdefabcdef", "../../models"])
def test_what_is_no_request_is_not_found(later: RunningPlatform, request_id: str) -> None:
    assert 404 == httpx.get(f"{later.url}/v2/requests/{request_id}").status_code


def test_the_result_is_sent_as_a_signed_event_until_it_is_taken(later: RunningPlatform, receiver: Receiver) -> None:
    receiver.answers = [500, 200]
    accepted = ask(later, 1.0, x_headrace_callback=receiver.url, x_headrace_callback_secret="shared")
    until(lambda: len(receiver.got) == 2, "it is sent again after a failure")
    headers, data = receiver.got[-1]
    moment, made = (part.partition("=")[2] for part in headers["x-headrace-signature"].split(","))

    assert ("1.0", "org.headrace.inference.completed", "200") == (
        headers["ce-specversion"],
        headers["ce-type"],
        headers["ce-status"],
    )
    assert accepted.json()["id"] == headers["ce-id"]
    assert [2.0] == orjson.loads(data)["outputs"][0]["data"]
    assert hmac.new(b"shared", moment.encode() + b"." + data, hashlib.sha256).hexdigest() == made
    objects = ObjectStore(later.settings.storage_url)
    key = layout.deferred_told(accepted.json()["id"])
    told = until(lambda: objects.exists(key) and orjson.loads(objects.get(key)), "the delivery is noted")
    assert (True, 2) == (told["delivered"], told["tries"])


def test_a_redirect_is_not_followed(later: RunningPlatform, receiver: Receiver) -> None:
    receiver.answers = [302, 200]
    ask(later, 1.0, x_headrace_callback=receiver.url)
    until(lambda: len(receiver.got) == 2, "it is sent again to where it was to be sent")

    assert {"/done"} == {receiver.url.rpartition(":")[2].lstrip("0123456789")}


@pytest.mark.parametrize("url", ["ftp://a.example/", "nowhere", "http://user:pw@a.example/", "http:///x"])
def test_a_callback_that_is_no_url_is_refused_at_once(later: RunningPlatform, url: str) -> None:
    refused = ask(later, 1.0, x_headrace_callback=url)

    assert (400, "x-headrace-callback") == (refused.status_code, refused.json()["field"])


@pytest.mark.parametrize("host", ["169.254.169.254", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]"])
def test_a_callback_to_the_machine_itself_or_to_link_local_addresses_is_never_made(
    later: RunningPlatform, host: str
) -> None:
    accepted = ask(later, 1.0, x_headrace_callback=f"http://{host}:9/")
    objects, key = ObjectStore(later.settings.storage_url), layout.deferred_told(accepted.json()["id"])
    told = until(lambda: objects.exists(key) and orjson.loads(objects.get(key)), "it is given up")

    assert (False, 1) == (told["delivered"], told["tries"])
    assert "callbacks are not allowed to" in told["said"]


def test_whatever_is_killed_each_accepted_request_is_answered_once(later: RunningPlatform, receiver: Receiver) -> None:
    (later.home / "gate").unlink(missing_ok=True)
    xs = [7.0 if i % 2 else float(i) for i in range(12)]
    places = [ask(later, x, x_headrace_callback=receiver.url, x_request_id="killed").headers["location"] for x in xs]
    later.kill("gateway")
    later.kill("slow-v1")
    assert later._process is not None
    later._process.send_signal(signal.SIGKILL)
    later._process.wait(10)
    later.start()
    (later.home / "gate").touch()
    values = [answered(later, place).json()["outputs"][0]["data"][0] for place in places]
    until(lambda: len({h["ce-id"] for h, _ in receiver.got}) == 12, "each is told")

    assert [8.0 if i % 2 else i + 1.0 for i in range(12)] == values
    results: dict[str, set[bytes]] = {}
    for headers, data in receiver.got:
        results.setdefault(headers["ce-id"], set()).add(data)
    assert {1} == {len(found) for found in results.values()}
    ask(later, 99.0, x_request_id="last")
    until(lambda: [r for r in later.logged("slow:1") if r["request_id"] == "last"], "what came before is logged")
    logged = [r for r in later.logged("slow:1") if r["request_id"] == "killed"]
    assert sorted(xs) == sorted(r["in.x"] for r in logged)
    assert {"ok"} == {r["outcome"] for r in logged}


def test_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import asyncio

    from headrace_functions.errors import Overloaded
    from headrace_functions.gateway import deferred as module
    from headrace_functions.gateway.callbacks import Callbacks
    from headrace_functions.gateway.calls import Call
    from headrace_functions.gateway.upstream import Reply
    from headrace_functions.names import Reference

    monkeypatch.setattr(module, "MAX_REQUESTS", 2)

    async def fill() -> None:
        async def never(_reference: Reference, _call: Call) -> Reply:
            await asyncio.Event().wait()
            raise AssertionError

        queue = module.Deferred(ObjectStore(str(tmp_path)), never, Callbacks())
        call = Call("r", "v2", b"{}", 0.0, 0)
        for _ in range(2):
            await queue.accept(Reference("m"), call, "", None)
        with pytest.raises(Overloaded):
            await queue.accept(Reference("m"), call, "", None)
        await queue.close()

    asyncio.run(fill())


def test_what_has_expired_is_removed_and_what_waited_too_long_is_told_so(tmp_path: Path) -> None:
    import asyncio

    from headrace_functions.gateway import deferred as module
    from headrace_functions.gateway.callbacks import Callbacks
    from headrace_functions.gateway.calls import Call
    from headrace_functions.gateway.upstream import Reply
    from headrace_functions.names import Reference

    objects = ObjectStore(str(tmp_path))
    clock = {"ahead": 0.0}

    def now() -> float:
        import time

        return time.time() + clock["ahead"]

    async def work() -> tuple[int, int]:
        async def busy(_reference: Reference, _call: Call) -> Reply:
            return Reply(503, [], b"{}")

        queue = module.Deferred(objects, busy, Callbacks(), now)
        clock["ahead"] = module.WAITS + 1
        request_id = await queue.accept(Reference("m"), Call("r", "v2", b"{}", 0.0, 0), "", None)
        found = None
        while found is None:
            found = await queue.result(request_id, "")
            await asyncio.sleep(0)
        clock["ahead"] = module.KEPT + 1
        queue._left()
        await queue.close()
        return found.status, len(list(objects.walk(layout.DEFERRED)))

    assert (504, 0) == asyncio.run(work())


def test_a_deferred_explanation_is_an_explanation(later: RunningPlatform) -> None:
    """Which this function cannot give, so its refusal is the result; a prediction would not be."""
    asked = httpx.post(
        f"{later.url}/v2/models/slow/explain", json=body(1.0), headers={"prefer": "respond-async"}, timeout=30
    )
    at_once = httpx.post(f"{later.url}/v2/models/slow/explain", json=body(1.0), timeout=30)

    assert (202, 400) == (asked.status_code, at_once.status_code)
    found = answered(later, asked.headers["location"])
    assert (400, at_once.json()["detail"]) == (found.status_code, found.json()["detail"])
