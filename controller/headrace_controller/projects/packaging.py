"""A model definition and the files it names, made ready to be sent: payload packed, requirements read, Git asked.

The user's side of ``apply``: it runs where the files are. The platform checks everything again.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from headrace_controller import archive
from headrace_controller.definitions import ModelDefinition, Source
from headrace_controller.environments import requirements
from headrace_controller.projects import payload_sources
from headrace_functions.errors import InvalidInput, NotFound

GIT_TIMEOUT = 10.0  # seconds


@dataclass(frozen=True, slots=True)
class Package:
    """What is sent: a definition whose requirements are a list, and files."""

    definition: ModelDefinition
    payload: Path
    training: Path | None
    sample: Path | None
    reference: Path | None = None


def package(
    definition: ModelDefinition, source: Source, folder: Path, log: payload_sources.Log = lambda _text: None
) -> Package:
    """Pack the payload into ``folder``. Relative paths start from the definition's own folder; URLs are fetched.

    Raises ``NotFound`` for a file that is not there and ``InvalidInput`` for one that cannot be sent.
    """
    payload = folder / "payload.tar.zst"
    entries, sources = _local_entries(definition.payload, folder, log)
    archive.pack(entries, source.folder, payload)
    given = {
        "requirements": _requirements(definition, source),
        "metadata": {**git_metadata(source.folder), **sources, **definition.metadata},
    }
    return Package(
        definition.model_copy(update=given),
        payload,
        _file(definition.training_data, source, "training-data"),
        _file(definition.sample, source, "sample"),
        _file(definition.reference_data, source, "reference-data"),
    )


def _local_entries(payload: list[str], folder: Path, log: payload_sources.Log) -> tuple[list[str], dict[str, str]]:
    """The payload with its URLs fetched; and where they are from, as metadata."""
    entries, sources = [], {}
    for number, entry in enumerate(payload, 1):
        if not payload_sources.is_url(entry):
            entries.append(entry)
            continue
        into = folder / f"fetched-{number}"
        into.mkdir()
        found = payload_sources.fetch(entry, into, log)
        entries.append(str(found.path.resolve()))
        sources[f"source.{number}.url"] = found.url
        if found.sha256:
            sources[f"source.{number}.sha256"] = found.sha256
    return entries, sources


def git_metadata(folder: Path) -> dict[str, str]:
    """``git.commit``, ``git.branch``, ``git.author`` and ``git.dirty`` of a folder; empty outside a repository or without Git."""
    commit = _git(folder, "log", "-1", "--format=%H%n%an <%ae>")
    if not commit:
        return {}
    digest, _, author = commit.partition("\n")
    branch = _git(folder, "rev-parse", "--abbrev-ref", "HEAD") or ""
    dirty = bool(_git(folder, "status", "--porcelain", "--", "."))
    return {"git.commit": digest, "git.branch": branch, "git.author": author, "git.dirty": str(dirty).lower()}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=GIT_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _requirements(definition: ModelDefinition, source: Source) -> list[str] | None:
    if isinstance(definition.requirements, list):
        return requirements.check(definition.requirements)
    packages = definition.installed().packages if definition.requirements is None else ()
    listed = [line for file in definition.requirement_files() for line in _listed(file, source)]
    return requirements.check([*packages, *listed]) or None if definition.requirements is None else listed


def _listed(name: str, source: Source) -> list[str]:
    file = source.folder / name
    if not file.is_file():
        raise NotFound(
            f"{source.place(('requirements',))}requirements: {name} does not exist",
            field="requirements",
            hint="correct the path, or list the packages",
        )
    try:
        return requirements.parse(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidInput(f"requirements: {name} is not a text file", field="requirements") from error


def _file(name: str | None, source: Source, key: str) -> Path | None:
    if name is None:
        return None
    file = source.folder / name
    if not file.is_file():
        raise NotFound(
            f"{source.place((key,))}{key}: {name} does not exist",
            field=key,
            hint="correct the path; it is relative to the folder of the definition",
        )
    return file
