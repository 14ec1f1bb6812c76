"""Listing ten thousand versions, by pages."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from controller_support import FakeServices, release
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.service.paging import PageRequest
from headrace_controller.service.versions import VersionFilter, Versions
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore

MODELS, VERSIONS = 50, 200


def test_listing_ten_thousand_versions(tmp_path: Path) -> None:
    catalog = Catalog(Documents(ObjectStore(str(tmp_path))))
    for model in range(MODELS):
        for number in range(VERSIONS):
            release(catalog, f"model-{model:02}", metadata={"parity": str(number % 2)})
    versions = Versions(catalog, FakeServices())
    cold: list[float] = []
    token: str | None = None
    while True:
        page, milliseconds = timed(lambda token=token: versions.select(VersionFilter(), PageRequest(100, token)))
        cold.append(milliseconds)
        token = page.next
        if token is None:
            break
    filtered = VersionFilter(labels={"parity": "1"}, status="released")
    warm = [timed(lambda: versions.select(filtered, PageRequest(1000)))[1] for _ in range(50)]
    print("\n| page | p50 ms | p95 ms |\n|---|---|---|")
    for name, times in (("100 versions, first look", cold), ("1000 versions with filters, later", warm)):
        ordered = sorted(times)
        print(f"| {name} | {ordered[len(ordered) // 2]:.1f} | {ordered[int(len(ordered) * 0.95)]:.1f} |")


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    result = work()
    return result, (time.perf_counter() - started) * 1000
