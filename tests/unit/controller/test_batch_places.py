"""Where batches that run as jobs may read and write."""

from pathlib import Path

import pytest

from headrace_controller.service.batch_places import PLACES, check, places_of
from headrace_functions.batch import places
from headrace_functions.errors import InvalidInput


def test_places_are_folders_and_prefixes() -> None:
    assert ("/data/scores", "s3://lake/a") == places_of({PLACES: " /data/scores, s3://lake/a,"})
    assert () == places_of({})


@pytest.mark.parametrize("text", ["data", "s3://", "gs://lake", "s3:/lake"])
def test_what_is_no_place_is_refused_with_the_variable(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        places_of({PLACES: text})
    assert (PLACES, text) == (caught.value.field, caught.value.got)


@pytest.mark.parametrize("place", ["", "/in", "/in/*.csv", "/in/a/b.csv"])
def test_what_is_below_a_place_is_allowed(tmp_path: Path, place: str) -> None:
    (tmp_path / "in").mkdir()
    check({"files": f"{tmp_path}{place}", "to": "s3://lake/out/x"}, [str(tmp_path), "s3://lake/out"])


@pytest.mark.parametrize(
    "place",
    [
        "/etc/passwd", "relative.csv", "{root}/../other", "{root}x/a", "{root}/link/a.csv", "{root}/*/../../etc/*", "s3://lake/other",
        "s3://lake/output", "s3://lake/out/../x", "s3://other/out", "/", "*",
    ],
)  # fmt: skip
def test_what_is_elsewhere_is_refused_with_the_field(tmp_path: Path, place: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to("/etc")
    for field in ("files", "to"):
        arguments = {"files": str(root), "to": str(root), field: place.format(root=root)}
        with pytest.raises(
            InvalidInput, match="is outside the places that batches of this platform may read and write"
        ) as caught:
            check(arguments, [str(root), "s3://lake/out"])
        assert field == caught.value.field


@pytest.mark.parametrize(
    ("name", "value"), [("part-rows", "0"), ("part-rows", "x"), ("parallel", "65"), ("log", "maybe"), ("group", "sex")]
)
def test_an_option_that_is_none_is_named(name: str, value: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check({"files": "/in", "to": "/in", name: value}, ["/in"])
    assert name == caught.value.field


def test_a_platform_that_names_no_place_runs_no_batch() -> None:
    with pytest.raises(InvalidInput, match="is outside the places that batches") as caught:
        check({"files": "/in", "to": "/in"}, [])
    assert PLACES in str(caught.value.hint)


@pytest.mark.parametrize(
    "place", ["s3://b/p/%2e%2e/x", "s3://b/p/.\t./x", "s3://b/p/..\n/x", "s3://b/p/../x", "/data/a\x00b"]
)
def test_a_place_that_says_another_once_it_is_decoded_is_refused(place: str) -> None:
    with pytest.raises(InvalidInput):
        check({"files": place, "to": "s3://b/p/out"}, ("s3://b/p", "/data"))


def test_a_file_that_a_link_brings_from_elsewhere_is_refused_by_the_job_itself(tmp_path: Path) -> None:
    """Named by its folder, by a pattern, or through a folder that is a link; what lies there itself is read."""
    allowed, secret = tmp_path / "in", tmp_path / "secret"
    for folder in (allowed, secret):
        folder.mkdir()
        (folder / "s.csv").write_text("x\n1\n")
    within = (str(allowed),)
    assert ["s.csv"] == [one.name for one in places.inputs(str(allowed), tmp_path, within)]
    (allowed / "leak.csv").symlink_to(secret / "s.csv")
    (allowed / "folder").symlink_to(secret)
    for pattern in (str(allowed), f"{allowed}/*.csv", f"{allowed}/*/s.csv", f"{allowed}/folder"):
        with pytest.raises(InvalidInput, match="is outside the places"):
            places.inputs(pattern, tmp_path, within)
    assert 2 == len(places.inputs(str(allowed), tmp_path)), "a command of one's own reads what one may"


def test_answers_are_not_written_through_a_link_that_leads_elsewhere(tmp_path: Path) -> None:
    allowed, secret = tmp_path / "out", tmp_path / "secret"
    allowed.mkdir()
    secret.mkdir()
    (allowed / "answers").symlink_to(secret)
    with pytest.raises(InvalidInput, match="is outside the places"):
        places.destination(str(allowed / "answers"), tmp_path, within=(str(allowed),))
    assert allowed / "new" == places.destination(str(allowed / "new"), tmp_path, within=(str(allowed),)).folder
