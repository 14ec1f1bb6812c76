"""By which token the records of each version are handed over; kept beside them, so that the pod's next container can do it too."""

from collections.abc import Callable
from pathlib import Path

from headrace_functions.errors import StorageFailed
from headrace_functions.recording.shipper import Inbox
from headrace_functions.storage import layout


class KeptTokens:
    """An inbox for the records of several versions, each opened by its own token."""

    directory: Path | None = None

    def __init__(self, folder: Path, inbox_of: Callable[[str], Inbox]) -> None:
        """``inbox_of`` opens the inbox by a token."""
        self._folder = folder
        self._inbox_of = inbox_of

    def keep(self, service: str, token: str) -> None:
        """Remember the token of a service, which replaces an earlier one."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._folder / service
        young = file.with_suffix(".new")
        young.touch(mode=0o600)
        young.write_text(token)
        young.replace(file)

    def create(self, key: str, data: bytes) -> None:
        """As of the inbox of the service that the key names; ``StorageFailed`` where its token is not known."""
        service = key.removeprefix(layout.INBOX).partition("/")[0]
        try:
            token = (self._folder / service).read_text()
        except OSError as error:
            raise StorageFailed(f"the token for delivering records of {service} is missing: {error}") from error
        self._inbox_of(token).create(key, data)
