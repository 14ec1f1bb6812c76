"""Traces of the gateway: what is a span, whose child it is, and what is passed on where nothing is traced."""

import asyncio
import logging
import sys
import time
from collections.abc import Coroutine
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import uvloop
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from headrace_functions.errors import NotReady
from headrace_functions.gateway.calls import Call
from headrace_functions.gateway.exchange import Exchange
from headrace_functions.gateway.metrics import GatewayMetrics
from headrace_functions.gateway.tracing import OpenTelemetry, Tracing, Untraced, tracing_of
from headrace_functions.gateway.upstream import Upstream
from headrace_functions.record import Record
from support.stub_services import Answer, Asked, StubServices
from support.versions import version

ONE, TWO = version("one", 1), version("two", 1)
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = f"00-{TRACE}-{PARENT}-01".encode()


class Forgotten:
    """A recorder that keeps nothing."""

    def append(self, record: Record) -> bool:
        del record
        return True


@contextmanager
def kept() -> Any:
    """Tracing into memory, and the spans that ended."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield OpenTelemetry(provider), exporter.get_finished_spans


def run(test: Coroutine[Any, Any, None]) -> None:
    uvloop.run(test)


async def ask(tracing: Tracing, folder: Path, call: Call, *, refused: bool = False) -> list[Asked]:
    """One request that asks two services, the second of them as a shadow; what they were sent."""
    services, upstream = StubServices(folder), Upstream()

    async def handler(asked: Asked) -> Answer:
        del asked
        return Answer(200, b"{}", [("content-type", "application/json")])

    for it in (ONE, TWO):
        await services.add(it, handler)
    if refused:
        services.refusals[ONE.id] = NotReady("it does not start")
    exchange = Exchange(services, upstream, Forgotten(), GatewayMetrics(), tracing=tracing)
    try:
        with tracing.request("pipe", "/v2/models/pipe/infer", call) as traced:
            await exchange.ask(ONE, traced.call.at_stage("pipe", 0, ONE.id))
            await exchange.ask(TWO, traced.call.at_stage("pipe", 1, TWO.id, shadow=True))
    finally:
        upstream.close()
        await services.close()
    return [*services.asked[ONE.id], *services.asked[TWO.id]]


def call(traceparent: bytes | None = None) -> Call:
    return Call("r1", "v2", b"{}", asyncio.get_running_loop().time() + 5, time.time_ns(), traceparent=traceparent)


def named(spans: tuple[ReadableSpan, ...]) -> dict[str, Any]:
    return {span.name: cast(Any, span) for span in spans}


def test_a_request_and_each_service_that_it_asks_are_spans_of_the_callers_trace(tmp_path: Path) -> None:
    async def test() -> None:
        with kept() as (tracing, spans):
            asked = await ask(tracing, tmp_path, call(SENT))
            found = named(spans())
            assert {"infer pipe", "call one:1", "call two:1"} == set(found)
            request = found["infer pipe"]
            assert (int(TRACE, 16), int(PARENT, 16)) == (request.context.trace_id, request.parent.span_id)
            for name, sent in (("call one:1", asked[0]), ("call two:1", asked[1])):
                span = found[name]
                assert request.context.span_id == span.parent.span_id
                assert f"00-{TRACE}-{span.context.span_id:016x}-01" == sent.headers["traceparent"]
            assert ("pipe", 2, True, 200) == tuple(
                found["call two:1"].attributes[k]
                for k in ("headrace.sequence", "headrace.stage", "headrace.shadow", "http.response.status_code")
            )
            assert ["ready"] == [e.name for e in found["call one:1"].events]

    run(test())


@pytest.mark.parametrize("sent", [None, b"nonsense"])
def test_a_request_without_a_readable_parent_begins_a_trace(tmp_path: Path, sent: bytes | None) -> None:
    async def test() -> None:
        with kept() as (tracing, spans):
            asked = await ask(tracing, tmp_path, call(sent))
            request = named(spans())["infer pipe"]
            assert request.parent is None
            assert f"{request.context.trace_id:032x}" == asked[0].headers["traceparent"].split("-")[1]

    run(test())


def test_a_call_that_fails_is_an_error_with_its_code(tmp_path: Path) -> None:
    async def test() -> None:
        with kept() as (tracing, spans):
            with pytest.raises(NotReady):
                await ask(tracing, tmp_path, call(SENT), refused=True)
            span = named(spans())["call one:1"]
            assert ("not-ready", 503, False) == (
                span.attributes["error.type"],
                span.attributes["http.response.status_code"],
                span.status.is_ok,
            )

    run(test())


@pytest.mark.parametrize("sent", [None, SENT])
def test_without_tracing_what_the_caller_says_of_its_trace_is_passed_on_as_it_came(
    tmp_path: Path, sent: bytes | None
) -> None:
    async def test() -> None:
        asked = await ask(Untraced(), tmp_path, call(sent))
        assert sent == (asked[0].headers["traceparent"].encode() if sent else asked[0].headers.get("traceparent"))

    run(test())


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        {"OTEL_SERVICE_NAME": "x"},
    ],
)
def test_nothing_is_traced_unless_the_environment_asks_for_it(environment: dict[str, str]) -> None:
    assert isinstance(tracing_of(environment), Untraced)


def test_what_cannot_be_had_is_logged_and_nothing_is_traced(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with caplog.at_level(logging.WARNING):
        assert isinstance(tracing_of({"OTEL_TRACES_EXPORTER": "zipkin"}), Untraced)
        monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
        assert isinstance(tracing_of({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}), Untraced)
    assert ["'zipkin' is not an exporter", "pip install 'headrace[tracing]'"] == [
        next(s for s in ("'zipkin' is not an exporter", "pip install 'headrace[tracing]'") if s in r.message)
        for r in caplog.records
    ]
