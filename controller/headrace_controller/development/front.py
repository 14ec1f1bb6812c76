"""The address that stays while functions come and go: passes requests on, and tells of each what was asked, checked and answered."""

import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson

from headrace_controller.development.building import Built
from headrace_functions.errors import HeadraceError, NotReady, TooLarge
from headrace_functions.forking.process import log_tail
from headrace_functions.names import natural
from headrace_functions.protocol.codec import decode_request, decode_response
from headrace_functions.protocol.messages import Protocol
from headrace_functions.protocol.problems import problem
from headrace_functions.signature import Tensors

Told = Callable[[str], None]
_TRACEBACK = 30  # lines of the functions' log that are told of a failure
_SHOWN = 4  # fields of a row that are told
_PASSED = ("content-type", "inference-header-content-length", "x-request-id", "retry-after")
_JSON_LENGTH = "inference-header-content-length"
MAX_BODY = 64 * 1024 * 1024
_NO_TLS = ssl.SSLContext(
    ssl.PROTOCOL_TLS_CLIENT
)  # sockets of this machine need none, and reading the system's authorities takes 0.1 s


class Front:
    """An ASGI application. ``serving`` gives what is served now and its socket."""

    def __init__(self, serving: Callable[[], tuple[Built | None, Path | None]], tell: Told, log: Path) -> None:
        """``log`` is the functions' own: what one writes there while it fails is told."""
        self._serving = serving
        self._log = log
        self._tell = tell
        self._clients: dict[Path, httpx.AsyncClient] = {}

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = bytearray()
        more = True
        while more and len(body) <= MAX_BODY:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if len(body) > MAX_BODY:
            status, headers, answer = self._refused(TooLarge(f"a body has at most {MAX_BODY} bytes here"), scope)
        else:
            status, headers, answer = await self._answer(scope, bytes(body))
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [*headers, (b"content-length", str(len(answer)).encode())],
            }
        )
        await send({"type": "http.response.body", "body": answer})

    async def _answer(self, scope: Mapping[str, Any], body: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        built, at = self._serving()
        given = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        started = time.perf_counter()
        try:
            if built is None or at is None:
                raise NotReady("nothing is served yet: the first build has not finished, or has failed")
            target = scope["raw_path"].decode("latin-1") + (
                f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
            )
            sent = {
                k: v for k, v in given.items() if k not in ("host", "content-length", "connection", "transfer-encoding")
            }
            reply = await self._client(at).request(
                scope["method"], f"http://function{target}", content=body, headers=sent
            )
        except httpx.HTTPError as error:
            return self._refused(NotReady(f"the function did not answer: {type(error).__name__}"), scope)
        except HeadraceError as error:
            return self._refused(error, scope)
        if scope["method"] == "POST":
            milliseconds = (time.perf_counter() - started) * 1000
            self._tell(
                f"{reply.status_code} {scope['path']} {milliseconds:.1f} ms  {_exchange(built, scope['path'], given, body, reply)}"
            )
            if reply.status_code == httpx.codes.INTERNAL_SERVER_ERROR:
                self._tell(log_tail(self._log, _TRACEBACK))
        headers = [(k.encode(), v.encode()) for k, v in reply.headers.items() if k in _PASSED]
        return reply.status_code, headers, reply.content

    def _refused(self, error: HeadraceError, scope: Mapping[str, Any]) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        told = problem(error)
        self._tell(f"{told.status} {scope['path']}  {error.message}")
        return told.status, [(n.encode(), v.encode()) for n, v in told.headers], told.body

    def _client(self, at: Path) -> httpx.AsyncClient:
        if at not in self._clients:
            self._clients[at] = httpx.AsyncClient(
                transport=httpx.AsyncHTTPTransport(uds=str(at), verify=_NO_TLS), timeout=600
            )
        return self._clients[at]

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()


def _length(headers: Mapping[str, str]) -> int | None:
    return natural(headers.get(_JSON_LENGTH, ""))


def _exchange(built: Built, path: str, headers: Mapping[str, str], body: bytes, reply: httpx.Response) -> str:
    """One line of an exchange: its first row, what it answered or why not, and the checks that fail."""
    if reply.status_code >= httpx.codes.BAD_REQUEST:
        try:
            told = orjson.loads(reply.content)
        except orjson.JSONDecodeError:
            return reply.text[:300]
        return str(told.get("detail", told))[:500]
    signature, batch = built.version.signature, built.version.batch
    protocol: Protocol = "v1" if path.startswith("/v1/") else "v2"
    try:
        kind, length = headers.get("content-type", "application/json"), _length(headers)
        inputs, _ = decode_request(body, kind, length, signature, protocol=protocol, batch=batch)
        outputs = decode_response(reply.content, _length(reply.headers), signature, protocol=protocol, batch=batch)
    except (HeadraceError, ValueError, KeyError):
        return "answered"
    rows = len(next(iter(inputs.values()))) if batch else 1
    failing = ", ".join(_failing(built, inputs))
    return f"{_row(inputs, batch)} → {_row(outputs, batch)}{f' and {rows - 1} more rows' if rows > 1 else ''}{f'  checks: {failing}' if failing else ''}"


def _row(tensors: Tensors, batch: bool) -> str:
    shown = [f"{name}={_value(array[0] if batch else array)}" for name, array in list(tensors.items())[:_SHOWN]]
    return " ".join(shown) + (" …" if len(tensors) > _SHOWN else "")


def _value(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"[{'×'.join(map(str, value.shape))}]" if value.ndim else str(value.item())
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)[:40]


def _failing(built: Built, inputs: Tensors) -> list[str]:
    """The checks of a real log that some row fails, each with the number of its rows."""
    if built.profile is None:
        return []
    found = []
    for field in built.version.signature.inputs:
        array = inputs[field.name] if built.version.batch else inputs[field.name][np.newaxis]
        found += [
            f"{field.name}:{check} ({int(mask.sum())})"
            for check, mask in built.profile.failures(field, array).items()
            if mask.any()
        ]
    return found
