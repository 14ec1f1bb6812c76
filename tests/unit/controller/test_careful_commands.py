"""Commands that guard what cannot be undone, say what goes on after Ctrl-C, and name the command that was meant."""

import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from headrace_controller.cli import entrypoint, interrupts
from headrace_controller.cli.output import confirm
from headrace_controller.cli.platform import _announce, _detached
from headrace_controller.embedded.home import SOCKETS, HomeLock
from headrace_controller.settings import MAX_SOCKET_PATH, Settings
from headrace_functions.errors import InvalidInput, NotReady, StorageFailed
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_an_address_that_others_can_reach_needs_to_be_wanted(host: str) -> None:
    with pytest.raises(InvalidInput, match="callers are not authenticated") as caught:
        Settings(Path("/h"), host=host)
    assert "--auth" in (caught.value.hint or "")
    assert "--insecure" in (caught.value.hint or "")
    assert host == Settings(Path("/h"), host=host, auth=True).host
    assert host == Settings(Path("/h"), host=host, insecure=True).host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_an_address_of_this_machine_alone_is_taken(host: str) -> None:
    assert host == Settings(Path("/h"), host=host).host


def test_sockets_of_a_home_with_a_long_path_are_in_a_short_private_folder_until_it_is_released(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 20)
    settings = Settings(home)
    lock = HomeLock(settings)
    longest = settings.sockets / f"{'m' * 40}-v1234-999999.sock"
    assert len(os.fsencode(longest)) <= MAX_SOCKET_PATH
    assert (0o700, settings.sockets) == (settings.sockets.stat().st_mode & 0o777, (settings.run / SOCKETS).readlink())
    lock.release()
    assert not settings.sockets.exists()


def test_a_short_folder_that_others_may_open_is_refused(tmp_path: Path) -> None:
    settings = Settings(tmp_path / ("long" * 21))
    settings.sockets.mkdir(mode=0o755)
    try:
        with pytest.raises(StorageFailed, match="needed for the sockets"):
            HomeLock(settings)
    finally:
        settings.sockets.rmdir()


def test_a_home_with_a_short_path_keeps_its_sockets_itself() -> None:
    assert Path("/h/run") == Settings(Path("/h")).sockets


def test_where_nobody_can_be_asked_yes_must_be_said() -> None:
    with pytest.raises(InvalidInput, match=r"Delete x\? There is no terminal for the question") as caught:
        confirm("Delete x?", yes=False)
    assert "--yes" in (caught.value.hint or "")
    confirm("Delete x?", yes=True)


@pytest.mark.parametrize(
    ("words", "meant"), [(["aply"], "apply"), (["model", "lst"], "list"), (["log", "qurey"], "query")]
)
def test_an_unknown_command_names_the_nearest_one(words: list[str], meant: str) -> None:
    found = CliRunner().invoke(entrypoint.front, words)
    assert (2, True) == (found.exit_code, f"Did you mean {meant!r}?" in found.stderr)


def test_ctrl_c_says_what_goes_on_and_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def waiting() -> None:
        with interrupts.goes_on("the build of m:1 goes on"):
            raise KeyboardInterrupt

    monkeypatch.setattr("headrace_controller.cli.status.status.callback", lambda **_: waiting())
    found = CliRunner().invoke(entrypoint.front, ["status"])
    assert (130, True) == (found.exit_code, "interrupted: the build of m:1 goes on" in found.stderr)


@pytest.mark.parametrize(("auth", "keys", "warned"), [(False, True, True), (False, False, False), (True, True, False)])
def test_a_platform_that_has_keys_and_asks_for_none_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], auth: bool, keys: bool, warned: bool
) -> None:
    settings = Settings(tmp_path / "home", auth=auth)
    if keys:
        ObjectStore(settings.storage_url).create(f"{layout.ACCESS_KEYS}web/1.json", b"{}")
    _announce("http://127.0.0.1:1", settings, as_json=False)
    assert warned == ("without --auth nobody is asked" in capsys.readouterr().err)


def test_a_start_in_the_background_that_fails_shows_what_it_said_and_not_what_earlier_ones_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(tmp_path / "home", port=0)
    settings.logs.mkdir(parents=True)
    (settings.logs / "platform.log").write_text("trouble of last week\n")
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho trouble of today\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(NotReady) as caught:
        _detached(settings)
    assert caught.value.message.endswith("platform.log:\ntrouble of today")
    assert "last week" not in caught.value.message
