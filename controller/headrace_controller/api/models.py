"""Models, versions, build logs, labels and aliases."""

import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import flask
from pydantic import Field
from werkzeug.wrappers import Response

from headrace_controller import archive
from headrace_controller.api import schemas, views
from headrace_controller.api.permissions import everywhere, named, somewhere
from headrace_controller.api.routing import Body, Query, Resource, read_json
from headrace_controller.api.uploads import CHUNK, save, save_table
from headrace_controller.definitions import ModelDefinition, check_document
from headrace_controller.service import labels, paging, samples
from headrace_controller.service.assembly import MAX_UPLOAD, Given
from headrace_controller.service.platform import Platform
from headrace_controller.service.versions import VersionFilter
from headrace_functions.errors import HeadraceError, InvalidInput, Malformed
from headrace_functions.names import VersionId

MAX_DEFINITION = 1024 * 1024
MAX_LABELS = 20
_VERSION = "/models/<model>/versions/<int:number>"

resource = Resource("models")


class PageQuery(Query):
    limit: int = Field(default=paging.DEFAULT_LIMIT, description=f"items of a page, 1 to {paging.MAX_LIMIT}")
    page_token: str | None = Field(default=None, description="'next' of the page before")
    q: str = Field(default="", description="part of the name")

    def page(self) -> paging.PageRequest:
        return paging.PageRequest(self.limit, self.page_token)


class VersionQuery(PageQuery):
    status: str | None = Field(default=None, description="assembling, released or failed")
    label: list[str] = Field(
        default_factory=list, max_length=MAX_LABELS, description="KEY=VALUE of the metadata; may be repeated"
    )

    def filter(self, model: str | None) -> VersionFilter:
        labels = dict(_label(text) for text in self.label)
        return VersionFilter(model, self.status, self.q, labels)


class OffsetQuery(Query):
    offset: int = Field(default=0, ge=0, description="byte of the log to start from")


class SampleQuery(Query):
    rows: int = Field(default=1, description=f"rows, 1 to {samples.MAX_ROWS}")
    seed: int = Field(default=0, description="the same seed gives the same rows")


class AliasBody(Body):
    version: int = Field(ge=1)


@resource.route("GET", "/models", access=somewhere("view"), answer=schemas.ModelPage, query=PageQuery)
def list_models(platform: Platform, query: PageQuery) -> schemas.ModelPage:
    """List models by name."""
    found = platform.versions.models(query.q, query.page())
    return schemas.ModelPage(items=[views.model(m) for m in found.items], next=found.next)


@resource.route("GET", "/models/<model>", access=named("view"), answer=schemas.ModelView)
def get_model(platform: Platform, model: str) -> schemas.ModelView:
    """Show a model: its newest version, the version that its name refers to, its aliases."""
    return views.model(platform.versions.model(model))


@resource.route("DELETE", "/models/<model>", access=named("operate"))
def delete_model(platform: Platform, model: str) -> None:
    """Delete a model with all its versions; refused (409) while a sequence or schedule uses one."""
    platform.versions.delete_model(model)


@resource.route("GET", "/versions", access=somewhere("view"), answer=schemas.VersionPage, query=VersionQuery)
def list_all_versions(platform: Platform, query: VersionQuery) -> schemas.VersionPage:
    """List versions of all models, by model, the newest first."""
    return _page(platform, query, None)


@resource.route("GET", "/models/<model>/versions", access=named("view"), answer=schemas.VersionPage, query=VersionQuery)
def list_versions(platform: Platform, model: str, query: VersionQuery) -> schemas.VersionPage:
    """List versions of a model, the newest first."""
    platform.versions.model(model)
    return _page(platform, query, model)


@resource.route("POST", "/models/<model>/versions", access=named("develop"), answer=schemas.SubmittedView, status=202)
def create_version(platform: Platform, model: str) -> schemas.SubmittedView:
    """Build a version from multipart parts: 'definition' (JSON), 'payload' (tar.zst or tar.gz), optional 'training-data', 'sample' and 'reference-data' files.

    Responds immediately; follow the build log until it is done.
    """
    flask.request.max_content_length = MAX_UPLOAD
    flask.request.max_form_memory_size = MAX_DEFINITION
    definition = check_document(read_json(flask.request.form.get("definition", ""), field="definition"))
    if not isinstance(definition, ModelDefinition) or definition.name != model:
        raise InvalidInput(
            "definition: its kind must be Model and its name the one in the path",
            field="definition",
            expected=f"kind: Model, name: {model}",
        )
    folder = platform.builds.new_folder()
    try:
        submitted = platform.builds.submit(definition, _given(folder))
    except HeadraceError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    found = platform.versions.get(submitted.version)
    return schemas.SubmittedView(version=views.version(found, platform.catalog), created=submitted.created)


@resource.route("GET", _VERSION, access=named("view"), answer=schemas.VersionView)
def get_version(platform: Platform, model: str, number: int) -> schemas.VersionView:
    """Show a version: state, signature, what it runs in and why, metadata."""
    return views.version(platform.versions.get(VersionId(model, number)), platform.catalog)


@resource.route("DELETE", _VERSION, access=named("develop"))
def delete_version(platform: Platform, model: str, number: int) -> None:
    """Delete a version; refused (409) while an alias, sequence or schedule uses it. Its log and reports stay."""
    platform.versions.delete(VersionId(model, number))


@resource.route("POST", f"{_VERSION}/signature", status=204, access=everywhere("administer"))
def sign_version(platform: Platform, model: str, number: int) -> None:
    """Sign a release in the store that this platform has not signed, as it is; until then it is not started. Only in a cluster."""
    platform.versions.sign(VersionId(model, number))


