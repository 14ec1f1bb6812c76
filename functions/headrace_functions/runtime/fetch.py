"""A function server that starts alone in a pod: version and artifact come from object storage, named by digest.

On one machine the launcher puts files in place and writes the settings; in a cluster nobody does, so the container's
environment says where they are. The pod has no credentials of the store but a token for its own version (``prefetch.open_store``). ``backends/kserve/manifests.py`` of the controller writes these variables.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import orjson

from headrace_functions.errors import Malformed
from headrace_functions.names import VersionId
from headrace_functions.platform_secret import proof_from
from headrace_functions.runtime import prefetch
from headrace_functions.runtime.settings import FunctionSettings
from headrace_functions.startup import POD, WORK, required
from headrace_functions.storage import layout
from headrace_functions.storage.proxied import TOKEN
from headrace_functions.version import Version

VERSION = prefetch.VERSION
ARTIFACT = "HEADRACE_ARTIFACT"
"""SHA-256 of the artifact archive, hexadecimal. What is fetched must have it."""
HASH_KEY = "HEADRACE_HASH_KEY"
"""By which values of sensitive fields are hashed, hexadecimal; set where the version hashes any."""
LISTEN = "HEADRACE_LISTEN"
"""Where to serve, as ``FunctionSettings.listen``."""


def settings_from(
    environment: Mapping[str, str],
    store: prefetch.Store | None = None,
    *,
    meanwhile: Callable[[Version], object] | None = None,
) -> FunctionSettings:
    """Fetch what the environment names and say where it is now.

    ``store`` is the one that the environment names, if it is open already. ``meanwhile`` is called with the version while its
    artifact may still be on its way. ``InvalidInput`` for a variable that is missing, ``NotFound`` and ``StorageFailed`` of the store, ``Malformed`` where what
    came is not what was named.
    """
    # Imported here alone: a function's environment on one machine has no client for object storage, its image has.
    from headrace_functions.storage import unpacking  # noqa: PLC0415

    version_id = VersionId.parse(required(environment, VERSION, hint=prefetch.SETTER), field=VERSION)
    digest = required(environment, ARTIFACT, hint=prefetch.SETTER)
    work = Path(required(environment, WORK, hint=prefetch.SETTER))
    settings = FunctionSettings(
        version=work / "version.json",
        artifact=work / prefetch.FOLDER,
        listen=required(environment, LISTEN, hint=prefetch.SETTER),
        replica=environment.get(POD, ""),
        spool=work / "spool" / version_id.service,
    )
    settings.address()
    store = store or prefetch.begin(environment)
    document = checked_document(store, layout.version_document(version_id), digest)
    if meanwhile is not None:
        meanwhile(Version.from_document(orjson.loads(document)))
    if not settings.artifact.is_dir():  # a container that starts anew in its pod finds it there
        unpacking.unpack(checked_archive(store, layout.artifact(version_id), digest), settings.artifact)
    settings.version.write_bytes(document)
    token = environment.get(TOKEN, "")
    key = environment.get(HASH_KEY, "")
    return replace(settings, secret=proof_from(token) if token else "", hash_key=key)


def checked_document(store: prefetch.Store, key: str, digest: str) -> bytes:
    """``version.json``, which must speak of the artifact with this digest."""
    content = store.get(key)
    try:
        named = Version.from_document(orjson.loads(content)).artifact
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise Malformed(f"{key} is not a version: {error}", field="version") from error
    if named != digest:
        raise Malformed(
            f"{key} refers to a different artifact than the one this pod was created for",
            field=ARTIFACT,
            expected=digest,
            got=named,
            hint="check that HEADRACE_STORAGE names the store of the platform that created this pod",
        )
    return content


def checked_archive(store: prefetch.Store, key: str, digest: str) -> bytes:
    """The artifact archive, which must have this SHA-256."""
    content = store.get(key)
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise Malformed(
            f"{key} differs from what was released: its SHA-256 does not match",
            field="artifact",
            expected=digest,
            got=found,
            hint="the object was damaged or replaced: apply the model again",
        )
    return content
