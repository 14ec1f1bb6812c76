"""The page of settings: what this platform is, where it keeps things, and the deployment configurations."""

from typing import Any

from headrace_controller.access import current
from headrace_controller.service.platform import Platform

Json = dict[str, Any]


def content(platform: Platform) -> Json:
    status = {k: v for k, v in platform.status().items() if k != "services"}
    seen = current.may("diagnose")
    deployments = [
        {"name": d.document["definition"].get("name", ""), "number": d.number, "at": d.document["at"]}
        for d in platform.deployments.select()
        if seen
    ]
    backlog = platform.intake.backlog() if not status["storage_error"] else None
    return {
        "status": status,
        "may_administer": current.may("administer"),
        "deployments": deployments,
        "backlog": {"segments": backlog.segments, "bytes": backlog.size, "oldest": backlog.oldest} if backlog else None,
        "refused": [
            {"key": r.key, "size": r.size, "reason": r.reason, "at": r.at} for r in platform.intake.refused()[:50]
        ]
        if backlog and seen
        else [],
    }
