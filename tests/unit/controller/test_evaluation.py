"""Figures are what scikit-learn's functions of their names say, and requirements hold where their words say so."""

import contextlib
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sklearn import metrics

from controller_support import make_platform, release, wait_until
from headrace_controller.api.application import create_app
from headrace_controller.api.schemas import EvaluationView
from headrace_controller.cli import connection, evaluate
from headrace_controller.cli.entrypoint import front
from headrace_controller.evaluation import labelled as labelled_files
from headrace_controller.evaluation.asking import Answers, answers
from headrace_controller.evaluation.figures import of_classes, of_numbers
from headrace_controller.evaluation.requirements import Requirement, judge
from headrace_controller.evaluation.scoring import figures_of
from headrace_controller.pages import blueprint
from headrace_controller.requestlog.model_requests import Reply
from headrace_controller.service.evaluations import MOST_OPEN, EvaluationRequest
from headrace_controller.service.platform import Platform
from headrace_functions.errors import InvalidInput, NotFound, Overloaded, TooLarge
from headrace_functions.logtable import output_column
from headrace_functions.names import VersionId
from headrace_functions.signature import Field, Signature, dtype
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from support.versions import version

PLACES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60)


@pytest.mark.filterwarnings("ignore")
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PLACES)
def test_figures_of_three_classes_are_scikit_learn_s_macro_means(pairs: list[tuple[int, int]]) -> None:
    known, answered = [a for a, _ in pairs], [b for _, b in pairs]
    found = of_classes(known, answered, 3)
    assert metrics.accuracy_score(known, answered) == pytest.approx(found["accuracy"])
    assert metrics.balanced_accuracy_score(known, answered) == pytest.approx(found["balanced_accuracy"])
    for name in ("precision", "recall", "f1"):
        wanted = getattr(metrics, f"{name}_score")(known, answered, average="macro", zero_division=0)
        assert wanted == pytest.approx(found[name]), name


@pytest.mark.filterwarnings("ignore")
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 5)), min_size=2, max_size=60))
def test_figures_of_two_classes_are_of_the_second_one(rows: list[tuple[int, int, int]]) -> None:
    known, answered, scores = ([r[i] for r in rows] for i in range(3))
    found = of_classes(known, answered, 2, [s / 5 for s in scores])
    for name in ("precision", "recall", "f1"):
        wanted = getattr(metrics, f"{name}_score")(known, answered, zero_division=0)
        assert wanted == pytest.approx(found[name]), name
    if len(set(known)) == 2:
        assert metrics.roc_auc_score(known, scores) == pytest.approx(found["roc_auc"])
    else:
        assert "roc_auc" not in found


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=2, max_size=60))
@example([(0.0, 0.0), (1.6947071061325844e-157, 1.0)])
def test_figures_of_numbers_are_scikit_learn_s(pairs: list[tuple[float, float]]) -> None:
    known, answered = [a for a, _ in pairs], [b for _, b in pairs]
    found = of_numbers(known, answered)
    assert metrics.mean_absolute_error(known, answered) == pytest.approx(found["mae"])
    assert metrics.root_mean_squared_error(known, answered) == pytest.approx(found["rmse"])
    if np.std(known) > 1e-3:
        assert metrics.r2_score(known, answered) == pytest.approx(found["r2"])


@pytest.mark.parametrize(
    ("text", "value", "baseline", "held"),
    [
        ("accuracy>=0.9", 0.9, None, True),
        ("accuracy>=0.9", 0.8999, None, False),
        ("accuracy > 0.9", 0.9, None, False),
        ("mae<=3", 3.0, None, True),
        ("mae<3", 3.0, None, False),
        ("r2>=-1.5e-1", -0.1, None, True),
        ("f1>=baseline", 0.8, 0.8, True),
        ("f1>=baseline-0.01", 0.79, 0.8, True),
        ("f1 >= baseline - 0.01", 0.78, 0.8, False),
        ("mae<=baseline*1.05", 1.06, 1.0, False),
        ("mae<=baseline+0.1", 1.1, 1.0, True),
    ],
)
def test_a_requirement_holds_where_its_words_say_so(
    text: str, value: float, baseline: float | None, held: bool
) -> None:
    requirement = Requirement.parse(text)
    before = None if baseline is None else {requirement.figure: baseline}
    assert held is judge(requirement, {requirement.figure: value}, before).held


