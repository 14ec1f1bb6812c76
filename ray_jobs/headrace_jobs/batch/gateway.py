"""The gateway as a batch asks it: a caller like others, vouched for by the platform, whose requests are traffic and so logged."""

import http.client
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from headrace_functions.errors import InvalidInput, Unreachable
from headrace_functions.names import VersionId
from headrace_jobs.explain.endpoint import TOKEN, connecting

TIMEOUT = 600.0
"""Seconds for one request; the version's own limits end it sooner."""


@dataclass(frozen=True)
class Reply:
    """An answer; names of headers are lower case."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """The problem document; of what is none, its text as ``detail``."""
        return self._document

    @cached_property
    def _document(self) -> Any:
        try:
            return json.loads(self.content)
        except ValueError:
            return {"detail": self.content[:200].decode("utf-8", "replace")}


class Gateway:
    """Questions to one version; a kept connection for each thread."""

    def __init__(self, url: str, version: VersionId) -> None:
        self._connect, under = connecting(url, TIMEOUT)
        self._path = f"{under}/v2/models/{version.model}/versions/{version.number}"
        token = os.environ.get(TOKEN, "")
        self._own = {"x-headrace-proof": token} if token else {}
        self._kept = threading.local()

    def metadata(self) -> Any:
        """What the platform says of the version. ``InvalidInput`` with the gateway's words where it says nothing."""
        reply = self._ask("GET", self._path, b"", {})
        if reply.status_code != http.client.OK:
            raise InvalidInput(str(reply.json().get("detail", reply.status_code)), field="model")
        return reply.json()

    def post(self, body: bytes, headers: Mapping[str, str]) -> Reply:
        """The answer, whatever its status; ``Unreachable`` where there is none."""
        more = {"content-type": "application/octet-stream", **headers}
        return self._ask("POST", f"{self._path}/infer", body, more)

    def _ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        connection = getattr(self._kept, "connection", None)
        if connection is None:
            connection = self._kept.connection = self._connect()
        try:
            connection.request(method, path, body, {**headers, **self._own})
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, found, response.read())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Unreachable(f"the gateway does not answer: {error or type(error).__name__}") from error
