"""Every protocol, whatever a name leads to and however the version is doing: one data plane, so one answer."""

import threading
from collections.abc import Callable

import httpx
import pytest

from fixtures_platform import until
from fixtures_protocols import BLOCK, FAIL, TARGETS, Answer, Later, Served

PROTOCOLS = ("http-json", "http-binary", "stream", "grpc")
InThreads = Callable[[Callable[[], Answer]], Later]


def each(test: Callable[..., None]) -> Callable[..., None]:
    """For every protocol and everything that a name may lead to."""
    return pytest.mark.parametrize("protocol", PROTOCOLS)(pytest.mark.parametrize("target", TARGETS)(test))


def open_requests(served: Served) -> int:
    """Calls that the gateway has open at services."""
    services = httpx.get(f"{served.platform.url}/api/v1/services").json()["items"]
    return sum(service["open_requests"] for service in services)


@each
def test_an_asleep_version_is_woken_and_answers(served: Served, protocol: str, target: str) -> None:
    httpx.post(f"{served.platform.url}/api/v1/services/steady/1/sleep").raise_for_status()

    answer = served.clients[protocol].call(target, 2.0, f"asleep-{protocol}-{target}")

    assert Answer("ok", [3.0]) == answer
    served.expected[f"asleep-{protocol}-{target}"] = ("ok", 200)


@each
def test_a_function_that_fails_is_told_with_the_same_problem(served: Served, protocol: str, target: str) -> None:
    answer = served.clients[protocol].call(target, FAIL, f"failing-{protocol}-{target}")

    assert ("function-failed", 500) == (answer.code, answer.problem["status"])
    assert f"failing-{protocol}-{target}" == answer.problem["request_id"]
    served.expected[f"failing-{protocol}-{target}"] = ("failed", 500)


@each
def test_what_is_one_too_many_is_refused_and_the_others_are_answered(
    served: Served, protocol: str, target: str, in_threads: InThreads
) -> None:
    served.close_gate()
    client = served.clients[protocol]

    def call(number: int) -> Later:
        return in_threads(lambda: client.call(target, BLOCK, f"busy-{number}-{protocol}-{target}"))

    first = call(0)
    until(served.blocked.exists, "the first call runs")
    others = [call(1), call(2)]
    until(lambda: any(c.answered for c in others), "one of the others is refused, for one may wait")
    served.open_gate()

    codes = [c.result().code for c in (first, *others)]
    assert "ok" == codes[0]
    assert ["ok", "overloaded"] == sorted(codes[1:])
    for i, code in enumerate(codes):
        served.expected[f"busy-{i}-{protocol}-{target}"] = (code, 200 if code == "ok" else 429)


@each
def test_a_caller_may_hang_up(served: Served, protocol: str, target: str, in_threads: InThreads) -> None:
    served.close_gate()
    client, hang_up, request_id = served.clients[protocol], threading.Event(), f"gone-{protocol}-{target}"
    call = in_threads(lambda: client.call(target, BLOCK, request_id, hang_up))
    until(served.blocked.exists, "the call runs")
    hang_up.set()

    assert "cancelled" == call.result().code
    until(lambda: open_requests(served) == 0, "the gateway knows")
    served.expected[request_id] = ("cancelled", 499)


def test_each_of_these_requests_is_in_the_log_once_and_says_how_it_ended(served: Served) -> None:
    """After the tests above, whichever of them ran in this process."""

    def found() -> dict[str, list[tuple[str, int]]] | None:
        lines: dict[str, list[tuple[str, int]]] = {}
        for line in served.platform.logged("steady:1"):
            lines.setdefault(line["request_id"], []).append((line["outcome"], line["status"]))
        return lines if lines.keys() >= served.expected.keys() else None

    logged = until(found, "every request is in the log")

    assert {i: [outcome] for i, outcome in served.expected.items()} == {i: logged[i] for i in served.expected}
