"""Rules of incidents as people set them: limits of a model in the place of the defaults, or a rule switched off."""

from headrace_controller.access import current
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.incidents.limits import Limits
from headrace_functions.errors import InvalidInput, NotFound

MOST = 200
"""Limits of one model."""


class RuleLimits:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def of(self, model: str) -> list[Limits]:
        """What was set for a model, by rule and field."""
        state = self._catalog.rules.find(model)
        return [Limits.from_document(d) for d in state.document["rules"]] if state is not None else []

    def select(self) -> list[tuple[str, Limits]]:
        """What was set, by model."""
        return [
            (model, limits)
            for model in self._catalog.rules.names()
            if current.may("view", model)
            for limits in self.of(model)
        ]

    def put(self, model: str, limits: Limits) -> Limits:
        """Set limits in the place of those of the same rule and field.

        ``NotFound`` for an unknown model, ``InvalidInput`` for a field that its newest released version does not have.
        """
        self._check_field(model, limits)
        others = [x for x in self.of(model) if (x.rule, x.field) != (limits.rule, limits.field)]
        if len(others) >= MOST:
            raise InvalidInput(f"rule: {model} has {MOST} limits already", field="rule", expected=f"at most {MOST}")
        self._keep(model, [*others, limits])
        return limits

    def remove(self, model: str, rule: str, field: str = "") -> None:
        """Go back to the defaults; ``NotFound`` where nothing was set."""
        kept = [x for x in self.of(model) if (x.rule, x.field) != (rule, field)]
        if len(kept) == len(self.of(model)):
            of = f" of {field}" if field else ""
            raise NotFound(f"nothing is set for rule {rule!r}{of} of {model}", field="rule", hint="headrace rule list")
        self._keep(model, kept)

    def _keep(self, model: str, rules: list[Limits]) -> None:
        ordered = sorted(rules, key=lambda x: (x.rule, x.field))
        self._catalog.rules.append(model, {"schema": 1, "rules": [x.to_document() for x in ordered]})

    def _check_field(self, model: str, limits: Limits) -> None:
        if model not in self._catalog.models():
            raise NotFound(f"there is no model {model!r}", field="model", hint="headrace model list")
        newest = self._catalog.newest_released(model)
        if not limits.field or newest is None or newest.version is None:
            return
        if limits.rule not in ("moved", "checks", "metric"):
            raise InvalidInput(
                f"field: rule {limits.rule!r} applies to the version as a whole", field="field", expected="no field"
            )
        if limits.rule == "metric":
            return
        signature = newest.version.signature
        names = [f.name for f in (*signature.inputs, *signature.outputs)]
        if not any(limits.field == n or limits.field.startswith((f"{n}[", f"{n} ")) for n in names):
            raise InvalidInput(
                f"field: {newest.id} has no field {limits.field!r}",
                field="field",
                expected=f"one of {', '.join(names[:20])}",
            )
