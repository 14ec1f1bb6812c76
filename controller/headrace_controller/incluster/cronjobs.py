"""CronJobs kept as the schedules say: level-triggered, on each change and every few minutes."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from headrace_controller.backends.kserve.cronjobs import cron_job, name_of
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_controller.service.schedules import Schedule
from headrace_functions.errors import HeadraceError

Json = dict[str, Any]

log = logging.getLogger(__name__)


class CronsPort(Protocol):
    """The part of ``jobs.Jobs`` that is needed here; blocking."""

    def apply_cron(self, document: Json) -> None: ...

    def crons(self) -> list[str]: ...

    def delete_cron(self, name: str) -> None: ...


class Croning:
    def __init__(
        self, schedules: Callable[[], Sequence[Schedule]], crons: CronsPort, cluster: ClusterSettings, image: str
    ) -> None:
        """``image`` is the controller's own, whose program tells of each tick."""
        self._schedules = schedules
        self._crons = crons
        self._cluster = cluster
        self._image = image

    def keep(self) -> None:
        """Make every schedule with a cron expression a CronJob and remove those of no schedule. What fails is done at the next look."""
        try:
            wanted = {name_of(s.name): s for s in self._schedules() if s.cron}
            for schedule in wanted.values():
                self._apply(schedule)
            for name in self._crons.crons():
                if name not in wanted:
                    self._crons.delete_cron(name)
        except HeadraceError as error:
            log.warning("schedules are not all on the cluster yet: %s", error.message)

    def _apply(self, schedule: Schedule) -> None:
        document = cron_job(
            schedule.name, schedule.cron, self._image, self._cluster, skip_missed=schedule.missed == "skip"
        )
        try:
            self._crons.apply_cron(document)
        except HeadraceError as error:
            log.error("schedule %s is not on the cluster: %s", schedule.name, error.message)
