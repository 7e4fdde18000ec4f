"""ReNom RL's environments of its module `openai_env`, where they differ from those of `openai`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from rlhub_core import ConfigError
from rlhub_core.playing.film import Film
from rlhub_legacy.renom.arcade import Game, grey
from rlhub_legacy.renom.base import BaseEnv
from rlhub_legacy.renom.openai import CartPole00, MountainCar

__all__ = ["Animation", "Breakout", "Breakout_ram", "CartPole", "MountainCar"]


class Animation:
    """Pictures one after another."""

    def __init__(self) -> None:
        self.reset()

    def store(self, frame: Any) -> None:
        """Add a picture [height, width, 3]."""
        self._film.add(frame)
        self._length += 1

    def run(self, path: str | Path = "animation.gif", reset: bool = False, *, fps: float = 20) -> Path:
        """Write them as an animated GIF and return its path; with `reset` forget them then.

        Raises:
            ConfigError: where there are none.
        """
        if not self._length:
            raise ConfigError("There is no picture yet: store one, or play a test.")
        self._film.write(Path(path), fps)
        if reset:
            self.reset()
        return Path(path)

    def reset(self) -> None:
        """Forget them."""
        self._film, self._length = Film(), 0

    def __len__(self) -> int:
        return self._length


class CartPole(CartPole00):
    """`openai.CartPole00` that keeps the pictures of its newest test in `animation`."""

    def __init__(self, render_mode: str | None = "rgb_array") -> None:
        self.animation = Animation()
        super().__init__(render_mode)

    def test_start(self) -> None:
        """Begin a new film."""
        self.animation.reset()

    def test_epoch_step(self) -> None:
        """Film."""
        self.animation.store(self.env.render())


class _Breakout(BaseEnv):
    """What both have in common: an action lasts four frames, and a lost life is terminal; then the game goes on."""

    action_shape = (4,)
    longest = 0  # steps of an episode, after which it is truncated

    def __init__(self, render_mode: str | None = None) -> None:
        self.game, self.render_mode = Game(render_mode), render_mode
        self.env, self.random = self.game.env, np.random.default_rng()
        self.lives, self.begins_anew, self.steps = 0, True, 0
        super().__init__()

    def look(self) -> NDArray[Any]:
        """Return the state, of the last four frames."""
        raise NotImplementedError

    def reset(self) -> NDArray[Any]:
        """Begin a game where all lives are lost, or go on, and serve the ball."""
        if self.begins_anew:
            self.game.reset()
            self.begins_anew = False
        self.game.act(1, frames=4)
        self.lives, self.steps = self.game.lives, 0
        return self.look()

    def step(self, action: Any) -> tuple[NDArray[Any], float, bool]:
        """Act for four frames."""
        played = self.game.act(int(action), frames=4)
        self.steps += 1
        lost, self.lives = self.game.lives < self.lives, self.game.lives
        self.truncated = (played.is_cut or self.steps >= self.longest) and not lost
        self.begins_anew |= played.over or self.truncated
        return self.look(), played.reward, played.over or lost or self.truncated

    def sample(self) -> int:
        """Return a random action."""
        return int(self.random.integers(4))

    def epoch(self) -> None:
        """Let the next reset begin a new game, unless the epoch's reset has been already."""
        self.begins_anew |= self.steps > 0

    def render(self) -> Any:
        """Return the picture, where it was made with render_mode="rgb_array"."""
        return self.env.render()


class Breakout(_Breakout):
    """Breakout: the four frames of one action as channels [4, 84, 84] of bytes; at most 5,000 steps."""

    state_shape = (4, 84, 84)
    observation_space = Box(0, 255, (4, 84, 84), np.uint8)
    longest = 5_000

    def look(self) -> NDArray[np.uint8]:
        """Return the last four frames in grey."""
        return np.stack([grey(frame) for frame in self.game.frames])


class Breakout_ram(_Breakout):  # its name of old
    """Breakout: the console's memory [128] in 0..1, the maximum over the frames of an action; at most 10,000 steps."""

    state_shape = (128,)
    observation_space = Box(0.0, 1.0, (128,), np.float32)
    longest = 10_000

    def look(self) -> NDArray[np.float32]:
        """Return the maximum of the last four memories."""
        memory: NDArray[np.uint8] = np.max(self.game.memories, axis=0)
        return memory.astype(np.float32) / np.float32(255)
