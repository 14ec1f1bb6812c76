"""Looks at a cluster for ``cluster_check`` with the rights of whoever asks. Reads only; the contents of secrets are not kept."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import urllib3
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from headrace_controller.backends.kserve.access import SERVICE, choose_context
from headrace_controller.backends.kserve.cluster import TIMEOUT, explained
from headrace_controller.backends.kserve.cluster_check import ACCOUNT_RIGHTS, CALLER_RIGHTS, Findings, Right, Unseen
from headrace_controller.backends.kserve.credentials import PLATFORM_SECRET
from headrace_controller.backends.kserve.manifests import API_VERSION, GROUP, MANAGED_BY, MANAGER, PLURAL
from headrace_controller.backends.kserve.settings import FUNCTION_IMAGE
from headrace_controller.environments import images
from headrace_functions.errors import HeadraceError, InvalidInput, NotFound, Unreachable

KNATIVE = "knative-serving"
STORAGE_SECRET = "headrace-storage"  # noqa: S105 -- its name, not its content
ACCOUNT = "headrace"
_OPERATORS = {
    "KServe": ("kserve", "control-plane=kserve-controller-manager", (GROUP, API_VERSION, PLURAL)),
    "KubeRay": ("ray-system", "app.kubernetes.io/component=kuberay-operator", ("ray.io", "v1", "rayjobs")),
    "Knative Serving": (
        KNATIVE,
        "app.kubernetes.io/component=controller,app.kubernetes.io/name=knative-serving",
        ("serving.knative.dev", "v1", "services"),
    ),
}
"""Where each usually lives, what marks its Deployment, and the resource without which it is not installed."""

Json = dict[str, Any]
Seen = TypeVar("Seen")


def inspect(context: str | None, namespace: str) -> Findings:
    """What a context of the kubeconfig shows, None for the current one. ``InvalidInput`` without such a context, ``Unreachable``."""
    with client.ApiClient(choose_context(context)) as api:
        return _Inspection(api, namespace).findings()


class _Inspection:
    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    def findings(self) -> Findings:
        # First, and not excused: where the API server does not answer there is nothing to say about the rest.
        kubernetes = str(self._get("/version", "ask for the version")["gitVersion"])
        found = {name: _seen(lambda name=name: self._operator(name)) for name in _OPERATORS}  # type: ignore[misc]
        names = ("autoscaler", "defaults", "deployment", "domain", "features")
        configs: Json = {name: _seen(lambda name=name: self._config(f"config-{name}")) for name in names}  # type: ignore[misc]
        return Findings(
            self._namespace,
            {"Kubernetes": kubernetes, **found},
            **configs,
            namespace_there=_seen(lambda: self._find(f"/api/v1/namespaces/{self._namespace}") is not None),
            secret_keys=_seen(lambda: self._secret_keys(STORAGE_SECRET)),
            platform_keys=_seen(lambda: self._secret_keys(PLATFORM_SECRET)),
            policies=_seen(self._policies),
            caller=_seen(lambda: self._may(CALLER_RIGHTS, None)),
            account=_seen(lambda: self._may(ACCOUNT_RIGHTS, f"system:serviceaccount:{self._namespace}:{ACCOUNT}")),
            controller=_seen(self._controller_image),
            runtime_images=_seen(self._runtime_images),
            foreign=_seen(self._foreign),
        )

    def _operator(self, name: str) -> str | None:
        namespace, label, (group, version, plural) = _OPERATORS[name]
        served = self._find(f"/apis/{group}/{version}")
        if served is None or all(r["name"] != plural for r in served["resources"]):
            return None
        selector = [("labelSelector", label)]
        try:
            found = self._get("/apis/apps/v1/deployments", f"list Deployments of {name}", selector)
        except InvalidInput:  # not allowed in the whole cluster
            found = self._get(f"/apis/apps/v1/namespaces/{namespace}/deployments", f"list {namespace}", selector)
        return next(map(_version_of, found["items"]), "")

    def _config(self, name: str) -> Mapping[str, str] | None:
        found = self._find(f"/api/v1/namespaces/{KNATIVE}/configmaps/{name}")
        return None if found is None else found.get("data", {})

    def _secret_keys(self, name: str) -> frozenset[str] | None:
        found = self._find(f"/api/v1/namespaces/{self._namespace}/secrets/{name}")
        return None if found is None else frozenset(found.get("data", {}))

    def _policies(self) -> frozenset[str]:
        found = self._find(f"/apis/networking.k8s.io/v1/namespaces/{self._namespace}/networkpolicies")
        return frozenset(item["metadata"]["name"] for item in (found or {}).get("items", []))

    def _may(self, rights: Iterable[Right], account: str | None) -> dict[Right, bool]:
        kind = "subjectaccessreviews" if account else "selfsubjectaccessreviews"
        return {right: self._may_one(kind, right, account) for right in rights}

    def _may_one(self, kind: str, right: Right, account: str | None) -> bool:
        group, resource, verb = right
        name, _, part = resource.partition("/")
        asked = {"namespace": self._namespace, "group": group, "resource": name, "subresource": part, "verb": verb}
        spec = {"resourceAttributes": asked} | ({"user": account} if account else {})
        body = {"apiVersion": "authorization.k8s.io/v1", "spec": spec}
        path = f"/apis/authorization.k8s.io/v1/{kind}"
        return bool(self._call("POST", path, "ask about rights", body=body)["status"]["allowed"])

    def _deployment(self) -> Json | None:
        return self._find(f"/apis/apps/v1/namespaces/{self._namespace}/deployments/{SERVICE}")

    def _controller_image(self) -> str | None:
        found = self._deployment()
        return None if found is None else str(found["spec"]["template"]["spec"]["containers"][0]["image"])

    def _runtime_images(self) -> tuple[str, ...] | None:
        """The list as the controller's pod has it mounted, without images that its variables do not name where they name some."""
        pod = (self._deployment() or {}).get("spec", {}).get("template", {}).get("spec", {})
        volumes = pod.get("volumes", [])
        variables = [e["name"] for e in pod.get("containers", [{}])[0].get("env", [])]
        named = {v.removeprefix(f"{FUNCTION_IMAGE}_").lower() for v in variables if v.startswith(f"{FUNCTION_IMAGE}_")}
        name = next((v["configMap"]["name"] for v in volumes if v["name"] == "runtime-images"), None)
        found = self._find(f"/api/v1/namespaces/{self._namespace}/configmaps/{name}") if name else None
        if found is None:
            return None
        listed = [i for text in found.get("data", {}).values() for i in images.read(text, str, where=str(name))]
        return tuple(image.name for image in listed if image.listed.image or not named or image.name in named)

    def _foreign(self) -> tuple[str, ...]:
        path = f"/apis/{GROUP}/{API_VERSION}/namespaces/{self._namespace}/{PLURAL}"
        found = self._find(path, [("labelSelector", f"{MANAGED_BY}!={MANAGER}")])
        return tuple(item["metadata"]["name"] for item in (found or {}).get("items", []))

    def _find(self, path: str, query: list[tuple[str, str]] | None = None) -> Json | None:
        try:
            return self._get(path, f"read {path}", query)
        except NotFound:
            return None

    def _get(self, path: str, what: str, query: list[tuple[str, str]] | None = None) -> Json:
        return self._call("GET", path, what, query=query)

    def _call(
        self, method: str, path: str, what: str, *, query: list[tuple[str, str]] | None = None, body: Json | None = None
    ) -> Json:
        try:
            answer = self._api.call_api(
                path, method, query_params=query or [], header_params={"Accept": "application/json"}, body=body,
                auth_settings=["BearerToken"], _preload_content=False, _request_timeout=TIMEOUT,
            )  # fmt: skip
        except ApiException as error:
            if error.status == 404:
                raise NotFound(f"cannot {what}: there is none") from error
            raise explained(error, what) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(
                f"cannot {what}: the API server does not answer: {error}", hint="check that this is the right context"
            ) from error
        found: Json = json.loads(answer.data)
        return found


def _seen(look: Callable[[], Seen]) -> Seen | Unseen:
    """What was seen, or why it could not be. An API server that goes away meanwhile is no finding."""
    try:
        return look()
    except Unreachable:
        raise
    except HeadraceError as error:
        return Unseen(error.message)


def _version_of(deployment: Json) -> str:
    """What the Deployment says of its version; its image's tag where it does not."""
    labelled = str((deployment["metadata"].get("labels") or {}).get("app.kubernetes.io/version", ""))
    if labelled[:1].isdigit() or labelled[:2].lstrip("v").isdigit():
        return labelled
    image = str(deployment["spec"]["template"]["spec"]["containers"][0]["image"])
    return image.rpartition("/")[2].partition("@")[0].partition(":")[2]
