"""Where the wall time of a run goes: each stretch of it is charged to one account, named when the stretch ends."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlhub_core.collector import Collector
    from rlhub_core.protocol import Progress, Transition

ENVIRONMENT, ACTING, LEARNING = "environment", "acting", "learning"
CHECKPOINTING, OTHER = "checkpointing", "other"
CALLBACKS = "callbacks/"  # and the name of the class


class Stopwatch:
    """Adds up wall seconds by what they were spent on.

    A callback gives its run one (`run.stopwatch = Stopwatch()`) in `on_start`; without it a run measures nothing.

    Args:
        seconds: of earlier sessions, account -> wall seconds.
    """

    def __init__(self, seconds: Mapping[str, float] | None = None) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float, seconds or {})
        self._since = time.perf_counter()

    def lap(self, account: str) -> None:
        """Charge the time since the last lap to an account."""
        now = time.perf_counter()
        self.seconds[account] += now - self._since
        self._since = now

    def over(self, training: Iterable[Progress]) -> Iterator[Progress]:
        """Pass on what an algorithm yields; what it did after its last env step was learning."""
        self.lap(OTHER)
        for progress in training:
            self.lap(LEARNING)
            yield progress
            self.lap(OTHER)
        self.lap(LEARNING)

    def watch(self, collector: Collector) -> None:
        """Time every step of a collector; what came between two steps of one stretch of training was acting."""
        step, lap = collector.step, self.lap

        def timed(actions: Any) -> Transition:
            lap(ACTING)
            transition = step(actions)
            lap(ENVIRONMENT)
            return transition

        collector.step = timed  # type: ignore[method-assign] # so that a run that measures nothing pays nothing
        collector.lap = lap
