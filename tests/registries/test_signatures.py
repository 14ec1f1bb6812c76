"""A platform with trusted keys builds what one of them has signed with OpenSSF's own command, and nothing else. ``make test-registries``."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fixtures_platform import NUMBER, RunningPlatform, headrace

pytestmark = pytest.mark.timeout(600)
ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".cache" / "signing"
CODE = "def predict(model, x):\n    return {'y': x + 1}\n"


@pytest.fixture(scope="session")
def python() -> Path:
    """A Python with the platform and ``headrace[signing]``."""
    found, uv = ENVIRONMENT / "bin" / "python", Path(sys.executable).with_name("uv")
    if not found.exists():
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, ENVIRONMENT], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", found]
    subprocess.run([*install, "--requirements", ROOT / "requirements" / "platform.txt"], check=True)
    subprocess.run([*install, "--editable", f"{ROOT}[signing]"], check=True)
    return found


def key_pair(folder: Path, name: str) -> Path:
    """The private key; the public one is ``trusted/NAME.pub`` below the folder."""
    (folder / "trusted").mkdir(exist_ok=True)
    made = ec.generate_private_key(ec.SECP256R1())
    private = folder / f"{name}.pem"
    private.write_bytes(
        made.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    (folder / "trusted" / f"{name}.pub").write_bytes(
        made.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private


@pytest.fixture
def platform(python: Path, tmp_path: Path) -> Iterator[RunningPlatform]:
    """It trusts the release's key."""
    key_pair(tmp_path, "release")
    running = RunningPlatform(tmp_path / "home", "--trusted-keys", str(tmp_path / "trusted"))
    running.python = python
    running.start()
    try:
        yield running
    finally:
        running.stop()


def project(folder: Path, name: str) -> Path:
    """A definition whose payload is the folder ``model``."""
    (folder / "model" / "words").mkdir(parents=True)
    (folder / "model" / "function.py").write_text(CODE)
    (folder / "model" / "words" / "list.txt").write_text("a b")
    definition = {
        "kind": "Model",
        "name": name,
        "framework": "python",
        "payload": ["model"],
        "options": {"entry": "model/function.py"},
        "contract": {"inputs": {"x": NUMBER}, "outputs": {"y": NUMBER}},
    }
    (folder / "headrace.yaml").write_text(yaml.safe_dump(definition))
    return folder / "model"


def sign(python: Path, folder: Path, key: Path) -> None:
    command = [python, "-m", "model_signing", "sign", "key", folder, "--private_key", key]
    subprocess.run([*command, "--signature", folder / "model.sig"], check=True, capture_output=True)


def refused(platform: RunningPlatform, folder: Path) -> str:
    done = headrace("apply", "-f", str(folder), "--url", platform.url)
    assert done.returncode == 1, done.stdout
    return done.stderr


def test_what_a_trusted_key_has_signed_is_built_and_the_log_says_by_which(
    platform: RunningPlatform, python: Path, tmp_path: Path
) -> None:
    payload = project(tmp_path / "signed", "signed")
    sign(python, payload, tmp_path / "release.pem")
    platform.apply(tmp_path / "signed")
    assert (
        "signature: model/model.sig is of release.pub"
        in headrace("version", "log", "signed:1", "--url", platform.url).stdout
    )
    assert [3.0] == platform.infer("signed", 2.0).json()["outputs"][0]["data"]


def test_what_is_not_signed_changed_added_or_signed_by_somebody_else_is_refused_with_the_file(
    platform: RunningPlatform, python: Path, tmp_path: Path
) -> None:
    unsigned = tmp_path / "unsigned"
    project(unsigned, "unsigned")
    assert "model/function.py is not signed" in refused(platform, unsigned)

    payload = project(tmp_path / "changed", "changed")
    sign(python, payload, tmp_path / "release.pem")
    (payload / "function.py").write_text(CODE.replace("1", "2"))
    assert "function.py is not what model/model.sig was made for" in refused(platform, tmp_path / "changed")

    payload = project(tmp_path / "added", "added")
    sign(python, payload, tmp_path / "release.pem")
    (payload / "more.py").write_text("")
    assert "more.py is not what model/model.sig was made for" in refused(platform, tmp_path / "added")

    other = tmp_path / "other"
    other.mkdir()
    payload = project(tmp_path / "strange", "strange")
    sign(python, payload, key_pair(other, "other"))
    assert "model/model.sig is not a signature by any of the trusted keys" in refused(platform, tmp_path / "strange")


def test_a_platform_without_the_keys_or_the_library_does_not_start_unchecked(python: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    key_pair(tmp_path, "release")
    for program, folder, said in (
        (python, tmp_path / "none", "has no public key"),
        (Path(sys.executable), tmp_path / "trusted", "pip install 'headrace[signing]'"),
    ):
        command = [program, "-m", "headrace_controller.cli", "up", "--home", tmp_path / "home", "--port", "0"]
        done = subprocess.run(
            [*command, "--trusted-keys", folder], text=True, capture_output=True, timeout=120, check=False
        )
        assert (1, True) == (done.returncode, said in done.stderr), done.stderr
