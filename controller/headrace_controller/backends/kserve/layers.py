"""Layers that build Jobs have made: looked at, and kept under a key that nobody but this content has.

A source distribution runs code of its own while it is installed, so a Job may say of its lock and archive what it likes. The key of
an environment is therefore made of both: a layer can replace no other one, and the archive's bytes are read before it is kept.
"""

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from headrace_functions.building import job_contract
from headrace_functions.errors import Conflict, InvalidInput, NotFound, NotReady, TooLarge
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents


def keep(documents: Documents, digest: str, image_lock: str, requirements: Sequence[str], made: Sequence[str]) -> None:
    """Make what a Job handed over the layer of a list of requirements; ``made`` are the keys of its result and of its archive.

    ``NotReady`` where the Job left nothing, ``InvalidInput`` where what it left is not what it says, ``TooLarge``.
    """
    objects = documents.objects
    try:
        lock, sha256, size, packages = _checked(objects.get(made[0]))
        environment = hashlib.sha256(f"{image_lock}\0{lock}\0{sha256}".encode()).hexdigest()[:20]
        if not objects.exists(layout.layer_document(environment)):
            _keep_archive(documents, made[1], sha256, layout.layer(environment))
            _create(documents, layout.environment(environment) + "lock.txt", lock.encode())
            described = {"schema": 1, "sha256": sha256, "size": size, "packages": packages}
            _create(documents, layout.layer_document(environment), orjson.dumps(described))
    except NotFound as error:
        raise NotReady("the Job that builds the layer was removed before it finished; apply the model again") from error
    answer = {"schema": 1, "environment": environment, "layer": sha256, "requirements": list(requirements)}
    _create(documents, layout.resolution(digest), orjson.dumps(answer))


def _keep_archive(documents: Documents, key: str, sha256: str, target: str) -> None:
    with tempfile.TemporaryDirectory(prefix="layer-") as folder:
        archive = Path(folder) / "layer.tar.zst"
        found = documents.objects.download(key, archive)
        if found != sha256:
            raise InvalidInput(
                "the layer's SHA-256 differs from the one that its Job reported",
                field="requirements",
                expected=sha256,
                got=found,
                hint="apply the model again; if it happens again, check the source distributions among the requirements",
            )
        documents.objects.put(target, archive)


def _checked(content: bytes) -> tuple[str, str, int, str]:
    """Lock, digest, size and packages of a result; the Job's word for them, but of the right kinds and of bounded length."""
    if len(content) > 3 * job_contract.MAX_LOCK:
        raise TooLarge(
            "requirements: the result of the Job that builds the layer is too large",
            field="requirements",
            expected=f"at most {3 * job_contract.MAX_LOCK} bytes",
            got=f"{len(content)} bytes",
        )
    try:
        result: dict[str, Any] = orjson.loads(content)
        lock, sha256, size, packages = (result[m] for m in ("lock", "sha256", "size", "packages"))
        whole = (
            isinstance(lock, str)
            and isinstance(packages, str)
            and isinstance(size, int)
            and len(bytes.fromhex(sha256)) == 32
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise InvalidInput(
            f"requirements: the layer's description cannot be read: {error}", field="requirements"
        ) from error
    if not whole:
        raise InvalidInput("requirements: the layer's description has values of the wrong types", field="requirements")
    return lock, sha256, size, packages


def _create(documents: Documents, key: str, content: bytes) -> None:
    try:
        documents.objects.create(key, content)
    except Conflict:
        return  # another build made the same meanwhile
