"""The steps of one build, in order: artifact, environment, training data, probe, profile, reference answers, description.

Each step either leaves its whole result or raises; nothing refers to the version until ``assemble`` returns.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from headrace_controller import archive, clock
from headrace_controller.building import signatures
from headrace_controller.building.room import BuildRoom, Ground, Needs, Question
from headrace_controller.child_processes import Log
from headrace_controller.definitions import ModelDefinition
from headrace_controller.environments import requirements
from headrace_controller.service import hydrosphere
from headrace_controller.service.metrics import check_metric_formula
from headrace_controller.service.reference_data import keep_reference_data
from headrace_controller.training import inference, source, tables
from headrace_controller.training.data import Kept, TrainingData, open_training
from headrace_controller.training.tables import Columns
from headrace_functions import quality_rules
from headrace_functions.errors import InvalidInput, Malformed
from headrace_functions.names import VersionId
from headrace_functions.protection import protect
from headrace_functions.runtime import RUNTIME_REQUIREMENTS, frameworks
from headrace_functions.runtime.frameworks import needs, safety
from headrace_functions.runtime.inspecting.inspection import framework_of
from headrace_functions.signature import Field, Signature
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.version import CONTAINER, EXTERNAL, Version

MAX_UPLOAD = archive.MAX_ARCHIVE + source.MAX_BYTES + 16 * 1024 * 1024
"""Bytes of a submission: payload, training data, and what goes with them."""
ADDED = ("git.", "source.")
"""Prefixes of the metadata that ``headrace apply`` adds; it is no part of the content."""


@dataclass(frozen=True, slots=True)
class Given:
    """The files of a submission, all in ``folder``."""

    folder: Path
    payload: Path
    payload_digest: str
    training: Path | None = None
    sample: Path | None = None
    digests: Mapping[Path, str] = field(default_factory=dict)
    """SHA-256 of files, where it was taken as they came."""
    reference: Path | None = None
    own: bool = False
    """Whether the platform made it itself, so that nobody else could have signed it."""

    def digest(self, file: Path) -> str:
        return self.digests.get(file) or archive.digest(file)


def content_digest(definition: ModelDefinition, given: Given) -> str:
    """SHA-256 over everything the user gave but the names of files and what Git knows about them."""
    document = definition.to_document()
    for key in ("payload", "training-data", "sample", "reference-data"):
        document.pop(key, None)
    document["metadata"] = {k: v for k, v in definition.metadata.items() if not k.startswith(ADDED)}
    digests = [given.payload_digest, *(given.digest(f) if f else "" for f in (given.training, given.sample))]
    if given.reference is not None:
        digests.append(given.digest(given.reference))
    return hashlib.sha256(orjson.dumps([document, digests], option=orjson.OPT_SORT_KEYS)).hexdigest()


class Assembly:
    def __init__(
        self,
        documents: Documents,
        room: BuildRoom,
        hash_key: Callable[[], str] = lambda: "",
        trusted_keys: Sequence[Path] = (),
    ) -> None:
        """``hash_key`` gives the key by which sensitive fields are hashed, hexadecimal; empty drops them.

        Where there are ``trusted_keys``, payloads must be signed by one of them.
        """
        self._hash_key = hash_key
        self._trusted_keys = trusted_keys
        self._documents = documents
        self._room = room

    def assemble(self, version: VersionId, definition: ModelDefinition, given: Given, log: Log) -> Version:
        """Everything that ``version.json`` says, its files in the store. Raises a ``HeadraceError`` that says what to correct."""
        for note in definition.notes():
            log(note)
        content = content_digest(definition, given)
        if definition.external is not None and definition.external.url is None:
            return self._assemble_unasked(version, definition, given, content, log)
        folder = self._keep_artifact(version, given, log)
        definition = hydrosphere.adapted(definition, archive.names(given.payload), log)
        framework = _framework(definition, folder, log)
        options = definition.loader_options()
        check_safety(definition, framework, folder, log)
        wanted = needed(definition, framework, folder, log)
        ground = self._room.prepare(wanted, log)
        if definition.container is not None or definition.is_chat:
            return self._assemble_unasked(version, definition, given, content, log, ground, framework)
        data = read_training(definition, given, log)
        declared = inputs_of(definition, data)
        question = Question(
            version,
            given.payload_digest,
            framework,
            folder,
            options,
            declared,
            definition.contract.output_fields(),
            definition.batch,
        )
        log("asking the function in its environment")
        sample = data.typed_sample(declared) if data is not None else {}
        inputs, outputs = self._room.signature(ground, question, sample, given.folder, log)
        signature = Signature(inputs, outputs)
        _check_monitoring(definition, signature)
        log("inputs:  " + ", ".join(_show(f) for f in signature.inputs))
        log("outputs: " + ", ".join(_show(f) for f in signature.outputs))
        made = replace(
            _described(version, definition, given, content, signature),
            framework=framework,
            environment=ground.environment,
            runtime=ground.runtime,
            proxied=ground.runtime is not None,
            requirements=wanted.requirements,
            lacking=ground.lacking,
            options=options,
        )
        asked = replace(question, inputs=signature.inputs, outputs=signature.outputs)
        self._keep_reference_data(ground, asked, made, definition, given, log)
        if given.training is None or data is None:
            return made
        kept = self._keep_training(made, data, given.folder, log)
        self._keep_reference(ground, asked, made, kept, given.folder, log)
        return replace(made, training=layout.training(version))

    def _assemble_unasked(
        self,
        version: VersionId,
        definition: ModelDefinition,
        given: Given,
        content: str,
        log: Log,
        ground: Ground | None = None,
        framework: str = EXTERNAL,
    ) -> Version:
        """A version that is not asked while it is built, because it answers elsewhere, at a price for each question, or in a container of its own: its contract is declared."""
        data = read_training(definition, given, log)
        signature = Signature(inputs_of(definition, data), definition.contract.output_fields())
        _check_monitoring(definition, signature)
        made = _described(version, definition, given, content, signature)
        if ground is None:
            log("external: it answers elsewhere; its exchanges are logged as they are sent")
        else:
            made = replace(
                made,
                framework=framework,
                environment=ground.environment,
                runtime=ground.runtime,
                proxied=ground.runtime is not None,
                options=definition.loader_options(),
            )
        if given.training is None or data is None:
            return made
        self._keep_training(made, data, given.folder, log)
        return replace(made, training=layout.training(version))

    def _keep_artifact(self, version: VersionId, given: Given, log: Log) -> Path:
        found = archive.digest(given.payload)
        if found != given.payload_digest:
            raise Malformed(
                "payload: the archive changed during transfer",
                field="payload",
                expected=given.payload_digest,
                got=found,
            )
        folder = self._room.artifact(given.payload_digest, given.payload, given.folder)
        if self._trusted_keys and not given.own:
            signatures.check(folder, self._trusted_keys, log)
        self._documents.objects.put(layout.artifact(version), given.payload)
        log(f"artifact {given.payload_digest[:12]}: {', '.join(archive.names(given.payload)[:10])}")
        return folder

    def _keep_reference_data(
        self, ground: Ground, question: Question, version: Version, definition: ModelDefinition, given: Given, log: Log
    ) -> None:
        if given.reference is None:
            return

        def answers(rows: Columns) -> Columns:
            return self._room.answers(ground, question, rows, given.folder, log)

        keep_reference_data(
            self._documents.objects, version, definition, given.reference, answers, log, key=self._key()
        )

    def _key(self) -> bytes:
        return bytes.fromhex(self._hash_key())

    def _keep_training(self, version: Version, data: TrainingData, folder: Path, log: Log) -> Kept:
        """Training data as Parquet, columns named by fields and targets; and its profile."""
        file = folder / "training.parquet"
        kept = data.keep(version.signature.inputs, version.target, file, str(version.id), key=self._key())
        self._documents.objects.put(layout.training(version.id), file)
        self._documents.create(layout.profile(version.id), kept.profile.to_document())
        log(f"training data: {data.source.rows} rows, {len(kept.rows)} inputs, {len(version.target)} targets")
        return kept

    def _keep_reference(
        self, ground: Ground, question: Question, version: Version, kept: Kept, folder: Path, log: Log
    ) -> None:
        """The version's own answers on training rows, columns ``out.<column>``."""
        answered = self._room.answers(ground, question, kept.rows, folder, log)
        answers = protect(version.signature.outputs, answered, self._key())
        file = folder / "reference.parquet"
        tables.write({f"out.{f.column}": answers[f.name] for f in version.signature.outputs}, file)
        self._documents.objects.put(layout.reference(version.id), file)
        log(f"reference: the answers on {_rows(answers)} training rows")


