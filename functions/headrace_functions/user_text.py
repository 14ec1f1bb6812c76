"""What errors and values of user code say of themselves: their own methods may raise, and that must not hide the failure that is told of."""

UNREADABLE = "(its text cannot be shown)"


def text_of(thing: object) -> str:
    """``str(thing)``, whatever its method does."""
    try:
        return str(thing)
    except BaseException:  # noqa: BLE001 -- user code may raise anything, KeyboardInterrupt included
        return UNREADABLE


def repr_of(thing: object) -> str:
    """``repr(thing)``, whatever its method does; ``RecursionError`` where it is nested too deeply."""
    try:
        return repr(thing)
    except RecursionError:
        raise
    except BaseException:  # noqa: BLE001 -- user code may raise anything, KeyboardInterrupt included
        return f"{type(thing).__name__} {UNREADABLE}"
