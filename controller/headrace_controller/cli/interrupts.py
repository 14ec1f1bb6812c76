"""What goes on without a command that Ctrl-C ends: said by whoever waits, told by the entry point."""

from collections.abc import Iterator
from contextlib import contextmanager

_told: list[str] = []


@contextmanager
def goes_on(text: str) -> Iterator[None]:
    """While this is entered, Ctrl-C says ``text``: what goes on, and how to stop it."""
    _told.append(text)
    try:
        yield
    except KeyboardInterrupt:
        raise  # what is told now is what the entry point says
    except BaseException:
        _told.pop()
        raise
    _told.pop()


def current() -> str:
    """What to say now; empty where nothing goes on."""
    return _told[-1] if _told else ""
