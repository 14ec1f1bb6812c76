"""Language models behind an endpoint shaped like OpenAI's chat completions: one question a row, its answer piece by piece with its token counts.

Options of the version: ``url`` (the API's base, e.g. ``https://models.example.org/v1``), ``model`` (its name there), ``timeout`` (seconds between two pieces),
``key-file`` or ``key-env`` (where the API's key is). Inputs are ``prompt`` or ``messages`` (JSON, as the API takes it) and, where the contract has them,
``system`` and the parameters of the API; outputs are the text and what the API says of it.

Source of the shapes: OpenAI's API reference, *Chat completions* with ``stream`` and ``stream_options.include_usage``.
"""

import asyncio
import contextlib
import http.client
import json
import os
import re
import socket
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from headrace_functions.errors import InvalidInput
from headrace_functions.runtime.frameworks.port import Options
from headrace_functions.runtime.frameworks.streaming import Streaming
from headrace_functions.signature import Signature, Tensors

PROTOCOL = "openai"
QUESTIONS = ("prompt", "messages")
PARAMETERS = ("temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "stop", "frequency_penalty", "presence_penalty")  # fmt: skip
INPUTS = (*QUESTIONS, "system", *PARAMETERS)
OUTPUTS: Mapping[str, Any] = {
    "text": "",
    "finish_reason": "",
    "model": "",
    "prompt_tokens": 0,
    "completion_tokens": 0,
    "total_tokens": 0,
}
"""What an output is until the API has said it."""
TIMEOUT = 60.0
MAX_LINE = 1 << 20
"""Bytes of one event of the other side."""
_KEY = re.compile(r"[\x21-\x7e]{1,4096}")
_LONGEST = 500  # characters of what the other side says

Chunk = dict[str, Any]


class ChatFailure(Exception):
    """The other side did not answer, or not with an answer."""


@dataclass(frozen=True, slots=True)
class ChatEndpoint:
    """Where questions go. ``key`` is not part of what it shows of itself."""

    url: str
    model: str
    timeout: float
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return f"ChatEndpoint({self.url!r}, {self.model!r})"

    def without_key(self, text: str) -> str:
        """What the other side says, in which it may have repeated the key."""
        key = self.headers.get("authorization", "").removeprefix("Bearer ")
        return text.replace(key, "***") if key else text

    def connect(self) -> http.client.HTTPConnection:
        """A connection to the endpoint; ``ChatFailure`` where there is none."""
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.netloc, timeout=self.timeout)
        try:
            connection.connect()
        except OSError as error:
            raise ChatFailure(f"{parts.netloc} did not answer: {error}") from error
        return connection

    def ask(self, connection: http.client.HTTPConnection, question: Mapping[str, Any]) -> http.client.HTTPResponse:
        """Begin an answer as events; ``ChatFailure`` where there will be none."""
        parts = urlsplit(self.url)
        body = {**question, "model": self.model, "stream": True, "stream_options": {"include_usage": True}}
        try:
            connection.request(
                "POST", f"{parts.path.rstrip('/')}/chat/completions", json.dumps(body), dict(self.headers)
            )
            reply = connection.getresponse()
            said = "" if reply.status == http.client.OK else reply.read(_LONGEST).decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise ChatFailure(f"{parts.netloc} did not answer: {error}") from error
        if reply.status != http.client.OK:
            reply.close()
            raise ChatFailure(f"{parts.netloc} answered {reply.status}: {self.without_key(said)}")
        return reply


def load(options: Options) -> ChatEndpoint:
    """Where the model answers, with its key; nothing is asked yet. ``InvalidInput`` for a key that cannot be read."""
    headers = {"content-type": "application/json", "accept": "text/event-stream"}
    key = _key(options)
    if key:
        headers["authorization"] = f"Bearer {key}"
    return ChatEndpoint(
        str(options["url"]).rstrip("/"), str(options["model"]), float(options.get("timeout", TIMEOUT)), headers
    )


