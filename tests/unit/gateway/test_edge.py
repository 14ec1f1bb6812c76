"""What the front door does around answers, and how much one caller may ask."""

import asyncio
import gzip
import zlib
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from headrace_functions.errors import Malformed, Overloaded
from headrace_functions.gateway.allowance import Allowance
from headrace_functions.gateway.edge import SMALLEST, Edge, EdgeSettings
from headrace_functions.protocol.ndjson import from_v1, to_v1

LONG = b'{"data": "' + b"a" * SMALLEST + b'"}'


def asked(
    body: bytes = LONG,
    *origins: str,
    method: str = "POST",
    path: str = "/v2/models/m/infer",
    pieces: bool = False,
    **headers: str,
) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body of an application that answers ``body`` behind an edge."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        length = [] if pieces else [(b"content-length", b"%d" % len(body))]
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json"), *length]}
        )
        if pieces:
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"" if pieces or method == "HEAD" else body})

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    given_headers = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    scope = {"type": "http", "path": path, "method": method, "headers": given_headers}
    asyncio.run(Edge(app, EdgeSettings(origins))(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(m.get("body", b"") for m in sent[1:])


@pytest.mark.parametrize(
    ("accepted", "coding", "undo"),
    [
        ("gzip", b"gzip", gzip.decompress), ("deflate", b"deflate", zlib.decompress), ("zstd, gzip", b"zstd", zstandard.decompress),
        ("gzip;q=0.9, zstd;q=0.1", b"gzip", gzip.decompress), ("*", b"zstd", zstandard.decompress), ("br, deflate;q=0.5", b"deflate", zlib.decompress),
    ],
)  # fmt: skip
def test_an_answer_is_compressed_as_the_caller_likes_best(accepted: str, coding: bytes, undo: Any) -> None:
    _, headers, body = asked(accept_encoding=accepted)

    assert (coding, b"%d" % len(body)) == (headers[b"content-encoding"], headers[b"content-length"])
    assert LONG == undo(body)
    assert len(body) < len(LONG)


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0", "gzip;q=x"])
def test_an_answer_stays_as_it_is_where_the_caller_reads_nothing_else(accepted: str) -> None:
    _, headers, body = asked(accept_encoding=accepted)

    assert LONG == body
    assert b"content-encoding" not in headers


def test_what_is_small_or_comes_in_pieces_is_not_compressed() -> None:
    assert b"{}" == asked(b"{}", accept_encoding="gzip")[2]
    assert LONG == asked(LONG, pieces=True, accept_encoding="gzip")[2]


def test_the_answer_to_head_keeps_its_length() -> None:
    _, headers, body = asked(method="HEAD", accept_encoding="gzip")

    assert (b"%d" % len(LONG), b"") == (headers[b"content-length"], body)


def test_named_origins_may_read_answers_and_no_others() -> None:
    _, ours, _ = asked(b"{}", "https://a.example", origin="https://a.example")
    _, theirs, _ = asked(b"{}", "https://a.example", origin="https://b.example")
    _, everyone, _ = asked(b"{}", "*", origin="https://b.example")
    _, pages, _ = asked(b"{}", "*", origin="https://b.example", path="/api/v1/models")

    assert (b"https://a.example", b"origin") == (ours[b"access-control-allow-origin"], ours[b"vary"])
    assert b"*" == everyone[b"access-control-allow-origin"]
    assert b"access-control-allow-origin" not in theirs
    assert b"access-control-allow-origin" not in pages


def test_a_browsers_question_is_answered_without_asking_anybody() -> None:
    status, headers, body = asked(
        b"{}",
        "https://a.example",
        method="OPTIONS",
        origin="https://a.example",
        access_control_request_headers="x-api-key",
    )

    assert (204, b"") == (status, body)
    assert (b"x-api-key", b"GET, HEAD, POST, DELETE, OPTIONS") == (
        headers[b"access-control-allow-headers"], headers[b"access-control-allow-methods"],
    )  # fmt: skip


def test_times_are_told_to_who_asks() -> None:
    assert asked(x_headrace_timing="1")[1][b"server-timing"].startswith(b"total;dur=")
    assert b"server-timing" not in asked()[1]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_caller_gets_its_allowance_and_others_theirs() -> None:
    clock = Clock()
    allowance = Allowance(requests=2, now=clock)
    for _ in range(4):
        allowance.take("a", 0)
    with pytest.raises(Overloaded) as caught:
        allowance.take("a", 0)
    allowance.take("b", 0)
    clock.now += caught.value.retry_after
    allowance.take("a", 0)

    assert 0.5 == caught.value.retry_after


def test_bytes_are_counted_and_a_body_larger_than_all_of_them_is_let_through_once() -> None:
    clock = Clock()
    allowance = Allowance(bytes=100, now=clock)
    allowance.take("a", 1000)
    with pytest.raises(Overloaded):
        allowance.take("a", 1)
    clock.now += 9
    allowance.take("a", 100)


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 300)), max_size=60))
def test_no_caller_ever_gets_more_than_the_allowance_and_one_burst(steps: list[tuple[float, int]]) -> None:
    clock = Clock()
    allowance = Allowance(requests=3, bytes=100, now=clock)
    passed, size = 0, 0
    for pause, body in steps:
        clock.now += pause
        try:
            allowance.take("a", body)
        except Overloaded:
            continue
        passed, size = passed + 1, size + body

    assert passed <= 3 * clock.now + 6 + 1e-6
    assert size <= 100 * clock.now + 200 + 300


def test_lines_are_rows_in_both_directions() -> None:
    assert b'{"instances":[{"x":1},{"x":2}]}' == to_v1(b'{"x": 1}\n\n{"x": 2}')
    assert b'{"y":1.5}\n{"y":2.5}\n' == from_v1(b'{"predictions": [1.5, 2.5]}', ["y"])
    assert b'{"y":1,"z":2}\n' == from_v1(b'{"predictions": [{"y": 1, "z": 2}]}', ["y", "z"])


@pytest.mark.parametrize(("body", "field"), [(b"", "body"), (b"{}\n[1]", "line 2"), (b"{}\n\n{", "line 3")])
def test_a_line_that_is_no_row_is_named(body: bytes, field: str) -> None:
    with pytest.raises(Malformed) as caught:
        to_v1(body)

    assert field == caught.value.field
