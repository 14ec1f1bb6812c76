"""What a function server is told survives JSON, and nonsense is refused by name."""

from pathlib import Path

import orjson
import pytest

from headrace_functions.errors import InvalidInput
from headrace_functions.runtime.metrics import Histogram
from headrace_functions.runtime.settings import FunctionSettings

FULL = FunctionSettings(
    version=Path("/v.json"), artifact=Path("/a"), listen="unix:/s.sock", replica="m-v1-0", spool=Path("/spool/m-v1"),
    spool_cap=1, segment_bytes=2, segment_age=0.5, notify=Path("/n"), log=Path("/l"), drain_timeout=1.0, fast=0.0,
    batch_rows=7, platform="1",
)  # fmt: skip


def test_settings_come_back_from_json() -> None:
    least = FunctionSettings(Path("/v.json"), Path("/a"), "tcp:127.0.0.1:0")

    for settings in (FULL, least):
        assert settings == FunctionSettings.from_document(orjson.loads(orjson.dumps(settings.to_document())))


@pytest.mark.parametrize(
    ("listen", "address"),
    [("unix:/a/b.sock", Path("/a/b.sock")), ("tcp:127.0.0.1:9000", ("127.0.0.1", 9000)), ("tcp:::1:80", ("::1", 80))],
)
def test_addresses_are_sockets_or_ports(listen: str, address: object) -> None:
    assert address == FunctionSettings(Path("/v"), Path("/a"), listen).address()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"listen": "http://x"}, "listen"),
        ({"listen": "unix:relative"}, "listen"),
        ({"listen": "tcp:9000"}, "listen"),
        ({"lsten": "x"}, "lsten"),
    ],
)
def test_nonsense_is_refused_by_name(change: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        FunctionSettings.from_document({**FULL.to_document(), **change})

    assert field == refused.value.field


def test_what_is_missing_is_named() -> None:
    with pytest.raises(InvalidInput, match="artifact"):
        FunctionSettings.from_document({"version": "/v", "listen": "unix:/s"})


def test_a_histogram_is_cumulative() -> None:
    histogram = Histogram((1, 2))
    for value in (0.5, 1, 1.5, 9):
        histogram.observe(value)

    assert [
        'h_bucket{a,le="1"} 2',
        'h_bucket{a,le="2"} 3',
        'h_bucket{a,le="+Inf"} 4',
        "h_sum{a} 12",
        "h_count{a} 4",
    ] == list(histogram.lines("h", "a"))
