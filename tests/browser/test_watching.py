"""From traffic that goes wrong to its cause, in a real browser: by mouse, by keyboard alone, without JavaScript, and for everybody (axe)."""

import csv
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from fixtures_browser import MARKS, browser, page
from fixtures_platform import RunningPlatform, until
from headrace_functions.names import VersionId
from headrace_functions.protocol.codec import encode_request, encode_response
from headrace_functions.protocol.messages import RequestInfo
from headrace_functions.record import Record, RecordHeader
from headrace_functions.recording.spool import Spool
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version

__all__ = ["browser", "page"]

pytestmark = [*MARKS, pytest.mark.timeout(300)]
FUNCTION = "def predict(model, amount, age):\n    return {'score': amount * 0 + age / 100}\n"
NUMBER = {"shape": "scalar", "type": "double", "profile": "numerical"}
PER_MINUTE = 60
WRONG_MINUTES = 4


def apply_scores(platform: RunningPlatform, folder: Path, seed: int) -> None:
    """A function with training data: ``amount`` about 50, ``age`` about 40."""
    chance = random.Random(seed)
    folder.mkdir()
    (folder / "function.py").write_text(FUNCTION + f"# {seed}\n")
    with (folder / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["amount", "age"])
        writer.writerows([[round(chance.gauss(50, 10), 3), round(chance.gauss(40, 8), 3)] for _ in range(500)])
    definition = {
        "kind": "Model", "name": "scores", "framework": "python", "payload": ["function.py"], "training-data": "train.csv",
        "contract": {"inputs": {"amount": NUMBER, "age": NUMBER}, "outputs": {"score": NUMBER}},
    }  # fmt: skip
    (folder / "headrace.yaml").write_text(yaml.safe_dump(definition))
    platform.apply(folder)


def log_traffic(platform: RunningPlatform, version: Version) -> None:
    """Records of the last forty minutes as a function spools them: of the last few, every amount is a hundred times too large."""
    chance = np.random.default_rng(7)
    spool = Spool(platform.settings.spool / version.id.service)
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    for minute in range(40, 0, -1):
        start = end - timedelta(minutes=minute)
        for n in range(PER_MINUTE):
            received = start + timedelta(seconds=60 * n / PER_MINUTE)
            amount = chance.normal(50, 10) * (100 if minute <= WRONG_MINUTES else 1)
            inputs = {"amount": np.array([amount]), "age": np.array([chance.normal(40, 8)])}
            asked = encode_request(inputs, version.signature, binary=False)
            answered = encode_response(
                {"score": inputs["age"] / 100},
                version.signature,
                RequestInfo(),
                model="scores",
                version=version.id.number,
            )
            header = RecordHeader(
                f"r-{minute}-{n}", "scores", version.id.number, int(received.timestamp() * 1e9), float(chance.gamma(2, 3)), "ok", 200
            )  # fmt: skip
            assert spool.append(Record(header, asked.body, answered.body))
    spool.close()


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, shared_environments: Path) -> Iterator[RunningPlatform]:
    """A platform whose model went wrong four minutes ago, after its alias moved to the second version half an hour before."""
    home = tmp_path_factory.mktemp("home")
    (home / "environments").symlink_to(shared_environments)
    platform = RunningPlatform(home).start()
    try:
        for number in (1, 2):
            apply_scores(platform, home / f"scores-{number}", number)
        with platform.client() as client:
            client.move_alias("scores", "prod", 1)
            client.move_alias("scores", "prod", 2)
        document = Documents(ObjectStore(platform.settings.storage_url)).get(
            layout.version_document(VersionId("scores", 2))
        )
        log_traffic(platform, Version.from_document(document))
        with platform.client() as client:
            until(client.incidents, "an incident is open", 90)
        platform.apply(
            "-", yaml.safe_dump({"kind": "Sequence", "name": "scored", "pipeline": [[{"model": "scores:1"}]]})
        )
        yield platform
    finally:
        assert platform.stop() == 0


def test_the_overview_says_what_is_wrong_and_leads_in_three_clicks_to_the_reason(
    watched: RunningPlatform, page: Page
) -> None:
    page.goto(watched.url)
    expect(page.locator(".call").first).to_contain_text("amount")

    page.locator(".call a.btn").first.click()
    expect(page.locator("h1")).to_contain_text("amount")
    expect(page.locator("h1")).to_contain_text("× 100")
    expect(page.locator(".chain li").first).to_contain_text("amount")

    page.get_by_role("link", name="All of them").click()
    expect(page.locator("h1")).to_contain_text("Requests of scores:2")

    page.locator("tbody tr a.row").first.click()
    expect(page.get_by_role("heading", name="Inputs beside training")).to_be_visible()
    expect(page.locator("table.bars").first).to_contain_text("above-max")


def test_the_same_by_the_keyboard_alone(watched: RunningPlatform, page: Page) -> None:
    page.goto(watched.url)
    page.keyboard.press("g")
    page.keyboard.press("i")
    expect(page).to_have_url(f"{watched.url}/incidents")
    page.locator("tbody a.row").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("amount")
    page.get_by_role("link", name="All of them").focus()
    page.keyboard.press("Enter")
    page.locator("tbody tr a.row").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Inputs beside training")).to_be_visible()


def test_the_heat_map_is_one_tab_stop_that_arrows_move_in_and_enter_leaves_for_the_requests(
    watched: RunningPlatform, page: Page
) -> None:
    page.goto(f"{watched.url}/models/scores?version=2&range=1h")
    page.locator("#heat").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#readout-text")).to_contain_text("age")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#readout-text")).to_contain_text("amount")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("Requests of scores:2")


