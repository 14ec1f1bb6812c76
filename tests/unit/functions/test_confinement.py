"""What a process gives up for good, tried in processes of their own."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from headrace_functions.runtime import confinement

TRY = """
import socket, sys, threading
from pathlib import Path
from headrace_functions.runtime.confinement import confine

lacks = confine([], [], Path(sys.argv[1]), {options})
assert not lacks, lacks
try:
    print({what})
except Exception as error:
    print(type(error).__name__)
"""
CONNECT = "socket.create_connection(('127.0.0.1', int(sys.argv[2])), 5).getpeername()[0]"
LISTEN = "bool(socket.create_server(('127.0.0.1', 0)))"

needs_landlock = pytest.mark.skipif(confinement.available() < 4, reason="needs a kernel with Landlock 4 (Linux 6.7)")


def tried(folder: Path, what: str, options: str = "", port: int = 0) -> str:
    code = TRY.format(options=options, what=what)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(folder), str(port)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@needs_landlock
@pytest.mark.parametrize("what", [CONNECT, LISTEN])
def test_tcp_is_kept_from_a_process_where_that_is_asked_for(tmp_path: Path, what: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert "PermissionError" == tried(tmp_path, what, "network=False", port)
        assert tried(tmp_path, what, "", port) in ("127.0.0.1", "True")


@needs_landlock
@pytest.mark.parametrize(("size", "expected"), [(64, str(64 << 20)), (512, "MemoryError")])
def test_so_much_memory_is_there_and_no_more(tmp_path: Path, size: int, expected: str) -> None:
    """Counted beyond what the process has already, so a larger library leaves a function no less."""
    assert expected == tried(tmp_path, f"len(bytearray({size} << 20))", f"memory={256 << 20}")


@needs_landlock
def test_without_a_bound_memory_is_not_limited(tmp_path: Path) -> None:
    assert str(512 << 20) == tried(tmp_path, f"len(bytearray({512 << 20}))")


def test_what_an_older_kernel_cannot_keep_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confinement, "available", lambda: 0)
    monkeypatch.setattr(confinement, "_limit", lambda _memory: None)
    monkeypatch.setattr(confinement.os, "environ", dict(confinement.os.environ))
    monkeypatch.setattr(confinement.tempfile, "tempdir", None)
    assert "reach the network" in confinement.confine([], [], tmp_path, network=False)
    assert "reach the network" not in confinement.confine([], [], tmp_path)
