"""The page of settings says where records wait that are not in the log yet."""

import pytest

from headrace_controller.pages.settings_page import _on_the_way
from headrace_controller.service.intake import Backlog

EMPTY = Backlog(0, 0, 0.0)


@pytest.mark.parametrize(
    ("spooled", "backlog", "said"),
    [
        (0, EMPTY, "nothing: every record is in the log"),
        (4096, EMPTY, "4,096 bytes in spools of this machine"),
        (0, Backlog(1, 2048, 3.2), "1 segment of 2,048 bytes in the store, the oldest 3 s old"),
        (10, Backlog(12, 2048, 61.0), "10 bytes in spools of this machine; 12 segments of 2,048 bytes in the store, the oldest 61 s old"),
        (0, None, "how much is in the store is not known"),
    ],
)  # fmt: skip
def test_what_is_on_the_way_to_the_log_is_told_in_one_place(spooled: int, backlog: Backlog | None, said: str) -> None:
    assert said == _on_the_way(spooled, backlog)
