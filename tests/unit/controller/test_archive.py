"""Archives: the same files give the same bytes, and unpacking stays in its folder."""

import io
import os
import tarfile
import threading
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace_controller import archive
from headrace_functions.errors import InvalidInput, Malformed, NotFound, TooLarge
from headrace_functions.storage import members

NAMES = st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}){0,2}\.bin", fullmatch=True)


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def tar_of(*members: tarfile.TarInfo) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return zstandard.compress(plain.getvalue())


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, 1 if kind == tarfile.REGTYPE else 0
    return info


@given(st.dictionaries(NAMES, st.binary(max_size=200), min_size=1, max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
def test_packing_is_repeatable_and_unpacking_gives_the_files_back(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
    write(here, files)
    write(there, dict(reversed(files.items())))
    os.utime(there / next(iter(files)), (0, 0))
    tops = sorted({name.split("/")[0] for name in files})
    digest = archive.pack(tops, here, here / ".a")
    assert archive.pack(reversed(tops), there, there / ".a") == digest
    archive.unpack(here / ".a", here / ".unpacked")
    found = {
        p.relative_to(here / ".unpacked").as_posix(): p.read_bytes()
        for p in (here / ".unpacked").rglob("*")
        if p.is_file()
    }
    assert found == files


@pytest.mark.parametrize(
    "bad",
    [
        member("/etc/passwd"),
        member("../outside"),
        member("a/../../outside"),
        member("link", tarfile.SYMTYPE, "/etc/passwd"),
        member("hard", tarfile.LNKTYPE, "model"),
        member("device", tarfile.CHRTYPE),
        member("pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda m: m.name,
)
def test_a_member_that_could_leave_the_folder_is_refused_and_nothing_is_left(
    tmp_path: Path, bad: tarfile.TarInfo
) -> None:
    with pytest.raises(InvalidInput, match="link, a device or outside"):
        archive.unpack(tar_of(member("model"), bad), tmp_path / "artifact")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"not an archive", zstandard.compress(b"not a tar" * 100)])
def test_bytes_that_are_no_archive_are_malformed(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Malformed):
        archive.unpack(data, tmp_path / "artifact")


@pytest.mark.parametrize(
    "members",
    [
        [member("a"), member("a")],
        [member("a"), member("a/b")],
        [member(".")],
        [member("x" * 300)],
    ],
    ids=["twice", "below a file", "the folder itself", "a long name"],
)
def test_a_name_that_no_file_can_have_is_refused_by_it(tmp_path: Path, members: list[tarfile.TarInfo]) -> None:
    with pytest.raises(InvalidInput, match="cannot be written"):
        archive.unpack(tar_of(*members), tmp_path / "artifact")
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_was_cut_short_is_malformed(tmp_path: Path) -> None:
    write(tmp_path, {"model.bin": os.urandom(100_000)})
    archive.pack(["model.bin"], tmp_path, tmp_path / "a")
    with pytest.raises(Malformed):
        archive.unpack((tmp_path / "a").read_bytes()[:50_000], tmp_path / "artifact")
    assert not (tmp_path / "artifact").exists()


def test_an_archive_that_grows_past_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"model.bin": bytes(1_000_000)})
    archive.pack(["model.bin"], tmp_path, tmp_path / "a")
    monkeypatch.setattr(members, "MAX_UNPACKED", 999_999)
    with pytest.raises(TooLarge):
        archive.unpack(tmp_path / "a", tmp_path / "artifact")


def test_a_payload_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"model\.joblib is not in") as caught:
        archive.pack(["model.joblib"], tmp_path, tmp_path / "a")
    assert "train the model first" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("payload", "names"),
    [
        (["src/*.py"], ["src/func_main.py", "src/helper.py"]),
        (["*"], ["model[1].bin", "src/data/words.txt", "src/func_main.py", "src/helper.py", "train.csv"]),
        (["**/*.txt", "train.*"], ["src/data/words.txt", "train.csv"]),
        (["src/*.py", "src/helper.py"], ["src/func_main.py", "src/helper.py"]),
        (["model[1].bin"], ["model[1].bin"]),
    ],
)
def test_a_pattern_stands_for_the_files_that_match_it_at_their_places(
    tmp_path: Path, payload: list[str], names: list[str]
) -> None:
    here = tmp_path / "here"
    files = ("src/func_main.py", "src/helper.py", "src/data/words.txt", "train.csv", "model[1].bin")
    write(here, dict.fromkeys((*files, "__pycache__/x.pyc", "src/x.pyc", ".git/config"), b"x"))
    archive.pack(payload, here, tmp_path / "a")
    assert names == archive.names(tmp_path / "a")


def test_a_pattern_that_nothing_matches_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"payload: nothing in .* matches src/\*\.py"):
        archive.pack(["src/*.py"], tmp_path, tmp_path / "a")


def test_a_link_that_leaves_the_payload_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "payload").mkdir()
    (tmp_path / "payload" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(InvalidInput, match="links to a place outside"):
        archive.pack(["payload"], tmp_path, tmp_path / "a")


def test_caches_and_version_control_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, {"src/function.py": b"", "src/__pycache__/function.pyc": b"", "src/.git/config": b""})
    archive.pack(["src"], tmp_path, tmp_path / "a")
    assert archive.names(tmp_path / "a") == ["src/function.py"]


def test_many_that_unpack_at_once_get_one_whole_folder(tmp_path: Path) -> None:
    write(tmp_path, {f"f{i}.bin": bytes([i]) * 1000 for i in range(50)})
    archive.pack([f"f{i}.bin" for i in range(50)], tmp_path, tmp_path / "a")
    seen: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: seen.append(len(list(archive.unpack_once(tmp_path / "a", tmp_path / "artifact").iterdir())))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [50] * 8


def gzipped(target: Path, names: list[str], *, at: int = 0) -> Path:
    with tarfile.open(target, "w:gz") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(name), at
            tar.addfile(info, io.BytesIO(name.encode()))
    return target


def test_a_tar_gz_becomes_the_archive_that_the_same_files_give_whenever_they_were_packed(tmp_path: Path) -> None:
    first = gzipped(tmp_path / "first", ["b.py", "a/c.py"], at=1)
    second = gzipped(tmp_path / "second", ["a/c.py", "b.py"], at=2)
    assert (True, True) == (archive.from_gzip(first), archive.from_gzip(second))
    assert archive.digest(first) == archive.digest(second)
    assert ["a/c.py", "b.py"] == archive.names(first)
    assert archive.from_gzip(first) is False
    assert {"first", "second"} == {p.name for p in tmp_path.iterdir()}, "nothing is left over"


@pytest.mark.parametrize("damage", ["truncated", "garbage", "outside"])
def test_a_tar_gz_that_cannot_be_read_or_leaves_its_folder_is_refused(tmp_path: Path, damage: str) -> None:
    file = gzipped(tmp_path / "x", ["../out.py" if damage == "outside" else "a.py"])
    if damage != "outside":
        body = file.read_bytes()
        file.write_bytes(body[:20] if damage == "truncated" else body[:12] + b"garbage")
    with pytest.raises(InvalidInput) as refused:
        archive.from_gzip(file)
    assert "payload" == refused.value.field


def test_a_tar_gz_that_unpacks_to_more_than_an_archive_may_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_UNPACKED", 1000)
    monkeypatch.setattr(archive, "MAX_FILES", 1)
    with pytest.raises(TooLarge):
        archive.from_gzip(gzipped(tmp_path / "x", [f"{i}.py" for i in range(50)]))
