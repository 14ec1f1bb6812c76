"""Hold every lock against known vulnerabilities with pip-audit, as far as its database is reached; what was not checked is said.

    python .ci/audit.py TOOLS [OPTION …]

``TOOLS`` is an environment with pip-audit, to which the options go, e.g. ``--osv-url https://mirror/v1/query``. Without a database it is
still checked that each pin is exact and has a hash. Exit code 1 where a lock has a known vulnerability or a pin that is neither.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
_PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(\[[^]]*\])?\s*(.*)$")
_AWAY = re.compile(r"ConnectionError|ServiceError|Timeout|NameResolution|Max retries", re.IGNORECASE)


def locks() -> list[Path]:
    return [
        *sorted((ROOT / "requirements").glob("*.txt")),
        *sorted((ROOT / "functions" / "requirements").glob("*.txt")),
    ]


def pins(text: str) -> tuple[int, list[str]]:
    """How many pins a lock has, and what is wrong with some, a sentence each."""
    entries = re.sub(r"\\\n\s*", " ", text).splitlines()
    count, faults = 0, []
    for line in entries:
        found = _PIN.match(line.strip())
        if not found or line.lstrip().startswith(("#", "-")):
            continue
        count += 1
        rest = found[3]
        if not rest.startswith("=="):
            faults.append(f"{found[1]} has no exact version")
        if "--hash=sha256:" not in rest:
            faults.append(f"{found[1]} has no hash")
    return count, faults


def vulnerabilities(tools: Path, lock: Path, options: list[str]) -> list[str] | None:
    """Known ones of a lock, a line each; None where the database was not reached."""
    command = [str(tools / "bin" / "pip-audit"), "--vulnerability-service", "osv", "--timeout", "10"]
    command += ["--progress-spinner", "off", "--disable-pip", "--require-hashes", "--requirement", str(lock)]
    done = subprocess.run([*command, "--format", "json", *options], text=True, capture_output=True, check=False)
    try:
        found = json.loads(done.stdout)
    except json.JSONDecodeError:
        if _AWAY.search(done.stderr):
            return None
        sys.exit(f"pip-audit failed on {lock.name}:\n{done.stderr[-2000:]}")
    return [
        f"{part['name']} {part['version']}: {known['id']}, fixed in {', '.join(known['fix_versions']) or 'no release'}"
        for part in found["dependencies"]
        for known in part.get("vulns", [])
    ]


def main(tools: str, *options: str) -> int:
    bad, away = False, []
    for lock in locks():
        name = lock.relative_to(ROOT)
        count, faults = pins(lock.read_text())
        known = vulnerabilities(Path(tools), lock, list(options)) if not away else None
        if known is None:
            away.append(str(name))
        faults += known or []
        bad |= bool(faults)
        checked = "no known vulnerability" if known == [] else "vulnerabilities NOT CHECKED" if known is None else ""
        print(
            f"{name}: {count} pins, {'; '.join(faults) or 'each exact and with hashes'}"
            + (f"; {checked}" if checked else "")
        )
    if away:
        print(
            f"\nNOT CHECKED against known vulnerabilities: {len(away)} locks. The database (api.osv.dev) is not reached from here;"
            "\nname a mirror with: make audit AUDIT='--osv-url https://…/v1/query', or run this where it is reached."
        )
    return int(bad)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
