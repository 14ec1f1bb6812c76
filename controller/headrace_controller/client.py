"""The Python client: typed methods for everything that the API has, with the errors of ``headrace_functions.errors``.

>>> with Client("http://127.0.0.1:8080") as platform:  # doctest: +SKIP
...     platform.version("churn:3").state
"""

import ssl
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, TypeVar
from urllib.parse import quote

import httpx
import orjson

from headrace_controller.api import schemas
from headrace_controller.authorities import trusted
from headrace_controller.client_settings import key_header, platform_url
from headrace_controller.definitions import (
    DeploymentConfiguration,
    GrantDefinition,
    SequenceDefinition,
    StreamDefinition,
)
from headrace_controller.inference_client import Asker, endpoint_path
from headrace_controller.projects.packaging import Package
from headrace_controller.response_errors import error_of
from headrace_functions import errors
from headrace_functions.names import Reference, VersionId

API = "/api/v1"
POLL = 0.25  # seconds between two looks at a build log or a job
UPLOAD_TIMEOUT = 600.0
"""Seconds from the last piece of an upload to its answer: until the platform has it on its disk."""

Found = TypeVar("Found", bound=schemas.Answer)
Json = dict[str, Any]


class _Authorized(httpx.Auth):
    def __init__(self, authorization: Callable[[], str]) -> None:
        self._authorization = authorization

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        value = self._authorization()
        if value:
            request.headers["authorization"] = value
        yield request


