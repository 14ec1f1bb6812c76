"""``kind: Grant``: a role on patterns of names for subjects, so that who may do what is reviewed like everything else."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from headrace_controller.definitions.fields import Document, Name, as_list, located
from headrace_functions.access.roles import EVERYTHING, Grant, check_pattern, check_role, check_subject

MAX_SUBJECTS = 1000
MAX_PATTERNS = 100


Subject = Annotated[str, BeforeValidator(located(check_subject))]
Pattern = Annotated[str, BeforeValidator(located(check_pattern))]


class GrantDefinition(Document):
    """``subjects`` and ``names`` take one text or a list."""

    kind: Literal["Grant"] = "Grant"
    name: Name
    subjects: Annotated[list[Subject], BeforeValidator(as_list)] = Field(min_length=1, max_length=MAX_SUBJECTS)
    role: Annotated[str, BeforeValidator(located(check_role))]
    names: Annotated[list[Pattern], BeforeValidator(as_list)] = Field(
        default_factory=lambda: [EVERYTHING], min_length=1, max_length=MAX_PATTERNS
    )

    def to_grant(self) -> Grant:
        return Grant(self.name, tuple(self.subjects), check_role(self.role), tuple(self.names))
