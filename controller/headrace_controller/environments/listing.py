"""``python -m headrace_controller.environments.listing FOLDER``: the list of runtime images from the locks they are made from.

Each ``<name>.txt`` in the folder is the lock of the image ``<name>``. What is printed is what ``images.read`` reads.
"""

import argparse
import hashlib
import re
import sys
from pathlib import Path

import orjson

PYTHON = "3.11"
"""Minor version of the Python in the images of ``functions/Dockerfile``."""
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==(\S+)", re.MULTILINE)


def listing(folder: Path, python: str = PYTHON) -> bytes:
    """The list as JSON, images and distributions in the order of their names."""
    images = [
        {
            "name": lock.stem,
            "python": python,
            "lock": hashlib.sha256(lock.read_bytes()).hexdigest(),
            "packages": dict(sorted(_PIN.findall(lock.read_text()))),
        }
        for lock in sorted(folder.glob("*.txt"))
    ]
    return orjson.dumps({"images": images}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def main() -> None:
    parser = argparse.ArgumentParser(description="List runtime images from their locks.")
    parser.add_argument("folder", type=Path, help="functions/requirements")
    parser.add_argument("--python", default=PYTHON, help="minor version of the images' Python")
    arguments = parser.parse_args()
    sys.stdout.buffer.write(listing(arguments.folder, arguments.python))


if __name__ == "__main__":
    main()
