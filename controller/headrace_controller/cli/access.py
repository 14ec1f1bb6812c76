"""``headrace access``"""

import os
from pathlib import Path

import click

from headrace_controller import clock
from headrace_controller.access.control import AccessControl
from headrace_controller.cli.connection import connected
from headrace_controller.cli.groups import Commands
from headrace_controller.cli.output import confirm, json_option, print_facts, print_json, print_table, progress
from headrace_controller.client import Client
from headrace_controller.settings import Settings, default_home
from headrace_functions.access.audit import AuditChain, Entry
from headrace_functions.access.roles import ROLES
from headrace_functions.access.source import PolicySource
from headrace_functions.startup import RELEASE_KEY
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.storage.signed_documents import DocumentKey

_KEY_COLUMNS = ["name", "owner", "roles", "state", "expires", "last_used"]
_GRANT_COLUMNS = ["name", "subjects", "role", "names"]


@click.group(cls=Commands)
def access() -> None:
    """Manage access: API keys, grants, blocks."""


@access.command("whoami")
@json_option
@connected
def who_am_i(client: Client, as_json: bool) -> None:
    """Show your identity on the platform, and your roles."""
    found = client.who_am_i()
    if as_json:
        print_json(found)
    elif not found.authentication:
        click.echo("the platform does not use authentication: every caller may do everything")
    else:
        print_facts(found.model_dump(exclude={"authentication"}))


@access.group("key", cls=Commands)
def key() -> None:
    """Create, list and revoke API keys."""


@key.command("create")
@click.argument("name")
@click.option(
    "--role",
    "roles",
    multiple=True,
    required=True,
    help=f"ROLE or ROLE:PATTERN, e.g. caller:churn-*. Roles: {', '.join(ROLES)}. Can be repeated.",
)
@click.option("--owner", default="", help="Owner of the key, user:NAME. Default: you.")
@click.option("--expires", help="Duration after which the key expires, e.g. 90d. Default: never.")
@json_option
@connected
def create_key(
    client: Client, name: str, roles: tuple[str, ...], owner: str, expires: str | None, as_json: bool
) -> None:
    """Create an API key and print it. It is printed once: the platform keeps only its SHA-256."""
    made = client.create_key(name, list(roles), owner=owner, expires=expires)
    if as_json:
        print_json(made)
        return
    progress(f"key {made.name} of {made.owner}: {', '.join(made.roles)}; it is shown this once:")
    click.echo(made.key)


@key.command("list")
@json_option
@connected
def list_keys(client: Client, as_json: bool) -> None:
    """List API keys, including revoked ones."""
    found = [k.model_dump() for k in client.api_keys()]
    print_json(found) if as_json else print_table(found, _KEY_COLUMNS, empty="no key")


@key.command("revoke")
@click.argument("name")
@connected
def revoke_key(client: Client, name: str) -> None:
    """Revoke an API key permanently. It is refused everywhere within five seconds."""
    client.revoke_key(name)
    click.echo(f"revoked {name}")


@access.group("grant", cls=Commands)
def grant() -> None:
    """List and delete grants. Create them with definitions: headrace apply, kind Grant."""


@grant.command("list")
@json_option
@connected
def list_grants(client: Client, as_json: bool) -> None:
    """List grants."""
    found = [g.model_dump() for g in client.grants()]
    print_json(found) if as_json else print_table(found, _GRANT_COLUMNS, empty="no grant")


@grant.command("delete")
@click.argument("name")
@connected
def delete_grant(client: Client, name: str) -> None:
    """Delete a grant."""
    client.delete_grant(name)
    click.echo(f"deleted {name}")


@access.command("block")
@click.argument("subject")
@connected
def block(client: Client, subject: str) -> None:
    """Refuse SUBJECT (user:NAME, group:NAME, key:NAME or machine:NAME) and the keys it owns, and end its sessions."""
    client.block(subject)
    click.echo(f"{subject} is blocked")


@access.command("unblock")
@click.argument("subject")
@connected
def unblock(client: Client, subject: str) -> None:
    """Unblock SUBJECT, so that its credentials are accepted again."""
    client.unblock(subject)
    click.echo(f"{subject} is no longer blocked")


@access.command("blocked")
@json_option
@connected
def list_blocked(client: Client, as_json: bool) -> None:
    """List blocked subjects."""
    found = client.blocked()
    print_json(found) if as_json else print_table(
        [{"subject": s} for s in found], ["subject"], empty="nobody is blocked"
    )


@access.command("rotate-secret")
@click.option("--at-once", is_flag=True, help="Refuse the old secret immediately, even from running analyses.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@connected
def rotate_secret(client: Client, *, at_once: bool, yes: bool, as_json: bool) -> None:
    """Replace the secret that authenticates the platform's processes to each other.

    Functions are restarted one by one and no request is lost. API keys and sessions do not depend on it.
    """
    confirm("Replace the platform's secret and restart its functions?", yes=yes)
    found = client.rotate_secret(at_once=at_once)
    if as_json:
        print_json(found)
        return
    click.echo("the platform has a new secret; functions restart with it")
    if found.old_taken_seconds:
        progress(f"analyses that are running may show the old one for {found.old_taken_seconds:.0f} s")


@access.command("rotate-hash-key")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@connected
def rotate_hash_key(client: Client, *, yes: bool, as_json: bool) -> None:
    """Hash sensitive fields with a new key from now on.

    Existing hashes in logs and training data are kept: the same value has a different hash before and after. The
    old key is kept beside the new one (hash-key.retired of the home; in a cluster, the Secret headrace-platform),
    so that headrace erase finds a value by its old hashes. Back up both.
    """
    confirm("Hash by another key? Values before and after can no longer be compared.", yes=yes)
    found = client.rotate_hash_key()
    if as_json:
        print_json(found)
        return
    click.echo("fields are hashed with a new key; functions restart with it")
    for version in found.versions:
        progress(f"{version} has hashed fields: apply it again, so that its training data is hashed by the new key too")


@access.command("recover")
@click.option("--home", type=click.Path(path_type=Path), help="Home of the platform [HEADRACE_HOME, ~/.headrace].")
@click.option("--storage", default="", help="Where the platform stores its definitions, as given to headrace up.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def recover(home: Path | None, storage: str, *, yes: bool, as_json: bool) -> None:
    """Create an administrator's key by writing to the store directly.

    Use this if the last administrator's key is lost and you can write to the store, with or without the platform
    running. A running platform accepts the key within seconds. A platform in a cluster accepts it only if it is
    signed: set HEADRACE_RELEASE_KEY to the release-key of the Secret headrace-platform.
    """
    confirm("Create a key that may do everything?", yes=yes)
    settings = Settings((home or default_home()).expanduser().resolve(), storage=storage)
    signing = os.environ.get(RELEASE_KEY, "")
    documents = Documents(ObjectStore(settings.storage_url), DocumentKey(signing) if signing else None)
    made = AccessControl(documents, PolicySource(documents)).admin_key()
    what = Entry(clock.now(), "owner of the store", "recover", f"key:{made.key.name}", "done", 201)
    AuditChain(documents.objects).write(what)
    if as_json:
        print_json({"name": made.key.name, "key": made.text})
        return
    progress(f"key {made.key.name} with the role admin; it is shown this once:")
    click.echo(made.text)
