"""The metrics of a version: those of its definition and those attached later, each by its name.

Attached ones are series of documents: the last state counts, a removal is one of them. One attached later takes the place
of the definition's of the same name.
"""

import logging

from headrace_controller.monitoring.specs import MetricSpec
from headrace_functions.errors import InvalidInput, NotFound
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.version import Version

_log = logging.getLogger(__name__)


def metrics_of(documents: Documents, version: Version) -> list[MetricSpec]:
    """All metrics that are scored, by name."""
    found: dict[str, MetricSpec] = {}
    for entry in version.monitoring:
        try:
            spec = MetricSpec.of_config(entry["name"], entry.get("config", {}))
        except InvalidInput as error:
            # Versions of earlier releases were not held to this; the others of their metrics are still scored.
            _log.warning("a metric of %s is not scored: %s", version.id, error.message)
            continue
        if spec is not None:
            found[spec.name] = spec
    for name in documents.objects.folders(layout.metric_specs(version.id)):
        state = documents.last(layout.metric_spec(version.id, name))
        found.pop(name, None)
        if state is not None and not state.get("deleted"):
            found[name] = MetricSpec.from_document(state)
    return [found[name] for name in sorted(found)]


def attach(documents: Documents, version: VersionId, spec: MetricSpec) -> None:
    """Add or change a metric; the same one again changes nothing."""
    folder = layout.metric_spec(version, spec.name)
    document = spec.to_document()
    if documents.last(folder) != document:
        documents.append(folder, document)


def detach(documents: Documents, version: Version, name: str) -> None:
    """Stop scoring a metric; its values stay. ``NotFound`` if the version has none of this name."""
    if name not in {spec.name for spec in metrics_of(documents, version)}:
        raise NotFound(
            f"{version.id} has no metric {name!r}", field="metric", hint=f"headrace metric list {version.id}"
        )
    documents.append(layout.metric_spec(version.id, name), {"schema": 1, "deleted": True})
