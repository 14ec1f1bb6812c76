"""What the log of a confined function says where it may not read or write."""

import logging
from pathlib import Path

import pytest

from headrace_functions.errors import FunctionFailed
from headrace_functions.runtime import confinement
from headrace_functions.runtime.exchange import log_failure


def failed(cause: Exception) -> FunctionFailed:
    error = FunctionFailed(f"the function raised {type(cause).__name__}")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("confined", "cause", "told"),
    [
        (True, PermissionError(13, "Permission denied", "/tmp/x"), True),
        (True, ValueError("no"), False),
        (False, PermissionError(13, "Permission denied", "/tmp/x"), False),
    ],
)
def test_a_file_that_confinement_keeps_from_a_function_is_explained_in_its_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, confined: bool, cause: Exception, told: bool
) -> None:
    monkeypatch.setattr(confinement, "_confined", [Path("/run/functions/m-v1-1")] if confined else [])
    log_failure(failed(cause), "r1")
    words = (
        "request r1: the function is confined: it may read its own files and write below TMPDIR (/run/functions/m-v1-1)"
    )
    assert told == any(r.getMessage().startswith(words) for r in caplog.records)
    assert [logging.ERROR] * (2 if told else 1) == [r.levelno for r in caplog.records]