@resource.route("GET", f"{_VERSION}/build-log", access=named("diagnose"), answer=schemas.LogPart, query=OffsetQuery)
def read_build_log(platform: Platform, model: str, number: int, query: OffsetQuery) -> schemas.LogPart:
    """Read the build log from a byte offset; continue from the returned offset until 'done'."""
    part = platform.builds.log(VersionId(model, number), query.offset)
    return schemas.LogPart(text=part.text, offset=part.offset, done=part.done)


@resource.route("GET", f"{_VERSION}/profile", access=named("view"), produces="application/json")
def get_profile(platform: Platform, model: str, number: int) -> Response:
    """Show the statistics of the training data; 'null' for a version without training data."""
    found = platform.versions.profile(VersionId(model, number))
    return flask.jsonify(found.to_document() if found else None)


@resource.route("POST", f"{_VERSION}/labels", access=named("analyze"), answer=schemas.LabelsView, status=201)
def push_labels(platform: Platform, model: str, number: int) -> schemas.LabelsView:
    """Store labels for logged requests: a multipart part 'labels' with a CSV or Parquet file of request_id, row and target columns."""
    flask.request.max_content_length = labels.MAX_FILE + CHUNK
    part = flask.request.files.get("labels")
    if part is None:
        raise Malformed("labels: the part is missing", field="labels", expected="a part 'labels' with the file")
    version = VersionId(model, number)
    with tempfile.TemporaryDirectory() as folder:
        pushed = platform.labels.push(version, save_table(part, Path(folder), "labels", labels.MAX_FILE)[0])
    return schemas.LabelsView(version=str(version), **asdict(pushed))


@resource.route("GET", f"{_VERSION}/labels", access=named("read"), answer=schemas.LabelFileList)
def list_labels(platform: Platform, model: str, number: int) -> schemas.LabelFileList:
    """List the label files that were pushed, the oldest first."""
    found = platform.labels.files(VersionId(model, number))
    return schemas.LabelFileList(items=[schemas.LabelFileView.model_validate(asdict(kept)) for kept in found])


@resource.route("DELETE", f"{_VERSION}/labels/<int:file>", access=named("analyze"))
def remove_labels(platform: Platform, model: str, number: int, file: int) -> None:
    """Remove a label file; labels that were pushed earlier for its rows apply again."""
    platform.labels.remove(VersionId(model, number), file)


@resource.route("GET", "/models/<model>/aliases", access=named("view"), answer=schemas.AliasList)
def list_aliases(platform: Platform, model: str) -> schemas.AliasList:
    """List the aliases of a model."""
    platform.versions.model(model)
    return schemas.AliasList(items=[views.alias(a) for a in platform.aliases.select(model)])


@resource.route("GET", "/models/<model>/aliases/<name>", access=named("view"), answer=schemas.AliasView)
def get_alias(platform: Platform, model: str, name: str) -> schemas.AliasView:
    """Show where an alias points."""
    return views.alias(platform.aliases.get(model, name))


@resource.route(
    "PUT", "/models/<model>/aliases/<name>", access=named("operate"), answer=schemas.AliasView, body=AliasBody
)
def move_alias(platform: Platform, model: str, name: str, body: AliasBody) -> schemas.AliasView:
    """Point an alias at a released version; creates the alias if necessary."""
    return views.alias(platform.aliases.move(model, name, body.version))


@resource.route("GET", "/models/<model>/aliases/<name>/history", access=named("view"), answer=schemas.AliasList)
def get_alias_history(platform: Platform, model: str, name: str) -> schemas.AliasList:
    """List all versions that an alias has pointed at, the oldest first."""
    return schemas.AliasList(items=[views.alias(a) for a in platform.aliases.history(model, name)])


@resource.route("DELETE", "/models/<model>/aliases/<name>", access=named("operate"))
def delete_alias(platform: Platform, model: str, name: str) -> None:
    """Delete an alias; refused (409) while a schedule uses it."""
    platform.aliases.delete(model, name)


def _page(platform: Platform, query: VersionQuery, model: str | None) -> schemas.VersionPage:
    found = platform.versions.select(query.filter(model), query.page())
    return schemas.VersionPage(items=[views.version(v, platform.catalog) for v in found.items], next=found.next)


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise InvalidInput(f"label: {text!r} is not a valid label", field="label", expected="KEY=VALUE")
    return key, value


def _given(folder: Path) -> Given:
    """The files of the request, saved in ``folder``."""
    files = flask.request.files
    if "payload" not in files:
        raise Malformed(
            "payload: the part is missing",
            field="payload",
            expected="a part 'payload' with a tar.zst or tar.gz archive",
        )
    payload = folder / "payload.tar.zst"
    digests = {payload: save(files["payload"], payload, archive.MAX_ARCHIVE)}
    if archive.from_gzip(payload):
        digests[payload] = archive.digest(payload)
    data: dict[str, Path] = {}
    for name in ("training-data", "sample", "reference-data"):
        if name in files:
            data[name], digest = save_table(files[name], folder, name)
            digests[data[name]] = digest
    training, sample, reference = (data.get(name) for name in ("training-data", "sample", "reference-data"))
    return Given(folder, payload, digests[payload], training, sample, digests, reference)


@resource.route("GET", f"{_VERSION}/sample", access=named("read"), answer=schemas.SampleView, query=SampleQuery)
def get_sample(platform: Platform, model: str, number: int, query: SampleQuery) -> schemas.SampleView:
    """Show rows of a version's training data in the form of a request; 404 for a version without training data."""
    return schemas.SampleView(rows=platform.samples.rows(VersionId(model, number), query.rows, query.seed))
