"""TLS of the embedded platform: the files are tried before anything starts, and a certificate that was renewed is taken while it serves."""

import asyncio
import logging
import os
import ssl
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from headrace_controller.settings import Settings, is_loopback
from headrace_functions.errors import InvalidInput

log = logging.getLogger(__name__)

LOOK_SECONDS = "HEADRACE_TLS_LOOK_SECONDS"
"""Variable with the seconds between two looks at the files."""
_LOOK = 60.0
HSTS = (b"strict-transport-security", b"max-age=31536000")
"""A year: browsers that have seen it ask this host by TLS alone."""

Message = MutableMapping[str, Any]
Application = Callable[[Message, Any, Any], Awaitable[None]]


def check(settings: Settings) -> None:
    """``InvalidInput`` where the files of the settings are no certificate and its key."""
    if settings.tls_certificate:
        load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), settings)


def load(context: ssl.SSLContext, settings: Settings) -> None:
    """Take certificate and key into a context. ``InvalidInput`` says what is wrong with which file; the context is as it was then."""
    certificate, key = Path(settings.tls_certificate), Path(settings.tls_key)
    for field, file in (("tls-cert", certificate), ("tls-key", key)):
        try:
            text = file.read_bytes()
        except OSError as error:
            raise InvalidInput(f"{field}: {file} cannot be read: {error.strerror}", field=field) from error
        if field == "tls-cert" and b"-----BEGIN CERTIFICATE-----" not in text:
            raise InvalidInput(f"{field}: {file} does not contain a certificate", field=field, expected="a PEM file")
    try:
        trial = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trial.load_cert_chain(certificate, key, password=_refuse_password)
        context.load_cert_chain(certificate, key, password=_refuse_password)
    except ssl.SSLError as error:
        mismatch = "KEY_VALUES_MISMATCH" in str(error)
        said = f"{key} is not the key of {certificate}" if mismatch else f"{key} or {certificate} is not PEM: {error}"
        raise InvalidInput(f"tls-key: {said}", field="tls-key", expected="an unencrypted private key as PEM") from error


async def follow(context: ssl.SSLContext, settings: Settings) -> None:
    """Take the files anew whenever they change, until cancelled. What cannot be used is told in the log and changes nothing."""
    seen = _changed(settings)
    while True:
        await asyncio.sleep(float(os.environ.get(LOOK_SECONDS) or _LOOK))
        now = await asyncio.to_thread(_changed, settings)
        if now == seen:
            continue
        try:
            await asyncio.to_thread(load, context, settings)
        except InvalidInput as error:
            log.error("the certificate stays as it is: %s", error.message)
        else:
            log.info("took the certificate of %s anew", settings.tls_certificate)
        seen = now


class OverTls:
    """An ASGI application whose answers tell browsers to ask this host by TLS alone, where the host is not this machine's own name."""

    def __init__(self, app: Application, settings: Settings) -> None:
        self._app = app
        self._tells = not is_loopback(settings.host)

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], HSTS]}
            await send(message)

        await self._app(scope, receive, telling if self._tells else send)


def _changed(settings: Settings) -> tuple[int, ...]:
    found = []
    for name in (settings.tls_certificate, settings.tls_key):
        try:
            state = Path(name).stat()
        except OSError:
            return ()
        found += [state.st_mtime_ns, state.st_ino, state.st_size]
    return tuple(found)


def _refuse_password() -> str:
    raise InvalidInput(
        "tls-key: the key is protected by a password", field="tls-key", expected="an unencrypted PEM file"
    )
