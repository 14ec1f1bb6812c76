"""A change of a version, alias or sequence, as targets are told of it. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from headrace_controller import clock

Kind = Literal["version", "alias", "sequence"]


@dataclass(frozen=True, slots=True)
class Change:
    at: datetime
    kind: Kind
    did: str
    """``released``, ``failed``, ``deleted``, ``set``, ``moved``, ``created`` or ``revised``."""
    subject: str
    """``churn:3``, ``churn@prod`` or the name of a sequence."""
    sentence: str
    data: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The model or sequence that it is about."""
        return self.subject.partition("@")[0].partition(":")[0]

    @property
    def key(self) -> str:
        """The same each time the same change is told."""
        said = f"{self.kind}\0{self.subject}\0{self.did}\0{clock.show(self.at)}"
        return hashlib.sha256(said.encode()).hexdigest()[:32]


def cloud_event(change: Change, endpoint: str) -> dict[str, Any]:
    """A CloudEvent 1.0 in its JSON form; its id is the same each time the same change is told."""
    return {
        "specversion": "1.0",
        "id": f"{change.kind}-{change.key}",
        "source": endpoint,
        "type": f"org.headrace.{change.kind}.{change.did}",
        "subject": change.subject,
        "time": clock.show(change.at),
        "datacontenttype": "application/json",
        "data": {**change.data, "sentence": change.sentence},
    }
