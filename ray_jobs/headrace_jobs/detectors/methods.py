"""Which test a field's distribution is put to: by its name, by its kind, or the default."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from headrace_functions.errors import InvalidInput

NUMBER = ("ks", "cvm")
"""Kolmogorov-Smirnov, Cramér-von Mises."""
CATEGORY = ("chi2", "g", "fisher")
"""Pearson's chi-square, the likelihood-ratio (G) test, Fisher's exact test (two categories)."""
KINDS = {"numerical": NUMBER, "categorical": CATEGORY}


@dataclass(frozen=True, slots=True)
class Methods:
    """The choice of a run; ``fields`` by the name of a field goes before those of the two kinds; empty is the engine's own choice."""

    fields: Mapping[str, str] = field(default_factory=dict)
    numerical: str = ""
    categorical: str = ""

    @classmethod
    def parse(cls, text: str) -> "Methods":
        """``age=cvm,categorical=g``: names of fields, or ``numerical`` and ``categorical`` for all others of a kind."""
        chosen: dict[str, str] = {}
        for part in filter(None, (p.strip() for p in text.split(","))):
            name, _, method = part.rpartition("=")
            if not name or method not in (*NUMBER, *CATEGORY):
                expected = f"FIELD=METHOD with one of {', '.join((*NUMBER, *CATEGORY))}"
                raise InvalidInput(
                    f"method: {part!r} is not a valid method", field="method", expected=expected, got=repr(part)
                )
            chosen[name] = method
        defaults = {kind: chosen.pop(kind) for kind in KINDS if kind in chosen}
        for kind, method in defaults.items():
            _fits(kind, method, KINDS[kind])
        return cls(chosen, **defaults)

    def check(self, kinds: Mapping[str, Set[str]]) -> None:
        """Raise ``InvalidInput`` for a field that is not among ``kinds`` (the kinds of its views), or of another kind."""
        for name, method in self.fields.items():
            if name not in kinds:
                message = f"method: there is no field {name!r}"
                raise InvalidInput(message, field="method", expected=f"one of {', '.join(sorted(kinds))}", got=name)
            _fits(name, method, NUMBER if "number" in kinds[name] else CATEGORY)

    def of(self, name: str, kind: str) -> str:
        """The method of a view of field ``name``; ``kind`` is ``number`` or ``category``."""
        return self.fields.get(name, self.numerical if kind == "number" else self.categorical)


def _fits(name: str, method: str, known: tuple[str, ...]) -> None:
    if method not in known:
        message = f"method: {method} cannot test {name}"
        raise InvalidInput(message, field="method", expected=f"one of {', '.join(known)}", got=f"{name}={method}")
