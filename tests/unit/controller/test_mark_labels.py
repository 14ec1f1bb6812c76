"""What stands beside the marks of changes and incidents: never one text on another, and what cannot stand apart is counted."""

from hypothesis import given
from hypothesis import strategies as st

from headrace_controller.pages.healthviews import LABEL, mark_labels
from headrace_functions.charts import Mark

CHARACTER = 0.0075
MARKS = st.lists(
    st.builds(Mark, st.floats(0, 1), st.text(st.characters(codec="ascii"), min_size=1, max_size=60), st.booleans()),
    max_size=12,
)


def test_a_mark_by_itself_has_its_text_and_a_long_one_its_beginning() -> None:
    assert ["alias prod → 2"] == mark_labels([Mark(0.2, "alias prod → 2")])
    (label,) = mark_labels([Mark(0.2, "x" * 100)])
    assert "x" * (LABEL - 1) + "…" == label


def test_marks_that_lie_on_one_another_are_counted_beside_the_one_that_text_runs_from() -> None:
    released = [Mark(0.30 + 0.002 * n, f"version churn:{n} released") for n in range(3)]
    assert ["", "", "3 changes"] == mark_labels(released)
    late = [Mark(0.80, "released"), Mark(0.805, "worst radius", True), Mark(0.806, "aliased")]
    assert ["2 changes, 1 incident", "", ""] == mark_labels(late)


def test_where_two_labels_do_not_fit_the_incident_has_its_own() -> None:
    assert ["", "incident 1"] == mark_labels([Mark(0.50, "version churn:2 released"), Mark(0.53, "incident 1", True)])


@given(MARKS)
def test_no_label_lies_on_another_or_on_a_mark(marks: list[Mark]) -> None:
    labels = mark_labels(marks)
    spans = []
    for mark, label in zip(marks, labels, strict=True):
        if label:
            width = CHARACTER * len(label)
            spans.append((mark.at - width, mark.at) if mark.at > 0.7 else (mark.at, mark.at + width))
    for a, (begin, end) in enumerate(spans):
        assert all(end <= other[0] or begin >= other[1] for b, other in enumerate(spans) if a != b)
        assert not any(begin + 1e-9 < m.at < end - 1e-9 for m in marks if m.at not in (begin, end))
    assert bool(marks) <= any(labels), "one of them at least is said"
