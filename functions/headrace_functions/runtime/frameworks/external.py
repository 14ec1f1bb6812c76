"""Models that answer elsewhere: each request is passed on to a server that speaks the Open Inference Protocol, or OpenAI's (``chat_completions``).

Options: ``protocol``, ``open-inference`` or ``openai``; ``url``, the model's base at that server, e.g. ``http://models:8080/v2/models/churn``; ``timeout`` in seconds (default 30).
So a foreign model is called, logged, monitored and explained like any other. The artifact is empty.
"""

import http.client
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from headrace_functions.errors import InvalidInput
from headrace_functions.protocol.codec import decode_response, encode_request
from headrace_functions.runtime.frameworks import chat_completions
from headrace_functions.runtime.frameworks.chat_completions import ChatEndpoint
from headrace_functions.runtime.frameworks.port import Description, Function, Options
from headrace_functions.signature import Field, Signature, Tensors

ROWS = False
TIMEOUT = 30.0
MAX_ANSWER = 256 * 1024 * 1024  # bytes
_LONGEST = 500  # characters of what the other side says


class ExternalFailure(Exception):
    """The other side did not answer, or not with an answer."""


@dataclass(slots=True)
class External:
    """Where a model answers; each thread keeps a connection of its own."""

    scheme: str
    host: str
    path: str
    timeout: float
    local: threading.local = field(default_factory=threading.local)

    def ask(self, body: bytes) -> bytes:
        """The answer to a request; a connection that the other side has closed meanwhile is opened once more."""
        for attempt in (1, 2):
            connection = self._connection()
            kept = connection.sock is not None
            try:
                connection.request("POST", self.path, body, {"content-type": "application/json"})
                reply = connection.getresponse()
                answer = reply.read(MAX_ANSWER + 1)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if kept and attempt == 1 and isinstance(error, http.client.RemoteDisconnected | ConnectionResetError):
                    continue
                raise ExternalFailure(f"{self.host} did not answer: {error}") from error
            if len(answer) > MAX_ANSWER:
                connection.close()
                raise ExternalFailure(f"{self.host} answered with more than {MAX_ANSWER} bytes")
            if reply.status != http.client.OK:
                said = answer[:_LONGEST].decode(errors="replace")
                raise ExternalFailure(f"{self.host} answered {reply.status}: {said}")
            return answer
        raise ExternalFailure(f"{self.host} closed the connection twice")

    def _connection(self) -> http.client.HTTPConnection:
        known: http.client.HTTPConnection | None = getattr(self.local, "connection", None)
        if known is None:
            kind = http.client.HTTPSConnection if self.scheme == "https" else http.client.HTTPConnection
            known = self.local.connection = kind(self.host, timeout=self.timeout)
        return known


def preload() -> None:
    """Nothing beyond the standard library."""


def load(artifact: Path, options: Options) -> External | ChatEndpoint:
    """Where the model answers; nothing is asked yet."""
    del artifact
    if options.get("protocol") == chat_completions.PROTOCOL:
        return chat_completions.load(options)
    return of_open_inference(options)


def of_open_inference(options: Options) -> External:
    """A model of a server that speaks the Open Inference Protocol. ``InvalidInput`` for a URL that is none."""
    url = urlsplit(str(options.get("url", "")))
    if url.scheme not in ("http", "https") or not url.netloc:
        raise InvalidInput(
            f"external: {options.get('url', '')!r} is not the URL of a model",
            field="external",
            expected="e.g. http://models:8080/v2/models/churn",
        )
    path = url.path.rstrip("/")
    return External(url.scheme, url.netloc, f"{path}/infer", float(options.get("timeout", TIMEOUT)))


def describe(model: External | ChatEndpoint, options: Options, inputs: tuple[Field, ...] | None = None) -> Description:
    """The signature is declared."""
    del model, options, inputs
    return Description()


def bind(model: External | ChatEndpoint, options: Options, signature: Signature) -> Function:
    """A v2 request of JSON for each call, and the outputs of its answer; of a language model its answer piece by piece."""
    del options
    if isinstance(model, ChatEndpoint):
        return chat_completions.bind(model, signature)

    def function(tensors: Tensors) -> Mapping[str, Any]:
        first = next(iter(tensors.values()))
        batch = first.ndim > len(signature.inputs[0].shape)
        body = encode_request(tensors, signature, binary=False, batch=batch)
        return decode_response(model.ask(body.body), None, signature, batch=batch)

    return function


def compare(model: External | ChatEndpoint, signature: Signature, tensors: Tensors) -> list[str]:
    """Nothing is known of what it was made from."""
    del model, signature, tensors
    return []
