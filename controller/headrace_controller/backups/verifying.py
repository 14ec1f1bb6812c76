"""Reading a backup whole: is everything there, byte for byte, and is its audit unbroken?"""

from dataclasses import dataclass, field
from functools import partial

from headrace_controller.backups.copying import digest_of, each
from headrace_controller.backups.manifest import CONTENT, Item, Manifest, read_manifest
from headrace_functions.access.audit import AuditChain
from headrace_functions.errors import NotFound
from headrace_functions.storage.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class Verdict:
    manifest: Manifest
    digest: str
    """SHA-256 of the manifest's bytes."""
    faults: list[str] = field(default_factory=list)
    """What is wrong, a sentence each; empty for a backup that is whole."""


def verify(backup: ObjectStore) -> Verdict:
    """Read every object. Raises ``NotFound`` or ``Conflict`` where there is no finished backup, ``StorageFailed`` where it cannot be read."""
    manifest, digest = read_manifest(backup)
    every = [(CONTENT + item.key, item) for item in manifest.items]
    every += [(item.key, item) for item in manifest.hash_keys]
    faults = sorted(fault for fault in each(partial(_fault, backup), every) if fault)
    if not faults:
        chain = AuditChain(ObjectStore(f"{backup.url.rstrip('/')}/{CONTENT.rstrip('/')}")).verify()
        faults += [f"the audit is not intact: {chain.fault}"] if chain.fault else []
    return Verdict(manifest, digest, faults)


def _fault(backup: ObjectStore, entry: tuple[str, Item]) -> str:
    key, item = entry
    try:
        found = digest_of(backup, key, item.size)
    except NotFound:
        return f"{key} does not exist"
    return f"{key} was altered: its SHA-256 is {found}, not {item.sha256}" if found != item.sha256 else ""
