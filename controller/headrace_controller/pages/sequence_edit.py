"""The form that changes a sequence: stages as rows of version, role and weight, checked before they are kept.

It works without a script: *Check* draws the same form with what the change would mean, *Insert a stage* with one more stage. An empty row is none,
so there is always one to fill in. What the form does not show (metadata, deployment configurations, declared inputs) stays as it is.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import flask

from headrace_controller.access import current
from headrace_controller.api.permissions import Arguments
from headrace_controller.definitions import SequenceDefinition, check_document
from headrace_controller.definitions.sequence import MAX_STAGES, MAX_VARIANTS
from headrace_controller.service.platform import Platform
from headrace_functions.errors import HeadraceError, InvalidInput
from headrace_functions.names import Reference
from headrace_functions.sequence import Sequence
from headrace_functions.signature import Field, Signature

MAX_SUGGESTED = 500
"""Versions that the form suggests."""

_PLACE = re.compile(r"^pipeline\.(\d+)(?:\.(?:variants\.)?(\d+))?(?:\.[\w-]+)*: ")

Json = dict[str, Any]
Form = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One version of a stage as it is written in the form."""

    model: str = ""
    role: str = "variant"
    weight: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """What the form says. ``revision`` is the one that it began with."""

    revision: int
    timeout: str
    stages: tuple[tuple[Row, ...], ...]


def of_sequence(platform: Platform, name: str) -> Draft:
    """The form for a sequence as it is."""
    found = platform.sequences.get(name)
    assert found.sequence is not None
    stages = tuple(
        (
            *(Row(str(v.version), "variant", str(v.weight)) for v in stage.variants),
            *(Row(str(s), "shadow", "") for s in stage.shadows),
        )
        for stage in found.sequence.stages
    )
    return Draft(found.number, f"{found.sequence.timeout:g}", stages)


def of_form(form: Form) -> Draft:
    """What was posted, its empty rows and stages left out; ``InvalidInput`` for what no such form says."""
    revision, count = (_number(form, name) for name in ("revision", "stages"))
    if count > MAX_STAGES + 1:
        raise InvalidInput(
            "the form has too many stages", field="stages", expected=f"at most {MAX_STAGES}", got=str(count)
        )
    stages = (tuple(_rows(form, stage)) for stage in range(count))
    return Draft(revision, form.get("timeout", "").strip(), tuple(s for s in stages if s))


def _rows(form: Form, stage: int) -> Iterator[Row]:
    for place in range(MAX_VARIANTS + 1):
        model = form.get(f"model-{stage}-{place}", "").strip()
        if model:
            role, weight = (form.get(f"{part}-{stage}-{place}", "").strip() for part in ("role", "weight"))
            yield Row(model, role or "variant", weight if role != "shadow" else "")


def _number(form: Form, name: str) -> int:
    text = form.get(name, "")
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidInput(f"{name}: {text!r} is not a number", field=name, expected="0, 1, 2 …", got=repr(text)[:40])
    return int(text)


def with_stage(draft: Draft, before: int) -> Draft:
    """The form with an empty stage before the stage of this place."""
    return replace(draft, stages=(*draft.stages[:before], (), *draft.stages[before:]))


def posted_models(_platform: Platform, _arguments: Arguments) -> list[str]:
    """The models of a posted form, whose caller must be allowed to call each; none of a form that cannot be read, which its view refuses."""
    try:
        draft = of_form(flask.request.form)
    except InvalidInput:
        return []
    found = []
    for row in (row for stage in draft.stages for row in stage):
        try:
            found.append(Reference.parse(row.model).name)
        except InvalidInput:
            continue  # the check names the place
    return found


def definition(platform: Platform, name: str, draft: Draft) -> SequenceDefinition:
    """The definition that the draft makes of the sequence; ``InvalidInput`` naming the field."""
    now, deployments = platform.sequences.get(name).sequence, platform.sequences.deployments_of(name)
    assert now is not None
    if not draft.stages:
        raise InvalidInput(
            "the sequence has no stages", field="stages", expected="at least one version, as MODEL:NUMBER"
        )
    pipeline = [
        {"variants": [_variant(row, deployments, f"Stage {s}, version {v}") for v, row in enumerate(stage, 1)]}
        for s, stage in enumerate(draft.stages, 1)
    ]
    document: Json = {"kind": "Sequence", "name": name, "pipeline": pipeline, "metadata": dict(now.metadata or {})}
    if draft.timeout:
        document["timeout"] = f"{draft.timeout}s" if draft.timeout.replace(".", "", 1).isdigit() else draft.timeout
    found = check_document(document)
    assert isinstance(found, SequenceDefinition)
    return found


