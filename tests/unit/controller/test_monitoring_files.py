"""Rules and dashboards for Prometheus and Grafana speak of what Headrace exposes and of nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from headrace_controller.incidents.model import Incident
from headrace_controller.service import gauges
from headrace_functions.gateway.metrics import GatewayMetrics
from headrace_functions.names import VersionId

ROOT = Path(__file__).parents[3]
RULES = ROOT / "monitoring" / "headrace.rules.yaml"
DASHBOARDS = sorted((ROOT / "monitoring" / "grafana").glob("*.json"))
NAME = re.compile(r"headrace[:\w]+")
LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"")
SUFFIX = re.compile(r"_(?:bucket|sum|count)$")


def exposed() -> dict[str, set[str]]:
    """Labels by metric name, of what gateway and controller write."""
    counted = GatewayMetrics()
    version = VersionId("churn", 3)
    counted.exchange(version, 200, 0.01)
    counted.unlogged(version)
    counted.shadow_dropped("score")
    counted.sequence("score", 200)
    counted.woke("total", 0.1)
    found: dict[str, set[str]] = {}
    for line in counted.prometheus().splitlines():
        if not line.startswith("#"):
            name, *rest = re.split("[{ ]", line, maxsplit=1)
            found.setdefault(name, set()).update(re.findall(r"(\w+)=\"", rest[0]))
    report = {"model", "version", "kind"}
    for name in gauges.HELP:
        found[name] = report | {"verdict", "figure", "source", "field"}
    found["headrace_incidents_open"] = {"model", "version", "severity"}
    return found


def groups() -> list[dict[str, Any]]:
    return list(yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"])


def expressions() -> Iterator[tuple[str, str]]:
    for group in groups():
        for rule in group["rules"]:
            yield rule.get("alert") or rule["record"], rule["expr"]
    for file in DASHBOARDS:
        for panel in orjson.loads(file.read_bytes())["panels"]:
            for target in panel["targets"]:
                yield f"{file.stem}: {panel['title']}", target["expr"]


RECORDED = {rule["record"] for group in groups() for rule in group["rules"] if "record" in rule}


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_every_expression_reads_metrics_and_labels_that_are_exposed(where: str, expression: str) -> None:
    known = exposed()
    names = set(NAME.findall(expression))
    assert names, where
    assert names <= known.keys() | RECORDED
    labels = set().union(*(known.get(n, {"model", "version"}) for n in names)) | {"le"}
    assert set(LABEL.findall(expression)) <= labels
    assert expression.count("(") == expression.count(")")


def test_every_metric_that_is_exposed_is_drawn_or_judged() -> None:
    used = {SUFFIX.sub("", n) for _, e in expressions() for n in NAME.findall(e)}
    assert {SUFFIX.sub("", n) for n in exposed()} - used == {"headrace_report_enough_data"}


def test_every_alert_says_what_happened_and_how_bad_it_is() -> None:
    alerts = [rule for group in groups() for rule in group["rules"] if "alert" in rule]
    assert len({a["alert"] for a in alerts}) == len(alerts) == 8
    for alert in alerts:
        assert alert["labels"]["severity"] in ("info", "warning", "critical")
        assert {"summary", "description"} == alert["annotations"].keys()
        assert set(re.findall(r"\$labels\.(\w+)", str(alert["annotations"]))) <= {
            "model",
            "version",
            "sequence",
            "kind",
        }


def test_the_operator_s_rules_are_the_file_s() -> None:
    component = ROOT / "knative" / "components" / "prometheus-rules" / "rules.yaml"
    assert groups() == yaml.safe_load(component.read_text(encoding="utf-8"))["spec"]["groups"]


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda f: f.stem)
def test_a_dashboard_can_be_imported_anywhere(file: Path) -> None:
    document = orjson.loads(file.read_bytes())
    ids = [panel["id"] for panel in document["panels"]]
    assert len(set(ids)) == len(ids)
    sources = {target["datasource"]["uid"] for panel in document["panels"] for target in panel["targets"]}
    assert {"${datasource}"} == sources
    placed = [tuple(panel["gridPos"][n] for n in "xy") for panel in document["panels"]]
    assert len(set(placed)) == len(placed)


def test_every_line_of_the_gateway_has_a_help_and_a_type() -> None:
    text = GatewayMetrics().prometheus()
    assert len(re.findall("^# HELP ", text, re.MULTILINE)) == len(re.findall("^# TYPE ", text, re.MULTILINE)) == 7


def test_open_incidents_are_counted_by_version_and_severity() -> None:
    class Reports:
        @staticmethod
        def select(_page: object) -> Any:
            class Page:
                items: tuple[object, ...] = ()
                next = None

            return Page

    class Open:
        versions = ("churn:3", "score:1")
        severity = "severe"

    found: list[Incident] = [Open, Open]  # type: ignore[list-item]
    text = gauges.Gauges(Reports(), incidents=lambda: found).text()  # type: ignore[arg-type]
    assert 'headrace_incidents_open{model="churn",version="3",severity="severe"} 2\n' in text
    assert 'headrace_incidents_open{model="score",version="1",severity="severe"} 2\n' in text
