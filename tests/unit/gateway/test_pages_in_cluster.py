"""The management API and the pages behind a gateway in a cluster: reached where that is switched on, and from where is told."""

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop

from headrace_functions.gateway.app import Gateway, GatewaySettings
from headrace_functions.gateway.exchange import Exchange
from headrace_functions.gateway.execution import SequenceRunner
from headrace_functions.gateway.metrics import GatewayMetrics
from headrace_functions.gateway.resolve import Resolver
from headrace_functions.gateway.upstream import Upstream
from headrace_functions.platform_secret import PlatformSecret
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from support.stub_services import StubServices


class Controller(BaseHTTPRequestHandler):
    """Says what it was asked by."""

    def do_GET(self) -> None:
        told = {"path": self.path} | {k.lower(): v for k, v in self.headers.items()}
        parts = {"list": "<p>one</p>"} if "parts=" in self.path else told
        body = json.dumps(parts).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def controller() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Controller) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"tcp:127.0.0.1:{server.server_port}"
        server.shutdown()


def asked(folder: Path, test: Callable[[httpx.AsyncClient], Coroutine[Any, Any, None]], **settings: Any) -> None:
    """Run a test with a client of a gateway with these settings."""

    async def run(address: str) -> None:
        upstream, services, measures = Upstream(), StubServices(folder), GatewayMetrics()
        resolver, secret = Resolver(Documents(ObjectStore(str(folder / "store")))), PlatformSecret("word")

        class Nothing:
            def append(self, _record: Any) -> bool:
                return True

        exchange = Exchange(services, upstream, Nothing(), measures, secret)
        runner = SequenceRunner(exchange, measures)
        door = GatewaySettings("0", address, secret, **settings)
        gateway = Gateway(door, resolver, exchange, runner, upstream, measures)
        transport = httpx.ASGITransport(app=gateway)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway", timeout=10) as client:
            await test(client)
        gateway.close()
        await runner.drain(1)
        upstream.close()
        await services.close()
        await resolver.close()

    with controller() as address:
        uvloop.run(run(address))


@pytest.mark.parametrize("path", ["/", "/models", "/api/v1/models", "/events?page=/models&parts=list"])
def test_where_pages_are_not_switched_on_nothing_of_them_is_there(tmp_path: Path, path: str) -> None:
    async def told(client: httpx.AsyncClient) -> None:
        for headers in ({}, {"x-headrace-proof": "forged"}):
            assert 404 == (await client.get(path, headers=headers)).status_code

    asked(tmp_path, told, pages=False)


def test_a_page_and_where_it_was_asked_from_reach_the_controller(tmp_path: Path) -> None:
    async def told(client: httpx.AsyncClient) -> None:
        shown = {"x-headrace-peer": "1.1.1.1", "x-forwarded-for": "203.0.113.9, 10.0.0.4\x01"}
        found = (await client.get("/models?q=a", headers=shown)).json()
        assert ("/models?q=a", "203.0.113.9, 10.0.0.4") == (found["path"], found["x-headrace-peer"])
        assert "127.0.0.1" == (await client.get("/models")).json()["x-headrace-peer"]
        long = (await client.get("/models", headers={"x-forwarded-for": "1" * 5000})).json()
        assert 200 == len(long["x-headrace-peer"])

    asked(tmp_path, told, forwarded=True)


def test_a_gateway_that_callers_reach_by_themselves_believes_no_forwarded_address(tmp_path: Path) -> None:
    async def told(client: httpx.AsyncClient) -> None:
        found = await client.get("/models", headers={"x-forwarded-for": "203.0.113.9"})
        assert "127.0.0.1" == found.json()["x-headrace-peer"]

    asked(tmp_path, told)


def test_the_platforms_own_may_follow_a_page_where_callers_may_not(tmp_path: Path) -> None:
    """The controller hands the streams of a port-forward on to the gateway that way."""

    async def told(client: httpx.AsyncClient) -> None:
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/events",
            "raw_path": b"/events",
            "query_string": b"page=/models&parts=list",
            "headers": [(b"x-headrace-proof", b"word")],
            "client": ("127.0.0.1", 1),
        }
        gateway: Any = client._transport.app  # type: ignore[attr-defined]  # a stream that does not end needs the bare protocol
        sent: asyncio.Queue[Any] = asyncio.Queue()

        async def receive() -> Any:
            await asyncio.Event().wait()

        serving = asyncio.ensure_future(gateway(scope, receive, sent.put))
        assert 200 == (await sent.get())["status"]
        async with asyncio.timeout(10):
            while b"event: parts" not in (await sent.get()).get("body", b""):
                continue
        gateway.close()
        await serving

    asked(tmp_path, told, pages=False)
