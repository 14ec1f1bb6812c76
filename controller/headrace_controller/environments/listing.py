"""``python -m headrace_controller.environments.listing FOLDER``: the list of runtime images from the locks they are made from.

Each ``<name>.txt`` in the folder is the lock of the image ``<name>``. What is printed is what ``images.read`` reads.
"""

import argparse
import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
from packaging.markers import Marker

from headrace_controller.environments.images import markers

PYTHON = "3.11"
"""Minor version of the Python in the images of ``functions/Dockerfile``."""
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>\S+)(?: ; (?P<marker>[^\\\n]+))?", re.MULTILINE)


def listing(folder: Path, python: str = PYTHON) -> bytes:
    """The list as JSON, images and distributions in the order of their names."""
    images = [
        {
            "name": lock.stem,
            "python": python,
            "lock": hashlib.sha256(lock.read_bytes()).hexdigest(),
            "packages": dict(sorted(_pinned(lock.read_text(), python))),
        }
        for lock in sorted(folder.glob("*.txt"))
    ]
    return orjson.dumps({"images": images}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _pinned(lock: str, python: str) -> Iterator[tuple[str, str]]:
    """Distributions that a lock for many Pythons and systems pins for this one."""
    environment = dict(markers(python))
    for found in _PIN.finditer(lock):
        if found["marker"] is None or Marker(found["marker"].strip()).evaluate(environment):
            yield found["name"], found["version"]


def main() -> None:
    parser = argparse.ArgumentParser(description="List runtime images from their locks.")
    parser.add_argument("folder", type=Path, help="functions/requirements")
    parser.add_argument("--python", default=PYTHON, help="minor version of the images' Python")
    arguments = parser.parse_args()
    sys.stdout.buffer.write(listing(arguments.folder, arguments.python))


if __name__ == "__main__":
    main()
