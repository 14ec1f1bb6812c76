"""Pictures of the docs: each is drawn by ``make screenshots``, and none lies about that no page shows."""

from browser.screenshots import SHOWN_IN_DOCS, drawn, shown_in_docs


def test_the_docs_show_only_pictures_that_are_drawn() -> None:
    assert "overview.png" in shown_in_docs()
    assert set() == shown_in_docs() - drawn()


def test_the_folder_of_pictures_has_those_that_the_docs_show_and_no_others() -> None:
    assert shown_in_docs() == {path.name for path in SHOWN_IN_DOCS.iterdir()}
