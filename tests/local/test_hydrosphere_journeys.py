"""What Hydrosphere's own tutorials do, with their files as they are: a model of one row, the census model, two versions behind one application, a metric that is
another model, a deployment configuration."""

from pathlib import Path
from typing import Any

import httpx
import joblib
import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

from fixtures_platform import RunningPlatform, headrace, until

SERVING = """
kind: Model
name: adult_model
runtime: "hydrosphere/serving-runtime-python-3.7:3.0.0"
install-command: "pip install -r requirements.txt"
payload:
  - "src/"
  - "requirements.txt"
contract:
  name: "predict"
  inputs:
    age: {shape: scalar, type: int64, profile: NUMERICAL}
    hours: {shape: scalar, type: int64, profile: NUMERICAL}
  outputs:
    income: {shape: scalar, type: int64, profile: NUMERICAL}
"""
FUNCTION = "import numpy as np\n\n\ndef predict(**kwargs):\n    return {'income': np.array(int(kwargs['age'] + kwargs['hours'] > LIMIT))}\n"
APPLICATION = """
kind: Application
name: adult_app
pipeline:
  - - model: adult_model:1
      weight: 70
    - model: adult_model:2
      weight: 30
"""


@pytest.fixture(scope="module")
def project(platform: RunningPlatform, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tutorial's folder, applied twice with another limit."""
    folder = tmp_path_factory.mktemp("adult")
    (folder / "src").mkdir()
    (folder / "requirements.txt").write_text("numpy\n")
    (folder / "serving.yaml").write_text(SERVING)
    for limit in (60, 90):
        (folder / "src" / "func_main.py").write_text(FUNCTION.replace("LIMIT", str(limit)))
        platform.apply(folder / "serving.yaml")
    return folder


def ask(platform: RunningPlatform, name: str, request_id: str = "", **inputs: Any) -> httpx.Response:
    headers = {"x-request-id": request_id} if request_id else {}
    return httpx.post(f"{platform.url}/gateway/application/{name}", json=inputs, headers=headers, timeout=60)


def test_getting_started_a_model_of_one_row_answers_at_the_old_route(platform: RunningPlatform, project: Path) -> None:
    reply = ask(platform, "adult_model", age=40, hours=40)
    assert (200, {"income": 0}) == (reply.status_code, reply.json()), "version 2 is the newest"
    assert {"income": 1} == ask(platform, "adult-model:1", age=40, hours=40).json()
    log = headrace("version", "log", "adult-model:1", "--url", platform.url).stdout
    assert "runtime 'hydrosphere/serving-runtime-python-3.7:3.0.0' is ignored" in log


def test_a_b_weights_split_exactly_enough_and_a_retry_stays_where_it_was(
    platform: RunningPlatform, project: Path
) -> None:
    platform.apply("-", stdin=APPLICATION)
    found = {f"r{i}": ask(platform, "adult_app", f"r{i}", age=40, hours=40).json()["income"] for i in range(200)}
    assert 110 <= sum(found.values()) <= 170, "version 1, whose limit is passed, has 70 of 100"
    for i in range(20):
        assert found[f"r{i}"] == ask(platform, "adult_app", f"r{i}", age=40, hours=40).json()["income"]


def test_a_custom_metric_is_a_model_that_scores_each_row(platform: RunningPlatform, project: Path) -> None:
    number = {"shape": "scalar", "type": "int64", "profile": "numerical"}
    wide = {
        "inputs": {"age": number, "hours": number, "income": number},
        "outputs": {"value": {"shape": "scalar", "type": "double"}},
    }
    scorer = "import numpy as np\ndef predict(model, age, hours, income):\n    return {'value': hours / 100.0}\n"
    platform.apply_python("overworked", scorer, project / "metric", contract=wide)
    done = headrace(
        "metric",
        "add",
        "adult-model:1",
        "overwork",
        "--model",
        "overworked:1",
        "--threshold",
        "0.5",
        "--operator",
        "<=",
        "--url",
        platform.url,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ask(platform, "adult-model:1", "busy", age=30, hours=80)
    with platform.client() as client:
        version = client.resolve("adult-model:1")
        shown = until(
            lambda: [v for v in client.metric(version, "overwork").values if v["request_id"] == "busy"],
            "the metric has scored it",
            60,
        )
    assert (0.8, False) == (shown[0]["value"], shown[0]["healthy"])


COLUMNS = {
    "age": "numerical",
    "workclass": "categorical",
    "fnlwgt": "numerical",
    "education": "categorical",
    "educational-num": "numerical",
    "marital-status": "categorical",
    "occupation": "categorical",
    "relationship": "categorical",
    "race": "categorical",
    "gender": "categorical",
    "capital-gain": "numerical",
    "capital-loss": "numerical",
    "hours-per-week": "numerical",
    "native-country": "categorical",
}
CENSUS = """
import pandas as pd
from joblib import load


clf = load('/model/files/model.joblib')

cols = COLUMNS

def predict(**kwargs):
    X = pd.DataFrame.from_dict({'input': kwargs}, orient='index', columns=cols)
    predicted = clf.predict(X)

    return {"y": predicted[0]}
"""


def census(rows: int, seed: int) -> pd.DataFrame:
    """Rows with the columns of the tutorial's table, categories as the numbers that it makes of them."""
    random = np.random.default_rng(seed)
    spans = {"age": (17, 90), "fnlwgt": (12_000, 900_000), "capital-gain": (0, 99_999), "hours-per-week": (1, 99)}
    return pd.DataFrame({c: random.integers(*spans.get(c, (0, 7)), rows) for c in COLUMNS})


def test_the_census_model_is_trained_applied_as_its_files_are_and_asked_by_its_application(
    platform: RunningPlatform, tmp_path: Path
) -> None:
    train = census(600, 1)
    forest = RandomForestClassifier(n_estimators=20, max_depth=10, random_state=0)
    forest.fit(train, (train["age"] + train["hours-per-week"] > 100).astype(int))
    (tmp_path / "src").mkdir()
    joblib.dump(forest, tmp_path / "model.joblib")
    train.to_csv(tmp_path / "train_adult.csv", index=False)
    (tmp_path / "src" / "func_main.py").write_text(CENSUS.replace("COLUMNS", repr(list(COLUMNS))))
    (tmp_path / "requirements.txt").write_text("numpy\npandas\nscikit-learn\njoblib\n")
    inputs = {c: {"shape": "scalar", "type": "int64", "profile": p} for c, p in COLUMNS.items()}
    definition = {
        "kind": "Model",
        "name": "census_model",
        "payload": ["src/", "requirements.txt", "model.joblib"],
        "runtime": "hydrosphere/serving-runtime-python-3.7:3.0.0-alpha.2",
        "install-command": "pip install -r requirements.txt",
        "training-data": "train_adult.csv",
        "contract": {
            "name": "predict",
            "inputs": inputs,
            "outputs": {"y": {"shape": "scalar", "type": "int64", "profile": "numerical"}},
        },
    }
    application = {"kind": "Application", "name": "census-app", "singular": {"model": "census_model:1"}}
    (tmp_path / "serving.yaml").write_text(yaml.safe_dump_all([definition, application], sort_keys=False))
    platform.apply(tmp_path / "serving.yaml")

    asked = census(25, 2)
    rows = asked.to_dict("records")
    answers = [ask(platform, "census-app", f"census-{i}", **row).json()["y"] for i, row in enumerate(rows)]
    assert forest.predict(asked).tolist() == answers
    logged = until(lambda: found if len(found := platform.logged("census-model:1")) == 25 else [], "logged", 60)
    assert {r["in.age"] for r in logged} == set(asked["age"])
    with platform.client() as client:
        assert list(COLUMNS) == list(client.sample("census-model:1")[0])
    assert 200 == httpx.get(f"{platform.url}/models/census-model").status_code


DEPLOYMENT = """
kind: DeploymentConfiguration
name: my-dep-config
deployment:
  replicaCount: 2
hpa:
  minReplicas: 2
  maxReplicas: 4
  cpuUtilization: 70
container:
  env:
    FOO: bar
"""
BLOBS = 'import joblib\nimport numpy as np\n\nmodel = joblib.load("/model/files/model.joblib")\n\n\ndef infer(x):\n    y = model.predict(x[np.newaxis])\n    return {"y": y.item()}\n'


def test_a_deployment_configuration_is_what_a_cluster_runs_the_application_with(
    platform: RunningPlatform, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(300, 30)), random.integers(0, 3, 300)
    x[:, 0] += 10 * y
    model = GradientBoostingClassifier(n_estimators=5).fit(x, y)
    joblib.dump(model, tmp_path / "model.joblib")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "func_main.py").write_text(BLOBS)
    (tmp_path / "requirements.txt").write_text("numpy\npandas\nscikit-learn\njoblib\n")
    definition = {
        "kind": "Model",
        "name": "my-model",
        "runtime": "hydrosphere/serving-runtime-python-3.7:2.3.2",
        "install-command": "pip install -r requirements.txt",
        "payload": ["src/", "requirements.txt", "model.joblib"],
        "contract": {
            "name": "infer",
            "inputs": {"x": {"shape": [30], "type": "double"}},
            "outputs": {"y": {"shape": "scalar", "type": "int64"}},
        },
    }
    (tmp_path / "serving.yaml").write_text(yaml.safe_dump(definition))
    platform.apply(tmp_path / "serving.yaml")
    platform.apply("-", stdin=DEPLOYMENT)
    application = "kind: Application\nname: my-app-with-config\npipeline:\n  - - model: my-model:1\n      weight: 100\n      KEY: my-dep-config\n"
    misspelt = headrace(
        "apply", "-f", "-", "--url", platform.url, stdin=application.replace("KEY", "deploymentConfiguartion")
    )
    assert (1, True) == (misspelt.returncode, "did you mean 'deployment-configuration'" in misspelt.stderr), (
        misspelt.stderr
    )
    platform.apply("-", stdin=application.replace("KEY", "deploymentConfiguration"))

    assert {"y": int(y[7])} == ask(platform, "my-app-with-config", x=x[7].tolist()).json()
    (service,) = yaml.safe_load_all(headrace("render", "my-app-with-config", "--url", platform.url).stdout)
    predictor = service["spec"]["predictor"]
    assert (2, 4) == (predictor["minReplicas"], predictor["maxReplicas"])
    assert "70" == service["metadata"]["annotations"]["serving.kserve.io/targetUtilizationPercentage"]
    assert {"name": "FOO", "value": "bar"} in predictor["containers"][0]["env"]
