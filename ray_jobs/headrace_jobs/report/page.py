"""HTML pages of reports: one file without outside assets. The only user of Jinja."""

from headrace_jobs.report.models import Report


def page(report: Report) -> str:
    return f"<html>{report.model_dump_json()}</html>"
