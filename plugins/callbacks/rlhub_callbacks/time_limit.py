"""Ends a run after so much wall time."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from rlhub_core import Callback, ConfigError, Progress, Run, StopTraining, option

UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}  # seconds
WRITTEN = re.compile("".join(rf"(?:(?P<{unit}>\d+(?:\.\d+)?)\s*{unit}\s*)?" for unit in UNITS))


@dataclass
class TimeLimit(Callback):
    """Ends the run at a checkpoint after so much wall time, that of earlier sessions included."""

    limit: str | float = option(meaning="wall time, such as 2h30m, 45m, 1d or 90s; a number is seconds")

    def __post_init__(self) -> None:
        self._seconds = seconds_of(self.limit)

    def on_progress(self, run: Run, progress: Progress) -> None:
        """Stop where the time is over."""
        if run.seconds >= self._seconds:
            raise StopTraining(f"time limit of {self.limit} reached")


def seconds_of(limit: str | float) -> float:
    """Return a wall time such as "2h30m" in seconds; a plain number is seconds.

    Raises:
        ConfigError: for a text that is none, or no time at all.
    """
    text = str(limit).strip().lower()
    found = WRITTEN.fullmatch(text)
    try:
        seconds = (
            sum(float(number) * UNITS[unit] for unit, number in found.groupdict(default="0").items())
            if found
            else float(text)
        )
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise ConfigError(f"callbacks/time_limit: limit must be a time such as 2h30m, 45m or 90s, not {limit!r}.")
    return seconds
