"""What is out of order in buckets of health, and the sentence that says so."""

from datetime import timedelta

import pytest

from headrace_controller.health.buckets import Bucket, FieldHealth, MetricHealth
from headrace_controller.incidents.model import Movement
from headrace_controller.incidents.rules import findings
from health_buckets import NOW, bucket, hour, latency, number


def only(buckets: list[Bucket]) -> Movement:
    (found,) = findings("churn:1", buckets, NOW)
    return found


def test_quiet_traffic_has_no_finding() -> None:
    assert [] == findings("churn:1", hour(), NOW)


def test_a_change_of_unit_is_said_with_both_means_when_it_began_and_how_many_rows() -> None:
    found = only(hour(fields={"monthly_charges": number(6400.0, 1.0, field="monthly_charges")}))
    assert ("moved", "monthly_charges", "severe", 1.0) == (found.what, found.field, found.severity, found.share)
    assert NOW - timedelta(minutes=4) == found.first


def test_the_sentence_of_a_change_of_unit() -> None:
    buckets = [
        bucket(m, {"monthly_charges": number(6400.0 if m >= -4 else 64.0, 1.0 if m >= -4 else 0.0)})
        for m in range(-60, 1)
    ]
    said = only(buckets)
    assert (
        "`monthly_charges`: mean 64 → 6,400 since 14:06 UTC; 100 % of rows; looks like a change of unit × 100"
        == said.sentence
    )
    assert "monthly_charges × 100" == said.short


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        (number(64.0, 0.9, missing=90), "`x`: 90 % of rows have no value since 14:06 UTC"),
        (number(1.0667, 0.9), "`x`: mean 64 → 1.07 since 14:06 UTC; 90 % of rows; looks like a change of unit ÷ 60 (minutes, seconds)"),
        (number(-0.5, 0.3), "`x`: mean 64 → −0.5 since 14:06 UTC; 30 % of rows"),
        (number(80.0, 0.3), "`x`: mean 64 → 80 since 14:06 UTC; 30 % of rows"),
        (number(64.0, 0.0, checks={"above-max": 30}), "`x`: 30 % of rows are above the greatest value of training since 14:06 UTC"),
        (
            number(None, 0.8, kind="category", bins=(20, 0, 0, 80), labels=("a", "b"), trained=(0.5, 0.5, 0.0, 0.0)),
            "`x`: 80 % of rows have a value that training did not have since 14:06 UTC",
        ),
        (
            number(None, 0.4, kind="category", bins=(90, 10, 0, 0), labels=("a", "b"), trained=(0.5, 0.5, 0.0, 0.0)),
            "`x`: a 50 % → 90 % of rows since 14:06 UTC",
        ),
    ],
)  # fmt: skip
def test_each_kind_of_change_has_its_sentence(field: FieldHealth, sentence: str) -> None:
    assert sentence == only(hour(fields={"x": field})).sentence


@pytest.mark.parametrize(
    ("field", "share"),
    [
        (number(80.0, 0.12, checks={"above-max": 30}), 0.12),
        (number(64.0, 0.0, checks={"above-max": 30, "below-min": 20}), 0.3),
        (number(64.0, 0.7, missing=90), 0.9),
        (number(None, 0.6, kind="category", bins=(20, 0, 0, 80), labels=("a", "b"), trained=(0.5, 0.5, 0.0, 0.0)), 0.8),
    ],
)  # fmt: skip
def test_the_share_of_a_finding_is_the_one_that_its_sentence_tells(field: FieldHealth, share: float) -> None:
    found = only(hour(fields={"x": field}))
    assert share == found.share
    assert f" {share:.0%} of rows".replace("%", " %") in found.sentence


def test_errors_latency_and_metrics_have_theirs() -> None:
    failing = only(hour(outcomes={"ok": 60, "failed": 30, "timeout": 10}))
    assert "40 % of requests are not answered since 14:06 UTC, most of them failed" == failing.sentence
    slow = only(hour(latency=latency(200.0)))
    assert ("latency", "severe") == (slow.what, slow.severity)
    assert slow.sentence.startswith("latency: 95 % of requests within ")
    metric = only(hour(metrics={"outliers": MetricHealth(100, 40, 0)}))
    assert "metric `outliers`: 40 % of rows are unhealthy since 14:06 UTC" == metric.sentence


def test_one_odd_minute_is_no_finding() -> None:
    odd = [bucket(m, {"x": number(6400.0, 1.0)} if m == -1 else None) for m in range(-60, 1)]
    assert [] == findings("churn:1", odd, NOW)


def test_two_of_three_minutes_are_one() -> None:
    odd = [bucket(m, {"x": number(6400.0, 1.0)} if m in (-2, 0) else None) for m in range(-60, 1)]
    assert NOW - timedelta(minutes=2) == only(odd).first


def test_minutes_with_fewer_than_thirty_rows_are_not_looked_at() -> None:
    few = {"rows": 29, "requests": 29, "fields": {"x": number(6400.0, None)}}
    assert [] == findings("churn:1", hour(**few), NOW)


def test_nothing_is_said_from_minutes_that_are_long_over() -> None:
    bad = hour(fields={"x": number(6400.0, 1.0)})
    assert [] == [f for f in findings("churn:1", bad, NOW + timedelta(hours=1)) if f.what != "silence"]


def test_a_field_that_moved_and_fails_checks_is_one_finding_from_when_either_began() -> None:
    buckets = [
        bucket(m, {"x": number(640.0, 1.0 if m >= -3 else 0.0, checks={"above-max": 100} if m >= -5 else {})})
        for m in range(-60, 1)
    ]
    found = only(buckets)
    assert ("moved", NOW - timedelta(minutes=5)) == (found.what, found.first)


def test_steady_traffic_that_ends_is_a_finding_and_sparse_traffic_is_not() -> None:
    none = {"rows": 0, "requests": 0, "outcomes": {}, "fields": {}}
    steady = [bucket(m, **(none if m >= -11 else {})) for m in range(-100, 1)]
    found = only(steady)
    assert ("silence", "no request since 13:59 UTC, where there were about 98 a minute") == (
        found.what,
        found.sentence,
    )
    sparse = [bucket(m, **(none if m >= -11 or m % 20 else {})) for m in range(-100, 1)]
    assert [] == findings("churn:1", sparse, NOW)


def test_a_bad_look_of_few_rows_before_quiet_ones_is_not_the_beginning() -> None:
    """As chance makes one of dozens of fields now and then; what rises for good begins where it began to rise."""

    def since(*shares: float) -> str:
        quiet = [bucket(m) for m in range(-60, 1 - len(shares))]
        loud = [
            bucket(m, {"x": number(64.0, share)}) for m, share in zip(range(1 - len(shares), 1), shares, strict=True)
        ]
        (found,) = findings("churn:1", [*quiet, *loud], NOW)
        return found.first.strftime("%H:%M")

    assert "14:08" == since(0.16, 0.0, 0.3, 0.5, 0.5)
    assert "14:08" == since(0.26, 0.0, 0.02, 0.6, 0.5, 0.5)
    assert "14:05" == since(0.11, 0.13, 0.2, 0.3, 0.4, 0.5)
    assert "14:06" == since(0.5, 0.0, 0.5, 0.4, 0.5)