def _check_monitoring(definition: ModelDefinition, signature: Signature) -> None:
    """Raises ``InvalidInput`` where its rules or formulas speak of what the signature does not have."""
    definition.monitoring.to_rules().check(signature)
    quality_rules.check(definition.monitoring.quality(), signature)
    for metric in definition.metrics():
        if metric.expression:
            check_metric_formula(metric, signature)


def _described(
    version: VersionId, definition: ModelDefinition, given: Given, content: str, signature: Signature
) -> Version:
    """What the definition says of a version; of one that answers elsewhere that is all."""
    return Version(
        id=version,
        framework=EXTERNAL,
        signature=signature,
        artifact=given.payload_digest,
        environment="",
        content=content,
        batch=definition.batch,
        errors=definition.errors,
        scaling=definition.scaling.to_scaling(),
        limits=definition.limits.to_limits(),
        target=tuple(definition.target),
        options=definition.options,
        metadata=definition.metadata,
        monitoring=tuple(m.to_document() for m in definition.monitoring.metrics),
        drift=definition.monitoring.to_rules(),
        quality=definition.monitoring.quality(),
        created=clock.now(),
    )


def _framework(definition: ModelDefinition, folder: Path, log: Log) -> str:
    if definition.external is not None:
        return EXTERNAL
    if definition.container is not None:
        return CONTAINER
    return definition.framework or guess_framework(folder, log)


