"""What every process of the embedded platform does first: settings from its parent, and dying with its parent."""

import ctypes
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path

import orjson

from headrace_controller.settings import Settings

_PR_SET_PDEATHSIG = 1


def write_settings(settings: Settings, path: Path) -> None:
    """Leave the settings for a child process."""
    path.write_bytes(orjson.dumps({**asdict(settings), "home": str(settings.home)}))


def settings_of(path: Path) -> Settings:
    document = orjson.loads(path.read_bytes())
    lists = {name: tuple(document[name]) for name in ("cors_origins", "callback_hosts")}
    return Settings(**{**document, **lists, "home": Path(document["home"])})


def die_with(parent: int) -> None:
    """Ask the kernel to send TERM to this process when its parent ends, however that comes about (Linux ``prctl``)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it ended before we asked
        os.kill(os.getpid(), signal.SIGTERM)
