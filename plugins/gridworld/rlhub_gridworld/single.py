"""One grid world as a Gymnasium environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.spaces import Discrete
from numpy.typing import NDArray

from rlhub_gridworld import draws, layouts
from rlhub_gridworld.model import ACTIONS
from rlhub_gridworld.options import takes
from rlhub_gridworld.rendering import RENDERING, render
from rlhub_gridworld.world import World


class GridWorld(World, gymnasium.Env[Any, int]):
    """A world with actions up 0, down 1, left 2, right 3.

    An episode's chances depend on its seed and the step alone. A seeded reset begins a chain of episodes, in which an
    unseeded reset goes on to the next, so that seed and actions determine everything.

    Attributes:
        state: the number of the state; `World` has the others.
    """

    metadata = RENDERING

    @takes(World)
    def __init__(self, map: str | Sequence[str] = layouts.EXAMPLE, **options: Any) -> None:
        """Build it; raises ConfigError where a value makes no sense."""
        super().__init__(map, **options)
        self.observation_space = self._observe.space
        self.action_space = Discrete(ACTIONS)  # type: ignore[assignment]  # as Gymnasium's own do
        self.state = -1
        self._episode: int | None = None  # its seed
        self._steps = 0  # of the episode
        self._running = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode: of this seed, or the one that follows the last."""
        super().reset(seed=seed)
        if seed is not None:
            self._episode = draws.first_seed(seed)
        elif self._episode is None:
            self._episode = int(draws.fresh_seeds(1)[0])
        else:
            self._episode = draws.next_seed(self._episode)
        self.state = int(self._model.start(draws.uniform(self._episode, 0)))
        self._steps = 0
        self._running = True
        return self._observation(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take one step; the time limit is Gymnasium's wrapper's."""
        if not self._running:
            raise ResetNeeded("There is no episode to step: call reset() first, and again after an episode has ended.")
        if not self.action_space.contains(action):
            raise InvalidAction(f"{action!r} is no action; there are up 0, down 1, left 2, right 3.")
        self._steps += 1
        model, row = self._model, ACTIONS * self.state + int(action)
        outcome = 0
        if model.outcomes > 1:
            outcome = int((draws.uniform(self._episode, self._steps) >= model.thresholds[row]).sum())
        self.state = int(model.next_state[row, outcome])
        if self.state >= model.states:
            self.state = int(model.start(draws.another(self._episode, self._steps), self.state - model.states))
        terminated = bool(model.terminated[row, outcome])
        self._running = not terminated
        return self._observation(), float(model.reward[row, outcome]), terminated, False, {}

    def render(self) -> str | NDArray[np.uint8] | None:
        """Return the world as text ("ansi") or as a picture [rows * 40, columns * 40, 3] ("rgb_array")."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() does nothing: make the environment with render_mode='rgb_array'.")
            return None
        if self._episode is None:
            raise ResetNeeded("There is nothing to render: call reset() first.")
        return render(self._model, self.state, self.render_mode)

    def _observation(self) -> Any:
        observation = self._observe(np.array([self.state]))[0]
        return observation if isinstance(observation, np.ndarray) else int(observation)
