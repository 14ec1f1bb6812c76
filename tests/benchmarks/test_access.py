"""What it costs a request that callers are asked who they are: identity and decision, known and anew, with many keys and grants."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from headrace_functions.access import keys
from headrace_functions.access.authentication import Authentication, Credentials
from headrace_functions.access.keys import Key, new_key
from headrace_functions.access.policy import Policy
from headrace_functions.access.roles import Grant, RoleOn
from headrace_functions.access.source import PolicySource
from headrace_functions.platform_secret import PlatformSecret
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore

KEYS = 1000
GRANTS = 200
ROUNDS = 50_000
BUDGET = 20.0
"""Microseconds that a request may cost."""


def microseconds(what: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median and 99th percentile of one call."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter_ns()
        what()
        took.append(time.perf_counter_ns() - began)
    return statistics.median(took) / 1000, statistics.quantiles(took, n=100)[98] / 1000


def test_admission_costs_a_request_little(tmp_path: Path) -> None:
    documents = Documents(ObjectStore(str(tmp_path)))
    texts = []
    for number in range(KEYS):
        text = new_key()
        texts.append(text)
        key = Key(f"k{number}", keys.id_of(text) or "", keys.digest(text), "user:ann", (RoleOn("viewer"),), 0.0)
        documents.append(layout.access_key(key.name), key.to_document())
    for number in range(GRANTS):
        grant = Grant(
            f"g{number}", tuple(f"key:k{n}" for n in range(number, KEYS, GRANTS)), "caller", (f"m{number}-*",)
        )
        documents.append(layout.grant(grant.name), grant.to_document())
    source = PolicySource(documents)
    began = time.perf_counter()
    source.refresh()
    first = time.perf_counter() - began
    began = time.perf_counter()
    source.refresh()
    again = time.perf_counter() - began

    admitting = Authentication(source, PlatformSecret("word"))
    headers = {b"authorization": b"Bearer " + texts[7].encode(), b"content-type": b"application/json", b"host": b"h"}
    known = microseconds(lambda: admitting.admit(Credentials.of(headers), "m7-eu", "call"), ROUNDS)

    def anew() -> None:
        admitting._known.clear()
        admitting.admit(Credentials.of(headers), "m7-eu", "call")

    unknown = microseconds(anew, ROUNDS // 10)

    def undecided() -> None:
        policy: Policy = source.policy
        policy._decided.clear()
        admitting.admit(Credentials.of(headers), "m7-eu", "call")

    deciding = microseconds(undecided, ROUNDS // 10)
    print(
        f"\n{KEYS} keys, {GRANTS} grants: first look {first * 1000:.0f} ms, a look without a change {again * 1000:.0f} ms"
    )
    for name, (median, late) in (("known", known), ("key verified anew", unknown), ("decided anew", deciding)):
        print(f"{name}: median {median:.2f} µs, p99 {late:.2f} µs (budget {BUDGET:g} µs)")
    assert known[0] < BUDGET
