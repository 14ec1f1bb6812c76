"""What is wrong with a definition by itself is told before a version number is used up."""

from pathlib import Path

import pytest

from headrace_controller.definitions import ModelDefinition
from headrace_controller.service import precheck
from headrace_controller.service.assembly import Given
from headrace_functions.errors import InvalidInput

FIELD = {"a": {"type": "double", "shape": "scalar", "profile": "numerical"}}


def check(folder: Path, **more: object) -> None:
    (folder / "train.csv").write_text("a,y\n1,0\n")
    given = Given(folder, folder / "p", "d", training=folder / "train.csv")
    precheck.check(ModelDefinition.model_validate({"name": "m", "payload": ["f"], **more}), given)


def test_an_unknown_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="has no column 'label'"):
        check(tmp_path, target="label")


def test_a_column_that_no_field_can_be_is_told_before_a_version_number_is_used_up(tmp_path: Path) -> None:
    (tmp_path / "reference.csv").write_text(",a,y\n0,1,0\n")
    given = Given(tmp_path, tmp_path / "p", "d", reference=tmp_path / "reference.csv")
    definition = ModelDefinition.model_validate({"name": "m", "payload": ["f"], "target": "y"})
    with pytest.raises(InvalidInput, match="reference-data: column 1 of 3 has no name"):
        precheck.check(definition, given)


def test_what_fits_passes(tmp_path: Path) -> None:
    check(tmp_path, framework="sklearn", target="y")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "the definition has no target"),
        ({"target": "label"}, "reference.csv has no column 'label'"),
        (
            {"target": "y", "external": True, "contract": {"inputs": FIELD, "outputs": FIELD}},
            "cannot predict these rows",
        ),
    ],
)
def test_reference_data_without_labels_or_without_a_model_to_ask_is_refused(
    tmp_path: Path, more: dict[str, object], said: str
) -> None:
    (tmp_path / "reference.csv").write_text("a,y\n1,0\n")
    given = Given(tmp_path, tmp_path / "p", "d", reference=tmp_path / "reference.csv")
    payload = {} if "external" in more else {"payload": ["f"]}
    definition = ModelDefinition.model_validate({"name": "m", **payload, **more})
    with pytest.raises(InvalidInput, match=said):
        precheck.check(definition, given)
