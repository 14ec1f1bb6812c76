"""Numbers of things are said in words that fit the number."""

import pytest

from headrace_functions.wording import counted


@pytest.mark.parametrize(
    ("expected", "number", "words"),
    [
        ("0 files", 0, ("file",)),
        ("1 file", 1, ("file",)),
        ("2 files", 2, ("file",)),
        ("3 bodies", 3, ("body", "bodies")),
    ],
)
def test_one_thing_is_in_the_singular_alone(expected: str, number: int, words: tuple[str, ...]) -> None:
    assert expected == counted(number, *words)
