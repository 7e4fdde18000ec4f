"""ReNom RL's environments of its module `openai`, over today's Gymnasium and ale-py.

What is rewarded and where an episode ends are ReNom's; the games are those of the named Gymnasium environments.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from rlhub_legacy.renom.arcade import LIMIT, Game
from rlhub_legacy.renom.base import BaseEnv

SUCCESS = 195  # steps that a pole must stay up


class CartPole00(BaseEnv):
    """The pole on a cart for at most 200 steps; reward 0, and at the end 1 if it stood for 195 steps, else -1.

    The 200th step ends the task, as it is there that the reward is paid: it is terminal.
    """

    action_shape = (2,)
    state_shape = (4,)

    def __init__(self, render_mode: str | None = None) -> None:
        self.env = gymnasium.make("CartPole-v1", max_episode_steps=200, render_mode=render_mode)
        self.observation_space, self.render_mode = self.env.observation_space, render_mode
        self.steps = 0
        super().__init__()

    def reset(self) -> NDArray[Any]:
        """Begin an episode."""
        self.steps = 0
        state: NDArray[Any] = self.env.reset()[0]
        return state

    def step(self, action: Any) -> tuple[NDArray[Any], float, bool]:
        """Push the cart."""
        state, _, terminated, truncated, _ = self.env.step(int(action))
        self.steps += 1
        over = terminated or truncated
        return state, (1.0 if self.steps >= SUCCESS else -1.0) if over else 0.0, over

    def sample(self) -> Any:
        """Return a random action."""
        return self.env.action_space.sample()

    def render(self) -> Any:
        """Return the picture, where it was made with render_mode="rgb_array"."""
        return self.env.render()


class CartPole01(CartPole00):
    """The same, and training ends after ten successful episodes, those of tests not counted."""

    def __init__(self, render_mode: str | None = None) -> None:
        self.successes, self.test_mode = 0, False
        super().__init__(render_mode)

    def step(self, action: Any) -> tuple[NDArray[Any], float, bool]:
        """Push the cart, and count where the pole stood long enough."""
        state, reward, over = super().step(action)
        self.successes += reward > 0 and not self.test_mode
        return state, reward, over

    def terminate(self) -> bool:
        """Return whether there were ten, and count anew from there."""
        if self.successes < 10:
            return False
        self.successes = 0
        return True

    def test_start(self) -> None:
        """Do not count."""
        self.test_mode = True

    def test_close(self) -> None:
        """Count again."""
        self.test_mode = False


class Pendulum(BaseEnv):
    """The pendulum to be swung up, for 200 steps, with its own reward; that limit is a truncation."""

    action_shape = (1,)
    state_shape = (3,)
    action_space = Box(-2.0, 2.0, (1,), np.float32)  # Nm

    def __init__(self, render_mode: str | None = None) -> None:
        self.env = gymnasium.make("Pendulum-v1", render_mode=render_mode)
        self.observation_space, self.render_mode = self.env.observation_space, render_mode
        super().__init__()

    def reset(self) -> NDArray[Any]:
        """Begin an episode."""
        state: NDArray[Any] = self.env.reset()[0]
        return state

    def step(self, action: Any) -> tuple[NDArray[Any], float, bool]:
        """Apply a torque of at most 2 Nm."""
        state, reward, terminated, self.truncated, _ = self.env.step(np.asarray(action, np.float32))
        return state, float(reward), terminated or self.truncated

    def sample(self) -> Any:
        """Return a random torque."""
        return self.env.action_space.sample()

    def render(self) -> Any:
        """Return the picture, where it was made with render_mode="rgb_array"."""
        return self.env.render()


class MountainCar(BaseEnv):
    """The car in a valley for at most 200 steps; reward 0, and at the end 1 beyond position 0.5, else position + 0.5.

    The 200th step is terminal, as it is there that the reward is paid.
    """

    action_shape = (3,)
    state_shape = (2,)

    def __init__(self, render_mode: str | None = None) -> None:
        self.env = gymnasium.make("MountainCar-v0", render_mode=render_mode)
        self.observation_space, self.render_mode = self.env.observation_space, render_mode
        super().__init__()

    def reset(self) -> NDArray[Any]:
        """Begin an episode."""
        state: NDArray[Any] = self.env.reset()[0]
        return state

    def step(self, action: Any) -> tuple[NDArray[Any], float, bool]:
        """Accelerate left 0, not at all 1, or right 2."""
        state, _, terminated, truncated, _ = self.env.step(int(action))
        position, over = float(state[0]), terminated or truncated
        return state, (1.0 if position > 0.5 else position + 0.5) if over else 0.0, over

    def sample(self) -> Any:
        """Return a random action."""
        return self.env.action_space.sample()

    def render(self) -> Any:
        """Return the picture, where it was made with render_mode="rgb_array"."""
        return self.env.render()


class Breakout(BaseEnv):
    """Breakout: the last four screens [4, 84, 84] in 0..1; a lost life is terminal, and the game goes on after it.

    An action lasts four frames, whose rewards are summed; a screen is the maximum of the last two, in grey. A reset
    plays ten random actions, FIRE and up to 29 NOOPs; it begins a new game only where all lives are lost, or where an
    epoch has begun.
    """

    action_shape = (4,)
    state_shape = (4, 84, 84)
    observation_space = Box(0.0, 1.0, (4, 84, 84), np.float32)

    def __init__(self, render_mode: str | None = None) -> None:
        self.game, self.render_mode = Game(render_mode), render_mode
        self.env, self.random = self.game.env, np.random.default_rng()
        self.lives, self.begins_anew, self.steps, self.has_acted = 0, True, 0, False
        self.screens: deque[NDArray[np.float32]] = deque(maxlen=4)
        super().__init__()

    def reset(self) -> NDArray[np.float32]:
        """Begin a game or go on with it, and let a random time pass."""
        if self.begins_anew:
            self.game.reset()
            self.begins_anew, self.steps = False, 0
        waits = [*self.random.integers(4, size=10), 1, *[0] * self.random.integers(30)]
        for action in waits:
            if self.game.act(int(action), frames=1).over:
                self.game.reset()
        self.lives, self.has_acted = self.game.lives, False
        screen = self.game.screen(2)
        self.screens.extend([screen] * 4)
        return np.stack(self.screens)

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool]:
        """Act for four frames."""
        played = self.game.act(int(action), frames=4)
        self.steps, self.has_acted = self.steps + 1, True
        self.screens.append(self.game.screen(2))
        lost, self.lives = self.game.lives < self.lives, self.game.lives
        self.truncated = (played.is_cut or self.steps >= LIMIT) and not lost
        self.begins_anew |= played.over or self.truncated
        return np.stack(self.screens), played.reward, played.over or lost or self.truncated

    def sample(self) -> int:
        """Return a random action."""
        return int(self.random.integers(4))

    def epoch(self) -> None:
        """Let the next reset begin a new game, unless the epoch's reset has been already."""
        self.begins_anew |= self.has_acted

    def render(self) -> Any:
        """Return the picture, where it was made with render_mode="rgb_array"."""
        return self.env.render()
