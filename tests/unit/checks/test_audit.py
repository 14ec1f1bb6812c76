"""The audit of the locks: exact pins with hashes, known vulnerabilities, and the plain word where these were not looked up."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """An environment whose pip-audit answers what the file ``answer`` beside it says."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "pip-audit"
    program.write_text(
        f"#!{sys.executable}\nimport pathlib\nexec(pathlib.Path({str(tmp_path / 'answer')!r}).read_text())\n"
    )
    program.chmod(0o755)
    return tmp_path


def test_every_lock_has_exact_versions_and_hashes(audit: ModuleType) -> None:
    found = {lock.name: audit.pins(lock.read_text()) for lock in audit.locks()}
    assert {"platform.txt", "jobs.txt", "cluster.txt", "tools.txt", "sklearn.txt"} <= set(found)
    assert all(count > 5 and not faults for count, faults in found.values()), found


def test_a_pin_without_a_version_or_a_hash_is_named(audit: ModuleType) -> None:
    lock = "good==1.0 \\\n    --hash=sha256:aa\nloose>=1 \\\n    --hash=sha256:bb\nbare==2.0\n# a comment\n--no-index\n"
    assert (3, ["loose has no exact version", "bare has no hash"]) == audit.pins(lock)


def test_a_known_vulnerability_fails_the_audit(
    audit: ModuleType, tools: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = {"name": "old", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}
    (tools / "answer").write_text(f"import json\nprint(json.dumps({{'dependencies': [{part!r}]}}))\n")
    assert 1 == audit.main(str(tools))
    assert "old 1.0: PYSEC-1, fixed in 1.1" in capsys.readouterr().out


def test_a_database_that_is_away_is_said_plainly_and_asked_once(
    audit: ModuleType, tools: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tools / "answer").write_text(
        f"import sys\nopen({str(tools / 'asked')!r}, 'a').write('x')\nsys.exit('requests.exceptions.ConnectionError: away')\n"
    )
    assert 0 == audit.main(str(tools))
    said = capsys.readouterr().out
    assert "NOT CHECKED against known vulnerabilities" in said
    assert "no known vulnerability" not in said
    assert "x" == (tools / "asked").read_text()
