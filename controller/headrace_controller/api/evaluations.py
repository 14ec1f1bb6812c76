"""Evaluations: a version held against a labelled file."""

import tempfile
from pathlib import Path

import flask

from headrace_controller.api import schemas
from headrace_controller.api.permissions import named
from headrace_controller.api.routing import Resource
from headrace_controller.api.uploads import CHUNK, save_table
from headrace_controller.evaluation.labelled import MAX_FILE
from headrace_controller.evaluation.requirements import Requirement
from headrace_controller.service.evaluations import Evaluation, EvaluationRequest
from headrace_controller.service.platform import Platform
from headrace_functions.errors import Malformed
from headrace_functions.names import VersionId

resource = Resource("evaluations")

_EVALUATIONS = "/models/<model>/versions/<int:number>/evaluations"


@resource.route("POST", _EVALUATIONS, access=(named("call"), named("view")), answer=schemas.EvaluationView, status=202)
def start_evaluation(platform: Platform, model: str, number: int) -> schemas.EvaluationView:
    """Evaluate a version on a labelled file, without logging the requests, and check the results against requirements.

    Multipart parts: 'data' (a CSV or Parquet file of inputs and labels), 'require' (FIGURE>=NUMBER, repeated), optional 'baseline' and 'target'.
    """
    flask.request.max_content_length = MAX_FILE + CHUNK
    part, form = flask.request.files.get("data"), flask.request.form
    if part is None:
        raise Malformed("data: the part is missing", field="data", expected="a part 'data' with the labelled file")
    requirements = Requirement.several(form.getlist("require"))
    request = EvaluationRequest(
        VersionId(model, number), requirements, form.get("baseline", "").strip(), form.get("target", "").strip()
    )
    with tempfile.TemporaryDirectory() as folder:
        file, _ = save_table(part, Path(folder), "data", MAX_FILE)
        return view(platform.evaluations.start(request, file))


@resource.route("GET", _EVALUATIONS, access=named("view"), answer=schemas.EvaluationList)
def list_evaluations(platform: Platform, model: str, number: int) -> schemas.EvaluationList:
    """List the last hundred evaluations of a version, the newest first."""
    found = platform.evaluations.select(VersionId(model, number))
    return schemas.EvaluationList(items=[view(e) for e in found])


@resource.route("GET", f"{_EVALUATIONS}/<id>", access=named("view"), answer=schemas.EvaluationView)
def get_evaluation(platform: Platform, model: str, number: int, id: str) -> schemas.EvaluationView:  # noqa: A002 - the path's own name
    """Show an evaluation: its progress, and its results once it has finished."""
    return view(platform.evaluations.get(VersionId(model, number), id))


def view(found: Evaluation) -> schemas.EvaluationView:
    broken = "; ".join(f.sentence for f in found.findings if not f.held)
    document = {**found.to_document(), "passed": found.passed, "reason": found.reason or broken}
    return schemas.EvaluationView.model_validate({n: document[n] for n in schemas.EvaluationView.model_fields})
