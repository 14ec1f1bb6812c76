"""Sequences: ordered stages of weighted variants and shadows, and the exact, repeatable choice between variants."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace_functions.errors import InvalidInput
from headrace_functions.names import VersionId
from headrace_functions.signature import Field, Signature

_BUCKETS = 1 << 32


@dataclass(frozen=True, slots=True)
class Variant:
    """One version that may answer for a stage. ``weight`` is its share of 100; a shadow has none."""

    version: VersionId
    weight: int = 100


@dataclass(frozen=True, slots=True)
class Stage:
    """Variants whose weights sum to 100, and shadows that get a copy of every request."""

    variants: tuple[Variant, ...]
    shadows: tuple[VersionId, ...] = ()

    def __post_init__(self) -> None:
        total = sum(v.weight for v in self.variants)
        if not self.variants or total != 100 or any(v.weight < 0 for v in self.variants):
            raise InvalidInput(
                f"weights of a stage sum to {total}, not 100",
                field="weight",
                expected="weights from 0 to 100 that sum to 100",
                got=", ".join(f"{v.version}={v.weight}" for v in self.variants) or "no variant",
            )

    def choose(self, request_id: str, salt: str) -> Variant:
        """The variant for a request: the same id always gets the same one, many ids split as the weights say.

        ``salt`` (sequence and stage) keeps the choices of different stages independent of each other.
        """
        if len(self.variants) == 1:
            return self.variants[0]
        digest = hashlib.blake2b(f"{salt}\0{request_id}".encode(), digest_size=4).digest()
        point = int.from_bytes(digest, "big") * 100
        passed = 0
        for variant in self.variants:
            passed += variant.weight * _BUCKETS
            if point < passed:
                return variant
        raise AssertionError("weights sum to 100")

    def versions(self) -> tuple[VersionId, ...]:
        return (*(v.version for v in self.variants), *self.shadows)


@dataclass(frozen=True, slots=True)
class Sequence:
    """A public endpoint. ``signature`` is what the first bag must hold and what the last stage gives."""

    name: str
    stages: tuple[Stage, ...]
    signature: Signature
    timeout: float = 60.0
    """Seconds a request may take through all stages, wake-up included; then 504."""
    metadata: Mapping[str, str] | None = None

    def versions(self) -> tuple[VersionId, ...]:
        """Every version the sequence may call, shadows included, each once."""
        return tuple(dict.fromkeys(v for stage in self.stages for v in stage.versions()))

    def to_document(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "name": self.name,
            "stages": [
                {
                    "variants": [{"model": str(v.version), "weight": v.weight} for v in stage.variants],
                    "shadows": [str(v) for v in stage.shadows],
                }
                for stage in self.stages
            ],
            "signature": self.signature.to_document(),
            "timeout": self.timeout,
            "metadata": dict(self.metadata or {}),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Sequence":
        stages = tuple(
            Stage(
                tuple(Variant(VersionId.parse(v["model"]), v["weight"]) for v in stage["variants"]),
                tuple(VersionId.parse(v) for v in stage["shadows"]),
            )
            for stage in document["stages"]
        )
        return cls(
            document["name"],
            stages,
            Signature.from_document(document["signature"]),
            document["timeout"],
            document["metadata"],
        )


def infer_signature(name: str, stages: tuple[Stage, ...], signatures: Mapping[VersionId, Signature]) -> Signature:
    """The signature of a sequence: what its stages need and no earlier stage gives; the last stage's outputs.

    Raises ``InvalidInput`` naming the field where a stage's input has another type or shape than the bag will hold,
    or where variants of one stage do not have the same outputs, so that what follows would depend on the weights.
    """
    needed: dict[str, Field] = {}
    bag: dict[str, Field] = {}
    given: tuple[Field, ...] = ()
    for index, stage in enumerate(stages):
        for version in stage.versions():
            for wanted in signatures[version].inputs:
                held = bag.get(wanted.name)
                if held is None:
                    held = bag[wanted.name] = needed[wanted.name] = wanted
                _check_fits(name, index, version, wanted, held)
        given = _outputs_of(name, index, stage, signatures)
        bag.update({f.name: f for f in given})
    return Signature(tuple(needed.values()), given)


def check_satisfied(
    name: str, stages: tuple[Stage, ...], signatures: Mapping[VersionId, Signature], inputs: tuple[Field, ...]
) -> Signature:
    """The signature where the sequence's ``inputs`` are declared: every other need must come from an earlier stage."""
    inferred = infer_signature(name, stages, signatures)
    declared = {f.name: f for f in inputs}
    for wanted in inferred.inputs:
        held = declared.get(wanted.name)
        if held is None:
            raise InvalidInput(
                f"sequence {name}: nothing provides the input {wanted.name!r}",
                field=wanted.name,
                expected=f"{wanted.dtype.name} {list(wanted.shape)} among the sequence's inputs or an earlier stage's outputs",
                got=", ".join(declared) or "no inputs",
            )
        _check_fits(name, None, None, wanted, held)
    return Signature(inputs, inferred.outputs)


def _check_fits(name: str, stage: int | None, version: VersionId | None, wanted: Field, held: Field) -> None:
    same_shape = len(wanted.shape) == len(held.shape) and all(
        a in (-1, b) or b == -1 for a, b in zip(wanted.shape, held.shape, strict=True)
    )
    if wanted.dtype is held.dtype and same_shape:
        return
    where = f"stage {stage + 1} ({version})" if stage is not None else "a stage"
    raise InvalidInput(
        f"sequence {name}: {where} cannot accept {wanted.name!r}",
        field=wanted.name,
        expected=f"{wanted.dtype.name} {list(wanted.shape)}",
        got=f"{held.dtype.name} {list(held.shape)}",
    )


def _outputs_of(name: str, index: int, stage: Stage, signatures: Mapping[VersionId, Signature]) -> tuple[Field, ...]:
    first = stage.variants[0].version
    outputs = signatures[first].outputs
    expected = {(f.name, f.dtype.name, f.shape) for f in outputs}
    for variant in stage.variants[1:]:
        other = {(f.name, f.dtype.name, f.shape) for f in signatures[variant.version].outputs}
        if other != expected:
            field = min(expected ^ other)[0]
            raise InvalidInput(
                f"sequence {name}: variants of stage {index + 1} do not have the same outputs",
                field=field,
                expected=f"the outputs of {first}: {', '.join(f.name for f in outputs)}",
                got=f"{variant.version}: {', '.join(f.name for f in signatures[variant.version].outputs)}",
            )
    return outputs
