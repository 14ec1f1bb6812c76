"""HTML pages of reports: one file without outside assets. The only user of Jinja."""

import re

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from headrace_jobs.report import projection_charts, svg
from headrace_jobs.report.models import DriftReport, Explanation, FieldDrift, ProfileReport, Report
from headrace_jobs.report.severity_strip import strip
from headrace_jobs.report_text import WORDS, number, share

CARDS = 40
"""Fields with a card of their own; all others are in the table. Keeps the page under 1 MB whatever the model."""
ROWS = 1000
"""Fields in the table."""

_CODE = re.compile(r"`([^`]+)`")


def page(report: Report) -> str:
    """The report as a page; the same report is the same page."""
    if isinstance(report, DriftReport):
        drifted = [f for f in report.fields if f.verdict == "drift"]
        shown = {"report": report, "cards": report.fields[:CARDS], "drifted": drifted}
        shown |= {"rows": report.fields[:ROWS], "reference": WORDS[report.against.kind]}
        return _environment().get_template("drift.html").render(**shown)
    if isinstance(report, ProfileReport):
        return _environment().get_template("profile.html").render(report=report, cards=report.fields[:CARDS])
    if not isinstance(report, Explanation):
        return _environment().get_template(f"{report.kind}.html").render(report=report)
    largest = max((abs(c.shap) for c in report.contributions), default=0.0) or 1.0
    return _environment().get_template("explain.html").render(report=report, largest=largest)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("headrace_jobs.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        distribution=svg.distribution, history=svg.history, waterfall=svg.waterfall, gauge=svg.gauge, strip=strip
    )
    environment.globals.update(
        by_side=projection_charts.by_side,
        by_output=projection_charts.by_output,
        by_distance=projection_charts.by_distance,
    )
    environment.filters.update(number=number, share=share, said=_said, clock=_clock, effect=_effect)
    return environment


def _said(sentence: str) -> Markup:
    """A sentence in which `names` stand in backticks."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(sentence))))  # noqa: S704 - escaped in this line


def _clock(moment: str) -> str:
    return moment[:16].replace("T", " ") + " UTC"


def _effect(field: FieldDrift) -> float:
    """The largest effect of a field's tests."""
    return max((t.effect for t in field.tests), default=0.0)
