"""The story that ``make demo`` tells."""

import subprocess
import sys
from pathlib import Path

import pytest

from fixtures_platform import environment

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(900)
def test_the_whole_story_holds_from_training_to_a_clean_stop() -> None:
    """Each step of the demo checks its own result; the first that does not hold ends it with exit code 1."""
    done = subprocess.run(
        [sys.executable, "-m", "headrace_controller.demo"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "✗" not in done.stdout
    engines = ["native"] if "Alibi Detect is not run here" in done.stdout else ["native", "alibi"]
    assert {*(f"drift-{engine}.html" for engine in engines), "explanation.html"} == {
        p.name for p in (ROOT / "headrace-demo").iterdir()
    }
