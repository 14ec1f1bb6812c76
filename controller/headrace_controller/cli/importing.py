"""``headrace import``: definitions from what other platforms run."""

from pathlib import Path
from typing import Any

import click
import yaml

from headrace_controller.cli.groups import Commands
from headrace_controller.cli.output import json_option, print_json, progress
from headrace_controller.projects.inference_service import KIND, Imported, convert
from headrace_functions.errors import Conflict, InvalidInput, TooLarge

MAX_BYTES = 1024 * 1024  # of a file


@click.group("import", cls=Commands)
def importing() -> None:
    """Write definitions for models of other platforms."""


@importing.command("isvc")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File to write; nothing that is there is overwritten. Default: standard output.",
)
@json_option
def import_isvc(file: Path, out: Path | None, as_json: bool) -> None:
    """Write definitions for the KServe InferenceServices in FILE (YAML or JSON).

    A predictor becomes a model; a transformer or a canary becomes a sequence. Standard error names every key that
    has no counterpart, with the reason, and everything you need to fill in. The cluster is not contacted and
    nothing is downloaded. With kubectl: kubectl get isvc NAME -o yaml > FILE.
    """
    found = _read(file)
    if as_json:
        left = [{"path": at.path, "why": at.why} for at in found.left]
        print_json({"definitions": found.definitions, "left": left, "to_do": found.to_do})
        return
    for sentence in found.to_do:
        progress(f"to do: {sentence}")
    for at in found.left:
        progress(f"not carried: {at.path}: {at.why}")
    text = yaml.safe_dump_all(found.definitions, sort_keys=False)
    if out is None:
        click.echo(text, nl=False)
        return
    if out.exists():
        raise Conflict(f"{out} is there already", field="out", hint="name another file")
    out.write_text(text, encoding="utf-8")
    progress(f"wrote {out}; next: headrace apply -f {out}")


def _read(file: Path) -> Imported:
    if file.stat().st_size > MAX_BYTES:
        raise TooLarge(f"{file}: at most {MAX_BYTES} bytes", field="file", got=str(file.stat().st_size))
    try:
        documents = [d for d in yaml.safe_load_all(file.read_text(encoding="utf-8")) if d is not None]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file}: not YAML: {' '.join(str(error).split())[:200]}", field="file") from error
    services = [s for d in documents for s in _items(d)]
    if not services:
        raise InvalidInput(
            f"{file}: it contains no {KIND}", field="file", expected=f"one or more documents of kind {KIND}"
        )
    whole = Imported()
    for service in services:
        one = convert(service)
        whole.definitions += one.definitions
        whole.left += one.left
        whole.to_do += one.to_do
    return whole


def _items(document: Any) -> list[Any]:
    """The services of a List, as kubectl prints several; anything else as it is."""
    if (
        isinstance(document, dict)
        and document.get("kind") in ("List", f"{KIND}List")
        and isinstance(document.get("items"), list)
    ):
        return list(document["items"])
    return [document]
