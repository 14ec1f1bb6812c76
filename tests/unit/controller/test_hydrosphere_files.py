"""Definitions of Hydrosphere in their own forms are read as they are."""

from pathlib import Path

import numpy as np
import pytest

from headrace_controller.definitions import ModelDefinition, SequenceDefinition, read_text
from headrace_controller.definitions.install_command import installed_by
from headrace_controller.projects.packaging import package
from headrace_controller.service import hydrosphere
from headrace_functions.errors import InvalidInput
from headrace_functions.runtime.frameworks.hydrosphere import imported
from headrace_functions.runtime.loading import load_function
from headrace_functions.signature import Field, Signature, dtype

MODEL = "kind: Model\nname: {name}\npayload: [src/]\nruntime: r:1\ncontract:\n  name: infer\n"
MODEL += "  inputs: {{x: {{shape: {shape}, type: double, profile: {profile}}}}}\n  metadata: {{maxlen: 100}}\n"
SIGNATURE = Signature((Field("x", dtype("float64")),), (Field("value", dtype("float64")),))


def model(name: str = "digits", shape: str = "scalar", profile: str = "NUMERICAL") -> ModelDefinition:
    ((found, _),) = read_text(MODEL.format(name=name, shape=shape, profile=profile))
    assert isinstance(found, ModelDefinition)
    return found


def test_underscores_of_names_become_hyphens_in_models_and_in_what_refers_to_them() -> None:
    assert "fraud-check" == model("fraud_check").name
    ((app, _),) = read_text("kind: Application\nname: fraud_app\nsingular: {model: fraud_check:1}\n")
    assert isinstance(app, SequenceDefinition)
    assert ("fraud-app", "fraud-check:1") == (app.name, app.pipeline[0].variants[0].model)


@pytest.mark.parametrize(
    ("profile", "ours"),
    [("IMAGE", "image"), ("NONE", "none"), ("NOMINAL", "categorical"), ("RATIO", "numerical"), ("audio", "none")],
)
def test_profiles_may_be_written_as_hydrosphere_does(profile: str, ours: str) -> None:
    (field,) = model(shape="[28, 28]", profile=profile).contract.input_fields()
    assert (ours, (28, 28)) == (field.profile, field.shape)


def test_metadata_of_a_contract_is_kept() -> None:
    assert {"maxlen": 100} == model().to_document()["contract"]["metadata"]


def test_a_payload_with_func_main_is_a_python_function_of_one_row_whatever_lies_beside_it() -> None:
    told: list[str] = []
    adapted = hydrosphere.adapted(model(), ["src/func_main.py", "a.joblib", "b.joblib"], told.append)
    assert ("python", False) == (adapted.framework, adapted.batch)
    assert {"entry": "src/func_main.py", "function": "infer"} == adapted.options
    assert "func_main.py" in told[0]


@pytest.mark.parametrize("files", [["function.py", "src/func_main.py"], ["model.joblib"]])
def test_other_payloads_are_left_as_they_are(files: list[str]) -> None:
    given = model()
    assert given is hydrosphere.adapted(given, files, lambda _: None)


def test_its_function_gets_the_inputs_of_one_row_and_no_model(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "func_main.py").write_text("def infer(**kwargs):\n    return {'value': kwargs['x'] * 2}\n")
    options = {"entry": "src/func_main.py", "function": "infer"}
    function = load_function("python", tmp_path, options, SIGNATURE, batch=False)
    assert 3.0 == function({"x": np.array(1.5)})["value"].item()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("/model/files/factor.txt", "factor.txt"),
        ("/model/files/factor.txt", "model/factor.txt"),
        ("/model/files/data/factor.txt", "data/factor.txt"),
    ],
)
def test_what_its_code_opens_below_model_files_is_the_payload_s(tmp_path: Path, text: str, place: str) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("4")
    code = f"factor = float(open({text!r}).read())\nnote = 'see /model/files'\ndef infer(x):\n    return {{'value': x * factor, 'note': note}}\n"
    (tmp_path / "src" / "func_main.py").write_text(code)
    outputs = (*SIGNATURE.outputs, Field("note", dtype("string")))
    options = {"entry": "src/func_main.py", "function": "infer"}
    function = load_function("python", tmp_path, options, Signature(SIGNATURE.inputs, outputs), batch=False)
    found = function({"x": np.array(1.5)})
    assert (6.0, "see /model/files") == (found["value"].item(), found["note"].item())


def test_a_mistake_in_its_code_names_the_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "func_main.py").write_text("x = 1\nraise RuntimeError('no')\n")
    with pytest.raises(RuntimeError) as raised:
        imported("mistaken", tmp_path / "func_main.py", tmp_path)
    last = raised.traceback[-1]
    assert ("func_main.py", 2) == (Path(str(last.path)).name, last.lineno + 1)


