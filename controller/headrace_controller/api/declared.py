"""Routes of pages, each with what it asks of its caller."""

from collections.abc import Callable, Sequence
from typing import Any

import flask

from headrace_controller.api.permissions import PUBLIC, Requirement


class DeclaredRoutes(flask.Blueprint):
    """A blueprint whose routes are added by ``serve`` alone; its static files are everybody's."""

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._accesses: dict[str, Requirement] = {"static": PUBLIC} if self.has_static_folder else {}

    def serve(
        self, rule: str, endpoint: str, view: Callable[..., Any], access: Requirement, methods: Sequence[str] = ("GET",)
    ) -> None:
        self.add_url_rule(rule, endpoint, view, methods=list(methods))
        self._accesses[endpoint] = access

    def accesses(self) -> dict[str, Requirement]:
        """What each endpoint asks, by its name in the application."""
        return {f"{self.name}.{endpoint}": access for endpoint, access in self._accesses.items()}
