"""Domain objects as answers."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from headrace_controller import clock
from headrace_controller.api import schemas
from headrace_controller.catalog.catalog import Catalog, ModelVersion
from headrace_controller.catalog.series import State
from headrace_controller.definitions.monitoring import metrics_in
from headrace_controller.service.aliases import Position
from headrace_controller.service.jobs import Job
from headrace_controller.service.reports import ReportSummary
from headrace_controller.service.scheduledruns import Run
from headrace_controller.service.schedules import Schedule
from headrace_controller.service.sequences import Revision
from headrace_controller.service.streams import Stream
from headrace_controller.service.versions import ModelSummary
from headrace_functions.version import Version

RuntimeKind = Literal["environment", "image", "image and layer", "own image"]


def version(found: ModelVersion, catalog: Catalog) -> schemas.VersionView:
    made = found.version
    definition = found.definition
    aliases = catalog.alias_positions(found.id.model)
    return schemas.VersionView(
        id=str(found.id),
        model=found.id.model,
        number=found.id.number,
        state=found.state,
        reason=found.status.reason,
        created=found.given["created"],
        framework=made.framework if made else definition.get("framework"),
        signature=made.signature.to_document() if made else None,
        environment=made.environment if made else None,
        runtime=runtime(made) if made else None,
        artifact=found.given["artifact"],
        content=found.given["content"],
        training=found.given.get("training") is not None,
        target=list(definition.get("target", [])),
        batch=definition.get("batch", True),
        options=dict(definition.get("options", {})),
        scaling=made.scaling.to_document() if made else dict(definition.get("scaling", {})),
        limits=made.limits.to_document() if made else dict(definition.get("limits", {})),
        metadata=dict(found.metadata),
        monitoring=metrics_in(definition.get("monitoring")),
        aliases=sorted(name for name, number in aliases.items() if number == found.id.number),
    )


def runtime(made: Version) -> schemas.RuntimeView:
    """What serves a version, and what about the version made the build choose it."""
    chosen = made.runtime
    kind: RuntimeKind
    if chosen is None:
        kind, why = (
            "environment",
            "a virtual environment with these requirements; a cluster runs it in its framework's image",
        )
    elif not chosen.lock:
        kind, why = "own image", "the definition names it, so its requirements are what it holds"
    elif not chosen.layer:
        kind, why = "image", "the smallest runtime image that satisfies the requirements"
    else:
        kind, why = "image and layer", "the runtime image that lacks least; the layer brings what it lacks"
    return schemas.RuntimeView(
        kind=kind,
        image=chosen.image if chosen else None,
        lock=(chosen.lock or None) if chosen else None,
        layer=(chosen.layer or None) if chosen else None,
        requirements=list(made.requirements),
        lacking=list(made.lacking),
        why=why,
    )


def model(found: ModelSummary) -> schemas.ModelView:
    return schemas.ModelView(
        name=found.name,
        count=found.count,
        latest=found.latest.id.number,
        state=found.latest.state,
        released=found.released,
        created=found.latest.given["created"],
        aliases=dict(found.aliases),
    )


def alias(found: Position) -> schemas.AliasView:
    return schemas.AliasView(model=found.model, name=found.name, version=found.version, at=found.at)


def revision(found: Revision) -> schemas.RevisionView:
    document: Mapping[str, Any] = found.sequence.to_document() if found.sequence else {}
    return schemas.RevisionView(
        name=found.name,
        revision=found.number,
        at=found.at,
        deleted=found.sequence is None,
        rolled_back_to=found.rolled_back_to,
        stages=document.get("stages", []),
        signature=document.get("signature"),
        timeout=document.get("timeout"),
        metadata=document.get("metadata", {}),
    )


def stream(found: Stream) -> schemas.StreamView:
    said = found.progress
    return schemas.StreamView(
        name=found.name,
        revision=found.revision,
        at=found.at,
        definition=found.definition.to_document(),
        state="pausing" if found.paused and said.get("state") not in ("paused", "stopped") else str(said["state"]),
        reason=str(said.get("reason", "")),
        paused=found.paused,
        group=found.definition.consumer_group(found.resets),
        resets=found.resets,
        lag=found.lag,
        partitions=dict(said.get("lag", {})),
        answered=int(said.get("answered", 0)),
        refused=int(said.get("refused", 0)),
        replicas=said.get("replicas"),
    )


def deployment(name: str, state: State) -> schemas.DeploymentView:
    return schemas.DeploymentView(
        name=name, revision=state.number, at=state.document["at"], definition=state.document["definition"]
    )


def service(found: Mapping[str, Any]) -> schemas.ServiceView:
    return schemas.ServiceView.model_validate(found)


def report(found: ReportSummary) -> schemas.ReportView:
    return schemas.ReportView(
        id=f"{found.version}/{found.key}",
        version=str(found.version),
        kind=found.kind,
        name=found.name,
        written=found.written,
        verdict=found.verdict,
        severity=found.severity,
        engine=found.engine,
    )


def job(found: Job) -> schemas.JobView:
    key = found.result.get("report")
    # A report's key ends in <kind>/<name>.json; with the version in front that is its id in the API.
    report_id = f"{found.request['model']}/{'/'.join(str(key).split('/')[-2:]).removesuffix('.json')}" if key else None
    return schemas.JobView(
        id=found.id,
        kind=found.request["kind"],
        version=found.request["model"],
        engine=found.request["engine"],
        arguments=found.request["arguments"],
        by=found.request["by"],
        state=found.state,
        reason=found.reason,
        created=found.created,
        at=found.at,
        report=report_id,
        result=dict(found.result),
    )


def run(found: Run) -> schemas.RunView:
    return schemas.RunView(
        slot=found.slot,
        state=found.state,  # type: ignore[arg-type]  # windows that were passed over are not shown
        until=clock.show(found.until),
        at=clock.show(found.at),
        attempt=found.attempt,
        job=found.job,
        reason=found.reason,
        retry=clock.show(found.retry_at) if found.state == "failed" else None,
    )


def schedule(found: Schedule) -> schemas.ScheduleView:
    upcoming = found.next_tick(datetime.now(UTC))
    return schemas.ScheduleView(
        name=found.name,
        kind=found.kind,
        cron=found.cron,
        model=found.model,
        window=found.window,
        engine=found.engine,
        every_rows=found.every_rows,
        missed=found.missed,
        options=dict(found.options),
        next=None if upcoming is None else clock.show(upcoming),
    )
