"""How a bucket is reached: addressing, certificate authority and credentials, from the environment; and what its refusals mean.

Pure but for reading the authority's file. Credentials are found by the client library itself, in this order: static keys
(``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_SESSION_TOKEN``), a web identity (``AWS_WEB_IDENTITY_TOKEN_FILE`` and
``AWS_ROLE_ARN``, as IAM roles for service accounts set them), the container's (``AWS_CONTAINER_CREDENTIALS_…``), the instance's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from headrace_functions.errors import StorageFailed

AUTHORITY = "HEADRACE_STORAGE_CA"
"""Certificate authority of the store: a PEM file, or the PEM text itself, so that a pod needs no volume for it."""
_BUNDLE = "AWS_CA_BUNDLE"  # the same as a file, as Amazon's own tools know it
_ENDPOINT = "AWS_ENDPOINT_URL"
_VIRTUAL = "AWS_VIRTUAL_HOSTED_STYLE_REQUEST"
_PEM = "-----BEGIN CERTIFICATE-----"

# What is in an answer of the store or of the connection to it: what it means, and what to do about it.
_MEANINGS: tuple[tuple[str, str, str], ...] = (
    ("InvalidAccessKeyId", "the store does not know the access key", "check AWS_ACCESS_KEY_ID"),
    ("SignatureDoesNotMatch", "the secret key does not fit the access key", "check AWS_SECRET_ACCESS_KEY"),
    ("ExpiredToken", "the credentials have expired", "renew AWS_SESSION_TOKEN and its keys"),
    ("InvalidToken", "the store refuses the session token", "check AWS_SESSION_TOKEN"),
    ("NoSuchBucket", "there is no such bucket", "create it, or correct the storage URL"),
    ("AccessDenied", "the account may not do this", "check the bucket's policy, or the role of the account"),
    ("UnknownIssuer", "the store's certificate is of an unknown authority", f"name its authority in {AUTHORITY}"),
    ("NotValidForName", "the store's certificate is for another name", "check the host in AWS_ENDPOINT_URL"),
    ("certificate", "the store's certificate is not accepted", f"name its authority in {AUTHORITY}"),
    ("169.254.169.254", "no credentials were found", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role"),
    ("dns error", "the store's name is not known", "check AWS_ENDPOINT_URL and the region"),
)


@dataclass(frozen=True, slots=True)
class Access:
    """One bucket as the environment says it is reached."""

    endpoint: str
    """URL, with the bucket's name in front of the host in virtual-host style; empty for Amazon's own."""
    plain: bool
    """Without TLS."""
    authority: str
    """PEM text, empty for the system's authorities."""


def access(bucket: str, environment: Mapping[str, str]) -> Access:
    """How ``bucket`` is reached. ``StorageFailed`` where the authority's file cannot be read or does not contain a certificate."""
    endpoint = environment.get(_ENDPOINT, "").rstrip("/")
    if endpoint and _true(environment.get(_VIRTUAL, "")):
        parts = urlsplit(endpoint)
        if not parts.netloc.startswith(f"{bucket}."):
            endpoint = parts._replace(netloc=f"{bucket}.{parts.netloc}").geturl()
    return Access(endpoint, endpoint.startswith("http://"), _authority(environment))


def meaning(text: str) -> tuple[str, str] | None:
    """What an error's text says to a person, and what to do; None where it says nothing that is known."""
    return next(((said, hint) for sign, said, hint in _MEANINGS if sign in text), None)


def _authority(environment: Mapping[str, str]) -> str:
    name = AUTHORITY if environment.get(AUTHORITY) else _BUNDLE
    value = environment.get(name, "")
    if not value:
        return ""
    try:
        text = value if _PEM in value else Path(value).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise StorageFailed(f"{name}: {value} cannot be read: {error}", field=name) from error
    if _PEM not in text:
        raise StorageFailed(
            f"{name}: {value} does not contain a certificate",
            field=name,
            expected=f"PEM text with {_PEM}",
            got=text[:40],
        )
    return text


def _true(value: str) -> bool:
    return value.lower() in ("1", "true", "yes", "on", "y")
