"""Breakout without frame skipping, as ReNom RL's environments play it; ale-py is imported when it is made."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rlhub_core import RlhubError

LIMIT = 27_000  # actions of four frames in a game: half an hour, ale-py's own limit


class Played(NamedTuple):
    """What an action brought."""

    reward: float  # of all its frames
    over: bool  # is the game?
    is_cut: bool  # was it cut off by ale-py's own limit?


class Game:
    """Breakout frame by frame, which keeps its last four frames and memories.

    Attributes:
        env: the environment of ale-py.
        lives: that are left.
        frames: the last four screens [210, 160, 3].
        memories: the last four states of the console's memory [128].

    Raises:
        RlhubError: where ale-py or Pillow is not installed.
    """

    def __init__(self, render_mode: str | None = None) -> None:
        try:
            import ale_py
            import PIL.Image  # noqa: F401  # said here, and not at the first screen
        except ImportError as error:
            raise RlhubError(f"Breakout needs {error.name}: pip install 'rlhub-legacy[atari]'.") from error
        gymnasium.register_envs(ale_py)
        self.env: gymnasium.Env[Any, Any] = gymnasium.make(
            "ALE/Breakout-v5", frameskip=1, repeat_action_probability=0.0, render_mode=render_mode
        )
        self.frames: deque[NDArray[np.uint8]] = deque(maxlen=4)
        self.memories: deque[NDArray[np.uint8]] = deque(maxlen=4)
        self.lives = 0

    def reset(self) -> None:
        """Begin a game."""
        frame, info = self.env.reset()
        self._look(frame, info)

    def act(self, action: int, *, frames: int) -> Played:
        """Hold an action for so many frames, fewer where the game ends."""
        total, over, truncated = 0.0, False, False
        for _ in range(frames):
            frame, reward, terminated, truncated, info = self.env.step(action)
            self._look(frame, info)
            total, over = total + float(reward), terminated or truncated
            if over:
                break
        return Played(total, over, truncated)

    def screen(self, frames: int) -> NDArray[np.float32]:
        """Return the maximum of the last frames in grey [84, 84], in 0..1."""
        newest = list(self.frames)[-frames:]
        return grey(np.max(newest, axis=0)).astype(np.float32) / np.float32(255)

    def _look(self, frame: NDArray[np.uint8], info: dict[str, Any]) -> None:
        self.frames.append(frame)
        self.memories.append(self.env.unwrapped.ale.getRAM())  # type: ignore[attr-defined]
        self.lives = int(info["lives"])


def grey(frame: NDArray[np.uint8], size: tuple[int, int] = (84, 84)) -> NDArray[np.uint8]:
    """Return a frame [height, width, 3] in grey, scaled to (width, height) by the mean over areas."""
    from PIL import Image

    return np.asarray(Image.fromarray(frame).convert("L").resize(size, Image.Resampling.BOX))
