"""What is wrong with a value in a definition is said in our words, at its path, with what is allowed."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pydantic import BaseModel

from headrace_controller.definitions import check_document
from headrace_controller.definitions.reading import KINDS
from headrace_controller.definitions.validation_errors import shown
from headrace_functions.errors import InvalidInput

MODEL = {"kind": "Model", "name": "a", "payload": "p"}
STREAM = {
    "kind": "Stream",
    "name": "a",
    "model": "m",
    "brokers": "b:9092",
    "source": "s",
    "destination": "d",
    "errors": "e",
}
SEQUENCE = {"kind": "Sequence", "name": "a", "pipeline": [{"model": "m:1"}]}
WHOLE: Mapping[str, dict[str, Any]] = {
    "Model": {
        **MODEL,
        "contract": {
            "inputs": {"q": {"type": "float64", "shape": "scalar", "range": [0, 1], "categories": [1.5]}},
            "outputs": {"y": {"type": "int64"}},
        },
        "monitoring": {"metrics": [{"name": "m", "config": {"expression": "q > 0", "threshold": 1}}], "rules": []},
        "scaling": {"min-replicas": 0},
        "limits": {"queue": 5},
    },
    "Stream": {**STREAM, "scaling": {"min-replicas": 0}, "properties": {"a": "b"}},
    "Sequence": {"kind": "Sequence", "name": "a", "pipeline": [{"variants": [{"model": "m:1", "weight": 100}]}]},
    "DeploymentConfiguration": {
        "kind": "DeploymentConfiguration",
        "name": "a",
        "hpa": {"min-replicas": 1},
        "container": {"env": {"A": {"secret": "s", "key": "k"}}, "resources": {"limits": {"cpu": 1}}},
        "pod": {"node-selector": {"a": "b"}, "tolerations": [{"key": "a"}]},
    },
    "Grant": {"kind": "Grant", "name": "a", "subjects": ["user:a"], "role": "viewer", "names": ["*"]},
}
LIBRARY = re.compile(r"[Ii]nput should|valid dictionary|pydantic|instance of|validation|NoneType")
PYTHON_TYPE = re.compile(r"\b(str|int|float|bool|list\[\w+\]|Text)$")
ODD = (
    None,
    True,
    5,
    -1,
    1.5,
    1e300,
    "",
    "x",
    "9" * 500,
    [],
    ["x"],
    [[1]],
    [None],
    {},
    {"x": 1},
    {"x": None},
    [5] * 3000,
)


def refused(document: Mapping[str, Any]) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        check_document(document)
    return caught.value


@pytest.mark.parametrize(
    ("document", "message", "expected", "hint"),
    [
        (MODEL | {"payload": 5}, "payload: 5 is neither text nor a list", "text, or a list such as [first, second]", None),
        (MODEL | {"payload": ["a", 5]}, "payload.1: 5 is not text", None, 'write it in quotes: "5"'),
        (MODEL | {"requirements": [5]}, "requirements: [5] is not a requirement list", "the path of a requirements file, or a list such as [scikit-learn==1.5.2]", None),
        (MODEL | {"batch": "maybe"}, "batch: 'maybe' is not true or false", None, None),
        (MODEL | {"errors": "terce"}, "errors: 'terce' is not allowed", "'detailed' or 'terse'", "did you mean 'terse'?"),
        (MODEL | {"scaling": {"max-replicas": "many"}}, "scaling.max-replicas: 'many' is not a whole number", None, None),
        (MODEL | {"scaling": {"max-replicas": 500}}, "scaling.max-replicas: 500 is too large", "at most 100", None),
        (MODEL | {"limits": {"max-body": 5}}, "limits.max-body: 5 is too small", "at least 1024", None),
        (MODEL | {"scaling": 5}, "scaling: 5 is not a mapping", "a mapping with some of the keys min-replicas, max-replicas, idle-timeout, concurrency", None),
        (MODEL | {"metadata": ["a"]}, 'metadata: ["a"] is not a mapping', "a mapping, e.g. {key: value}", None),
        (MODEL | {"contract": {"inputs": {"q": {}}}}, "contract.inputs.q.type: it is required", None, None),
        (MODEL | {"contract": {"inputs": {"q": {"type": "int64", "shape": "vector"}}}}, "contract.inputs.q.shape: 'vector' is not a shape", "scalar, or the sizes of a row such as [28, 28]; -1 is any size", None),
        (MODEL | {"contract": {"inputs": {"q": {"type": "int64", "range": [1]}}}}, "contract.inputs.q.range: [1] is not a range", "a list of the smallest and the largest number", None),
        (MODEL | {"contract": {"inputs": {"q": {"type": "string", "categories": [[1]]}}}}, "contract.inputs.q.categories.0: [1] is not one value", "text, a number, true or false", None),
        (STREAM | {"brokers": []}, "brokers: it is empty", "at least 1 entry", None),
        (STREAM | {"batch": 10_000, "linger": "fast"}, "batch: 10000 is too large; also check linger", "at most 4096", None),
        ({"kind": "Stream", "name": "a", "model": "m", "brokers": "b"}, "source: it is required; also check destination, errors", None, None),
        (SEQUENCE | {"pipeline": ["x"]}, "pipeline.0: 'x' is not a stage", "a variant such as {model: churn:1}, or a list of variants", None),
        ({"kind": "DeploymentConfiguration", "name": "a", "container": {"env": {"A": ["x"]}}}, 'container.env.A: ["x"] is not the value of a variable', "text, or {secret: NAME, key: KEY}", None),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_its_path_and_what_is_allowed(
    document: Mapping[str, Any], message: str, expected: str | None, hint: str | None
) -> None:
    error = refused(document)
    assert (message, expected, hint) == (error.message, error.expected, error.hint)


def changed(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Each place of a document with everything that was put there: ``(path, document)``, one change at a time."""
    for odd in ODD:
        yield path, odd
    for key, held in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        for where, other in changed(held, (*path, key)):
            copy = dict(value) if isinstance(value, dict) else list(value)
            copy[key] = other
            yield where, copy