@pytest.mark.parametrize(
    ("command", "files", "packages"),
    [
        ("pip install -r requirements.txt", ("requirements.txt",), ()),
        ("python3 -m pip install -r requirements.txt", ("requirements.txt",), ()),
        ("/usr/bin/python3.7 -m pip install --no-cache-dir -U -r requirements.txt", ("requirements.txt",), ()),
        ("sudo pip3.7 install -rbase.txt --requirement=extra.txt", ("base.txt", "extra.txt"), ()),
        ("pip install --upgrade pip && pip install -r 'my list.txt'", ("my list.txt",), ()),
        ("pip install -r /model/files/requirements.txt numpy<2 'pandas[parquet] >= 2'", ("requirements.txt",), ("numpy<2", "pandas[parquet] >= 2")),
        ("pip install --upgrade pip setuptools wheel", (), ()),
    ],
)  # fmt: skip
def test_an_install_command_that_only_installs_packages_is_their_list(
    command: str, files: tuple[str, ...], packages: tuple[str, ...]
) -> None:
    found = installed_by(command)
    assert (files, packages) == (found.files, found.packages)


def test_the_files_and_packages_of_an_install_command_are_requirements(tmp_path: Path) -> None:
    for name, text in {"a.txt": "numpy\n", "b.txt": "# more\npandas==2.2.3\n", "src/func_main.py": ""}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    text = "kind: Model\nname: m\npayload: [src/]\ninstall-command: pip install joblib -r a.txt -r b.txt\n"
    ((found, source),) = read_text(text, folder=tmp_path)
    assert isinstance(found, ModelDefinition)
    assert ["joblib", "numpy", "pandas==2.2.3"] == package(found, source, tmp_path).definition.requirements


@pytest.mark.parametrize(
    ("command", "part", "hint"),
    [
        ("apt-get update && pip install -r requirements.txt", "'apt-get update'", "under 'requirements'"),
        ("pip install -r requirements.txt; python download.py", "'python download.py'", "under 'requirements'"),
        ("pip install -e .", "'pip install -e .'", "to 'payload'"),
        ("pip install ./wheels/x.whl", "x.whl is neither a package nor -r FILE", "under 'requirements'"),
        ("pip install -i https://pypi.example/simple numpy", "-i is neither", "package indexes for uv"),
        ("pip install -r requirements.txt | tee log", "| is neither", "under 'requirements'"),
        ("pip install 'numpy", "No closing quotation", "under 'requirements'"),
    ],
)
def test_what_an_install_command_does_besides_is_refused_by_its_part(command: str, part: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        installed_by(command)
    assert part in refused.value.message
    assert hint in (refused.value.hint or "")


def read(*lines: str) -> ModelDefinition:
    ((found, _),) = read_text("\n".join(("kind: Model", "name: m", "payload: [src/]", *lines)) + "\n")
    assert isinstance(found, ModelDefinition)
    return found


@pytest.mark.parametrize(
    "line", ["contract:", "contract: {inputs: , outputs: }", "monitoring:", "metadata:", "runtime:", "install-command:"]
)
def test_a_key_without_a_value_is_left_out(line: str) -> None:
    assert read() == read(line)


def test_numbers_and_dates_are_the_text_that_is_meant() -> None:
    found = read("runtime: 1.0", "metadata: {trained: 2026-01-31, release: 2}")
    assert "1.0" == found.runtime
    assert {"trained": "2026-01-31", "release": "2"} == found.metadata
    ((numbered, _),) = read_text("kind: Model\nname: 12\npayload: [src/]\n")
    assert "12" == numbered.name


def test_metrics_and_the_models_that_score_may_be_called_as_in_hydrosphere() -> None:
    config = "config: {monitoring-model: age_check:1, threshold: 0.5, operator: '<='}"
    found = read(f"monitoring: [{{name: Custom  Metric, {config}}}, {{name: sex_score, {config}}}]")
    assert ["custom-metric", "sex-score"] == [spec.name for spec in found.metrics()]
    assert ["age-check:1", "age-check:1"] == [str(spec.model) for spec in found.metrics()]


@pytest.mark.parametrize("key", ["streaming", "kafka-streaming", "kafkaStreaming"])
def test_topics_of_an_application_are_refused_with_what_to_write_instead(key: str) -> None:
    application = "kind: Application\nname: a\nsingular: {model: m:1}\n"
    with pytest.raises(InvalidInput, match=f"{key} cannot be honoured") as refused:
        read_text(f"{application}{key}: [{{source-topic: a, destination-topic: b}}]\n")
    assert "kind: Stream" in (refused.value.hint or "")
    ((empty, _),) = read_text(f"{application}{key}: []\n")
    assert isinstance(empty, SequenceDefinition)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("contract: {inputs: {x: }}", "contract.inputs: x: nothing is said of it"),
        ("contract: {inputs: {x: {type: double, shape: 3}}}", "contract.inputs.x.shape: 3 is not a shape"),
        ("contract: {inputs: {x: {type: double, shape: '[3]'}}}", "contract.inputs.x.shape: '[3]' is not a shape"),
        ("metadata: {team: [a, b]}", 'metadata.team: ["a", "b"] is not text'),
        ("runtime: {name: r, tag: 1}", 'runtime: {"name": "r", "tag": 1} is not text'),
        ("training-data: [a.csv]", 'training-data: ["a.csv"] is not text'),
        ("payload: [1]", "payload.0: 1 is not text"),
        ("contract: [x]", 'contract: ["x"] is not a mapping'),
        ("batch: maybe", "batch: 'maybe' is not true or false"),
    ],
)
def test_a_value_of_another_kind_is_refused_in_a_sentence(line: str, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_text(f"kind: Model\nname: m\n{'' if line.startswith('payload') else 'payload: [src/]'}\n{line}\n")
    assert said in refused.value.message