def guess_framework(folder: Path, log: Log) -> str:
    """The framework that the payload's files speak of by their contents, where the definition does not name one."""
    kind = framework_of(folder)
    log(f"framework: {kind.framework}, by {kind.path.relative_to(folder)}")
    return kind.framework


def check_safety(definition: ModelDefinition, framework: str, folder: Path, log: Log) -> None:
    """What the artifact would import or do, told in the log; raises ``InvalidInput`` for what is unusual and not allowed, before it is loaded."""
    frameworks.check(framework)
    for note in safety.check(framework, folder, definition.options, definition.allow_unsafe):
        log(f"safety: {note}")


def needed(definition: ModelDefinition, framework: str, folder: Path, log: Log) -> Needs:
    """The user's requirements, what the artifact was made with where the user says nothing of it, and the runtime's; or an image."""
    if definition.image is not None:
        return Needs((), definition.image)
    if isinstance(definition.requirements, str):
        raise InvalidInput(
            "requirements: a list is required here",
            field="requirements",
            hint="'headrace apply' reads the file and sends the list",
        )
    own = requirements.check(definition.requirements or [])
    frameworks.check(framework)
    found = needs.requirements(framework, folder, definition.options)
    listed = requirements.join(own, found, RUNTIME_REQUIREMENTS)
    log(f"requirements: {', '.join(listed)}")
    return Needs(tuple(listed), container=definition.container.image if definition.container else "")


def read_training(definition: ModelDefinition, given: Given, log: Log) -> TrainingData | None:
    """The training data, or else the sample, looked through; None where there is neither."""
    file, named = (given.training, "training-data") if given.training else (given.sample, "sample")
    if file is None:
        return None
    log(f"reading {file.name}, {file.stat().st_size} bytes")
    declared = definition.contract.input_fields()
    data = open_training(file, given.folder, field=named, declared=declared, missing=definition.missing_values)
    if definition.contract.inputs:
        for name in [*(f.name for f in definition.contract.input_fields()), *definition.target]:
            if name not in data.columns:
                raise InvalidInput(
                    f"{named}: there is no column {name!r}",
                    field=name,
                    expected=f"a column for each input and target of {file.name}",
                )
    return data


def inputs_of(definition: ModelDefinition, data: TrainingData | None) -> tuple[Field, ...]:
    """The input fields that the contract and the columns make together; none where nobody says."""
    declared = definition.contract.input_fields()
    if data is None:
        return declared
    if not declared:
        return inference.infer_fields(data.columns, definition.target)
    undeclared = [f.name for f in declared if definition.contract.inputs[f.name].profile is None]
    found = inference.complete_fields(declared, data.columns, undeclared)
    # What was found in the data must not stand in the version in clear.
    return tuple(replace(f, categories=None, range=None) if f.sensitive else f for f in found)


def _rows(columns: Mapping[str, Any]) -> int:
    return len(next(iter(columns.values()))) if columns else 0


def _show(field: Field) -> str:
    shape = f"[{', '.join(map(str, field.shape))}]" if field.shape else ""
    return f"{field.name} {field.dtype.name}{shape}"
