"""Requests that wait in the store."""

import asyncio
from pathlib import Path
from typing import get_args

import pytest

from headrace_functions.gateway.callbacks import Callbacks
from headrace_functions.gateway.calls import UNLOGGED, VERSION, Call, Verb
from headrace_functions.gateway.deferred import Accepted, Deferred
from headrace_functions.gateway.deferred_http import wants_later
from headrace_functions.gateway.upstream import Reply
from headrace_functions.names import Reference
from headrace_functions.storage.objects import ObjectStore


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


def test_a_result_says_as_the_answer_did_which_version_gave_it_and_whether_it_is_logged(tmp_path: Path) -> None:
    told = [(VERSION, b"adder:1"), (UNLOGGED, b"1")]

    async def answer(_reference: Reference, _call: Call) -> Reply:
        return Reply(200, list(told), b"{}")

    async def asked() -> Reply:
        queue = Deferred(ObjectStore(str(tmp_path)), answer, Callbacks())
        request_id = await queue.accept(Reference("adder"), Call("r", "v2", b"{}", 0.0, 0), "", None)
        while (found := await queue.result(request_id, "")) is None:
            await asyncio.sleep(0)
        await queue.close()
        return found

    assert told == asyncio.run(asked()).headers


@pytest.mark.parametrize(
    ("wanted", "values"),
    [
        (True, [b"respond-async"]),
        (True, [b"Respond-Async; foo"]),
        (True, [b"respond-async ;wait=10"]),
        (True, [b"wait=10, respond-async;a=b, handling=lenient"]),
        (True, [b"handling=lenient", b"respond-async"]),
        (False, []),
        (False, [b"wait=10"]),
        (False, [b"respond-asynchronously"]),
        (False, [b'foo="respond-async"']),
        (False, [b"foo; respond-async"]),
    ],
)
def test_a_preference_is_recognised_with_parameters_and_beside_others(wanted: bool, values: list[bytes]) -> None:
    assert wanted == wants_later({"headers": [(b"prefer", value) for value in values]})
