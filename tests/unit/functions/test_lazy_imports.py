"""Modules that wait are imported at their first use, once, whole, and as if they had never waited."""

import importlib
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from headrace_functions.runtime import lazy_imports

NOTES: list[str] = []
"""What the modules of a test note here while they are executed."""
GATE = threading.Event()
THREADS = 8

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a module that notes its execution. All that it imports is forgotten afterwards."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    NOTES.clear()
    GATE.clear()

    def write(path: str, text: str = "") -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"from {__name__} import GATE, NOTES\nNOTES.append(__name__)\n{text}")

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def waits(name: str) -> bool:
    return isinstance(sys.modules[name], lazy_imports._StandIn)


def imported(name: str) -> ModuleType:
    return importlib.import_module(name)


def test_a_module_that_waits_is_imported_when_something_of_it_is_asked_for(write: Write) -> None:
    write("heavy.py", "value = 1")
    lazy_imports.allow({"heavy": ()})

    module = imported("heavy")
    assert NOTES == []
    assert module.value == 1
    assert NOTES == ["heavy"]
    assert imported("heavy") is not module
    assert imported("heavy").value == module.value, "who has the stand-in goes on with it"
    assert "value" in dir(module)
    assert NOTES == ["heavy"]


def test_a_listed_name_can_be_taken_out_and_its_first_call_imports(write: Write) -> None:
    write("heavy/__init__.py", "from heavy.inner import double")
    write("heavy/inner.py", "def double(x): return 2 * x")
    write("user.py", "from heavy import double")
    lazy_imports.allow({"heavy": ("double",)})

    double = imported("user").double
    assert NOTES == ["user"]
    assert double(4) == 8
    assert double(5) == 10
    assert double.__name__ == "double"
    assert NOTES == ["user", "heavy", "heavy.inner"]


def test_a_name_that_is_not_listed_imports_at_once(write: Write) -> None:
    write("heavy.py", "def double(x): return 2 * x")
    write("user.py", "from heavy import double")
    lazy_imports.allow({"heavy": ()})

    assert imported("user").double is imported("heavy").double
    assert not waits("heavy")


def test_a_submodule_wakes_its_package_and_is_the_one_that_the_package_made(write: Write) -> None:
    write("heavy/__init__.py", "from heavy import inner\nkept = inner")
    write("heavy/inner.py")
    lazy_imports.allow({"heavy": ()})

    imported("heavy")
    inner = imported("heavy.inner")

    assert NOTES == ["heavy", "heavy.inner"], "each is executed once, the package first"
    assert imported("heavy").kept is inner
    assert imported("heavy").inner is inner
    assert inner.__spec__ is not None
    assert isinstance(inner.__spec__.loader, importlib.machinery.SourceFileLoader)


def test_a_submodule_that_its_package_does_not_import_is_imported_after_it(write: Write) -> None:
    write("heavy/__init__.py")
    write("heavy/other.py", "value = 3")
    lazy_imports.allow({"heavy": ()})

    imported("heavy")
    assert imported("heavy.other").value == 3
    assert NOTES == ["heavy", "heavy.other"]


def test_a_submodule_that_waits_too_wakes_nobody_and_is_found_in_its_package_later(write: Write) -> None:
    write("heavy/__init__.py", "value = 1")
    write("heavy/inner.py", "def double(x): return 2 * x")
    write("user.py", "from heavy.inner import double\nimport heavy")
    lazy_imports.allow({"heavy": (), "heavy.inner": ("double",)})

    user = imported("user")
    assert NOTES == ["user"]
    assert user.heavy.value == 1
    assert NOTES == ["user", "heavy"]
    assert imported("heavy").inner.double(2) == 4
    assert user.double(3) == 6
    assert NOTES == ["user", "heavy", "heavy.inner"]


def test_a_class_that_waits_can_be_a_base_and_be_compared_with(write: Write) -> None:
    write("heavy.py", "class Thing: pass")
    write("user.py", "from heavy import Thing\ndef is_thing(x): return isinstance(x, Thing)")
    lazy_imports.allow({"heavy": ("Thing",)})
    user = imported("user")

    class Sub(user.Thing):  # type: ignore[name-defined,misc]
        pass

    assert Sub.__mro__[1] is imported("heavy").Thing
    assert user.is_thing(imported("heavy").Thing())
    assert not user.is_thing(3)
    assert issubclass(Sub, user.Thing)


def test_what_waits_is_pickled_as_what_it_stands_for(write: Write) -> None:
    write("heavy.py", "def double(x): return 2 * x")
    write("user.py", "from heavy import double")
    lazy_imports.allow({"heavy": ("double",)})

    packed = pickle.dumps(imported("user").double)

    assert pickle.loads(packed) is imported("heavy").double


def test_all_names_of_a_module_that_waits_come_with_a_star(write: Write) -> None:
    write("heavy.py", "__all__ = ['a', 'b']\na = 1\nb = 2")
    write("user.py", "from heavy import *")
    lazy_imports.allow({"heavy": ()})

    assert (imported("user").a, imported("user").b) == (1, 2)


def test_a_module_that_cannot_be_imported_says_so_at_each_use(write: Write) -> None:
    write("heavy.py", "import no_such_module")
    lazy_imports.allow({"heavy": ("double",)})
    module = imported("heavy")

    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="no_such_module"):
            module.double(1)


def test_a_module_that_there_is_not_is_not_made_up(write: Write) -> None:
    del write
    lazy_imports.allow({"no_such_heavy": ()})
    with pytest.raises(ModuleNotFoundError):
        imported("no_such_heavy")


def test_a_module_from_elsewhere_than_the_environment_does_not_wait(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("heavy.py")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "image"))
    lazy_imports.allow({"heavy": ()})

    imported("heavy")
    assert NOTES == ["heavy"]


def test_a_module_that_is_imported_already_stays(write: Write) -> None:
    write("heavy.py", "value = 1")
    before = imported("heavy")
    lazy_imports.allow({"heavy": ()})
    assert imported("heavy") is before


def test_threads_that_use_it_at_once_see_one_whole_module(write: Write) -> None:
    write("heavy.py", "GATE.wait(30)\ndef double(x): return 2 * x")
    write("user.py", "from heavy import double")
    lazy_imports.allow({"heavy": ("double",)})
    double, started = imported("user").double, threading.Barrier(THREADS + 1)

    def use(x: int) -> object:
        started.wait(30)
        return double(x)

    with ThreadPoolExecutor(THREADS) as threads:
        answers = [threads.submit(use, x) for x in range(THREADS)]
        started.wait(30)
        GATE.set()
        assert [a.result(30) for a in answers] == [2 * x for x in range(THREADS)]
    assert NOTES == ["user", "heavy"]
