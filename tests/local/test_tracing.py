"""A platform whose environment names a collector of traces sends it the spans of its requests."""

import http.server
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fixtures_platform import ADDER, RunningPlatform, until

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """An OTLP receiver on the loopback device, which the environment names; the spans that came, with their services."""
    spans: list[Any] = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
            for resource in told.resource_spans:
                service = {a.key: a.value.string_value for a in resource.resource.attributes}["service.name"]
                spans.extend((service, span) for scope in resource.scope_spans for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    yield spans
    server.shutdown()
    serving.join()
    server.server_close()


def test_the_spans_of_a_request_reach_the_collector_and_the_log_has_its_trace(
    collector: list[Any], new_platform: Callable[..., RunningPlatform]
) -> None:
    platform = new_platform()
    platform.apply_python("adder", ADDER, platform.home / "adder")
    answer = httpx.post(
        f"{platform.url}/v2/models/adder/infer",
        json={"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]},
        headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"},
    )
    assert 200 == answer.status_code
    until(lambda: len(collector) >= 2, "two spans")
    found = {span.name: (service, span) for service, span in collector}
    assert {"infer adder:1", "call adder:1"} == set(found)
    assert {("headrace-gateway", TRACE)} == {(service, span.trace_id.hex()) for service, span in found.values()}
    (row,) = until(lambda: platform.logged("adder:1"), "the row")
    assert f"00-{TRACE}-{found['call adder:1'][1].span_id.hex()}-01" == row["traceparent"]
