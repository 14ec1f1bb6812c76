"""Models that LightGBM and XGBoost themselves grew, in an environment of its own that is built once into the checkout's cache."""

import fcntl
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GROW = Path(__file__).parent / "support" / "grow_boosters.py"


def boosters_python() -> Path:
    """Python of an environment with LightGBM and XGBoost, and the scikit-learn of these tests."""
    wanted = [
        "lightgbm>=4.6",
        "xgboost-cpu>=3",
        "pandas",
        f"scikit-learn=={version('scikit-learn')}",
        f"numpy=={version('numpy')}",
    ]
    folder = ROOT / ".cache" / "environments" / "boosters"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "boosters.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        ready = folder / ".ready"
        if not ready.exists() or ready.read_text() != str(wanted):
            uv, python = Path(sys.executable).with_name("uv"), folder / "bin" / "python"
            for command in (
                [uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder],
                [uv, "pip", "install", "--quiet", "--python", python, *wanted],
            ):
                subprocess.run([str(part) for part in command], check=True, timeout=900)
            ready.write_text(str(wanted))
    return folder / "bin" / "python"


@pytest.fixture(scope="session")
def boosters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what ``support/grow_boosters.py`` writes."""
    folder = tmp_path_factory.mktemp("boosters")
    done = subprocess.run(
        [str(boosters_python()), str(GROW), str(folder)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return folder
