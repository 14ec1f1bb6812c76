"""Every kind of analysis, asked for on the command line, over a log that real requests made."""

import csv
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

from fixtures_platform import RunningPlatform, headrace, platform, shared_environments, until
from headrace_controller.demo.projects import write_project

__all__ = ["platform", "shared_environments"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # the first one builds the environment of the analysis

DATA = load_breast_cancer()
FIELDS = [str(f) for f in DATA.feature_names[:8]]
SHIFTED = 2  # mean perimeter
DIGIT = (
    "import numpy as np\n\n\n"
    "def load(path):\n    return np.load(f'{path}/centres.npy')\n\n\n"
    "def predict(model, image):\n"
    "    far = ((image[:, None] - model[None]) ** 2).sum((2, 3))\n"
    "    near = np.exp((far.min(1, keepdims=True) - far) / 100)\n"
    "    return {'probabilities': near / near.sum(1, keepdims=True)}\n"
)


class Ward:
    """A platform that answered for patients, some of them measured wrongly, and for one picture."""

    def __init__(self, platform: RunningPlatform, folder: Path) -> None:
        self.platform = platform
        self.folder = folder
        train, rows, labels, self.truth = train_test_split(
            DATA.data[:, : len(FIELDS)], DATA.target, test_size=0.4, random_state=0, stratify=DATA.target
        )
        model = RandomForestClassifier(30, random_state=0).fit(train, labels)
        write_project(folder / "cancer", "cancer", model, FIELDS, train, labels)
        platform.apply(folder / "cancer")
        self._digits(folder / "digits")
        rows = rows.copy()
        rows[len(rows) // 2 :, SHIFTED] *= 1.5
        self.ids = [uuid.uuid4().hex for _ in rows]
        with httpx.Client(base_url=platform.url, timeout=60) as caller:
            for request, row in zip(self.ids, rows.tolist(), strict=True):
                inputs = [
                    {"name": n, "shape": [1], "datatype": "FP64", "data": [v]} for n, v in zip(FIELDS, row, strict=True)
                ]
                self._ask(caller, "cancer", request, inputs)
            self.picture = uuid.uuid4().hex
            image = load_digits().images[0].ravel().tolist()
            given = [{"name": "image", "shape": [1, 8, 8], "datatype": "FP64", "data": image}]
            self._ask(caller, "digits", self.picture, given)
        until(lambda: len(platform.logged("cancer:1")) == len(rows), "every answer is logged")
        until(lambda: platform.logged("digits:1"), "the picture too")

    def _ask(self, caller: httpx.Client, name: str, request: str, inputs: list[dict[str, Any]]) -> None:
        answer = caller.post(f"/v2/models/{name}/infer", json={"inputs": inputs}, headers={"x-request-id": request})
        assert answer.status_code == 200, answer.text

    def _digits(self, folder: Path) -> None:
        folder.mkdir()
        data = load_digits()
        np.save(folder / "centres.npy", np.stack([data.images[data.target == n].mean(0) for n in range(10)]))
        (folder / "function.py").write_text(DIGIT)
        pictures = pa.FixedSizeListArray.from_arrays(pa.array(data.images[:300].ravel()), 64)
        parquet.write_table(pa.table({"image": pictures}), folder / "train.parquet")
        field = {"shape": [8, 8], "type": "double", "profile": "image"}
        answer = {"shape": [10], "type": "double", "columns": [str(n) for n in range(10)]}
        definition = {
            "kind": "Model",
            "name": "digits",
            "framework": "python",
            "payload": ["function.py", "centres.npy"],
            "requirements": ["numpy"],
            "training-data": "train.parquet",
            "contract": {"inputs": {"image": field}, "outputs": {"probabilities": answer}},
        }
        (folder / "headrace.yaml").write_text(yaml.safe_dump(definition))
        self.platform.apply(folder)

    def told(self, *arguments: str) -> Any:
        """What the command printed as JSON."""
        done = headrace(*arguments, "--url", self.platform.url, "--json", seconds=600)
        assert done.returncode == 0, f"headrace {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout)

    def report(self, *arguments: str) -> dict[str, Any]:
        """The report that a run on the window left."""
        job = self.told("analyze", *arguments, "--window", "1h")
        assert job["state"] == "done", job
        found: dict[str, Any] = self.told("report", "show", job["report"])
        assert found["kind"] == arguments[0]
        place = job["report"].replace(":", "/", 1)
        page = httpx.get(f"{self.platform.url}/api/v1/reports/{place}/page", timeout=30)
        assert page.status_code == 200, page.text
        assert len(page.content) < 1_000_000
        return found


@pytest.fixture(scope="module")
def ward(platform: RunningPlatform, tmp_path_factory: pytest.TempPathFactory) -> Ward:
    return Ward(platform, tmp_path_factory.mktemp("ward"))


def test_profile_puts_the_window_beside_training(ward: Ward) -> None:
    fields = {f["name"]: f for f in ward.report("profile", "cancer:1")["fields"]}
    assert set(FIELDS) <= fields.keys()
    moved = fields[FIELDS[SHIFTED]]
    assert moved["window"]["mean"] > 1.15 * moved["training"]["mean"]


def test_drift_names_the_field_that_was_measured_wrongly(ward: Ward) -> None:
    found = ward.report("drift", "cancer:1")
    inputs = [f["name"] for f in found["fields"] if f["side"] == "input"]
    assert ("drift", FIELDS[SHIFTED]) == (found["verdict"], inputs[0])


def test_outliers_are_learnt_served_and_found(ward: Ward) -> None:
    found = ward.report("outliers", "cancer:1")
    assert "more-outliers" == found["verdict"]
    assert "cancer-outliers:1" in {v["id"] for v in ward.told("version", "list")}
    metric = ward.told("metric", "list", "cancer:1")[0]
    assert ("outliers", "cancer-outliers:1") == (metric["name"], metric["model"])


def test_performance_is_estimated_and_then_realised(ward: Ward) -> None:
    estimated = {m["name"]: m for m in ward.report("performance", "cancer:1")["metrics"]}["accuracy"]
    assert 0.5 < estimated["estimated"] <= 1
    assert estimated["realised"] is None
    file = ward.folder / "labels.csv"
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["request_id", "label"])
        writer.writerows(zip(ward.ids, ward.truth.tolist(), strict=True))
    ward.told("labels", "push", "cancer:1", str(file))
    realised = {m["name"]: m for m in ward.report("performance", "cancer:1")["metrics"]}["accuracy"]
    labels = [row["out.label"] for row in sorted(ward.platform.logged("cancer:1"), key=_by(ward.ids))]
    assert np.mean(np.array(labels) == ward.truth) == pytest.approx(realised["realised"], abs=1e-9)


def _by(ids: list[str]) -> Callable[[dict[str, Any]], int]:
    place = {request: n for n, request in enumerate(ids)}
    return lambda row: place[row["request_id"]]


def test_fairness_compares_groups(ward: Ward) -> None:
    found = ward.report("fairness", "cancer:1", "--group", FIELDS[0])
    assert len(found["groups"]) == 4, "quartiles of a number"


def test_projection_shows_the_neighbours_of_a_request(ward: Ward) -> None:
    found = ward.report("projection", "cancer:1", "--request-id", ward.ids[-1], "--points", "300")
    assert found["neighbours"]


@pytest.mark.parametrize("rows", ["sample", "outliers", "drifted"])
def test_attribution_reads_the_trees(ward: Ward, rows: str) -> None:
    found = ward.report("attribution", "cancer:1", "--rows", rows, "--count", "20")
    assert ("trees", rows) == (found["method"], found["chosen"])
    assert found["residual"] < 1e-10


@pytest.mark.parametrize("method", ["shap", "anchors", "counterfactual"])
def test_a_request_is_explained(ward: Ward, method: str) -> None:
    found = ward.told("explain", "cancer:1", ward.ids[0], "--method", method)
    assert ward.ids[0] == found["request_id"]


def test_a_picture_is_explained_by_its_parts(ward: Ward) -> None:
    found = ward.told("explain", "digits:1", ward.picture, "--method", "rise")
    assert (8, 8) == np.shape(found["saliency"])


def test_two_reports_of_a_kind_are_compared(ward: Ward) -> None:
    ward.report("drift", "cancer:1", "--detector", "none")
    ward.report("drift", "cancer:1", "--method", "numerical=ks")
    names = [r["id"] for r in ward.told("report", "list", "cancer:1") if r["kind"] == "drift"][:2]
    assert ward.told("report", "diff", *names)
