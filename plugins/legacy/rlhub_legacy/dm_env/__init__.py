"""dm_env: its environments as Gymnasium environments, Gymnasium environments as its, and its names to write with.

`import rlhub_legacy.dm_env as dm_env` stands in for the package in code written against it: `Environment`, `TimeStep`,
`StepType`, `specs`, `restart`, `transition`, `termination`, `truncation`.
"""

from __future__ import annotations

from typing import Any, Literal, Self

import gymnasium

from rlhub_core import ConfigError
from rlhub_legacy.array_specs import acted, spec_of
from rlhub_legacy.dm_env import specs
from rlhub_legacy.randomness import OwnRandomness
from rlhub_legacy.time_steps import StepType, TimeStep, TimeStepEnv


def restart(observation: Any) -> TimeStep:
    """Return the first time step of an episode, which has neither reward nor discount."""
    return TimeStep(StepType.FIRST, None, None, observation)


def transition(reward: Any, observation: Any, discount: Any = 1.0) -> TimeStep:
    """Return a time step amid an episode."""
    return TimeStep(StepType.MID, reward, discount, observation)


def termination(reward: Any, observation: Any) -> TimeStep:
    """Return the last time step of an episode whose future is worth nothing."""
    return TimeStep(StepType.LAST, reward, 0.0, observation)


def truncation(reward: Any, observation: Any, discount: Any = 1.0) -> TimeStep:
    """Return the last time step of an episode that was cut off."""
    return TimeStep(StepType.LAST, reward, discount, observation)


class DmEnv(TimeStepEnv):
    """An environment of dm_env's contract, as a Gymnasium environment; arguments and errors as for `TimeStepEnv`.

    One of dm_control is rendered by its physics, and its task's generator is seeded.
    """

    def __init__(self, theirs: Any, *, render_mode: Literal["rgb_array", "auto"] | None = "auto") -> None:
        super().__init__(theirs, render_mode=render_mode)
        self._task = OwnRandomness(getattr(theirs, "task", None), seed_method=False)

    def _renderer(self) -> Any:
        return super()._renderer() or getattr(getattr(self.theirs, "physics", None), "render", None)

    def _seed(self, seed: int) -> None:
        super()._seed(seed)
        self._task.seed(seed)


class Environment:
    """A Gymnasium environment as dm_env has it, or the base of a class that is written in its manner.

    A step before the first reset, or after the last step of an episode, begins an episode and its action is ignored:
    this is dm_env's contract.

    Args:
        env: the Gymnasium environment; its specifications are those of `array_specs.spec_of`. None only for a class
            that is written on this one: it has the four methods itself.
        seed: of its first reset.
        discount: of every step but a termination, above 0 and at most 1.

    Raises:
        EnvironmentContractError: for a space that no array specification can say.
        ConfigError: for another discount.
    """

    _gymnasium_env: gymnasium.Env[Any, Any] | None = None  # a subclass may well have an attribute `env`

    def __init__(
        self, env: gymnasium.Env[Any, Any] | None = None, seed: int | None = None, discount: float = 1.0
    ) -> None:
        if env is None:
            if type(self) is Environment:
                raise TypeError(
                    "Environment(env) needs a Gymnasium environment, or a subclass that is one of dm_env's."
                )
            return
        if not 0.0 < discount <= 1.0:
            raise ConfigError(f"discount must be above 0 and at most 1, not {discount}; 0 means a termination")
        self._gymnasium_env, self._next_seed, self._discount = env, seed, discount
        self._observation_spec = spec_of(env.observation_space, "observation")
        self._action_spec = spec_of(env.action_space, "action")
        self._running = False

    def reset(self) -> TimeStep:
        """Begin an episode and return its first time step."""
        observation, _ = self._gymnasium().reset(seed=self._next_seed)
        self._next_seed, self._running = None, True
        return restart(observation)

    def step(self, action: Any) -> TimeStep:
        """Take a step, or begin an episode where none is running."""
        if not self._running:
            return self.reset()
        env = self._gymnasium()
        observation, reward, terminated, truncated, _ = env.step(acted(self._action_spec, env.action_space, action))
        self._running = not (terminated or truncated)
        if terminated:
            return termination(float(reward), observation)
        return (truncation if truncated else transition)(float(reward), observation, self._discount)

    def observation_spec(self) -> Any:
        """Return the specification of observations: one, or a dict or tuple of them."""
        self._gymnasium()
        return self._observation_spec

    def action_spec(self) -> Any:
        """Return the specification of actions, likewise."""
        self._gymnasium()
        return self._action_spec

    def reward_spec(self) -> Any:
        """Return the specification of rewards."""
        return specs.Array((), float, "reward")

    def discount_spec(self) -> Any:
        """Return the specification of discounts."""
        return specs.BoundedArray((), float, 0.0, 1.0, "discount")

    def seed(self, seed: int) -> None:
        """Let the next reset seed the Gymnasium environment; dm_env has no such method, and a subclass need not."""
        self._next_seed = seed

    def close(self) -> None:
        """Close the Gymnasium environment; a class that is written on this one has none."""
        if self._gymnasium_env is not None:
            self._gymnasium_env.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _gymnasium(self) -> gymnasium.Env[Any, Any]:
        if self._gymnasium_env is None:
            raise NotImplementedError(f"{type(self).__qualname__} needs reset, step, observation_spec and action_spec.")
        return self._gymnasium_env