class Client:
    """A client for the platform at one URL. ``timeout`` is in seconds per request; uploads may take up to ``UPLOAD_TIMEOUT``."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 60.0,
        tls: ssl.SSLContext | bool | None = None,
        ca: str | Path | None = None,
        authorization: Callable[[], str] | None = None,
        key: str | None = None,
    ) -> None:
        """``key`` is an API key, by default that in ``HEADRACE_API_KEY``. ``ca`` is a PEM file with the certificate authority of the platform,
        by default that in ``HEADRACE_CA_FILE``, or else the system's authorities.

        ``tls`` and ``authorization`` (which returns the header's value for the next request) are for a proxy in front of the platform.
        """
        self.url = platform_url(url)
        self._direct = authorization is None
        auth = _Authorized(authorization) if authorization is not None else None
        self._http = httpx.Client(
            base_url=self.url,
            timeout=timeout,
            trust_env=False,
            verify=tls if tls is not None else trusted(ca),
            auth=auth,
            headers=key_header(key),
        )
        self._asker = Asker(self._http)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def public_url(self) -> str:
        """The URL for callers of models: that of this client, or the platform's own where this client goes through a proxy."""
        return self.url if self._direct else self.status().url

    def status(self) -> schemas.StatusView:
        return self._get("/status", schemas.StatusView)

    def segments(
        self,
        version: VersionId | str,
        where: str = "",
        since: str | None = None,
        until: str | None = None,
        *,
        metric: str = "",
        wrong: bool = False,
    ) -> schemas.SegmentsView:
        """What distinguishes the selected rows of a version's log from the others: rows that satisfy ``where``, that are unhealthy by ``metric``, or
        whose prediction is ``wrong`` according to their labels."""
        of = version if isinstance(version, VersionId) else VersionId.parse(version)
        path = f"/logs/{of.model}/{of.number}/segments"
        chosen = {"where": where or None, "metric": metric or None, "wrong": "true" if wrong else None}
        return self._get(path, schemas.SegmentsView, **chosen, since=since, until=until)

    def sample(self, version: VersionId | str, rows: int = 1, seed: int = 0) -> list[Json]:
        """Rows of a version's training data, each a mapping by input. Raises ``NotFound`` for a version without training data."""
        of = version if isinstance(version, VersionId) else VersionId.parse(version)
        return self._get(
            f"/models/{of.model}/versions/{of.number}/sample", schemas.SampleView, rows=rows, seed=seed
        ).rows

    def refused_records(self) -> list[schemas.RefusedView]:
        """Records that the collector could not log and has set aside."""
        return self._get("/refused-records", schemas.RefusedList).items

    def retry_refused_records(self) -> int:
        """Pass records that were set aside to the collector again; returns the number of objects."""
        return self._post("/refused-records/retry", {}, schemas.RetriedView).retried

    # Models, versions, aliases

    def models(self, text: str = "") -> Iterator[schemas.ModelView]:
        return self._pages("/models", schemas.ModelPage, q=text)

    def model(self, name: str) -> schemas.ModelView:
        return self._get(f"/models/{name}", schemas.ModelView)

    def delete_model(self, name: str) -> None:
        self._request("DELETE", f"{API}/models/{name}")

    def versions(
        self, model: str | None = None, *, status: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Iterator[schemas.VersionView]:
        """Versions of one model or of all models; within a model the newest first."""
        label = [f"{k}={v}" for k, v in (labels or {}).items()]
        return self._pages(
            f"/models/{model}/versions" if model else "/versions", schemas.VersionPage, status=status, label=label
        )

    def version(self, version: str) -> schemas.VersionView:
        return self._get(_version_path(VersionId.parse(version)), schemas.VersionView)

    def resolve(self, reference: str) -> VersionId:
        """The version that ``churn``, ``churn:3`` or ``churn@prod`` currently refers to."""
        parsed = Reference.parse(reference)
        if parsed.number is not None:
            return VersionId(parsed.name, parsed.number)
        if parsed.alias is not None:
            number = self._get(f"/models/{parsed.name}/aliases/{parsed.alias}", schemas.AliasView).version
        else:
            number = self.model(parsed.name).released
        if number is None:
            raise errors.NotFound(
                f"{reference} has no released version", hint=f"see: headrace version list {parsed.name}"
            )
        return VersionId(parsed.name, number)

    def delete_version(self, version: str) -> None:
        self._request("DELETE", API + _version_path(VersionId.parse(version)))

    def sign_version(self, version: str) -> None:
        """Sign a release in the store that the platform has not signed, as it is."""
        self._request("POST", f"{API}{_version_path(VersionId.parse(version))}/signature")

    def apply_model(self, package: Package) -> schemas.SubmittedView:
        """Upload a model; returns while the version is being built, see ``follow_build``."""
        with ExitStack() as stack:
            files: dict[str, Any] = {"payload": ("payload.tar.zst", stack.enter_context(package.payload.open("rb")))}
            given = (
                ("training-data", package.training),
                ("sample", package.sample),
                ("reference-data", package.reference),
            )
            for name, path in given:
                if path is not None:
                    files[name] = (path.name, stack.enter_context(path.open("rb")))
            data = {"definition": orjson.dumps(package.definition.to_document()).decode()}
            target = f"{API}/models/{package.definition.name}/versions"
            timeout = httpx.Timeout(self._http.timeout.connect, read=UPLOAD_TIMEOUT)
            answer = self._request("POST", target, data=data, files=files, timeout=timeout)
        return schemas.SubmittedView.model_validate_json(answer.content)

    def build_log(self, version: str, offset: int = 0) -> schemas.LogPart:
        return self._get(f"{_version_path(VersionId.parse(version))}/build-log", schemas.LogPart, offset=offset)

    def follow_build(self, version: str, write: Callable[[str], None]) -> schemas.VersionView:
        """Call ``write`` with the build log as it grows; returns the version once it is released or has failed."""
        part = self.build_log(version)
        write(part.text)
        while not part.done:
            time.sleep(POLL)
            part = self.build_log(version, part.offset)
            write(part.text)
        return self.version(version)

    def aliases(self, model: str) -> list[schemas.AliasView]:
        return self._get(f"/models/{model}/aliases", schemas.AliasList).items

    def alias_history(self, model: str, name: str) -> list[schemas.AliasView]:
        return self._get(f"/models/{model}/aliases/{name}/history", schemas.AliasList).items

    def move_alias(self, model: str, name: str, number: int) -> schemas.AliasView:
        return self._put(f"/models/{model}/aliases/{name}", {"version": number}, schemas.AliasView)

    def delete_alias(self, model: str, name: str) -> None:
        self._request("DELETE", f"{API}/models/{model}/aliases/{name}")

    def push_labels(self, version: VersionId, file: Path) -> schemas.LabelsView:
        """Upload labels for logged requests, as a CSV or Parquet file."""
        with file.open("rb") as content:
            path = f"{API}{_version_path(version)}/labels"
            answer = self._request("POST", path, files={"labels": (file.name, content)})
        return schemas.LabelsView.model_validate_json(answer.content)

    def push_exchanges(self, version: VersionId, body: bytes, content_type: str) -> schemas.ExchangesView:
        """Log requests and responses of an external version, as JSON lines, an Arrow stream or a Parquet file."""
        path = f"{API}{_version_path(version)}/exchanges"
        answer = self._request("POST", path, content=body, headers={"content-type": content_type})
        return schemas.ExchangesView.model_validate_json(answer.content)

    def start_evaluation(
        self, version: VersionId, file: Path, *, require: Sequence[str] = (), baseline: str = "", target: str = ""
    ) -> schemas.EvaluationView:
        """Start evaluating a version on a labelled CSV or Parquet file, and checking the results against requirements; see ``evaluation``."""
        form = {"require": list(require), **_given({"baseline": baseline or None, "target": target or None})}
        with file.open("rb") as content:
            named = file.name if file.suffix in (".csv", ".parquet") else f"{file.name}{_kind_of(content)}"
            files = {"data": (named, content)}
            path = f"{API}{_version_path(version)}/evaluations"
            timeout = httpx.Timeout(self._http.timeout.connect, read=UPLOAD_TIMEOUT)
            answer = self._request("POST", path, data=form, files=files, timeout=timeout)
        return schemas.EvaluationView.model_validate_json(answer.content)

    def evaluation(self, version: VersionId, evaluation_id: str) -> schemas.EvaluationView:
        """The progress of an evaluation, and its results."""
        return self._get(f"{_version_path(version)}/evaluations/{evaluation_id}", schemas.EvaluationView)

    def evaluations(self, version: VersionId) -> list[schemas.EvaluationView]:
        return self._get(f"{_version_path(version)}/evaluations", schemas.EvaluationList).items

    def compare(
        self, first: str, second: str, *, since: str = "7d", until: str | None = None
    ) -> schemas.ComparisonView:
        """Compare two versions (MODEL:NUMBER or MODEL@ALIAS) on the rows that both have answered."""
        return self._get("/comparison", schemas.ComparisonView, first=first, second=second, since=since, until=until)

    def start_replay(self, source: str, target: str, **more: str | float | None) -> schemas.ReplayView:
        """Send logged requests of one version to another and compare the predictions. ``more`` may have since, until, rows and rate."""
        return self._post("/replays", {"source": source, "target": target, **_given(more)}, schemas.ReplayView)

    def replay(self, replay_id: str) -> schemas.ReplayView:
        return self._get(f"/replays/{replay_id}", schemas.ReplayView)

    def cancel_replay(self, replay_id: str) -> schemas.ReplayView:
        return self._post(f"/replays/{replay_id}/cancel", {}, schemas.ReplayView)

    def label_files(self, version: VersionId) -> list[schemas.LabelFileView]:
        return self._get(f"{_version_path(version)}/labels", schemas.LabelFileList).items

    def remove_labels(self, version: VersionId, number: int) -> None:
        self._request("DELETE", f"{API}{_version_path(version)}/labels/{number}")

    # Sequences and deployment configurations

    def sequences(self, text: str = "") -> Iterator[schemas.RevisionView]:
        return self._pages("/sequences", schemas.SequencePage, q=text)

    def sequence(self, name: str) -> schemas.RevisionView:
        return self._get(f"/sequences/{name}", schemas.RevisionView)

    def apply_sequence(self, definition: SequenceDefinition) -> schemas.SequenceApplied:
        return self._put(f"/sequences/{definition.name}", definition.to_document(), schemas.SequenceApplied)

    def revisions(self, name: str) -> list[schemas.RevisionView]:
        return self._get(f"/sequences/{name}/revisions", schemas.RevisionList).items

    def rollback(self, name: str, to: int | None = None) -> schemas.RevisionView:
        body = {} if to is None else {"to": to}
        return self._post(f"/sequences/{name}/rollback", body, schemas.RevisionView)

    def delete_sequence(self, name: str) -> None:
        self._request("DELETE", f"{API}/sequences/{name}")

    # Streams

    def streams(self) -> list[schemas.StreamView]:
        return self._get("/streams", schemas.StreamList).items

    def stream(self, name: str) -> schemas.StreamView:
        return self._get(f"/streams/{name}", schemas.StreamView)

    def apply_stream(self, definition: StreamDefinition) -> schemas.StreamApplied:
        return self._put(f"/streams/{definition.name}", definition.to_document(), schemas.StreamApplied)

    def pause_stream(self, name: str) -> schemas.StreamView:
        return self._post(f"/streams/{name}/pause", {}, schemas.StreamView)

    def resume_stream(self, name: str) -> schemas.StreamView:
        return self._post(f"/streams/{name}/resume", {}, schemas.StreamView)

    def reset_stream(self, name: str, to: str) -> schemas.StreamView:
        """Read the source topic again, starting at ``earliest``, ``latest`` or an RFC 3339 time."""
        return self._post(f"/streams/{name}/reset", {"to": to}, schemas.StreamView)

    def delete_stream(self, name: str) -> None:
        self._request("DELETE", f"{API}/streams/{name}")

    def apply_deployment(self, definition: DeploymentConfiguration) -> schemas.DeploymentView:
        return self._put(
            f"/deployment-configurations/{definition.name}", definition.to_document(), schemas.DeploymentView
        )

    def manifests(self, name: str) -> list[Json]:
        """Kubernetes manifests of a version, alias, model or sequence, as the cluster backend would apply them."""
        return self._get(f"/manifests/{name}", schemas.ManifestList).items

    # What runs

    def services(self) -> list[schemas.ServiceView]:
        return self._get("/services", schemas.ServiceList).items

    def service(self, version: str) -> schemas.ServiceView:
        return self._get(_service_path(version), schemas.ServiceView)

    def service_log(self, version: str, request: str = "") -> str:
        """The end of the log of a version's processes, or what they logged about one request."""
        return self._get(f"{_service_path(version)}/log", schemas.ServiceLogView, request=request or None).text

    def wake(self, version: str) -> schemas.ServiceView:
        return self._post(f"{_service_path(version)}/wake", {}, schemas.ServiceView)

    def put_to_sleep(self, version: str) -> schemas.ServiceView:
        return self._post(f"{_service_path(version)}/sleep", {}, schemas.ServiceView)

    def endpoint_metadata(self, name: str) -> Json:
        """``GET /v2/models/<name>``: the inputs and outputs with their datatypes, also of a sequence or an alias."""
        found: Json = orjson.loads(self._request("GET", endpoint_path(name)).content)
        return found

    def predict(self, name: str, request: Json) -> Json:
        """``POST /v2/models/<name>/infer`` with a JSON request of the Open Inference Protocol."""
        answer = self._request("POST", f"{endpoint_path(name)}/infer", content=_json(request))
        found: Json = orjson.loads(answer.content)
        return found

    def ask(self, name: str, data: Any, *, request_id: str | None = None, timeout: float | None = None) -> Any:
        """Predictions for a table. ``data`` is a pandas or polars data frame, a mapping of columns, a list of rows as mappings, or an array; the result has the same type.

        ``name`` is a model, ``model:3``, ``model@alias`` or a sequence. More than 10,000 rows are sent in several requests. Requests that the platform did not accept (429, 503, no
        connection) are sent again with the same ``request_id``, at most five times; requests that may have been answered are not. ``timeout`` is the platform's deadline in seconds.
        Raises the error that the platform reports, such as ``SignatureMismatch``, with the name of the field.
        """
        return self._asker.ask(name, data, request_id=request_id, timeout=timeout)

    def post_infer(self, name: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """``POST /v2/models/<name>/infer`` without changes; returns the response whatever its status. Raises ``Unreachable``."""
        try:
            return self._http.post(f"{endpoint_path(name)}/infer", content=body, headers=dict(headers))
        except httpx.TransportError as error:
            raise errors.Unreachable(str(error) or type(error).__name__) from error

    def logs(self, version: VersionId, **query: str | int | None) -> schemas.LogRows:
        """Rows of a version's log. ``query`` may have since, until, where, columns, limit and order."""
        return self._get(f"/logs/{version.model}/{version.number}", schemas.LogRows, **query)

    def follow_log(self, version: VersionId, after: str = "", where: str = "") -> schemas.LogTailView:
        """Rows logged after a position, each once; without a position, no rows and the current position."""
        return self._get(f"/logs/{version.model}/{version.number}/tail", schemas.LogTailView, after=after, where=where)

    def export_log(self, version: VersionId, target: Path, **query: str | int | None) -> None:
        """Write the rows of a query to a Parquet file."""
        path = f"{API}/logs/{version.model}/{version.number}/export"
        with self._lost(), self._http.stream("GET", path, params=_given(query), timeout=None) as answer:
            if answer.is_error:
                answer.read()
                raise error_of(answer)
            with target.open("wb") as sink:
                for piece in answer.iter_bytes():
                    sink.write(piece)

    # Analysis

    def reports(self, model: str | None = None, *, kind: str | None = None) -> Iterator[schemas.ReportView]:
        return self._pages("/reports", schemas.ReportPage, model=model, kind=kind)

    def report(self, report_id: str) -> Json:
        """The JSON of a report by its id ``MODEL:NUMBER/KIND/NAME``."""
        found: Json = orjson.loads(self._request("GET", API + report_path(report_id)).content)
        return found

    def report_page(self, report_id: str) -> str:
        return self._request("GET", f"{API}{report_path(report_id)}/page").text

    def start_job(self, kind: str, model: str, **options: str | float | list[Any] | None) -> schemas.JobView:
        return self._post("/jobs", {"kind": kind, "model": model, **_given(options)}, schemas.JobView)

    def explain(self, model: str, request_id: str, **options: str | int | None) -> schemas.JobView:
        return self._post(
            "/explanations", {"model": model, "request_id": request_id, **_given(options)}, schemas.JobView
        )

    def jobs(self, **query: str | None) -> Iterator[schemas.JobView]:
        return self._pages("/jobs", schemas.JobPage, **query)

    def job(self, job_id: str) -> schemas.JobView:
        return self._get(f"/jobs/{job_id}", schemas.JobView)

    def job_log(self, job_id: str) -> str:
        return self._get(f"/jobs/{job_id}/log", schemas.JobLog).text

    def cancel_job(self, job_id: str) -> schemas.JobView:
        return schemas.JobView.model_validate_json(self._request("DELETE", f"{API}/jobs/{job_id}").content)

    def schedules(self) -> list[schemas.ScheduleView]:
        return self._get("/schedules", schemas.ScheduleList).items

    def schedule_runs(self, name: str) -> list[schemas.RunView]:
        return self._get(f"/schedules/{name}/runs", schemas.RunList).items

    def backfill(self, name: str, since: str, until: str | None = None) -> schemas.BackfillView:
        return self._post(f"/schedules/{name}/backfill", _given({"since": since, "until": until}), schemas.BackfillView)

    def put_schedule(self, name: str, **body: Any) -> schemas.ScheduleView:
        return self._put(f"/schedules/{name}", body, schemas.ScheduleView)

    def delete_schedule(self, name: str) -> None:
        self._request("DELETE", f"{API}/schedules/{name}")

    # Metrics

    def metrics(self, version: VersionId) -> list[schemas.MetricView]:
        return self._get(f"/metrics/{version.model}/{version.number}", schemas.MetricList).items

    def metric(self, version: VersionId, name: str, limit: int = 100) -> schemas.MetricDetail:
        path = f"/metrics/{version.model}/{version.number}/{name}"
        return self._get(path, schemas.MetricDetail, limit=limit)

    def put_metric(self, version: VersionId, name: str, **body: str | float | None) -> schemas.MetricView:
        return self._put(f"/metrics/{version.model}/{version.number}/{name}", body, schemas.MetricView)

    def delete_metric(self, version: VersionId, name: str) -> None:
        self._request("DELETE", f"{API}/metrics/{version.model}/{version.number}/{name}")

    def health(
        self,
        version: VersionId,
        *,
        since: str = "3h",
        until: str | None = None,
        step: int | None = None,
        bins: bool = False,
        **rows: str | int | None,
    ) -> schemas.VersionHealthView:
        """``rows`` may have where, or sequence with stage and variant; only these rows are counted."""
        path = f"/models/{version.model}/versions/{version.number}/health"
        more = {"bins": "true"} if bins else {}
        return self._get(path, schemas.VersionHealthView, since=since, until=until, step=step, **more, **_given(rows))

    def rebuild_health(self, version: VersionId) -> schemas.RebuiltView:
        path = f"/models/{version.model}/versions/{version.number}/health/rebuild"
        return self._post(path, {}, schemas.RebuiltView)

    def incidents(self, state: str = "", version: str = "", limit: int = 100) -> list[schemas.IncidentView]:
        return self._get("/incidents", schemas.IncidentList, state=state, version=version, limit=limit).items

    def incident(self, number: int) -> schemas.IncidentView:
        return self._get(f"/incidents/{number}", schemas.IncidentView)

    def tell_incident(self, number: int, verb: str, **body: str) -> schemas.IncidentView:
        """``verb`` is acknowledge, silence, resolve or notes."""
        return self._post(f"/incidents/{number}/{verb}", body, schemas.IncidentView)

    def rules(self) -> list[schemas.LimitsView]:
        return self._get("/rules", schemas.LimitsList).items

    def put_rule(self, model: str, rule: str, **limits: float | str | bool | None) -> schemas.LimitsView:
        return self._put(f"/models/{model}/rules/{rule}", limits, schemas.LimitsView)

    def delete_rule(self, model: str, rule: str, field: str = "") -> None:
        self._request("DELETE", f"{API}/models/{model}/rules/{rule}", params=_given({"field": field}))

    def targets(self) -> list[schemas.TargetView]:
        return self._get("/notification-targets", schemas.TargetList).items

    def put_target(self, name: str, **body: str | list[str]) -> schemas.TargetView:
        return self._put(f"/notification-targets/{name}", body, schemas.TargetView)

    def delete_target(self, name: str) -> None:
        self._request("DELETE", f"{API}/notification-targets/{name}")

    def test_target(self, name: str) -> schemas.TestedView:
        return self._post(f"/notification-targets/{name}/test", {}, schemas.TestedView)

    def logged_request(self, version: VersionId, request_id: str) -> schemas.RequestView:
        path = f"/logs/{version.model}/{version.number}/requests/{quote(request_id, safe='')}"
        return self._get(path, schemas.RequestView)

    # Access

    def how_to_log_in(self) -> schemas.LoginView:
        """The login provider for logins from a terminal."""
        return self._get("/access/login", schemas.LoginView)

    def who_am_i(self) -> schemas.CallerView:
        """The identity and the permissions of this client."""
        return self._get("/access/whoami", schemas.CallerView)

    def api_keys(self) -> list[schemas.KeyView]:
        return self._get("/access/keys", schemas.KeyList).items

    def create_key(
        self, name: str, roles: list[str], *, owner: str = "", expires: str | None = None
    ) -> schemas.NewKeyView:
        """Create an API key; ``key`` of the result is shown only this once. ``roles`` are ``ROLE`` or ``ROLE:PATTERN``."""
        body = {"name": name, "roles": roles, "owner": owner, "expires": expires}
        return self._post("/access/keys", body, schemas.NewKeyView)

    def revoke_key(self, name: str) -> None:
        self._request("DELETE", f"{API}/access/keys/{name}")

    def grants(self) -> list[schemas.GrantView]:
        return self._get("/access/grants", schemas.GrantList).items

    def apply_grant(self, definition: GrantDefinition) -> schemas.GrantApplied:
        return self._put(f"/access/grants/{definition.name}", definition.to_document(), schemas.GrantApplied)

    def delete_grant(self, name: str) -> None:
        self._request("DELETE", f"{API}/access/grants/{name}")

    def blocked(self) -> list[str]:
        return self._get("/access/blocks", schemas.SubjectList).items

    def block(self, subject: str) -> None:
        self._request("POST", f"{API}/access/blocks", content=_json({"subject": subject}))

    def unblock(self, subject: str) -> None:
        self._request("POST", f"{API}/access/blocks/remove", content=_json({"subject": subject}))

    def audit(self, **query: str | int | None) -> list[schemas.AuditEntry]:
        """Changes and refusals, the newest first. ``query`` may have who, what, since, outcome and limit."""
        return self._get("/audit", schemas.AuditList, **query).items

    def verify_audit(self, head: str = "") -> schemas.AuditVerdict:
        """Whether an entry of the audit was altered or removed since ``head``, the result of an earlier verification."""
        return self._get("/audit/verify", schemas.AuditVerdict, head=head)

    def retention(self) -> list[schemas.RetentionView]:
        """Retention rules: how long logs, metrics and reports are kept."""
        return self._get("/retention", schemas.RetentionList).items

    def set_retention(self, name: str = "default", **keep: str | None) -> schemas.RetentionSet:
        """``log``, ``metrics`` and ``reports`` are durations, e.g. ``90d``."""
        return self._put(f"/retention/{name}", dict(keep), schemas.RetentionSet)

    def delete_retention(self, name: str = "default") -> None:
        self._request("DELETE", f"{API}/retention/{name}")

    def run_retention(self, *, dry_run: bool = True) -> schemas.RemovalList:
        """Remove what has passed its retention; with ``dry_run`` only list it."""
        path = f"/retention/run?dry-run={str(dry_run).lower()}"
        return self._post(path, {}, schemas.RemovalList)

    def rotate_secret(self, *, at_once: bool = False) -> schemas.RotatedSecret:
        """Replace the secret that the platform's own processes share."""
        return self._post("/access/secret/rotate", {"at_once": at_once}, schemas.RotatedSecret)

    def rotate_hash_key(self) -> schemas.RotatedHashKey:
        """Hash sensitive fields with a new key from now on."""
        return self._post("/access/hash-key/rotate", {}, schemas.RotatedHashKey)

    def plan_erasure(self, field: str, value: str, model: str = "") -> schemas.ErasurePlan:
        """What ``erase`` would remove now; changes nothing."""
        return self._post("/erasures/plan", {"field": field, "value": value, "model": model}, schemas.ErasurePlan)

    def erase(self, field: str, value: str, model: str = "") -> schemas.ErasureView:
        """Start erasing everything stored about one value of a field; ``erasure`` returns the progress."""
        return self._post("/erasures", {"field": field, "value": value, "model": model}, schemas.ErasureView)

    def erasure(self, erasure_id: str) -> schemas.ErasureView:
        return self._get(f"/erasures/{erasure_id}", schemas.ErasureView)

    def erasures(self) -> list[schemas.ErasureView]:
        """Erasures, the newest first."""
        return self._get("/erasures", schemas.ErasureList).items

    def end_sessions(self) -> int:
        """End the web sessions of this client's key; returns how many there were."""
        return self._post("/access/sessions/end", {}, schemas.EndedView).ended

    def _get(self, path: str, answer: type[Found], /, **query: Any) -> Found:
        return answer.model_validate_json(self._request("GET", API + path, params=_given(query)).content)

    def _put(self, path: str, body: Json, kind: type[Found]) -> Found:
        return kind.model_validate_json(self._request("PUT", API + path, content=_json(body)).content)

    def _post(self, path: str, body: Json, kind: type[Found]) -> Found:
        return kind.model_validate_json(self._request("POST", API + path, content=_json(body)).content)

    def _pages(self, path: str, page_type: type[Any], /, **query: Any) -> Iterator[Any]:
        token: str | None = None
        while True:
            page = self._get(path, page_type, **{**query, "page-token": token})
            yield from page.items
            token = page.next
            if token is None:
                return

    def _request(self, method: str, path: str, **more: Any) -> httpx.Response:
        if "content" in more:
            more["headers"] = {"content-type": "application/json"} | more.get("headers", {})
        with self._lost():
            answer = self._http.request(method, path, **more)
        if answer.is_error:
            raise error_of(answer)
        return answer

    @contextmanager
    def _lost(self) -> Generator[None]:
        """A platform that does not answer as an error of ours."""
        try:
            yield
        except httpx.TimeoutException as error:
            raise errors.DeadlineExceeded(f"{self.url} did not answer in time", hint="see: headrace status") from error
        except httpx.TransportError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise errors.Unreachable(
                    f"the certificate of {self.url} is not trusted: {error}",
                    hint="name the file of its authority: --ca FILE, or HEADRACE_CA_FILE",
                ) from error
            raise errors.Unreachable(
                f"no platform answers at {self.url}", hint="start one with: headrace up"
            ) from error


def _kind_of(content: BinaryIO) -> str:
    """The suffix of a table whose name has none, as pipelines hand files on."""
    head = content.read(4)
    content.seek(0)
    return ".parquet" if head == b"PAR1" else ".csv"


def report_path(report_id: str) -> str:
    """The API's path of a report's id ``MODEL:NUMBER/KIND/NAME``."""
    parts = report_id.split("/")
    if len(parts) != 3:
        raise errors.InvalidInput(
            f"report: {report_id!r} is not a valid report",
            field="report",
            expected="MODEL:NUMBER/KIND/NAME, as 'headrace report list' shows it",
        )
    version = VersionId.parse(parts[0], field="report")
    return f"/reports/{version.model}/{version.number}/{parts[1]}/{parts[2]}"


def _version_path(version: VersionId) -> str:
    return f"/models/{version.model}/versions/{version.number}"


def _service_path(version: str) -> str:
    parsed = VersionId.parse(version)
    return f"/services/{parsed.model}/{parsed.number}"


def _given(values: Mapping[str, Any]) -> Json:
    return {key: value for key, value in values.items() if value is not None and value != ""}


def _json(body: Json) -> bytes:
    return orjson.dumps(body)
