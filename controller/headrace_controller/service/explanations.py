"""Explanations of one logged request: a job that asks the endpoint as a black box."""

from dataclasses import dataclass

from headrace_controller.environments.named import Engine
from headrace_controller.service.jobs import Job, JobRequest, Jobs
from headrace_controller.service.kept_values import require_clear_inputs
from headrace_controller.service.sequences import Sequences
from headrace_controller.service.versions import Versions
from headrace_functions.errors import InvalidInput
from headrace_functions.names import MAX_REQUEST_ID, Reference

MAX_BUDGET = 100_000  # questions to the endpoint
TIMEOUT = 120.0  # seconds
SLOW = 900.0  # of Alibi's anchors, which ask tens of thousands of rows
METHODS = ("shap", "anchors", "counterfactual", "rise")


@dataclass(frozen=True, slots=True)
class ExplanationRequest:
    """Which logged row of a version, or of a whole sequence, is to be explained; ``output`` is the number explained, by default the predicted class's."""

    model: Reference
    request_id: str
    row: int = 0
    output: str | None = None
    budget: int | None = None
    method: str = "shap"
    engine: Engine = "native"

    def __post_init__(self) -> None:
        if self.engine == "alibi" and self.method != "anchors":
            raise InvalidInput(
                "engine: the alibi engine supports only anchors", field="engine", hint="give --method anchors"
            )
        if not 0 < len(self.request_id) <= MAX_REQUEST_ID or self.request_id.startswith("-"):
            raise InvalidInput(
                "request-id: not a request id",
                field="request-id",
                expected=f"1 to {MAX_REQUEST_ID} characters, as in the log",
            )
        if self.method not in METHODS:
            raise InvalidInput(
                f"method: {self.method!r} is not a valid method",
                field="method",
                expected=f"one of {', '.join(METHODS)}",
            )
        if self.row < 0:
            raise InvalidInput(
                f"row: {self.row} is not a valid row", field="row", expected="0 for the first row of the request"
            )
        if self.budget is not None and not 1 <= self.budget <= MAX_BUDGET:
            raise InvalidInput(f"budget: {self.budget} is not allowed", field="budget", expected=f"1 to {MAX_BUDGET}")


class Explanations:
    def __init__(self, versions: Versions, sequences: Sequences, jobs: Jobs, endpoint: str) -> None:
        self._versions = versions
        self._sequences = sequences
        self._jobs = jobs
        self._endpoint = endpoint

    def start(self, request: ExplanationRequest) -> Job:
        """Queue the job. The explanation of a sequence is kept with the first version of its last stage."""
        arguments = {"request-id": request.request_id, "row": str(request.row), "endpoint": self._endpoint}
        sequence = self._sequences.find(str(request.model))
        if sequence is None:
            version = self._versions.resolve(request.model).id
            asked = [version]
        else:
            version = sequence.stages[-1].variants[0].version
            asked = list(sequence.versions())
            arguments["sequence"] = sequence.name
        for one in asked:
            require_clear_inputs(self._versions.get(one).version, "explain")
        if request.method != "shap":
            arguments["method"] = request.method
        if request.output is not None:
            arguments["output"] = request.output
        if request.budget is not None:
            arguments["budget"] = str(request.budget)
        timeout = SLOW if request.engine == "alibi" else TIMEOUT
        return self._jobs.start(JobRequest("explain", version, request.engine, arguments, timeout))
