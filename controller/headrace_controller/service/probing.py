"""Asking a function in its own environment during a build on this machine: its signature, and its answers to training rows.

User code runs here for the first time, so each question is a process of its own with a time limit, and what it prints goes
to the build log. The platform's own process never loads an artifact.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from headrace_controller import child_processes
from headrace_controller.building import exchange
from headrace_controller.building.room import ANSWERS_TIMEOUT, PROBE_TIMEOUT, Fields, Question
from headrace_controller.child_processes import Log
from headrace_controller.training.tables import Columns
from headrace_functions.errors import DeadlineExceeded, InvalidInput
from headrace_functions.runtime import confinement


class RuntimeProbe:
    """Runs ``headrace_functions.runtime.probe`` and ``training_answers`` with the environment's Python. ``folder`` is for files of the exchange."""

    def __init__(
        self, *, confined: bool = True, readable: Sequence[str] = (), network: bool = True, memory: int = 0
    ) -> None:
        """``confined``: they reach the folder and ``readable`` alone, where the kernel can keep them from the rest; ``network`` and ``memory``
        as of ``confinement.confine``."""
        self._confined = confined
        self._told = {
            confinement.READABLE: os.pathsep.join(readable),
            confinement.NETWORK: str(int(network)),
            confinement.MEMORY: str(memory),
        }

    def signature(
        self, python: Path, question: Question, sample: Columns, folder: Path, log: Log
    ) -> tuple[Fields, Fields]:
        result = folder / "probe-result.json"
        request = exchange.probe_request(question, sample, question.artifact, result)
        said = _ask(
            python, "headrace_functions.runtime.probe", request, folder, PROBE_TIMEOUT, log, self._environment(folder)
        )
        return exchange.found_signature(_result(result, said))

    def answers(self, python: Path, question: Question, rows: Columns, folder: Path, log: Log) -> Columns:
        result = folder / "answers.json"
        request = exchange.answers_request(question, rows, question.artifact, result)
        said = _ask(
            python,
            "headrace_functions.runtime.training_answers",
            request,
            folder,
            ANSWERS_TIMEOUT,
            log,
            self._environment(folder),
        )
        return exchange.answered(question, _result(result, said))

    def _environment(self, folder: Path) -> dict[str, str]:
        # Isolated from the platform's environment: user code sees its own packages and no credentials of the store.
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ")}
        if not self._confined:
            return kept
        return kept | self._told | {confinement.FOLDER: str(folder)}


def _ask(
    python: Path,
    module: str,
    request: dict[str, Any],
    folder: Path,
    timeout: float,
    log: Log,
    environment: Mapping[str, str],
) -> str:
    """Run a module of the runtime on a request file; the end of what it printed."""
    file = folder / f"{module.rsplit('.', 1)[-1]}-request.json"
    file.write_bytes(orjson.dumps(request, option=orjson.OPT_SERIALIZE_NUMPY))
    command = [str(python), "-m", module, str(file)]
    ended = child_processes.follow(command, log, folder=folder, environment=environment, timeout=timeout)
    if ended.late:
        raise DeadlineExceeded(
            f"payload: the function took more than {timeout:.0f} s to load and answer", field="payload"
        )
    return "\n".join(ended.tail[-5:])


def _result(file: Path, said: str) -> bytes:
    """What the process wrote; a process that died without (a crash in native code, out of memory) is the artifact's fault."""
    if not file.is_file():
        raise InvalidInput(
            f"payload: the process that tried the function ended without an answer: {said}", field="payload"
        )
    return file.read_bytes()
