"""Compressed bodies are read as what they were, within the limit of what comes out, and anything else is named."""

import gzip
import zlib

import pytest
import zstandard

from headrace_functions.errors import Malformed, TooLarge, UnsupportedEncoding
from headrace_functions.protocol.encodings import decoded

BODY = b'{"instances":[1]}' * 50


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        (None, BODY),
        (b"identity", BODY),
        (b"gzip", gzip.compress(BODY, mtime=0)),
        (b"X-GZIP", gzip.compress(BODY, mtime=0)),
        (b"gzip", gzip.compress(BODY[:9], mtime=0) + gzip.compress(BODY[9:], mtime=0)),
        (b"deflate", zlib.compress(BODY)),
        (b"deflate", bare(BODY)),
        (b"zstd", zstandard.compress(BODY)),
        (b"deflate, gzip", gzip.compress(zlib.compress(BODY), mtime=0)),
    ],
)
def test_a_body_is_read_as_it_was_before_its_encoding(encoding: bytes | None, packed: bytes) -> None:
    assert BODY == decoded(packed, encoding, len(BODY))


@pytest.mark.parametrize("pack", [("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", zstandard.compress)])
def test_a_body_that_grows_beyond_the_limit_is_refused(pack: tuple[str, type]) -> None:
    name, compress = pack
    with pytest.raises(TooLarge, match="decompressed"):
        decoded(compress(bytes(10_000_000)), name.encode(), 1000)


@pytest.mark.parametrize("encoding", [b"br", b"compress", b"gzip, gzip, gzip, gzip"])
def test_an_encoding_that_is_not_read_is_named(encoding: bytes) -> None:
    with pytest.raises(UnsupportedEncoding, match=encoding.decode()) as caught:
        decoded(b"x", encoding, 1000)
    assert "content-encoding" == caught.value.field


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate", b"zstd"])
@pytest.mark.parametrize("body", [b"", b"not compressed", "cut"])
def test_data_that_is_not_what_its_encoding_says_is_malformed(encoding: bytes, body: bytes | str) -> None:
    whole = {b"gzip": gzip.compress(BODY, mtime=0), b"deflate": zlib.compress(BODY), b"zstd": zstandard.compress(BODY)}[
        encoding
    ]
    with pytest.raises(Malformed, match=encoding.decode()):
        decoded(whole[:-6] if isinstance(body, str) else body, encoding, 10_000)
