"""Builds of real artifacts in real processes: what becomes a version, what is refused, and that nothing stays half done."""

import contextlib
import errno
import json
import os
import pickle
import threading
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from controller_support import FakeServices, documents_of, make_platform
from headrace_controller import archive
from headrace_controller.catalog.catalog import ModelVersion
from headrace_controller.definitions import ModelDefinition
from headrace_controller.service.assembly import Given
from headrace_controller.service.buildlog import BuildLog
from headrace_controller.service.builds import INTERRUPTED
from headrace_controller.service.platform import Platform
from headrace_controller.training import tables
from headrace_functions.errors import Conflict, StorageFailed
from headrace_functions.names import VersionId
from headrace_functions.profile import Profile
from headrace_functions.storage import layout

WAIT = 120.0
ROWS = 60

GOOD_FUNCTION = """
def predict(model, age, plan):
    return {"risk": age / 100 + (plan == "free") * 0.1}
"""


@pytest.fixture
def services() -> FakeServices:
    return FakeServices()


@pytest.fixture
def platform(tmp_path: Path, services: FakeServices) -> Platform:
    return make_platform(tmp_path / "home", services)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with train.csv: age, plan, churned."""
    folder = tmp_path / "project"
    folder.mkdir()
    lines = [f"{20 + i % 50},{('free', 'paid')[i % 2]},{int(i % 3 == 0)}" for i in range(ROWS)]
    (folder / "train.csv").write_text("age,plan,churned\n" + "\n".join(lines) + "\n")
    return folder


def submit(
    platform: Platform,
    project: Path,
    files: dict[str, bytes | str],
    *,
    training: bool = True,
    reference: str | None = None,
    **more: Any,
) -> VersionId:
    for name, content in files.items():
        (project / name).write_bytes(content.encode() if isinstance(content, str) else content)
    document = {"kind": "Model", "name": "m", "payload": list(files), **more}
    definition = ModelDefinition.model_validate(document)
    folder = platform.builds.new_folder()
    digest = archive.pack(files, project, folder / "payload.tar.zst")
    table = None
    if training:
        table = folder / "train.csv"
        table.write_bytes((project / "train.csv").read_bytes())
    held_out = None
    if reference is not None:
        held_out = folder / "reference.csv"
        held_out.write_text(reference)
    given = Given(folder, folder / "payload.tar.zst", digest, table, reference=held_out)
    return platform.builds.submit(definition, given).version


def build(platform: Platform, project: Path, files: dict[str, bytes | str], **more: Any) -> ModelVersion:
    version = submit(platform, project, files, **more)
    assert platform.builds.wait(version, WAIT)
    return platform.versions.get(version)


def pickled(estimator: object) -> bytes:
    return pickle.dumps(estimator)


def test_a_function_becomes_a_version_with_signature_training_data_profile_and_reference(
    platform: Platform, project: Path, services: FakeServices
) -> None:
    found = build(platform, project, {"function.py": GOOD_FUNCTION}, framework="python", target="churned")
    assert found.state == "released", found.status.reason
    version = found.version
    assert version is not None
    age, plan = version.signature.inputs
    assert (age.dtype.name, age.profile, age.range) == ("int64", "numerical", (20.0, 69.0))
    assert (plan.dtype.name, plan.profile, plan.categories) == ("string", "categorical", ("free", "paid"))
    assert [(f.name, f.dtype.name) for f in version.signature.outputs] == [("risk", "float64")]

    documents = documents_of(platform)
    training = tables.read_parquet(documents.objects.get(str(version.training)))
    assert list(training) == ["age", "plan", "churned"]
    profile = Profile.from_document(documents.get(layout.profile(found.id)))
    assert profile.rows == ROWS
    reference = tables.read_parquet(documents.objects.get(layout.reference(found.id)))
    expected = training["age"] / 100 + (training["plan"] == "free") * 0.1
    np.testing.assert_allclose(reference["out.risk"], expected)
    assert "orjson>=3.10" in version.requirements
    assert ("changed", "m") in services.heard
    assert list((platform.home / "builds").iterdir()) == []


def test_reference_data_is_kept_with_its_labels_and_the_versions_own_answers(platform: Platform, project: Path) -> None:
    held_out = "age,plan,churned\n" + "".join(f"{20 + i},{('free', 'paid')[i % 2]},{i % 2}\n" for i in range(40))
    found = build(
        platform, project, {"function.py": GOOD_FUNCTION}, framework="python", target="churned", reference=held_out
    )
    assert found.state == "released", found.status.reason
    kept = tables.read_parquet(documents_of(platform).objects.get(layout.reference_data(found.id)))
    assert list(kept) == ["age", "plan", "out.risk", "churned"]
    np.testing.assert_allclose(kept["out.risk"], kept["age"] / 100 + (kept["plan"] == "free") * 0.1)
    assert kept["churned"].tolist() == [i % 2 for i in range(40)]
    assert "reference data: 40 rows, the answers on 40 of them" in platform.builds.log(found.id).text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("age,churned\n20,1\n", "reference-data: reference.csv has no column 'plan'"),
        ("age,plan,churned\nold,free,1\n", "age"),
    ],
)
def test_reference_data_that_does_not_fit_the_version_fails_its_build_and_names_the_column(
    platform: Platform, project: Path, text: str, says: str
) -> None:
    found = build(
        platform, project, {"function.py": GOOD_FUNCTION}, framework="python", target="churned", reference=text
    )
    assert found.state == "failed"
    assert says in found.status.reason


def test_other_reference_data_is_another_version(platform: Platform, project: Path) -> None:
    text = "age,plan,churned\n" + "20,free,1\n" * 9
    versions = [
        submit(platform, project, {"function.py": GOOD_FUNCTION}, framework="python", target="churned", reference=one)
        for one in (None, text, text, text + "21,free,0\n")
    ]
    assert [v.number for v in versions] == [1, 2, 2, 3]
    for version in versions:
        assert platform.builds.wait(version, WAIT)


def test_a_scikit_learn_classifier_answers_with_label_and_probabilities(platform: Platform, project: Path) -> None:
    features = np.arange(40, dtype=float).reshape(-1, 2)
    model = LogisticRegression().fit(features, features[:, 0] > 20)
    joblib.dump(model, project / "model.joblib")
    found = build(platform, project, {"model.joblib": (project / "model.joblib").read_bytes()}, training=False)
    assert found.version is not None, found.status.reason
    assert [f.name for f in found.version.signature.outputs] == ["label", "probabilities"]
    log = platform.builds.log(found.id).text
    assert "framework: sklearn, by model.joblib" in log
    assert "scikit-learn==" in log


def test_a_version_image_is_for_clusters_and_refused_here_with_what_to_do(platform: Platform, project: Path) -> None:
    found = build(platform, project, {"function.py": GOOD_FUNCTION}, image="registry.example/churn:3")
    assert found.state == "failed"
    assert "runs versions as processes and not in images" in found.status.reason
    assert "list what the image contains under 'requirements'" in found.status.reason


def test_the_same_content_is_the_same_version_and_any_other_content_a_new_one(
    platform: Platform, project: Path
) -> None:
    def apply(source: str, **metadata: str) -> int:
        found = build(platform, project, {"function.py": source}, target="churned", metadata=metadata)
        assert found.state == "released", found.status.reason
        return found.id.number

    assert apply(GOOD_FUNCTION, team="growth", **{"git.commit": "1"}) == 1
    assert apply(GOOD_FUNCTION, team="growth", **{"git.commit": "2"}) == 1
    assert apply(GOOD_FUNCTION, team="sales") == 2
    assert apply(GOOD_FUNCTION + "\n", team="growth") == 3
    (project / "train.csv").write_text((project / "train.csv").read_text() + "30,free,0\n")
    assert apply(GOOD_FUNCTION, team="growth") == 4


def test_appliers_of_one_content_at_once_share_one_version(
    platform: Platform, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever claims waits for a second one to claim as well, so two that do not see each other would both get a number.
    together, claim = threading.Barrier(2), platform.catalog.claim_version

    def claim_together(*arguments: Any) -> VersionId:
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(0.5)
        return claim(*arguments)

    monkeypatch.setattr(platform.catalog, "claim_version", claim_together)
    (project / "function.py").write_text(GOOD_FUNCTION)
    definition = ModelDefinition.model_validate({"name": "m", "payload": ["function.py"], "framework": "python"})
    folders = [platform.builds.new_folder() for _ in range(6)]
    digests = [archive.pack(["function.py"], project, f / "payload.tar.zst") for f in folders]
    found: list[VersionId] = []

    def apply(folder: Path, digest: str) -> None:
        found.append(platform.builds.submit(definition, Given(folder, folder / "payload.tar.zst", digest)).version)

    threads = [threading.Thread(target=apply, args=pair) for pair in zip(folders, digests, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [VersionId("m", 1)] * 6
    assert platform.builds.wait(found[0], WAIT)


def test_a_failed_build_can_be_applied_again_and_is_a_new_version(platform: Platform, project: Path) -> None:
    bad = {"function.py": "raise OSError('no such luck')"}
    assert build(platform, project, bad, framework="python").id.number == 1
    assert build(platform, project, bad, framework="python").id.number == 2


class Explosive:
    """A pickle that raises when it is loaded."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (int, ("not a number",))


