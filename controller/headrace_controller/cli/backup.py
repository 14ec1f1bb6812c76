"""``headrace backup`` and ``headrace restore``: they work on stores, whether a platform is up or not."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from headrace_controller.access.trust import AUDIT_HEAD, remember_head
from headrace_controller.backups import restoring, taking, verifying
from headrace_controller.backups.cut import PARTS, left_out
from headrace_controller.backups.manifest import read_manifest
from headrace_controller.cli.groups import Commands
from headrace_controller.cli.output import json_option, print_json, progress
from headrace_controller.embedded.home import holder_of, storage_of
from headrace_controller.settings import Settings, default_home
from headrace_functions.errors import Conflict, InvalidInput
from headrace_functions.storage.objects import ObjectStore

_home = click.option(
    "--home", type=click.Path(path_type=Path), help="Home of the platform [HEADRACE_HOME, ~/.headrace]."
)
_from = click.option(
    "--from", "place", required=True, metavar="PLACE", help="The backup: a directory or s3://bucket/prefix."
)


@click.group(cls=Commands, invoke_without_command=True)
@click.option("--to", "place", default="", metavar="PLACE", help="An empty directory, or s3://bucket/prefix.")
@_home
@click.option("--storage", default="", help="The store to back up [the one that the platform of the home uses].")
@click.option(
    "--without",
    multiple=True,
    type=click.Choice(list(PARTS)),
    help="Leave out a part. May be repeated. Without logs there are no metrics and no health either, without metrics no health.",
)
@click.option(
    "--with-hash-key",
    is_flag=True,
    help="Include the home's hash key: anyone who has it and the logs can find hashed values by trying.",
)
@json_option
@click.pass_context
def backup(
    context: click.Context,
    *,
    place: str,
    home: Path | None,
    storage: str,
    without: tuple[str, ...],
    with_hash_key: bool,
    as_json: bool,
) -> None:
    """Copy a consistent snapshot of the store to PLACE, with the SHA-256 of every object. The platform may be up.

    The same command completes an interrupted run. The store is read directly, so this needs access to the store,
    not an API key of the platform.
    """
    if context.invoked_subcommand is not None:
        if place:
            raise InvalidInput(
                "--to cannot be combined with a subcommand", field="to", hint="headrace backup --to PLACE"
            )
        return
    if not place:
        raise InvalidInput("--to is required: the place for the backup", field="to", hint="headrace backup --to PLACE")
    settings = _settings(home, storage)
    order = taking.Order(
        left_out(without),
        settings.home if with_hash_key else None,
        partial(remember_head, settings.home / AUDIT_HEAD) if settings.home.is_dir() else lambda _head: None,
    )
    _warn_of_spool(settings)
    taken = taking.take(ObjectStore(storage_of(settings)), _private(place), order)
    said = _facts(taken.manifest, taken.digest) | {"to": place, "copied": taken.copied}
    if as_json:
        print_json(said)
        return
    click.echo(f"{said['objects']} objects, {said['bytes']} bytes as of {said['cut']} in {place}")
    progress(f"manifest {taken.digest}: keep it elsewhere, 'headrace backup verify' prints it again")


@backup.command("verify")
@_from
@json_option
def verify(place: str, *, as_json: bool) -> None:
    """Read every object of a backup and its audit. Exit code 1 if one is missing or altered."""
    found = verifying.verify(ObjectStore(place))
    if as_json:
        print_json(_facts(found.manifest, found.digest) | {"faults": found.faults})
    if found.faults:
        more = f" and {len(found.faults) - 5} more" if len(found.faults) > 5 else ""
        raise Conflict(f"the backup is not intact: {'; '.join(found.faults[:5])}{more}", hint="use another backup")
    if not as_json:
        facts = _facts(found.manifest, found.digest)
        click.echo(f"{facts['objects']} objects, {facts['bytes']} bytes as of {facts['cut']}, all intact")
        progress(f"manifest {found.digest}")


@click.command()
@_from
@_home
@click.option("--storage", default="", help="The store to restore to, which must be empty [<home>/data].")
@json_option
def restore(place: str, home: Path | None, storage: str, *, as_json: bool) -> None:
    """Restore a backup to an empty store of any kind; then start a platform on it.

    Every object is checked before it is written. No platform starts on the store until all objects are there; the
    same command completes an interrupted run.
    """
    settings = _settings(home, storage)
    holder = holder_of(settings)
    if holder is not None:
        raise Conflict(
            f"a platform is running on {settings.home}, at {holder.url}",
            field="home",
            hint="stop it first: headrace down",
        )
    source, target = ObjectStore(place), ObjectStore(settings.storage_url)
    manifest, _ = read_manifest(source)
    with_key = restoring.put_hash_keys(source, manifest, settings.home)
    done = restoring.restore(source, target)
    if settings.home.is_dir():
        (settings.home / AUDIT_HEAD).write_text(str(done.head))
    if as_json:
        print_json({"from": place, "storage": target.url, "objects": len(manifest.items), "cut": manifest.cut})
        return
    click.echo(f"{len(manifest.items)} objects as of {manifest.cut} in {target.url}; start it with: headrace up")
    if not with_key and not settings.hash_key.is_file():
        progress(f"the backup has no hash key: if fields are hashed, put your copy to {settings.hash_key} first")


def _settings(home: Path | None, storage: str) -> Settings:
    return Settings((home or default_home()).expanduser().resolve(), storage=storage)


def _private(place: str) -> ObjectStore:
    """The place of a backup; a directory that is made for it is for its owner alone."""
    backup = ObjectStore(place)
    folder = backup.directory
    if folder is not None and not any(folder.iterdir()):
        folder.chmod(0o700)
    return backup


def _warn_of_spool(settings: Settings) -> None:
    waiting = sum(1 for _ in settings.spool.glob("*/*/*.seg"))
    if waiting:
        progress(f"note: {waiting} files of records wait in {settings.spool} and are not in the store yet")


def _facts(manifest: Any, digest: str) -> dict[str, Any]:
    return {
        "cut": manifest.cut,
        "source": manifest.source,
        "objects": len(manifest.items),
        "bytes": manifest.size,
        "without": list(manifest.without),
        "hash_key": bool(manifest.hash_keys),
        "audit_head": manifest.audit_head,
        "manifest": digest,
    }
