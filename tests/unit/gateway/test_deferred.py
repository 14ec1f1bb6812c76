"""Requests that wait in the store."""

from typing import get_args

import pytest

from headrace_functions.gateway.calls import Call, Verb
from headrace_functions.gateway.deferred import Accepted
from headrace_functions.names import Reference


@pytest.mark.parametrize("verb", get_args(Verb))
@pytest.mark.parametrize("unrecorded", [False, True])
def test_a_request_comes_out_of_the_store_as_it_was_asked(verb: Verb, unrecorded: bool) -> None:
    call = Call(
        "r-1", "v1", b'{"instances": [1]}\n', 0.0, 5, b"application/json", b"7", b"00-1-2-01", b"12",
        unrecorded=unrecorded, caller="key:ci", verb=verb,
    )  # fmt: skip
    kept = Accepted("id", Reference.parse("adder@prod"), call, "key:ci", None)
    assert kept == Accepted.decode("id", kept.encode())


def test_a_request_that_an_older_gateway_took_is_a_prediction() -> None:
    call = Call("r-1", "v2", b"{}", 0.0, 5)
    head, _, body = Accepted("id", Reference.parse("adder"), call, "", None).encode().partition(b"\n")
    older = head.replace(b'"verb":"infer","unrecorded":false,', b"") + b"\n" + body
    assert b"verb" not in older
    assert call == Accepted.decode("id", older).call
