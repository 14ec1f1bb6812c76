"""What gRPC writes into HTTP/2, byte by byte."""

import gzip
import zlib

import pytest

from headrace_functions.rpc.wire import CallFailed, Code, binary, framed, framed_size, seconds, trailer, unframed


def test_a_message_is_read_back() -> None:
    assert b"abc" == unframed(framed(b"abc"), 10)


@pytest.mark.parametrize("come", range(10))
def test_the_size_of_a_message_is_known_from_its_prefix_on(come: int) -> None:
    assert (None if come < 5 else 8) == framed_size((framed(b"abc") + b"\0\0")[:come], 10)


@pytest.mark.parametrize(("encoding", "pack"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress)])
def test_a_compressed_message_is_read(encoding: bytes, pack: object) -> None:
    packed = pack(b"abc" * 100)  # type: ignore[operator]

    assert b"abc" * 100 == unframed(b"\1" + framed(packed)[1:], 300, encoding)


@pytest.mark.parametrize(
    ("data", "encoding", "code"),
    [
        (framed(b"x" * 11), b"identity", Code.RESOURCE_EXHAUSTED),
        (b"\0\xff\xff\xff\xff", b"identity", Code.RESOURCE_EXHAUSTED),
        (b"\1" + framed(gzip.compress(b"x" * 5000)[:40])[1:], b"gzip", Code.RESOURCE_EXHAUSTED),
        (b"\1" + framed(b"no gzip")[1:], b"gzip", Code.INTERNAL),
        (b"\1" + framed(zlib.compress(b"x" * 9)[:-4])[1:], b"deflate", Code.INTERNAL),
        (b"\1" + framed(b"abc")[1:], b"identity", Code.INTERNAL),
        (b"\2" + framed(b"abc")[1:], b"identity", Code.INTERNAL),
    ],
    ids=["too large", "too large by its prefix alone", "a bomb", "no gzip", "cut off", "compressed with nothing", "unknown flag"],
)  # fmt: skip
def test_a_bad_message_ends_the_call(data: bytes, encoding: bytes, code: Code) -> None:
    limit = 10 if code is Code.RESOURCE_EXHAUSTED and encoding == b"identity" else 100
    with pytest.raises(CallFailed) as caught:
        _read(data, limit, encoding)

    assert code == caught.value.code


def _read(data: bytes, limit: int, encoding: bytes) -> None:
    framed_size(data, limit)
    unframed(data, limit, encoding)


def test_timeouts_are_read_in_each_unit_and_others_are_none() -> None:
    told = [b"1H", b"2M", b"3S", b"4m", b"5u", b"6n"]

    assert [3600.0, 120.0, 3.0, 0.004, 5e-6, 6e-9] == pytest.approx([seconds(t) for t in told])
    assert [None] * 5 == [seconds(t) for t in (None, b"", b"1", b"123456789S", b"-1S")]


def test_the_text_of_an_error_is_escaped_and_binary_metadata_is_base64() -> None:
    ending = dict(trailer(Code.NOT_FOUND, "100 % grün\n", [("x-a", "b"), ("x-bin", b"\0\xff")]))

    assert {b"grpc-status": b"5", b"grpc-message": b"100 %25 gr%C3%BCn%0A", b"x-a": b"b", b"x-bin": b"AP8"} == ending
    assert [b"\0\xff", b"\0\xff", None] == [binary(b"AP8"), binary(b"AP8="), binary(b"A*")]
