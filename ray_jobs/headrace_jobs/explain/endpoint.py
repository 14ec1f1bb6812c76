"""Asking a version through the gateway, as any client does, but marked so that it does not enter the log as traffic."""

import http.client
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import numpy as np

from headrace_functions.errors import FunctionFailed, InvalidInput, Unreachable
from headrace_functions.protocol.codec import decode_response, encode_request
from headrace_functions.protocol.messages import JSON_LENGTH_HEADER
from headrace_functions.signature import Tensors
from headrace_functions.version import Version

ROWS = 1000  # rows a request: far below the limit of a body, and a deadline is not in danger
TIMEOUT = 60.0
PASSING = (502, 503, 504)
"""Answers for a service that goes, comes or is not reached. Questions change nothing, so they are put again."""
PAUSES = (0.5, 1.0, 2.0)
"""Seconds before each time that a question is put again."""
PURPOSE = "explain"
TOKEN = "HEADRACE_PURPOSE_TOKEN"  # noqa: S105 - the name of a variable
"""Environment variable with the word that proves to the gateway that the platform itself is asking."""


def connecting(url: str, timeout: float) -> tuple[Callable[[], http.client.HTTPConnection], str]:
    """What makes a connection to the gateway at ``url``, and the path that it is under. ``InvalidInput`` names the field ``endpoint``."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput(
            f"endpoint: {url!r} is not a valid endpoint",
            field="endpoint",
            expected="http://HOST:PORT",
            got=repr(url),
        )
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return partial(kind, parts.hostname, parts.port, timeout=timeout), parts.path.rstrip("/")


class Endpoint:
    """One kept connection to ``url``, e.g. ``http://127.0.0.1:8080``, for questions to one version, or to a sequence.

    A sequence is asked with the id of the request that the questions are about, so that the same variants answer.
    """

    def __init__(self, url: str, version: Version, sequence: str = "", request_id: str = "") -> None:
        connect, under = connecting(url, TIMEOUT)
        self._connection = connect()
        asked = sequence or f"{version.id.model}/versions/{version.id.number}"
        self._path = f"{under}/v2/models/{asked}/infer"
        self._asked = sequence or str(version.id)
        self._request_id = {"x-request-id": request_id} if sequence else {}
        self._version = version
        token = os.environ.get(TOKEN, "")
        self._purpose = f"{PURPOSE} {token}" if token else PURPOSE
        self._url = url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def ask(self, inputs: Tensors) -> Tensors:
        """The outputs for ``inputs``, arrays ``(n, *shape)``, in as many requests as it takes.

        Raises ``FunctionFailed`` with the answer's own words where it is no success, ``Unreachable`` where there is none, after
        ``PAUSES`` where that may pass.
        """
        count = len(next(iter(inputs.values())))
        size = ROWS if self._version.batch else 1
        answers = [self._post({k: v[i : i + size] for k, v in inputs.items()}) for i in range(0, count, size)]
        return {name: np.concatenate([a[name] for a in answers]) for name in answers[0]}

    def _post(self, inputs: Tensors) -> Tensors:
        batch = self._version.batch
        sent = inputs if batch else {k: v[0] if v.ndim > 1 else v.reshape(()) for k, v in inputs.items()}
        body = encode_request(sent, self._version.signature, batch=batch)
        headers = {"content-type": body.content_type, "x-headrace-purpose": self._purpose, **self._request_id}
        if body.json_length is not None:
            headers[JSON_LENGTH_HEADER] = str(body.json_length)
        status, text, length = self._answered(body.body, headers)
        if status != http.client.OK:
            raise FunctionFailed(f"{self._asked} answered {status}: {_problem(text)}")
        answer = decode_response(text, int(length) if length else None, self._version.signature, batch=batch)
        return answer if batch else {k: np.asarray(v)[None] for k, v in answer.items()}

    def _answered(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, str | None]:
        """What an exchange gives that does not pass by itself, or the last one."""
        for pause in PAUSES:
            with suppress(Unreachable):
                found = self._exchange(body, headers)
                if found[0] not in PASSING:
                    return found
            time.sleep(pause)
        return self._exchange(body, headers)

    def _exchange(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, str | None]:
        """Status, body and the length of its JSON."""
        try:
            self._connection.request("POST", self._path, body, headers)
            response = self._connection.getresponse()
            return response.status, response.read(), response.headers.get(JSON_LENGTH_HEADER)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            hint = "is the platform up? see headrace status"
            raise Unreachable(f"{self._url} does not answer: {error}", field="endpoint", hint=hint) from error


def _problem(text: bytes) -> str:
    """What a problem document says, or the start of whatever came."""
    try:
        document = json.loads(text)
    except ValueError:
        return text[:200].decode("utf-8", "replace")
    if isinstance(document, dict):
        return str(document.get("detail") or document.get("title") or document.get("error") or document)[:500]
    return str(document)[:500]
