"""Long and hostile names and values in a real browser: they move nothing out of sight. Hours are those of the reader's zone."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from playwright.sync_api import Browser, expect
from werkzeug.serving import make_server

from controller_support import FakeServices, make_platform
from fixtures_browser import MARKS, browser
from headrace_controller.api.application import create_app
from headrace_controller.collector.rows import schema
from headrace_controller.pages import blueprint
from headrace_functions.logtable import PARTITION, input_column, output_column
from headrace_functions.names import VersionId
from headrace_functions.signature import Field, Signature, dtype
from headrace_functions.storage import layout
from headrace_functions.version import Version

__all__ = ["browser"]

pytestmark = [*MARKS, pytest.mark.timeout(120)]
LONG = Field("n" * 110, dtype("string"))
IT = Version(VersionId("m", 1), "python", Signature((LONG,), (Field("text", dtype("string")),)), "0" * 64, "environment", "content")  # fmt: skip
PAGES = ("/requests?version=m:1", "/requests/m/1/r-0", "/models/m?tab=signature")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Pages of one version with a name of 110 characters, values of 3000 and an error of 3000."""
    platform = make_platform(tmp_path_factory.mktemp("home") / "home", FakeServices([]))
    given = {"definition": {"kind": "Model", "name": "m", "metadata": {}}, "content": "1"}
    platform.catalog.claim_name("m", "model")
    platform.catalog.claim_version("m", {**given, "artifact": "0" * 64, "training": None, "created": ""})
    platform.catalog.write_version(IT)
    platform.catalog.add_status(IT.id, "released")
    now = datetime.now(UTC)
    known = {
        "request_id": "r-0", "row": 0, "received": now, PARTITION: f"{now:%Y-%m-%d}", "latency_ms": 1.0, "outcome": "failed",
        "status": 500, "error": "<b>e</b>" + "e" * 3000, input_column(LONG): "x" * 3000, output_column(IT.signature.outputs[0]): "y" * 3000,
    }  # fmt: skip
    wanted = schema(IT)
    rows = pa.table([pa.array([known.get(f.name)], f.type) for f in wanted], schema=wanted)
    url = platform.catalog.documents.objects.table_url(layout.log_table(IT.id))
    write_deltalake(url, rows, partition_by=[PARTITION])
    server = make_server("127.0.0.1", 0, create_app(platform, blueprint(platform)), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("path", PAGES)
def test_long_names_and_values_leave_every_column_of_a_page_in_sight(
    browser: Browser, url: str, path: str, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    page.goto(url + path)
    hidden = page.evaluate(
        "[...document.querySelectorAll('main h1, main .what, main td, main th')].filter(e => e.getBoundingClientRect().width"
        " && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
    )
    context.close()
    assert [] == hidden


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize(
    ("path", "button"), [("/rules", "Set a limit…"), ("/access", "New key…"), ("/models/m", "Run…")]
)
def test_a_menu_opens_below_its_button_within_the_window(
    browser: Browser, url: str, path: str, button: str, width: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(url + path)
    page.click(f"summary:has-text('{button}')")
    opened, menu = (page.locator(f"details.menu[open] > {part}").bounding_box() for part in ("summary", "div"))
    page.close()
    assert opened is not None
    assert menu is not None
    assert 0 <= menu["y"] - opened["y"] - opened["height"] < 8
    assert menu["x"] <= opened["x"] + opened["width"]
    assert opened["x"] <= menu["x"] + menu["width"]
    assert 0 <= menu["x"] <= menu["x"] + menu["width"] <= width


def test_a_path_that_nothing_is_at_is_a_page_with_ways_on(browser: Browser, url: str) -> None:
    page = browser.new_page()
    page.goto(f"{url}/nothing")
    expect(page.locator("h1")).to_have_text("there is no page /nothing")
    expect(page.get_by_role("link", name="Overview").first).to_be_visible()
    page.close()
