"""Calls of one row whose answers are passed on piece by piece."""

from headrace_functions.errors import HeadraceError
from headrace_functions.gateway.calls import REQUEST_ID, Call
from headrace_functions.gateway.exchange import Exchange
from headrace_functions.gateway.execution import SequenceRunner
from headrace_functions.gateway.passthrough import Scope, Send
from headrace_functions.gateway.replies import PASSED_ON, answer
from headrace_functions.gateway.routes import Route, SequenceRoute
from headrace_functions.gateway.upstream import Reply
from headrace_functions.protocol.generate import framed_problem
from headrace_functions.protocol.problems import problem


class Generation:
    def __init__(self, exchange: Exchange, runner: SequenceRunner) -> None:
        self._exchange = exchange
        self._runner = runner

    async def pass_on(self, route: Route, call: Call, scope: Scope, send: Send) -> None:
        """Answer ``call``; what goes wrong before the first piece is raised, what goes wrong later is told by an event."""
        if isinstance(route, SequenceRoute):
            found = await self._runner.last_stage(route, call)
            if isinstance(found, Reply):
                await answer(send, scope, found, call.request_id)
                return
            version, call = found
        else:
            version = route
        begun = False
        try:
            async with self._exchange.ask_stream(version, call) as (reply, chunks):
                if reply.status != 200 or call.verb == "generate":
                    reply.body = b"".join([chunk async for chunk in chunks])
                    await answer(send, scope, reply, call.request_id)
                    return
                headers = [h for h in reply.headers if h[0] in PASSED_ON and h[0] != b"content-length"]
                headers += [(REQUEST_ID, call.request_id.encode()), (b"cache-control", b"no-cache")]
                begun = True
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                async for chunk in chunks:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except HeadraceError as error:
            if not begun:
                raise
            kind = next(v for k, v in headers if k == b"content-type").decode("latin-1")
            told = framed_problem(problem(error, call.request_id).body, kind)
            await send({"type": "http.response.body", "body": told, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
