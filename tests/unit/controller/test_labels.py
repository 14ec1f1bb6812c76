"""Labels that come late: what is kept, what is refused, and how many are in the log, through client and command line."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from deltalake import write_deltalake

from controller_support import FakeServices, fail, make_platform, release, serving
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.cli.entrypoint import front
from headrace_controller.client import Client
from headrace_controller.service import labels as service
from headrace_controller.service.platform import Platform
from headrace_functions.errors import InvalidInput, NotFound, NotReady, TooLarge
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from support.reports import least


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return make_platform(tmp_path / "home", FakeServices())


@pytest.fixture
def version(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> VersionId:
    """A released version whose target is ``churned``."""
    written = Catalog.write_version
    monkeypatch.setattr(Catalog, "write_version", lambda self, v: written(self, replace(v, target=("churned",))))
    return release(platform.catalog, "churn")


@pytest.fixture
def client(platform: Platform) -> Iterator[Client]:
    with serving(platform) as url, Client(url) as found:
        yield found


def csv(folder: Path, text: str) -> Path:
    file = folder / "labels.csv"
    file.write_text(text)
    return file


def kept(platform: Platform, version: VersionId, number: int) -> pa.Table:
    objects = platform.catalog.documents.objects
    return pq.read_table(pa.BufferReader(objects.get(layout.label_file(version, number))))


def given_log(platform: Platform, version: VersionId, rows: list[tuple[str, int, str]]) -> None:
    requests, numbers, outcomes = zip(*rows, strict=True)
    data = {"request_id": requests, "row": pa.array(numbers, pa.int32()), "outcome": outcomes}
    objects = platform.catalog.documents.objects
    write_deltalake(objects.table_url(layout.log_table(version)), pa.table(data))


def test_labels_are_kept_with_row_0_where_none_is_given(
    platform: Platform, version: VersionId, client: Client, tmp_path: Path
) -> None:
    pushed = client.push_labels(version, csv(tmp_path, "churned,request_id\n1,a\n0,b\n"))

    assert (pushed.version, pushed.number, pushed.rows, pushed.logged) == ("churn:1", 1, 2, 0)
    found = kept(platform, version, 1)
    assert found.to_pydict() == {"request_id": ["a", "b"], "row": [0, 0], "churned": ["1", "0"]}
    assert found.schema.field("row").type == pa.int32()


def test_a_push_says_how_many_of_its_rows_the_log_has_answers_for(
    platform: Platform, version: VersionId, client: Client, tmp_path: Path
) -> None:
    given_log(platform, version, [("a", 0, "ok"), ("a", 1, "ok"), ("b", 0, "refused"), ("c", 0, "ok")])

    pushed = client.push_labels(version, csv(tmp_path, "request_id,row,churned\na,0,1\na,1,1\na,2,1\nb,0,1\nz,0,1\n"))

    assert (pushed.rows, pushed.logged) == (5, 2)


def test_every_push_is_a_file_of_its_own_in_order(
    platform: Platform, version: VersionId, client: Client, tmp_path: Path
) -> None:
    for label in ("0", "1"):
        client.push_labels(version, csv(tmp_path, f"request_id,churned\na,{label}\n"))

    assert [kept(platform, version, n)["churned"].to_pylist() for n in (1, 2)] == [["0"], ["1"]]


def test_request_ids_of_digits_stay_text_with_their_zeros(
    platform: Platform, version: VersionId, client: Client, tmp_path: Path
) -> None:
    client.push_labels(version, csv(tmp_path, "request_id,churned\n0012,1\n1e5,0\n"))

    assert kept(platform, version, 1)["request_id"].to_pylist() == ["0012", "1e5"]


def test_the_words_of_missing_values_are_those_of_the_version(
    platform: Platform, version: VersionId, client: Client, tmp_path: Path
) -> None:
    countries = release(platform.catalog, "countries", definition={"missing-values": ["?"]})
    client.push_labels(countries, csv(tmp_path, "request_id,churned\na,NA\n"))
    assert ["NA"] == kept(platform, countries, 1)["churned"].to_pylist()
    with pytest.raises(InvalidInput, match="1 rows of 'churned' are empty"):
        client.push_labels(countries, csv(tmp_path, "request_id,churned\na,?\n"))
    with pytest.raises(InvalidInput, match="1 rows of 'churned' are empty"):
        client.push_labels(version, csv(tmp_path, "request_id,churned\na,NA\n"))


def test_a_parquet_file_is_taken_as_well(
    platform: Platform, version: VersionId, client: Client, tmp_path: Path
) -> None:
    pq.write_table(pa.table({"request_id": ["a"], "churned": ["yes"]}), tmp_path / "labels.parquet")

    assert client.push_labels(version, tmp_path / "labels.parquet").rows == 1
    assert kept(platform, version, 1)["churned"].to_pylist() == ["yes"]


@pytest.mark.parametrize(
    ("text", "field", "says"),
    [
        ("request_id,churned,age,plan\na,1,3,x\n", "age", "unknown columns 'age', 'plan'"),
        ("request_id\na\n", "churned", "there is no column 'churned'"),
        ("id,churned\na,1\n", "id", "unknown columns 'id'"),
        ("churned\n1\n", "request_id", "there is no column 'request_id'"),
        ("request_id,churned\nb,1\na,\n", "churned", "1 rows of 'churned' are empty, the first is row 2"),
        ("request_id,churned\n,1\n", "request_id", "1 rows of 'request_id' are empty"),
        ("request_id,row,churned\na,-1,1\n", "row", "not a row of a request"),
        ("request_id,row,churned\na,first,1\n", "row", "row 1, column 'row': 'first' is not a whole number"),
        ("request_id,row,churned\na,0.5,1\n", "row", "not a row of a request"),
        ("request_id,row,churned\na,3000000000,1\n", "row", "not a row of a request"),
        ("request_id,churned\n", "labels", "has no rows"),
        ("request_id,churned\na,1\nb,0\na,0\n", "row", "row 3: request 'a' is in row 1 too"),
    ],
)
def test_a_file_that_is_no_labels_is_refused_with_the_column(
    platform: Platform, version: VersionId, client: Client, tmp_path: Path, text: str, field: str, says: str
) -> None:
    with pytest.raises(InvalidInput, match=says) as refused:
        client.push_labels(version, csv(tmp_path, text))

    assert refused.value.field == field
    assert platform.catalog.documents.objects.names(layout.labels(version)) == []


def test_labels_for_what_cannot_have_any_are_refused(platform: Platform, client: Client, tmp_path: Path) -> None:
    file = csv(tmp_path, "request_id,churned\na,1\n")

    with pytest.raises(NotFound):
        client.push_labels(VersionId("nobody", 1), file)
    with pytest.raises(InvalidInput, match="has no target"):
        client.push_labels(release(platform.catalog, "plain"), file)
    with pytest.raises(NotReady, match="is failed"):
        client.push_labels(fail(platform.catalog, "broken"), file)


def test_a_file_that_is_too_large_is_refused(
    version: VersionId, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_FILE", 10)

    with pytest.raises(TooLarge):
        client.push_labels(version, csv(tmp_path, "request_id,churned\na,1\n"))


SPELLINGS = {
    "whole numbers": pa.array([1, 0]),
    "int8": pa.array([1, 0], pa.int8()),
    "unsigned": pa.array([1, 0], pa.uint64()),
    "numbers with a point": pa.array([1.0, 0.0]),
    "float32": pa.array([1.0, 0.0], pa.float32()),
    "truth values": pa.array([True, False]),
    "decimal": pa.array([1, 0]).cast(pa.decimal128(20, 0)).cast(pa.decimal128(20, 2)),
    "text": pa.array(["1", "0"]),
    "text of numbers with a point": pa.array(["1.0", "0.0"]),
    "text of truth values": pa.array(["TRUE", "false"]),
    "large text": pa.array(["1", "0"], pa.large_string()),
    "text views": pa.array(["1", "0"], pa.string_view()),
    "a dictionary of text": pa.array(["1", "0"]).dictionary_encode(),
    "a dictionary of numbers": pa.array([1, 0]).dictionary_encode(),
}


def given_training(platform: Platform, version: VersionId, labels: pa.Array) -> None:
    """Training data of the version with its target column."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"churned": labels}), sink)
    objects = platform.catalog.documents.objects
    objects.put(layout.training(version), sink.getvalue().to_pybytes())
    document = json.loads(objects.get(layout.version_document(version)))
    objects.put(
        layout.version_document(version), json.dumps({**document, "training": layout.training(version)}).encode()
    )


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_class_is_kept_by_its_name_however_it_is_spelled(
    platform: Platform, version: VersionId, tmp_path: Path, spelling: str
) -> None:
    given_training(platform, version, pa.array([0, 1, 1]))
    pq.write_table(pa.table({"request_id": ["a", "b"], "churned": SPELLINGS[spelling]}), tmp_path / "labels.parquet")

    platform.labels.push(version, tmp_path / "labels.parquet")

    found = kept(platform, version, 1)
    assert found["churned"].to_pylist() == ["1", "0"]
    assert found.schema.field("churned").type == pa.string()


