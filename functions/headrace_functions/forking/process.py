"""Processes that may outlive their parent: identified by pid *and* start time, watched by pidfd, ended as a group."""

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

_START_TIME = 19  # index of "starttime" in /proc/<pid>/stat, counted after the command's closing parenthesis
_STATE = 0


@dataclass(frozen=True, slots=True)
class Identity:
    """A pid alone may be somebody else's after a while; with the kernel's start time it is unique until reboot."""

    pid: int
    started: int
    """Clock ticks since boot."""

    def to_document(self) -> dict[str, Any]:
        return {"pid": self.pid, "started": self.started}


def identify(pid: int) -> Identity | None:
    """Who runs under ``pid`` now; None if nobody does or only a zombie is left."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    rest = stat.rsplit(")", 1)[1].split()
    return None if rest[_STATE] == "Z" else Identity(pid, int(rest[_START_TIME]))


def is_alive(identity: Identity) -> bool:
    return identify(identity.pid) == identity


def signal_group(identity: Identity, number: signal.Signals) -> None:
    """Send a signal to the process's whole group if it is still the one we mean; the gone are left alone."""
    if is_alive(identity):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(identity.pid, number)


class Watched:
    """A process whose end is seen at once, whoever its parent is. ``exited`` is set when it is gone."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.exited = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        try:
            self._fd = os.pidfd_open(identity.pid)
        except ProcessLookupError:
            self.exited.set()
            return
        if not is_alive(identity):  # the pid was reused between our look and the open
            os.close(self._fd)
            self.exited.set()
            return
        self._loop.add_reader(self._fd, self._gone)

    def _gone(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self.exited.set()

    async def stop(self, grace: float) -> None:
        """TERM to the group, after ``grace`` seconds KILL; returns when the process is gone."""
        signal_group(self.identity, signal.SIGTERM)
        try:
            await asyncio.wait_for(self.exited.wait(), grace)
        except TimeoutError:
            signal_group(self.identity, signal.SIGKILL)
            await self.exited.wait()


def write_pid_file(path: Path, identity: Identity, **more: Any) -> None:
    """Note who was started, so that a later owner can adopt or end it."""
    temporary = path.with_suffix(".new")
    temporary.write_bytes(orjson.dumps({**identity.to_document(), **more}))
    temporary.replace(path)


def read_pid_file(path: Path) -> tuple[Identity, dict[str, Any]] | None:
    """The noted process and the rest of the note; None for a file that is no note or a process that is gone."""
    try:
        document = orjson.loads(path.read_bytes())
        identity = Identity(document["pid"], document["started"])
    except (OSError, ValueError, KeyError):
        return None
    return (identity, document) if is_alive(identity) else None


def log_tail(path: Path, lines: int = 20, *, since: int = 0) -> str:
    """The last lines of a log, for the reason of a failure; of what was written after its first ``since`` bytes."""
    try:
        with path.open("rb") as file:
            file.seek(max(since, path.stat().st_size - 16_384))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
