"""Write bills of materials as CycloneDX JSON: one of the wheel with what it brings, installed, and one of each lock.

    python .ci/sbom.py TOOLS FOLDER

``TOOLS`` is an environment with cyclonedx-bom. The bill of the wheel is read from an environment that it is installed into, so it has licences and
what needs what; those of locks have names, versions and hashes. Each is validated against the schema before it is written.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")


def locks() -> dict[str, Path]:
    """Every lock of the repository by the name of its bill: of the platform's parts, and of the images that functions run in."""
    found = {f.stem: f for f in sorted((ROOT / "requirements").glob("*.txt"))}
    found |= {f"function-{f.stem}": f for f in sorted((ROOT / "functions" / "requirements").glob("*.txt"))}
    return found


def run(*command: str | Path) -> None:
    done = subprocess.run([str(part) for part in command], text=True, capture_output=True, check=False, cwd=ROOT)
    if done.returncode:
        sys.exit(f"{Path(command[0]).name} failed:\n{done.stdout}{done.stderr}")


def of_wheel(tools: Path, folder: Path, environment: Path) -> Path:
    """The bill of the wheel in a fresh environment with its lock."""
    with tempfile.TemporaryDirectory() as built:
        run(UV, "build", "--quiet", "--wheel", "--out-dir", built, ROOT)
        wheel = next(Path(built).glob("headrace-*.whl"))
        run(UV, "venv", "--quiet", "--clear", "--python", sys.executable, environment)
        python = environment / "bin" / "python"
        run(
            UV,
            "pip",
            "install",
            "--quiet",
            "--python",
            python,
            "--require-hashes",
            "-r",
            ROOT / "requirements" / "platform.txt",
        )
        run(UV, "pip", "install", "--quiet", "--python", python, "--no-deps", wheel)
    bill = folder / "headrace.cdx.json"
    write(tools, bill, "environment", python)
    return bill


def write(tools: Path, bill: Path, *source: str | Path) -> None:
    """One bill, the same bytes for the same input."""
    pyproject = ("--pyproject", ROOT / "pyproject.toml", "--mc-type", "application")
    run(tools / "bin" / "cyclonedx-py", *source, *pyproject, "--output-reproducible", "--of", "JSON", "-o", bill)


def main(tools: str, folder: str) -> None:
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    bills = [of_wheel(Path(tools), target, ROOT / ".cache" / "sbom")]
    for name, lock in locks().items():
        bills.append(target / f"{name}.cdx.json")
        write(Path(tools), bills[-1], "requirements", lock)
    for bill in bills:
        parts = json.loads(bill.read_text()).get("components", [])
        unlicensed = sum(not part.get("licenses") for part in parts) if bill is bills[0] else 0
        print(f"{bill}: {len(parts)} components" + (f", {unlicensed} without a licence" if unlicensed else ""))


if __name__ == "__main__":
    main(*sys.argv[1:])