@pytest.mark.parametrize(
    ("training", "label", "says"),
    [
        (pa.array([0, 1]), "2", "row 2: 'churned' is '2', which is not a class of this version"),
        (pa.array(["no", "yes"]), "maybe", "row 2: 'churned' is 'maybe', which is not a class"),
        (pa.array([True, False]), "yes", "row 2: 'churned' is 'yes', which is not a class"),
        (pa.array([0.5, 1.5, 9.0]), "many", "row 2: 'churned' is 'many', which is not a number"),
        (pa.array([0.5, 1.5, 9.0]), "inf", "row 2: 'churned' is 'inf', which is not a number"),
    ],
)
def test_a_label_that_is_no_class_of_the_version_is_refused_with_its_row(
    platform: Platform, version: VersionId, tmp_path: Path, training: pa.Array, label: str, says: str
) -> None:
    given_training(platform, version, training)
    good = str(training[0].as_py())

    with pytest.raises(InvalidInput, match=says) as refused:
        platform.labels.push(version, csv(tmp_path, f"request_id,churned\na,{good}\nb,{label}\nc,{label}\n"))

    assert (refused.value.field, refused.value.got) == ("churned", label)
    assert platform.labels.files(version) == []


def test_labels_of_a_number_are_kept_as_numbers(platform: Platform, version: VersionId, tmp_path: Path) -> None:
    given_training(platform, version, pa.array([0.5, 1.5, 9.0]))

    platform.labels.push(version, csv(tmp_path, "request_id,churned\na,3\nb,1e3\nc,0.25\n"))

    assert kept(platform, version, 1)["churned"].to_pylist() == [3.0, 1000.0, 0.25]


