"""Payload by URL is fetched whole, is what its digest says, or is refused in words; from real servers on loopback."""

import gzip
import hashlib
import io
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from headrace_controller.definitions import ModelDefinition, Source
from headrace_controller.projects import payload_sources
from headrace_controller.projects.packaging import package
from headrace_controller.projects.payload_sources import Fetched, fetch, is_url
from headrace_functions.errors import DeadlineExceeded, HeadraceError, InvalidInput, NotFound, TooLarge, Unreachable
from headrace_functions.storage.objects import ObjectStore

MODEL = b"a model" * 1000
DIGEST = hashlib.sha256(MODEL).hexdigest()


class Site(BaseHTTPRequestHandler):
    """Answers by path; what is asked is noted."""

    asked: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("authorization")))
        path = self.path.partition("?")[0]
        if path.startswith("/hop/"):
            left = int(path.rsplit("/", 1)[1])
            self._redirect(f"/hop/{left - 1}" if left else "/model.onnx")
        elif path == "/to-file":
            self._redirect("file:///etc/passwd")
        elif path == "/model.onnx":
            self._send(MODEL)
        elif path == "/huge":
            self.send_response(200)
            self.send_header("content-length", str(10 * 1024**4))
            self.end_headers()
        elif path == "/endless":
            self.send_response(200)
            self.end_headers()
            for _ in range(1000):
                try:
                    self.wfile.write(b"x" * 100_000)
                except OSError:
                    return
        elif path == "/cut":
            self.send_response(200)
            self.send_header("content-length", "100000")
            self.end_headers()
            self.wfile.write(b"half")
        elif path == "/broken":
            self.send_error(500)
        else:
            self.send_error(404)

    def _redirect(self, to: str) -> None:
        self.send_response(302)
        self.send_header("location", to)
        self.end_headers()

    def _send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Quiet."""


@pytest.fixture
def site() -> Iterator[str]:
    Site.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def fetched(url: str, folder: Path) -> Fetched:
    folder.mkdir(exist_ok=True)
    return fetch(url, folder, lambda _text: None)


def test_a_file_is_fetched_by_http_under_its_name_with_its_digest(site: str, tmp_path: Path) -> None:
    found = fetched(f"{site}/model.onnx?token=secret", tmp_path)
    assert ("model.onnx", MODEL, DIGEST) == (found.path.name, found.path.read_bytes(), found.sha256)
    assert f"{site}/model.onnx" == found.url, "no token is kept"


def test_a_digest_is_held_and_other_bytes_are_refused(site: str, tmp_path: Path) -> None:
    fetched(f"{site}/model.onnx#sha256={DIGEST}", tmp_path / "a")
    with pytest.raises(InvalidInput, match="does not match its digest") as caught:
        fetched(f"{site}/model.onnx#sha256={'0' * 64}", tmp_path / "b")
    assert f"sha256={DIGEST}" == caught.value.got
    with pytest.raises(InvalidInput, match="the part after #"):
        fetched(f"{site}/model.onnx#md5=0", tmp_path / "c")


def test_redirects_are_followed_and_bounded(site: str, tmp_path: Path) -> None:
    assert MODEL == fetched(f"{site}/hop/4", tmp_path / "a").path.read_bytes()
    with pytest.raises(InvalidInput, match="redirects more than 5 times"):
        fetched(f"{site}/hop/7", tmp_path / "b")
    with pytest.raises(InvalidInput, match="redirects to file:///etc/passwd"):
        fetched(f"{site}/to-file", tmp_path / "c")


@pytest.mark.parametrize(
    ("path", "error"), [("/none", NotFound), ("/broken", Unreachable), ("/huge", TooLarge), ("/cut", Unreachable)]
)
def test_what_cannot_be_had_whole_is_said(site: str, tmp_path: Path, path: str, error: type[HeadraceError]) -> None:
    with pytest.raises(error) as caught:
        fetched(site + path, tmp_path)
    assert path in caught.value.message


def test_an_answer_that_grows_too_large_or_never_ends_is_given_up(
    site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload_sources, "MAX_UNPACKED", 1_000_000)
    with pytest.raises(TooLarge):
        fetched(f"{site}/endless", tmp_path / "a")
    monkeypatch.undo()
    ticks = iter(range(0, 10**9, 1000))
    monkeypatch.setattr(time, "monotonic", lambda: next(ticks))
    with pytest.raises(DeadlineExceeded):
        fetched(f"{site}/endless", tmp_path / "b")


def test_nobody_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="cannot be fetched"):
        fetched("http://127.0.0.1:9/model.onnx", tmp_path)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("hdfs://bucket/model", "hdfs:// is not supported"),
        ("gs://bucket", "needs a bucket and a key"),
        ("oci://registry.example/churn", "the URL of a registry cannot be parsed"),
        ("ftp://host/model", "ftp:// is not supported"),
        ("https://me:secret@host/model.onnx", "contains credentials"),
        ("s3://bucket", "needs a bucket and a key"),
        ("file://elsewhere/model", "names a host"),
        ("mlflow://models/churn", "MLflow URL cannot be parsed"),
        ("mlflow://churn/3", "MLflow URL cannot be parsed"),
    ],
)
def test_urls_that_are_not_understood_are_refused_and_no_secret_is_repeated(
    tmp_path: Path, url: str, says: str
) -> None:
    with pytest.raises(InvalidInput, match=says) as caught:
        fetched(url, tmp_path)
    assert "secret" not in f"{caught.value.message}{caught.value.got}"


def test_mlflow_without_a_server_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(InvalidInput, match="no MLflow server is configured"):
        fetched("mlflow://models/churn@prod", tmp_path)


def test_entries_of_a_payload_are_told_apart() -> None:
    assert [True, True, False, False] == [
        is_url(e) for e in ("s3://b/k", "mlflow://models/a/1", "model.onnx", "C:/model")
    ]


def tar_of(path: Path, add: Callable[[tarfile.TarFile], None]) -> str:
    with tarfile.open(path, "w:gz") as tar:
        add(tar)
    return path.as_uri()


def member(tar: tarfile.TarFile, name: str, content: bytes = b"x", **more: Any) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in more.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(content))


def test_archives_are_unpacked(tmp_path: Path) -> None:
    url = tar_of(tmp_path / "model.tar.gz", lambda tar: member(tar, "inner/model.onnx", MODEL))
    found = fetched(url, tmp_path / "a")
    assert ("model", MODEL) == (found.path.name, (found.path / "inner" / "model.onnx").read_bytes())
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("inner/model.onnx", MODEL)
    assert (
        MODEL == (fetched((tmp_path / "model.zip").as_uri(), tmp_path / "b").path / "inner" / "model.onnx").read_bytes()
    )


@pytest.mark.parametrize("name", ["../outside", "/absolute", "a/../../outside"])
def test_archives_that_leave_their_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="outside the archive"):
        fetched(tar_of(tmp_path / "m.tar.gz", lambda tar: member(tar, name)), tmp_path / "a")
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr(name, "x")
    with pytest.raises(InvalidInput, match="outside the archive"):
        fetched((tmp_path / "m.zip").as_uri(), tmp_path / "b")
    assert not list(tmp_path.glob("outside*"))


def test_links_in_archives_and_cut_archives_are_refused(tmp_path: Path) -> None:
    linked = tar_of(
        tmp_path / "m.tar.gz", lambda tar: member(tar, "l", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")
    )
    with pytest.raises(InvalidInput, match="link"):
        fetched(linked, tmp_path / "a")
    info = zipfile.ZipInfo("l")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(InvalidInput, match="link"):
        fetched((tmp_path / "m.zip").as_uri(), tmp_path / "b")
    for name, content in (("c.tar.gz", gzip.compress(b"no tar")), ("d.tgz", b"\x1f\x8b"), ("e.zip", b"PK")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidInput, match="truncated or not an archive"):
            fetched((tmp_path / name).as_uri(), tmp_path / name[0])


def test_objects_and_prefixes_of_a_bucket_are_fetched(s3_prefix: str, tmp_path: Path) -> None:
    store = ObjectStore(s3_prefix)
    store.put("models/churn/MLmodel", b"flavors: {}")
    store.put("models/churn/data/model.onnx", MODEL)
    store.put("models/churning", b"another")
    file = fetched(f"{s3_prefix}/models/churn/data/model.onnx#sha256={DIGEST}", tmp_path / "a")
    assert (MODEL, DIGEST) == (file.path.read_bytes(), file.sha256)
    folder = fetched(f"{s3_prefix}/models/churn", tmp_path / "b")
    assert ["MLmodel", "data/model.onnx"] == sorted(
        p.relative_to(folder.path).as_posix() for p in folder.path.rglob("*") if p.is_file()
    )
    with pytest.raises(NotFound):
        fetched(f"{s3_prefix}/models/none", tmp_path / "c")
    with pytest.raises(InvalidInput, match="is a folder and has no digest"):
        fetched(f"{s3_prefix}/models/churn/#sha256={DIGEST}", tmp_path / "d")


def test_what_was_fetched_is_packed_and_its_place_is_kept_as_metadata(site: str, tmp_path: Path) -> None:
    (tmp_path / "function.py").write_text("def predict(model): return {}")
    definition = ModelDefinition.model_validate(
        {"kind": "Model", "name": "m", "payload": ["function.py", f"{site}/model.onnx"]}
    )
    (tmp_path / "work").mkdir()
    told: list[str] = []
    packed = package(definition, Source(folder=tmp_path), tmp_path / "work", told.append)
    assert [f"fetching {site}/model.onnx"] == told
    assert (f"{site}/model.onnx", DIGEST) == (
        packed.definition.metadata["source.2.url"],
        packed.definition.metadata["source.2.sha256"],
    )
