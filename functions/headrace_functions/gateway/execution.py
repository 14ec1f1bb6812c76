"""Running a sequence: a bag of named tensors goes from stage to stage; one variant answers a stage, shadows get copies."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from headrace_functions.errors import HeadraceError, InvalidInput
from headrace_functions.gateway.calls import UNLOGGED, Call
from headrace_functions.gateway.exchange import Exchange
from headrace_functions.gateway.metrics import GatewayMetrics
from headrace_functions.gateway.routes import SequenceRoute
from headrace_functions.gateway.upstream import Reply
from headrace_functions.protocol.codec import decode_request, decode_response, encode_request, encode_response
from headrace_functions.protocol.generate import decode_request as decode_generate
from headrace_functions.protocol.headers import JSON_LENGTH
from headrace_functions.protocol.headers import json_length as json_length_of
from headrace_functions.protocol.rows import PackedRows
from headrace_functions.signature import Tensors
from headrace_functions.version import Version

CallOf = Callable[[Version], Call]
"""The call as one version takes it: versions of a stage may name or order their inputs differently."""

MAX_SHADOWS = 64
"""Copies to shadows that may be open at once in one sequence; more are dropped and counted, the caller never waits."""


class SequenceRunner:
    """Runs sequences over the exchanges of their stages.

    - Every stage is woken when the request arrives, so a cold sequence takes its slowest stage, not the sum.
    - The variant of a stage depends on the request id alone: a retry lands on the same one.
    - A stage's answer joins the bag and replaces tensors of the same name.
    - A stage that refuses or fails ends the request with that stage's problem; nothing runs after it.
    - Shadows are sent the same tensors beside the chosen variant; neither their answers nor their failures reach the caller.
    """

    def __init__(self, exchange: Exchange, measures: GatewayMetrics) -> None:
        self._exchange = exchange
        self._measures = measures
        self._shadows: dict[str, set[asyncio.Task[None]]] = {}

    async def last_stage(self, route: SequenceRoute, call: Call) -> Reply | tuple[Version, Call]:
        """The last stage's version and its call, once the stages before it have answered; their refusal where one refuses.

        For calls of one row whose last stage answers piece by piece. Shadows of the last stage get no copy.
        """
        sequence = route.sequence
        last = len(sequence.stages) - 1
        version = route.choose(last, call.request_id)
        if route.passes_through:
            return version, call.at_stage(sequence.name, last, version.id)
        for one in route.versions.values():
            self._exchange.warm(one)
        content_type, json_length = call.content_type.decode("latin-1"), json_length_of(call.json_length)
        newest, _ = decode_generate(call.body, content_type, json_length, sequence.signature, route.batch)
        bag = dict(newest)
        for index in range(last):
            chosen = route.choose(index, call.request_id)
            call_of = partial(_call_with, replace(call, verb="infer", accept=None), bag, newest)
            reply = await self._stage(route, index, chosen, call_of)
            if reply.status != 200:
                return reply
            newest = _tensors_of(reply, chosen)
            bag.update(newest)
        return version, _call_with(call, bag, newest, version).at_stage(sequence.name, last, version.id)

    async def run(self, route: SequenceRoute, call: Call) -> Reply:
        """The answer of the last stage. Raises what ended it early: ``Malformed``, ``SignatureMismatch``, ``NotReady``…"""
        sequence = route.sequence
        if route.passes_through:
            # Nothing to carry between stages, so the body goes through as it came, byte for byte.
            return await self._stage(route, 0, route.choose(0, call.request_id), lambda _: call)
        for version in route.versions.values():
            self._exchange.warm(version)
        batch = route.batch
        content_type, json_length = call.content_type.decode("latin-1"), json_length_of(call.json_length)
        newest, wanted = decode_request(
            call.body, content_type, json_length, sequence.signature, protocol=call.protocol, batch=batch
        )
        if wanted.explain:
            raise not_explained(sequence.name)
        bag = dict(newest)
        reply, unlogged = Reply(), False
        for index in range(len(sequence.stages)):
            version = route.choose(index, call.request_id)
            reply = await self._stage(route, index, version, partial(_call_with, call, bag, newest))
            if unlogged and not reply.header(UNLOGGED):
                reply.headers.append((UNLOGGED, b"1"))  # the row of a stage before is missing
            unlogged = bool(reply.header(UNLOGGED))
            if reply.status != 200:
                return reply
            newest = _tensors_of(reply, version)
            bag.update(newest)
        outputs = {f.name: bag[f.name] for f in sequence.signature.outputs}
        encoded = encode_response(
            outputs,
            sequence.signature,
            wanted,
            model=sequence.name,
            version=route.revision,
            protocol=call.protocol,
            batch=batch,
        )
        headers = [h for h in reply.headers if h[0] not in (b"content-type", b"content-length", JSON_LENGTH)]
        headers.append((b"content-type", encoded.content_type.encode()))
        if encoded.json_length is not None:
            headers.append((JSON_LENGTH, str(encoded.json_length).encode()))
        return Reply(200, headers, encoded.body)

    async def _stage(self, route: SequenceRoute, index: int, version: Version, call_of: CallOf) -> Reply:
        self._send_shadows(route, index, call_of)
        return await self._exchange.ask(version, call_of(version).at_stage(route.sequence.name, index, version.id))

    def _send_shadows(self, route: SequenceRoute, index: int, call_of: CallOf) -> None:
        name, stage = route.sequence.name, route.sequence.stages[index]
        open_shadows = self._shadows.setdefault(name, set())
        for shadow in stage.shadows:
            if len(open_shadows) >= MAX_SHADOWS or not self._exchange.may_shadow:
                self._measures.shadow_dropped(name)
                continue
            version = route.versions[shadow]
            call = call_of(version)
            if call.unrecorded:
                continue  # a question of the platform itself is no traffic to compare answers of
            task = asyncio.get_running_loop().create_task(
                self._shadow(version, call.at_stage(name, index, shadow, shadow=True))
            )
            open_shadows.add(task)
            task.add_done_callback(open_shadows.discard)

    async def _shadow(self, version: Version, call: Call) -> None:
        # A shadow has its own time, whatever the caller has left: a slow start must not make it miss every request.
        deadline = asyncio.get_running_loop().time() + version.limits.start_timeout + version.limits.predict_timeout
        try:
            await self._exchange.ask(version, replace(call, deadline=deadline))
        except HeadraceError:
            return  # recorded and counted by the exchange; a shadow's failure is nobody's answer

    async def drain(self, grace: float) -> None:
        """Wait for open shadows, at most ``grace`` seconds."""
        tasks = [t for open_shadows in self._shadows.values() for t in open_shadows]
        if tasks:
            await asyncio.wait(tasks, timeout=grace)


def not_explained(sequence: str) -> InvalidInput:
    """The refusal to explain the answer of a sequence with the answer itself."""
    return InvalidInput(
        f"{sequence} is a sequence, whose response comes from several models",
        field="explain",
        expected="a model, version or alias",
        hint="explain one of its stages, or a logged request: headrace explain",
    )


def _call_with(call: Call, bag: Tensors, newest: Tensors, version: Version) -> Call:
    """The call of one stage: the tensors that its version takes, as binary data, so that no digit is lost on the way.

    ``newest`` joined the bag last. Where these are the version's inputs in one matrix, it goes on as it is.
    """
    fields = version.signature.inputs
    as_they_are = isinstance(newest, PackedRows) and newest.is_for(fields)
    inputs = newest if as_they_are else {f.name: bag[f.name] for f in fields}
    encoded = encode_request(inputs, version.signature, request_id=call.request_id, batch=version.batch)
    return replace(
        call,
        protocol="v2",
        body=encoded.body,
        content_type=encoded.content_type.encode(),
        json_length=None if encoded.json_length is None else str(encoded.json_length).encode(),
    )


def _tensors_of(reply: Reply, version: Version) -> Tensors:
    return decode_response(
        reply.body, json_length_of(reply.header(JSON_LENGTH)), version.signature, batch=version.batch
    )