def test_whole_numbers_are_request_ids_in_parquet_as_in_csv(
    platform: Platform, version: VersionId, tmp_path: Path
) -> None:
    pq.write_table(pa.table({"request_id": [12, 13], "churned": ["a", "b"]}), tmp_path / "labels.parquet")

    platform.labels.push(version, tmp_path / "labels.parquet")

    assert kept(platform, version, 1)["request_id"].to_pylist() == ["12", "13"]


def test_a_push_counts_labels_that_are_not_simply_those_of_one_row(
    platform: Platform, version: VersionId, tmp_path: Path
) -> None:
    """``a`` was answered twice; ``b`` has two rows, and a file without rows labels the first."""
    given_log(platform, version, [("a", 0, "ok"), ("a", 0, "ok"), ("b", 0, "ok"), ("b", 1, "ok")])

    without = platform.labels.push(version, csv(tmp_path, "request_id,churned\na,1\nb,1\n"))
    with_row = platform.labels.push(version, csv(tmp_path, "request_id,row,churned\nb,1,1\nb,1,0\n"))

    assert (without.logged, without.replaced, without.repeated, without.assumed) == (2, 0, 1, 1)
    assert (with_row.logged, with_row.replaced, with_row.repeated, with_row.assumed) == (1, 1, 0, 0)


