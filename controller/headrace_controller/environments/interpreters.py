"""Which Python of this machine an environment is made of: the platform's own, or another where libraries lack wheels for it.

None is ever downloaded.
"""

import subprocess
import sys

import uv
from packaging.specifiers import SpecifierSet

from headrace_controller.environments import tool

TIMEOUT = 60.0  # seconds that uv may take to ask the interpreters it finds for their versions


def interpreter(versions: str) -> str | None:
    """The path of a Python whose version is in ``versions`` (a specifier of PEP 440), this one if it is; None for none here."""
    if running() in SpecifierSet(versions):
        return sys.executable
    command = [uv.find_uv_bin(), "python", "find", "--no-project", "--no-python-downloads", versions]
    found = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=TIMEOUT, env=tool.environment(), cwd="/"
    )
    return found.stdout.strip() or None


def running() -> str:
    """``major.minor`` of the Python that runs this."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"
