"""New projects from templates: files copied, the model's name put in its place."""

import re
from pathlib import Path

from headrace_controller.resources import shipped
from headrace_functions.errors import Conflict, NotFound
from headrace_functions.names import MAX_NAME, check_name

NAME = "template-model"
"""What templates call their model; it is replaced by the project's name."""


def templates() -> list[str]:
    return sorted(p.name for p in shipped("templates").iterdir() if p.is_dir() and not p.name.startswith((".", "_")))


def create(template: str, folder: Path, name: str | None = None) -> list[Path]:
    """Write the files of a template into ``folder`` and return them. Nothing that is there is overwritten.

    Raises ``NotFound`` for an unknown template, ``Conflict`` where a file is there already, ``InvalidInput`` for a bad name.
    """
    known = templates()
    if template not in known:
        raise NotFound(f"no template {template!r}", field="template", expected=f"one of {', '.join(known)}")
    model = check_name(name or suggested_name(folder))
    source = shipped("templates") / template
    files = sorted(p for p in source.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    for file in files:
        target = folder / file.relative_to(source)
        if target.exists():
            raise Conflict(f"{target} is there already", field="folder", hint="choose another folder")
    for file in files:
        target = folder / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(file.read_text(encoding="utf-8").replace(NAME, model), encoding="utf-8")
    return [folder / f.relative_to(source) for f in files]


def installation(template: str) -> str | None:
    """The command of a template's README that installs what its train.py imports; None where that is nothing."""
    lines = (shipped("templates") / template / "README.md").read_text(encoding="utf-8").splitlines()
    return next((line.partition("#")[0].strip() for line in lines if line.startswith("pip install ")), None)


def suggested_name(folder: Path) -> str:
    """A usable name made of the folder's: ``My Churn_Model`` is ``my-churn-model``."""
    made = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")[:MAX_NAME].strip("-")
    return made or "model"
