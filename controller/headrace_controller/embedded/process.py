"""What every process of the embedded platform does first: settings from its parent, logging, and dying with its parent."""

import ctypes
import logging
import os
import signal
import sys
import time
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
    return Settings(**{**document, "home": Path(document["home"])})


def set_up_logging() -> None:
    """One line a message on stderr, in UTC; the parent sends it to ``<home>/log``."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "waitress.queue"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def die_with(parent: int) -> None:
    """Ask the kernel to send TERM to this process when its parent ends, however that comes about (Linux ``prctl``)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it ended before we asked
        os.kill(os.getpid(), signal.SIGTERM)
