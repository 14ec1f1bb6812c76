"""People log in on the pages: from where they wanted to go and back, live pages for them alone, and out again."""

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from fixtures_browser import MARKS, browser, page
from fixtures_platform import ADDER, RunningPlatform
from headrace_controller.client import Client

__all__ = ["browser", "page"]
pytestmark = list(MARKS)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    found = RunningPlatform(tmp_path_factory.mktemp("login") / "home", "--auth").start()
    patch = pytest.MonkeyPatch()
    patch.setenv("HEADRACE_API_KEY", found.settings.first_key.read_text().strip())
    for name in ("adder", "hidden"):
        found.apply_python(name, ADDER, found.home.parent / name)
    yield found
    patch.undo()
    assert 0 == found.stop()


@pytest.fixture(scope="module")
def admin(platform: RunningPlatform) -> Iterator[Client]:
    with Client(platform.url, key=platform.settings.first_key.read_text().strip()) as client:
        yield client


def log_in(page: Page, platform: RunningPlatform, key: str, path: str = "/") -> None:
    page.goto(platform.url + path)
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Log in").click()


def test_a_login_leads_back_to_where_one_wanted_to_go(platform: RunningPlatform, admin: Client, page: Page) -> None:
    key = admin.create_key("reader", ["viewer:adder"]).key
    log_in(page, platform, key, "/models/adder?tab=versions")
    expect(page).to_have_url(platform.url + "/models/adder?tab=versions")
    page.goto(platform.url)
    expect(page.get_by_role("main")).to_contain_text("adder:1")
    expect(page.get_by_role("main")).not_to_contain_text("hidden")
    assert page.evaluate("document.cookie") == ""


def test_a_live_page_is_for_who_views_it_and_ends_with_the_key(
    platform: RunningPlatform, admin: Client, page: Page, browser: Browser
) -> None:
    ours, theirs = (admin.create_key(f"live-{n}", [f"viewer:{n}"]).key for n in ("adder", "hidden"))
    other = browser.new_context().new_page()
    log_in(page, platform, ours)
    log_in(other, platform, theirs)
    for viewer in (page, other):
        expect(viewer.locator("#live")).to_contain_text("live", timeout=15_000)
    admin.move_alias("adder", "fresh", 1)
    expect(page.get_by_role("main")).to_contain_text("@fresh", timeout=15_000)
    expect(other.get_by_role("main")).not_to_contain_text("adder")
    other.context.close()


def test_logging_out_shows_the_login_again(platform: RunningPlatform, admin: Client, page: Page) -> None:
    log_in(page, platform, admin.create_key("leaver", ["viewer"]).key)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    page.goto(platform.url + "/models/adder")
    expect(page.get_by_label("API key")).to_be_visible()


@pytest.mark.parametrize("path", ["/login", "/access", "/audit"])
def test_people_with_other_senses_can_use_these_pages(
    platform: RunningPlatform, admin: Client, page: Page, path: str
) -> None:
    log_in(page, platform, platform.settings.first_key.read_text().strip(), "/")
    page.goto(platform.url + path)
    found = Axe().run(page)
    assert 0 == found.violations_count, found.generate_report()
