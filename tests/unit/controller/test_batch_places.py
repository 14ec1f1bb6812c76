"""Where batches that run as jobs may read and write."""

from pathlib import Path

import pytest

from headrace_controller.service.batch_places import PLACES, check, places_of
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
        with pytest.raises(InvalidInput, match="is not where batches of this platform may read and write") as caught:
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
    with pytest.raises(InvalidInput, match="is not where batches") as caught:
        check({"files": "/in", "to": "/in"}, [])
    assert PLACES in str(caught.value.hint)
