"""From a KServe InferenceService to definitions: what it says in our words, and every key of it that has no counterpart, by its path. Pure.

A predictor becomes a ``Model``; a transformer a model of ``framework: kserve`` and a ``Sequence`` of both; a canary a ``Sequence`` of two aliases. Nothing is
asked of a cluster and nothing is fetched.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace_functions.errors import InvalidInput
from headrace_functions.names import MAX_NAME, check_name

KIND = "InferenceService"
_FORMATS = {
    "sklearn": "sklearn", "xgboost": "xgboost", "lightgbm": "lightgbm", "onnx": "onnx", "pytorch": "torch", "tensorflow": "tensorflow", "mlflow": "mlflow",
}  # fmt: skip
_OTHER_FORMATS = ("triton", "pmml", "paddle", "huggingface", "openvino", "vllm")
"""Formats of KServe that no loader here reads."""
_FETCHED = ("s3://", "gs://", "https://", "http://")
_NO_REPLACEMENT = {
    "logger": "every exchange is logged anyway",
    "batcher": "requests that arrive while a prediction runs form the next batch anyway",
    "explainer": "headrace explain explains any version",
    "resources": "in a cluster a kind: DeploymentConfiguration has them, which a variant of a sequence names",
    "env": "in a cluster a kind: DeploymentConfiguration has them; else put what they say into a file of the payload",
    "serviceAccountName": "credentials of a store are the platform's, by reference",
}
_UNLIMITED = 0  # maxReplicas of KServe that means none


@dataclass(frozen=True, slots=True)
class Left:
    """A key that is not carried over."""

    path: str
    why: str


@dataclass(slots=True)
class Imported:
    definitions: list[dict[str, Any]] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    to_do: list[str] = field(default_factory=list)
    """What somebody has to fill in, a sentence each."""


class _Part:
    """A mapping of the document whose keys are taken one by one; what nobody took is told."""

    def __init__(self, value: Any, path: str) -> None:
        if not isinstance(value, Mapping):
            raise InvalidInput(f"{path}: a mapping is required", field=path, got=type(value).__name__)
        self.path = path
        self._value = dict(value)

    def __contains__(self, key: str) -> bool:
        return self._value.get(key) is not None

    def take(self, key: str, default: Any = None) -> Any:
        found = self._value.pop(key, None)
        return default if found is None else found

    def part(self, key: str) -> "_Part":
        return _Part(self.take(key, {}), f"{self.path}.{key}")

    def names(self) -> list[str]:
        return list(self._value)

    def rest(self) -> Iterator[Left]:
        for key, value in self._value.items():
            yield Left(f"{self.path}.{key}", _NO_REPLACEMENT.get(key, f"it has no counterpart ({_shown(value)})"))


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:59] + "…"


def convert(document: Any) -> Imported:
    """The definitions of one InferenceService. ``InvalidInput`` names the key that makes it none, or two."""
    if not isinstance(document, Mapping) or document.get("kind") != KIND:
        raise InvalidInput(
            "it is not an InferenceService",
            field="kind",
            expected=KIND,
            got=str(document.get("kind") if isinstance(document, Mapping) else document)[:60],
        )
    metadata = _Part(document.get("metadata") or {}, "metadata")
    name = _name(str(metadata.take("name", "")))
    made = Imported()
    metadata.take("namespace")
    labels = metadata.take("labels", {})
    spec = _Part(document.get("spec") or {}, "spec")
    if "predictor" not in spec:
        raise InvalidInput("spec.predictor is required", field="spec.predictor", expected="one predictor")
    predictor = spec.part("predictor")
    transformer = spec.part("transformer") if "transformer" in spec else None
    canary = predictor.take("canaryTrafficPercent")
    model = _model(
        _served_name(name, "predictor") if transformer is not None or canary is not None else name, predictor, made
    )
    if labels:
        model["metadata"] = {str(k): str(v) for k, v in labels.items()}
    made.definitions.append(model)
    if transformer is not None:
        made.definitions.append(_transformer(_served_name(name, "transformer"), transformer, made))
    if transformer is not None or canary is not None:
        made.definitions.append(_sequence(name, model["name"], canary, transformer is not None, made))
    made.left += [*metadata.rest(), *spec.rest()]
    return made


def _name(given: str) -> str:
    try:
        return check_name(given.replace(".", "-"))
    except InvalidInput as error:
        raise InvalidInput(
            f"metadata.name: {error.message}", field="metadata.name", expected=error.expected, got=given
        ) from error


def _served_name(name: str, part: str) -> str:
    return f"{name[: MAX_NAME - len(part) - 1]}-{part}"


def _model(name: str, predictor: _Part, made: Imported) -> dict[str, Any]:
    model: dict[str, Any] = {"kind": "Model", "name": name}
    which = [k for k in predictor.names() if k in ("model", "containers", *_FORMATS, *_OTHER_FORMATS)]
    if len(which) != 1:
        raise InvalidInput(
            f"spec.predictor: {'two predictors' if len(which) > 1 else 'no supported predictor'}",
            field="spec.predictor",
            expected=f"one of model, containers, {', '.join(_FORMATS)}",
            got=", ".join(which) or ", ".join(predictor.names()) or "nothing",
        )
    (kind,) = which
    if kind == "containers":
        _container(predictor, model, made)
    else:
        _by_format(predictor.part(kind), kind, model, made)
    _scaling(predictor, model, made)
    made.left += predictor.rest()
    return model


def _by_format(told: _Part, kind: str, model: dict[str, Any], made: Imported) -> None:
    if kind == "model":
        shape = told.part("modelFormat")
        kind = str(shape.take("name", "")).lower()
        version = shape.take("version")
        if version is not None:
            made.left.append(
                Left(f"{shape.path}.version", f"the artifact tells its own; list requirements to pin one ({version})")
            )
    if kind not in _FORMATS:
        raise InvalidInput(
            f"{told.path}: the format {kind!r} is not supported here",
            field=f"{told.path}.modelFormat.name",
            expected=", ".join(_FORMATS),
            got=kind,
            hint="leave it where it runs and monitor it as an external model (docs/external-models.md)",
        )
    model["framework"] = _FORMATS[kind]
    model["payload"] = [_payload(told, made)]
    for key, why in (
        ("runtime", "a version's environment comes from its framework and artifact"),
        ("protocolVersion", "every version speaks v1 and v2"),
    ):
        value = told.take(key)
        if value is not None:
            made.left.append(Left(f"{told.path}.{key}", f"{why} ({_shown(value)})"))
    made.left += told.rest()


def _payload(told: _Part, made: Imported) -> str:
    uri = told.take("storageUri")
    if uri is None:
        stored = told.part("storage")
        key, path = stored.take("key"), stored.take("path")
        made.left += stored.rest()
        if path is None:
            made.to_do.append("payload: the InferenceService names no storageUri; name the file or folder of the model")
            return "model"
        made.to_do.append(f"payload: its store is the entry {key!r} of a secret; put the bucket in front of {path}")
        return f"s3://BUCKET/{str(path).lstrip('/')}"
    if not str(uri).startswith(_FETCHED):
        made.to_do.append(f"payload: {uri} is not fetched here; copy it and name the file or folder")
        return "model"
    return str(uri)


def _container(predictor: _Part, model: dict[str, Any], made: Imported, which: str = "predictor") -> None:
    containers = predictor.take("containers")
    if not isinstance(containers, list) or len(containers) != 1:
        raise InvalidInput(
            f"{predictor.path}.containers: exactly one container is required",
            field=f"{predictor.path}.containers",
            got=str(len(containers)) if isinstance(containers, list) else type(containers).__name__,
        )
    told = _Part(containers[0], f"{predictor.path}.containers.0")
    image = str(told.take("image", ""))
    told.take("name")
    model |= {"framework": "kserve", "payload": [f"{which}.py"]}
    made.to_do.append(
        f"payload of {model['name']}: the code is in the image {image}; put the file with its subclass of kserve.Model here as {which}.py, and what it imports under requirements; or run the image as it is in a cluster by container: {{image: {image}}} and a contract (docs/frameworks.md)"
    )
    made.left.append(Left(f"{told.path}.image", f"its code is run as it is by framework: kserve ({image})"))
    made.left += told.rest()


def _scaling(part: _Part, model: dict[str, Any], made: Imported) -> None:
    """Replicas as KServe has them: one at least where nothing is said."""
    least, most, at_once, timeout = (
        part.take(k) for k in ("minReplicas", "maxReplicas", "containerConcurrency", "timeout")
    )
    scaling: dict[str, Any] = {"min-replicas": 1 if least is None else int(least)}
    if most is not None and int(most) == _UNLIMITED:
        made.left.append(Left(f"{part.path}.maxReplicas", "0 is no limit in KServe; here one is wanted, 100 at most"))
    elif most is not None:
        scaling["max-replicas"] = int(most)
    if scaling["min-replicas"] > scaling.get("max-replicas", 1):
        scaling["max-replicas"] = scaling["min-replicas"]
    if at_once:
        scaling["concurrency"] = int(at_once)
    if least is None:
        made.to_do.append(
            f"{model['name']}: KServe keeps one replica where minReplicas is not said, and so does min-replicas: 1; 0 lets it sleep"
        )
    model["scaling"] = scaling
    if timeout is not None:
        model["limits"] = {"predict-timeout": f"{int(timeout)}s"}


def _transformer(name: str, transformer: _Part, made: Imported) -> dict[str, Any]:
    model: dict[str, Any] = {"kind": "Model", "name": name}
    _container(transformer, model, made, "transformer")
    _scaling(transformer, model, made)
    made.to_do.append(
        f"{name}: a transformer's preprocess is the first stage of the sequence; what its postprocess does needs a stage of its own behind the predictor"
    )
    made.left += transformer.rest()
    return model


def _sequence(name: str, model: str, canary: Any, transformed: bool, made: Imported) -> dict[str, Any]:
    last: list[dict[str, Any]] = [{"model": model}]
    if canary is not None:
        share = int(canary)
        if not 0 <= share <= 100:
            raise InvalidInput(
                "spec.predictor.canaryTrafficPercent: a percentage is required",
                field="spec.predictor.canaryTrafficPercent",
                expected="0 to 100",
                got=str(canary),
            )
        last = [{"model": f"{model}@stable", "weight": 100 - share}, {"model": f"{model}@canary", "weight": share}]
        made.to_do.append(
            f"{name}: set the aliases {model}@stable and {model}@canary to the versions that share its traffic (headrace alias set)"
        )
    stages = [[{"model": _served_name(name, "transformer")}]] if transformed else []
    return {"kind": "Sequence", "name": name, "pipeline": [*stages, last]}
