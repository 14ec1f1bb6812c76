"""What a cluster lacks for a platform: a pure function from what was seen to verdicts a person can act on.

``lacking`` means that something will not work; ``note`` is worth knowing; ``unknown`` could not be seen with the caller's
rights, or was not reached. Whoever may see more runs it again.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from headrace_controller.backends.kserve.credentials import DOCUMENTS, PLATFORM_SECRET, RELEASE_KEY, SECRET
from headrace_functions.errors import HeadraceError

Level = Literal["ok", "note", "unknown", "lacking"]
Right = tuple[str, str, str]
"""API group, resource, verb."""

TESTED: Mapping[str, tuple[int, int]] = {
    "Kubernetes": (1, 34),
    "Knative Serving": (1, 21),
    "KServe": (0, 20),
    "KubeRay": (1, 6),
}
"""The versions that the platform's own tests run on, as ``docs/cluster.md`` says."""
LEAST: Mapping[str, tuple[int, int]] = {"Kubernetes": (1, 27), "KServe": (0, 16), "KubeRay": (1, 5)}
"""Older ones lack something: strict validation of applies and time zones of CronJobs; the mode's names; token authentication."""
REVISION_TIMEOUT = 600
"""Seconds that the gateway and slow versions let a request take; Knative's own limit must not be lower."""

_ACCOUNT = "headrace"
_FUNCTION_POLICIES = ("headrace-default-deny", "headrace-functions")
ACCOUNT_RIGHTS: tuple[Right, ...] = (
    *(("", "secrets", verb) for verb in ("get", "create", "patch", "delete")),
    *(("serving.kserve.io", "inferenceservices", v) for v in ("get", "list", "watch", "create", "patch", "delete")),
    *(("", "pods", verb) for verb in ("list", "watch")),
    ("", "pods/log", "get"),
    ("", "events", "list"),
    *(("batch", "jobs", verb) for verb in ("get", "create", "delete")),
    *(("batch", "cronjobs", verb) for verb in ("list", "create", "patch", "delete")),
    *(("apps", "deployments", verb) for verb in ("list", "create", "patch", "delete")),
    *(("ray.io", "rayjobs", verb) for verb in ("get", "create", "delete")),
)
"""What the controller's account needs in the namespace; ``knative/base/accounts.yaml`` gives it."""
CALLER_RIGHTS: tuple[Right, ...] = tuple(("", "services/proxy", v) for v in ("get", "create", "update", "delete"))
"""What ``headrace --context`` needs in the namespace."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """Why something could not be looked at."""

    why: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What was seen of a cluster. A missing object is None, what could not be looked at is ``Unseen``."""

    namespace: str
    versions: Mapping[str, str | Unseen | None] = field(default_factory=dict)
    """By the names of ``TESTED``; None is not installed."""
    autoscaler: Mapping[str, str] | Unseen | None = None
    """Data of Knative's ``config-autoscaler``; likewise the next four."""
    defaults: Mapping[str, str] | Unseen | None = None
    deployment: Mapping[str, str] | Unseen | None = None
    domain: Mapping[str, str] | Unseen | None = None
    features: Mapping[str, str] | Unseen | None = None
    namespace_there: bool | Unseen = False
    secret_keys: frozenset[str] | Unseen | None = None
    platform_keys: frozenset[str] | Unseen | None = None
    """Of the Secret with the platform's own keys."""
    policies: frozenset[str] | Unseen = frozenset()
    """Names of the NetworkPolicies of the namespace."""
    caller: Mapping[Right, bool] | Unseen = field(default_factory=dict)
    account: Mapping[Right, bool] | Unseen = field(default_factory=dict)
    controller: str | Unseen | None = None
    """Image of the controller's Deployment."""
    runtime_images: tuple[str, ...] | Unseen | None = None
    """Names in the list of runtime images that the controller has."""
    foreign: tuple[str, ...] | Unseen = ()
    """InferenceServices of the namespace that are not the platform's."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One thing that was looked at."""

    check: str
    level: Level
    says: str
    todo: str = ""


def verdicts(seen: Findings) -> list[Verdict]:
    """Every check in the order in which a person would put things right."""
    return [
        *_versions(seen),
        *_autoscaler(seen.autoscaler),
        _revision_timeout(seen.defaults),
        *_settings(seen),
        _namespace(seen),
        _secret(seen),
        _platform_keys(seen.platform_keys),
        _policies(seen.policies),
        _rights(
            "your rights", seen.caller, CALLER_RIGHTS, "headrace --context needs them; kubectl port-forward does not"
        ),
        _rights(f"rights of account {_ACCOUNT}", seen.account, ACCOUNT_RIGHTS, "apply knative/base/accounts.yaml"),
        _controller(seen.controller),
        _images(seen.runtime_images),
        _foreign(seen.foreign),
    ]


