"""Docs say what the code does: every command, route, definition key, setting and limit is in them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

import headrace
from headrace_controller import archive
from headrace_controller.access import control
from headrace_controller.api import events, routing
from headrace_controller.api.application import RESOURCES
from headrace_controller.cli.reference import reference
from headrace_controller.client import Client
from headrace_controller.definitions import (
    DeploymentConfiguration,
    GrantDefinition,
    ModelDefinition,
    SequenceDefinition,
    StreamDefinition,
    read_text,
)
from headrace_controller.definitions.container import ContainerDefinition
from headrace_controller.definitions.fields import FieldDefinition
from headrace_controller.definitions.model import LimitsDefinition, ScalingDefinition
from headrace_controller.definitions.stream import MAX_BATCH
from headrace_controller.environments import requirements
from headrace_controller.evaluation import labelled
from headrace_controller.evaluation.figures import FIGURES
from headrace_controller.evaluation.requirements import MAX_REQUIREMENTS
from headrace_controller.pages import permission_matrix
from headrace_controller.requestlog import reader
from headrace_controller.service import builds, jobs, labels, paging
from headrace_controller.streams.messages import MAX_ROWS
from headrace_controller.streams.running import ATTEMPTS, STUCK
from headrace_controller.training import inference, source, summary, tables
from headrace_functions import log_conditions
from headrace_functions.gateway.allowance import BURST
from headrace_functions.gateway.callbacks import PAUSES
from headrace_functions.gateway.deferred import KEPT, MAX_BYTES, MAX_REQUESTS, WAITS
from headrace_functions.gateway.edge import SMALLEST
from headrace_functions.protocol import problems
from headrace_functions.rpc.gateway import LONGEST
from headrace_functions.rpc.server import MAX_CALLS, MAX_MESSAGE
from headrace_functions.rpc.status import CODES
from headrace_functions.runtime.streamed_answer import MAX_LOGGED
from headrace_functions.runtime.streams import LONGEST as LONGEST_STREAM

PARAMETER = re.compile(r"<(?:\w+:)?\w+>")
DOCS = Path(__file__).parents[2] / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_the_command_line_reference_is_what_the_commands_say() -> None:
    assert page("cli.md") == reference() + "\n", "run: python -m headrace_controller.cli.reference > docs/cli.md"


def test_every_route_is_in_the_api_page_and_no_other() -> None:
    served = {f"{o.method} {PARAMETER.sub('{name}', o.path)}" for r in RESOURCES for o in r.operations}
    management = page("http-api.md").split("## Management")[1].split("## Pages")[0]
    listed = re.findall(r"\| `((?:GET|PUT|POST|DELETE) /[^`]*)`", management)
    assert {re.sub(r"\{\w+\}", "{name}", route) for route in listed} == served


def test_the_matrix_of_permissions_is_what_the_routes_declare(tmp_path: Path) -> None:
    said = permission_matrix.document(permission_matrix.application(tmp_path))
    assert page("permissions.md") == said, (
        "run: python -m headrace_controller.pages.permission_matrix > docs/permissions.md"
    )


def test_every_error_status_and_code_is_in_the_api_page() -> None:
    table = page("http-api.md").split("## Errors")[1].split("## Management")[0]
    for kind, (status, _) in problems._TABLE.items():
        assert re.search(rf"\| {status} \|[^\n]*`{kind.code}`", table), kind


def keys(model: type[BaseModel]) -> Iterator[str]:
    return (str(f.alias) for f in model.model_fields.values())


@pytest.mark.parametrize(
    "model",
    [
        ModelDefinition,
        ContainerDefinition,
        SequenceDefinition,
        DeploymentConfiguration,
        GrantDefinition,
        StreamDefinition,
        FieldDefinition,
        ScalingDefinition,
        LimitsDefinition,
    ],
)
def test_every_key_of_a_definition_is_documented(model: type[BaseModel]) -> None:
    text = page("definitions.md")
    missing = [k for k in keys(model) if k != "kind" and f"`{k}`" not in text and f"{k}:" not in text]
    assert missing == []


def test_the_examples_of_the_definitions_page_are_definitions() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", page("definitions.md"), re.DOTALL)
    assert len(blocks) >= 2
    for block in blocks:
        assert read_text(block)


@pytest.mark.parametrize(
    "name",
    [
        "--home",
        "--host",
        "--port",
        "--storage",
        "--auth",
        "--public-url",
        "--url",
        "HEADRACE_HOME",
        "HEADRACE_URL",
        "AWS_ENDPOINT_URL",
    ],
)
def test_every_setting_is_in_the_operations_page(name: str) -> None:
    assert name in page("operations.md")


@pytest.mark.parametrize(
    ("number", "said", "where"),
    [
        (archive.MAX_ARCHIVE, "2 GiB", "http-api.md"),
        (archive.MAX_UNPACKED, "8 GiB", "http-api.md"),
        (archive.MAX_FILES, "20,000", "http-api.md"),
        (source.MAX_BYTES, "16 GiB", "http-api.md"),
        (source.MAX_VALUES, "4,000,000,000", "definitions.md"),
        (summary.EXACT, "10,000 different", "definitions.md"),
        (tables.MAX_COLUMNS, "5000", "http-api.md"),
        (labels.MAX_FILE, "256 MiB", "http-api.md"),
        (labelled.MAX_FILE, "labelled file of an evaluation | 64 MiB", "http-api.md"),
        (labelled.MAX_ROWS, "100,000 rows", "http-api.md"),
        (MAX_REQUIREMENTS, "requirements of an evaluation | 50", "http-api.md"),
        (routing.JSON_BODY, "1 MiB", "http-api.md"),
        (control.MAX_KEYS, "5000", "http-api.md"),
        (control.MAX_GRANTS, "2000", "http-api.md"),
        (paging.MAX_LIMIT, "at most 1000", "http-api.md"),
        (reader.MAX_ROWS, "10,000", "http-api.md"),
        (log_conditions.MAX_WHERE, "4000", "http-api.md"),
        (events.MAX_STREAMS, "16", "http-api.md"),
        (builds.CONCURRENT_BUILDS, "builds at once | 2", "http-api.md"),
        (jobs.MAX_QUEUED, "100 of each", "http-api.md"),
        (requirements.MAX_REQUIREMENTS, "500 packages", "definitions.md"),
        (inference.MAX_CATEGORIES, "at most 100", "definitions.md"),
        (inference.MAX_INTEGER_CATEGORIES, "at most 10", "definitions.md"),
        (jobs.DEFAULT_TIMEOUT, "1800 s", "operations.md"),
    ],
)
def test_limits_are_documented_as_they_are(number: float, said: str, where: str) -> None:
    assert said in page(where)
    digits = re.findall(r"[\d,]+", said)[0].replace(",", "")
    unit = 1024**3 if "GiB" in said else 1024**2 if "MiB" in said else 1
    assert number == int(digits) * unit


def test_every_figure_of_an_evaluation_is_in_the_pipelines_page_and_the_command_s_help() -> None:
    missing = [f for f in FIGURES if f"`{f}`" not in page("pipelines.md") or f not in page("cli.md")]
    assert missing == []


def test_the_package_of_the_users_name_gives_the_client() -> None:
    """``from headrace import Client`` is what README shows."""
    assert Client is headrace.Client


def test_every_status_code_of_grpc_is_in_its_page_as_it_is() -> None:
    table = page("grpc.md").split("## Errors")[1].split("## Encryption")[0]
    said = {
        int(status): code
        for statuses, code in re.findall(r"^\| ([\d, ]+) \| `(\w+)` \|$", table, re.MULTILINE)
        for status in statuses.split(", ")
    }
    assert {status: code.name for status, code in CODES.items()} == said


def test_the_limits_of_grpc_are_documented_as_they_are() -> None:
    text = page("grpc.md")
    assert "64 MiB + 64 KiB" in text
    assert MAX_MESSAGE == 64 * 1024**2 + 64 * 1024
    assert f"calls open at once | {MAX_CALLS:,}" in text
    assert f"call without a deadline | {LONGEST:.0f} s" in text


def test_the_limits_of_streams_files_and_deferred_requests_are_documented_as_they_are() -> None:
    kafka, streaming, later, files, http = (
        page(f"{n}.md") for n in ("kafka", "streaming", "deferred", "batch", "http-api")
    )
    assert f"at most {MAX_BATCH}" in kafka
    assert f"rows of a message | {MAX_ROWS:,}" in kafka
    assert f"ends a process | {ATTEMPTS}" in kafka
    assert f"after {STUCK:.0f} seconds" in kafka
    assert f"a stream in all | {LONGEST_STREAM:.0f} s" in streaming
    assert f"the log keeps | {MAX_LOGGED // 1024} KiB" in streaming
    assert f"requests without a result | {MAX_REQUESTS:,}, and {MAX_BYTES // 1024**3} GiB" in later
    assert f"a result is kept | {KEPT / 3600:.0f} hours" in later
    assert f"is given up | {WAITS / 3600:.0f} hour" in later
    assert "after 1, 5, 30, 120 and 600 seconds" in later
    assert PAUSES == (1, 5, 30, 120, 600)
    assert "at most 100,000" in files
    assert f"from {SMALLEST} bytes on" in http
    assert f"a burst of {['zero', 'one', 'two'][int(BURST)]} seconds" in http
