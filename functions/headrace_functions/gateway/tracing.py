"""Traces of requests by OpenTelemetry: a span for the request, and one for each service that it asks. The only user of its SDK.

Off unless the environment asks for it by OpenTelemetry's own variables (``OTEL_EXPORTER_OTLP_ENDPOINT`` or ``…_TRACES_ENDPOINT``, or
``OTEL_TRACES_EXPORTER``); sampling, resource and export follow theirs too. Functions have no SDK: each is sent ``traceparent`` with the span of
its call, which the log keeps, and what happens inside it may be a child of that.

    infer churn                     server; parent: the caller's ``traceparent``
    └─ call churn:1                 client; one for each stage, variant and shadow of a sequence
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from importlib import import_module
from typing import Any, Protocol

from headrace_functions.errors import HeadraceError
from headrace_functions.gateway.calls import Call
from headrace_functions.gateway.upstream import Reply
from headrace_functions.protocol.problems import status_of
from headrace_functions.version import Version

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
EXPORTER = "OTEL_TRACES_EXPORTER"
DISABLED = "OTEL_SDK_DISABLED"
SERVICE = "OTEL_SERVICE_NAME"
_EXPORTERS = {
    "otlp": ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "OTLPSpanExporter"),
    "console": ("opentelemetry.sdk.trace.export", "ConsoleSpanExporter"),
}
_FAILED = 500

log = logging.getLogger("headrace.gateway")


class Traced:
    """A call on its way, and what became of it."""

    __slots__ = ("_span", "call")

    def __init__(self, call: Call, span: Any = None) -> None:
        self.call = call
        self._span = span

    def answered(self, reply: Reply) -> None:
        if self._span is not None:
            self._told(reply.status)

    def failed(self, error: HeadraceError) -> None:
        if self._span is not None:
            self._span.set_attribute("error.type", error.code)
            self._told(status_of(error))

    def event(self, name: str) -> None:
        if self._span is not None:
            self._span.add_event(name)

    def _told(self, status: int) -> None:
        self._span.set_attribute("http.response.status_code", status)
        if status >= _FAILED:
            self._span.set_status(import_module("opentelemetry.trace").StatusCode.ERROR)


class Tracing(Protocol):
    def request(self, name: object, path: str, call: Call) -> AbstractContextManager[Traced]:
        """The whole of a request by a name, which is written out where it is traced."""

    def service(self, version: Version, call: Call) -> AbstractContextManager[Traced]:
        """A call of one service; the ``call`` that it gives has the ``traceparent`` to send."""

    def close(self) -> None:
        """Send what is left, within a few seconds."""


class Untraced:
    """Nothing is traced, and what callers say of their own traces is passed on as it came."""

    def request(self, name: object, path: str, call: Call) -> AbstractContextManager[Traced]:
        del name, path
        return nullcontext(Traced(call))

    def service(self, version: Version, call: Call) -> AbstractContextManager[Traced]:
        del version
        return nullcontext(Traced(call))

    def close(self) -> None:
        return None


class OpenTelemetry:
    """Spans by an OpenTelemetry ``TracerProvider``; any loop may use it, for the current span is the context's."""

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self._trace = import_module("opentelemetry.trace")
        self._tracer = provider.get_tracer("headrace")
        self._carried = import_module("opentelemetry.trace.propagation.tracecontext").TraceContextTextMapPropagator()

    @contextmanager
    def request(self, name: object, path: str, call: Call) -> Iterator[Traced]:
        carrier = {"traceparent": (call.traceparent or b"").decode("latin-1")}
        attributes = {
            "http.request.method": "POST",
            "url.path": path,
            "headrace.name": str(name),
            "headrace.request_id": call.request_id,
        }
        with self._tracer.start_as_current_span(
            f"infer {name}", self._carried.extract(carrier), self._trace.SpanKind.SERVER, attributes
        ) as span:
            yield Traced(call, span)

    @contextmanager
    def service(self, version: Version, call: Call) -> Iterator[Traced]:
        attributes: dict[str, Any] = {"headrace.version": str(version.id), "headrace.request_id": call.request_id}
        if call.sequence:
            attributes |= {
                "headrace.sequence": call.sequence,
                "headrace.stage": call.stage + 1,
                "headrace.variant": call.variant,
                "headrace.shadow": call.shadow,
            }
        with self._tracer.start_as_current_span(
            f"call {version.id}", kind=self._trace.SpanKind.CLIENT, attributes=attributes
        ) as span:
            carrier: dict[str, str] = {}
            self._carried.inject(carrier)
            sent = carrier.get("traceparent", "").encode() or call.traceparent
            yield Traced(replace(call, traceparent=sent), span)

    def close(self) -> None:
        self._provider.shutdown()


def tracing_of(environment: Mapping[str, str], version: str = "") -> Tracing:
    """What the environment asks for. Where it asks for traces and cannot have them, that is logged and nothing is traced."""
    wanted = environment.get(EXPORTER) or ("otlp" if any(environment.get(name) for name in ENDPOINTS) else "none")
    if wanted == "none" or environment.get(DISABLED, "").lower() == "true":
        return Untraced()
    if wanted not in _EXPORTERS:
        log.warning("%s: %r is not an exporter of traces here: otlp, console or none", EXPORTER, wanted)
        return Untraced()
    try:
        resources = import_module("opentelemetry.sdk.resources")
        sdk, export = import_module("opentelemetry.sdk.trace"), import_module("opentelemetry.sdk.trace.export")
        module, kind = _EXPORTERS[wanted]
        exporter = getattr(import_module(module), kind)()
    except ImportError as error:
        log.warning(
            "traces are asked for, and OpenTelemetry is not installed (%s): pip install 'headrace[tracing]'", error
        )
        return Untraced()
    # ``Resource.create`` reads OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME, which win over these.
    given = {"service.name": environment.get(SERVICE) or "headrace-gateway", "service.version": version}
    provider = sdk.TracerProvider(resource=resources.Resource.create(given))
    provider.add_span_processor(export.BatchSpanProcessor(exporter))
    return OpenTelemetry(provider)