def store_verdict(error: HeadraceError | None) -> Verdict:
    """Whether the controller reads its store; only a platform that is up can say so, because only pods must reach it."""
    if error is None:
        return Verdict("store", "ok", "the controller reads it")
    if error.code == "storage-failed":
        return Verdict("store", "lacking", error.message, error.hint or "see HEADRACE_STORAGE and the storage secret")
    return Verdict("store", "unknown", f"no platform answers for it: {error.message}", "install it, and check again")


def _versions(seen: Findings) -> Iterator[Verdict]:
    for name, tested in TESTED.items():
        found = seen.versions.get(name, Unseen("not looked at"))
        if isinstance(found, Unseen):
            yield Verdict(name, "unknown", found.why)
        elif found is None:
            yield _absent(name)
        else:
            yield _version(name, found, tested)


def _absent(name: str) -> Verdict:
    if name == "KubeRay":
        return Verdict(name, "note", "not installed: analyses run as Jobs of one pod each")
    return Verdict(name, "lacking", "not installed", f"install {name} (docs/install-on-a-cluster.md)")


def _version(name: str, text: str, tested: tuple[int, int]) -> Verdict:
    match = re.match(r"v?(\d+)\.(\d+)(?:\D|$)", text)
    wanted = ".".join(map(str, tested))
    if match is None:
        return Verdict(
            name, "note", f"installed, of a version that it does not tell ({text or 'none'}); tested: {wanted}"
        )
    found = (int(match[1]), int(match[2]))
    if found < LEAST.get(name, (0, 0)):
        least = ".".join(map(str, LEAST[name]))
        return Verdict(name, "lacking", f"{text} is too old", f"update it to {least} or newer; tested: {wanted}")
    return Verdict(name, "ok", text) if found == tested else Verdict(name, "note", f"{text}; tested: {wanted}")


def _autoscaler(data: Mapping[str, str] | Unseen | None) -> Iterator[Verdict]:
    if not isinstance(data, Mapping):
        yield _unread("scale to zero", data)
        return
    where = "in config-autoscaler of knative-serving"
    if data.get("enable-scale-to-zero", "true").lower() == "false":
        yield Verdict("scale to zero", "lacking", "switched off", f'set enable-scale-to-zero: "true" {where}')
    else:
        yield Verdict("scale to zero", "ok", f"on, grace period {data.get('scale-to-zero-grace-period', '30s')}")
    if data.get("allow-zero-initial-scale", "false").lower() != "true":
        todo = f'set allow-zero-initial-scale: "true" {where}'
        yield Verdict("initial scale", "lacking", "versions with min-replicas 0 are refused", todo)
    else:
        yield Verdict("initial scale", "ok", "versions may begin asleep")


def _revision_timeout(data: Mapping[str, str] | Unseen | None) -> Verdict:
    name = "request time"
    if not isinstance(data, Mapping):
        return _unread(name, data)
    text = data.get("max-revision-timeout-seconds", str(REVISION_TIMEOUT))
    if not text.isdigit() or int(text) < REVISION_TIMEOUT:
        todo = f'set max-revision-timeout-seconds: "{REVISION_TIMEOUT}" in config-defaults of knative-serving'
        return Verdict(name, "lacking", f"Knative ends requests after {text} s and refuses the gateway", todo)
    return Verdict(name, "ok", f"up to {text} s")


def _settings(seen: Findings) -> Iterator[Verdict]:
    """What changes how the platform behaves without being wrong."""
    if isinstance(seen.deployment, Mapping):
        skipped = seen.deployment.get("registries-skipping-tag-resolving") or "none but Knative's own"
        yield Verdict("tags", "note", f"resolved by Knative at each revision; registries left out: {skipped}")
    else:
        yield _unread("tags", seen.deployment)
    if isinstance(seen.domain, Mapping):
        domains = [d for d in seen.domain if not d.startswith("_") and d not in ("svc.cluster.local", "example.com")]
        if domains:
            yield Verdict("domain", "ok", ", ".join(sorted(domains)))
        else:
            todo = "name one in config-domain of knative-serving"
            yield Verdict("domain", "note", "none: callers outside of the cluster have no URL of the gateway", todo)
    else:
        yield _unread("domain", seen.domain)
    if isinstance(seen.features, Mapping):
        wanted = ("nodeselector", "affinity", "tolerations", "runtimeclassname")
        off = [w for w in wanted if seen.features.get(f"kubernetes.podspec-{w}", "disabled").lower() != "enabled"]
        says = f"deployment configurations cannot use: {', '.join(off)}" if off else "all that the platform can use"
        todo = "enable kubernetes.podspec-… in config-features of knative-serving" if off else ""
        yield Verdict("placement", "note" if off else "ok", says, todo)
    else:
        yield _unread("placement", seen.features)


