"""Sequences: checked when they are made, kept as revisions, rolled back by a copy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace_controller.access import current
from headrace_controller.catalog.catalog import Catalog, ModelVersion
from headrace_controller.catalog.series import State
from headrace_controller.definitions import SequenceDefinition, StageDefinition, VariantDefinition
from headrace_controller.service.paging import Page, PageRequest, page
from headrace_controller.service.services import Services
from headrace_controller.service.versions import Versions
from headrace_functions.errors import Conflict, InvalidInput, NotFound
from headrace_functions.names import Reference
from headrace_functions.sequence import Sequence, Stage, Variant, check_satisfied, infer_signature

Found = tuple[VariantDefinition, ModelVersion]

_ABOUT = ("at", "rolled-back-to")  # members of a revision that are no part of the sequence


@dataclass(frozen=True, slots=True)
class Revision:
    """One state of a sequence; ``sequence`` is None where it was deleted."""

    name: str
    number: int
    at: str
    sequence: Sequence | None
    rolled_back_to: int | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    revision: Revision
    changed: bool
    """False where the current revision says the same already."""


class Sequences:
    def __init__(self, catalog: Catalog, versions: Versions, services: Services) -> None:
        self._catalog = catalog
        self._versions = versions
        self._services = services

    def select(self, text: str, request: PageRequest) -> Page[Revision]:
        found = page((n for n in self._catalog.sequences.names() if text in n and current.may("view", n)), request, str)
        return Page([self.get(name) for name in found.items], found.next)

    def get(self, name: str) -> Revision:
        return _revision(name, self._catalog.sequences.get(name))

    def find(self, name: str) -> Sequence | None:
        """The sequence of this name, if there is one now."""
        state = self._catalog.sequences.find(name)
        return None if state is None or state.deleted else Sequence.from_document(state.document)

    def history(self, name: str) -> list[Revision]:
        """All revisions, deletions too, the first one first."""
        return [_revision(name, state) for state in self._catalog.sequences.history(name)]

    def apply(self, definition: SequenceDefinition, *, since: int | None = None) -> Applied:
        """Make or change a sequence. Aliases and bare names become the versions that they mean now.

        Raises ``InvalidInput`` naming the stage or field: an unknown or not released version, or an input that nothing gives.
        ``Conflict`` where ``since`` is given and another revision is the current one by now.
        """
        sequence, deployments = self._checked(definition)
        document = {**sequence.to_document(), **deployments}
        self._catalog.claim_name(definition.name, "sequence")
        current = self._catalog.sequences.find(definition.name)
        if since is not None and (current is None or current.number != since):
            raise Conflict(
                f"{definition.name} is at {f'revision {current.number}' if current is not None else 'no revision'} now; you started from revision {since}",
                field="revision",
                hint="review what was changed, then save again to replace it with what is written here",
            )
        if current is not None and _content(current.document) == document:
            return Applied(_revision(definition.name, current), changed=False)
        return Applied(self._append(definition.name, document), changed=True)

    def check(self, definition: SequenceDefinition) -> Sequence:
        """The sequence that ``apply`` would keep; raises as it does, and changes nothing."""
        return self._checked(definition)[0]

    def _checked(self, definition: SequenceDefinition) -> tuple[Sequence, dict[str, Any]]:
        """The sequence with the versions that its names mean now, and the deployments of these."""
        resolved = [
            [(v, self._released(v, f"pipeline.{i}.{j}.model")) for j, v in enumerate(stage.variants)]
            for i, stage in enumerate(definition.pipeline)
        ]
        stages = tuple(_stage(stage, found) for stage, found in zip(definition.pipeline, resolved, strict=True))
        signatures = {m.id: m.version.signature for found in resolved for _, m in found if m.version is not None}
        inputs = tuple(d.to_field(name) for name, d in definition.inputs.items())
        signature = (
            check_satisfied(definition.name, stages, signatures, inputs)
            if inputs
            else infer_signature(definition.name, stages, signatures)
        )
        sequence = Sequence(definition.name, stages, signature, definition.timeout, definition.metadata)
        return sequence, self._deployments(resolved)

    def deployments_of(self, name: str) -> dict[str, str]:
        """Names of deployment configurations by version, in the current revision."""
        found: dict[str, str] = self._catalog.sequences.get(name).document.get("deployment-configurations", {})
        return found

    def rollback(self, name: str, to: int | None = None) -> Revision:
        """Make an earlier revision the current one, by a copy; the one before the current by default.

        Raises ``Conflict`` where a version of that revision was deleted since.
        """
        current = self._catalog.sequences.get(name)
        target = self._earlier(name, current, to)
        for version in Sequence.from_document(target.document).versions():
            if self._catalog.find(version) is None:
                raise Conflict(
                    f"revision {target.number} of {name} needs {version}, which was deleted",
                    field="to",
                    hint="choose another revision",
                )
        return self._append(name, {**_content(target.document), "rolled-back-to": target.number})

    def delete(self, name: str) -> None:
        """Delete a sequence; its revisions stay as history, and applying it again goes on from there."""
        self._catalog.sequences.delete(name)
        self._services.changed(name)

    def _append(self, name: str, document: dict[str, Any]) -> Revision:
        state = self._catalog.sequences.append(name, document)
        self._services.changed(name)
        return _revision(name, state)

    def _earlier(self, name: str, current: State, to: int | None) -> State:
        states = [s for s in self._catalog.sequences.history(name) if not s.deleted]
        if to is None:
            # Going back twice goes two steps back, not there and forth: a copy counts as what it copied.
            position = current.document.get("rolled-back-to", current.number)
            earlier = [s for s in states if s.number < position and "rolled-back-to" not in s.document]
        else:
            earlier = [s for s in states if s.number == to]
        if not earlier:
            listed = ", ".join(str(s.number) for s in states)
            raise NotFound(
                f"{name} has no {'earlier revision' if to is None else f'revision {to}'}",
                field="to",
                expected=f"one of {listed}",
            )
        return earlier[-1]

    def _released(self, variant: VariantDefinition, field: str) -> ModelVersion:
        try:
            found = self._versions.resolve(Reference.parse(variant.model), field=field)
        except NotFound as error:
            raise InvalidInput(
                f"{field}: {error.message}",
                field=field,
                expected="a released version",
                got=variant.model,
                hint=error.hint,
            ) from error
        if not found.released:
            raise InvalidInput(
                f"{field}: {found.id} is {found.state}",
                field=field,
                expected="a released version",
                hint=found.status.reason or None,
            )
        return found

    def _deployments(self, resolved: list[list[Found]]) -> dict[str, Any]:
        """Deployment configurations by version, kept with the revision for the cluster backend."""
        chosen = {
            str(m.id): v.deployment_configuration for found in resolved for v, m in found if v.deployment_configuration
        }
        for name in chosen.values():
            self._catalog.deployments.get(name)
        return {"deployment-configurations": chosen} if chosen else {}


def _stage(stage: StageDefinition, found: list[Found]) -> Stage:
    variants = tuple(Variant(m.id, stage.weight_of(v)) for v, m in found if not v.shadow)
    return Stage(variants, tuple(m.id for v, m in found if v.shadow))


def _content(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in _ABOUT}


def _revision(name: str, state: State) -> Revision:
    sequence = None if state.deleted else Sequence.from_document(state.document)
    return Revision(name, state.number, state.document["at"], sequence, state.document.get("rolled-back-to"))
