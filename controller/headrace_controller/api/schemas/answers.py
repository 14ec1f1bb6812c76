"""What every answer of the API is, and the problem that stands in place of one."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

Json = dict[str, Any]


class Answer(BaseModel):
    """Answers may grow members, so readers ignore those that they do not know."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Problem(Answer):
    """RFC 9457 problem document."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str | None = None
    field: str | None = None
    expected: str | None = None
    got: str | None = None
    hint: str | None = None


def as_mapping(answer: Answer) -> Mapping[str, Any]:
    return answer.model_dump(mode="json")
