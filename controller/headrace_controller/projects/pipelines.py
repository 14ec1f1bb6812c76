"""Pipelines that deliver a model, written into a project from the templates ``_pipelines``."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace_controller.resources import shipped
from headrace_functions.errors import Conflict

NAME = "template-model"
KINDS = ("github", "airflow", "kubeflow")
_PLACEHOLDER = re.compile(r"TEMPLATE_[A-Z]+")
IMAGE = "headrace-controller:latest"


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What a pipeline delivers: the model of ``folder`` by ``check``, a labelled file relative to it."""

    kind: str
    model: str
    folder: Path
    check: str
    require: Sequence[str]
    target: str = ""


def write(pipeline: Pipeline) -> Path:
    """Write the pipeline's file and return it; ``Conflict`` where it is there already."""
    source = next(p for p in (shipped("templates") / "_pipelines" / pipeline.kind).iterdir() if p.is_file())
    name = pipeline.model if source.suffix == ".yml" else pipeline.model.replace("-", "_")
    file = source.name.replace(NAME, name).replace(NAME.replace("-", "_"), name)
    target = _place(pipeline) / file
    if target.exists():
        raise Conflict(f"{target} is there already", field="folder", hint="delete it, or edit it yourself")
    text = source.read_text(encoding="utf-8")
    values = _values(pipeline)
    filled = _PLACEHOLDER.sub(lambda found: values[found[0]], text)
    filled = filled.replace(NAME, pipeline.model).replace(NAME.replace("-", "_"), pipeline.model.replace("-", "_"))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(filled, encoding="utf-8")
    return target


def _place(pipeline: Pipeline) -> Path:
    if pipeline.kind == "github":
        return _repository(pipeline.folder) / ".github" / "workflows"
    return pipeline.folder / ("dags" if pipeline.kind == "airflow" else "pipelines")


def _values(pipeline: Pipeline) -> Mapping[str, str]:
    """What stands in the place of each placeholder, quoted as its file's language has it."""
    target = pipeline.target
    if pipeline.kind == "github":
        inside = pipeline.folder.resolve().relative_to(_repository(pipeline.folder).resolve()).as_posix()
        options = [part for text in pipeline.require for part in ("--require", shlex.quote(text))]
        options += ["--target", shlex.quote(target)] if target else []
        result = "delivery.json" if inside == "." else f"{inside}/delivery.json"
        return {
            "TEMPLATE_FOLDER": _yaml(inside),
            "TEMPLATE_CHECK": shlex.quote(pipeline.check),
            "TEMPLATE_REQUIRE": " ".join(options),
            "TEMPLATE_RESULT": _yaml(result),
        }
    kubeflow = pipeline.kind == "kubeflow"
    return {
        "TEMPLATE_FOLDER": repr(str(pipeline.folder.resolve())),
        "TEMPLATE_CHECK": repr(pipeline.check),
        "TEMPLATE_REQUIRE": repr(",".join(pipeline.require)) if kubeflow else repr(list(pipeline.require)),
        "TEMPLATE_TARGET": repr(target) if kubeflow else repr({"target": target} if target else {}),
        "TEMPLATE_IMAGE": IMAGE,
    }


def _yaml(text: str) -> str:
    return text if re.fullmatch(r"[\w./-]+", text) else "'" + text.replace("'", "''") + "'"


def _repository(folder: Path) -> Path:
    """The folder that is a Git repository's top, else ``folder`` itself."""
    found = folder.resolve()
    return next((p for p in (found, *found.parents) if (p / ".git").exists()), found)
