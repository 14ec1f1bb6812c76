"""What clients are given, checked before anything is sent: a URL and a key that cannot be used are not a platform that does not answer."""

import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from headrace_functions.errors import InvalidInput

KEY = "HEADRACE_API_KEY"
_VISIBLE = re.compile(r"[!-~]+")


def platform_url(url: str) -> str:
    """The URL without its last slash. ``InvalidInput`` for one that is none, or whose scheme is not HTTP."""
    try:
        parsed = urlsplit(url)
        usable = parsed.scheme in ("http", "https") and bool(parsed.hostname) and parsed.port != 0
    except ValueError as error:  # a port that is none, a bracket that is not closed
        raise _no_url(url) from error
    if not usable:
        raise _no_url(url, None if "://" in url else f"did you mean 'http://{url}'?")
    return url.rstrip("/")


def _no_url(url: str, hint: str | None = None) -> InvalidInput:
    return InvalidInput(
        f"url: {url!r} is not the URL of a platform",
        field="url",
        expected="http://HOST:PORT or https://HOST",
        hint=hint if url else None,
    )


def key_header(key: str | None, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The header that shows an API key, by default that in ``HEADRACE_API_KEY``; none where there is no key.

    Blanks and the newline around it are not part of it: files and secrets often end with one. ``InvalidInput`` where it cannot be a header.
    """
    shown = (key if key is not None else environment.get(KEY, "")).strip()
    if not shown:
        return {}
    if not _VISIBLE.fullmatch(shown):
        raise InvalidInput(
            "key: this is not an API key: it has blanks or characters beyond ASCII",
            field="key",
            hint=f"check the key that was given, or {KEY}",
        )
    return {"x-api-key": shown}
