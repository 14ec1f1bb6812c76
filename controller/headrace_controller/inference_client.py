"""Asking models from Python programs: ``Asker`` and ``AsyncAsker`` behind ``Client.ask`` and ``AsyncClient.ask``.

A request bears an id, and is sent again under the same id only where that is safe: nothing was sent yet, or the platform said that it did not take it (429, 503). A
retry of a sequence is answered by the same variants.
"""

import asyncio
import time
import uuid
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson

from headrace_controller import dataframes
from headrace_controller.authorities import trusted
from headrace_controller.client_settings import key_header, platform_url
from headrace_controller.response_errors import error_of
from headrace_functions import errors
from headrace_functions.names import Reference, check_request_id
from headrace_functions.protocol.messages import EncodedBody
from headrace_functions.signature import Signature, Tensors

ATTEMPTS = 5
LONGEST_WAIT = 10.0
"""Seconds between two attempts, whatever the platform asks for."""
_AGAIN = (429, 503)
_LENGTH = "inference-header-content-length"


def endpoint_path(name: str) -> str:
    """The path of a public name: a model, ``model:3``, ``model@alias`` or a sequence."""
    reference = Reference.parse(name)
    if reference.number is not None:
        return f"/v2/models/{reference.name}/versions/{reference.number}"
    return f"/v2/models/{reference}"


def _headers(body: EncodedBody, request_id: str, timeout: float | None) -> dict[str, str]:
    told = {"content-type": body.content_type, "x-request-id": request_id}
    if body.json_length is not None:
        told[_LENGTH] = str(body.json_length)
    return told | ({"x-headrace-timeout": str(round(timeout * 1000))} if timeout is not None else {})


def _wait(answer: httpx.Response | None, attempt: int) -> float:
    asked = answer.headers.get("retry-after", "") if answer is not None else ""
    return min(float(asked) if asked.replace(".", "", 1).isdigit() else 0.1 * 2**attempt, LONGEST_WAIT)


def _decoded(answer: httpx.Response, signature: Signature, *, batch: bool) -> Tensors:
    if answer.status_code != httpx.codes.OK:
        raise error_of(answer)
    length = answer.headers.get(_LENGTH)
    return dataframes.answered(answer.content, int(length) if length else None, signature, batch=batch)


Step = httpx.Request | float
"""What to do next: send this, or wait so many seconds."""


Outcome = httpx.Response | httpx.HTTPError
"""What sending came to."""


def _attempts(request: httpx.Request, name: str) -> Generator[Step, Outcome | None, httpx.Response]:
    """Sends a request, again where that is safe; is told what each attempt came to, and ends with the answer or an error of ours."""
    for attempt in range(ATTEMPTS):
        last = attempt == ATTEMPTS - 1
        found = yield request
        if isinstance(found, httpx.Response):
            if found.status_code not in _AGAIN or last:
                return found
        elif isinstance(found, httpx.TimeoutException):
            raise errors.DeadlineExceeded(f"{name} did not answer in time", hint="see: headrace status") from found
        elif not isinstance(found, httpx.ConnectError):
            raise errors.Unreachable(
                f"the answer of {name} was lost: {type(found).__name__}", hint="it may have been asked; the log says"
            ) from found
        elif last:
            at = f"{request.url.scheme}://{request.url.netloc.decode()}"
            raise errors.Unreachable(f"no platform answers at {at}", hint="start one with: headrace up") from found
        yield _wait(found if isinstance(found, httpx.Response) else None, attempt)
    raise AssertionError("the last attempt ends it")


@dataclass(frozen=True, slots=True)
class _Question:
    """A table on its way: the pieces that are sent, and what their answers become."""

    name: str
    table: dataframes.Table
    signature: Signature
    batch: bool
    request_id: str
    timeout: float | None

    def requests(self, http: httpx.Client | httpx.AsyncClient) -> list[httpx.Request]:
        pieces = list(dataframes.requests(self.table, self.signature, batch=self.batch))
        ids = [self.request_id] if len(pieces) == 1 else [f"{self.request_id}-{i}" for i in range(len(pieces))]
        check_request_id(ids[-1])
        path = f"{endpoint_path(self.name)}/infer"
        return [
            http.build_request("POST", path, content=b.body, headers=_headers(b, i, self.timeout))
            for (_, b), i in zip(pieces, ids, strict=True)
        ]

    def answer(self, answers: Sequence[httpx.Response]) -> Any:
        return dataframes.as_given([_decoded(a, self.signature, batch=self.batch) for a in answers], self.table)