def _namespace(seen: Findings) -> Verdict:
    there = seen.namespace_there
    if isinstance(there, Unseen):
        return Verdict("namespace", "unknown", there.why)
    if there:
        return Verdict("namespace", "ok", seen.namespace)
    return Verdict(
        "namespace", "lacking", f"there is no {seen.namespace}", "apply an overlay, or name it with --namespace"
    )


def _secret(seen: Findings) -> Verdict:
    name, keys = "storage secret", seen.secret_keys
    if isinstance(keys, Unseen):
        return Verdict(name, "unknown", keys.why)
    if keys is None:
        return Verdict(name, "lacking", "not there: no pod can start", "make it (docs/install-on-a-cluster.md)")
    pair = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    if len(pair & keys) == 1:
        return Verdict(name, "lacking", f"it lacks {(pair - keys).pop()}", "give both keys, or none and a role")
    if not pair & keys:
        return Verdict(name, "note", "without static keys: the accounts need a role that reaches the store")
    return Verdict(name, "ok", ", ".join(sorted(keys)))


def _platform_keys(keys: frozenset[str] | Unseen | None) -> Verdict:
    name = "platform keys"
    if isinstance(keys, Unseen):
        return Verdict(name, "unknown", keys.why)
    if keys is None:
        return Verdict(
            name, "note", f"there is no Secret {PLATFORM_SECRET}: the controller makes it at its first start"
        )
    missing = sorted({SECRET, RELEASE_KEY, DOCUMENTS} - keys)
    if missing:
        says = f"the Secret {PLATFORM_SECRET} lacks {', '.join(missing)}: gateways cannot start"
        return Verdict(
            name,
            "lacking",
            says,
            "give it secret and release-key; while the controller signs what the store holds, one lacks",
        )
    return Verdict(name, "ok", "keep a copy with your backups")


def _policies(names: frozenset[str] | Unseen) -> Verdict:
    name = "network policies"
    if isinstance(names, Unseen):
        return Verdict(name, "unknown", names.why)
    if not set(_FUNCTION_POLICIES) <= names:
        todo = "use knative/components/network-policies, and HEADRACE_AUTH=1"
        return Verdict(name, "note", "none for pods that run users' code: these may ask any server", todo)
    return Verdict(name, "ok", "applied; whether the network plugin enforces them cannot be seen from here")


def _rights(name: str, found: Mapping[Right, bool] | Unseen, wanted: tuple[Right, ...], todo: str) -> Verdict:
    if isinstance(found, Unseen):
        return Verdict(name, "unknown", found.why)
    missing = [f"{verb} {resource}" for group, resource, verb in wanted if not found.get((group, resource, verb))]
    if missing:
        return Verdict(name, "lacking", f"may not {', '.join(missing)}", todo)
    return Verdict(name, "ok", "all that is needed")


def _controller(image: str | Unseen | None) -> Verdict:
    if isinstance(image, Unseen):
        return Verdict("controller", "unknown", image.why)
    if image is None:
        return Verdict("controller", "lacking", "not installed", "apply an overlay of knative/overlays")
    return Verdict("controller", "ok", image)


def _images(names: tuple[str, ...] | Unseen | None) -> Verdict:
    if isinstance(names, Unseen):
        return Verdict("runtime images", "unknown", names.why)
    if not names:
        return Verdict(
            "runtime images", "lacking", "no list: every build fails", "apply knative/base/runtime-images.json"
        )
    return Verdict("runtime images", "ok", ", ".join(names))


def _foreign(names: tuple[str, ...] | Unseen) -> Verdict:
    if isinstance(names, Unseen):
        return Verdict("other InferenceServices", "unknown", names.why)
    if not names:
        return Verdict("other InferenceServices", "ok", "none in the namespace")
    says = f"{', '.join(names)}: versions of the same names would fail"
    return Verdict("other InferenceServices", "note", says, "keep them in another namespace")


def _unread(name: str, data: Unseen | None) -> Verdict:
    if isinstance(data, Unseen):
        return Verdict(name, "unknown", data.why)
    return Verdict(name, "unknown", "Knative's configuration does not exist")
