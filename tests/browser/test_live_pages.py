"""The pages in a real browser: they show what is there, follow what changes, and work without JavaScript."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from fixtures_browser import MARKS, browser, page
from fixtures_platform import ADDER, RunningPlatform

__all__ = ["browser", "page"]

pytestmark = [*MARKS]


def test_the_overview_lists_models_and_leads_to_each(platform: RunningPlatform, page: Page) -> None:
    page.goto(platform.url)

    page.get_by_role("link", name="adder:1", exact=True).first.click()

    expect(page).to_have_url(f"{platform.url}/models/adder?version=1")
    expect(page.get_by_text("adder:1").first).to_be_visible()


def test_the_overview_shows_a_new_model_without_being_loaded_again(
    platform: RunningPlatform, page: Page, tmp_path: Path
) -> None:
    page.goto(platform.url)
    page.evaluate("window.loadedOnce = true")

    platform.apply_python("newcomer", ADDER, tmp_path / "newcomer")

    expect(page.get_by_role("link", name="newcomer:1", exact=True).first).to_be_visible(timeout=10_000)
    assert page.evaluate("window.loadedOnce") is True


def test_a_models_versions_show_a_service_waking_up(platform: RunningPlatform, page: Page) -> None:
    with platform.client() as client:
        client.put_to_sleep("adder:1")
    page.goto(f"{platform.url}/models/adder?tab=versions")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="adder:1", exact=True)).first
    expect(row.get_by_text("asleep")).to_be_visible(timeout=10_000)

    assert platform.infer("adder", 1.0).status_code == 200

    expect(row.get_by_text("ready")).to_be_visible(timeout=10_000)


def test_the_pages_work_without_javascript(platform: RunningPlatform, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(platform.url)
    page.get_by_role("link", name="adder:1", exact=True).first.click()

    expect(page.get_by_text("adder:1").first).to_be_visible()
    context.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_is_wider_than_the_window(platform: RunningPlatform, browser: Browser, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    for path in ("/", "/models/adder"):
        page.goto(platform.url + path)
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, path
    context.close()
