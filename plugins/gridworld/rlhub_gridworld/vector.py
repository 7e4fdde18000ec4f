"""A whole batch of one grid world, stepped in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ClosedEnvironmentError, Error, InvalidAction, ResetNeeded
from gymnasium.spaces import Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from rlhub_gridworld import draws, layouts
from rlhub_gridworld.model import ACTIONS
from rlhub_gridworld.options import is_whole, positive, takes
from rlhub_gridworld.rendering import RENDERING, render
from rlhub_gridworld.world import World

Seeds = int | Sequence[int | None] | NDArray[np.integer[Any]] | None
NO_LIMIT = -1  # as in gymnasium.make


class GridWorldVector(World, VectorEnv[NDArray[Any], NDArray[np.integer[Any]], NDArray[Any]]):
    """`num_envs` worlds, each of them step by step the one that `rlhub_gridworld.single.GridWorld` is.

    Observations are new arrays each time. An episode that has ended, or lasted `max_episode_steps`, begins anew in the
    next step (`AutoresetMode.NEXT_STEP`) unless a reset does it first. `state` [num_envs] numbers the states; what
    `World` has is that of the single world.
    """

    @takes(World)
    def __init__(
        self,
        num_envs: int = 1,
        map: str | Sequence[str] = layouts.EXAMPLE,
        *,
        max_episode_steps: int = NO_LIMIT,
        **options: Any,
    ) -> None:
        """Build it; raises ConfigError where a value makes no sense."""
        super().__init__(map, **options)
        self.num_envs = num_envs = positive("num_envs", num_envs)
        if max_episode_steps != NO_LIMIT:
            positive("max_episode_steps", max_episode_steps, " or -1 for no limit")
        self._limit = max_episode_steps
        self.metadata = {**RENDERING, "autoreset_mode": AutoresetMode.NEXT_STEP}
        self.single_observation_space = self._observe.space
        self.single_action_space = Discrete(ACTIONS)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.state = np.full(num_envs, -1)  # [B]
        self._episodes: NDArray[np.uint64] | None = None  # [B] their seeds
        self._steps = np.zeros(num_envs, np.int64)  # [B] of the episodes
        self._over: NDArray[np.intp] = np.array([], np.intp)  # the environments that the next step resets

    def reset(
        self, *, seed: Seeds = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin an episode everywhere, or where `options["reset_mask"]` (bool [B]) is true; return all observations.

        Args:
            seed: None, an integer (environment i gets `seed + i`), or one integer or None for each environment, also
                for those outside the mask, which ignore theirs. Without a seed the episode follows the last one.
            options: with the mask.
        """
        self._check_open()
        mask = self._mask(options)
        which = np.flatnonzero(mask)
        self._episodes = self._following(seed, which)
        self._begin(which)
        self._over = self._over[~mask[self._over]]
        return self._observe(self.state), {}

    def step(
        self, actions: NDArray[np.integer[Any]]
    ) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Take one step everywhere; where an episode was over, begin the next one instead, for no reward."""
        self._check_open()
        if self._episodes is None:
            raise ResetNeeded("There are no episodes to step: call reset() first.")
        rows = self._checked(actions) + ACTIONS * self.state  # [B] of the tables
        self._steps += 1
        outcomes = self._model.outcomes
        if outcomes > 1:
            chance = draws.uniform(self._episodes, self._steps.view(np.uint64))
            rows = outcomes * rows + (chance[:, None] >= self._model.thresholds[rows]).sum(1)  # [B] of flat tables
        self.state = self._model.next_state.take(rows)
        if self._model.falls:
            self._fall()
        reward = self._model.reward.take(rows)
        terminated = self._model.terminated.take(rows)
        truncated = self._steps == self._limit
        if len(self._over):
            over = self._over
            self._episodes[over] = draws.next_seed(self._episodes[over])
            self._begin(over)
            reward[over], terminated[over], truncated[over] = 0.0, False, False
        self._over = np.flatnonzero(terminated | truncated)
        return self._observe(self.state), reward, terminated, truncated, {}

    def render(self) -> tuple[str | NDArray[np.uint8], ...] | None:
        """Return each world as text ("ansi") or as a picture ("rgb_array")."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() does nothing: make the environment with render_mode='rgb_array'.")
            return None
        if self._episodes is None:
            raise ResetNeeded("There is nothing to render: call reset() first.")
        return tuple(render(self._model, state, self.render_mode) for state in self.state.tolist())

    def _begin(self, which: NDArray[np.intp]) -> None:
        """Put some environments at the start of their episodes, whose seeds they have."""
        if self._model.starts.shape[1] == 1:  # nothing to draw, and the draw would take longer than all the rest
            self.state[which] = self._model.starts[0, 0]
        else:
            assert self._episodes is not None
            self.state[which] = self._model.start(draws.uniform(self._episodes[which], 0))
        self._steps[which] = 0

    def _fall(self) -> None:
        """Put those that fell off a cliff back to a start."""
        assert self._episodes is not None
        fallen = np.flatnonzero(self.state >= self._model.states)
        number = draws.another(self._episodes[fallen], self._steps[fallen].view(np.uint64))
        self.state[fallen] = self._model.start(number, self.state[fallen] - self._model.states)

    def _following(self, seed: Seeds, which: NDArray[np.intp]) -> NDArray[np.uint64]:
        """Return the seeds [B] of the episodes after a reset of some environments; nothing is changed."""
        seeds: list[Any] = [None] * self.num_envs
        if isinstance(seed, (Sequence, np.ndarray)):
            seeds = list(seed)
        elif seed is not None:
            seeds = [int(seed) + i if is_whole(seed) else seed for i in range(self.num_envs)]
        if len(seeds) != self.num_envs:
            raise ValueError(
                f"seed must hold one entry for each environment, {self.num_envs} in all, not {len(seeds)}."
            )
        if self._episodes is None:
            episodes = draws.fresh_seeds(self.num_envs)
        else:
            episodes = self._episodes.copy()
            episodes[which] = draws.next_seed(episodes[which])
        for env in which.tolist():
            given = seeds[env]
            if given is not None:
                if not is_whole(given) or given < 0:
                    raise Error(f"A seed must be a non-negative integer, not {given!r}.")
                episodes[env] = draws.first_seed(int(given))
        return episodes

    def _check_open(self) -> None:
        if self.closed:
            raise ClosedEnvironmentError("This environment is closed.")

    def _mask(self, options: dict[str, Any] | None) -> NDArray[np.bool_]:
        """Return [B] which to reset; with the same demands as Gymnasium's own vector environments make."""
        if options is None or "reset_mask" not in options:
            return np.ones(self.num_envs, np.bool_)
        mask = options["reset_mask"]
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
            raise TypeError(f"options['reset_mask'] must be a numpy array of bool, not {mask!r}.")
        if mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(
                f"options['reset_mask'] must have shape ({self.num_envs},) and at least one true value, not {mask!r}."
            )
        if self._episodes is None and not mask.all():
            raise ResetNeeded("The first reset must be of all environments: call reset() without a reset_mask.")
        return mask

    def _checked(self, actions: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        array = np.asarray(actions)
        if array.shape != (self.num_envs,) or array.dtype.kind not in "iu":
            raise InvalidAction(
                f"Actions must be {self.num_envs} integers, one for each environment, not {array.dtype} {array.shape}."
            )
        chosen = array.astype(np.int64, copy=False)
        if np.count_nonzero(chosen.view(np.uint64) >= ACTIONS):  # unsigned, a negative one is very large
            raise InvalidAction(f"Actions must be up 0, down 1, left 2 or right 3, not {array}.")
        return chosen
