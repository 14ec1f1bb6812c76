"""The name that was probably meant, for messages about one that is not there."""

import difflib
from collections.abc import Iterable

_ALIKE = 0.6  # of 1: shares of characters in common below it are chance


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """A hint: the nearest of the known names, else ``otherwise``."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=_ALIKE)
    return f"did you mean {near[0]!r}?" if near else otherwise
