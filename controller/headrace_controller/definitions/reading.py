"""From a file, a folder or standard input to checked definitions; errors name the document, the line and the path in it."""

import difflib
import sys
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import yaml
from pydantic import ValidationError

from headrace_controller.definitions.deployment import DeploymentConfiguration
from headrace_controller.definitions.grant import GrantDefinition
from headrace_controller.definitions.model import ModelDefinition
from headrace_controller.definitions.sequence import SequenceDefinition
from headrace_controller.definitions.stream import StreamDefinition
from headrace_controller.definitions.validation_errors import explain, shown
from headrace_functions.errors import InvalidInput, NotFound, TooLarge

MAX_TEXT = 1024 * 1024  # bytes of one definition file
SUFFIXES = (".yaml", ".yml")

Definition = ModelDefinition | SequenceDefinition | DeploymentConfiguration | GrantDefinition | StreamDefinition
KINDS: Mapping[str, type[Definition]] = {
    "Model": ModelDefinition,
    "Sequence": SequenceDefinition,
    "Application": SequenceDefinition,
    "DeploymentConfiguration": DeploymentConfiguration,
    "Grant": GrantDefinition,
    "Stream": StreamDefinition,
}


@dataclass(frozen=True, slots=True)
class Source:
    """Where a document came from: ``folder`` is what its relative paths start from."""

    file: str = "<input>"
    number: int = 1
    folder: Path = field(default_factory=Path.cwd)
    node: yaml.Node | None = None

    def place(self, path: tuple[str | int, ...] = ()) -> str:
        """What an error message starts with, e.g. ``churn.yaml, document 2, line 7: ``."""
        line = f", line {_line(self.node, path)}" if self.node is not None else ""
        return f"{self.file}, document {self.number}{line}: "


@contextmanager
def placed(source: Source) -> Generator[None]:
    """Let what is wrong with a definition, found when it is applied, begin with its place as what is found on reading does."""
    try:
        yield
    except (InvalidInput, NotFound) as error:
        if error.field is not None and not error.message.startswith(source.file):
            way = tuple(int(part) if part.isdigit() else part for part in error.field.split("."))
            error.message = source.place(way) + error.message
        raise


def read(path: str, stdin: TextIO | None = None) -> list[tuple[Definition, Source]]:
    """Definitions of a file, of every ``*.yaml`` and ``*.yml`` directly in a folder, or of standard input (``-``)."""
    if path == "-":
        return read_text((stdin or sys.stdin).read(), "<stdin>", Path.cwd())
    given = Path(path)
    if not given.exists():
        raise NotFound(
            f"{path}: no such file or folder",
            field="file",
            hint="name a YAML file, a folder of them, or - for standard input",
        )
    files = sorted(f for f in given.iterdir() if f.suffix in SUFFIXES) if given.is_dir() else [given]
    if not files:
        raise NotFound(f"{path}: the folder holds no .yaml or .yml file", field="file")
    return [found for file in files for found in _read_file(file)]


def _read_file(file: Path) -> list[tuple[Definition, Source]]:
    if file.stat().st_size > MAX_TEXT:
        raise TooLarge(f"{file}: a definition file has at most {MAX_TEXT} bytes", got=str(file.stat().st_size))
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{file}: not UTF-8 text at byte {error.start}", field="file", expected="a YAML file"
        ) from error
    return read_text(text, str(file), file.resolve().parent)


def read_text(text: str, file: str = "<input>", folder: Path | None = None) -> list[tuple[Definition, Source]]:
    """Definitions of a multi-document YAML text, in order; models come with the folder their paths start from."""
    found = []
    try:
        nodes = [node for node in yaml.compose_all(text, Loader=yaml.SafeLoader) if not _is_empty(node)]
        for number, node in enumerate(nodes, start=1):
            source = Source(file, number, folder or Path.cwd(), node)
            found.append((check_document(_construct(node, source), source), source))
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InvalidInput(f"{file}{line}: not YAML: {error.problem}", field="file") from error
    except yaml.reader.ReaderError as error:
        said = f"{file}: not YAML: the character U+{int(error.character):04X} may not be in it"
        raise InvalidInput(said, field="file") from error
    except RecursionError as error:
        raise InvalidInput(f"{file}: it is nested too deeply", field="file") from error
    if not found:
        raise InvalidInput(
            f"{file}: it contains no definition",
            field="file",
            expected="one or more YAML documents with 'kind' and 'name'",
        )
    return found


def check_document(document: Any, source: Source | None = None) -> Definition:
    """The definition in a mapping; raises ``InvalidInput`` that names the first wrong place."""
    if not isinstance(document, Mapping):
        raise InvalidInput(
            f"{source.place() if source else ''}not a mapping",
            field="kind",
            expected="a document with 'kind' and 'name'",
        )
    kind = document.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        near = difflib.get_close_matches(str(kind), KINDS, n=1, cutoff=0.4)
        where = source.place(("kind",)) if source else ""
        raise InvalidInput(
            where + (f"unknown kind {shown(kind)}" if kind else "'kind' is missing"),
            field="kind",
            expected=f"one of {', '.join(KINDS)}",
            hint=f"did you mean {near[0]!r}?" if near else None,
        )
    try:
        return KINDS[str(kind)].model_validate(document)
    except ValidationError as error:
        raise explain(error, source.place if source else None) from error


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _construct(node: yaml.Node, source: Source) -> Any:
    _refuse_repeated_keys(node, source)
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
        # Values that look like a number or a date and are none, such as 2026-13-01.
        raise InvalidInput(f"{source.place()}a value cannot be read: {error}", field="file") from error
    finally:
        loader.dispose()


def _refuse_repeated_keys(node: yaml.Node, source: Source) -> None:
    """YAML lets the last of two equal keys win silently; here that is an error."""
    pending: list[yaml.Node] = [node]
    seen_nodes: set[int] = set()
    while pending:
        current = pending.pop()
        if id(current) in seen_nodes or isinstance(current, yaml.ScalarNode):
            continue
        seen_nodes.add(id(current))
        if isinstance(current, yaml.MappingNode):
            keys: set[str] = set()
            for key, value in current.value:
                if isinstance(key, yaml.ScalarNode) and key.value in keys and key.value != "<<":
                    line = key.start_mark.line + 1
                    raise InvalidInput(
                        f"{source.file}, document {source.number}, line {line}: key {key.value!r} appears twice",
                        field=key.value,
                    )
                keys.add(key.value if isinstance(key, yaml.ScalarNode) else str(id(key)))
                pending.append(value)
        else:
            pending.extend(current.value)


def _line(node: yaml.Node | None, path: Iterable[str | int]) -> int:
    """The line of the deepest part of ``path`` that the document has."""
    if node is None:
        return 0
    line = node.start_mark.line
    for part in path:
        if isinstance(node, yaml.MappingNode):
            entry = next(
                ((k, v) for k, v in node.value if isinstance(k, yaml.ScalarNode) and k.value == str(part)), None
            )
            if entry is None:
                continue
            line, node = entry[0].start_mark.line, entry[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
    return line + 1
