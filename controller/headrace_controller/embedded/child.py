"""A process of the platform with its output in a log, started again when it ends."""

import logging
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger("headrace.supervisor")

_RESTART_PAUSE = 1.0  # after a second end within this many seconds; the first restart is immediate


class Child:
    """A process of the platform with its output in a log."""

    def __init__(self, name: str, command: Sequence[str], log_file: Path, pass_fds: Sequence[int] = ()) -> None:
        self.name = name
        self._command = command
        self._log_file = log_file
        self._pass_fds = pass_fds
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        with self._log_file.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=self._pass_fds,
                start_new_session=True,
            )
        self._started = time.monotonic()

    @property
    def failed(self) -> bool:
        """Whether it ended otherwise than well."""
        return self._process is not None and self._process.poll() not in (None, 0)

    def restart_if_ended(self) -> bool:
        """Start again a child that ended; True if it did."""
        if self._process is None or self._process.poll() is None:
            return False
        if time.monotonic() - self._started < _RESTART_PAUSE:
            return False  # it ends at once: look again at the next tick
        log.warning("%s ended with %s; starting it again", self.name, self._process.returncode)
        self.start()
        return True

    def stop(self, grace: float) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            log.warning("%s did not stop in %.0f s and was killed", self.name, grace)
            self._process.kill()
            self._process.wait()
