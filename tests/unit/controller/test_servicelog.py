"""The log of a version's processes, and what it says of one request."""

from pathlib import Path

import pytest

from headrace_controller.service import servicelog
from headrace_functions.errors import NotFound
from headrace_functions.names import VersionId

VERSION = VersionId("raiser", 1)
FAILED = "2026-11-26 10:00:01,5 ERROR headrace: request r1 failed\nTraceback (most recent call last):\n  …\nValueError: bad\n"
OTHER = "2026-11-26 10:00:02,5 ERROR headrace: request r12 failed\nTraceback\nKeyError: 1\n"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    (tmp_path / f"{VERSION.service}.log").write_text("2026-11-26 10:00:00,5 INFO headrace: started\n" + OTHER)
    (tmp_path / f"{VERSION.service}.log.1").write_text(FAILED)
    return tmp_path


def test_a_requests_entry_comes_with_its_traceback_and_no_other_request(logs: Path) -> None:
    assert FAILED == servicelog.read(logs, VERSION, "r1")
    assert OTHER == servicelog.read(logs, VERSION, "r12")


def test_without_a_request_the_end_of_the_log_is_read(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert servicelog.read(logs, VERSION).endswith(OTHER)
    monkeypatch.setattr(servicelog, "MAX_TEXT", 20)
    assert "KeyError: 1\n" == servicelog.read(logs, VERSION)


def test_what_is_not_there_is_said_with_what_to_do(logs: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="has nothing about request r9") as caught:
        servicelog.read(logs, VERSION, "r9")
    assert "headrace log show raiser:1 r9" in (caught.value.hint or "")
    with pytest.raises(NotFound, match="raiser:2 has no log"):
        servicelog.read(tmp_path, VersionId("raiser", 2))
