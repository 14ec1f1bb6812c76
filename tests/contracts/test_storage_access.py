"""How a bucket is reached: addressing, certificate authority and credentials, by what the store really gets to see.

SeaweedFS is the store; TLS is a proxy in front of it with an authority made here. Amazon's token services cannot run here, so a
server on loopback plays them: it gives out keys, and then is the bucket that wants to see them.
"""

import http.server
import json
import os
import re
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import deltalake
import pyarrow as pa
import pytest
from deltalake.exceptions import TableNotFoundError

from headrace_functions.errors import StorageFailed
from headrace_functions.storage import access
from headrace_functions.storage.objects import ObjectStore

EMPTY = b'<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>'
ASSUMED = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
<Credentials><AccessKeyId>ASSUMED</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>of-the-role</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""
CONTAINER = {
    "AccessKeyId": "CONTAINER",
    "SecretAccessKey": "s",
    "Token": "of-the-pod",
    "Expiration": "2099-01-01T00:00:00Z",
}
IDENTITY = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    access.AUTHORITY,
    "AWS_CA_BUNDLE",
    "SSL_CERT_FILE",
)


@dataclass
class Seen:
    """What the fake heard: where and with which key and session token it was asked for the bucket, and by whom for keys."""

    bucket: list[tuple[str, str, str, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    url: str = ""
    secure: str = ""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``ca.pem`` and a certificate of it for loopback."""
    folder = tmp_path_factory.mktemp("authority")
    openssl = shutil.which("openssl")
    assert openssl is not None, "openssl is missing"

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    new = ("-newkey", "rsa:2048", "-nodes")
    run("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=authority of a test")
    run("req", *new, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=127.0.0.1")
    signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
    run("x509", "-req", "-in", "server.csr", "-out", "server.pem", *signing)
    return folder


def server_side(authority: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    return context


def handler(seen: Seen) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers.get("content-length", 0))))

        do_HEAD = do_GET  # noqa: N815 -- the server looks for this name

        def _answer(self, body: bytes) -> None:
            text = urlsplit(self.path).query + "&" + body.decode()
            if "AssumeRoleWithWebIdentity" in text:
                asked = parse_qs(text)
                seen.asked.append(f"{asked['RoleArn'][0]} {asked['WebIdentityToken'][0]}")
                return self._send(200, ASSUMED.encode())
            if self.path.startswith("/v1/credentials"):
                seen.asked.append(self.headers.get("authorization", ""))
                return self._send(200, json.dumps(CONTAINER).encode())
            key = re.search(r"Credential=([^/]+)/", self.headers.get("authorization", ""))
            token = self.headers.get("x-amz-security-token", "")
            where = (self.headers["host"], urlsplit(self.path).path, key[1] if key else "", token)
            seen.bucket.append(where)
            return self._send(200 if "list-type" in self.path else 404, EMPTY if "list-type" in self.path else b"")

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing on the test's output."""

    return Handler


@pytest.fixture
def fake(authority: Path) -> Iterator[Seen]:
    seen = Seen()
    plain, secure = (http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(seen)) for _ in range(2))
    secure.socket = server_side(authority).wrap_socket(secure.socket, server_side=True)
    threads = [threading.Thread(target=s.serve_forever, daemon=True) for s in (plain, secure)]
    for thread in threads:
        thread.start()
    seen.url = f"http://127.0.0.1:{plain.server_address[1]}"
    seen.secure = f"https://127.0.0.1:{secure.server_address[1]}"
    yield seen
    for server, thread in zip((plain, secure), threads, strict=True):
        server.shutdown()
        server.server_close()
        thread.join()


def restore_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not set now, and whatever the store sets is as it was after the test."""
    monkeypatch.setenv("SSL_CERT_FILE", "")
    monkeypatch.delenv("SSL_CERT_FILE")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, fake: Seen) -> pytest.MonkeyPatch:
    """The fake as the store, and no credentials at all."""
    for name in IDENTITY:
        monkeypatch.delenv(name, raising=False)
    restore_bundle(monkeypatch)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", fake.url)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


def listed(url: str) -> list[str]:
    return ObjectStore(url).names("a/")


def delta(url: str) -> None:
    store = ObjectStore(url)
    with pytest.raises(TableNotFoundError):
        deltalake.DeltaTable(store.table_url("table"), storage_options=store.table_options())


BOTH = pytest.mark.parametrize("ask", [listed, delta])


@BOTH
def test_static_keys_and_a_session_token_are_what_the_store_gets(
    environment: pytest.MonkeyPatch, fake: Seen, ask: Callable[[str], object]
) -> None:
    for name, value in zip(IDENTITY[:3], ("STATIC", "s", "of-the-session"), strict=True):
        environment.setenv(name, value)
    ask("s3://bucket/prefix")
    assert {(key, token) for _, _, key, token in fake.bucket} == {("STATIC", "of-the-session")}


@BOTH
def test_a_web_identity_becomes_the_keys_of_its_role(
    environment: pytest.MonkeyPatch, fake: Seen, tmp_path: Path, authority: Path, ask: Callable[[str], object]
) -> None:
    """As IAM roles for service accounts set it: a token file and a role, and the token service, by TLS only, gives keys."""
    (tmp_path / "token").write_text("signed-by-the-cluster")
    environment.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    environment.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/headrace")
    environment.setenv("AWS_ENDPOINT_URL_STS", fake.secure)
    environment.setenv(access.AUTHORITY, str(authority / "ca.pem"))
    ask("s3://bucket/prefix")
    assert set(fake.asked) == {"arn:aws:iam::1:role/headrace signed-by-the-cluster"}
    assert {(key, token) for _, _, key, token in fake.bucket} == {("ASSUMED", "of-the-role")}


@BOTH
def test_a_pods_own_credentials_are_asked_for_with_its_token(
    environment: pytest.MonkeyPatch, fake: Seen, tmp_path: Path, ask: Callable[[str], object]
) -> None:
    (tmp_path / "token").write_text("token-of-the-pod")
    environment.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{fake.url}/v1/credentials")
    environment.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    ask("s3://bucket/prefix")
    assert set(fake.asked) == {"token-of-the-pod"}
    assert {(key, token) for _, _, key, token in fake.bucket} == {("CONTAINER", "of-the-pod")}


@BOTH
def test_path_style_puts_the_bucket_into_the_path(
    environment: pytest.MonkeyPatch, fake: Seen, ask: Callable[[str], object]
) -> None:
    for name in IDENTITY[:2]:
        environment.setenv(name, "x")
    ask("s3://bucket/prefix")
    assert {(host, path.split("/")[1]) for host, path, _, _ in fake.bucket} == {(urlsplit(fake.url).netloc, "bucket")}


@BOTH
def test_virtual_host_style_puts_the_bucket_before_the_host(
    environment: pytest.MonkeyPatch, fake: Seen, ask: Callable[[str], object]
) -> None:
    """The names of such hosts are not known here, so the fake is their proxy, too."""
    for name in IDENTITY[:2]:
        environment.setenv(name, "x")
    environment.setenv("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true")
    environment.setenv("AWS_ENDPOINT_URL", "http://s3.headrace.test")
    for name in ("HTTP_PROXY", "http_proxy"):
        environment.setenv(name, fake.url)
    ask("s3://bucket/prefix")
    assert {host for host, _, _, _ in fake.bucket} == {"bucket.s3.headrace.test"}
    assert not any(path.startswith("/bucket") for _, path, _, _ in fake.bucket)


def test_an_endpoint_that_has_the_bucket_already_stays_as_it_is() -> None:
    given = {"AWS_ENDPOINT_URL": "https://b.s3.example/", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true"}
    assert access.access("b", given).endpoint == "https://b.s3.example"


# -- a certificate authority of one's own


@pytest.fixture
def tls(authority: Path, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """SeaweedFS behind TLS, as the endpoint."""
    listener = socket.create_server(("127.0.0.1", 0))
    target = urlsplit(s3_endpoint)
    threading.Thread(
        target=_accept, args=(listener, server_side(authority), (target.hostname, target.port)), daemon=True
    ).start()
    for name in IDENTITY[3:]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{listener.getsockname()[1]}")
    monkeypatch.delenv("AWS_ALLOW_HTTP", raising=False)
    yield
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def _accept(listener: socket.socket, context: ssl.SSLContext, target: tuple[str, int]) -> None:
    while True:
        try:
            plain, _ = listener.accept()
        except OSError:
            return
        try:
            inner = context.wrap_socket(plain, server_side=True)
        except OSError:  # a client that does not trust us
            plain.close()
            continue
        outer = socket.create_connection(target)
        for one, other in ((inner, outer), (outer, inner)):
            threading.Thread(target=_pass_on, args=(one, other), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with source, sink:
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # either side hung up


def bundle_of(authority: str, temporary: Path) -> Path:
    """Where a process that was not told of it before keeps the authorities."""
    code = "import sys; from headrace_functions.storage.objects import _bundle; print(_bundle(sys.argv[1]))"
    environment = os.environ | {"TMPDIR": str(temporary)}
    said = subprocess.run([sys.executable, "-c", code, authority], env=environment, capture_output=True, check=True)
    return Path(said.stdout.decode().strip())


def test_processes_share_one_file_of_authorities_instead_of_leaving_one_each(tmp_path: Path) -> None:
    first, second = (bundle_of("-----BEGIN CERTIFICATE-----", tmp_path) for _ in range(2))
    assert first == second
    assert [first] == [file for file in tmp_path.rglob("*") if file.is_file()]
    assert first.read_text().startswith("-----BEGIN CERTIFICATE-----")
    assert stat.S_IMODE(first.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("taken", ["link", "file", "writable by others"])
def test_authorities_are_not_kept_in_a_folder_that_somebody_else_may_write(tmp_path: Path, taken: str) -> None:
    temporary, theirs = tmp_path / "tmp", tmp_path / "theirs"
    temporary.mkdir()
    theirs.mkdir()
    folder = temporary / f"headrace-{os.getuid()}"
    if taken == "link":
        folder.symlink_to(theirs)
    elif taken == "file":
        folder.touch()
    else:
        folder.mkdir()
        folder.chmod(0o777)
    found = bundle_of("-----BEGIN CERTIFICATE-----", temporary)
    assert folder.resolve() != found.parent.resolve()
    assert found.is_file()


@pytest.mark.usefixtures("tls")
@pytest.mark.parametrize("form", ["file", "text", "bundle"])
def test_a_store_with_an_authority_of_its_own_is_trusted_when_it_is_named(
    authority: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    pem = authority / "ca.pem"
    name = "AWS_CA_BUNDLE" if form == "bundle" else access.AUTHORITY
    monkeypatch.setenv(name, pem.read_text() if form == "text" else str(pem))
    restore_bundle(monkeypatch)
    store = ObjectStore(f"s3://first/{uuid.uuid4().hex}")
    store.put("a/b", b"1")
    assert store.names("a/") == ["b"]

    deltalake.write_deltalake(
        store.table_url("table"), pa.table({"a": [1]}), storage_options=store.table_options(), mode="append"
    )
    assert deltalake.DeltaTable(store.table_url("table"), storage_options=store.table_options()).version() == 0


@pytest.mark.usefixtures("tls")
def test_an_unknown_authority_is_named_as_the_reason_with_what_to_do() -> None:
    with pytest.raises(StorageFailed, match="certificate is of an unknown authority") as caught:
        ObjectStore("s3://first/x").names("a/")
    assert access.AUTHORITY in str(caught.value.hint)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_authority_that_cannot_be_read_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    monkeypatch.setenv(access.AUTHORITY, str(tmp_path / "ca.pem"))
    with pytest.raises(StorageFailed, match=access.AUTHORITY):
        ObjectStore("s3://first/x")


# -- refusals


@pytest.mark.parametrize(
    ("variable", "value", "said", "hint"),
    [
        ("AWS_ACCESS_KEY_ID", "nobody", "does not know the access key", "AWS_ACCESS_KEY_ID"),
        ("AWS_SECRET_ACCESS_KEY", "wrong", "does not fit the access key", "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_wrong_credentials_are_named(
    s3_prefix: str, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str, hint: str
) -> None:
    monkeypatch.setenv(variable, value)
    store = ObjectStore(s3_prefix)
    for ask in (lambda: store.names("a/"), lambda: store.get("a"), lambda: store.create("a", b"")):
        with pytest.raises(StorageFailed, match=said) as caught:
            ask()
        assert hint in str(caught.value.hint)


def test_a_bucket_that_is_not_there_is_no_empty_bucket(s3_url: str) -> None:
    store = ObjectStore(f"s3://{uuid.uuid4().hex}/prefix")
    for ask in (lambda: store.names("a/"), lambda: store.get("a"), lambda: list(store.walk("a/"))):
        with pytest.raises(StorageFailed, match="there is no such bucket") as caught:
            ask()
        assert "create it" in str(caught.value.hint)
