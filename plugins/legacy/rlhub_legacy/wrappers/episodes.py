"""Wrappers that see episodes as wholes: their length, their number, their cost."""

from __future__ import annotations

import cProfile
import pstats
import sys
from collections.abc import Callable
from typing import Any

import gymnasium
from gymnasium.error import ResetNeeded
from gymnasium.utils import RecordConstructorArgs

from rlhub_core import ConfigError
from rlhub_legacy.wrappers.checks import at_least

Env = gymnasium.Env[Any, Any]
Wrapper = gymnasium.Wrapper[Any, Any, Any, Any]
Step = tuple[Any, Any, bool, bool, dict[str, Any]]


class FixedLength(Wrapper, RecordConstructorArgs):
    """Makes all episodes of one length: longer ones are truncated, shorter ones padded.

    The padding stays at the last observation with a reward of 0, whatever is done, and `info["padding"]` is true. The
    end comes at the length, a termination where the episode had terminated. What is learnt of a terminated episode is
    the same as before, its last state worth nothing; the last state of one that was truncated comes to look as if it
    brought nothing for the length of the padding.

    Args:
        env: any.
        fix_length: steps of every episode, 1 or more.

    Raises:
        ConfigError: for less.
    """

    def __init__(self, env: Env, fix_length: int) -> None:
        RecordConstructorArgs.__init__(self, fix_length=fix_length)
        super().__init__(env)
        at_least("fix_length", fix_length, 1)
        self._length, self._steps = fix_length, fix_length
        self._last: Step | None = None  # the step that ended the episode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        self._steps, self._last = 0, None
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, info | {"padding": False}

    def step(self, action: Any) -> Step:
        """Take a step, or pass one where the episode is over.

        Raises:
            gymnasium.error.ResetNeeded: beyond the length.
        """
        if self._steps >= self._length:
            raise ResetNeeded(f"All {self._length} steps of the episode are taken: call reset().")
        self._steps += 1
        padding = self._last is not None
        observation, reward, terminated, truncated, info = self._last or self.env.step(action)
        if terminated or truncated:
            self._last = observation, 0.0, terminated, truncated, info
        over = self._steps == self._length
        ended = terminated and over, over and not terminated
        return observation, reward, *ended, info | {"padding": padding}


class RunStats(Wrapper, RecordConstructorArgs):
    """Counts: `env.get_wrapper_attr("episodes")`, or `vector_env.get_attr("episodes")`.

    They count what this object lived through; that of a resumed run begins with the steps that are replayed.

    Attributes:
        episodes: that came to their end.
        resets: episodes that were begun.
        episode_steps: of the running episode.
        total_steps: of all episodes.
    """

    def __init__(self, env: Env) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self.episodes = self.resets = self.episode_steps = self.total_steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset and count it."""
        self.resets += 1
        self.episode_steps = 0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> Step:
        """Step and count it."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.total_steps += 1
        self.episode_steps += 1
        self.episodes += bool(terminated or truncated)
        return observation, reward, terminated, truncated, info


class PerformanceProfiler(Wrapper, RecordConstructorArgs):
    """Profiles what the environment does with cProfile, and nothing else of the program.

    Args:
        env: any; not one that is profiled already.
        process_steps: after how many steps a profile is handed over and the next begins, 1 or more.
        process_profile_fn: what takes it, a `cProfile.Profile`; by default its ten costliest functions are printed to
            standard error.

    Raises:
        ConfigError: for fewer steps, or an environment that is profiled already.
    """

    def __init__(
        self,
        env: Env,
        process_steps: int = 10_000,
        process_profile_fn: Callable[[cProfile.Profile], Any] | None = None,
    ) -> None:
        RecordConstructorArgs.__init__(self, process_steps=process_steps, process_profile_fn=process_profile_fn)
        super().__init__(env)
        at_least("process_steps", process_steps, 1)
        inner: Any = env
        while isinstance(inner, gymnasium.Wrapper):
            if isinstance(inner, PerformanceProfiler):
                raise ConfigError("it is profiled already, and Python profiles one thing at a time")
            inner = inner.env
        self._process_steps, self._process = process_steps, process_profile_fn or _show
        self._profile, self._steps = cProfile.Profile(), 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset, profiled."""
        return self._profile.runcall(self.env.reset, seed=seed, options=options)

    def step(self, action: Any) -> Step:
        """Step, profiled; hand the profile over where it is time."""
        result = self._profile.runcall(self.env.step, action)
        self._steps += 1
        if self._steps == self._process_steps:
            profile, self._profile, self._steps = self._profile, cProfile.Profile(), 0
            self._process(profile)
        return result


def _show(profile: cProfile.Profile) -> None:
    pstats.Stats(profile, stream=sys.stderr).sort_stats("cumulative").print_stats(10)
