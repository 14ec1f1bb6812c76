"""Layers: made of what an environment lacks, the same as the same bytes, and first on the path of who starts with one."""

import hashlib
import importlib.util
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import orjson
import pytest
import uv

from headrace_functions import startup
from headrace_functions.building import ask, job_contract, layer
from headrace_functions.errors import InvalidInput, Malformed, NotFound, TooLarge
from headrace_functions.runtime import layers
from headrace_functions.storage import unpacking
from headrace_functions.storage.objects import ObjectStore
from support.wheels import wheel

KEY = "environments/k/layer.tar.zst"


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(str(tmp_path / "store"))


@pytest.fixture
def environment(tmp_path: Path, store: ObjectStore) -> dict[str, str]:
    """A layer with one module in the store, and the variables of a pod that names it."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "of_the_layer.py").write_text("VALUE = 7\n")
    layer.pack(site, tmp_path / "layer.tar.zst")
    store.put(KEY, tmp_path / "layer.tar.zst")
    digest = hashlib.sha256((tmp_path / "layer.tar.zst").read_bytes()).hexdigest()
    work = tmp_path / "work"
    work.mkdir()
    named = {layers.LAYER: KEY, layers.LAYER_DIGEST: digest, startup.STORAGE: store.url, startup.WORK: str(work)}
    return {**named, "PYTHONPATH": "before"}


def test_a_process_and_its_children_import_from_the_layer_first(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    layers.activate(environment)
    folder = Path(environment[startup.WORK]) / "layer"
    assert sys.path[0] == str(folder)
    assert environment["PYTHONPATH"].split(os.pathsep) == [str(folder), "before"]
    assert (folder / "of_the_layer.py").is_file()
    assert [f.name for f in folder.parent.iterdir()] == ["layer"]  # the archive is not kept


def test_without_a_layer_nothing_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = list(sys.path)
    monkeypatch.setattr(sys, "path", before)
    environment = {"PYTHONPATH": "x"}
    layers.activate(environment)
    assert sys.path == before
    assert environment == {"PYTHONPATH": "x"}


def test_a_container_that_starts_anew_finds_the_layer_without_the_store(
    environment: dict[str, str], store: ObjectStore
) -> None:
    first = layers.fetched(environment)
    store.delete(KEY)
    assert layers.fetched(environment) == first


def test_a_damaged_layer_a_missing_one_and_a_missing_variable_are_refused(
    environment: dict[str, str], store: ObjectStore
) -> None:
    with pytest.raises(InvalidInput, match=layers.LAYER_DIGEST):
        layers.fetched(environment | {layers.LAYER_DIGEST: ""})
    with pytest.raises(NotFound, match="no object"):
        layers.fetched(environment | {layers.LAYER: "elsewhere"})
    store.put(KEY, b"damaged")
    with pytest.raises(Malformed, match="differs from what was built"):
        layers.fetched(environment)
    assert not (Path(environment[startup.WORK]) / "layer").exists()


def test_the_function_server_takes_the_layer_before_it_imports_anything_heavy(environment: dict[str, str]) -> None:
    """A numpy of the layer would win: none but the client of the store is imported when it is put in front."""
    program = (
        "import os, sys\nfrom headrace_functions.runtime import layers, threads\nlayers.activate(os.environ)\n"
        "import of_the_layer\nprint(sorted({'numpy', 'orjson', 'uvicorn', 'uvloop'} & set(sys.modules)))"
    )
    functions = str(Path(layers.__file__).parents[2])
    seen = {**environment, "PYTHONPATH": functions, "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", program], env=seen, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_the_same_files_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        site = tmp_path / name
        (site / "package").mkdir(parents=True)
        for file in ("b.py", "a.py") if name == "one" else ("a.py", "b.py"):
            (site / "package" / file).write_text(file)
        os.utime(site / "package" / "a.py", (len(name), 1000.0 if name == "one" else 2000.0))
        layer.pack(site, tmp_path / f"{name}.tar.zst")
    assert (tmp_path / "one.tar.zst").read_bytes() == (tmp_path / "two.tar.zst").read_bytes()


def test_a_layer_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.py").write_text("12345")
    monkeypatch.setattr(job_contract, "MAX_LAYER", 4)
    with pytest.raises(TooLarge, match="a layer has at most") as caught:
        layer.pack(tmp_path, tmp_path / "out")
    assert "build an image" in str(caught.value.hint)


@pytest.fixture
def job(tmp_path: Path, store: ObjectStore) -> dict[str, str]:
    """The variables of a layer Job whose image is this Python, and whose index is a folder of wheels."""
    (tmp_path / "wheels").mkdir()
    (tmp_path / "work").mkdir()
    wheel(tmp_path / "wheels", "headrace_test_top", "1.0", source="VERSION = '1.0'\n", needs="headrace_test_base>=2")
    wheel(tmp_path / "wheels", "headrace_test_base", "2.0", source="VERSION = '2.0'\n")
    own = {
        startup.STORAGE: store.url,
        startup.WORK: str(tmp_path / "work"),
        job_contract.QUESTION: "q",
        job_contract.RESULT: "r",
        job_contract.ARCHIVE: "a",
    }
    index = {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(tmp_path / "wheels"), job_contract.UV: uv.find_uv_bin()}
    return {**own, **index, "PATH": os.environ["PATH"]}


def built(store: ObjectStore, job: dict[str, str], *requirements: str) -> dict[str, Any]:
    store.put("q", orjson.dumps({"requirements": list(requirements)}))
    layer.build(job)
    found: dict[str, Any] = orjson.loads(store.get(job[job_contract.RESULT]))
    return found


def test_a_layer_holds_what_the_image_lacks_and_its_lock_holds_all(
    store: ObjectStore, job: dict[str, str], tmp_path: Path
) -> None:
    """uv looks nowhere but in the folder, which has no numpy: what is there already is not asked for."""
    found = built(store, job, "headrace-test-top", "numpy")
    assert store.download("a", tmp_path / "layer") == found["sha256"]
    unpacking.unpack(tmp_path / "layer", tmp_path / "unpacked")
    names = {p.name for p in (tmp_path / "unpacked").iterdir()}
    assert names == {
        "headrace_test_top.py",
        "headrace_test_base.py",
        "headrace_test_top-1.0.dist-info",
        "headrace_test_base-2.0.dist-info",
        "__pycache__",
    }
    lock = found["lock"].splitlines()
    assert {"headrace-test-top==1.0", f"numpy=={metadata.version('numpy')}"} <= set(lock)
    assert found["packages"] == "headrace_test_base==2.0 headrace_test_top==1.0"
    assert ["a", "q", "r"] == [info.key for info in store.walk("")]


def test_two_lists_that_resolve_to_the_same_are_one_layer(
    store: ObjectStore, job: dict[str, str], tmp_path: Path
) -> None:
    first = built(store, job, "headrace-test-top")
    (tmp_path / "again").mkdir()
    second = built(
        store,
        job | {startup.WORK: str(tmp_path / "again"), job_contract.RESULT: "r2"},
        "headrace-test-top==1.0",
        "numpy",
    )
    assert first == second


def test_what_nobody_has_is_an_error_that_points_at_the_log_and_the_index(
    store: ObjectStore, job: dict[str, str]
) -> None:
    with pytest.raises(InvalidInput, match="could not be installed") as caught:
        built(store, job, "headrace-test-nothing")
    assert "index secret" in str(caught.value.hint)
    assert [o.key for o in store.walk("")] == ["q"]


def test_an_image_of_another_lock_is_refused() -> None:
    with pytest.raises(InvalidInput, match="built from a different lock"):
        ask.check_image({job_contract.IMAGE_LOCK: "a" * 64})
    ask.check_image({})


def test_the_modules_that_a_build_job_may_be_asked_to_run_are_there() -> None:
    """They are named in text, in a document that another machine reads."""
    found = [importlib.util.find_spec(f"headrace_functions.runtime.{name}") for name in ask.MODULES]
    assert all(found)
