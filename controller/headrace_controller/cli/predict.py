"""``headrace predict`` and ``headrace sample``"""

import shlex
import sys
from pathlib import Path

import click
import orjson

from headrace_controller.cli.connection import connected
from headrace_controller.cli.output import json_option, print_json, print_table, progress
from headrace_controller.client import Client
from headrace_controller.projects import csv_rows, example_requests
from headrace_functions.errors import HeadraceError, InvalidInput, NotFound, NotReady
from headrace_functions.names import Reference, VersionId
from headrace_functions.suggestions import did_you_mean
from headrace_functions.tabular import kinds

MAX_SHOWN = 4096  # characters of a request in a command line that is shown


@click.command()
@click.argument("name")
@click.option(
    "-f",
    "--file",
    "path",
    required=True,
    help="CSV file with a header, JSON rows, or a JSON request; - reads JSON from standard input.",
)
@click.option(
    "--explain",
    is_flag=True,
    help="Also show what each prediction depends on most, for tree models; at most 100 rows per request.",
)
@json_option
@connected
def predict(client: Client, name: str, path: str, explain: bool, as_json: bool) -> None:
    """Send rows to a model or sequence and show the predictions.

    NAME is a model, MODEL:NUMBER, MODEL@ALIAS or a sequence. A CSV file is read like training data, and columns
    that are not inputs are left out. Many rows are sent in several requests.
    """
    metadata = _metadata(client, name)
    if path.endswith(".csv"):
        requests = csv_rows.requests_of(Path(path), metadata)
    else:
        requests = example_requests.of_json(sys.stdin.read() if path == "-" else _read(Path(path)), metadata)
    answers: list[example_requests.Json] = []
    sent = 0
    for rows, request in requests:
        answers.append(client.predict(name, example_requests.asking_why(request) if explain else request))
        sent += rows
        if rows and len(answers) > 1:
            progress(f"{sent:,} rows answered")
    answer = example_requests.joined(answers)
    if as_json:
        print_json(answer)
    else:
        table = example_requests.table_of(answer)
        print_table(table, list(table[0]) if table else [], empty="no answer")
    newer = _newer_failure(client, name)
    if newer:
        progress(f"note: {newer}; an earlier version answered")


def _metadata(client: Client, name: str) -> example_requests.Json:
    """What the endpoint takes; for a name that leads nowhere the error says which one is near, or that its newest version failed."""
    try:
        return client.endpoint_metadata(name)
    except NotFound as error:
        known = [m.name for m in client.models()] + [s.name for s in client.sequences()]
        hint = did_you_mean(Reference.parse(name).name, known, error.hint or "")
        raise NotFound(error.message, field=error.field, hint=hint) from error
    except NotReady as error:
        newer = _newer_failure(client, name)
        if not newer:
            raise
        raise NotReady(newer, hint=f"its build log: headrace version log {newer.split(' ', 1)[0]}") from error


def _newer_failure(client: Client, name: str) -> str:
    """That the newest version of a bare model name failed to build, and why; empty where it did not, and for other names."""
    reference = Reference.parse(name)
    if reference.number is not None or reference.alias is not None:
        return ""
    try:
        model = client.model(reference.name)
        newest = client.version(f"{model.name}:{model.latest}")
    except HeadraceError:  # a sequence, or the catalogue cannot be asked: the answer is what counts
        return ""
    return f"{newest.id} failed to build: {newest.reason.splitlines()[0]}" if newest.state == "failed" else ""


@click.command()
@click.argument("name")
@click.option("--rows", type=click.IntRange(1, 10_000), default=1, show_default=True, help="Number of rows.")
@click.option("--seed", default=0, show_default=True, help="Seed for choosing the rows.")
@click.option(
    "--shift",
    "shifts",
    multiple=True,
    metavar="FIELD=CHANGE",
    help="Change a numeric field, to simulate drift: amount=x100, age=+5, age=-2sd. Can be repeated.",
)
@json_option
@connected
def sample(client: Client, name: str, rows: int, seed: int, shifts: tuple[str, ...], as_json: bool) -> None:
    """Show an example request with rows of the training data, and the command that sends it.

    NAME is a model, MODEL:NUMBER, MODEL@ALIAS or a sequence. Without training data it is a request that the signature accepts.
    """
    body = _sample(client, name, rows, seed, shifts)
    if as_json:
        print_json(body)
        return
    reference = Reference.parse(name)
    path = f"{reference.name}/versions/{reference.number}" if reference.number else str(reference)
    url = f"{client.public_url()}/v2/models/{path}/infer"
    text = orjson.dumps(body, option=orjson.OPT_INDENT_2).decode()
    click.echo(text)
    # On standard error, so that the request alone can be piped into ``headrace predict NAME -f -``.
    progress("\n" + _curl(url, orjson.dumps(body).decode()))


def _curl(url: str, body: str) -> str:
    """A command line that sends the request; one that is too long to be read takes it from a file."""
    data = shlex.quote(body) if len(body) <= MAX_SHOWN else "@request.json  # where the request above was saved"
    return f"curl -s {shlex.quote(url)} -H 'content-type: application/json' -d {data}"


def _sample(client: Client, name: str, rows: int, seed: int, shifts: tuple[str, ...]) -> example_requests.Json:
    try:
        found = client.sample(_first_version(client, name), rows, seed)
    except NotFound:
        if rows > 1 or shifts:
            raise
        return example_requests.of_signature(_signature(client, name))
    requests = example_requests.of_rows(example_requests.shifted(found, shifts), client.endpoint_metadata(name))
    return next(iter(requests))[1]


def _first_version(client: Client, name: str) -> VersionId:
    """The version that a request to ``name`` meets first: of a sequence, the first variant of its first stage."""
    reference = Reference.parse(name)
    if reference.number is None and reference.alias is None:
        try:
            return VersionId.parse(client.sequence(name).stages[0]["variants"][0]["model"])
        except NotFound:
            pass  # then it is a model
    return client.resolve(name)


def _signature(client: Client, name: str) -> example_requests.Json:
    """The signature behind a name; models and sequences share one name space."""
    reference = Reference.parse(name)
    signature = None
    if reference.number is None and reference.alias is None:
        try:
            signature = client.sequence(name).signature
        except NotFound:
            signature = None  # then it is a model, or nothing: the next look says which
    if signature is None:
        signature = client.version(str(client.resolve(name))).signature
    if signature is None:
        raise NotFound(f"{name} has no signature yet", hint=f"see: headrace version show {name}")
    return signature


def _read(file: Path) -> str:
    try:
        kinds.check(file, kinds.JSON, str(file), "file", csv_rows.TAKEN)
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise NotFound(f"{file} cannot be read: {error.strerror}", field="file") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file} is not a text file", field="file", expected="CSV or JSON") from error
