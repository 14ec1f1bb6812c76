"""Explanations on the real platform: LightGBM and XGBoost models from their trees, and whole sequences through their front door."""

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import httpx
import numpy as np
import pytest
import yaml

from fixtures_boosters import boosters
from fixtures_platform import NUMBER, RunningPlatform, headrace, new_platform, shared_environments, until

__all__ = ["boosters", "new_platform", "shared_environments"]

pytestmark = pytest.mark.timeout(1200)  # builds the environments of the model and of the analysis

FEATURES = "def predict(model, p, q):\n    return {'a': p, 'b': q, 'c': p * q, 'd': p - q}\n"
ASKED = 60
SKLEARN = version("scikit-learn")


def given_sequence(platform: RunningPlatform, boosters: Path, folder: Path) -> None:
    """``offer``: a step in Python that makes the features, then a classifier as LightGBM dumped it."""
    folder.mkdir()
    for name in ("model.joblib", "train.csv"):
        (folder / name).write_bytes((boosters / name).read_bytes())
    model = {"kind": "Model", "name": "bought", "framework": "sklearn", "payload": ["model.joblib"]}
    model |= {"training-data": "train.csv", "target": "bought"}
    (folder / "headrace.yaml").write_text(yaml.safe_dump(model))
    platform.apply(folder)
    contract = {"inputs": dict.fromkeys("pq", NUMBER), "outputs": dict.fromkeys("abcd", NUMBER)}
    platform.apply_python("features", FEATURES, folder / "features", contract=contract)
    pipeline = [[{"model": "features:1"}], [{"model": "bought:1"}]]
    platform.apply("-", yaml.safe_dump({"kind": "Sequence", "name": "offer", "pipeline": pipeline}))


