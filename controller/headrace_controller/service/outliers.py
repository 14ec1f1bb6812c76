"""Outlier detectors as metric models: what a job learnt becomes a version ``<model>-outliers:N`` by the path of every build.

The job leaves a definition and its payload in the store. They are submitted as a user's would be, and when the version is
released it is attached to the version it watches as the metric ``outliers``. Versions whose ``monitoring`` asks for
outliers without naming a model have the job started when they are released.
"""

import logging
import threading

import orjson

from headrace_controller import archive
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.definitions import ModelDefinition
from headrace_controller.monitoring.specs import OUTLIERS, RATE, MetricSpec, wants_outliers
from headrace_controller.service.assembly import Given
from headrace_controller.service.builds import Builds
from headrace_controller.service.jobs import Job, JobRequest, Jobs
from headrace_controller.service.metrics import Metrics
from headrace_functions.errors import HeadraceError
from headrace_functions.names import VersionId, check_name

BUILD_TIMEOUT = 1800.0  # seconds
SUFFIX = "-outliers"

_log = logging.getLogger(__name__)


class OutlierModels:
    def __init__(self, catalog: Catalog, builds: Builds, jobs: Jobs, metrics: Metrics) -> None:
        self._catalog = catalog
        self._metrics = metrics
        self._builds = builds
        self._jobs = jobs

    def open(self) -> None:
        """Follow jobs and builds from now on."""
        self._jobs.on_change(self._job_changed)
        self._builds.on_release(self._released)

    def serve(self, version: VersionId, folder: str) -> VersionId:
        """Build what a job left in ``folder`` of the store, and attach it; the same content is the same version.

        Blocks until the build is over. Raises ``HeadraceError`` where it cannot be submitted; a build that fails has a log.
        """
        objects = self._catalog.documents.objects
        document = orjson.loads(objects.get(f"{folder}definition.json"))
        definition = ModelDefinition.model_validate(document)
        check_name(definition.name, field=f"name of the metric model of {version}")
        home = self._builds.new_folder()
        for name in definition.payload:
            (home / name).write_bytes(objects.get(f"{folder}{name}"))
        payload = home / "payload.tar.zst"
        digest = archive.pack(definition.payload, home, payload)
        made = self._builds.submit(definition, Given(home, payload, digest, own=True)).version
        self._builds.wait(made, BUILD_TIMEOUT)
        if self._catalog.get(made).released:
            threshold = float(definition.metadata["threshold"])
            spec = MetricSpec(OUTLIERS, made, definition.metadata["operator"], threshold)
            self._metrics.attach(version, spec)
        return made

    def _job_changed(self, job: Job) -> None:
        folder = job.result.get("function")
        if job.request["kind"] == OUTLIERS and job.state == "done" and folder:
            version = VersionId.parse(job.request["model"])
            threading.Thread(
                target=self._try_to_serve, args=(version, folder), name=f"serve {folder}", daemon=True
            ).start()

    def _try_to_serve(self, version: VersionId, folder: str) -> None:
        try:
            self.serve(version, folder)
        except HeadraceError:
            _log.exception("the outlier detector of %s is not served", version)

    def _released(self, version: VersionId) -> None:
        found = self._catalog.get(version).version
        rate = wants_outliers(found.monitoring) if found is not None and found.training is not None else None
        if rate is None:
            return
        try:
            self._jobs.start(
                JobRequest("outliers", version, arguments={RATE: f"{rate:g}"}, by=f"monitoring of {version}")
            )
        except HeadraceError:
            _log.exception("the outlier detector of %s is not learnt", version)
