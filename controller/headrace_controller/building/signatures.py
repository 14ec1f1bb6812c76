"""Payloads that somebody has signed, by the model signatures of OpenSSF: a file ``model.sig`` covers every file of its own folder and below.

Where a platform has trusted keys, a build goes on only if each file of the payload is covered by a signature of one of them, and is what was signed. The library is asked
where there are keys alone (``pip install 'headrace[signing]'``). What is not in the payload is not covered: the definition, packages, images.
"""

import importlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headrace_controller.child_processes import Log
from headrace_functions.errors import InvalidInput

NAME = "model.sig"
KEYS = (".pem", ".pub")
_CHANGED = "Signature mismatch"
"""How the library begins where the signature is the key's and the files are others."""
_FILE = re.compile(r"(?:mismatch for|files (?:found )?in model [^:]*:)[^\w./-]*([\w./-]+)")
_HOW = "model_signing sign key FOLDER --private_key KEY --signature FOLDER/model.sig, and name FOLDER as the payload"


def trusted_keys(folder: Path) -> list[Path]:
    """The public keys (PEM) in a folder; ``InvalidInput`` where there is none or the library is missing, so that nothing starts unchecked."""
    found = sorted(p for p in folder.iterdir() if p.suffix in KEYS and p.is_file()) if folder.is_dir() else []
    if not found:
        raise InvalidInput(
            f"trusted-keys: {folder} has no public key",
            field="trusted-keys",
            expected=f"a folder with PEM files that end in {' or '.join(KEYS)}",
        )
    _library()
    return found


def check(payload: Path, keys: Sequence[Path], log: Log) -> None:
    """``InvalidInput`` naming the first file that is not covered, or that is not what was signed."""
    signatures = sorted(payload.rglob(NAME))
    for signature in signatures:
        _verify(payload, signature, keys, log)
    covered = [s.parent for s in signatures]
    for file in sorted(p for p in payload.rglob("*") if p.is_file()):
        if not any(file.is_relative_to(folder) for folder in covered):
            raise InvalidInput(
                f"payload: {file.relative_to(payload)} is not signed, and this platform accepts only signed payloads",
                field="payload",
                expected=f"a file {NAME} in its folder or a parent folder, by one of {', '.join(k.name for k in keys)}",
                hint=_HOW,
            )


def _verify(payload: Path, signature: Path, keys: Sequence[Path], log: Log) -> None:
    verifying = _library()
    said = ""
    for key in keys:
        try:
            config = verifying.Config().use_elliptic_key_verifier(public_key=key)
            config.verify(signature.parent, signature)
        except Exception as error:  # noqa: BLE001 - the library has no error of its own: whatever it is, this key has not signed this
            said = str(error) or type(error).__name__
            if said.startswith(_CHANGED):
                break
            continue
        log(f"signature: {signature.relative_to(payload)} is of {key.name}")
        return
    place, file = signature.relative_to(payload), _FILE.search(said)
    other = f"payload: {file[1] if file else 'a file'} is not what {place} was made for"
    raise InvalidInput(
        other if said.startswith(_CHANGED) else f"payload: {place} is not a signature by any of the trusted keys",
        field="payload",
        expected=f"a signature by one of {', '.join(k.name for k in keys)} of the current files",
        got=said[:300],
        hint=f"sign them again: {_HOW}",
    )


def _library() -> Any:
    try:
        # Imported here alone and by name: an extra, which takes a second to import.
        return importlib.import_module("model_signing.verifying")
    except ModuleNotFoundError as error:
        raise InvalidInput(
            "trusted-keys: checking signatures needs a library that is not installed",
            field="trusted-keys",
            hint="pip install 'headrace[signing]'",
        ) from error
