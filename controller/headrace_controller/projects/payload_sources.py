"""Payload by URL: what a definition names is fetched where ``headrace apply`` runs, with the caller's own credentials, and packed like local files.

| URL | fetched by |
|---|---|
| ``s3://bucket/key`` or ``…/prefix`` | the client of the platform's own store; credentials and endpoint in ``AWS_…`` |
| ``gs://bucket/key`` or ``…/prefix`` | the same client; credentials in ``GOOGLE_…``, or where Google's own tools keep them |
| ``https://…``, ``http://…`` | HTTP; ``~/.netrc`` has credentials; at most five redirects, none from https to http |
| ``file:///…`` | this machine |
| ``mlflow://models/NAME/VERSION``, ``mlflow://models/NAME@ALIAS``, ``mlflow://runs/RUN/PATH`` | ``mlflow-skinny``, in an environment of uv's; the server in ``MLFLOW_TRACKING_URI`` |
| ``oci://HOST/REPOSITORY:TAG`` | see ``oci_registry`` |

``#sha256=…`` behind a URL of one file is what its bytes must be. ``.tar``, ``.tar.gz``, ``.tgz`` and ``.zip`` are unpacked; links and paths that leave the folder are refused.
What was fetched is bounded by ``MAX_UNPACKED`` bytes, ``MAX_FILES`` files and ``SECONDS``.
"""

import gzip
import hashlib
import os
import re
import subprocess
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urljoin, urlsplit

import httpx
import uv

from headrace_controller.archive import MAX_FILES, MAX_UNPACKED
from headrace_controller.projects import oci_registry
from headrace_functions.errors import DeadlineExceeded, HeadraceError, InvalidInput, NotFound, TooLarge, Unreachable
from headrace_functions.storage.members import extract
from headrace_functions.storage.objects import ObjectStore

SECONDS = 1800.0
"""In which one URL must be fetched whole."""
READ_SECONDS = 30.0
"""In which the other side must send something."""
REDIRECTS = 5
SCHEMES = ("s3", "gs", "https", "http", "file", "mlflow", "oci")
_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*):/{2}")
_PIN = re.compile(r"sha256=(?P<digest>[0-9a-f]{64})")
_MODEL = re.compile(r"models/(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[^/@]+))")
_RUN = re.compile(r"runs/(?P<run>[^/]+)/(?P<path>.+)")
_MLFLOW = "import sys, mlflow; mlflow.artifacts.download_artifacts(artifact_uri=sys.argv[1], dst_path=sys.argv[2])"
_CHUNK = 1 << 20
Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Fetched:
    path: Path
    """The file or folder to pack."""
    url: str
    """Without what may be a secret in it: user, query and fragment."""
    sha256: str = ""
    """Of the bytes as they came, of one file."""


def is_url(entry: str) -> bool:
    return _URL.match(entry) is not None


def fetch(entry: str, folder: Path, log: Log) -> Fetched:
    """Bring what a URL leads to into ``folder``, which is there and empty.

    ``InvalidInput`` for a URL that cannot be parsed or bytes that are not those of its digest, ``NotFound``, ``TooLarge``, ``Unreachable``, ``DeadlineExceeded``; nothing
    half is left to be packed.
    """
    parts = urlsplit(entry)
    if parts.scheme not in SCHEMES:
        raise InvalidInput(
            f"payload: {parts.scheme}:// is not supported",
            field="payload",
            expected=", ".join(f"{s}://" for s in SCHEMES),
            got=_plain(entry),
            hint="copy it here and name the file or folder",
        )
    if "@" in parts.netloc:
        raise InvalidInput(
            "payload: the URL contains credentials",
            field="payload",
            expected="a URL without user and password",
            got=_plain(entry),
            hint="put them into ~/.netrc or the environment; definitions are stored and shown",
        )
    pin = _pin(entry, parts.fragment)
    log(f"fetching {_plain(entry)}")
    found = _FETCHERS[parts.scheme](entry.partition("#")[0], folder)
    if pin and found.sha256 != pin:
        raise InvalidInput(
            f"payload: {found.url} does not match its digest"
            if found.sha256
            else f"payload: {found.url} is a folder and has no digest",
            field="payload",
            expected=f"sha256={pin}",
            got=f"sha256={found.sha256}" if found.sha256 else "a folder",
            hint="it was changed, or the digest belongs to another file; nothing of it was used",
        )
    return Fetched(_unpacked(found.path, folder), found.url, found.sha256)