@pytest.mark.parametrize(
    ("files", "more", "says"),
    [
        ({"model.joblib": pickled(Explosive())}, {"framework": "sklearn"}, "ValueError: invalid literal"),
        ({"model.joblib": b""}, {"framework": "sklearn"}, "truncated or not a valid model file"),
        ({"model.pkl": pickled(LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]))[:-40]}, {"framework": "sklearn"}, "truncated"),
        ({"model.pkl": pickled({"not": "a model"})}, {"framework": "sklearn"}, "does not contain an estimator"),
        ({"model.weights": b"x"}, {}, "framework: the payload does not tell"),
        ({"model.onnx": b"x"}, {"framework": "sklearn"}, "model"),
        ({"function.py": "def other(model): return {}"}, {"framework": "python"}, "predict"),
        ({"function.py": "def predict(model, wrong, names): return {}"}, {"framework": "python"}, "'wrong'"),
        ({"function.py": "def predict(model, age, plan): return age"}, {"framework": "python"}, "dict"),
        ({"function.py": "def predict(model, age, plan): return {'risk': age[:1]}"}, {"framework": "python"}, "rows"),
        ({"function.py": "def predict(model, age, plan): raise RuntimeError('boom')"}, {"framework": "python"}, "boom"),
        ({"function.py": "def predict(model, age, plan: return {}"}, {"framework": "python"}, "SyntaxError"),
        ({"function.py": "import nothing_of_this_name\ndef predict(model, age, plan): return {}"}, {"framework": "python"}, "nothing_of_this_name"),
        ({"function.py": "import os\nos._exit(3)"}, {"framework": "python"}, "ended without an answer"),
        (
            {"function.py": "def predict(model, age, plan): return {'other': age}"},
            {"framework": "python", "contract": {"outputs": {"risk": {"type": "double"}}}},
            "'other' is not in the signature",
        ),
        (
            {"function.py": "def predict(model, age, plan): return {'risk': plan}"},
            {"framework": "python", "contract": {"outputs": {"risk": {"type": "double"}}}},
            "risk",
        ),
        ({"function.py": GOOD_FUNCTION}, {"framework": "python", "contract": {"inputs": {"height": {"type": "double"}}}}, "no column 'height'"),
        ({"function.py": GOOD_FUNCTION}, {"framework": "python", "contract": {"inputs": {"plan": {"type": "int64"}}}}, "is not a whole number"),
        ({"function.py": GOOD_FUNCTION}, {"framework": "python", "requirements": ["--index-url=http://elsewhere"]}, "does not name a package"),
    ],
)  # fmt: skip
def test_what_cannot_serve_is_a_failed_version_with_the_reason_and_a_log(
    platform: Platform, project: Path, files: dict[str, bytes | str], more: dict[str, Any], says: str
) -> None:
    found = build(platform, project, files, **{"target": "churned", **more})
    assert found.state == "failed"
    assert says in found.status.reason
    part = platform.builds.log(found.id)
    assert part.done
    assert "failed" in part.text.splitlines()[-1] or says in part.text
    assert documents_of(platform).find(layout.version_document(found.id)) is None