@pytest.mark.parametrize(
    "text", ["", "accuracy", "accuracy=0.9", "acc>=0.9", "accuracy>=high", "accuracy>=baseline/2", "accuracy>=0.9;"]
)
def test_what_is_no_requirement_is_refused_with_the_text(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Requirement.parse(text)
    assert ("require", True) == (refused.value.field, bool(refused.value.expected))


A = VersionId("a", 1)
ROWS = "x,y\n1,2\n2,3\n3,5\n"


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """``a:1`` gives the number ``y``; it is asked as a test says."""
    made = make_platform(tmp_path / "home")
    release(made.catalog, "a")
    made.evaluations.sleep = lambda _seconds: None
    return made


def labelled(folder: Path, text: str = ROWS) -> Path:
    file = folder / "labelled.csv"
    file.write_text(text)
    return file


def plus_one(_version: VersionId, body: bytes) -> Reply:
    data = orjson.loads(body)["inputs"][0]["data"]
    answer = {"name": "y", "datatype": "FP64", "shape": [len(data)], "data": [x + 1 for x in data]}
    return Reply(200, orjson.dumps({"model_name": "a", "outputs": [answer]}))


def request(*texts: str, **more: str) -> EvaluationRequest:
    return EvaluationRequest(A, [Requirement.parse(t) for t in texts], target="y", **more)


def test_an_evaluation_is_kept_and_another_controller_knows_it(platform: Platform, tmp_path: Path) -> None:
    platform.evaluations.ask = plus_one
    started = platform.evaluations.start(request("mae<=0.5"), labelled(tmp_path))
    wait_until(lambda: platform.evaluations.get(A, started.id).state == "done")
    kept = make_platform(platform.home).evaluations.get(A, started.id)
    assert (True, 3, pytest.approx(1 / 3)) == (kept.passed, kept.asked, kept.figures["mae"])


def test_the_words_of_missing_values_in_the_labelled_file_are_those_of_the_version(
    platform: Platform, tmp_path: Path
) -> None:
    asked: list[Any] = []
    platform.evaluations.ask = lambda v, b: asked.extend(orjson.loads(b)["inputs"][0]["data"]) or Reply(500, b"")
    unknown = release(platform.catalog, "b", definition={"missing-values": ["-"]})
    file = labelled(tmp_path, "x,y\n1,2\n-,3\n")
    started = platform.evaluations.start(EvaluationRequest(unknown, [], target="y"), file)
    wait_until(lambda: platform.evaluations.get(unknown, started.id).state != "running")
    assert [1.0, None] == asked[:2]
    with pytest.raises(InvalidInput, match="row 2, column 'x': '-' is not a number"):
        platform.evaluations.start(request(), file)


def test_an_evaluation_that_a_restart_cut_short_says_so(platform: Platform, tmp_path: Path) -> None:
    waiting = threading.Event()
    platform.evaluations.ask = lambda v, b: plus_one(v, b) if waiting.wait(20) else Reply(500, b"")
    started = platform.evaluations.start(request(), labelled(tmp_path))
    assert "interrupted" == make_platform(platform.home).evaluations.get(A, started.id).state
    waiting.set()
    wait_until(lambda: platform.evaluations.get(A, started.id).state == "done")


def test_no_more_than_eight_are_open_at_once(platform: Platform, tmp_path: Path) -> None:
    waiting = threading.Event()
    platform.evaluations.ask = lambda v, b: plus_one(v, b) if waiting.wait(20) else Reply(500, b"")
    ids = [platform.evaluations.start(request(), labelled(tmp_path)).id for _ in range(MOST_OPEN)]
    with pytest.raises(Overloaded):
        platform.evaluations.start(request(), labelled(tmp_path))
    waiting.set()
    wait_until(lambda: {"done"} == {platform.evaluations.get(A, i).state for i in ids})


def test_a_version_that_never_answers_fails_the_evaluation_with_its_words(platform: Platform, tmp_path: Path) -> None:
    platform.evaluations.ask = lambda _v, _b: Reply(503, b'{"detail": "the model does not load"}')
    started = platform.evaluations.start(request("mae<=1"), labelled(tmp_path))
    wait_until(lambda: platform.evaluations.get(A, started.id).state == "failed")
    found = platform.evaluations.get(A, started.id)
    assert (None, "a:1 does not answer: 503: the model does not load") == (found.passed, found.reason)


@pytest.mark.parametrize(
    ("text", "asked", "error", "field"),
    [
        ("x,y\n1,\n", request(), InvalidInput, "y"),
        ("x,z\n1,2\n", request(), InvalidInput, "y"),
        ("x,y\n", request(), InvalidInput, "data"),
        ("x,y\n" + "1,2\n" * 100_001, request(), TooLarge, "data"),
        (ROWS, request(baseline="b:1"), InvalidInput, "baseline"),
        (ROWS, request(baseline="a"), InvalidInput, "baseline"),
        (ROWS, request("mae<=baseline"), InvalidInput, "baseline"),
        (ROWS, EvaluationRequest(A), InvalidInput, "target"),
        (ROWS, EvaluationRequest(A, target="x"), InvalidInput, "target"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_naming_the_field(
    platform: Platform, tmp_path: Path, text: str, asked: EvaluationRequest, error: type[InvalidInput], field: str
) -> None:
    with pytest.raises(error) as refused:
        platform.evaluations.start(asked, labelled(tmp_path, text))
    assert field == refused.value.field


def test_an_unknown_evaluation_is_not_found(platform: Platform) -> None:
    for name in ("nothing", "../../secret"):
        with pytest.raises(NotFound):
            platform.evaluations.get(A, name)


def test_the_page_of_a_version_shows_what_it_was_held_against(platform: Platform, tmp_path: Path) -> None:
    client = create_app(platform, blueprint(platform)).test_client()
    assert "headrace evaluate a:1" in client.get("/models/a?tab=reports").text
    platform.evaluations.ask = plus_one
    ids = [platform.evaluations.start(request(text), labelled(tmp_path)).id for text in ("mae<=0.5", "mae<=0.1")]
    wait_until(lambda: {"done"} == {platform.evaluations.get(A, i).state for i in ids})
    text = client.get("/models/a?tab=reports").text
    for said in ("labelled.csv", "mae 0.3333", "mae&lt;=0.1: it is 0.333333"):
        assert said in text, said
    twin = client.get("/models/a.json?tab=reports").json
    assert twin is not None
    assert [(ids[1], False), (ids[0], True)] == [(e["id"], e["passed"]) for e in twin["evaluations"]]
    assert "labelled.csv" in client.get("/models/a?tab=reports&parts=evaluations").json["evaluations"]


def vector_version(**more: Any) -> Version:
    """One vector of three in; probabilities of two classes and a label out."""
    probabilities = Field("p", dtype("float64"), (2,), columns=("no", "yes"))
    inputs = (Field("x", dtype("float64"), (3,)),)
    return version("vectors", inputs=inputs, outputs=(probabilities,), target=("label",), **more)


def by_first_element(_version: VersionId, body: bytes) -> Reply:
    """``yes`` with the probability that the vector begins with; one that begins with a negative number is refused."""
    (x,) = orjson.loads(body)["inputs"]
    rows = np.array(x["data"]).reshape(x["shape"])
    if (rows[:, 0] < 0).any():
        return Reply(422, b'{"detail": "negative", "field": "x"}')
    data = np.stack([1 - rows[:, 0], rows[:, 0]], axis=1)
    answer = {"name": "p", "datatype": "FP64", "shape": list(data.shape), "data": data.ravel().tolist()}
    return Reply(200, orjson.dumps({"model_name": "vectors", "outputs": [answer]}))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_columns_are_the_elements_of_a_vector_and_probabilities_give_class_and_area(
    tmp_path: Path, suffix: str
) -> None:
    it, file = vector_version(), tmp_path / f"labelled{suffix}"
    rows = pa.table({"a": [0.9, 0.4, 0.2, 0.6], "b": [1, 2, 3, 4], "c": [0.0] * 4, "label": ["yes", "yes", "no", "no"]})
    pq.write_table(rows, file) if suffix == ".parquet" else pacsv.write_csv(rows, file)
    data = labelled_files.read(file, it, "label", ObjectStore(str(tmp_path / "store")))
    assert (["x"], ("no", "yes")) == (data.rows.column_names, data.classes)
    found = figures_of(it, data, answers(by_first_element, it, data.rows, lambda _s: None, lambda _a: None))
    assert {"answered": 1.0, "accuracy": 0.5, "roc_auc": 0.75}.items() <= found.items()


def test_one_row_that_is_refused_is_found_alone_and_the_others_count(tmp_path: Path) -> None:
    it, file = vector_version(), tmp_path / "labelled.csv"
    file.write_text("a,b,c,label\n" + "0.9,0,0,yes\n" * 40 + "-1,0,0,no\n" + "0.1,0,0,no\n" * 40)
    data = labelled_files.read(file, it, "label", ObjectStore(str(tmp_path / "store")))
    told = answers(by_first_element, it, data.rows, lambda _s: None, lambda _a: None)
    assert [{"row": 41, "field": "x", "reason": "422: negative"}] == told.first_refused
    assert {"answered": 80 / 81, "accuracy": 1.0}.items() <= figures_of(it, data, told).items()


def test_what_was_refused_is_told_without_values_where_a_field_is_sensitive(tmp_path: Path) -> None:
    inputs = (Field("x", dtype("float64"), (3,), sensitive="hash"),)
    it = replace(vector_version(), signature=Signature(inputs, vector_version().signature.outputs))
    refusing = lambda _v, _b: Reply(422, b'{"title": "does not fit", "detail": "x is 4711"}')  # noqa: E731
    told = answers(refusing, it, pa.table({"x": [[1.0, 2.0, 3.0]]}), lambda _s: None, lambda _a: None)
    assert "422: does not fit" == told.first_refused[0]["reason"]


@pytest.mark.parametrize(
    ("text", "field"),
    [("a,b,label\n1,2,no\n", "x"), ("a,b,c,label\n1,2,3,maybe\n", "label"), ("a,b,c,d\n1,2,3,no\n", "label")],
)
def test_a_file_that_does_not_fit_the_version_is_refused_naming_the_column(
    tmp_path: Path, text: str, field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        labelled_files.read(labelled(tmp_path, text), vector_version(), "label", ObjectStore(str(tmp_path / "store")))
    assert field == refused.value.field


WORD = Field("word", dtype("string"), (), "categorical")
AMOUNT = Field("amount", dtype("float64"), (), "numerical")
OTHER = Field("other", dtype("float64"), (), "numerical")


def figures(outputs: tuple[Field, ...], target: str, labels: list[Any], classes: tuple[str, ...] = ()) -> set[str]:
    """The names of figures of two rows, each output of which says 1 or a word."""
    it = version("several", outputs=outputs, target=(target,))
    data = labelled_files.Labelled("f.csv", pa.table({"x": [1.0, 2.0]}), labels, classes, target)
    row = {output_column(f): 1.0 if f.dtype.is_number else "a" for f in outputs}
    return set(figures_of(it, data, Answers([row, row])))


def test_the_output_with_the_target_s_name_is_the_prediction_where_it_is_of_the_labels_kind() -> None:
    assert "mae" in figures((WORD, AMOUNT), "amount", [1.0, 2.0]), "a number of numbers, before a class"
    assert "mae" in figures((WORD, AMOUNT), "amount", ["1", "2"]), "nothing says of what kind these labels are"
    assert "accuracy" in figures((AMOUNT, WORD), "word", ["a", "b"], ("a", "b"))
    assert "accuracy" in figures((WORD, AMOUNT), "amount", ["a", "b"], ("a", "b")), "a number is no class: as usual"
    assert "accuracy" in figures((WORD, AMOUNT), "amount", ["0", "1"], ("0", "1")), "a score of classes: as usual"
    assert "accuracy" in figures((WORD, AMOUNT), "label", ["a", "b"]), "no output has the name: as usual"


def test_the_number_with_the_target_s_name_is_taken_and_not_the_first_number() -> None:
    it = version("several", outputs=(OTHER, AMOUNT), target=("amount",))
    data = labelled_files.Labelled("f.csv", pa.table({"x": [1.0]}), [5.0], (), "amount")
    row = {output_column(OTHER): 100.0, output_column(AMOUNT): 4.0}
    assert 1.0 == figures_of(it, data, Answers([row]))["mae"]


def test_the_target_is_kept_with_the_labels(tmp_path: Path) -> None:
    data = labelled_files.read(
        labelled(tmp_path, "a,b,c,label\n1,2,3,no\n"), vector_version(), "label", ObjectStore(str(tmp_path / "store"))
    )
    assert "label" == data.target


def shown(state: str, asked: int) -> EvaluationView:
    names = {"baseline": None, "file": "f.csv", "reason": "", "passed": None, "at": "2026-01-01T00:00:00.000Z"}
    empty: dict[str, Any] = {"figures": {}, "baseline_figures": {}, "first_refused": [], "requirements": []}
    return EvaluationView(id="e", version="a:1", state=state, rows=300, asked=asked, refused=0, **names, **empty)


@pytest.mark.parametrize("asked", [[0], [0, 150, 300]])
def test_progress_ends_with_all_rows_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], asked: list[int]
) -> None:
    """Also where the last rows were told while the baseline was still asked."""
    monkeypatch.setattr(evaluate, "POLL", 0)
    states = iter([*(shown("running", n) for n in asked), shown("done", 300)])

    class Client:
        def start_evaluation(self, *_: Any, **__: Any) -> EvaluationView:
            return next(states)

        def evaluation(self, *_: Any) -> EvaluationView:
            return next(states)

    evaluate.evaluated(Client(), A, Path("f.csv"), [])  # type: ignore[arg-type]
    wanted = [f"a:1: asked {n} of 300 rows" for n in dict.fromkeys([*asked, 300])]
    assert wanted == capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("text", "target", "more", "said"),
    [
        ("x,y\n1,2\n", "", {}, "has no target"),
        ("x,y\n1,2\n", "", {"target": ["y", "z"]}, "has the targets y, z"),
        ("x,z\n1,2\n", "", {"target": ["y"]}, "labelled.csv has no column 'y', the label column"),
        ("x,z\n1,2\n", "y", {}, "labelled.csv has no column 'y', the label column"),
    ],
)
def test_a_target_that_is_missing_is_told_before_anything_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, target: str, more: dict[str, Any], said: str
) -> None:
    number = {"shape": "scalar", "type": "double"}
    contract = {"inputs": {"x": number}, "outputs": {"p": number}}
    (tmp_path / "function.py").write_text("def predict(model, x):\n    return {'p': x}\n")
    definition = {"kind": "Model", "name": "m", "framework": "python", "payload": ["function.py"], "contract": contract}
    (tmp_path / "headrace.yaml").write_bytes(orjson.dumps({**definition, **more}))
    monkeypatch.setattr(connection, "open_client", lambda *_: contextlib.nullcontext())  # whoever asks it fails
    command = ["deliver", "-f", str(tmp_path), "--check", str(labelled(tmp_path, text)), "--require", "mae<=1"]
    done = CliRunner().invoke(front, [*command, *(["--target", target] if target else [])])
    assert (1, True) == (done.exit_code, said in done.output), done.output
