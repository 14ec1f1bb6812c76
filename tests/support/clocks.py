"""A real-time clock that a test sets forwards and backwards, for the processes that it starts."""

import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("shifted_clock.c")
SHIFT = struct.Struct("d")


class ShiftedClock:
    """Processes started with ``variables`` in their environment read the real time plus ``shift`` seconds, from the moment it is set."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._library = folder / "shifted_clock.so"
        self._shift = folder / "shift"
        compiler = shutil.which("cc")
        assert compiler is not None
        subprocess.run(
            [compiler, "-Wall", "-Werror", "-O2", "-shared", "-fPIC", "-o", str(self._library), str(SOURCE)], check=True
        )
        self.shift(0)

    @property
    def variables(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "HEADRACE_TEST_CLOCK": str(self._shift)}

    def shift(self, seconds: float) -> None:
        """Every process sees it at once, because all have mapped the file."""
        with self._shift.open("r+b" if self._shift.exists() else "wb", buffering=0) as file:
            file.write(SHIFT.pack(seconds))


def can_shift() -> bool:
    return shutil.which("cc") is not None
