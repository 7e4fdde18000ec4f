"""A replay buffer <-> the files of a checkpoint; rows that an earlier checkpoint has are linked, not written again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer

from rlhub_core import state
from rlhub_core.segments import Segments
from rlhub_sb3 import saving
from rlhub_sb3.frame_replay import FrameReplayBuffer

KNOWN = (ReplayBuffer, DictReplayBuffer, NStepReplayBuffer, HerReplayBuffer)  # a subclass may change any row any time
CHANGING = 2  # the last transition, which hindsight may cut off, and the next, whose observation may be there already
EPISODE_LENGTHS = "ep_length"  # hindsight writes them when an episode is over, and again when it is overwritten


class SavedReplay:
    """Writes and reads the replay buffer of one algorithm."""

    def __init__(self) -> None:
        self._segments = Segments()
        self._buffer: Any = None  # whose rows the segments hold
        self._added = self._steps = 0  # transitions of an environment, and env steps, when it was last saved or read

    def save(self, folder: Path, buffer: Any, steps: int) -> None:
        """Write a buffer as it is after some env steps."""
        if isinstance(buffer, FrameReplayBuffer):
            buffer.save(folder)
        elif type(buffer) not in KNOWN:
            state.save(folder, "replay", saving.replay_state(buffer))
        else:
            self._count(buffer, steps)
            written = np.array([self._added + 1])
            rows = self._segments.save(folder, "replay", _rows(buffer), written, changing=CHANGING)
            state.save(folder, "replay", {"rows": rows, **_hindsight(buffer)})

    def load(self, folder: Path, buffer: Any, steps: int) -> None:
        """Fill a new buffer of the same configuration.

        Raises:
            CheckpointError: where a file is missing, damaged or of another buffer.
        """
        if isinstance(buffer, FrameReplayBuffer):
            buffer.load(folder)
            return
        saved = state.load(folder, "replay")
        if "rows" not in saved:  # a buffer of the user's own, or a checkpoint of format 1
            saving.restore_replay(buffer, saved)
            return
        self._added = int(self._segments.load(folder, saved["rows"], _rows(buffer))[0]) - 1
        self._buffer, self._steps = buffer, steps
        buffer.pos, buffer.full = self._added % buffer.buffer_size, self._added >= buffer.buffer_size
        if isinstance(buffer, HerReplayBuffer):
            lengths = saved["episode_lengths"]
            buffer.ep_length[: len(lengths)] = lengths
            saving.restore_hindsight(buffer, saved)

    def _count(self, buffer: Any, steps: int) -> None:
        """Find how many transitions were added; where they do not tally, the files written so far are forgotten."""
        size, added = buffer.buffer_size, self._added + (steps - self._steps) // buffer.n_envs
        if buffer is not self._buffer or (added % size, added >= size) != (buffer.pos, buffer.full):
            added = buffer.pos + size * buffer.full
            self._buffer, self._segments = buffer, Segments()
        self._added, self._steps = added, steps


def _rows(buffer: Any) -> dict[str, NDArray[Any]]:
    """Return what is written once a transition, [1, buffer_size, ...]: SB3's environments go in step."""
    rows: dict[str, NDArray[Any]] = {}
    for name, array in saving.arrays(buffer):
        if isinstance(array, dict):
            rows |= {f"{name}/{key}": part[None] for key, part in array.items()}
        elif name != EPISODE_LENGTHS:
            rows[name] = array[None]
    return rows


def _hindsight(buffer: Any) -> dict[str, Any]:
    if not isinstance(buffer, HerReplayBuffer):
        return {}
    filled = buffer.buffer_size if buffer.full else buffer.pos
    return {"episode_lengths": buffer.ep_length[:filled], **saving.hindsight_state(buffer, filled)}
