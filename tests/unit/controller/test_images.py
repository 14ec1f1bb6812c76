"""Which runtime image satisfies which requirements, and that the list says what the images are made from."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_controller.environments.images import ListedImage, RuntimeImage, choose, read
from headrace_controller.environments.listing import listing
from headrace_controller.environments.requirements import join
from headrace_functions.errors import InvalidInput
from headrace_functions.runtime import RUNTIME_REQUIREMENTS
from headrace_functions.runtime.layers import PINNED

ROOT = Path(__file__).parents[3]
LOCKS = ROOT / "functions" / "requirements"


def image(name: str, **packages: str) -> RuntimeImage:
    lock = hashlib.sha256(repr(packages).encode()).hexdigest()
    named = {k.replace("_", "-"): v for k, v in packages.items()}
    return RuntimeImage(f"images/{name}:1", ListedImage(name=name, python="3.11", lock=lock, packages=named))


PLAIN = image("plain", numpy="2.1.0", orjson="3.10.0")
LEARN = image("learn", numpy="2.1.0", orjson="3.10.0", scikit_learn="1.6.0", scipy="1.15.0")
OLDER = image("older", numpy="1.26.4", orjson="3.10.0", scikit_learn="1.4.2", scipy="1.13.0", joblib="1.4.0")
ALL = (OLDER, LEARN, PLAIN)


@pytest.mark.parametrize(
    ("requirements", "chosen"),
    [
        (["numpy"], "plain"),
        (["numpy>=1.26", "orjson>=3"], "plain"),
        (["Scikit_Learn>=1.5"], "learn"),
        (["scikit-learn==1.4.2"], "older"),
        (["numpy<2"], "older"),
        (["numpy>=2", "scikit-learn~=1.6.0"], "learn"),
        (["numpy; python_version < '3.9'", "nothing; sys_platform == 'win32'"], "plain"),
        (["scipy==1.15.*"], "learn"),
    ],
)
def test_the_smallest_image_that_satisfies_all_is_chosen(requirements: list[str], chosen: str) -> None:
    choice = choose(ALL, requirements)
    assert (choice.image.name, choice.lacking) == (chosen, ())


@pytest.mark.parametrize(
    ("requirements", "base", "lacking"),
    [
        (["numpy", "pandas>=2"], "plain", ("pandas>=2 (not there)",)),
        (["scikit-learn==1.5.0", "scipy>=1.14"], "learn", ("scikit-learn==1.5.0 (has 1.6.0)",)),
        (["scikit-learn[plots]", "scipy"], "learn", ("scikit-learn[plots] (with extras)",)),
        (["numpy @ https://example.org/numpy.whl"], "plain", ("numpy@ https://example.org/numpy.whl (a URL)",)),
        (["numpy==9; python_version >= '3.11'"], "plain", ('numpy==9; python_version >= "3.11" (has 2.1.0)',)),
    ],
)
def test_where_none_does_the_one_that_lacks_least_is_the_base_and_says_what(
    requirements: list[str], base: str, lacking: tuple[str, ...]
) -> None:
    choice = choose(ALL, requirements)
    assert choice.image.name == base
    assert [line.replace(" @", "@") for line in choice.lacking] == [line.replace(" @", "@") for line in lacking]


@given(st.permutations(ALL), st.sets(st.sampled_from(["numpy", "numpy<2", "scipy", "pandas", "scikit-learn>=1.5"])))
def test_the_order_of_the_list_and_of_the_requirements_decides_nothing(
    images: list[RuntimeImage], requirements: set[str]
) -> None:
    first = choose(images, sorted(requirements))
    second = choose(ALL, sorted(requirements, reverse=True))
    assert first.image == second.image
    assert sorted(first.lacking) == sorted(second.lacking)


def test_a_line_that_is_no_requirement_and_an_empty_list_are_refused() -> None:
    with pytest.raises(InvalidInput, match="'numpy=>2' cannot be parsed"):
        choose(ALL, ["numpy=>2"])
    with pytest.raises(InvalidInput, match="no runtime images are configured"):
        choose((), ["numpy"])


def test_the_list_of_the_shipped_locks_is_read_back_and_names_the_platforms_images() -> None:
    images = read(listing(LOCKS).decode(), lambda name: f"registry.example/{name}:3", where="list")
    assert [i.name for i in images] == sorted(p.stem for p in LOCKS.glob("*.txt"))
    for found in images:
        lock = LOCKS / f"{found.name}.txt"
        assert found.reference == f"registry.example/{found.name}:3"
        assert found.listed.lock == hashlib.sha256(lock.read_bytes()).hexdigest()
        pinned = {line.split()[0] for line in lock.read_text().splitlines() if "==" in line}
        assert set(found.lock_text.splitlines()) < pinned
        # The lock pins another numpy for later Pythons than the image's.
        assert f"numpy=={found.packages['numpy']} ; python_full_version < '3.12'" in lock.read_text()


def test_every_shipped_image_runs_the_function_server_and_holds_what_layers_never_replace() -> None:
    for found in read(listing(LOCKS).decode(), str, where="list"):
        assert choose([found], join(RUNTIME_REQUIREMENTS, PINNED)).lacking == ()


def test_an_entry_may_name_its_image_exactly() -> None:
    text = "images: [{name: a, image: 'r/a@sha256:00', python: '3.11', lock: '%s', packages: {numpy: '2.0'}}]" % (
        "0" * 64
    )
    [found] = read(text, lambda _: "unused", where="list")
    assert found.reference == "r/a@sha256:00"


@pytest.mark.parametrize(
    "text", ["", "images: []", "images: [{name: a}]", "{", "images: [{name: a, python: '3.11', lock: x, packages: {}}]"]
)
def test_a_list_that_is_none_says_how_to_make_one(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"list\.yaml is not a list of runtime images") as caught:
        read(text, str, where="list.yaml")
    assert "environments.listing" in str(caught.value.hint)