def test_an_archive_that_is_none_fails_the_version(platform: Platform, project: Path) -> None:
    folder = platform.builds.new_folder()
    (folder / "payload.tar.zst").write_bytes(b"garbage")
    definition = ModelDefinition.model_validate({"name": "m", "payload": ["x"], "framework": "python"})
    digest = archive.digest(folder / "payload.tar.zst")
    version = platform.builds.submit(definition, Given(folder, folder / "payload.tar.zst", digest)).version
    assert platform.builds.wait(version, WAIT)
    assert "not a tar.zst archive" in platform.versions.get(version).status.reason


def test_a_build_that_a_crash_cut_short_is_failed_at_the_next_start(tmp_path: Path, project: Path) -> None:
    before = make_platform(tmp_path / "home")
    folder = before.builds.new_folder()
    (folder / "model").write_text("m")
    given = {
        "definition": {"kind": "Model", "name": "m"},
        "content": "",
        "artifact": "",
        "training": None,
        "created": "",
    }
    version = before.catalog.claim_version("m", given)
    before.catalog.add_status(version, "assembling")

    after = make_platform(tmp_path / "home")
    assert after.builds.recover() == [version]
    assert (after.versions.get(version).state, after.versions.get(version).status.reason) == ("failed", INTERRUPTED)
    assert make_platform(tmp_path / "home").builds.recover() == []