@dataclass(slots=True)
class _Signatures:
    """Of names, as they were told."""

    found: dict[str, tuple[Signature, bool]] = field(default_factory=dict)

    def keep(self, name: str, answer: httpx.Response) -> None:
        if answer.status_code != httpx.codes.OK:
            raise error_of(answer)
        self.found[name] = dataframes.signature_of(orjson.loads(answer.content))

    def question(self, name: str, data: Any, request_id: str | None, timeout: float | None) -> _Question:
        signature, batch = self.found[name]
        return _Question(
            name, dataframes.table_of(data, signature), signature, batch, request_id or uuid.uuid4().hex, timeout
        )


class Asker:
    """Synchronous; ``http`` has the platform's URL and credentials."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._signatures = _Signatures()

    def ask(self, name: str, data: Any, *, request_id: str | None = None, timeout: float | None = None) -> Any:
        if name not in self._signatures.found:
            self._signatures.keep(name, self._sent(self._http.build_request("GET", endpoint_path(name)), name))
        question = self._signatures.question(name, data, request_id, timeout)
        return question.answer([self._sent(r, name) for r in question.requests(self._http)])

    def _sent(self, request: httpx.Request, name: str) -> httpx.Response:
        steps = _attempts(request, name)
        told: Outcome | None = None
        try:
            while True:
                step = steps.send(told)
                told = None
                if isinstance(step, httpx.Request):
                    try:
                        told = self._http.send(step)
                    except httpx.HTTPError as error:
                        told = error
                else:
                    time.sleep(step)
        except StopIteration as done:
            found: httpx.Response = done.value
            return found


class AsyncAsker:
    """The same for asyncio; pieces of a large table are asked ``at_once``."""

    def __init__(self, http: httpx.AsyncClient, *, at_once: int = 4) -> None:
        self._http = http
        self._signatures = _Signatures()
        self._room = asyncio.Semaphore(at_once)

    async def ask(self, name: str, data: Any, *, request_id: str | None = None, deadline: float | None = None) -> Any:
        if name not in self._signatures.found:
            self._signatures.keep(name, await self._sent(self._http.build_request("GET", endpoint_path(name)), name))
        question = self._signatures.question(name, data, request_id, deadline)
        return question.answer(await asyncio.gather(*(self._sent(r, name) for r in question.requests(self._http))))

    async def _sent(self, request: httpx.Request, name: str) -> httpx.Response:
        steps = _attempts(request, name)
        told: Outcome | None = None
        async with self._room:
            try:
                while True:
                    step = steps.send(told)
                    told = None
                    if isinstance(step, httpx.Request):
                        try:
                            told = await self._http.send(step)
                        except httpx.HTTPError as error:
                            told = error
                    else:
                        await asyncio.sleep(step)
            except StopIteration as done:
                found: httpx.Response = done.value
                return found


class AsyncClient:
    """Asks models of one platform from asyncio programs. ``key`` is an API key, ``HEADRACE_API_KEY`` where it is None; times are in seconds.

    ``ca`` is a PEM file with the authority of its certificate, ``HEADRACE_CA_FILE`` or the system's authorities where it is None.
    """

    def __init__(
        self, url: str, *, timeout: float = 60.0, key: str | None = None, ca: str | Path | None = None, at_once: int = 4
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=platform_url(url), timeout=timeout, trust_env=False, verify=trusted(ca), headers=key_header(key)
        )
        self._asker = AsyncAsker(self._http, at_once=at_once)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def ask(self, name: str, data: Any, *, request_id: str | None = None, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        """As ``Client.ask``."""
        return await self._asker.ask(name, data, request_id=request_id, deadline=timeout)
