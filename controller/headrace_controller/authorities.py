"""Whom the clients trust over TLS: the system's authorities, or the file of one that ``--ca`` or ``HEADRACE_CA_FILE`` names."""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

from headrace_functions.errors import InvalidInput

CA_FILE = "HEADRACE_CA_FILE"


def trusted(ca: str | Path | None = None, environment: Mapping[str, str] = os.environ) -> ssl.SSLContext | bool:
    """For httpx's ``verify``. ``InvalidInput`` where the file that is named is none of certificates."""
    file = str(ca or environment.get(CA_FILE) or "")
    if not file:
        return True
    try:
        return ssl.create_default_context(cafile=file)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(
            f"ca: {file} cannot be used: {error}", field="ca", expected="a PEM file with certificates of authorities"
        ) from error


def pinned(certificate: str | Path) -> ssl.SSLContext:
    """Trusts the owner of this very certificate, by whatever name it is asked: for a platform of this machine, whose file this is."""
    context = ssl.create_default_context(cafile=str(certificate))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    return context
