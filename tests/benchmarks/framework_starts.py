"""How large each framework's environment is, and how long an asleep version takes to answer: ``python tests/benchmarks/framework_starts.py [TEMPLATE …]``.

Trains each template as ``make test-frameworks`` does, applies it to a platform of its own, and asks it: once after its zygote was started anew, then after each of ten
sleeps. Prints lines of a table in Markdown: megabytes of the environment, seconds of the first wake, milliseconds of the others (median, worst), and of a warm request.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from fixtures_platform import RunningPlatform, until  # noqa: E402
from frameworks.test_templates import TEMPLATES, rows, trained  # noqa: E402

WAKES = int(os.environ.get("HEADRACE_BENCH_WAKES", "10"))
WARM = 200


def megabytes(folder: Path) -> float:
    """Bytes of the files, each once, however many links it has."""
    seen = {
        (s.st_dev, s.st_ino): s.st_blocks * 512 for p in folder.rglob("*") if not p.is_symlink() and (s := p.stat())
    }
    return sum(seen.values()) / 1e6


def measure(template: str, environments: Path) -> str:
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as made:
        home, name = Path(made) / "home", f"my-{template}"
        home.mkdir()
        (home / "environments").symlink_to(environments)
        folder = trained(template, Path(made) / name)
        platform = RunningPlatform(home).start()
        try:
            platform.apply(folder)
            row = rows(folder / "train.csv")[0]
            row.pop("malignant")
            inputs = [{"name": n, "shape": [1], "datatype": "FP64", "data": [v]} for n, v in row.items()]
            with platform.client() as client, httpx.Client(base_url=platform.url, timeout=120) as caller:
                key = client.version(f"{name}:1").environment

                def ask() -> float:
                    started = time.perf_counter()
                    answer = caller.post(f"/v2/models/{name}/infer", json={"inputs": inputs})
                    assert answer.status_code == 200, answer.text
                    return time.perf_counter() - started

                first, woken = ask(), []
                for _ in range(WAKES):
                    client.put_to_sleep(f"{name}:1")
                    until(lambda: not platform.pids(f"{name}-v1"), "it sleeps", 30)
                    woken.append(ask() * 1000)
                warm = [ask() * 1000 for _ in range(WARM)]
        finally:
            platform.stop()
        return (
            f"| {template} | {megabytes(environments / key):.0f} MB | {first:.1f} s | {statistics.median(woken):.0f} ms | "
            f"{max(woken):.0f} ms | {statistics.median(warm):.2f} ms |"
        )


def main() -> None:
    print(
        "| template | environment | first wake | later wakes, median | worst | a warm request |\n|---|---|---|---|---|---|"
    )
    environments = Path(tempfile.mkdtemp(prefix="headrace-bench-environments-"))
    for template in sys.argv[1:] or TEMPLATES:
        print(measure(template, environments), flush=True)


if __name__ == "__main__":
    main()
