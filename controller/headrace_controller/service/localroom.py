"""The build room of one machine: virtual environments below the home, functions asked in processes."""

from pathlib import Path

from headrace_controller.building.room import Fields, Ground, Needs, Question
from headrace_controller.child_processes import Log
from headrace_controller.service.probing import RuntimeProbe
from headrace_controller.service.provisioning import Provisioning
from headrace_controller.training.tables import Columns
from headrace_functions.errors import InvalidInput


class LocalBuildRoom:
    """``building.room.BuildRoom`` with this machine's Python and package index."""

    def __init__(self, provisioning: Provisioning, probe: RuntimeProbe) -> None:
        self._provisioning = provisioning
        self._probe = probe

    def artifact(self, digest: str, packed: Path, folder: Path) -> Path:  # noqa: ARG002 -- kept beyond the build, for the first start
        return self._provisioning.artifact(digest, lambda: packed)

    def prepare(self, needs: Needs, log: Log) -> Ground:
        if needs.image:
            raise InvalidInput(
                "image: this platform runs versions as processes and not in images",
                field="image",
                got=needs.image,
                hint="list what the image contains under 'requirements', or apply it to a platform in a cluster",
            )
        if needs.container:
            raise InvalidInput(
                "container: this platform runs versions as processes and starts no containers",
                field="container",
                got=needs.container,
                hint="apply it to a platform in a cluster; or start the container yourself and monitor it with external: {url: …} (docs/external-models.md)",
            )
        lock = self._provisioning.resolve(list(needs.requirements), log)
        self._provisioning.python(lock.key, log)
        return Ground(lock.key)

    def signature(
        self, ground: Ground, question: Question, sample: Columns, folder: Path, log: Log
    ) -> tuple[Fields, Fields]:
        python = self._provisioning.python(ground.environment, log)
        return self._probe.signature(python, question, sample, folder, log)

    def answers(self, ground: Ground, question: Question, rows: Columns, folder: Path, log: Log) -> Columns:
        python = self._provisioning.python(ground.environment, log)
        return self._probe.answers(python, question, rows, folder, log)
