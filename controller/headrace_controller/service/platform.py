"""All use cases of one platform, wired to one store and one home."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from headrace_controller import clock
from headrace_controller.access import current
from headrace_controller.access.trust import Trust, create_trust
from headrace_controller.analysis_runs import Runner
from headrace_controller.building.room import BuildRoom
from headrace_controller.building.signatures import trusted_keys
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.environments.named import JobEnvironments
from headrace_controller.health.reader import HealthReader
from headrace_controller.requestlog.reader import LogReader
from headrace_controller.requestlog.tail import LogTail
from headrace_controller.service.aliases import Aliases
from headrace_controller.service.assembly import Assembly
from headrace_controller.service.builds import Builds
from headrace_controller.service.changes import AnnouncedServices, Changes
from headrace_controller.service.comparisons import Comparisons
from headrace_controller.service.deployments import Deployments
from headrace_controller.service.erasures import Erasures
from headrace_controller.service.evaluations import Evaluations
from headrace_controller.service.exchanges import Exchanges
from headrace_controller.service.explanations import Explanations
from headrace_controller.service.failures import Failures
from headrace_controller.service.gauges import Gauges
from headrace_controller.service.incidents import Incidents
from headrace_controller.service.intake import Intake
from headrace_controller.service.jobprocess import ProcessRunner
from headrace_controller.service.jobs import Jobs
from headrace_controller.service.kserve_events import EventJoin
from headrace_controller.service.labels import Labels
from headrace_controller.service.localroom import LocalBuildRoom
from headrace_controller.service.metrics import Metrics
from headrace_controller.service.notifications import Notifications
from headrace_controller.service.outliers import OutlierModels
from headrace_controller.service.probing import RuntimeProbe
from headrace_controller.service.provisioning import Provisioning
from headrace_controller.service.recent_changes import RecentChanges
from headrace_controller.service.rendering import Manifest, Rendering
from headrace_controller.service.replays import Replays
from headrace_controller.service.reports import Reports
from headrace_controller.service.retention import Retention
from headrace_controller.service.rotation import Rotation, key_files
from headrace_controller.service.rules import RuleLimits
from headrace_controller.service.samples import Samples
from headrace_controller.service.schedules import Schedules
from headrace_controller.service.segmentation import Segmentation
from headrace_controller.service.sequences import Sequences
from headrace_controller.service.services import Services, ServiceViews
from headrace_controller.service.streams import ProcessOfStreams, Streams
from headrace_controller.service.versions import Versions
from headrace_controller.service.watching import IncidentWatch
from headrace_controller.settings import Settings
from headrace_functions.errors import Conflict, StorageFailed
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.storage.releases import ReleaseKey
from headrace_functions.storage.signed_documents import DocumentKey


@dataclass(frozen=True, slots=True)
class Platform:
    """The use cases that API and pages call."""

    home: Path
    endpoint: str
    """Public URL of the platform, without a slash at the end."""
    started: str
    catalog: Catalog
    builds: Builds
    versions: Versions
    aliases: Aliases
    sequences: Sequences
    deployments: Deployments
    streams: Streams
    rendering: Rendering
    services: ServiceViews
    logs: LogReader
    tail: LogTail
    reports: Reports
    gauges: Gauges
    jobs: Jobs
    schedules: Schedules
    explanations: Explanations
    labels: Labels
    metrics: Metrics
    health: HealthReader
    incidents: Incidents
    rules: RuleLimits
    exchanges: Exchanges
    comparisons: Comparisons
    segmentation: Segmentation
    replays: Replays
    evaluations: Evaluations
    events_of_kserve: EventJoin
    watch: IncidentWatch
    notifications: Notifications
    outliers: OutlierModels
    changes: Changes
    intake: Intake
    samples: Samples
    trust: Trust
    retention: Retention
    erasures: Erasures
    rotation: Rotation
    checks: list[Callable[[], list[str]]] = field(default_factory=list)
    """Further sources of ``problems``: what runs beside the use cases and knows how it is doing."""

    def open(self, *, home_lost: bool = False) -> None:
        """Mark what a crash cut short, then start to work on jobs and schedules. ``home_lost``: the home is another one each time."""
        self.trust.open()
        self.retention.open()
        self.builds.recover(home_lost=home_lost)
        self.outliers.open()
        self.jobs.open()
        self.schedules.open()
        self.streams.open()
        self.watch.open()
        self.notifications.open()
        self.erasures.open()
        self.events_of_kserve.open()

    def close(self) -> None:
        self.erasures.close()
        self.events_of_kserve.close()
        self.notifications.close()
        self.watch.close()
        self.schedules.close()
        self.jobs.close()
        self.retention.close()
        self.trust.close()

    def status(self) -> dict[str, Any]:
        """What ``headrace status`` shows. It answers while the store is away too: counts are then None, ``storage_error`` says why."""
        return {
            "version": metadata.version("headrace"),
            "url": self.endpoint,
            "home": str(self.home),
            "storage": self.catalog.documents.objects.url,
            "started": self.started,
            "traffic": self.services.summary(),
            "problems": self.problems(),
            **self._contents(),
        }

    def problems(self) -> list[str]:
        """What is wrong with the platform itself, a sentence each; empty where nothing is known to be wrong, or for who may not see everything."""
        if not current.may("view"):
            return []
        try:
            return [p for check in (self._damaged, self.intake.problems, *self._loops()) for p in check()]
        except StorageFailed as error:
            return [error.message, *(p for check in self._loops() for p in check())]

    def _damaged(self) -> list[str]:
        series = (self.catalog.sequences, self.catalog.schedules, self.catalog.deployments)
        versions = [f"version {v.id}: {v.status.reason}" for v in self.catalog.versions() if v.damaged]
        return versions + [reason for s in series for reason in s.damaged.values()]

    def _loops(self) -> list[Callable[[], list[str]]]:
        return [
            lambda: self.schedules.problems,
            lambda: self.watch.problems,
            lambda: self.notifications.problems,
            lambda: [p for p in (self.events_of_kserve.health.problem,) if p],
            self.trust.problems,
            lambda: [p for p in (self.retention.health.problem, self.erasures.health.problem) if p],
            *self.checks,
        ]

    def _contents(self) -> dict[str, Any]:
        try:
            return {
                "storage_error": "",
                "models": sum(current.may("view", name) for name in self.catalog.models()),
                "sequences": sum(current.may("view", name) for name in self.catalog.sequences.names()),
                "schedules": len(self.catalog.schedules.names()),
                "services": self.services.select(),
            }
        except StorageFailed as error:
            counts = dict.fromkeys(("models", "sequences", "schedules"))
            return {"storage_error": error.message, **counts, "services": []}


def create_platform(
    settings: Settings,
    services: Services,
    endpoint: str,
    manifest: Manifest,
    room: BuildRoom | None = None,
    runner: Runner | None = None,
    gateway: str = "",
) -> Platform:
    """Wire the use cases. ``services`` is the running side; ``endpoint`` the public URL, e.g. ``http://127.0.0.1:8080``.

    ``room`` is where builds happen and ``runner`` where jobs run, this machine where they are None; ``gateway`` is the URL at
    which jobs ask models, the public one where it is empty.
    Nothing runs before ``open``. Raises ``StorageFailed`` where the store cannot be reached, ``Conflict`` where a restore of it is not finished.
    """
    home = settings.home
    key = settings.release_key
    documents = Documents(ObjectStore(settings.storage_url), DocumentKey(key) if key else None)
    _refuse_half_restored(documents)
    catalog = Catalog(documents, ReleaseKey(key) if key else None)
    changes = Changes()
    announced = AnnouncedServices(services, changes)
    provisioning = Provisioning(documents, settings.environments, settings.artifacts)
    versions = Versions(catalog, announced)
    aliases = Aliases(catalog, announced)
    on_this_machine = ProcessRunner(JobEnvironments(provisioning.environments))
    jobs = Jobs(
        documents,
        runner or on_this_machine,
        settings.storage_url,
        home,
        gateway=gateway or endpoint,
    )
    jobs.on_change(lambda _job: changes.announce())
    logs = LogReader(documents.objects)
    reports = Reports(catalog)
    incidents = Incidents(catalog, changes.announce)
    streams = Streams(catalog, ProcessOfStreams(settings.run / "streams"))
    gauges = Gauges(reports, incidents=incidents.open, streams=streams.select)
    jobs.on_change(lambda _job: gauges.stale())
    values = LogReader(documents.objects, layout.metric_table)
    metrics = Metrics(catalog, values)
    comparisons = Comparisons(catalog, logs, values)
    segmentation = Segmentation(catalog, logs, values)
    builds = Builds(
        catalog,
        Assembly(
            documents,
            room or LocalBuildRoom(provisioning, _probe(settings)),
            settings.read_hash_key,
            trusted_keys(Path(settings.trusted_keys)) if settings.trusted_keys else (),
        ),
        announced,
        home / "builds",
        settings.logs / "builds",
    )
    sequences = Sequences(catalog, versions, announced)
    health = HealthReader(documents.objects)
    exchanges = Exchanges(catalog, hash_key=settings.read_hash_key)
    failures = Failures(catalog, jobs, reports, services.observe)
    trust = create_trust(settings, documents, endpoint, lambda: announced.changed(""))
    watch = IncidentWatch(catalog, health, incidents, failures, segmentation, changes.announce)
    return Platform(
        home=home,
        endpoint=endpoint,
        started=clock.now(),
        catalog=catalog,
        builds=builds,
        versions=versions,
        aliases=aliases,
        sequences=sequences,
        deployments=Deployments(catalog),
        streams=streams,
        rendering=Rendering(catalog, versions, manifest),
        services=ServiceViews(catalog, announced),
        logs=logs,
        tail=LogTail(documents.objects, logs),
        reports=reports,
        gauges=gauges,
        jobs=jobs,
        schedules=Schedules(catalog, versions, jobs, logs),
        explanations=Explanations(versions, sequences, jobs, gateway or endpoint),
        labels=Labels(catalog, logs),
        metrics=metrics,
        health=health,
        incidents=incidents,
        rules=RuleLimits(catalog),
        exchanges=exchanges,
        comparisons=comparisons,
        segmentation=segmentation,
        replays=Replays(documents, comparisons, logs),
        evaluations=Evaluations(catalog, aliases),
        events_of_kserve=EventJoin(exchanges.registered, exchanges.take),
        watch=watch,
        notifications=Notifications(documents, incidents, endpoint, changes=RecentChanges(catalog).since),
        outliers=OutlierModels(catalog, builds, jobs, metrics),
        changes=changes,
        intake=Intake(documents.objects),
        samples=Samples(catalog),
        retention=Retention(catalog),
        erasures=Erasures(catalog, jobs, home, settings.read_hash_keys),
        trust=trust,
        rotation=Rotation(catalog, trust.secret, key_files(settings)),
    )


def _refuse_half_restored(documents: Documents) -> None:
    if documents.objects.exists(layout.RESTORING):
        raise Conflict(
            f"a backup is being restored to {documents.objects.url}, or a restore was interrupted",
            field="storage",
            hint="finish it with the same command: headrace restore --from …",
        )


def _probe(settings: Settings) -> RuntimeProbe:
    return RuntimeProbe(
        confined=not settings.unconfined,
        readable=settings.function_paths,
        network=settings.function_network,
        memory=settings.function_memory,
    )
