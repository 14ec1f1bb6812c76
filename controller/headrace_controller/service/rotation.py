"""Other keys in the place of those that a platform has, while it serves.

Functions are told their keys when they start. So each one is started anew: a request that is open is answered by the function that has it,
the next one by one that knows the new key, and none is lost. A platform that is killed in between starts with the new key, and ends
functions of an earlier one that know the old. In a cluster only the key of hashes is replaced here, and Knative starts the functions.
"""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from headrace_controller.catalog import noting
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.settings import PURPOSE_TOKEN, Settings
from headrace_functions.errors import InvalidInput
from headrace_functions.platform_secret import OLD_SECONDS, PlatformSecret
from headrace_functions.protection import is_hashed


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Where a home keeps its keys."""

    purpose: Path
    hash_key: Path
    retired: Path
    """Earlier hash keys, a line each: hashes in old rows are found by them when values are erased."""

    def write_hash_keys(self, key: str, retired: Sequence[str]) -> None:
        """Earlier ones first: what was ever hashed by a key can be found as long as the home is."""
        if retired:
            _replace(self.retired, "\n".join(retired) + "\n")
        _replace(self.hash_key, key)


class Renew(Protocol):
    def __call__(self, secret: str, *, at_once: bool = False) -> None:
        """``secret`` is the platform's from now on; it was proved by the one before."""


class KeptElsewhere(Protocol):
    """Where keys of hashes outlast the home; ``incluster.platform_keys.HashKeys``."""

    def keep(self, key: str, retired: Sequence[str]) -> None:
        """Keep the key and those before it, before anything hashes by it."""

    def renew(self) -> None:
        """Start the functions that hash anew; returns at once."""


class Rotation:
    def __init__(self, catalog: Catalog, secret: PlatformSecret, files: KeyFiles) -> None:
        self._catalog = catalog
        self._secret = secret
        self._files = files
        self.renew: Renew | None = None
        """Tells the gateway that keys have changed; None where functions run elsewhere."""
        self.elsewhere: KeptElsewhere | None = None
        """None where the home alone has the keys."""

    def rotate_secret(self, *, at_once: bool = False) -> float:
        """Another secret of the platform's processes; the seconds for which the old one is still taken.

        ``at_once`` takes it no longer: an analysis that is on and asks models is then refused, or logged as a caller's traffic.
        """
        if self.renew is None:
            raise InvalidInput(
                "keys: the secret of a platform in a cluster cannot be replaced with this command",
                field="keys",
                hint="change it in the Secret headrace-platform; see docs/operate-a-cluster.md, The platform's keys",
            )
        value = secrets.token_hex(16)
        _replace(self._files.purpose, value)
        self._secret.rotate(value, at_once=at_once)
        os.environ[PURPOSE_TOKEN] = value  # for analyses that start from now on
        self.renew(value, at_once=at_once)
        noting.note("platform secret", "secret", None, {"at_once": at_once})
        return 0.0 if at_once else OLD_SECONDS

    def rotate_hash_key(self) -> list[str]:
        """Another key for hashes of sensitive fields; the versions that have such fields."""
        if self.renew is None and self.elsewhere is None:
            raise InvalidInput("keys: this platform has no hash key", field="keys")
        old = self._files.hash_key.read_text().strip() if self._files.hash_key.is_file() else ""
        value, retired = secrets.token_hex(32), [*retired_keys(self._files.retired), *filter(None, [old])]
        if self.elsewhere is not None:
            self.elsewhere.keep(value, retired)
        self._files.write_hash_keys(value, retired)
        if self.elsewhere is not None:
            self.elsewhere.renew()
        if self.renew is not None:
            self.renew(self._secret.value)
        noting.note("hash key", "hash-key", None, {})
        return [str(v.id) for v in self._catalog.versions() if v.version is not None and is_hashed(v.version.signature)]


def key_files(settings: Settings) -> KeyFiles:
    """Where the home of these settings keeps them."""
    return KeyFiles(settings.purpose, settings.hash_key, settings.retired_hash_keys)


def retired_keys(file: Path) -> list[str]:
    """Earlier hash keys, hexadecimal, the oldest first."""
    return file.read_text().split() if file.is_file() else []


def _replace(file: Path, text: str) -> None:
    """A reader sees the old or the new key, and only the owner of the home sees any."""
    temporary = file.with_name(f".{file.name}.new")
    temporary.touch(mode=0o600)
    temporary.write_text(text)
    temporary.replace(file)