def test_cells_of_the_moved_field_are_severe_and_lead_to_their_requests(watched: RunningPlatform, page: Page) -> None:
    page.goto(f"{watched.url}/models/scores?version=2&range=1h")
    row = page.locator("[data-row='amount']")
    assert "333" in (row.locator(".strip").get_attribute("data-levels") or "")
    assert "3" not in (page.locator("[data-row='age'] .strip").get_attribute("data-levels") or "")
    with page.expect_navigation():
        row.locator("a[aria-label*='severe']").last.click(force=True)
    expect(page.locator("h1")).to_contain_text("Requests of scores:2")


def test_requests_are_filtered_by_words_and_a_filter_that_does_not_parse_keeps_the_page(
    watched: RunningPlatform, page: Page
) -> None:
    page.goto(f"{watched.url}/requests?version=scores:2&range=1h")
    page.locator("input[name=where]").fill("in.amount > 1000")
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr").first).to_contain_text("above-max")
    page.locator("input[name=where]").fill("in.amount >")
    page.keyboard.press("Enter")
    expect(page.locator("#filter-error")).to_be_visible()
    expect(page.locator("input[name=where]")).to_have_value("in.amount >")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_has_a_barrier_that_axe_finds_and_none_is_wider_than_the_window(
    watched: RunningPlatform, browser: Browser, scheme: str, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    opened = context.new_page()
    found = {}
    for path in PAGES:
        opened.goto(watched.url + path)
        wide = opened.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        violations = [f"{v['id']}: {v['nodes'][0]['html'][:120]}" for v in Axe().run(opened).response["violations"]]
        if violations or wide > 0:
            found[path] = [*violations, *([f"{wide} px too wide"] if wide > 0 else [])]
    context.close()
    assert {} == found


PAGES = [
    "/", "/models/scores?version=2&range=1h", "/models/scores?version=2&tab=versions", "/models/scores?version=2&tab=signature",
    "/models/scores?version=2&tab=logs", "/requests", "/requests?version=scores:2&range=1h", "/requests/scores/2/r-1-1", "/incidents",
    "/incidents/1", "/rules", "/compare?first=scores:1&second=scores:2",
    "/segments?version=scores:2&range=1h&where=in.amount+%3E+100", "/reports", "/runs", "/settings",
    "/sequences/scored", "/sequences/scored/edit",
]  # fmt: skip


def test_a_sequence_is_changed_on_its_page_once_its_signatures_fit(watched: RunningPlatform, page: Page) -> None:
    page.goto(f"{watched.url}/sequences/scored")
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Version 2 of stage 1", exact=True).fill("scores:2")
    page.get_by_label("Weight of version 1 of stage 1").fill("80")
    page.get_by_role("button", name="Check").click()
    expect(page.locator(".call")).to_contain_text("weights of a stage sum to 80")
    page.get_by_label("Weight of version 2 of stage 1").fill("20")
    page.get_by_role("button", name="Check").click()
    expect(page.locator("main")).to_contain_text("Callers notice nothing")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".node")).to_have_count(2)
    with watched.client() as client:
        stage = client.sequence("scored").stages[0]
    assert [("scores:1", 80), ("scores:2", 20)] == [(v["model"], v["weight"]) for v in stage["variants"]]


def test_the_pages_say_the_same_without_javascript(watched: RunningPlatform, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(watched.url)
    opened.locator(".call a.btn").first.click()
    expect(opened.locator("h1")).to_contain_text("amount")
    opened.get_by_role("link", name="All of them").click()
    expect(opened.locator("tbody tr").first).to_be_visible()
    context.close()


def test_it_is_acknowledged_noted_rolled_back_and_resolved_on_its_page(watched: RunningPlatform, page: Page) -> None:
    """The last test of the file: it changes the incident."""
    page.goto(f"{watched.url}/incidents/1")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_role("button", name="Resolve")).to_be_visible()
    page.get_by_label("Add a note").fill("the sender changed the currency")
    page.get_by_role("button", name="Add").click()
    expect(page.locator(".log").first).to_contain_text("the sender changed the currency")

    page.get_by_text("Roll back…").click()
    page.get_by_role("button", name="Point @prod at scores:1 again").click()
    with watched.client() as client:
        assert {"prod": 1} == client.model("scores").aliases

    page.goto(f"{watched.url}/incidents/1")
    page.get_by_role("button", name="Resolve").click()
    expect(page.locator(".range .health").first).to_contain_text("resolved")
    page.goto(watched.url)
    expect(page.locator(".call")).to_have_count(0)


def test_axes_and_sentences_say_hours_of_the_readers_zone(watched: RunningPlatform, browser: Browser) -> None:
    context = browser.new_context(timezone_id="Asia/Kolkata")  # UTC+05:30, all year
    page = context.new_page()
    page.goto(f"{watched.url}/models/scores?version=2&range=1h")
    shown = page.evaluate(
        "[...document.querySelectorAll('text.tick')].map(t => [t.dataset.utc, t.textContent])"
        ".concat([...document.querySelectorAll('.what .utc')].map(s => [s.title.slice(0, 5), s.textContent]))"
    )
    context.close()
    local = [(datetime.strptime(utc, "%H:%M") + timedelta(hours=5, minutes=30)).strftime("%H:%M") for utc, _ in shown]  # noqa: DTZ007 - of no day
    assert local == [text for _, text in shown]
    assert len(shown) > 4
