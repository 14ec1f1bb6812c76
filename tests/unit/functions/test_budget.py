"""The bytes of open request bodies are bounded: many large ones are refused, one alone is always taken, nothing is counted twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_functions.errors import Overloaded
from headrace_functions.protocol.budget import ByteBudget


def test_a_body_that_finds_no_room_is_refused_and_taken_when_another_is_done() -> None:
    budget = ByteBudget(100)
    first, second = budget.hold(), budget.hold()
    first.at_least(80)
    with pytest.raises(Overloaded, match="80 bytes are being processed"):
        second.at_least(21)
    first.release()
    second.at_least(21)
    assert 21 == budget.open


def test_one_body_alone_is_taken_whatever_its_size() -> None:
    budget = ByteBudget(100)
    budget.hold().at_least(1000)
    assert 1000 == budget.open


@given(sizes=st.lists(st.lists(st.integers(0, 60), max_size=4), max_size=10))
def test_what_is_held_is_what_was_asked_last_and_all_of_it_is_given_back(sizes: list[list[int]]) -> None:
    budget = ByteBudget(100)
    holders = []
    for steps in sizes:
        held = budget.hold()
        holders.append(held)
        for size in steps:
            before = budget.open
            try:
                held.at_least(size)
            except Overloaded:
                assert before == budget.open
        assert budget.open <= max(100, 60)
    for held in holders:
        held.release()
        held.release()
    assert 0 == budget.open
