"""What a function's process may reach on one machine, once its socket is open and before its own code is loaded.

Where the kernel has Landlock (Linux 5.13), files are an allow-list: the system and the environment to read, its own artifact to read, its own spool and a
temporary folder of its own to write. The rest of the home, other models' files and the user's own are out of reach, and so are other processes: by signals
(Linux 6.12) and by ptrace. TCP may be kept from it too (Linux 6.7). No privileges are needed, and nothing can undo it. Limits of the process hold everywhere.
"""

import ctypes
import os
import resource
import struct
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

OPEN_FILES = 8192
LARGEST_FILE = 4 << 30
"""Bytes of a file that a function writes."""
PROCESSES = 4096
"""Processes and threads of the user all together, beyond which a confined process starts no other one; the superuser has no such limit."""

_CREATE, _ADD, _RESTRICT = 444, 445, 446
"""System calls, of the same numbers on every architecture."""
_VERSION = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVILEGES = 38
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE
_ALL = (1 << 13) - 1
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_SIGNALS_AND_ABSTRACT_SOCKETS = 3
_BIND_AND_CONNECT_TCP = 3
_HIDDEN = 4

FOLDER = "HEADRACE_CONFINED_TO"
READABLE = "HEADRACE_READABLE"
NETWORK = "HEADRACE_CONFINED_NETWORK"
"""``0`` keeps TCP from a process that tries a function."""
MEMORY = "HEADRACE_CONFINED_MEMORY"
"""Bytes, as ``memory`` of ``confine``."""
SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc", "/opt", "/sys", "/run/systemd/resolve")
PROC = tuple(
    f"/proc/{name}"
    for name in ("self", "cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "sys", "uptime", "version")
)
"""Not all of ``/proc``: Landlock keeps nobody from reading the environment of other processes of the same user there."""
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/shm")  # noqa: S108


_confined: list[Path] = []


def explained(error: BaseException | None) -> str:
    """What an error of user code has to do with its confinement, for its log; empty for nothing."""
    if not _confined or not isinstance(error, PermissionError):
        return ""
    return (
        f"the function is confined: it may read its own files and write below TMPDIR ({_confined[0]}), which tempfile uses; "
        "headrace up --function-path PATH lets functions read more"
    )


def available() -> int:
    """The version of Landlock's interface that the kernel has; 0 for none."""
    found = _libc().syscall(_CREATE, None, 0, _VERSION)
    return max(0, int(found))


def confine(
    readable: Iterable[Path], writable: Iterable[Path], folder: Path, *, network: bool = True, memory: int = 0
) -> str:
    """Confine this process for good; what the kernel cannot keep from it, empty for nothing. ``folder`` becomes its temporary one and its home.

    Must be called while the process has one thread. Paths that are not there are left out. Without ``network`` it opens no TCP connection
    and listens on no port. ``memory`` are the bytes that it may allocate beyond what it has now, 0 for no limit.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ |= {"TMPDIR": str(folder), "HOME": str(folder)}
    tempfile.tempdir = str(folder)
    _limit(memory)
    version = available()
    if version == 0:
        return "this kernel has no Landlock, so the function may read what the platform's user may" + (
            "" if network else ", and reach the network"
        )
    handled = _ALL | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    rules = _ruleset(handled, version, network=network)
    try:
        for path in (*map(Path, SYSTEM + PROC), *_interpreter(), *readable):
            _allow(rules, path, _READ)
        for path in (*map(Path, DEVICES), *writable, folder):
            _allow(rules, path, handled)
        _checked(_libc().prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
        _checked(_libc().syscall(_RESTRICT, rules, 0))
        _confined.append(folder)
    finally:
        os.close(rules)
    return "" if network or version >= 4 else "this kernel cannot keep the network from a process (Linux 6.7 can)"


def hide() -> None:
    """Keep other processes of the same user from reading this one's memory and environment, for as long as it runs this program."""
    _checked(_libc().prctl(_HIDDEN, 0, 0, 0, 0))


def confine_as_told(artifact: Path) -> None:
    """Confine a process that tries a function during its build, where its environment names the folder of the build."""
    told = os.environ.pop(FOLDER, "")
    if told:
        further = os.environ.pop(READABLE, "").split(os.pathsep)
        network, memory = os.environ.pop(NETWORK, "1") != "0", int(os.environ.pop(MEMORY, "0"))
        readable = [artifact, *(Path(p) for p in further if p)]
        confine(readable, [Path(told)], Path(told) / "tmp", network=network, memory=memory)


def _interpreter() -> set[Path]:
    """Where this Python and what it imports are."""
    found = {Path(p) for p in (sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path) if p}
    ours = Path(__file__).resolve().parents[1]  # an environment may hold a link to it
    return {ours, *(p.resolve() for p in found if p.exists() and len(p.resolve().parts) > 2)}


def _ruleset(handled: int, version: int, *, network: bool) -> int:
    scoped = _SIGNALS_AND_ABSTRACT_SOCKETS if version >= 6 else 0
    tcp = 0 if network else _BIND_AND_CONNECT_TCP
    attributes = struct.pack("QQQ", handled, tcp, scoped)[: 24 if version >= 6 else 16 if version >= 4 else 8]
    return int(_checked(_libc().syscall(_CREATE, attributes, len(attributes), 0)))


def _allow(rules: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not path.is_dir():
            rights &= _OF_FILES | _TRUNCATE
        attributes = struct.pack("=Qi", rights, descriptor)
        _checked(_libc().syscall(_ADD, rules, _PATH_BENEATH, attributes, 0))
    finally:
        os.close(descriptor)


def _limit(memory: int) -> None:
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_FSIZE: LARGEST_FILE,
        resource.RLIMIT_NPROC: PROCESSES,
    }
    if memory:
        limits[resource.RLIMIT_DATA] = _data() + memory
    for limit, most in limits.items():
        _, hard = resource.getrlimit(limit)
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (bound, bound))


def _data() -> int:
    """Bytes of private memory that this process has mapped by now: its libraries' and what it was forked with."""
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[5]) * resource.getpagesize()


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
