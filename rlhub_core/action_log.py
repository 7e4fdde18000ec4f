"""The actions that environments have taken since they were last seeded, which bring them back to where they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlhub_core.protocol import ActType
from rlhub_core.trees import leaves, mapped


class ActionLog:
    """The actions of the running stretches, one entry a vector step; grows by doubling and is cut at its start."""

    def __init__(self, entries: Any = None, start: int = 0) -> None:
        self._start = start  # vector step of the first entry
        self._size = self._capacity = 0 if entries is None else len(leaves(entries)[0])
        self._entries = entries  # arrays [capacity, B, ...], nested as the actions are

    def append(self, actions: ActType) -> None:
        """Add one vector step's actions."""
        if self._size == self._capacity:
            self._grow(actions)
        if type(self._entries) is np.ndarray:  # nearly always, and this is the hot path
            self._entries[self._size] = actions
        else:
            for leaf, action in zip(leaves(self._entries), leaves(actions), strict=True):
                leaf[self._size] = action
        self._size += 1

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, time: int) -> ActType:
        return mapped(lambda leaf: leaf[time - self._start], self._entries)

    def tail(self, time: int) -> Any:
        """Return the entries from a vector step on."""
        return mapped(lambda leaf: leaf[time - self._start : self._size], self._entries)

    def forget(self, time: int) -> None:
        """Drop the entries before a vector step, once they are as many as the others: copying those costs as much."""
        if 2 * (time - self._start) >= self._size > 0:
            self._entries = mapped(np.copy, self.tail(time))
            self._size = self._capacity = self._size - (time - self._start)
            self._start = time

    def _grow(self, actions: ActType) -> None:
        self._capacity = max(64, 2 * self._size)
        old = self._entries if self._size else mapped(lambda leaf: leaf[None], actions)
        self._entries = mapped(lambda leaf: np.resize(leaf, (self._capacity, *leaf.shape[1:])), old)