def _plain(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _pin(entry: str, fragment: str) -> str:
    if not fragment:
        return ""
    match = _PIN.fullmatch(fragment)
    if match is None:
        raise InvalidInput(
            f"payload: the part after # cannot be parsed: {fragment[:80]!r}",
            field="payload",
            expected="#sha256= and 64 hexadecimal digits",
            got=_plain(entry),
        )
    return match["digest"]


def _name(url: str) -> str:
    last = unquote(PurePosixPath(urlsplit(url).path).name)
    return last if last not in ("", ".", "..") and "/" not in last else "model"


def _http(url: str, folder: Path) -> Fetched:
    target, digest, size = folder / _name(url), hashlib.sha256(), 0
    deadline = time.monotonic() + SECONDS
    netrc = httpx.NetRCAuth() if (Path.home() / ".netrc").is_file() else None
    try:
        with httpx.Client(timeout=READ_SECONDS, auth=netrc) as client, target.open("wb") as sink:
            for piece in _pieces(client, url):
                size += len(piece)
                _bound(size, url)
                if time.monotonic() > deadline:
                    raise DeadlineExceeded(
                        f"payload: {_plain(url)} did not end within {SECONDS:.0f} s", field="payload"
                    )
                digest.update(piece)
                sink.write(piece)
    except httpx.HTTPError as error:
        raise Unreachable(
            f"payload: {_plain(url)} cannot be fetched: {type(error).__name__}: {error}", field="payload"
        ) from error
    return Fetched(target, _plain(url), digest.hexdigest())


def _pieces(client: httpx.Client, url: str) -> Iterator[bytes]:
    at = url
    for _ in range(REDIRECTS + 1):
        with client.stream("GET", at) as answer:
            if answer.is_redirect:
                to = urljoin(at, answer.headers["location"])
                if urlsplit(to).scheme not in ("http", "https") or (
                    at.startswith("https:") and not to.startswith("https:")
                ):
                    raise InvalidInput(
                        f"payload: {_plain(url)} redirects to {_plain(to)}",
                        field="payload",
                        expected="a redirect within https",
                        got=_plain(to),
                    )
                at = to
                continue
            if answer.status_code in (404, 410):
                raise NotFound(f"payload: {_plain(at)} does not exist", field="payload")
            if answer.status_code != httpx.codes.OK:
                raise Unreachable(
                    f"payload: {_plain(at)} answered {answer.status_code} {answer.reason_phrase}", field="payload"
                )
            announced = answer.headers.get("content-length", "")
            _bound(int(announced) if announced.isdigit() else 0, at)
            yield from answer.iter_bytes(_CHUNK)
            return
    raise InvalidInput(f"payload: {_plain(url)} redirects more than {REDIRECTS} times", field="payload")


def _bound(size: int, url: str) -> None:
    if size > MAX_UNPACKED:
        raise TooLarge(
            f"payload: {_plain(url)} is larger than {MAX_UNPACKED} bytes", field="payload", got=f"at least {size} bytes"
        )


def _local(url: str, folder: Path) -> Fetched:
    del folder
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise InvalidInput("payload: file:// names a host", field="payload", expected="file:///path", got=_plain(url))
    path = Path(unquote(parts.path))
    if not path.exists():
        raise NotFound(f"payload: {path} does not exist", field="payload")
    return Fetched(path, _plain(url), _digest(path) if path.is_file() else "")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _bucket(url: str, folder: Path) -> Fetched:
    parts = urlsplit(url)
    key = unquote(parts.path).strip("/")
    if not parts.netloc or not key:
        raise InvalidInput(
            f"payload: {parts.scheme}:// needs a bucket and a key",
            field="payload",
            expected=f"{parts.scheme}://bucket/key",
            got=url,
        )
    store = ObjectStore(f"{parts.scheme}://{parts.netloc}", foreign=True)
    if not parts.path.endswith("/") and store.exists(key):
        _bound(store.size(key), url)
        target = folder / _name(url)
        return Fetched(target, _plain(url), store.download(key, target))
    found = [o for o in store.walk(f"{key}/") if o.key.startswith(f"{key}/")]
    if not found:
        raise NotFound(
            f"payload: {_plain(url)} does not exist",
            field="payload",
            expected="an object, or a prefix with objects below it",
        )
    if len(found) > MAX_FILES:
        raise TooLarge(f"payload: at most {MAX_FILES} files", field="payload", got=f"{len(found)} below {_plain(url)}")
    _bound(sum(o.size for o in found), url)
    root = folder / _name(url)
    for one in found:
        inside = PurePosixPath(one.key[len(key) + 1 :])
        if ".." in inside.parts or inside.is_absolute():
            raise InvalidInput(f"payload: {one.key} is outside its folder", field="payload")
        (root / inside).parent.mkdir(parents=True, exist_ok=True)
        store.download(one.key, root / inside)
    return Fetched(root, _plain(url))


def _registered(url: str, folder: Path) -> Fetched:
    """A model of MLflow's registry, or an artifact of a run."""
    told = url.removeprefix("mlflow://")
    model, run = _MODEL.fullmatch(told), _RUN.fullmatch(told)
    if model is not None:
        uri = (
            f"models:/{model['name']}@{model['alias']}"
            if model["alias"]
            else f"models:/{model['name']}/{model['version']}"
        )
        name = model["name"]
    elif run is not None:
        uri, name = f"runs:/{run['run']}/{run['path']}", PurePosixPath(run["path"]).name
    else:
        raise InvalidInput(
            "payload: the MLflow URL cannot be parsed",
            field="payload",
            expected="mlflow://models/NAME/VERSION, mlflow://models/NAME@ALIAS or mlflow://runs/RUN/PATH",
            got=url,
        )
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        raise InvalidInput(
            "payload: no MLflow server is configured",
            field="payload",
            expected="its URL in MLFLOW_TRACKING_URI",
            got=url,
        )
    target = folder / (name if re.fullmatch(r"[\w.-]+", name) else "model")
    command = [
        uv.find_uv_bin(),
        "run",
        "--quiet",
        "--no-project",
        "--with",
        "mlflow-skinny",
        "python",
        "-c",
        _MLFLOW,
        uri,
        str(target),
    ]
    variables = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")}
    target.mkdir()
    try:
        done = subprocess.run(
            command,
            env={**variables, "MLFLOW_DISABLE_TELEMETRY": "true"},
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
            cwd=folder,
        )
    except subprocess.TimeoutExpired as error:
        raise DeadlineExceeded(f"payload: MLflow took more than {SECONDS:.0f} s for {url}", field="payload") from error
    if done.returncode != 0:
        said = [line for line in done.stderr.strip().splitlines() if line.strip()]
        raise NotFound(
            f"payload: MLflow has no {url}: {said[-1][:300] if said else 'no message'}", field="payload", got=uri
        )
    _bound(sum(p.stat().st_size for p in target.rglob("*") if p.is_file()), url)
    return Fetched(target, _plain(url))


def _artifact(url: str, folder: Path) -> Fetched:
    found = oci_registry.pull(url, folder, SECONDS)
    return Fetched(found.path, url, found.sha256)


_FETCHERS: dict[str, Callable[[str, Path], Fetched]] = {
    "http": _http,
    "https": _http,
    "s3": _bucket,
    "gs": _bucket,
    "oci": _artifact,
    "file": _local,
    "mlflow": _registered,
}


def _unpacked(path: Path, folder: Path) -> Path:
    """The folder of an archive's files; anything else as it is."""
    stem = next((path.name[: -len(e)] for e in (".tar.gz", ".tgz", ".tar", ".zip") if path.name.endswith(e)), None)
    if stem is None or not path.is_file():
        return path
    into = folder / "unpacked" / (stem or "model")
    into.mkdir(parents=True)
    try:
        if path.suffix == ".zip":
            _unzip(path, into)
        else:
            with gzip.open(path) if path.name.endswith(("gz",)) else path.open("rb") as plain:
                extract(plain, into)
    except HeadraceError:
        raise
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, FileExistsError) as error:
        raise InvalidInput(f"payload: {path.name} is truncated or not an archive: {error}", field="payload") from error
    return into


def _unzip(path: Path, into: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = [m for m in archive.infolist() if not m.is_dir()]
        if len(members) > MAX_FILES or sum(m.file_size for m in members) > MAX_UNPACKED:
            raise TooLarge(f"payload: at most {MAX_FILES} files of {MAX_UNPACKED} bytes together", field="payload")
        for member in members:
            inside = PurePosixPath(member.filename)
            link = (member.external_attr >> 16) & 0o170000 == 0o120000
            if link or inside.is_absolute() or ".." in inside.parts:
                raise InvalidInput(
                    f"payload: the archive holds {member.filename!r}, which is a link or outside the archive",
                    field="payload",
                )
            target = into / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            left = member.file_size
            with archive.open(member) as source, target.open("xb") as sink:
                while piece := source.read(min(_CHUNK, left + 1)):
                    left -= len(piece)
                    if left < 0:
                        raise InvalidInput(
                            f"payload: {member.filename!r} is larger than the archive says", field="payload"
                        )
                    sink.write(piece)
