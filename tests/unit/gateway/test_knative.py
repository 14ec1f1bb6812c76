"""A gateway's leases over services behind Knative, on a network of the test's own: real HTTP, no cluster."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop

from headrace_functions.errors import DeadlineExceeded, NotReady, Unreachable
from headrace_functions.gateway import knative
from headrace_functions.gateway.knative import KnativeLeases, KnativeUpstream
from headrace_functions.gateway.upstream import NotSent
from headrace_functions.names import VersionId
from headrace_functions.version import Limits
from support.ingress import Ingress
from support.versions import version

CHURN = version("churn", 1, limits=Limits(start_timeout=5.0))
READY = "GET /v2/models/churn/ready"


def run(story: Coroutine[Any, Any, None]) -> None:
    uvloop.run(asyncio.wait_for(story, 30))


async def ready(_: str) -> tuple[int, bytes, bool]:
    return 200, b"{}", True


def soon(seconds: float = 10.0) -> float:
    return asyncio.get_running_loop().time() + seconds


def test_many_who_wait_for_a_sleeping_service_ask_it_once() -> None:
    async def story() -> None:
        async with Ingress(ready) as ingress:
            upstream = KnativeUpstream()
            leases = KnativeLeases(lambda _: ingress.host, upstream)

            async def one() -> str:
                async with leases.lease(CHURN, deadline=soon()) as endpoint:
                    return endpoint.address

            assert [f"tcp:{ingress.host}"] * 20 == await asyncio.gather(*(one() for _ in range(20)))
            assert ingress.asked == [READY]
            await one()
            assert ingress.asked == [READY], "an awake service is not asked again"
            upstream.close()

    run(story())


def test_a_name_that_leads_nowhere_yet_is_asked_until_it_leads_somewhere() -> None:
    answers = [(404, b"", False), (503, b"no healthy upstream", False), (200, b"{}", True)]

    async def story() -> None:
        async def answer(_: str) -> tuple[int, bytes, bool]:
            return answers.pop(0)

        async with Ingress(answer) as ingress:
            upstream = KnativeUpstream()
            leases = KnativeLeases(lambda _: ingress.host, upstream)
            async with leases.lease(CHURN, deadline=soon()):
                assert answers == []
            upstream.close()

    run(story())


def test_a_service_that_cannot_start_is_refused_with_the_controllers_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knative, "ASK_WHY", 0.01)

    async def story() -> None:
        held = asyncio.Event()

        async def answer(_: str) -> tuple[int, bytes, bool]:
            await held.wait()  # Knative's activator holds what it cannot deliver
            return await ready("")

        async def why(asked: VersionId) -> str:
            assert asked == CHURN.id
            return "the image cannot be pulled"

        async with Ingress(answer) as ingress:
            upstream = KnativeUpstream()
            leases = KnativeLeases(lambda _: ingress.host, upstream, why)
            with pytest.raises(NotReady, match="churn:1 cannot start: the image cannot be pulled"):
                async with leases.lease(CHURN, deadline=soon()):
                    raise AssertionError("it was leased")
            held.set()
            upstream.close()

    run(story())


def test_a_question_that_lies_with_a_pod_that_has_gone_is_put_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knative, "ASK_ANEW", 0.05)

    async def story() -> None:
        never, asked = asyncio.Event(), 0

        async def answer(_: str) -> tuple[int, bytes, bool]:
            nonlocal asked
            asked += 1
            if asked == 1:
                await never.wait()
            return await ready("")

        async with Ingress(answer) as ingress:
            upstream = KnativeUpstream()
            leases = KnativeLeases(lambda _: ingress.host, upstream)
            async with leases.lease(CHURN, deadline=soon()):
                assert asked == 2
            never.set()
            upstream.close()

    run(story())


def test_a_deadline_that_passes_while_it_starts_is_told() -> None:
    async def story() -> None:
        held = asyncio.Event()

        async def answer(_: str) -> tuple[int, bytes, bool]:
            await held.wait()
            return await ready("")

        async with Ingress(answer) as ingress:
            upstream = KnativeUpstream()
            leases = KnativeLeases(lambda _: ingress.host, upstream)
            with pytest.raises(DeadlineExceeded, match="churn:1 was not ready in time"):
                async with leases.lease(CHURN, deadline=soon(0.05)):
                    raise AssertionError("it was leased")
            held.set()
            await leases.close()
            upstream.close()

    run(story())


def test_a_service_that_was_not_reached_is_asked_before_the_next_request() -> None:
    async def story() -> None:
        async with Ingress(ready) as ingress:
            upstream = KnativeUpstream()
            leases = KnativeLeases(lambda _: ingress.host, upstream)
            with pytest.raises(Unreachable):
                async with leases.lease(CHURN, deadline=soon()):
                    raise Unreachable("the service closed the connection")
            async with leases.lease(CHURN, deadline=soon()):
                assert ingress.asked == [READY, READY]
            upstream.close()

    run(story())


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, b"", NotSent),
        (503, b"no healthy upstream", NotSent),
        (503, b"upstream connect error ... reset reason: connection failure", NotSent),
        (503, b"upstream connect error ... before headers. reset reason: connection termination", Unreachable),
        (504, b"activator request timeout", Unreachable),
    ],
)
def test_what_the_cluster_says_in_a_functions_place_is_no_answer(
    status: int, body: bytes, kind: type[Unreachable]
) -> None:
    """Sent again is only what no function can have seen."""

    async def story() -> None:
        async def answer(_: str) -> tuple[int, bytes, bool]:
            return status, body, False

        async with Ingress(answer) as ingress:
            upstream = KnativeUpstream()
            with pytest.raises(Unreachable, match=f"the cluster answered {status}") as raised:
                await upstream.request(f"tcp:{ingress.host}", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"", soon())
            assert raised.type is kind
            upstream.close()

    run(story())


def test_a_functions_own_refusal_is_its_answer() -> None:
    async def story() -> None:
        async def answer(_: str) -> tuple[int, bytes, bool]:
            return 404, b"{}", True

        async with Ingress(answer) as ingress:
            upstream = KnativeUpstream()
            reply = await upstream.request(f"tcp:{ingress.host}", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"", soon())
            assert reply.status == 404
            upstream.close()

    run(story())


def test_a_service_is_found_at_the_ingress_by_its_host_before_its_own_name_is_known() -> None:
    """The cluster's DNS may not know a new name for half a minute."""

    async def story() -> None:
        async with Ingress(ready) as ingress:
            upstream = KnativeUpstream()
            leases = KnativeLeases(lambda service: f"{service}.invalid", upstream, ingress=ingress.host)
            async with leases.lease(CHURN, deadline=soon()) as endpoint:
                assert (f"tcp:{ingress.host}", "churn-v1.invalid") == (endpoint.address, endpoint.host)
            upstream.close()

    run(story())


def test_a_service_that_the_ingress_does_not_know_is_found_by_its_own_name() -> None:
    """One in mode Standard is a plain Service."""

    async def story() -> None:
        async def nowhere(_: str) -> tuple[int, bytes, bool]:
            return 404, b"", False

        async with Ingress(nowhere) as ingress, Ingress(ready) as service:
            upstream = KnativeUpstream()
            leases = KnativeLeases(lambda _: service.host, upstream, ingress=ingress.host)
            async with leases.lease(CHURN, deadline=soon()) as endpoint:
                assert f"tcp:{service.host}" == endpoint.address
            upstream.close()

    run(story())
