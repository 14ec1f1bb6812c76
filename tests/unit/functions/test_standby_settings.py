"""What a standby is told by its container."""

import hashlib
from pathlib import Path

import pytest

from headrace_functions.errors import InvalidInput
from headrace_functions.standby.settings import StandbySettings

TOLD = {"HEADRACE_WORK": "/work", "HEADRACE_NAMESPACE": "models"}


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    file = tmp_path / "lock.txt"
    file.write_bytes(b"numpy==2.4.6\n")
    return file


def test_what_is_not_set_keeps_its_default(lock: Path) -> None:
    told = StandbySettings.from_environment(TOLD, lock)
    assert told == StandbySettings("http://headrace-store-proxy.models.svc:8082", Path("/work"), told.lock)
    assert told.lock == hashlib.sha256(b"numpy==2.4.6\n").hexdigest()


def test_bounds_are_told_in_mib_and_kept_in_bytes(lock: Path) -> None:
    more = {"HEADRACE_STANDBY_CHILD_MIB": "10", "HEADRACE_STANDBY_DISK_MIB": "20", "HEADRACE_STANDBY_VERSIONS": "3"}
    told = StandbySettings.from_environment(TOLD | more, lock)
    assert (told.child_bytes, told.disk_bytes, told.versions) == (10 << 20, 20 << 20, 3)


@pytest.mark.parametrize("name", sorted(TOLD))
def test_a_variable_that_is_missing_is_named(lock: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        StandbySettings.from_environment({k: v for k, v in TOLD.items() if k != name}, lock)


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5"])
def test_a_bound_that_is_no_number_is_named(lock: Path, value: str) -> None:
    with pytest.raises(InvalidInput, match="HEADRACE_STANDBY_VERSIONS"):
        StandbySettings.from_environment({**TOLD, "HEADRACE_STANDBY_VERSIONS": value}, lock)


def test_an_image_without_a_lock_is_no_runtime_image(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not a runtime image"):
        StandbySettings.from_environment(TOLD, tmp_path / "lock.txt")
