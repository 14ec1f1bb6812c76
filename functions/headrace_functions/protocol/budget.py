"""A bound on the bytes of request bodies that a server holds at once, so that many large ones are refused instead of ending it."""

from headrace_functions.errors import Overloaded

OPEN_BYTES = 256 * 1024 * 1024
"""Bytes of bodies that are open in one process, unless its settings say otherwise. One body alone is always taken."""


class ByteBudget:
    """Counts what is open. Not for several threads."""

    def __init__(self, limit: int = OPEN_BYTES) -> None:
        self.limit = limit
        self.open = 0

    def hold(self) -> "HeldBytes":
        return HeldBytes(self)


class HeldBytes:
    """What one request holds; give it back when the request is over."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._held = 0

    def at_least(self, size: int) -> None:
        """Hold ``size`` bytes in all. Raises ``Overloaded`` where the others leave no room for it; what was held stays held."""
        more = size - self._held
        if more <= 0:
            return
        others = self._budget.open - self._held
        if others and others + size > self._budget.limit:
            raise Overloaded(
                f"request bodies of {others} bytes are being processed, and the limit is {self._budget.limit}",
                hint="send smaller requests, or fewer at a time",
            )
        self._held = size
        self._budget.open += more

    def release(self) -> None:
        """Let go of everything; again is nothing."""
        self._budget.open -= self._held
        self._held = 0