def refusals(kind: str) -> Iterator[tuple[tuple[str | int, ...], InvalidInput]]:
    """What is refused of all changes to the document of a kind."""
    for path, document in changed(all_keys(kind)):
        try:
            check_document(document)
        except InvalidInput as error:
            yield path, error


def all_keys(kind: str) -> dict[str, Any]:
    """The document of a kind with each key that it may have; those that it has not been given are empty."""
    model: type[BaseModel] = KINDS[kind]
    return {**{f.alias or name: None for name, f in model.model_fields.items()}, **WHOLE[kind]}


@pytest.mark.parametrize("kind", WHOLE)
def test_whatever_stands_anywhere_no_message_speaks_of_the_library_or_of_python_types(kind: str) -> None:
    check_document(WHOLE[kind])
    found = list(refusals(kind))
    assert len(found) > 100
    for path, error in found:
        said = f"{error.message} {error.expected} {error.got} {error.hint}"
        assert not LIBRARY.search(said), (path, said)
        assert not PYTHON_TYPE.search(error.field or ""), (path, error.field)
        assert len(said) < 1000, (path, said)


def test_a_key_without_a_value_counts_as_left_out() -> None:
    left_out = MODEL | {"scaling": None, "contract": {"inputs": None}, "training-data": None, "metadata": None}
    assert check_document(MODEL) == check_document(left_out)


def test_a_required_key_without_a_value_is_missing() -> None:
    assert refused(STREAM | {"source": None}).message == "source: it is required"


@pytest.mark.parametrize(
    ("value", "cited"),
    [
        (None, "null"),
        (True, "true"),
        ("it's", '"it\'s"'),
        ({"a": [1]}, '{"a": [1]}'),
        ("x" * 100, "'" + "x" * 58 + "…"),
        ({1, 2}, '"{1, 2}"'),
    ],
)
def test_a_value_is_cited_as_its_author_wrote_it_and_cut_when_it_is_long(value: Any, cited: str) -> None:
    assert cited == shown(value)