def test_files_of_labels_are_listed_and_removed(version: VersionId, client: Client, tmp_path: Path) -> None:
    for text in ("request_id,churned\na,1\nb,1\n", "request_id,churned\na,0\n"):
        client.push_labels(version, csv(tmp_path, text))

    assert [(kept.number, kept.rows, kept.columns) for kept in client.label_files(version)] == [
        (1, 2, ["request_id", "row", "churned"]),
        (2, 1, ["request_id", "row", "churned"]),
    ]
    assert "removed file 1 of the labels of churn:1" in run(client.url, "labels", "remove", "churn:1", "1").stdout
    listed = run(client.url, "labels", "list", "churn:1", "--json")
    assert [one["number"] for one in json.loads(listed.stdout)] == [2]
    with pytest.raises(NotFound, match="has no file 1 of labels"):
        client.remove_labels(version, 1)


def test_a_file_of_labels_that_cannot_be_read_is_shown_and_can_be_removed(
    platform: Platform, version: VersionId
) -> None:
    platform.catalog.documents.objects.put(layout.label_file(version, 1), b"no parquet")

    assert [(kept.number, kept.rows) for kept in platform.labels.files(version)] == [(1, 0)]
    platform.labels.remove(version, 1)
    assert platform.labels.files(version) == []


def run(url: str, *arguments: str) -> Result:
    environment = {"HEADRACE_URL": "", "HEADRACE_HOME": "/nowhere"}
    return CliRunner().invoke(front, [*arguments, "--url", url], env=environment, catch_exceptions=False)


def test_the_command_says_what_was_kept_and_what_to_do_next(version: VersionId, client: Client, tmp_path: Path) -> None:
    file = str(csv(tmp_path, "request_id,churned\na,1\n"))

    said = run(client.url, "labels", "push", "churn", file)
    as_json = run(client.url, "labels", "push", "churn:1", file, "--json")
    refused = run(client.url, "labels", "push", "churn:1", str(csv(tmp_path, "request_id,churn\na,1\n")))

    assert said.stdout.splitlines() == [
        "1 labels for churn:1, 0 of them for answered rows of the log",
        "see: headrace analyze performance churn:1",
    ]
    assert json.loads(as_json.stdout)["number"] == 2
    assert refused.exit_code == 1
    assert "unknown columns 'churn'" in refused.stderr


def test_the_command_line_shows_what_two_reports_say_differently(
    platform: Platform, version: VersionId, client: Client
) -> None:
    objects = platform.catalog.documents.objects
    for name, severity in (("a", "none"), ("b", "severe")):
        document = json.dumps(least("performance", "churn:1", severity=severity))
        objects.create(layout.report(version, "performance", f"{name}.json"), document.encode())

    found = run(client.url, "report", "diff", "churn:1/performance/a", "churn:1/performance/b", "--json")
    same = run(client.url, "report", "diff", "churn:1/performance/a", "churn:1/performance/a")

    assert json.loads(found.stdout) == [{"name": "", "member": "severity", "before": "none", "after": "severe"}]
    assert "the reports say the same" in same.stderr


def test_a_performance_run_is_started_with_its_options(platform: Platform, version: VersionId, client: Client) -> None:
    (platform.home / "jobs").mkdir()  # nobody works on the queue

    job = client.start_job("performance", "churn", window="7d", output="y")

    assert (job.kind, job.arguments) == ("performance", {"window": "7d", "output": "y"})
    with pytest.raises(InvalidInput, match="only performance, fairness and attribution accept it"):
        client.start_job("drift", "churn", output="y")