def ask(platform: RunningPlatform, request_id: str, *, p: float, q: float) -> dict[str, list[float]]:
    inputs = [{"name": n, "shape": [1], "datatype": "FP64", "data": [v]} for n, v in (("p", p), ("q", q))]
    answer = httpx.post(
        f"{platform.url}/v2/models/offer/infer",
        json={"inputs": inputs},
        headers={"x-request-id": request_id},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    return {o["name"]: o["data"] for o in answer.json()["outputs"]}


def sent(number: int) -> dict[str, float]:
    p, q = np.random.default_rng(number).normal(size=2).tolist()
    return {"p": p, "q": q}


def attributed(platform: RunningPlatform, model: str) -> dict[str, float]:
    """The importance of each field in the window, worked out from the trees."""
    with platform.client() as client:
        job = client.start_job("attribution", model, window="1h")
        until(lambda: client.job(job.id).state in ("done", "failed"), "the window is explained", 900)
        done = client.job(job.id)
        assert (done.state, done.result.get("method")) == ("done", "trees"), done.reason
        assert done.report is not None
        fields = {f["name"]: f["importance"] for f in client.report(done.report)["fields"]}
    shown = headrace("report", "show", "--url", platform.url, done.report)
    assert "IMPORTANCE" in shown.stdout, shown.stderr
    return fields


def explained(platform: RunningPlatform, *arguments: str) -> dict:
    done = headrace("explain", "--url", platform.url, "--json", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_lightgbm_and_a_sequence_that_ends_in_it_are_explained(
    new_platform: Callable[..., RunningPlatform], boosters: Path, tmp_path: Path
) -> None:
    platform = new_platform()
    given_sequence(platform, boosters, tmp_path / "bought")
    answers = [ask(platform, f"r-{i}", **sent(i)) for i in range(ASKED)]
    until(lambda: len(platform.logged("bought:1")) == ASKED, "the requests are logged")

    fields = attributed(platform, "bought:1")
    assert fields["a"] > fields["b"] > max(fields["c"], fields["d"])

    shap = explained(platform, "offer", "r-7")
    assert (shap["sequence"], shap["source"]) == ("offer, revision 1", "log")
    assert {c["name"] for c in shap["contributions"]} == {"p", "q"}
    assert shap["prediction"] == shap["logged"] == max(answers[7]["probabilities"])
    assert abs(shap["base"] + sum(c["shap"] for c in shap["contributions"]) - shap["prediction"]) < 1e-10

    rule = explained(platform, "offer", "r-7", "--method", "anchors")
    assert rule["sequence"] == "offer, revision 1"
    assert {part["name"] for part in rule["rule"]} <= {"p", "q"}
    assert rule["precision"] > 0.9

    other = explained(platform, "offer", "r-7", "--method", "counterfactual")
    assert (other["sequence"], {r["source"] for r in other["rows"]}) == ("offer, revision 1", {"log"})
    asked = ask(platform, "asked", **{**sent(7), **{c["name"]: c["after"] for c in other["rows"][0]["changes"]}})
    assert asked["label"] != answers[7]["label"]
    until(lambda: len(platform.logged("bought:1")) > ASKED, "the last request is logged")
    assert len(platform.logged("bought:1")) == ASKED + 1, "questions of the platform are no traffic"

    row = {"a": 0.5, "b": 0.1, "c": 0.0, "d": 0.4}
    (tmp_path / "row.json").write_text(json.dumps([row]))
    asked_why = ("predict", "--url", platform.url, "bought:1", "-f", str(tmp_path / "row.json"), "--explain")
    answer = json.loads(headrace(*asked_why, "--json").stdout)
    (why,) = answer["parameters"]["explanations"]
    likely = max(next(o["data"] for o in answer["outputs"] if o["name"] == "probabilities"))
    assert why["unit"] == "log odds"
    assert why["base"] + sum(why["values"].values()) == pytest.approx(np.log(likely / (1 - likely)), abs=1e-6)
    shown = headrace(*asked_why).stdout
    assert "BECAUSE" in shown, shown
    assert f"{next(iter(why['values']))} " in shown, shown
    assert platform.stop() == 0


def test_xgboost_is_applied_asked_and_explained_from_its_trees(
    new_platform: Callable[..., RunningPlatform], boosters: Path, tmp_path: Path
) -> None:
    """By the distribution for processors alone, which is a tenth of the other: it is all that the artifact asks for."""
    known = np.load(boosters / "xgb-binary.npz")
    names = [f"x{i}" for i in range(known["x"].shape[1])]
    (tmp_path / "model.joblib").write_bytes((boosters / "xgb-binary.joblib").read_bytes())
    rows = [",".join("" if np.isnan(v) else repr(float(v)) for v in row) for row in known["x"]]
    (tmp_path / "train.csv").write_text("\n".join([",".join(names), *rows]) + "\n")
    model = {"kind": "Model", "name": "boosted", "framework": "sklearn", "payload": ["model.joblib"]}
    model |= {"training-data": "train.csv", "requirements": ["xgboost-cpu>=3", f"scikit-learn=={SKLEARN}"]}
    (tmp_path / "headrace.yaml").write_text(yaml.safe_dump(model))
    platform = new_platform()
    platform.apply(tmp_path)
    whole = np.flatnonzero(np.isfinite(known["x"]).all(axis=1))[:20]
    for place in whole.tolist():
        inputs = [
            {"name": n, "shape": [1], "datatype": "FP64", "data": [float(v)]}
            for n, v in zip(names, known["x"][place], strict=True)
        ]
        answer = httpx.post(
            f"{platform.url}/v2/models/boosted/infer",
            json={"inputs": inputs},
            headers={"x-request-id": f"b-{place}"},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        given = {o["name"]: o["data"] for o in answer.json()["outputs"]}
        assert given["probabilities"][1] == pytest.approx(known["answers"][place], abs=1e-6)
    until(lambda: len(platform.logged("boosted:1")) == len(whole), "the requests are logged")

    fields = attributed(platform, "boosted:1")

    assert min(fields[n] for n in names[:3]) > max(fields[n] for n in names[3:])
    shap = explained(platform, "boosted:1", f"b-{whole[0]}", "--output", "probabilities[1]")
    assert shap["prediction"] == pytest.approx(known["answers"][whole[0]], abs=1e-6)
    assert platform.stop() == 0


def test_masks_and_counterfactuals_of_a_sequence_that_takes_images(
    new_platform: Callable[..., RunningPlatform], tmp_path: Path
) -> None:
    """Only the first stage sees the image; the second one answers whether a corner of it is bright."""
    platform = new_platform()
    image, dark = ({"shape": [8, 8], "type": "double", "profile": kind} for kind in ("image", "image"))
    contract = {"inputs": {"image": image}, "outputs": {"dark": dark}}
    platform.apply_python(
        "darken", "def predict(model, image):\n    return {'dark': image / 2}\n", tmp_path / "a", contract=contract
    )
    looks = "def predict(model, dark):\n    return {'bright': dark[:, 5:, :3].mean(axis=(1, 2)) / 8}\n"
    contract = {"inputs": {"dark": dark}, "outputs": {"bright": NUMBER}}
    platform.apply_python("looks", looks, tmp_path / "b", contract=contract)
    pipeline = [[{"model": "darken:1"}], [{"model": "looks:1"}]]
    platform.apply("-", yaml.safe_dump({"kind": "Sequence", "name": "watch", "pipeline": pipeline}))
    random = np.random.default_rng(0)
    for number in range(12):
        pixels = random.random((8, 8))
        pixels[5:, :3] += 15.0 * (number % 2 == 0)
        given = [{"name": "image", "shape": [1, 8, 8], "datatype": "FP64", "data": pixels.ravel().tolist()}]
        answer = httpx.post(
            f"{platform.url}/v2/models/watch/infer",
            json={"inputs": given},
            headers={"x-request-id": f"i-{number}"},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
    until(lambda: len(platform.logged("looks:1")) == len(platform.logged("darken:1")) == 12, "the requests are logged")

    masks = explained(platform, "watch", "i-4", "--method", "rise")
    y, x = np.unravel_index(np.argmax(masks["saliency"]), (8, 8))
    assert (y >= 5, x < 3, masks["sequence"]) == (True, True, "watch, revision 1")

    other = explained(platform, "watch", "i-4", "--method", "counterfactual")
    assert other["answer"] == "bright ≥ 0.5"
    assert {r["source"] for r in other["rows"]} == {"log"}
    corner = {f"image[{8 * row + column}]" for row in range(5, 8) for column in range(3)}
    assert {c["name"] for c in other["rows"][0]["changes"]} <= corner
    assert platform.stop() == 0
