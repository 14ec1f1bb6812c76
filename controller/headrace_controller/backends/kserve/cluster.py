"""The only client of the Kubernetes API: few verbs over two kinds of objects, errors as people read them.

Blocking; callers run it in threads. Writes are server-side applies of our field manager, so fields that others own stay as
they are. A watch lists, follows from there, and begins again where the API server has forgotten the place (410).
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from headrace_controller.backends.kserve.manifests import (
    API_VERSION,
    DEPLOYMENT_MODE,
    GROUP,
    MANAGER,
    PLURAL,
    selector,
)
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_controller.backends.kserve.status import advised
from headrace_functions.errors import Conflict, HeadraceError, InvalidInput, NotFound, NotReady, Unreachable

Json = dict[str, Any]
Kind = Literal["services", "pods"]
Listener = Callable[[Kind, dict[str, Json]], None]
"""Gets every object of a kind by name, each time one of them changed."""

TIMEOUT = (5.0, 30.0)
"""Seconds to connect to the API server and to wait for an answer."""
_WATCH_SECONDS = 240  # the API server ends a watch after this; a new one begins where it ended
_FIRST_PAUSE, _LAST_PAUSE = 0.2, 30.0  # seconds between attempts while the API server is away
_GONE = 410
_RACES = 5  # writes that somebody else was faster with; more means that two keep changing the same fields

log = logging.getLogger(__name__)


class _Raced(Conflict):
    """Somebody else wrote between our look and our write."""


class Cluster:
    """The InferenceServices and pods of one platform in its namespace."""

    def __init__(self, settings: ClusterSettings, *, context: str | None = None) -> None:
        """Connect with the pod's own account, or with a context of the kubeconfig. ``InvalidInput`` if there is neither."""
        self.settings = settings
        self._api = _connect(context)
        self._objects = client.CustomObjectsApi(self._api)
        self._core = client.CoreV1Api(self._api)
        self._selector = ",".join(f"{k}={v}" for k, v in selector(settings).items())
        self._stopping = threading.Event()
        self._streams: set[urllib3.BaseHTTPResponse] = set()

    @property
    def api(self) -> client.ApiClient:
        """The connection, for ``jobs``."""
        return self._api

    def find(self, name: str) -> Json | None:
        """The InferenceService of this name, whoever it belongs to; None if there is none."""
        try:
            return self._custom("get_namespaced_custom_object", name=name)
        except NotFound:
            return None

    def apply(self, document: Json, *, dry_run: bool = False) -> Json:
        """Make an InferenceService what the document says and return it.

        ``Conflict`` where one of that name is not ours, ``NotReady`` while it is being removed, ``InvalidInput`` for what the cluster refuses.
        """
        for _ in range(_RACES):
            try:
                return self._apply_once(document, dry_run=dry_run)
            except _Raced as error:
                log.info("%s; looking again", error.message)
        raise Conflict(
            f"{document['metadata']['name']}: {_RACES} other writers were faster", hint="check what else changes it"
        )

    def delete(self, name: str) -> None:
        """Delete an InferenceService and, before it, all that was made for it; the absent is deleted. ``Conflict`` if not ours."""
        current = self.find(name)
        if current is None:
            return
        self._check_ours(name, current)
        preconditions = client.V1Preconditions(uid=current["metadata"]["uid"])
        body = client.V1DeleteOptions(propagation_policy="Foreground", preconditions=preconditions)
        try:
            self._custom("delete_namespaced_custom_object", name=name, body=body)
        except NotFound:
            return

    def addresses(self, knative_service: str) -> list[str]:
        """IP addresses of the pods of a Knative Service that run now."""
        pods = self._pods(label_selector=f"serving.knative.dev/service={knative_service}")
        return [p.status.pod_ip for p in pods if p.status.pod_ip and p.status.phase == "Running"]

    def image_of(self, pod: str) -> str:
        """The image of a pod's first container, by the pod's name; ``NotFound`` if there is no such pod."""
        pods = self._pods(field_selector=f"metadata.name={pod}")
        if not pods:
            raise NotFound(f"there is no pod {pod} in {self.settings.namespace}")
        return str(pods[0].spec.containers[0].image)

    def _pods(self, **selector: str) -> list[Any]:
        try:
            found = self._core.list_namespaced_pod(self.settings.namespace, _request_timeout=TIMEOUT, **selector)
        except ApiException as error:
            raise explained(error, f"list pods in {self.settings.namespace}") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(f"the API server does not answer: {error}") from error
        return list(found.items)

    def watch(self, kind: Kind, listener: Listener) -> None:
        """Tell the listener of every change until ``close``; it outlives an API server that is away or restarts."""
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                for objects in self._follow(kind):
                    listener(kind, objects)
                    pause = _FIRST_PAUSE
            except (HeadraceError, urllib3.exceptions.HTTPError, OSError, ValueError) as error:  # ValueError: no JSON
                if self._stopping.is_set():
                    return
                log.warning("watching %s: %s; again in %.1f s", kind, error, pause)
                self._stopping.wait(pause)
                pause = min(pause * 2, _LAST_PAUSE)

    def close(self) -> None:
        """End the watches."""
        self._stopping.set()
        for stream in list(self._streams):
            stream.shutdown()
        self._api.close()

    def _apply_once(self, document: Json, *, dry_run: bool) -> Json:
        name = document["metadata"]["name"]
        current = self.find(name)
        body = document
        if current is not None:
            self._check_ours(name, current)
            if current["metadata"].get("deletionTimestamp"):
                raise NotReady(f"an InferenceService {name} is still being removed")
            if _mode(current) != _mode(document) and not dry_run:
                # KServe changes no service's mode; while it is made anew its callers wait as they do for one that sleeps.
                self.delete(name)
                raise NotReady(f"the InferenceService {name} is being recreated in mode {_mode(document)}")
            # With the version that was looked at, so that an object that was replaced meanwhile is not touched.
            metadata = document["metadata"] | {"resourceVersion": current["metadata"]["resourceVersion"]}
            body = document | {"metadata": metadata}
        return self._custom(
            "patch_namespaced_custom_object",
            name=name,
            body=body,
            field_manager=MANAGER,
            field_validation="Strict",
            force=current is not None,
            _content_type="application/apply-patch+yaml",
            **({"dry_run": "All"} if dry_run else {}),
        )

    def _follow(self, kind: Kind) -> Iterator[dict[str, Json]]:
        """Every state of the listed objects; ends when the place is forgotten, so that the caller lists anew."""
        listed = json.loads(self._list(kind).data)
        objects = {item["metadata"]["name"]: item for item in listed["items"]}
        version = listed["metadata"]["resourceVersion"]
        yield dict(objects)
        while not self._stopping.is_set():
            for event in self._events(kind, version):
                if event["type"] == "ERROR":
                    if event["object"].get("code") == _GONE:
                        return
                    raise Unreachable(f"the watch failed: {event['object'].get('message')}")
                item = event["object"]
                version = item["metadata"]["resourceVersion"]
                if event["type"] == "BOOKMARK":
                    continue
                if event["type"] == "DELETED":
                    objects.pop(item["metadata"]["name"], None)
                else:
                    objects[item["metadata"]["name"]] = item
                yield dict(objects)

    def _events(self, kind: Kind, version: str) -> Iterator[Json]:
        stream = self._list(
            kind, watch=True, resource_version=version, allow_watch_bookmarks=True, timeout_seconds=_WATCH_SECONDS
        )
        self._streams.add(stream)
        try:
            rest = b""
            for piece in stream.stream(None, decode_content=False):
                if self._stopping.is_set():
                    return  # what TLS gives after `close` has shut it down is not even text
                *lines, rest = (rest + piece).split(b"\n")
                yield from (json.loads(line) for line in lines if line)
        finally:
            self._streams.discard(stream)
            stream.close()

    def _list(self, kind: Kind, **options: Any) -> urllib3.BaseHTTPResponse:
        connect, read = TIMEOUT
        more: dict[str, Any] = {
            "label_selector": self._selector,
            "_preload_content": False,
            "_request_timeout": (connect, _WATCH_SECONDS + read if options.get("watch") else read),
            **options,
        }
        namespace = self.settings.namespace
        try:
            if kind == "pods":
                answer = self._core.list_namespaced_pod(namespace, **more)
            else:
                answer = self._objects.list_namespaced_custom_object(GROUP, API_VERSION, namespace, PLURAL, **more)
        except ApiException as error:
            if error.status == _GONE:
                raise Unreachable("the API server no longer has the resource version of the watch") from error
            raise explained(error, f"list {kind} in {namespace}") from error
        response: urllib3.BaseHTTPResponse = answer
        return response

    def _custom(self, verb: str, *, name: str, **options: Any) -> Json:
        call = getattr(self._objects, verb)
        namespace = self.settings.namespace
        what = f"{verb.partition('_')[0]} InferenceService {namespace}/{name}"
        return asked(call, what, GROUP, API_VERSION, namespace, PLURAL, name, **options)

    def _check_ours(self, name: str, current: Json) -> None:
        marks = current["metadata"].get("labels") or {}
        ours = selector(self.settings)
        if all(marks.get(key) == value for key, value in ours.items()):
            return
        raise Conflict(
            f"the namespace {self.settings.namespace} has an InferenceService {name} that does not belong to this platform",
            field="name",
            expected=", ".join(f"{k}={v}" for k, v in ours.items()),
            got=", ".join(f"{k}={v}" for k, v in sorted(marks.items())) or "no labels",
            hint="rename or remove it, or rename the model; it was not changed",
        )


