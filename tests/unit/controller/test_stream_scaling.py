"""How many pods a stream has by its lag."""

import pytest

from headrace_controller.definitions.stream import StreamScaling
from headrace_controller.incluster.stream_scaling import LONGEST_SLEEP, Look, Scaler

IDLE = 60.0


def scaler(*, earliest: bool = True, least: int = 0, most: int = 4) -> Scaler:
    scaling = {"min-replicas": least, "max-replicas": most, "idle-timeout": IDLE, "lag-per-replica": 100}
    return Scaler(StreamScaling.model_validate(scaling), earliest=earliest)


def look(*lag: int, begun: bool = True) -> Look:
    return Look(dict(enumerate(lag)), begun)


@pytest.mark.parametrize(
    ("lag", "expected"),
    [((0, 0, 0, 0), 0), ((1, 0, 0, 0), 1), ((101, 0, 0, 0), 1), ((60, 60, 60, 60), 3), ((900, 900, 900, 900), 4)],
    ids=["nothing waits", "one waits", "one partition", "one a hundred", "no more than max-replicas"],
)
def test_pods_follow_the_lag_at_once_when_it_grows(lag: tuple[int, ...], expected: int) -> None:
    assert expected == scaler().wanted(look(*lag), 0.0, 0)


def test_pods_go_only_after_the_idle_timeout_without_a_reason_for_them() -> None:
    it = scaler()
    assert 3 == it.wanted(look(100, 100, 100), 0.0, 0)
    assert 3 == it.wanted(look(0, 0, 0), 30.0, 3)
    assert 3 == it.wanted(look(10, 0, 0), IDLE - 1, 3)
    assert 1 == it.wanted(look(0, 0, 0), IDLE + 1, 3)
    assert 0 == it.wanted(look(0, 0, 0), 2 * IDLE, 1)


def test_what_another_controller_has_decided_holds_for_an_idle_timeout() -> None:
    it = scaler()
    assert 2 == it.wanted(look(0), 0.0, 2)
    assert 0 == it.wanted(look(0), IDLE + 1, 2)


def test_brokers_that_are_away_change_nothing() -> None:
    it = scaler()
    assert 2 == it.wanted(None, 0.0, 2)
    assert 2 == it.wanted(None, 10 * IDLE, 2)
    assert 0 == scaler().wanted(None, 0.0, 0)


def test_there_are_never_fewer_than_min_replicas() -> None:
    assert 1 == scaler(least=1).wanted(look(0), 0.0, 0)
    assert 1 == scaler(least=1).wanted(None, 0.0, 0)


def test_a_group_that_has_committed_nothing_is_woken_where_its_begin_would_move() -> None:
    assert 1 == scaler(earliest=False).wanted(look(0, begun=False), 0.0, 0)
    assert 0 == scaler(earliest=True).wanted(look(0, begun=False), 0.0, 0)


def test_a_stream_that_slept_for_a_day_is_woken_so_that_brokers_keep_its_offsets() -> None:
    assert 0 == scaler().wanted(look(0), 0.0, 0, LONGEST_SLEEP - 1)
    assert 1 == scaler().wanted(look(0), 0.0, 0, LONGEST_SLEEP + 1)
