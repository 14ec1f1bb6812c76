"""Streams that broke off: what their events came to, for the log."""

import orjson
import pytest

from headrace_functions.protocol.generate import NDJSON_TYPE, SSE_TYPE, answered_so_far, framed, framed_problem
from headrace_functions.signature import Field, Signature, dtype

TEXT, COUNT = Field("text", dtype("string")), Field("count", dtype("int64"))


@pytest.mark.parametrize("kind", [SSE_TYPE, NDJSON_TYPE])
def test_text_is_joined_and_of_other_outputs_the_last_whole_value_counts(kind: str) -> None:
    events = [framed(orjson.dumps({"text": t, "count": n}), kind) for n, t in enumerate(("once ", "upon ", "a time"))]
    whole, torn = b"".join(events), b"".join(events)[:-3]
    both = Signature((TEXT,), (TEXT, COUNT))
    assert {"predictions": [{"text": "once upon a time", "count": 2}]} == orjson.loads(
        answered_so_far(whole, kind, both)
    )
    assert {"predictions": [{"text": "once upon ", "count": 1}]} == orjson.loads(answered_so_far(torn, kind, both))
    alone = Signature((TEXT,), (TEXT,))
    assert {"predictions": ["once upon "]} == orjson.loads(answered_so_far(torn, kind, alone))


@pytest.mark.parametrize("kind", [SSE_TYPE, NDJSON_TYPE])
def test_a_stream_without_a_whole_answer_came_to_nothing(kind: str) -> None:
    signature = Signature((TEXT,), (TEXT, COUNT))
    for stream in (b"", b"data", framed(b'{"text": "a"}', kind), framed_problem(b'{"detail": "x"}', kind), b"\n\n\n"):
        assert b"" == answered_so_far(stream, kind, signature)
