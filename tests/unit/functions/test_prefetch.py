"""What a pod reads from the store is on its way before it is asked for."""

import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from headrace_functions.errors import InvalidInput, NotFound
from headrace_functions.runtime import prefetch
from headrace_functions.runtime.prefetch import ReadAhead

SECONDS = 30


class Shelf:
    """A store that counts what is read and answers when it may."""

    def __init__(self, **content: bytes) -> None:
        self.content = content
        self.read: Counter[str] = Counter()
        self.begun = threading.Event()
        self.may_answer = threading.Event()

    def get(self, key: str) -> bytes:
        self.read[key] += 1
        self.begun.set()
        assert self.may_answer.wait(SECONDS)
        if key not in self.content:
            raise NotFound(f"no object {key}")
        return self.content[key]


def test_it_is_read_before_anybody_asks_and_once() -> None:
    shelf = Shelf(document=b"{}")
    store = ReadAhead(shelf, ["document"])
    assert shelf.begun.wait(SECONDS)
    shelf.may_answer.set()
    assert store.get("document") == b"{}"
    assert shelf.read == {"document": 1}


def test_what_is_asked_again_is_read_again_for_nothing_is_kept() -> None:
    shelf = Shelf(document=b"{}")
    shelf.may_answer.set()
    store = ReadAhead(shelf, ["document"])
    assert [store.get("document"), store.get("document")] == [b"{}", b"{}"]
    assert shelf.read == {"document": 2}


def test_what_the_store_raises_is_raised_where_it_is_asked_for() -> None:
    shelf = Shelf(document=b"{}")
    shelf.may_answer.set()
    store = ReadAhead(shelf, ["document", "artifact"])
    assert store.get("document") == b"{}"
    with pytest.raises(NotFound, match="no object artifact"):
        store.get("artifact")


def test_an_artifact_that_the_pod_has_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(**{"models/m/versions/1/version.json": b"{}"})
    shelf.may_answer.set()
    monkeypatch.setattr("headrace_functions.storage.objects.ObjectStore", lambda url: shelf)
    environment = {"HEADRACE_VERSION": "m:1", "HEADRACE_STORAGE": "s3://bucket", "HEADRACE_WORK": str(tmp_path)}
    (tmp_path / "artifact").mkdir()

    store = prefetch.begin(environment)

    assert store.get("models/m/versions/1/version.json") == b"{}"
    assert "models/m/versions/1/artifact.tar.zst" not in shelf.read


@pytest.mark.parametrize("name", ["HEADRACE_VERSION", "HEADRACE_STORAGE", "HEADRACE_WORK"])
def test_a_variable_that_is_missing_is_named(tmp_path: Path, name: str) -> None:
    environment = {"HEADRACE_VERSION": "m:1", "HEADRACE_STORAGE": str(tmp_path), "HEADRACE_WORK": str(tmp_path)}
    del environment[name]
    with pytest.raises(InvalidInput, match=name):
        prefetch.begin(environment)


def test_numpy_is_not_imported_before_a_layer_could_bring_another() -> None:
    code = "import sys; from headrace_functions.runtime import deferred_modules, layers, lazy_imports, prefetch, threads; print('numpy' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, timeout=60).strip() == "False"
