"""``headrace model inspect``: a model file described without loading it, and the definition that would serve it."""

from pathlib import Path

import click
import yaml

from headrace_controller.cli.output import json_option, print_facts, print_json, print_table
from headrace_controller.projects.scaffold import suggested_name
from headrace_functions.runtime.inspecting.found import Found
from headrace_functions.runtime.inspecting.inspection import inspect
from headrace_functions.signature import Field

_UNITS = ("bytes", "KB", "MB", "GB")
_FIELDS = 40  # fields of a side that are printed; --json has all


@click.command("inspect")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--framework", help="Framework to assume if the file's content does not show it.")
@json_option
def inspect_model(path: Path, framework: str | None, as_json: bool) -> None:
    """Describe the model in FILE (or a directory) without loading or running it.

    Prints its framework, versions, size, inputs and outputs, imports that are unusual for a model, anything
    unclear, and a definition that serves it. Needs no platform and none of the model's libraries.
    """
    found = inspect(path, framework)
    if as_json:
        print_json(found.to_document())
        return
    told = found.contents
    facts = {"file": found.file, "framework": found.framework, "model": told.about, "size": _size(found.size)}
    facts |= {"sha256": found.sha256} if found.sha256 else {}
    facts |= {"made with": ", ".join(f"{n} {v}" for n, v in told.versions.items())} if told.versions else {}
    print_facts({**facts, "would get": ", ".join(found.requirements)} if found.requirements else facts)
    for title, fields in (("inputs", told.inputs), ("outputs", told.outputs)):
        if fields:
            click.echo(f"\n{title}")
            print_table([_row(f) for f in fields[:_FIELDS]], ["name", "type", "shape", "values"], empty="")
        if len(fields) > _FIELDS:
            click.echo(f"… and {len(fields) - _FIELDS} more")
    for sentence in told.unclear:
        click.echo(f"unclear: {sentence}")
    if found.safety:
        click.secho(f"unsafe: {found.safety}", fg="red")
    click.echo(f"\nheadrace.yaml\n{_definition(path, found)}")


def _row(field: Field) -> dict[str, str]:
    values = ", ".join(map(str, (field.categories or field.columns or ())[:8]))
    return {
        "name": field.name,
        "type": field.dtype.name,
        "shape": str(list(field.shape)) if field.shape else "scalar",
        "values": values,
    }


def _size(count: int) -> str:
    size, unit = float(count), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {_UNITS[0]}" if not unit else f"{size:.1f} {_UNITS[unit]}"


def _definition(path: Path, found: Found) -> str:
    """The definition, indented; lines that have to be filled in stand as they are told."""
    name = suggested_name(Path(path.resolve().stem))
    known = {"kind": "Model", "name": name, "framework": found.framework, "payload": [path.name]}
    lines = yaml.safe_dump(known, sort_keys=False).splitlines()
    return "\n".join(f"  {line}" for line in (*lines, *found.contents.lines))
