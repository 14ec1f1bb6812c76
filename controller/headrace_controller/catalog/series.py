"""Named series of states in the store: each change appends a document, the last one counts, a deletion is one of them."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace_controller import clock
from headrace_controller.catalog import noting
from headrace_functions.errors import DamagedDocument, NotFound
from headrace_functions.storage.documents import Documents, interpret
from headrace_functions.suggestions import did_you_mean


@dataclass(frozen=True, slots=True)
class State:
    """One state of a series. ``document`` bears ``at``; a deletion bears ``deleted: true`` and little else."""

    number: int
    document: dict[str, Any]

    @property
    def deleted(self) -> bool:
        return bool(self.document.get("deleted"))


class Series:
    """Every series of one kind, e.g. all sequences.

    States are immutable, so they are kept in memory. The names and the last numbers are read once and then kept up by the
    writes that go through here: one controller writes to a store at a time, and ``reload`` makes another's writes seen.
    """

    def __init__(
        self,
        documents: Documents,
        kind: str,
        prefix: str,
        folder: Callable[[str], str],
        check: Callable[[dict[str, Any]], object] = lambda _document: None,
    ) -> None:
        """``check`` stumbles over a document that is not of this kind; deletions are not given to it."""
        self._check = check
        self._documents = documents
        self._kind = kind
        self._prefix = prefix
        self._folder = folder
        self._lock = threading.RLock()
        self._states: dict[tuple[str, int], State] = {}
        self._last: dict[str, int] | None = None
        self.damaged: dict[str, str] = {}
        """By name, what is wrong with the last document of those that ``names`` leaves out."""

    def reload(self, known: Mapping[str, int] | None = None) -> None:
        """Read names and last numbers anew when they are next asked for, or take them from ``known``."""
        with self._lock:
            # Numbers only grow: what was added here since ``known`` was read stays.
            held = self._last or {}
            self._last = None if known is None else {n: max(k, held.get(n, 0)) for n, k in {**held, **known}.items()}

    def names(self) -> list[str]:
        """Names whose last state is not a deletion, sorted. One whose document is damaged is left out; ``damaged`` has it."""
        found = []
        for name in sorted(self._numbers()):
            try:
                state = self.find(name)
            except DamagedDocument as error:
                self.damaged[name] = error.message
                continue
            self.damaged.pop(name, None)
            if state is not None and not state.deleted:
                found.append(name)
        return found

    def every_name(self) -> list[str]:
        """Names that there ever were, deleted ones too, sorted; without those whose last document is damaged."""
        alive = set(self.names())
        return sorted(name for name in self._numbers() if name in alive or name not in self.damaged)

    def find(self, name: str) -> State | None:
        """The last state, a deletion too; None if there never was one."""
        number = self._numbers().get(name)
        return None if number is None else self._state(name, number)

    def get(self, name: str) -> State:
        """The last state; ``NotFound`` if there is none or it is deleted."""
        state = self.find(name)
        if state is None or state.deleted:
            hint = did_you_mean(name, self.names(), f"'headrace {self._kind} list' shows what there is")
            raise NotFound(f"no {self._kind} {name!r}", field="name", hint=hint)
        return state

    def history(self, name: str) -> list[State]:
        """All states, the first one first; ``NotFound`` if there never was one."""
        last = self._numbers().get(name)
        if last is None:
            raise NotFound(f"no {self._kind} {name!r}", field="name")
        return [self._state(name, number) for number in self._documents.numbers(self._folder(name))]

    def append(self, name: str, document: dict[str, Any]) -> State:
        """Add the next state with the present time; also after one that is damaged, which counts no more then."""
        stamped = {**document, "at": clock.now()}
        with self._lock:
            try:
                earlier = self.find(name)
            except DamagedDocument:
                earlier = None
            numbers = self._numbers()
            number = self._documents.append(self._folder(name), stamped)
            state = self._states[name, number] = State(number, stamped)
            numbers[name] = number
        noting.note(self._kind, name, earlier.document if earlier is not None else None, stamped)
        return state

    def delete(self, name: str) -> None:
        self.get(name)
        self.append(name, {"deleted": True})

    def _numbers(self) -> dict[str, int]:
        with self._lock:
            if self._last is None:
                found = {
                    name: self._documents.last_number(self._folder(name))
                    for name in self._documents.objects.folders(self._prefix)
                }
                self._last = {name: number for name, number in found.items() if number is not None}
            return self._last

    def _state(self, name: str, number: int) -> State:
        held = self._states.get((name, number))
        if held is None:
            key = f"{self._folder(name)}{number}.json"
            state = State(number, self._documents.get(key))
            if not state.deleted:
                interpret(key, state.document, self._check)
            held = self._states[name, number] = state
        return held
