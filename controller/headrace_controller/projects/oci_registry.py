"""Artifacts of an OCI registry, as ``oras push`` makes them: ``oci://HOST/REPOSITORY:TAG`` or ``…@sha256:DIGEST``.

``oras-py`` asks the registry, in an environment of uv's; it logs in as Docker does (``~/.docker/config.json``). What it brings is trusted no more than any
download: the manifest and each file must have their digests, names must stay in the folder, sizes are bounded.
"""

import gzip
import hashlib
import json
import os
import re
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import uv

from headrace_controller.archive import MAX_FILES, MAX_UNPACKED
from headrace_functions.errors import DeadlineExceeded, InvalidInput, NotFound, TooLarge, Unreachable
from headrace_functions.storage.members import extract

_URL = re.compile(
    r"oci://(?P<host>[A-Za-z0-9.-]+(?::\d+)?)/(?P<repository>[a-z0-9._/-]+)(?::(?P<tag>[\w.-]{1,128})|@sha256:(?P<digest>[0-9a-f]{64}))"
)
_LOOPBACK = re.compile(r"(localhost|127\.\d+\.\d+\.\d+)(:\d+)?")
_TITLE = "org.opencontainers.image.title"
_FOLDER = "application/vnd.oci.image.layer.v1.tar+gzip"
EXPECTED = "oci://HOST/REPOSITORY:TAG or oci://HOST/REPOSITORY@sha256:DIGEST"
_PULL = """
import json, sys
import oras.client, oras.defaults
target, folder, plain, most = sys.argv[1], sys.argv[2], sys.argv[3] == "plain", int(sys.argv[4])
client = oras.client.OrasClient(insecure=plain)
container = client.get_container(target)
client.auth.load_configs(container)
kinds = ", ".join(oras.defaults.default_manifest_accepted_media_types)
answer = client.do_request(f"{client.prefix}://{container.manifest_url()}", "GET", headers={"Accept": kinds})
if answer.status_code != 200:
    print(json.dumps({"status": answer.status_code}))
    sys.exit(0)
with open(f"{folder}/manifest.json", "wb") as file:
    file.write(answer.content)
layers = answer.json().get("layers", [])
if sum(int(layer["size"]) for layer in layers) <= most:
    for number, layer in enumerate(layers):
        client.download_blob(container, layer["digest"], f"{folder}/{number}")
print(json.dumps({"status": 200}))
"""


@dataclass(frozen=True, slots=True)
class Pulled:
    path: Path
    """The artifact's only file, else a folder of its files."""
    sha256: str
    """Of its manifest."""


def pull(url: str, folder: Path, seconds: float) -> Pulled:
    """Bring an artifact into ``folder``. ``InvalidInput`` for what is no artifact of files or has other digests, ``NotFound``, ``TooLarge``,
    ``Unreachable``, ``DeadlineExceeded``."""
    asked = _URL.fullmatch(url)
    if asked is None:
        raise InvalidInput(
            "payload: the URL of a registry cannot be parsed", field="payload", expected=EXPECTED, got=url
        )
    blobs = folder / "blobs"
    blobs.mkdir()
    status = _run(url, asked["host"], blobs, seconds)
    if status == 404:
        raise NotFound(f"payload: {url} does not exist", field="payload")
    if status != 200:
        hint = "log in with: docker login, or oras login" if status in (401, 403) else None
        raise Unreachable(f"payload: {url} answered {status}", field="payload", hint=hint)
    text = (blobs / "manifest.json").read_bytes()
    digest = hashlib.sha256(text).hexdigest()
    if asked["digest"] not in (None, digest):
        raise _changed(url, f"its manifest is sha256:{digest}")
    return Pulled(_placed(url, json.loads(text), blobs, folder / PurePosixPath(asked["repository"]).name), digest)


def _run(url: str, host: str, blobs: Path, seconds: float) -> int:
    plain = "plain" if _LOOPBACK.fullmatch(host) else "tls"
    command = [uv.find_uv_bin(), "run", "--quiet", "--no-project", "--with", "oras>=0.2.30", "python", "-c", _PULL]
    command += [url.removeprefix("oci://"), str(blobs), plain, str(MAX_UNPACKED)]
    variables = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(
            command, env=variables, capture_output=True, text=True, check=False, timeout=seconds, cwd=blobs
        )
    except subprocess.TimeoutExpired as error:
        raise DeadlineExceeded(f"payload: {url} did not end within {seconds:.0f} s", field="payload") from error
    if done.returncode != 0:
        said = [line for line in done.stderr.strip().splitlines() if line.strip()]
        raise Unreachable(
            f"payload: {url} cannot be fetched: {said[-1][:300] if said else 'no message'}", field="payload"
        )
    return int(json.loads(done.stdout.strip().splitlines()[-1])["status"])


def _placed(url: str, manifest: Mapping[str, Any], blobs: Path, target: Path) -> Path:
    """Files under the names that the manifest gives them, each with its digest."""
    layers = manifest.get("layers", [])
    if not layers:
        kind = "an index of several manifests" if "manifests" in manifest else "an artifact without files"
        raise InvalidInput(
            f"payload: {url} is {kind}", field="payload", expected="an artifact of files, as created by oras push"
        )
    size = sum(int(layer["size"]) for layer in layers)
    if size > MAX_UNPACKED or len(layers) > MAX_FILES:
        raise TooLarge(
            f"payload: {url} is larger than {MAX_UNPACKED} bytes or {MAX_FILES} files", field="payload", got=str(size)
        )
    target.mkdir()
    placed = [_place(url, layer, blobs / str(number), target) for number, layer in enumerate(layers)]
    return placed[0] if len(placed) == 1 else target


def _place(url: str, layer: Mapping[str, Any], blob: Path, target: Path) -> Path:
    title = str((layer.get("annotations") or {}).get(_TITLE, ""))
    inside = PurePosixPath(title)
    if not title or inside.is_absolute() or ".." in inside.parts:
        raise InvalidInput(
            f"payload: {url} has a file named {title!r}"
            if title
            else f"payload: {url} is an image, not an artifact of files",
            field="payload",
            expected=f"layers with a name ({_TITLE}), as created by oras push",
        )
    with blob.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if layer["digest"] != f"sha256:{found}":
        raise _changed(url, f"{title} is sha256:{found}, not {layer['digest']}")
    place = target / inside
    place.parent.mkdir(parents=True, exist_ok=True)
    (_folder_of(blob, inside) if layer.get("mediaType") == _FOLDER else blob).rename(place)
    return place


def _folder_of(blob: Path, inside: PurePosixPath) -> Path:
    """A folder that was pushed as one; its members begin with its whole name, with its last part, or with neither."""
    extracted = blob.with_name(f"{blob.name}.files")
    extracted.mkdir()
    try:
        with gzip.open(blob) as plain:
            extract(plain, extracted)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InvalidInput(f"payload: {inside} is truncated or not an archive: {error}", field="payload") from error
    return next((p for p in (extracted / inside, extracted / inside.name) if p.is_dir()), extracted)


def _changed(url: str, said: str) -> InvalidInput:
    return InvalidInput(
        f"payload: {url} does not match its digest: {said}",
        field="payload",
        hint="it was changed; nothing of it was used",
    )
