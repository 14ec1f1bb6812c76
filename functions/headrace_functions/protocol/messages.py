"""What a request says besides its tensors, and an encoded body with what HTTP must say of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from headrace_functions.errors import Malformed
from headrace_functions.protocol.jsontext import shown

Protocol = Literal["v1", "v2"]

JSON_TYPE = "application/json"
BINARY_TYPE = "application/octet-stream"
JSON_LENGTH_HEADER = "Inference-Header-Content-Length"
"""Bytes of JSON in front of binary tensors; a body without the header is JSON alone."""

EXPLAIN = "explain"
"""Parameter of a v2 request, member of a v1 request: true asks why each row has its answer. An extension of ours."""
EXPLANATIONS = "explanations"


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """What a request asks of its answer, and what the answer says besides its tensors."""

    id: str = ""
    """The ``id`` of a v2 request, echoed in the response; empty if the caller gave none."""
    outputs: Mapping[str, bool] | None = None
    """Wanted outputs in their order, each with True for binary data; None for all of them."""
    binary: bool = False
    """``binary_data_output``: answer with binary data where ``outputs`` does not say otherwise."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """The request's ``parameters``, unread."""
    explanations: Sequence[Mapping[str, Any]] | None = None
    """One a row, where the answer says why it is so: beside ``predictions`` in v1, in ``parameters`` in v2."""

    @property
    def explain(self) -> bool:
        """Whether the answer shall say why; ``Malformed`` for a value that is neither true nor false."""
        wanted = self.parameters.get(EXPLAIN, False)
        if type(wanted) is not bool:
            raise Malformed(
                f"{EXPLAIN!r} is neither true nor false", field=EXPLAIN, expected="true or false", got=shown(wanted, 40)
            )
        return wanted


PLAIN = RequestInfo()


@dataclass(frozen=True, slots=True)
class EncodedBody:
    """A body ready to be sent. ``json_length`` is the value of ``Inference-Header-Content-Length``, None for JSON alone."""

    content_type: str
    json_length: int | None
    body: bytes
