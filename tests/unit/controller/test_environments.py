"""Environments: resolved once, built whole or not at all. Packages come from a folder of wheels made here, never a network."""

import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from headrace_controller.environments import interpreters, named, requirements
from headrace_controller.environments.named import functions_package, python_for
from headrace_controller.environments.resolution import Resolver, requirements_digest
from headrace_controller.environments.virtual import VirtualEnvironments, python_of
from headrace_functions.errors import InvalidInput, StorageFailed
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore


def wheel(folder: Path, name: str, version: str) -> None:
    """The smallest wheel there is: one module that knows its version."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(path, text)


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    wheel(folder, "flume", "1.0")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def resolver(tmp_path: Path) -> Resolver:
    return Resolver(Documents(ObjectStore(str(tmp_path / "data"))))


def test_a_list_is_resolved_once_and_keeps_its_lock_when_newer_packages_come(wheels: Path, resolver: Resolver) -> None:
    log: list[str] = []
    first = resolver.resolve(["flume"], log.append)
    assert "flume==1.0" in first.text
    assert "--hash=sha256:" in first.text
    assert str(wheels) not in first.text
    wheel(wheels, "flume", "2.0")
    assert resolver.resolve(["flume"], log.append) == first
    assert resolver.lock(first.key) == first
    assert "flume==2.0" in resolver.resolve(["flume>1"], log.append).text


def test_what_cannot_be_resolved_says_so_in_the_resolvers_words(wheels: Path, resolver: Resolver) -> None:
    log: list[str] = []
    with pytest.raises(InvalidInput, match="penstock") as caught:
        resolver.resolve(["penstock"], log.append)
    assert caught.value.field == "requirements"
    assert any("penstock" in line for line in log)


def test_the_order_of_a_list_does_not_matter() -> None:
    assert requirements_digest(["a", "b"]) == requirements_digest(["b", "a", "a"])
    assert requirements_digest(["a"]) != requirements_digest(["a", "b"])


def test_an_environment_is_built_once_with_our_package_linked_and_serves_every_caller(
    wheels: Path, resolver: Resolver, tmp_path: Path
) -> None:
    lock = resolver.resolve(["flume"], lambda _: None)
    log: list[str] = []
    environments = [VirtualEnvironments(tmp_path / "environments") for _ in range(3)]
    found: list[Path] = []
    threads = [
        threading.Thread(
            target=lambda e=e: found.append(e.ensure(lock.key, lock.text, lock.key, [functions_package()], log.append))
        )
        for e in environments
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {python_of(tmp_path / "environments" / lock.key)}
    assert sum("is built" in line for line in log) == 1
    said = subprocess.run(
        [found[0], "-c", "import flume, headrace_functions; print(flume.version)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "1.0"


def test_a_build_that_fails_leaves_nothing_and_can_be_tried_again(wheels: Path, tmp_path: Path) -> None:
    environments = VirtualEnvironments(tmp_path / "environments")
    with pytest.raises(InvalidInput):
        environments.ensure("key", "penstock==1.0\n", "key", [], lambda _: None)
    assert not environments.ready("key", "key")
    assert [p.name for p in (tmp_path / "environments").iterdir()] == [".key.lock"]
    environments.ensure("key", "flume==1.0\n", "key", [], lambda _: None)
    assert environments.ready("key", "key")


def test_a_named_environment_is_built_anew_when_its_lock_changes(wheels: Path, tmp_path: Path) -> None:
    wheel(wheels, "flume", "2.0")
    environments = VirtualEnvironments(tmp_path / "environments")
    for digest in ("1.0", "2.0"):
        python = environments.ensure("jobs", f"flume=={digest}\n", digest, [], lambda _: None)
        said = subprocess.run(
            [python, "-c", "import flume; print(flume.version)"], capture_output=True, text=True, check=True
        )
        assert said.stdout.strip() == digest


def test_a_home_that_cannot_hold_environments_is_said(tmp_path: Path) -> None:
    (tmp_path / "environments").write_text("in the way")
    with pytest.raises(StorageFailed, match="cannot be built"):
        VirtualEnvironments(tmp_path / "environments").ensure("key", "", "key", [], lambda _: None)


def test_an_environment_keeps_its_python_under_a_platform_on_a_later_one(wheels: Path, tmp_path: Path) -> None:
    environments = VirtualEnvironments(tmp_path / "environments")
    environments.ensure("jobs", "flume==1.0\n", "1", [], lambda _: None)
    place = tmp_path / "environments" / "jobs" / "lib"
    next(place.glob("python3.*")).rename(place / "python3.9")  # as one that another Python made
    environments.ensure("jobs", "flume==1.0\n", "1", [functions_package()], lambda _: None)
    assert (place / "python3.9" / "site-packages" / "headrace_functions").readlink() == functions_package()


def test_an_environment_whose_python_is_gone_is_built_of_another(wheels: Path, tmp_path: Path) -> None:
    environments = VirtualEnvironments(tmp_path / "environments")
    python = environments.ensure("jobs", "flume==1.0\n", "1", [], lambda _: None)
    python.unlink()
    python.symlink_to(tmp_path / "removed" / "python3")
    assert not environments.ready("jobs", "1")
    environments.ensure("jobs", "flume==1.0\n", "1", [], lambda _: None)
    assert subprocess.run([python, "-c", "import flume"], check=False).returncode == 0


def test_an_engine_runs_on_the_platforms_python_where_it_can_and_on_another_of_the_machine_where_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert python_for("native") == sys.executable
    monkeypatch.setattr(interpreters, "running", lambda: "3.99")
    monkeypatch.setenv("PATH", f"{sys.base_prefix}/bin", prepend=os.pathsep)
    other = interpreters.interpreter(f"=={sys.version_info.major}.{sys.version_info.minor}.*")
    assert other is not None
    said = subprocess.run(
        [other, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == str(sys.version_info[:2])


def test_an_engine_that_no_python_here_can_run_says_which_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "interpreter", lambda _versions: None)
    with pytest.raises(
        InvalidInput, match=r"alibi needs a Python >=3\.11,<3\.13; this platform runs on 3\."
    ) as refused:
        python_for("alibi")
    assert refused.value.field == "engine"


def test_requirement_files_lose_comments_hashes_and_empty_lines() -> None:
    text = "# about\nscikit-learn==1.5.2  # pinned\n\nnumpy>=2 \\\n    --hash=sha256:abc\npandas[parquet]>=2; python_version>'3'\n"
    assert requirements.parse(text) == ["scikit-learn==1.5.2", "numpy>=2", "pandas[parquet]>=2; python_version>'3'"]


@pytest.mark.parametrize("line", ["-r other.txt", "--index-url=http://elsewhere", "-e .", "./local", "/abs.whl"])
def test_options_and_paths_in_requirements_are_refused(line: str) -> None:
    with pytest.raises(InvalidInput, match="does not name a package"):
        requirements.check([line])


def test_the_users_requirement_wins_over_what_the_artifact_and_the_runtime_need() -> None:
    joined = requirements.join(
        ["Scikit_Learn==1.4", "numpy<2"], ["scikit-learn==1.5.2", "joblib"], ["numpy>=1.26", "orjson"]
    )
    assert joined == ["Scikit_Learn==1.4", "numpy<2", "joblib", "orjson"]


def test_a_distribution_that_holds_the_library_of_another_stands_for_it() -> None:
    """Both would write the same files, and the other one is ten times as large."""
    assert requirements.join(["xgboost-cpu>=3"], ["xgboost", "joblib"]) == ["xgboost-cpu>=3", "joblib"]
