"""Values of categories are shown as definitions and requests write them."""

from typing import Any

import pytest

from headrace_controller.pages.figures import csv_cell, figure
from headrace_functions.classes import text_of


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (False, "false"), ("True", "True"), (1, "1"), (1.5, "1.5"), ("a", "a")]
)
def test_a_truth_value_is_true_or_false_and_a_text_stays_as_it_is(value: Any, text: str) -> None:
    assert text == text_of(value) == figure(value)
    assert text == csv_cell(value)
