"""The licence check finds what is not free, and takes a licence's text for what it is."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("licences", ROOT / ".ci" / "licences.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_default_locks_are_free_for_every_use(check: ModuleType) -> None:
    assert check.main([]) == 0


def test_the_opt_in_lock_would_not_pass(check: ModuleType) -> None:
    lock = (ROOT / "requirements" / "jobs-alibi.txt").read_text()
    assert [line.split(":")[0] for line in check.problems(lock, {})] == ["alibi", "alibi-detect"]


@pytest.mark.parametrize(
    ("said", "free"),
    [
        ("MIT", True),
        ("BSD-3-Clause", True),
        ("BSL-1.0", True),  # Boost
        ("BUSL-1.1", False),
        ("Business Source License 1.1", False),
        ("License :: OSI Approved :: GNU Affero General Public License v3", False),
        ("AGPL-3.0-or-later", False),
        ("Elastic License 2.0", False),
        ("SSPL-1.0", False),
    ],
)
def test_what_a_package_says_of_itself_decides(check: ModuleType, said: str, free: bool) -> None:
    found = list(check.problems("some_package==1.0 \\\n    --hash=sha256:0\n", {"some-package": said}))
    assert (found == []) is free


def test_names_are_read_as_a_lock_writes_them(check: ModuleType) -> None:
    assert check.packages("Ray[default]==2.1 \\\n    --hash=sha256:0\n# via x\nzope_interface==5\n") == [
        "ray",
        "zope-interface",
    ]
