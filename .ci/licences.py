"""Fail where a package of a default lock is under a licence that is not free for every use.

    python .ci/licences.py [FOLDER …]

Every lock of ``requirements/`` but those that are opt-in is held against a list of names, and against what installed packages
say of themselves: those of the running Python, and of the ``site-packages`` folders that are named. What is not installed
anywhere is counted, so that nobody takes it for checked.
"""

import importlib.metadata
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
OPT_IN = {"jobs-alibi.txt"}
"""Locks that somebody chooses, with a notice: docs/licences.md."""
NAMES = {"alibi", "alibi-detect"}
"""Known to be under the Business Source License."""
NOT_FREE = re.compile(
    r"business source|\bBUSL\b|\bBSL[- ]?1\.1|affero|\bAGPL|elastic license|\bELv2|server side public|\bSSPL|commons clause|proprietary",
    re.IGNORECASE,
)
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==", re.MULTILINE)
_LINE = 200  # characters of a licence field that name the licence; more is its text, which may speak of others


def packages(lock: str) -> list[str]:
    """Names of the packages that a lock pins, normalised."""
    return sorted({_normal(name) for name in _PINNED.findall(lock)})


def licences(folders: Iterable[str]) -> dict[str, str]:
    """What each installed package says of its licence, by normalised name."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions(path=[*sys.path, *folders]):
        said = distribution.metadata
        named = [said.get("License-Expression", ""), (said.get("License") or "").strip()[:_LINE]]
        named += [c for c in said.get_all("Classifier", []) if c.startswith("License ::")]
        found.setdefault(_normal(said["Name"]), "; ".join(filter(None, named)))
    return found


def problems(lock: str, known: dict[str, str]) -> Iterator[str]:
    """Packages of a lock that are not free, each with the reason."""
    for name in packages(lock):
        said = known.get(name, "")
        if name in NAMES or NOT_FREE.search(said):
            yield f"{name}: {said or 'not free for production use'}"


def main(folders: list[str]) -> int:
    known = licences(folders)
    wrong = 0
    for file in sorted((ROOT / "requirements").glob("*.txt")):
        if file.name in OPT_IN:
            continue
        lock = file.read_text()
        found = list(problems(lock, known))
        wrong += len(found)
        pinned = packages(lock)
        unseen = sum(name not in known for name in pinned)
        sys.stdout.write(
            f"{file.name}: {len(pinned)} packages, {unseen} not installed here and checked by name alone\n"
        )
        sys.stdout.writelines(f"  {line}\n" for line in found)
    return 1 if wrong else 0


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
