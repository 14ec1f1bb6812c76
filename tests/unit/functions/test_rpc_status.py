"""Problems as gRPC errors."""

import orjson
import pytest

from headrace_functions.rpc.descriptors import message
from headrace_functions.rpc.status import DETAILS, MAX_TRAILING, PROBLEM, of_problem
from headrace_functions.rpc.wire import Code, size_of, trailer

LONG = {
    "one text": {"detail": "unknown", "code": "not-found", "got": "m" * 20_000},
    "every text": {name: name * 9_000 for name in ("detail", "got", "expected", "hint", "field", "request_id")},
    "no ASCII": {"detail": "é€" * 5_000, "got": "\U0001f600" * 5_000, "expected": "%" * 9_000},
    "a list": {"detail": "wrong", "code": "signature-mismatch", "problems": [{"field": "x" * 900} for _ in range(50)]},
}


@pytest.mark.parametrize("document", LONG.values(), ids=LONG)
def test_a_long_problem_is_cut_to_what_clients_take(document: dict[str, object]) -> None:
    failed = of_problem(404, orjson.dumps(document))

    assert size_of(trailer(failed.code, failed.text, failed.trailing)) <= MAX_TRAILING
    assert Code.NOT_FOUND == failed.code
    told = orjson.loads(dict(failed.trailing)[PROBLEM])
    assert set(document) == set(told)
    assert "…" in str(told)


def test_a_problem_that_is_short_is_told_whole() -> None:
    body = orjson.dumps({"detail": "unknown", "code": "not-found", "got": "m" * 300, "status": 404, "problems": [1, 2]})

    trailing = dict(of_problem(404, body).trailing)

    assert body == trailing[PROBLEM]
    assert "unknown (got " + "m" * 300 + ")" == message("google.rpc.Status").FromString(trailing[DETAILS]).message


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"null", b'"text"'])
def test_what_is_no_problem_document_is_told_as_one(body: bytes) -> None:
    failed = of_problem(502, body)

    assert (Code.UNAVAILABLE, "the gateway answered with status 502") == (failed.code, failed.text)
    assert "unreachable" == orjson.loads(dict(failed.trailing)[PROBLEM])["code"]
