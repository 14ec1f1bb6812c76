"""How many pods a stream should have by its lag. Pure, but for what it remembers of its last answers.

========================================== =================================================================
lag is                                     pods
========================================== =================================================================
more than 0                                one a ``lag-per-replica``, at least one, at most one a partition and ``max-replicas``
0, and has been for ``idle-timeout``       ``min-replicas``
not known: the brokers are away            as many as there are
0, but the group has committed nothing yet one, which commits where it begins; else ``start: latest`` would begin later each time
0, and the stream slept for a day          one, for a moment: brokers forget the offsets of a group that nobody joins for a week
========================================== =================================================================

It goes up at once and down after ``idle-timeout`` without a higher answer, since each change divides the group anew.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from headrace_controller.definitions.stream import StreamScaling

LONGEST_SLEEP = 24 * 3600.0
"""Seconds; brokers keep offsets of an empty group for seven days by default (``offsets.retention.minutes``)."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a group found."""

    lag: Mapping[int, int]
    """Messages by partition that are not answered."""
    begun: bool
    """Whether the group has committed in every partition."""


class Scaler:
    def __init__(self, scaling: StreamScaling, *, earliest: bool) -> None:
        """``earliest``: a group without commits begins at the first message, so there is no lag before there is one."""
        self._scaling = scaling
        self._earliest = earliest
        self._answers: deque[tuple[float, int]] = deque()

    def wanted(self, look: Look | None, now: float, replicas: int, asleep: float = 0.0) -> int:
        """Pods from ``now`` on (seconds of any clock). ``look`` is None where the lag is not known, ``replicas`` how many there are,
        ``asleep`` for how many seconds there have been none."""
        if not self._answers:
            self._answers.append(
                (now, replicas)
            )  # what another controller has decided before holds as an answer of now
        answer = replicas if look is None else self._by_lag(look)
        if asleep > LONGEST_SLEEP:
            answer = max(answer, 1)
        self._answers.append((now, max(answer, self._scaling.min_replicas)))
        while self._answers[0][0] <= now - self._scaling.idle_timeout:
            self._answers.popleft()
        return min(max(n for _, n in self._answers), self._scaling.max_replicas)

    def _by_lag(self, look: Look) -> int:
        total = sum(look.lag.values())
        if total == 0:
            return 0 if look.begun or self._earliest else 1
        return min(math.ceil(total / self._scaling.lag_per_replica), max(1, sum(n > 0 for n in look.lag.values())))