def _key(options: Options) -> str:
    if name := options.get("key-env"):
        key = os.environ.get(str(name), "").strip()
        if not key:
            raise InvalidInput(
                f"external.key-env: the function's environment has no {name}",
                field="external",
                hint="on one machine functions do not see the platform's variables: use key-file; in a cluster set it with a DeploymentConfiguration",
            )
        return _usable(key, f"external.key-env: the value of {name}")
    if file := options.get("key-file"):
        try:
            key = Path(str(file)).read_bytes().decode("latin-1").strip()
        except OSError as error:
            raise InvalidInput(
                f"external.key-file: {file} cannot be read: {error.strerror}",
                field="external",
                hint=f"let functions read it: headrace up --function-path {file}",
            ) from error
        return _usable(key, f"external.key-file: what {file} holds")
    return ""


def _usable(key: str, what: str) -> str:
    """The key; ``InvalidInput``, without a letter of it, for a text that can stand in no header."""
    if not _KEY.fullmatch(key):
        raise InvalidInput(
            f"{what} is not a usable key", field="external", expected="one line of 1 to 4096 printable ASCII characters"
        )
    return key


def bind(endpoint: ChatEndpoint, signature: Signature) -> Streaming:
    """A generator that streams the answer to one row; of several rows, which are asked one after the other, all answers at once."""
    inputs, outputs = [f.name for f in signature.inputs], [f.name for f in signature.outputs]
    check(inputs, outputs)
    flat = signature.inputs[0].shape

    async def answers(tensors: Tensors) -> AsyncIterator[Mapping[str, Any]]:
        batched = np.asarray(tensors[inputs[0]]).ndim > len(flat)
        columns = {name: np.asarray(a).tolist() if batched else [np.asarray(a).item()] for name, a in tensors.items()}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        if len(rows) == 1:
            async with contextlib.aclosing(_streamed(endpoint, question(rows[0]))) as chunks:
                async for chunk in chunks:
                    yield {name: [chunk[name]] if batched else chunk[name] for name in outputs}
            return
        whole = [await _whole(endpoint, question(row)) for row in rows]
        yield {name: [one[name] for one in whole] for name in outputs}

    return Streaming(answers)


def check(inputs: Iterable[str], outputs: Iterable[str]) -> None:
    """``InvalidInput`` naming a field that the API has not, or what no field asks."""
    names = list(inputs)
    for side, given, known in (("input", names, INPUTS), ("output", list(outputs), tuple(OUTPUTS))):
        unknown = next((name for name in given if name not in known), None)
        if unknown is not None:
            raise InvalidInput(
                f"contract: {unknown!r} is not one of the {side} of chat completions",
                field=unknown,
                expected=", ".join(known),
                got=unknown,
            )
    if sum(name in QUESTIONS for name in names) != 1:
        raise InvalidInput(
            "contract: chat completions need one question per row",
            field="contract",
            expected="the input prompt, or messages",
            got=", ".join(names) or "no input",
        )


def question(row: Mapping[str, Any]) -> dict[str, Any]:
    """The body that asks about a row; ``InvalidInput`` where ``messages`` is no list of messages. What is missing is left out."""
    alone = [{"role": "user", "content": row.get("prompt") or ""}]
    messages = _messages(row["messages"]) if "messages" in row else alone
    if row.get("system"):
        messages = [{"role": "system", "content": row["system"]}, *messages]
    asked: dict[str, Any] = {"messages": messages}
    for name in PARAMETERS:
        value = row.get(name)
        if value is not None and value == value:
            asked[name] = value
    return asked


def _messages(text: str | None) -> list[Any]:
    try:
        found = json.loads(text or "")
    except ValueError as error:
        raise InvalidInput(
            f"messages is not JSON: {error}", field="messages", expected='[{"role": "user", "content": "…"}]'
        ) from error
    if not isinstance(found, list) or not found or not all(isinstance(m, dict) and "role" in m for m in found):
        raise InvalidInput(
            "messages is not a list of messages", field="messages", expected='[{"role": "user", "content": "…"}]'
        )
    return found


