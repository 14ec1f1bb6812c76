"""``make screenshots``: pictures of every page on the demo's models, after some minutes of traffic of which the end is wrong.

Not a test: it takes ten minutes and writes ``build/pictures/*.png``; those that a page of the docs shows are copied to ``docs/pictures``. Look at them.
"""

import random
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from fixtures_platform import RunningPlatform, headrace
from headrace_controller.demo.projects import Traffic, write_projects

ROOT = Path(__file__).parents[2]
TARGET, SHOWN_IN_DOCS = ROOT / "build" / "pictures", ROOT / "docs" / "pictures"
BEFORE, AFTER = 300.0, 240.0
"""Seconds of traffic as in training, and of traffic with three fields read too large."""
EVERY = 0.25
PAGES = {
    "overview": "/",
    "model": "/models/cancer-scale?version=1&range=1h",
    "incidents": "/incidents?state=all",
    "incident": "/incidents/1",
    "requests": "/requests?version=cancer:1&range=1h",
    "sequence": "/sequences/diagnosis?range=1h",
    "reports": "/reports",
    "runs": "/runs",
    "settings": "/settings",
    "rules": "/rules",
    "compare": "/compare?first=cancer:1&second=cancer:3&range=1h",
    "segments": "/segments?version=cancer:1&range=1h&where=received+%3E+now()+-+interval+'3+minutes'",
}
SHOWN = {"": ("light", 1280, 800), "-dark": ("dark", 1280, 800), "-phone": ("light", 390, 844)}


def drawn() -> set[str]:
    """The names of all pictures."""
    return {f"{name}{ending}.png" for name in PAGES for ending in SHOWN}


def shown_in_docs() -> set[str]:
    """The names of the pictures that the docs show."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    return {name for page in pages for name in re.findall(r"\]\((?:docs/)?pictures/([^)]+)\)", page.read_text())}


def copy_to_docs() -> None:
    for name in sorted(shown_in_docs()):
        shutil.copyfile(TARGET / name, SHOWN_IN_DOCS / name)


def send(url: str, rows: Any, seconds: float) -> None:
    """Ask the sequence with rows by chance for a while."""
    chance, end = random.Random(1), time.monotonic() + seconds
    with httpx.Client(base_url=url, timeout=30) as client:
        while time.monotonic() < end:
            row = rows[chance.randrange(len(rows))]
            tensor = {"name": "rows", "shape": [1, len(row)], "datatype": "FP64", "data": row.tolist()}
            client.post("/v2/models/diagnosis/infer", json={"inputs": [tensor]})
            time.sleep(EVERY)


def prepare(platform: RunningPlatform, folder: Path) -> Traffic:
    traffic = write_projects(folder)
    for project in ("scale", "cancer-v1", "cancer-v2", "cancer-v3"):
        platform.apply(folder / project)
    platform.apply(folder / "sequence.yaml")
    headrace("alias", "set", "cancer@prod", "1", "--url", platform.url)
    return traffic


def pictures(browser: Browser, url: str, only: str = "") -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, path in PAGES.items():
        for ending, (scheme, width, height) in SHOWN.items():
            if only and name != only:
                continue
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
            page = context.new_page()
            page.goto(url + path)
            page.wait_for_timeout(1200)
            page.screenshot(path=str(TARGET / f"{name}{ending}.png"))
            context.close()


def main() -> int:
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("it takes Chromium (Debian's package chromium)")
    with tempfile.TemporaryDirectory() as folder:
        platform = RunningPlatform(Path(folder) / "home").start()
        try:
            traffic = prepare(platform, Path(folder) / "projects")
            send(platform.url, traffic.rows, BEFORE)
            send(platform.url, traffic.shifted, AFTER)
            headrace("analyze", "drift", "cancer:1", "--window", "3m", "--url", platform.url, seconds=600)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                pictures(browser, platform.url)
                browser.close()
            copy_to_docs()
        finally:
            platform.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
