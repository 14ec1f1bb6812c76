"""Telling results of deferred requests: a CloudEvent by POST, signed, tried a few times, never to the machine itself.

The address is looked up once for each try and connected to as it was found, so a name cannot change its meaning between the look and
the call. Loopback, link-local (where clouds keep their metadata) and other special addresses are refused unless the host is one that
the platform was told to trust; redirects are not followed, wherever they lead.
"""

import asyncio
import hashlib
import hmac
import importlib
import ipaddress
import logging
import socket
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from headrace_functions.errors import Forbidden, InvalidInput, Unreachable
from headrace_functions.gateway.upstream import Reply

log = logging.getLogger("headrace.gateway")

TYPE = "org.headrace.inference.completed"
SIGNATURE = "x-headrace-signature"
MAX_URL = 2000
MAX_SECRET = 256
PAUSES = (1.0, 5.0, 30.0, 120.0, 600.0)
"""Seconds between tries: one more try than there are pauses."""
SECONDS = 10.0
"""Time for one try."""
_METADATA = ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16")
"""Where clouds tell machines their secrets, besides link-local addresses: Amazon, Google, Alibaba, Azure."""


@dataclass(frozen=True, slots=True)
class Callback:
    url: str
    secret: str = ""
    """What the signature is made with; empty for none."""

    @classmethod
    def of(cls, url: str, secret: str) -> "Callback":
        """Checked; ``InvalidInput`` names the header."""
        if len(url) > MAX_URL or not _is_to_be_called(url):
            raise InvalidInput(
                "x-headrace-callback is not a usable URL",
                field="x-headrace-callback",
                expected=f"http:// or https://, at most {MAX_URL} characters, without credentials",
                got=url[:80],
            )
        if len(secret) > MAX_SECRET:
            raise InvalidInput(
                "x-headrace-callback-secret is too long",
                field="x-headrace-callback-secret",
                expected=f"at most {MAX_SECRET} characters",
            )
        return cls(url, secret)

    def to_document(self) -> dict[str, str]:
        return {"url": self.url, "secret": self.secret}

    @classmethod
    def from_document(cls, document: Mapping[str, str]) -> "Callback":
        return cls(document["url"], document["secret"])


class Callbacks:
    def __init__(
        self,
        trusted: Collection[str] = (),
        pauses: tuple[float, ...] = PAUSES,
        now: Callable[[], float] = time.time,
    ) -> None:
        """``trusted`` are hosts that may be called wherever they are."""
        self._trusted = frozenset(trusted)
        self._pauses = pauses
        self._now = now
        self._telling: set[str] = set()

    def is_telling(self, request_id: str) -> bool:
        return request_id in self._telling

    async def deliver(self, callback: Callback, request_id: str, name: str, reply: Reply) -> dict[str, Any]:
        """Try until it is taken (any status of 2xx), refused for good or given up; what came of it, for the store."""
        self._telling.add(request_id)
        said = ""
        try:
            for tries, pause in enumerate((*self._pauses, None), start=1):
                try:
                    status = await self._post(callback, request_id, name, reply)
                    said = f"status {status}"
                    if 200 <= status < 300:
                        return {"delivered": True, "tries": tries, "said": said}
                except (Forbidden, ValueError) as error:  # an older gateway took URLs that are none
                    return {"delivered": False, "tries": tries, "said": str(error)}
                except (Unreachable, TimeoutError) as error:
                    said = str(error) or type(error).__name__
                log.info("callback of %s: %s", request_id, said)
                if pause is not None:
                    await asyncio.sleep(pause)
            return {"delivered": False, "tries": tries, "said": said}
        finally:
            self._telling.discard(request_id)

    async def _post(self, callback: Callback, request_id: str, name: str, reply: Reply) -> int:
        parts = urlsplit(callback.url)
        host = str(parts.hostname)
        address = await self._address(host, parts.port or (443 if parts.scheme == "https" else 80))
        shown = f"[{address}]" if ":" in address else address
        netloc = f"{shown}:{parts.port}" if parts.port else shown
        content_type = next((v.decode("latin-1") for k, v in reply.headers if k == b"content-type"), "application/json")
        moment = str(int(self._now()))
        headers = {
            "host": parts.netloc,
            "content-type": content_type,
            "ce-specversion": "1.0",
            "ce-type": TYPE,
            "ce-source": f"/v2/models/{name}",
            "ce-id": request_id,
            "ce-status": str(reply.status),
        }
        length = next((v.decode("latin-1") for k, v in reply.headers if k == b"inference-header-content-length"), None)
        if length is not None:
            headers["inference-header-content-length"] = length
        if callback.secret:
            headers[SIGNATURE] = signature(callback.secret, moment, reply.body)
        url = parts._replace(netloc=netloc).geturl()
        return await _sent(url, reply.body, headers, host)

    async def _address(self, host: str, port: int) -> str:
        """One address of the host that may be called; ``Forbidden`` where there is none, ``Unreachable`` for an unknown name."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Unreachable(f"{host} cannot be resolved: {error}") from error
        addresses = [str(entry[4][0]) for entry in found]
        for address in addresses:
            if host in self._trusted or is_public_enough(address):
                return address
        raise Forbidden(f"callbacks are not allowed to {host} ({', '.join(dict.fromkeys(addresses))})")


async def _sent(url: str, body: bytes, headers: Mapping[str, str], host: str) -> int:
    """The status of the answer; ``Unreachable`` where there is none."""
    httpx: Any = importlib.import_module("httpx")  # with the first callback: few gateways ever send one
    try:
        async with httpx.AsyncClient(follow_redirects=False, timeout=SECONDS, trust_env=False) as client:
            answer = await client.post(url, content=body, headers=headers, extensions={"sni_hostname": host})
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unreachable(str(error) or type(error).__name__) from error
    status: int = answer.status_code
    return status


def _is_to_be_called(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")
        usable = parts.scheme in ("http", "https") and bool(host) and (parts.port is None or parts.port > 0)
    except ValueError:  # brackets without an end, a port that is none, a label of a host that is too long
        return False
    return usable and not parts.username and url.isascii() and url.isprintable() and " " not in url


def is_public_enough(address: str) -> bool:
    """Whether an address is neither this machine's own nor one of the special ones; private networks are allowed."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):  # what the address is a wrapper of
        ip = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else ip)
    special = ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast or ip.is_reserved
    return not special and str(ip) not in _METADATA


def signature(secret: str, moment: str, body: bytes) -> str:
    """``t=SECONDS,v1=HEX``: HMAC-SHA256 of ``SECONDS.BODY``, as who gave the secret can make it, too."""
    made = hmac.new(secret.encode(), moment.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={made}"
