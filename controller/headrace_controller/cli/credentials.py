"""What ``headrace login`` keeps, an API key or a login at a provider for each platform's URL: in the system's keyring where there is one, else in a file of the owner's.

``HEADRACE_API_KEY`` wins over both. The file is ``$XDG_CONFIG_HOME/headrace/credentials.json`` (``~/.config/…``), mode 0600.
"""

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import orjson

from headrace_controller.cli.device_login import DeviceLogin, Login
from headrace_controller.client_settings import KEY
from headrace_functions.errors import InvalidInput

SERVICE = "headrace"


def shown_to(url: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """What to show to a platform; None where nothing is kept. A token that has ended is replaced by the next one, which is kept."""
    kept = kept_for(url, environment)
    login = Login.from_text(kept) if kept else None
    if login is None:
        return kept
    with httpx.Client() as http:
        fresh = DeviceLogin(http).current(login)
    if fresh != login:
        keep(url, fresh.to_text(), environment)
    return fresh.id_token


def kept_for(url: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """The key or login that is kept for a platform; None for none."""
    given = environment.get(KEY)
    if given:
        return given.strip()
    place = url.rstrip("/")
    kept = _read(file_of(environment)).get(place)
    if kept == {"keyring": True}:
        ring = _keyring()
        found = ring.get_password(SERVICE, place) if ring is not None else None
        return str(found) if found else None
    return kept.get("key") if isinstance(kept, dict) else None


def keep(url: str, key: str, environment: Mapping[str, str] = os.environ) -> str:
    """Keep a key for a platform; where it is kept, for people."""
    place, file = url.rstrip("/"), file_of(environment)
    ring = _keyring()
    if ring is not None:
        ring.set_password(SERVICE, place, key)
        _write(file, {**_read(file), place: {"keyring": True}})
        return "the system's keyring"
    _write(file, {**_read(file), place: {"key": key}})
    return str(file)


def forget(url: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Forget the key of a platform; whether there was one."""
    place, file = url.rstrip("/"), file_of(environment)
    kept = _read(file)
    found = kept.pop(place, None)
    if found is None:
        return False
    ring = _keyring()
    if found == {"keyring": True} and ring is not None:
        ring.delete_password(SERVICE, place)
    _write(file, kept)
    return True


def file_of(environment: Mapping[str, str] = os.environ) -> Path:
    base = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME") or "~").expanduser() / ".config")
    return Path(base) / "headrace" / "credentials.json"


def _keyring() -> Any:
    """The ``keyring`` library, where it is installed (``pip install keyring``) and the system has one that is open; else None."""
    try:
        ring = importlib.import_module("keyring")
        return ring if float(ring.get_keyring().priority) >= 1 else None
    except (ImportError, RuntimeError):
        return None


def _read(file: Path) -> dict[str, Any]:
    try:
        found = orjson.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, orjson.JSONDecodeError) as error:
        raise InvalidInput(
            f"{file} cannot be read: {error}", field="credentials", hint="remove it and log in again"
        ) from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{file} does not contain any keys", field="credentials", hint="remove it and log in again")
    return found


def _write(file: Path, kept: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    # Made for the owner alone from the start: a key must not be readable for a moment either.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as sink:
        sink.write(orjson.dumps(kept, option=orjson.OPT_INDENT_2))
    temporary.replace(file)
