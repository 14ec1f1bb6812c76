"""Where the rows of a stream's request come from."""

from hypothesis import given
from hypothesis import strategies as st

from headrace_functions.sources import Source

MESSAGES = st.lists(st.tuples(st.integers(0, 10**15), st.integers(1, 50)), min_size=1, max_size=40)


@given(MESSAGES)
def test_a_source_is_read_back_from_how_it_is_written(messages: list[tuple[int, int]]) -> None:
    source = Source("kafka:s:0:topic:3", tuple(messages))

    assert source == Source.parse(str(source))


def test_neighbours_are_written_as_a_range() -> None:
    source = Source("p", ((7, 1), (8, 1), (9, 1), (11, 1), (12, 3), (13, 1)))

    assert "p 7-9,11,12x3,13" == str(source)
    assert 8 == source.rows


def test_each_row_has_the_id_of_its_message() -> None:
    assert [("p:00000000000000000007", 0), ("p:00000000000000000008", 0), ("p:00000000000000000008", 1)] == list(
        Source("p", ((7, 1), (8, 2))).ids()
    )


def test_only_the_last_word_on_messages_is_logged() -> None:
    one, two = Source("p", ((7, 2),)), Source("p", ((7, 1), (8, 1)))

    assert [True, True, True, False, False] == [
        one.logs(o) for o in ("ok", "refused", "failed", "timeout", "overloaded")
    ]
    assert [True, False, False] == [two.logs(o) for o in ("ok", "refused", "failed")]


@given(st.text(max_size=60))
def test_what_is_no_source_is_none(text: str) -> None:
    found = Source.parse(text)

    assert found is None or found == Source.parse(str(found))
    for bad in ("", "p", "p ", "p 7-", "p 9-7", "p x3", "p 1-999999999999"):
        assert Source.parse(bad) is None
