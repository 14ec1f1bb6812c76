"""The page of settings: what this platform is, where it keeps things, and the deployment configurations."""

from typing import Any

from headrace_controller.access import current
from headrace_controller.service.intake import Backlog
from headrace_controller.service.platform import Platform

Json = dict[str, Any]


def content(platform: Platform) -> Json:
    status = {k: v for k, v in platform.status().items() if k != "services"}
    spooled = int(status["traffic"].get("waiting_bytes", 0))
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
        "traffic": {k: v for k, v in status["traffic"].items() if k != "waiting_bytes"},
        "backlog": {"segments": backlog.segments, "bytes": backlog.size, "oldest": backlog.oldest} if backlog else None,
        "on_the_way": _on_the_way(spooled, backlog),
        "refused": [
            {"key": r.key, "size": r.size, "reason": r.reason, "at": r.at} for r in platform.intake.refused()[:50]
        ]
        if backlog and seen
        else [],
    }


def _on_the_way(spooled: int, backlog: Backlog | None) -> str:
    """Where records wait that are not in the log yet: on this machine, and in the store's inbox."""
    parts = [f"{spooled:,} bytes in spools of this machine"] if spooled else []
    if backlog is None:
        parts.append("how much is in the store is not known")
    elif backlog.segments:
        some = f"{backlog.segments:,} segment{'s' if backlog.segments > 1 else ''}"
        parts.append(f"{some} of {backlog.size:,} bytes in the store, the oldest {backlog.oldest:.0f} s old")
    return "; ".join(parts) or "nothing: every record is in the log"