def test_a_version_that_is_being_built_is_not_deleted(platform: Platform) -> None:
    given = {
        "definition": {"kind": "Model", "name": "m"},
        "content": "",
        "artifact": "",
        "training": None,
        "created": "",
    }
    version = platform.catalog.claim_version("m", given)
    with pytest.raises(Conflict, match="being built"):
        platform.versions.delete(version)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_cannot_be_written_is_said(platform: Platform) -> None:
    platform.home.chmod(0o500)
    with pytest.raises(StorageFailed, match="need a folder"):
        platform.builds.new_folder()


def test_a_home_whose_build_folder_cannot_be_made_is_said(platform: Platform) -> None:
    # A file in its place refuses root as well, where a read-only folder does not.
    (platform.home / "builds").parent.mkdir(parents=True, exist_ok=True)
    (platform.home / "builds").write_text("in the way")
    with pytest.raises(StorageFailed, match="need a folder"):
        platform.builds.new_folder()


def test_a_home_that_fills_up_during_a_build_fails_the_version(
    platform: Platform, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(log: BuildLog, line: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(BuildLog, "__call__", full)
    found = build(platform, project, {"function.py": GOOD_FUNCTION}, framework="python")
    assert found.state == "failed"
    assert "No space left on device" in found.status.reason


def test_requirements_that_were_not_read_by_the_client_are_refused(platform: Platform, project: Path) -> None:
    found = build(
        platform, project, {"function.py": GOOD_FUNCTION}, framework="python", requirements="requirements.txt"
    )
    assert "a list is required" in found.status.reason


def test_a_build_log_is_read_from_any_byte_without_losing_a_line(platform: Platform, project: Path) -> None:
    version = submit(platform, project, {"function.py": GOOD_FUNCTION}, framework="python", target="churned")
    text, offset, done = "", 0, False
    while not done:
        part = platform.builds.log(version, offset)
        text, offset, done = text + part.text, part.offset, part.done
    assert text == platform.builds.log(version).text
    assert text.splitlines()[-1] == "m:1 is released"
    assert json.loads(json.dumps(text)) == text


def test_what_a_failed_probe_says_names_the_field(platform: Platform, project: Path) -> None:
    found = build(platform, project, {"function.py": "def predict(model, age, plan): return {'risk': plan}"}, framework="python",
                  target="churned", contract={"outputs": {"risk": {"type": "double"}}})  # fmt: skip
    assert "field: risk" in platform.builds.log(found.id).text
