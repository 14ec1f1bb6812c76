"""Bearer tokens at a gateway in a cluster: asked once, remembered, and what holds while the controller is away."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
import uvloop

from headrace_functions.access.authentication import Authentication, Credentials
from headrace_functions.access.roles import Caller
from headrace_functions.access.source import PolicySource
from headrace_functions.errors import Overloaded, Unauthenticated, Unreachable
from headrace_functions.gateway.tokens import FRESH_SECONDS, MAX_QUESTIONS, REFUSED_SECONDS, VerifiedByController
from headrace_functions.gateway.upstream import Reply
from headrace_functions.platform_secret import PlatformSecret
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore

GOOD = {"subject": "machine:robot", "groups": ["bots"], "until": 1000.0}


class Controller:
    """Answers questions about tokens; in the place of ``Upstream``."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes, bytes]] = []
        self.says: tuple[int, Any] = (200, GOOD)
        self.away = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def request(self, address: str, head: bytes, body: bytes, _deadline: float) -> Reply:
        self.asked.append((address, head, body))
        await self.gate.wait()
        if self.away:
            raise Unreachable("nobody listens")
        status, document = self.says
        return Reply(status, [], orjson.dumps(document))


class World:
    def __init__(self) -> None:
        self.controller = Controller()
        self.now = 100.0
        self.tokens = VerifiedByController(
            self.controller,  # type: ignore[arg-type]
            "http://headrace-controller.models.svc",
            PlatformSecret("word"),
            lambda: self.now,
        )


def story(test: Callable[[World], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def wrapped() -> None:
        async def run() -> None:
            await test(World())

        uvloop.run(run())

    wrapped.__doc__, wrapped.__name__ = test.__doc__, test.__name__
    return wrapped


@story
async def test_the_controller_is_asked_once_by_the_platforms_proof_and_its_word_is_remembered(w: World) -> None:
    for _ in range(3):
        await w.tokens.learn("a.b.c")
        assert (Caller("machine:robot", ("bots",)), 1000.0) == w.tokens.verify("a.b.c")
    ((address, head, body),) = w.controller.asked
    assert ("tcp:headrace-controller.models.svc:80", b"a.b.c") == (address, body)
    assert head.startswith(b"POST /bearer-token HTTP/1.1\r\n")
    assert b"x-headrace-proof: word\r\n" in head


@story
async def test_a_token_is_asked_about_again_when_the_word_is_old_and_ends_when_it_ends(w: World) -> None:
    await w.tokens.learn("a.b.c")
    w.now += FRESH_SECONDS
    await w.tokens.learn("a.b.c")
    assert 2 == len(w.controller.asked)
    w.now = 1000.0
    with pytest.raises(Unauthenticated):
        w.tokens.verify("a.b.c")


@story
async def test_a_refused_token_is_refused_in_the_controllers_words_for_a_while(w: World) -> None:
    w.controller.says = (401, {"detail": "the token is refused: expired", "hint": "get another one"})
    for _ in range(2):
        await w.tokens.learn("a.b.c")
        with pytest.raises(Unauthenticated, match="expired") as error:
            w.tokens.verify("a.b.c")
        assert "get another one" == error.value.hint
    assert 1 == len(w.controller.asked)
    w.controller.says = (200, GOOD)
    w.now += REFUSED_SECONDS
    await w.tokens.learn("a.b.c")
    assert "machine:robot" == w.tokens.verify("a.b.c")[0].subject


@story
async def test_while_the_controller_is_away_known_tokens_count_until_they_end_and_others_are_told_to_wait(
    w: World,
) -> None:
    await w.tokens.learn("a.b.c")
    w.controller.away = True
    w.now += FRESH_SECONDS
    await w.tokens.learn("a.b.c")
    assert "machine:robot" == w.tokens.verify("a.b.c")[0].subject
    with pytest.raises(Unreachable, match="cannot be verified at the moment"):
        await w.tokens.learn("d.e.f")
    w.now = 1000.0
    with pytest.raises(Unreachable):
        await w.tokens.learn("a.b.c")


@pytest.mark.parametrize(
    "says", [(500, {}), (403, {"detail": "no"}), (200, {}), (200, {**GOOD, "subject": "x"}), (200, []), (401, {})]
)
def test_an_answer_that_is_none_lets_nobody_in(says: tuple[int, Any]) -> None:
    @story
    async def told(w: World) -> None:
        w.controller.says = says
        with pytest.raises(Unreachable):
            await w.tokens.learn("a.b.c")
        with pytest.raises(Unauthenticated):
            w.tokens.verify("a.b.c")

    told()


@story
async def test_who_shows_a_token_while_it_is_asked_about_waits_for_that_question(w: World) -> None:
    w.controller.gate.clear()
    waiting = [asyncio.ensure_future(w.tokens.learn("a.b.c")) for _ in range(10)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # its caller has gone; the question goes on for the others
    w.controller.gate.set()
    assert [None] * 9 == await asyncio.gather(*waiting[1:])
    assert 1 == len(w.controller.asked)


@story
async def test_made_up_tokens_ask_the_controller_so_often_at_once_and_no_more(w: World) -> None:
    w.controller.gate.clear()
    waiting = [asyncio.ensure_future(w.tokens.learn(f"{n}.b.c")) for n in range(MAX_QUESTIONS)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await w.tokens.learn("one.more.token")
    w.controller.gate.set()
    await asyncio.gather(*waiting)


@asynccontextmanager
async def asked_who(folder: Any, w: World) -> AsyncIterator[Authentication]:
    source = PolicySource(Documents(ObjectStore(str(folder))))
    source.refresh()
    yield Authentication(source, PlatformSecret("word"), w.tokens)


def test_only_what_may_be_a_token_is_one(tmp_path: Any) -> None:
    """Keys have no dot, and a header that cannot be read is refused as such."""

    @story
    async def told(w: World) -> None:
        async with asked_who(tmp_path, w) as authentication:

            def token(**shown: bytes) -> str | None:
                return authentication.bearer_token(Credentials(**shown))

            assert "a.b.c" == token(authorization=b"Bearer a.b.c")
            assert token(authorization=b"Bearer hr_key") is None
            assert token(authorization=b"Basic a.b.c") is None
            assert token(authorization=b"Bearer " + b"a." * 10_000) is None
            assert "a.b.c" == token(key=b"a.b.c")
            assert token(key=b"hr_key") is None
            assert token() is None

    told()