def _mode(service: Json) -> str:
    found: str = service["metadata"].get("annotations", {}).get(DEPLOYMENT_MODE, "Knative")
    return found


def asked(verb: Callable[..., Any], what: str, *arguments: Any, **options: Any) -> Json:
    """The document that a verb of the client answers with, within ``TIMEOUT``; an error says that one cannot ``what``, and why."""
    try:
        # Read here, because the client keeps nothing of an answer 201.
        options |= {"_request_timeout": TIMEOUT, "_preload_content": False}
        found: Json = json.loads(verb(*arguments, **options).data)
    except ApiException as error:
        raise explained(error, what) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Unreachable(f"cannot {what}: the API server does not answer: {error}") from error
    return found


def explained(error: ApiException, what: str) -> HeadraceError:
    """An answer of the API server as an error that says what to do."""
    message = _message(error)
    where = f"cannot {what}: {message}"
    if error.status == 404:
        if "the server could not find the requested resource" in message or "page not found" in message:
            return InvalidInput(where, hint="the cluster has no InferenceServices: install KServe")
        return NotFound(where)
    if error.status in (401, 403):
        return InvalidInput(
            advised(where), hint="docs/cluster.md lists the permissions that the platform's account needs"
        )
    if error.status == 409:
        return _Raced(where)
    # A patch with a field that the schema lacks is answered with 500, though trying again would not help.
    if error.status in (400, 422) or "field not declared in schema" in message:
        return InvalidInput(advised(where))
    return Unreachable(where)


def _message(error: ApiException) -> str:
    try:
        document: Mapping[str, Any] = json.loads(error.body or "")
    except (json.JSONDecodeError, TypeError):
        return str(error.body or error.reason).strip()
    return str(document.get("message", error.reason))


def _connect(context: str | None) -> client.ApiClient:
    configuration = client.Configuration()
    try:
        if context is None:
            try:
                config.load_incluster_config(client_configuration=configuration)
            except ConfigException:
                config.load_kube_config(client_configuration=configuration)
        else:
            config.load_kube_config(context=context, client_configuration=configuration)
    except ConfigException as error:
        raise InvalidInput(
            f"no cluster: {error}", field="context", hint="set KUBECONFIG, or run inside of a cluster"
        ) from error
    configuration.retries = False  # attempts are ours to make, and to count
    return client.ApiClient(configuration)
