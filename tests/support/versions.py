"""Versions to test with."""

from typing import Any

from headrace_functions.names import VersionId
from headrace_functions.signature import Field, Signature, dtype
from headrace_functions.version import Limits, Scaling, Version


def number(name: str, kind: str = "float64", shape: tuple[int, ...] = ()) -> Field:
    return Field(name, dtype(kind), shape, "numerical")


def version(
    model: str = "adder",
    n: int = 1,
    *,
    inputs: tuple[Field, ...] = (number("x"),),
    outputs: tuple[Field, ...] = (number("y"),),
    scaling: Scaling | None = None,
    limits: Limits | None = None,
    **more: Any,
) -> Version:
    return Version(
        VersionId(model, n),
        more.pop("framework", "python"),
        Signature(inputs, outputs),
        artifact="a" * 64,
        environment="e" * 20,
        content="c" * 64,
        scaling=scaling or Scaling(),
        limits=limits or Limits(),
        **more,
    )