def _variant(row: Row, deployments: Mapping[str, str], place: str) -> Json:
    variant: Json = {"model": row.model}
    if row.role == "shadow":
        variant["shadow"] = True
    elif row.weight:
        if not row.weight.isascii() or not row.weight.isdigit() or int(row.weight[:9]) > 100:
            raise InvalidInput(
                f"{place}: the weight {row.weight[:20]!r} is not a whole number up to 100",
                field="weight",
                expected="0 to 100",
            )
        variant["weight"] = int(row.weight)
    if row.model in deployments:
        variant["deployment-configuration"] = deployments[row.model]
    return variant


def content(
    platform: Platform, name: str, draft: Draft, *, check: bool = False, problem: HeadraceError | None = None
) -> Json:
    """What the page shows of a draft; with ``check`` also what it would mean, or why it cannot be."""
    now = platform.sequences.get(name).sequence
    assert now is not None
    meaning: Json | None = None
    if check and problem is None:
        try:
            meaning = _meaning(platform, now, platform.sequences.check(definition(platform, name, draft)))
        except HeadraceError as error:
            problem = error
    return {
        "name": name,
        "draft": draft,
        "stages": [(*stage, Row()) for stage in draft.stages],
        "suggested": _suggested(platform),
        "meaning": meaning,
        "problem": None
        if problem is None
        else {"message": _in_the_form(problem.message), "hint": problem.hint, **problem.details()},
    }


def _in_the_form(message: str) -> str:
    """A message that names a place of the definition, by the place of the form that it was written in."""
    return _PLACE.sub(
        lambda found: f"Stage {int(found[1]) + 1}" + (f", version {int(found[2]) + 1}" if found[2] else "") + ": ",
        message,
    )


def _meaning(platform: Platform, now: Sequence, then: Sequence) -> Json:
    flow = []
    for number, stage in enumerate(then.stages, 1):
        first = platform.catalog.get(stage.variants[0].version).version
        assert first is not None
        flow.append(
            {"number": number, "takes": _names(first.signature.inputs), "gives": _names(first.signature.outputs)}
        )
    return {
        "flow": flow,
        "inputs": _names(then.signature.inputs),
        "outputs": _names(then.signature.outputs),
        "changes": _changes(now.signature, then.signature),
    }


def _names(fields: tuple[Field, ...]) -> list[str]:
    return [f"{f.name}: {f.dtype.name}{list(f.shape) if f.shape else ''}" for f in fields]


def _changes(now: Signature, then: Signature) -> list[str]:
    """What callers would notice."""
    lines = []
    for side, before, after, gone, new in (
        (
            "input",
            now.inputs,
            then.inputs,
            "Callers no longer send the input {}",
            "Callers must also send the input {}",
        ),
        (
            "output",
            now.outputs,
            then.outputs,
            "Answers no longer have the output {}",
            "Answers also have the output {}",
        ),
    ):
        old, fresh = ({f.name: _names((f,))[0] for f in fields} for fields in (before, after))
        lines += [gone.format(name) for name in sorted(old.keys() - fresh.keys())]
        lines += [new.format(fresh[name]) for name in sorted(fresh.keys() - old.keys())]
        lines += [
            f"{side.capitalize()} {old[n]} becomes {fresh[n]}"
            for n in sorted(old.keys() & fresh.keys())
            if old[n] != fresh[n]
        ]
    return lines


def _suggested(platform: Platform) -> list[str]:
    """Released versions that the caller may put into a sequence, the newest of each model first."""
    found: list[str] = []
    for model in platform.catalog.models():
        if not current.may("call", model):
            continue
        found += [str(v.id) for v in reversed(list(platform.catalog.versions(model))) if v.released]
        if len(found) >= MAX_SUGGESTED:
            break
    return found[:MAX_SUGGESTED]