def events(lines: Iterable[bytes]) -> Iterator[Chunk]:
    """What each event of a stream adds: texts are what is new, so that they can be joined; of numbers the last value counts.

    The last chunk has what is known at the end: reason, model and token counts. ``ChatFailure`` for an error, or for an answer that breaks off.
    """
    known, finished = dict(OUTPUTS), False
    for line in lines:
        data = line.strip().removeprefix(b"data:").strip() if line.startswith(b"data:") else b""
        if data == b"[DONE]":
            finished = True
            break
        if not data:
            continue
        event = _event(data)
        choice: dict[str, Any] = next(iter(event.get("choices") or ()), {})
        known["finish_reason"] = choice.get("finish_reason") or known["finish_reason"]
        known["model"] = event.get("model") or known["model"]
        known |= {k: v for k, v in (event.get("usage") or {}).items() if k in OUTPUTS and isinstance(v, int)}
        text = (choice.get("delta") or {}).get("content")
        if text:
            yield {**known, "finish_reason": "", "model": "", "text": text}
    if not finished and not known["finish_reason"]:
        raise ChatFailure("the other side ended its answer in the middle")
    yield {**known, "text": ""}


def _event(data: bytes) -> dict[str, Any]:
    try:
        event = json.loads(data)
    except ValueError as error:
        raise ChatFailure(f"the other side sent what is no JSON: {data[:80]!r}") from error
    if not isinstance(event, dict):
        raise ChatFailure(f"the other side sent what is no event: {data[:80]!r}")
    if "error" in event:
        raise ChatFailure(f"the other side failed: {json.dumps(event['error'])[:_LONGEST]}")
    return event


async def _whole(endpoint: ChatEndpoint, asked: Mapping[str, Any]) -> Chunk:
    text, last = [], dict(OUTPUTS)
    async for last in _streamed(endpoint, asked):
        text.append(last["text"])
    return {**last, "text": "".join(text)}


async def _streamed(endpoint: ChatEndpoint, asked: Mapping[str, Any]) -> AsyncGenerator[Chunk, None]:
    """The chunks of one answer; closing the generator hangs up."""
    reading = _Reading(endpoint, asked)
    try:
        while (item := await reading.chunks.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        reading.stop()


class _Reading:
    """One answer, read by a thread of its own, so that many may be open while the event loop goes on."""

    def __init__(self, endpoint: ChatEndpoint, asked: Mapping[str, Any]) -> None:
        self.chunks: asyncio.Queue[Chunk | BaseException | None] = asyncio.Queue()
        """What was read; None at the end."""
        self._endpoint = endpoint
        self._asked = asked
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name="chat completion", daemon=True).start()

    def stop(self) -> None:
        """Hang up: the thread's read ends with its socket."""
        self._stopped.set()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        try:
            self._read()
            self._tell(None)
        except ChatFailure as error:
            self._tell(ChatFailure(self._endpoint.without_key(str(error))))
        except Exception as error:  # noqa: BLE001 -- whoever waits for the answer hears of it, whatever it is
            said = self._endpoint.without_key(str(error))
            self._tell(ChatFailure(f"the answer broke off: {type(error).__name__}: {said}"))

    def _read(self) -> None:
        with contextlib.closing(self._endpoint.connect()) as connection:
            self._socket = connection.sock  # the connection lets go of it once the answer has begun
            with contextlib.closing(self._endpoint.ask(connection, self._asked)) as reply:
                for chunk in events(iter(lambda: reply.readline(MAX_LINE), b"")):
                    if self._stopped.is_set():
                        return
                    self._tell(chunk)

    def _tell(self, item: Chunk | BaseException | None) -> None:
        if not self._stopped.is_set():
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it whoever asked
                self._loop.call_soon_threadsafe(self.chunks.put_nowait, item)
